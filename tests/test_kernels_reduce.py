"""Reductions where they are special: long sums, cancellation, nan, ties, nothing to reduce, threads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from quernel import kernels, reference
from quernel.kernels.threads import get_num_threads, set_num_threads

REALS = [np.float32, np.float64]
OPS = ["sum", "mean", "var", "max", "min"]


@pytest.mark.parametrize("value", [1.0, 0.1, 1 / 3, 16777.217])
@pytest.mark.parametrize("shape", [(20_000_000,), (4_000_000, 5), (2, 10_000_000)])
def test_long_float32_sums_keep_six_digits(value, shape):
    """All roundings of equal terms go the same way, which is the worst case."""
    x = np.full(shape, value, np.float32)
    axis = int(np.argmax(shape))
    true = float(np.float32(value)) * shape[axis]
    np.testing.assert_allclose(kernels.reduce("sum", x, (axis,)).astype(np.float64), true, rtol=1e-6)
    np.testing.assert_allclose(kernels.reduce("mean", x, (0, 1)[: x.ndim]), np.float32(value), rtol=1e-6)


@pytest.mark.parametrize("real", REALS)
def test_every_choice_of_axes_on_any_number_of_threads(rng, real):
    before = get_num_threads()
    for shape in [(3, 4, 5, 6), (1, 40, 1, 130), (300, 2, 150), (70_001,), (2, 70_001), (70_001, 2)]:
        x = rng.standard_normal(shape).astype(real)
        count = x.ndim + 1
        for axes in itertools.chain(*(itertools.combinations(range(x.ndim), k) for k in range(count))):
            for op in OPS:
                expected = reference.reduce(op, x.astype(np.float64), axes, True)
                results = []
                for threads in (1, 2):
                    set_num_threads(threads)
                    results.append(kernels.reduce(op, x, axes, keepdims=True))
                # Eight roundings in REAL, a few across lanes, two in a square: 20 eps of all magnitudes.
                size = reference.reduce("sum" if op == "sum" else "mean", np.abs(x) + x * x, axes, True)
                bound = 0 if op in ("max", "min") else 20 * np.finfo(real).eps * size.astype(np.float64)
                assert np.all(np.abs(results[0] - expected) <= bound), (op, shape, axes)
                assert results[0].tobytes() == results[1].tobytes()
                assert results[0].shape == expected.shape
                assert kernels.reduce(op, x, axes).shape == reference.reduce(op, x, axes).shape
    set_num_threads(before)


def test_variance_around_a_large_mean(rng):
    x = (1000 + rng.standard_normal((50_000, 3))).astype(np.float32)
    true = x.astype(np.float64).var(axis=0)
    np.testing.assert_allclose(kernels.reduce("var", x, (0,)), true, rtol=1e-6)
    np.testing.assert_allclose(kernels.reduce("var", np.ascontiguousarray(x.T), (1,)), true, rtol=1e-6)
    assert kernels.reduce("var", np.full((7, 9), 0.1, np.float32), (0,)).max() < 1e-15


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("shape", [(40,), (9, 7), (5, 3, 33), (2, 700, 1), (2, 3, 600)])
def test_nan_and_ties(rng, real, shape):
    tied = rng.integers(0, 3, shape).astype(real)
    holed = np.where(rng.random(shape) < 0.1, np.nan, tied).astype(real)
    endless = np.where(rng.random(shape) < 0.5, -np.inf, np.inf).astype(real)
    for x in (tied, holed, endless, np.full(shape, -np.inf, real), np.full(shape, np.nan, real)):
        for axis in range(x.ndim):
            np.testing.assert_array_equal(kernels.argmax(x, axis), np.argmax(x, axis), strict=True)
            np.testing.assert_array_equal(kernels.argmin(x, axis), np.argmin(x, axis), strict=True)
            np.testing.assert_array_equal(kernels.reduce("max", x, (axis,)), x.max(axis), strict=True)
            np.testing.assert_array_equal(kernels.reduce("min", x, (axis,)), x.min(axis), strict=True)


@pytest.mark.parametrize("backend", [kernels, reference])
def test_nothing_to_reduce(backend):
    x = np.zeros((3, 0, 2), np.float32)
    np.testing.assert_array_equal(backend.reduce("sum", x, (1,)), np.zeros((3, 2), np.float32), strict=True)
    for op in ("mean", "var"):
        assert np.isnan(backend.reduce(op, x, (0, 1, 2)))
    for op in ("max", "min"):
        assert backend.reduce(op, x, (0,)).shape == (0, 2)
        with pytest.raises(ValueError, match=r"no elements|zero-size"):
            backend.reduce(op, x, (1,))
    with pytest.raises(ValueError, match=r"no elements|empty"):
        backend.argmax(x, 1)
    with pytest.raises(ValueError, match="unknown reduction 'product'"):
        backend.reduce("product", np.ones(3, np.float32), (0,))


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("length", [5, 63, 64, 65, 1000, 5003])
def test_special_values_anywhere_in_a_row(real, length):
    for place in {0, length // 3, length // 2, length - 1}:
        x = np.ones((6, length), real)
        x[0, place], x[1, place], x[2, place] = np.nan, np.inf, -np.inf
        x[3] = np.inf
        x[4] = -np.inf
        x[4, place] = 2.0
        x[5, 0], x[5, place] = np.inf, np.nan
        for op in ("max", "min", "sum"):
            with np.errstate(invalid="ignore"):
                expected = getattr(np, op)(x, axis=1)
            np.testing.assert_array_equal(kernels.reduce(op, x, (1,)), expected)
