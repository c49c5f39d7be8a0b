"""Pooling: one pass over the output rows forward, over the input rows backward (csrc/pool.h)."""

cimport numpy as cnp
from libc.stddef cimport size_t

from quernel.kernels.launch cimport parallel
from quernel.kernels.memory cimport new_array, new_typed, ready, real_of

cnp.import_array()

__all__ = ["max_pool2d_forward", "max_pool2d_backward", "avg_pool2d_forward", "avg_pool2d_backward"]

cdef extern from "kernels.h":
    ctypedef struct pool_args "struct pool_args":
        void *out
        void *index_out
        const void *input "in"
        const void *index_in
        Py_ssize_t H, W, C, OH, OW, KH, KW, sh, sw, top, left
        int count_include_pad, stream
    enum:
        K_max_pool2d_forward
        K_max_pool2d_backward
        K_max_pool2d_scatter
        K_avg_pool2d_forward
        K_avg_pool2d_backward
        POOL_BYTE_POSITIONS
        POOL_SCATTER
        STREAM_BYTES

# Elements that a row's windows read or write in about 30 microseconds of one core, at 2 elements a nanosecond.
cdef enum:
    GRAIN_WORK = 1 << 16
cdef enum:
    CACHE_LINE = 64
# Backward writes more than it reads, and streams from twice the usual size on: 3x3 over 8x112x112x64 (26 MB) takes
# 1.2 ms against 1.9, the mean over 64x14x14x256 (13 MB) 0.46 against 0.2.
cdef enum:
    STREAM_TIMES = 2


cdef pool_args window(object input_shape, object pool_size, object strides, object padding):
    """The sizes; OH and OW are 0 where the window does not fit."""
    cdef pool_args a
    _, a.H, a.W, a.C = input_shape
    a.KH, a.KW = pool_size
    a.sh, a.sw = strides
    (a.top, bottom), (a.left, right) = padding
    a.OH = max(0, (a.H + a.top + bottom - a.KH) // a.sh + 1)
    a.OW = max(0, (a.W + a.left + right - a.KW) // a.sw + 1)
    a.index_in = a.index_out = NULL
    a.count_include_pad = a.stream = 0
    return a


cdef int pool(int kernel, int real, pool_args *a, Py_ssize_t units, Py_ssize_t row_elements) except -1:
    """Units are rows of `row_elements`; each costs about as many element steps as it meets windows' positions."""
    cdef Py_ssize_t positions = a.KH * a.KW
    cdef Py_ssize_t meetings = positions if kernel in (K_max_pool2d_forward, K_avg_pool2d_forward) else (
        1 + positions // (a.sh * a.sw))
    cdef size_t scratch = <size_t> (a.W * a.C) * (12 if real else 8)
    if row_elements == 0:
        return 0
    return parallel(kernel, real, a, sizeof(pool_args), units, 1 + GRAIN_WORK // (row_elements * meetings), scratch)


cdef bint streams(cnp.ndarray dx, Py_ssize_t C) noexcept:
    """Whether dx is large and its pixels are whole cache lines."""
    return (cnp.PyArray_NBYTES(dx) >= STREAM_TIMES * STREAM_BYTES
            and C * cnp.PyArray_ITEMSIZE(dx) % CACHE_LINE == 0)


def max_pool2d_forward(x, pool_size, strides, padding):
    cdef cnp.ndarray x_ = ready(x), y, index
    cdef int real = real_of(x_)
    cdef pool_args a = window(x.shape, pool_size, strides, padding)
    shape = (x.shape[0], a.OH, a.OW, a.C)
    y = new_array(shape, real)
    index = new_typed(shape, cnp.NPY_UINT8 if a.KH * a.KW <= POOL_BYTE_POSITIONS else cnp.NPY_INT32)
    a.out = cnp.PyArray_DATA(y)
    a.index_out = cnp.PyArray_DATA(index)
    a.input = cnp.PyArray_DATA(x_)
    pool(K_max_pool2d_forward, real, &a, x.shape[0] * a.OH, a.OW * a.C)
    return y, index


def max_pool2d_backward(dy, index, input_shape, pool_size, strides, padding):
    cdef cnp.ndarray dy_ = ready(dy), index_ = ready(index), dx
    cdef int real = real_of(dy_)
    cdef pool_args a = window(input_shape, pool_size, strides, padding)
    dx = new_array(input_shape, real)
    a.out = cnp.PyArray_DATA(dx)
    a.stream = streams(dx, a.C)
    a.input = cnp.PyArray_DATA(dy_)
    a.index_in = cnp.PyArray_DATA(index_)
    # Stride 1 lets gathering fill its vectors with neighbouring columns.
    if a.sw > 1 and a.C < POOL_SCATTER and a.KH * a.KW <= POOL_BYTE_POSITIONS and a.H * a.W * a.C < 1 << 31:
        pool(K_max_pool2d_scatter, real, &a, input_shape[0], a.H * a.W * a.C)
    else:
        pool(K_max_pool2d_backward, real, &a, input_shape[0] * a.H, a.W * a.C)
    return dx


def avg_pool2d_forward(x, pool_size, strides, padding, count_include_pad):
    cdef cnp.ndarray x_ = ready(x), y
    cdef int real = real_of(x_)
    cdef pool_args a = window(x.shape, pool_size, strides, padding)
    y = new_array((x.shape[0], a.OH, a.OW, a.C), real)
    a.out = cnp.PyArray_DATA(y)
    a.input = cnp.PyArray_DATA(x_)
    a.count_include_pad = bool(count_include_pad)
    pool(K_avg_pool2d_forward, real, &a, x.shape[0] * a.OH, a.OW * a.C)
    return y


def avg_pool2d_backward(dy, input_shape, pool_size, strides, padding, count_include_pad):
    cdef cnp.ndarray dy_ = ready(dy), dx
    cdef int real = real_of(dy_)
    cdef pool_args a = window(input_shape, pool_size, strides, padding)
    dx = new_array(input_shape, real)
    a.out = cnp.PyArray_DATA(dx)
    a.stream = streams(dx, a.C)
    a.input = cnp.PyArray_DATA(dy_)
    a.count_include_pad = bool(count_include_pad)
    pool(K_avg_pool2d_backward, real, &a, input_shape[0] * a.H, a.W * a.C)
    return dx
