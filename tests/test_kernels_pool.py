"""Pooling kernels: against the reference over shapes that take every path; ties, NaN and infinities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from quernel.kernels import pool, threads
from quernel.reference import pool as reference

NO_PADDING = ((0, 0), (0, 0))

# (pool size, strides, padding): touching, overlapping, with gaps, uneven, one-sided and wide padding, one
# window over everything.
WINDOWS = [
    ((2, 2), (2, 2), NO_PADDING),
    ((3, 3), (2, 2), ((1, 1), (1, 1))),
    ((3, 3), (2, 2), ((0, 1), (0, 1))),
    ((3, 3), (1, 1), ((1, 1), (1, 1))),
    ((2, 3), (3, 1), NO_PADDING),
    ((1, 2), (1, 4), ((0, 0), (1, 0))),
    ((2, 2), (3, 5), NO_PADDING),
    ((4, 1), (1, 2), ((3, 2), (0, 0))),
    ((5, 5), (1, 2), ((2, 2), (2, 2))),
    ((9, 11), (9, 11), NO_PADDING),
]
CHANNELS = [1, 2, 3, 7, 8, 16, 17, 33, 64]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(("pool_size", "strides", "padding"), WINDOWS)
def test_max_pool_equals_reference(rng, dtype, channels, pool_size, strides, padding):
    # Few different values: windows with ties.
    x = rng.integers(-4, 5, (2, 9, 11, channels)).astype(dtype)
    y, index = pool.max_pool2d_forward(x, pool_size, strides, padding)
    y_ref, index_ref = reference.max_pool2d_forward(x, pool_size, strides, padding)
    np.testing.assert_array_equal(y, y_ref, strict=True)
    np.testing.assert_array_equal(index, index_ref, strict=True)

    # Small integers add up exactly in any order.
    dy = rng.integers(-8, 9, y.shape).astype(dtype)
    args = dy, index, x.shape, pool_size, strides, padding
    dx = pool.max_pool2d_backward(*args)
    np.testing.assert_array_equal(dx, reference.max_pool2d_backward(*args), strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(("pool_size", "strides", "padding"), WINDOWS)
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_avg_pool_equals_reference(rng, dtype, channels, pool_size, strides, padding, count_include_pad):
    x = rng.standard_normal((2, 9, 11, channels)).astype(dtype)
    tolerance = 100 * np.finfo(dtype).eps  # at most 99 terms of size 1, divided by their number
    args = pool_size, strides, padding, count_include_pad
    y = pool.avg_pool2d_forward(x, *args)
    y_ref = reference.avg_pool2d_forward(x, *args)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, y_ref, rtol=tolerance, atol=tolerance)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = pool.avg_pool2d_backward(dy, x.shape, *args)
    dx_ref = reference.avg_pool2d_backward(dy, x.shape, *args)
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, dx_ref, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("channels", [1, 3, 16, 20])
@pytest.mark.parametrize(("pool_size", "strides", "padding"), WINDOWS)
def test_max_pool_of_nan_and_infinity(rng, channels, pool_size, strides, padding):
    x = rng.choice([np.nan, -np.inf, np.inf, 0.0, 1.0], (1, 9, 11, channels), p=[0.05, 0.75, 0.05, 0.1, 0.05])
    for dtype in (np.float32, np.float64):
        y, index = pool.max_pool2d_forward(x.astype(dtype), pool_size, strides, padding)
        y_ref, index_ref = reference.max_pool2d_forward(x.astype(dtype), pool_size, strides, padding)
        np.testing.assert_array_equal(y, y_ref)
        np.testing.assert_array_equal(index, index_ref)


@pytest.mark.parametrize("positions", [256, 257])
def test_index_is_a_byte_while_it_fits(rng, positions):
    x = rng.standard_normal((2, 1, 600, 3)).astype(np.float32)
    args = (1, positions), (1, 100), NO_PADDING
    y, index = pool.max_pool2d_forward(x, *args)
    y_ref, index_ref = reference.max_pool2d_forward(x, *args)
    assert index.dtype == (np.uint8 if positions == 256 else np.int32)
    np.testing.assert_array_equal(y, y_ref)
    np.testing.assert_array_equal(index, index_ref, strict=True)
    dx = pool.max_pool2d_backward(y, index, x.shape, *args)
    np.testing.assert_array_equal(dx, reference.max_pool2d_backward(y, index, x.shape, *args))


def test_windows_wholly_in_the_padding():
    x = np.ones((1, 2, 2, 3), np.float32)
    args = (2, 2), (1, 1), ((3, 3), (3, 3))
    y, index = pool.max_pool2d_forward(x, *args)
    y_ref, index_ref = reference.max_pool2d_forward(x, *args)
    np.testing.assert_array_equal(y, y_ref)
    np.testing.assert_array_equal(index, index_ref)
    dx = pool.max_pool2d_backward(np.ones_like(y), index, x.shape, *args)
    np.testing.assert_array_equal(dx, reference.max_pool2d_backward(np.ones_like(y), index, x.shape, *args))
    np.testing.assert_array_equal(
        pool.avg_pool2d_forward(x, *args, False), reference.avg_pool2d_forward(x, *args, False)
    )


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 0, 4, 3), (2, 4, 4, 0), (2, 1, 4, 3), (2, 4, 1, 3)])
def test_empty(shape):
    args = (2, 2), (2, 2), NO_PADDING
    x = np.ones(shape, np.float32)
    y, index = pool.max_pool2d_forward(x, *args)
    assert y.shape == reference.max_pool2d_forward(x, *args)[0].shape
    dx = pool.max_pool2d_backward(y, index, shape, *args)
    np.testing.assert_array_equal(dx, np.zeros(shape, np.float32), strict=True)
    assert pool.avg_pool2d_forward(x, *args, False).shape == y.shape
    dx = pool.avg_pool2d_backward(y, shape, *args, False)
    np.testing.assert_array_equal(dx, np.zeros(shape, np.float32), strict=True)


def test_rows_do_not_depend_on_their_neighbours(rng):
    x = rng.standard_normal((5, 8, 8, 17)).astype(np.float32)
    for size, stride in itertools.product([(2, 2), (3, 3)], [(1, 1), (2, 2)]):
        whole = pool.avg_pool2d_forward(x, size, stride, NO_PADDING, False)
        for n in range(len(x)):
            one = pool.avg_pool2d_forward(x[n : n + 1], size, stride, NO_PADDING, False)
            np.testing.assert_array_equal(one[0], whole[n])


def test_mean_over_a_large_image_is_accurate(rng):
    x = (1 + rng.random((1, 600, 600, 5))).astype(np.float32)
    y = pool.avg_pool2d_forward(x, (600, 600), (600, 600), NO_PADDING, False)
    np.testing.assert_allclose(y[0, 0, 0], x.mean(axis=(0, 1, 2), dtype=np.float64), rtol=2e-6)


@pytest.mark.parametrize("channels", [1, 3, 32])
@pytest.mark.parametrize(("size", "stride"), [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 3), (1, 1))])
def test_same_bits_on_one_and_two_threads(rng, channels, size, stride):
    x = rng.standard_normal((6, 96, 96, channels)).astype(np.float32)  # enough rows for several ranges
    results = []
    for count in (1, 2):
        threads.set_num_threads(count)
        y, index = pool.max_pool2d_forward(x, size, stride, NO_PADDING)
        mean = pool.avg_pool2d_forward(x, size, stride, NO_PADDING, False)
        results.append(
            (
                y,
                index,
                pool.max_pool2d_backward(y, index, x.shape, size, stride, NO_PADDING),
                mean,
                pool.avg_pool2d_backward(mean, x.shape, size, stride, NO_PADDING, False),
            )
        )
    threads.set_num_threads(1)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
