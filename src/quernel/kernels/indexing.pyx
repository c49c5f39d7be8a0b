"""Moving elements: copies of any strides, pieces put together, rows picked and added back.

Elements of 1, 2, 4 and 8 bytes are moved as bytes, whatever they mean; arrays of other types go through NumPy.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memcpy

import numpy as np

from quernel.kernels.launch cimport ceil_div, F32, for_range, kernel_of, launch, parallel
from quernel.kernels.maps cimport behaved, layout, map_args, merge, streams
from quernel.kernels.memory cimport new_array, new_typed, ready, real_of

cnp.import_array()

__all__ = ["assign", "concatenate", "copy", "gather", "pad", "scatter_add"]

cdef extern from "kernels.h":
    ctypedef struct gather_args "struct gather_args":
        void *y
        const void *x
        const int64_t *indices
        Py_ssize_t A
        Py_ssize_t n
        Py_ssize_t J
    ctypedef struct scatter_args "struct scatter_args":
        void *dx
        int64_t *start
        int64_t *order
        const void *dy
        const int64_t *indices
        Py_ssize_t A
        Py_ssize_t n
        Py_ssize_t J
        Py_ssize_t blocks
    enum:
        TRANSPOSE_BLOCK
        SCATTER_WIDTH
        K_move_1
        K_fill_1
        K_transpose_1
        K_gather_1
        K_scatter_sort
        K_scatter_add

# A row of `gather` costs as much as this many elements more than it has.
cdef enum:
    ROW_COST = 16
# Elements moved in about 30 microseconds by one core, along memory and across it.
cdef enum:
    GRAIN_MOVE = 1 << 16
    GRAIN_TRANSPOSE = 1 << 15


cdef int log2_bytes(cnp.ndarray x) noexcept:
    """Which of the kernels for 1, 2, 4, 8 bytes moves the elements of x; -1: none."""
    cdef int typenum = cnp.PyArray_TYPE(x)
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(x)
    if typenum > cnp.NPY_DOUBLE:  # bool, integers, float32 and float64 come before
        return -1
    return 0 if item == 1 else 1 if item == 2 else 2 if item == 4 else 3


cdef void sort_by_y(layout *l) noexcept:
    """Dimensions in falling order of y's strides: the walk then writes along memory."""
    cdef int i, d, o
    cdef Py_ssize_t swap
    for i in range(1, l.ndim):
        d = i
        while d > 0 and abs(l.strides[0][d - 1]) < abs(l.strides[0][d]):
            l.shape[d - 1], l.shape[d] = l.shape[d], l.shape[d - 1]
            for o in range(2):
                swap = l.strides[o][d]
                l.strides[o][d] = l.strides[o][d - 1]
                l.strides[o][d - 1] = swap
            d -= 1


cdef bint bring_across(map_args *m, Py_ssize_t item) noexcept:
    """If y runs along the last dimension and x along another, make that the last but one: the form of `transpose`."""
    cdef int d, last = m.dims - 1
    if last < 1 or m.y_stride_bytes[last] != item or m.stride_bytes[0][last] in (0, item):
        return False
    for d in range(last - 1, -1, -1):
        if m.stride_bytes[0][d] == item:
            m.shape[d], m.shape[last - 1] = m.shape[last - 1], m.shape[d]
            m.y_stride_bytes[d], m.y_stride_bytes[last - 1] = m.y_stride_bytes[last - 1], m.y_stride_bytes[d]
            m.stride_bytes[0][d], m.stride_bytes[0][last - 1] = m.stride_bytes[0][last - 1], m.stride_bytes[0][d]
            return True
    return False


cdef bint move(layout *l, void *y, const void *x, int log2_item) except -1:
    """y[...] = x[...] over l (which it reorders); False if l has too many dimensions."""
    cdef map_args m
    cdef Py_ssize_t total = 1, item = 1 << log2_item, T, L, units, work
    cdef int d
    for d in range(l.ndim):
        total *= l.shape[d]
    sort_by_y(l)
    if not merge(&m, l, 1):
        return False
    m.y = y
    m.x[0] = x
    m.stream = streams(&m, item)
    if total and bring_across(&m, item):
        T = m.shape[m.dims - 2]
        L = m.shape[m.dims - 1]
        units = total // (T * L) * ceil_div(T, TRANSPOSE_BLOCK) * ceil_div(L, TRANSPOSE_BLOCK)
        work = min(T, <Py_ssize_t> TRANSPOSE_BLOCK) * min(L, <Py_ssize_t> TRANSPOSE_BLOCK)
        parallel(K_transpose_1 + log2_item, F32, &m, sizeof(m), units, ceil_div(GRAIN_TRANSPOSE, work), 0)
    else:
        parallel(K_move_1 + log2_item, F32, &m, sizeof(m), total, GRAIN_MOVE, 0)
    return True


cdef bint fill(layout *l, void *y, const void *value, int log2_item) except -1:
    """y[...] = the element at `value`."""
    cdef map_args m
    cdef Py_ssize_t total = 1
    cdef int d
    for d in range(l.ndim):
        total *= l.shape[d]
    if not merge(&m, l, 0):
        return False
    m.y = y
    memcpy(&m.p, value, <size_t> 1 << log2_item)
    m.stream = False
    return parallel(K_fill_1 + log2_item, F32, &m, sizeof(m), total, GRAIN_MOVE, 0) == 0


cdef void lay_out(layout *l, cnp.ndarray y, cnp.ndarray shape_of, cnp.ndarray x) noexcept:
    """The shape of one array, the strides of y and x; all have as many dimensions."""
    cdef int d
    l.ndim = cnp.PyArray_NDIM(shape_of)
    for d in range(l.ndim):
        l.shape[d] = cnp.PyArray_DIM(shape_of, d)
        l.strides[0][d] = cnp.PyArray_STRIDE(y, d)
        l.strides[1][d] = cnp.PyArray_STRIDE(x, d)


cdef cnp.ndarray native(object x):
    if isinstance(x, cnp.ndarray) and cnp.PyArray_ISNOTSWAPPED(x):
        return x
    return behaved(x)


def copy(x):
    cdef cnp.ndarray x_ = native(x), y
    cdef layout l
    cdef int log2_item = log2_bytes(x_)
    if log2_item < 0:
        return np.array(x_, order="C")
    y = new_typed((<object> x_).shape, cnp.PyArray_TYPE(x_))
    lay_out(&l, y, x_, x_)
    if not move(&l, cnp.PyArray_DATA(y), cnp.PyArray_DATA(x_), log2_item):
        return np.array(x_, order="C")
    return y


def assign(target, x):
    cdef cnp.ndarray x_, target_
    cdef layout l
    cdef int log2_item, d
    if not isinstance(target, cnp.ndarray) or not cnp.PyArray_ISWRITEABLE(target):
        raise ValueError("assign: the target must be a writable array")
    x_ = np.broadcast_to(native(np.asarray(x, dtype=target.dtype)), target.shape)
    target_ = target
    if not target.size:
        return
    if np.may_share_memory(target, x_):
        x_ = copy(x_)
    log2_item = log2_bytes(target_)
    if log2_item < 0 or not cnp.PyArray_ISNOTSWAPPED(target_):
        target[...] = x_
        return
    if cnp.PyArray_SIZE(target_) == 0:
        return
    lay_out(&l, target_, target_, x_)
    for d in range(l.ndim):
        if l.shape[d] > 1 and l.strides[0][d] == 0:
            raise ValueError(f"assign: elements of the target overlap (shape {target.shape}, strides {target.strides})")
    if not move(&l, cnp.PyArray_DATA(target_), cnp.PyArray_DATA(x_), log2_item):
        target[...] = x_


def concatenate(arrays, axis):
    cdef cnp.ndarray y, x_
    cdef layout l
    cdef char *at
    cdef int log2_item, axis_
    cdef list pieces = [native(x) for x in arrays]
    axis_ = axis if axis >= 0 else axis + pieces[0].ndim
    log2_item = log2_bytes(pieces[0])
    if log2_item < 0 or any(x.dtype != pieces[0].dtype for x in pieces):
        return np.ascontiguousarray(np.concatenate(pieces, axis))
    shape = list(pieces[0].shape)
    shape[axis_] = sum([x.shape[axis_] for x in pieces])
    y = new_typed(shape, cnp.PyArray_TYPE(pieces[0]))
    at = <char *> cnp.PyArray_DATA(y)
    for x_ in pieces:
        lay_out(&l, y, x_, x_)
        if not move(&l, at, cnp.PyArray_DATA(x_), log2_item):
            return np.ascontiguousarray(np.concatenate(pieces, axis))
        at += cnp.PyArray_DIM(x_, axis_) * cnp.PyArray_STRIDE(y, axis_)
    return y


def pad(x, widths, value):
    """Frames are filled dimension by dimension, each between the frames of those before it."""
    cdef cnp.ndarray x_ = native(x), y, value_ = np.asarray(value).astype(x_.dtype)
    cdef layout l, frame
    cdef int log2_item = log2_bytes(x_), d, ndim = cnp.PyArray_NDIM(x_)
    cdef Py_ssize_t before, after, n
    cdef char *at
    cdef bint done = log2_item >= 0
    if done:
        y = new_typed([b + n + a for n, (b, a) in zip((<object> x_).shape, widths, strict=True)], cnp.PyArray_TYPE(x_))
        at = <char *> cnp.PyArray_DATA(y)
        lay_out(&l, y, y, y)
        for d in range(ndim):
            before, after = widths[d]
            n = cnp.PyArray_DIM(x_, d)
            frame = l
            if before:
                frame.shape[d] = before
                done = done and fill(&frame, at, cnp.PyArray_DATA(value_), log2_item)
            at += before * l.strides[0][d]
            if after:
                frame.shape[d] = after
                done = done and fill(&frame, at + n * l.strides[0][d], cnp.PyArray_DATA(value_), log2_item)
            l.shape[d] = n
        lay_out(&l, y, x_, x_)
        done = done and move(&l, at, cnp.PyArray_DATA(x_), log2_item)
    return y if done else np.ascontiguousarray(np.pad(x_, widths, constant_values=value))


def gather(x, indices, axis=0):
    cdef cnp.ndarray x_ = ready(x), index = np.require(indices, np.int64, "CA"), y
    cdef gather_args a
    cdef int log2_item = log2_bytes(x_), d, axis_ = axis if axis >= 0 else axis + cnp.PyArray_NDIM(x_)
    cdef Py_ssize_t outer = 1
    if log2_item < 0:
        return np.ascontiguousarray(np.take(x_, index, axis=axis))
    a.A = cnp.PyArray_DIM(x_, axis_)
    a.n = cnp.PyArray_SIZE(index)
    a.J = 1
    for d in range(cnp.PyArray_NDIM(x_)):
        if d < axis_:
            outer *= cnp.PyArray_DIM(x_, d)
        elif d > axis_:
            a.J *= cnp.PyArray_DIM(x_, d)
    shape = (<object> x_).shape
    y = new_typed(shape[:axis_] + (a.n,) + shape[axis_ + 1:], cnp.PyArray_TYPE(x_))
    a.y = cnp.PyArray_DATA(y)
    a.x = cnp.PyArray_DATA(x_)
    a.indices = <const int64_t *> cnp.PyArray_DATA(index)
    parallel(K_gather_1 + log2_item, F32, &a, sizeof(a), outer * a.n, 1 + GRAIN_MOVE // (a.J + ROW_COST), 0)
    return y


cdef struct scatter_run:
    scatter_args a
    Py_ssize_t outer
    int real


cdef void run_scatter_add(const void *args) noexcept nogil:
    cdef const scatter_run *r = <const scatter_run *> args
    cdef Py_ssize_t unit_work = (1 + r.a.n // max(r.a.A, <Py_ssize_t> 1)) * min(r.a.J, <Py_ssize_t> SCATTER_WIDTH)
    for_range(kernel_of(K_scatter_sort, r.real), &r.a, 1, 1, 0)
    for_range(kernel_of(K_scatter_add, r.real), &r.a, r.outer * r.a.A * r.a.blocks,
              1 + GRAIN_MOVE // (1 + unit_work), 0)


def scatter_add(dy, indices, length, axis=0):
    cdef cnp.ndarray dy_ = ready(dy), index = np.require(indices, np.int64, "CA"), dx, start, order
    cdef scatter_run r
    cdef int d, axis_ = axis if axis >= 0 else axis + cnp.PyArray_NDIM(dy_)
    r.real = real_of(dy_)
    r.a.A = length
    r.a.n = cnp.PyArray_SIZE(index)
    r.a.J = 1
    r.outer = 1
    for d in range(cnp.PyArray_NDIM(dy_)):
        if d < axis_:
            r.outer *= cnp.PyArray_DIM(dy_, d)
        elif d > axis_:
            r.a.J *= cnp.PyArray_DIM(dy_, d)
    r.a.blocks = ceil_div(r.a.J, SCATTER_WIDTH)
    shape = (<object> dy_).shape
    dx = new_array(shape[:axis_] + (length,) + shape[axis_ + 1:], r.real)
    start = new_typed((length + 1,), cnp.NPY_INT64)
    order = new_typed((r.a.n,), cnp.NPY_INT64)
    r.a.dx = cnp.PyArray_DATA(dx)
    r.a.dy = cnp.PyArray_DATA(dy_)
    r.a.indices = <const int64_t *> cnp.PyArray_DATA(index)
    r.a.start = <int64_t *> cnp.PyArray_DATA(start)
    r.a.order = <int64_t *> cnp.PyArray_DATA(order)
    launch(run_scatter_add, &r, sizeof(r))
    return dx
