"""Kernels that move elements: every permutation and type, overlap, order of additions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from quernel import kernels, reference
from quernel.kernels.threads import get_num_threads, set_num_threads

TYPES = [np.float32, np.float64, np.int64, np.int32, np.int16, np.uint8, np.bool_, np.float16, np.complex128]


def same(got, expected):
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected, strict=True)


def array(rng, dtype, *shape):
    return rng.integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_copy_and_assign_of_every_permutation(rng, dtype):
    x = array(rng, dtype, 2, 33, 19, 5)
    for axes in itertools.permutations(range(4)):
        turned = x.transpose(axes)
        same(kernels.copy(turned), turned)
        same(kernels.copy(turned[::-1, ::2, :, ::-1]), turned[::-1, ::2, :, ::-1])
        target = np.zeros_like(x).transpose(axes)
        kernels.assign(target, turned)
        np.testing.assert_array_equal(target, turned)


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (15, 17), (48, 31), (3, 500), (500, 3), (129, 257)])
def test_transposes(rng, shape):
    for dtype in (np.float32, np.float64, np.uint8):
        x = array(rng, dtype, *shape)
        same(kernels.copy(x.T), x.T)
        same(kernels.copy(x[1:, 1:].T), x[1:, 1:].T)


def test_more_dimensions_than_can_be_walked(rng):
    x = array(rng, np.float32, *(2,) * 11).transpose(range(10, -1, -1))
    same(kernels.copy(x), x)
    target = np.zeros_like(x, order="C")
    kernels.assign(target, x)
    same(target, x)
    same(kernels.concatenate([x, x], 4), np.concatenate([x, x], 4))
    same(kernels.pad(x, [(1, 0)] * 11, 3.0), reference.pad(x, [(1, 0)] * 11, 3.0))


def test_assign_broadcasts_and_stays_inside_its_target(rng):
    whole = array(rng, np.float32, 9, 10)
    expected = whole.copy()
    kernels.assign(whole[2:8:2, 1:-1], np.arange(8, dtype=np.float32))
    expected[2:8:2, 1:-1] = np.arange(8)
    same(whole, expected)
    kernels.assign(whole[::-1, 3], np.array(7, np.float32))
    expected[:, 3] = 7
    same(whole, expected)


def test_assign_of_overlapping_memory(rng):
    x = array(rng, np.int64, 50)
    expected = x[::-1].copy()
    kernels.assign(x, x[::-1])
    same(x, expected)
    shifted = np.arange(100_000, dtype=np.float32)
    kernels.assign(shifted[1:], shifted[:-1])
    same(shifted, np.concatenate([[0], np.arange(99_999)]).astype(np.float32))


def test_assign_refuses(rng):
    x = np.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match="overlap"):
        kernels.assign(np.lib.stride_tricks.as_strided(x, (3, 4), (0, 4)), np.ones((3, 4), np.float32))
    x.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        kernels.assign(x, 1.0)
    with pytest.raises(ValueError, match="broadcast"):
        kernels.assign(np.zeros(3), np.zeros(4))


@pytest.mark.parametrize("dtype", TYPES)
def test_pieces(rng, dtype):
    x = array(rng, dtype, 4, 5, 6)
    parts = [x, x.transpose(0, 2, 1)[:, :5].repeat(2, 2)[:, :, ::2][:, :, :5], x[:, :, :0], x[:, ::-1, 2:3]]
    same(kernels.concatenate(parts, 2), np.concatenate(parts, 2))
    widths = ((0, 2), (3, 0), (1, 1))
    same(kernels.pad(x, widths, 1), reference.pad(x, widths, 1))
    for axis, n in enumerate(x.shape):
        indices = rng.integers(0, n, 7)
        same(kernels.gather(x, indices, axis), np.take(x, indices, axis))
        same(kernels.gather(x, indices.astype(np.int32), axis), np.take(x, indices, axis))
        same(kernels.gather(x, indices[:0], axis), np.take(x, indices[:0], axis))


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "width"), [(5, 3), (1, 2500), (300, 40), (2, 1)])
def test_scatter_adds_in_index_order_on_any_number_of_threads(rng, real, rows, width):
    """Many rows of very different size meet: another order of additions would give other bits."""
    indices = rng.integers(0, rows, 400)
    dy = (rng.standard_normal((400, width)) * 10.0 ** rng.integers(-6, 6, (400, 1))).astype(real)
    expected = np.zeros((rows, width), real)
    for i, row in enumerate(indices):
        expected[row] += dy[i]
    before = get_num_threads()
    for threads in (1, 2, 3):
        set_num_threads(threads)
        same(kernels.scatter_add(dy, indices, rows), expected)
        same(kernels.scatter_add(np.asfortranarray(dy.T), indices, rows, axis=1), expected.T.copy())
    set_num_threads(before)
