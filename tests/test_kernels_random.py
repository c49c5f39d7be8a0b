"""Random kernels: the same bits as the reference, the published test vectors, and the right distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quernel import kernels, reference
from quernel.kernels.threads import get_num_threads, set_num_threads
from quernel.reference.random import _words

SIZES = [0, 1, 3, 4, 5, 15, 16, 17, 255, 256, 511, 513, 16383, 16384, 16389, 70001]
REALS = [np.float32, np.float64]
STATES = [(0, 0), (1, 7), (2**64 - 1, 2**64 - 3), (0x0123456789ABCDEF, 2**32 - 2)]


def state_of(numbers: tuple[int, int]) -> np.ndarray:
    return np.array(numbers, np.uint64)


def test_published_vectors() -> None:
    """The first of Random123's kat_vectors for Philox4x32-10: counter and key 0."""
    first = _words(4, state_of((0, 0)))
    assert [f"{int(w):08x}" for w in first] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("numbers", STATES)
def test_uniform_has_the_bits_of_the_reference(size: int, real: type, numbers: tuple[int, int]) -> None:
    state = state_of(numbers)
    expected = reference.random_uniform((size,), 0.0, 1.0, state, real)
    got = kernels.random_uniform((size,), 0.0, 1.0, state, real)
    assert got.dtype == real
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("numbers", STATES)
def test_dropout_has_the_bits_of_the_reference(
    rng: np.random.Generator, size: int, real: type, numbers: tuple[int, int]
) -> None:
    x = rng.standard_normal(size).astype(real)
    for rate in (0.0, 0.3, 0.999):
        expected = reference.dropout(x, rate, state_of(numbers))
        np.testing.assert_array_equal(kernels.dropout(x, rate, state_of(numbers)), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("real", REALS)
def test_normal_is_the_reference_but_for_rounding(size: int, real: type) -> None:
    state = state_of((3, 5))
    expected = reference.random_normal((size,), 1.0, 2.0, state, real)
    got = kernels.random_normal((size,), 1.0, 2.0, state, real)
    assert got.dtype == real
    np.testing.assert_allclose(got, expected, rtol=0, atol=30 * np.finfo(real).eps)


@pytest.mark.parametrize("real", REALS)
def test_same_bits_on_any_number_of_threads(rng: np.random.Generator, real: type) -> None:
    state, before = state_of((9, 9)), get_num_threads()
    x = rng.standard_normal((331, 1000)).astype(real)
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("dropout", (x, 0.5, state)),
        ("random_uniform", (x.shape, -1.0, 1.0, state, real)),
        ("random_normal", (x.shape, 0.0, 1.0, state, real)),
    ]
    for name, args in calls:
        results = []
        for threads in (1, 2):
            set_num_threads(threads)
            results.append(getattr(kernels, name)(*args))
        set_num_threads(before)
        np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("functions", [kernels, reference])
@pytest.mark.parametrize("real", REALS)
def test_uniform_range(functions: Any, real: type) -> None:
    state = state_of((1, 0))
    u = functions.random_uniform((200_000,), 3.0, 4.0, state, real)
    assert u.min() >= 3
    assert u.max() < 4
    np.testing.assert_allclose([u.mean(), u.var()], [3.5, 1 / 12], atol=0.004)  # 6 standard errors
    narrow = functions.random_uniform((10_000,), 1.0, np.nextafter(real(1), real(2)), state, real)
    assert (narrow == 1).all()
    assert (functions.random_uniform((9,), 2.0, 2.0, state, real) == 2).all()


@pytest.mark.parametrize("functions", [kernels, reference])
@pytest.mark.parametrize("real", REALS)
def test_normal_moments(functions: Any, real: type) -> None:
    z = functions.random_normal((200_001,), 0.0, 1.0, state_of((1, 0)), real).astype(np.float64)
    moments = [z.mean(), z.var(), (z**3).mean(), (z**4).mean(), (z[:-1] * z[1:]).mean()]
    np.testing.assert_allclose(moments, [0, 1, 0, 3, 0], atol=0.1)
    np.testing.assert_allclose(moments[:2], [0, 1], atol=0.015)
    assert 4 < np.abs(z).max() < 6


@pytest.mark.parametrize("functions", [kernels, reference])
def test_dropout_rates_and_neighbouring_offsets(functions: Any) -> None:
    x = np.ones(100_000, np.float32)
    y = functions.dropout(x, 0.2, state_of((4, 0)))
    np.testing.assert_allclose((y == 0).mean(), 0.2, atol=0.008)  # 6 standard errors
    assert set(np.unique(y)) == {np.float32(0), np.float32(1.25)}
    later = functions.dropout(x, 0.2, state_of((4, 1)))
    np.testing.assert_array_equal(later[:-4], y[4:])
    assert (functions.dropout(x, 1.0, state_of((4, 0))) == 0).all()
    np.testing.assert_array_equal(functions.dropout(x, 0.0, state_of((4, 0))), x)


@pytest.mark.parametrize("functions", [kernels, reference])
@pytest.mark.parametrize("real", REALS)
def test_dropout_drops_nan_and_is_its_own_backward(functions: Any, real: type) -> None:
    state = state_of((5, 6))
    bad = functions.dropout(np.full(1000, np.nan, real), 0.5, state)
    mask = functions.dropout(np.ones(1000, real), 0.5, state)
    np.testing.assert_array_equal(np.isnan(bad), mask != 0)
    np.testing.assert_array_equal(bad[mask == 0], 0)


def test_the_mask_does_not_depend_on_the_type_or_shape() -> None:
    single = kernels.dropout(np.ones(1001, np.float32), 0.5, state_of((1, 2)))
    double = kernels.dropout(np.ones((7, 143), np.float64), 0.5, state_of((1, 2)))
    np.testing.assert_array_equal(single, double.ravel())


def test_a_state_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="seed and offset"):
        kernels.dropout(np.ones(3, np.float32), 0.5, np.zeros(3, np.uint64))
