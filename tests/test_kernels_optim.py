"""Update and clipping kernels against the reference: arrays of all sizes, both types, 1 and 2 threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quernel import kernels, reference
from quernel.kernels.threads import get_num_threads, set_num_threads

REALS = [np.float32, np.float64]
SHAPES = [(1,), (0,), (7,), (3, 5), (16,), (), (17,), (16384,), (16385,), (2, 0), (130, 257), (0,)]

# hyper values and which of the optional states are there
SGD = [((0.1, 0.0, 0, 0.0), "0"), ((0.1, 0.9, 0, 0.01), "1"), ((0.1, 0.9, 1, 0.0), "1")]
RMSPROP = [
    ((0.01, 0.9, 1e-7, 0, 0.0), "100"),
    ((0.01, 0.9, 1e-7, 0.9, 0.01), "110"),
    ((0.01, 0.9, 0.1, 0.5, 0), "111"),
]
ADAM = [((1e-3, 0.9, 0.999, 1e-7, 0.1, 0, 1), "110"), ((1e-3, 0.9, 0.999, 1e-8, 0.1, 1, 10), "111")]
RULES = [("sgd_update", *case) for case in SGD]
RULES += [("rmsprop_update", *case) for case in RMSPROP]
RULES += [("adam_update", *case) for case in ADAM]


def arrays_of(rng: np.random.Generator, real: type) -> list[np.ndarray]:
    return [np.asarray(rng.standard_normal(shape), real) for shape in SHAPES]


def run(
    functions: Any, name: str, lists: list[list[np.ndarray] | None], hyper: np.ndarray, real: type
) -> list[Any]:
    """Copies of the lists in this type after three updates."""
    copies = [None if one is None else [np.array(x, real) for x in one] for one in lists]
    for _ in range(3):
        getattr(functions, name)(*copies, hyper)
    return [x for one in copies if one is not None for x in one]


@pytest.mark.parametrize(("name", "hyper", "states"), RULES)
@pytest.mark.parametrize("real", REALS)
def test_updates(
    rng: np.random.Generator, name: str, hyper: tuple[float, ...], states: str, real: type
) -> None:
    lists: list[list[np.ndarray] | None] = [arrays_of(rng, real), arrays_of(rng, real)]
    lists += [[np.abs(x) for x in arrays_of(rng, real)] if state == "1" else None for state in states]
    if name == "rmsprop_update":  # well above the square of the mean, lest their difference have no digits
        lists[2] = [x + 20 for x in lists[2] or []]
    numbers = np.array(hyper, np.float64)
    before = get_num_threads()
    results = []
    for threads in (1, 2):
        set_num_threads(threads)
        results.append(run(kernels, name, lists, numbers, real))
    set_num_threads(before)
    expected = run(reference, name, lists, numbers, np.float64)
    for one, two, true in zip(*results, expected, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, true, rtol=100 * np.finfo(real).eps, atol=20 * np.finfo(real).eps)


@pytest.mark.parametrize("functions", [kernels, reference])
@pytest.mark.parametrize("real", REALS)
def test_hyper_is_read_at_each_call(functions: Any, real: type) -> None:
    p, g = np.ones(3, real), np.ones(3, real)
    hyper = np.array([0.25, 0.0, 0.0, 0.0])
    functions.sgd_update([p], [g], None, hyper)
    hyper[0] = 0.5
    functions.sgd_update([p], [g], None, hyper)
    np.testing.assert_array_equal(p, np.full(3, 0.25, real))


@pytest.mark.parametrize("functions", [kernels, reference])
def test_clip_by_value(rng: np.random.Generator, functions: Any) -> None:
    arrays = arrays_of(rng, np.float32) + arrays_of(rng, np.float64)
    arrays[0][0] = np.nan
    expected = [np.clip(x, -0.5, 0.25) for x in arrays]
    functions.clip_by_value(arrays, -0.5, 0.25)
    for got, want in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("functions", [kernels, reference])
def test_clip_by_norm_is_each_its_own(rng: np.random.Generator, functions: Any) -> None:
    arrays = [
        x for pair in zip(arrays_of(rng, np.float32), arrays_of(rng, np.float64), strict=True) for x in pair
    ]
    norms = [np.linalg.norm(x.astype(np.float64)) for x in arrays]
    before = [x.copy() for x in arrays]
    functions.clip_by_norm(arrays, 3.0)
    assert min(norms) < 3 < max(norms)
    for got, was, norm in zip(arrays, before, norms, strict=True):
        np.testing.assert_allclose(got, was * min(1, 3 / norm) if norm else was, rtol=3e-7)


@pytest.mark.parametrize("functions", [kernels, reference])
@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_clip_by_global_norm(rng: np.random.Generator, functions: Any, limit: float) -> None:
    arrays = arrays_of(rng, np.float32) + arrays_of(rng, np.float64)
    before = [x.copy() for x in arrays]
    norm = np.sqrt(sum((x.astype(np.float64) ** 2).sum() for x in arrays))
    got = functions.clip_by_global_norm(arrays, limit)
    assert got.shape == ()
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, norm, rtol=1e-12)
    for x, was in zip(arrays, before, strict=True):
        np.testing.assert_allclose(x, was * min(1, limit / norm), rtol=3e-7)


def test_global_norm_has_the_same_bits_on_any_number_of_threads(rng: np.random.Generator) -> None:
    before, results = get_num_threads(), []
    start = [rng.standard_normal(n).astype(np.float32) for n in (100_000, 3, 70_001)]
    for threads in (1, 2, 4):
        set_num_threads(threads)
        arrays = [x.copy() for x in start]
        results.append((kernels.clip_by_global_norm(arrays, 1.0).tobytes(), [x.tobytes() for x in arrays]))
    set_num_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("functions", [kernels, reference])
def test_norms_that_are_not_finite(functions: Any) -> None:
    for bad, expected in [(np.nan, [1.0, np.nan]), (np.inf, [0.0, np.nan])]:
        x = np.array([1.0, bad], np.float32)
        with np.errstate(invalid="ignore"):
            functions.clip_by_global_norm([x], 1.0)
        np.testing.assert_array_equal(x, np.array(expected, np.float32))


@pytest.mark.parametrize("functions", [kernels, reference])
def test_no_arrays(functions: Any) -> None:
    functions.sgd_update([], [], None, np.zeros(4))
    functions.clip_by_value([], -1, 1)
    functions.clip_by_norm([], 1)
    assert functions.clip_by_global_norm([], 1) == 0


def test_gradients_are_only_read() -> None:
    wide = np.arange(8, dtype=np.float32)
    wide.flags.writeable = False
    p = np.zeros(4, np.float32)
    kernels.sgd_update([p], [wide[::2]], None, np.array([1.0, 0, 0, 0]))
    np.testing.assert_array_equal(p, [0, -2, -4, -6])
    with pytest.raises(ValueError, match="contiguous and writable"):
        kernels.clip_by_value([wide], -1, 1)


def test_arrays_that_do_not_fit_are_refused_and_nothing_changes() -> None:
    good, other = np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)
    read_only = np.ones((4, 4), np.float32)
    read_only.flags.writeable = False
    hyper = np.array([0.1, 0.0, 0.0, 0.0])
    bad = [np.ones(3, np.float32), np.ones((4, 4)), np.ones((8, 4), np.float32)[::2], read_only]
    for x in bad:
        with pytest.raises(ValueError, match="optimizer update: array 1"):
            kernels.sgd_update([good, x], [other, other], None, hyper)
    with pytest.raises(ValueError, match="expected 2 arrays"):
        kernels.sgd_update([good, other], [good.copy(), other.copy()], [good.copy()], hyper)
    with pytest.raises(ValueError, match="expected 4 values"):
        kernels.sgd_update([good], [other], None, np.zeros(3))
    with pytest.raises(TypeError):
        kernels.sgd_update([np.ones(3, int)], [np.ones(3, int)], None, hyper)
    assert (good == 1).all()
