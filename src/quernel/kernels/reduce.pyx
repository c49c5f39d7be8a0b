"""Reductions over any axes, seen as (outer, reduced, inner) of a contiguous array.

Axes that are not neighbours are first brought together at the end by a copy. How the reduced extent is cut into chunks
follows from the shape alone, and chunks are joined in index order in double precision.
"""

cimport numpy as cnp
from libc.math cimport NAN
from libc.stddef cimport size_t
from libc.stdint cimport int64_t

from quernel.kernels.launch cimport for_range, kernel_of, launch, out_of_memory, parallel
from quernel.kernels.memory cimport new_array, new_typed, pool_give, pool_take, ready, real_of

cnp.import_array()

__all__ = ["argmax", "argmin", "reduce"]

cdef extern from "kernels.h":
    ctypedef struct reduce_args "struct reduce_args":
        void *y
        double *partial
        const void *x
        const void *mean
        double scale
        Py_ssize_t joins
        Py_ssize_t R
        Py_ssize_t J
        Py_ssize_t rows
        Py_ssize_t chunks
        Py_ssize_t width
        Py_ssize_t blocks
    ctypedef struct arg_args "struct arg_args":
        int64_t *y
        const void *x
        Py_ssize_t R
        Py_ssize_t J
        Py_ssize_t blocks
    enum:
        REDUCE_SUM
        REDUCE_DEVIATION
        REDUCE_MAX
        REDUCE_MIN
        ARG_WIDTH
        K_reduce_sum
        K_reduce_deviation
        K_reduce_max
        K_reduce_min
        K_reduce_finish
        K_argmax
        K_argmin

# Elements in a unit: about 30 microseconds of one core, and few enough that a large array has work for many.
cdef enum:
    UNIT = 1 << 16
# Inner elements in a block: their running sums (32 kB of double) stay in the first-level cache.
cdef enum:
    WIDTH = 4096
# Rows in a chunk at least: the partial results are then a small fraction of the input.
cdef enum:
    ROWS_MIN = 64

cdef struct reduction:
    reduce_args a
    Py_ssize_t outer
    int kernel
    int real


cdef void plan(reduction *r, Py_ssize_t outer, Py_ssize_t R, Py_ssize_t J) noexcept:
    r.outer = outer
    r.a.R = R
    r.a.J = J
    r.a.width = min(J, <Py_ssize_t> WIDTH)
    r.a.blocks = (J + WIDTH - 1) // WIDTH
    r.a.rows = max(<Py_ssize_t> ROWS_MIN, UNIT // max(r.a.width, <Py_ssize_t> 1))
    r.a.chunks = max(<Py_ssize_t> 1, (R + r.a.rows - 1) // r.a.rows)
    r.a.mean = NULL


cdef void run_reduction(const void *args) noexcept nogil:
    cdef const reduction *r = <const reduction *> args
    cdef reduce_args a = r.a
    cdef Py_ssize_t outputs = r.outer * a.J
    cdef Py_ssize_t work = 1 + min(a.R, a.rows) * a.width
    if outputs == 0:
        return
    a.partial = NULL
    if a.chunks > 1:
        a.partial = <double *> pool_take(<size_t> (outputs * a.chunks) * sizeof(double))
        if a.partial == NULL:
            out_of_memory()
            return
    for_range(kernel_of(r.kernel, r.real), &a, r.outer * a.chunks * a.blocks, 1 + UNIT // work,
              <size_t> a.width * sizeof(double))
    if a.chunks > 1:
        for_range(kernel_of(K_reduce_finish, r.real), &a, outputs, 1 + UNIT // (4 * a.chunks), 0)
        pool_give(a.partial)


cdef int execute(reduction *r, int kernel, int joins, double scale, cnp.ndarray x, cnp.ndarray y) except -1:
    r.kernel = kernel
    r.a.joins = joins
    r.a.scale = scale
    r.a.x = cnp.PyArray_DATA(x)
    r.a.y = cnp.PyArray_DATA(y)
    return launch(run_reduction, r, sizeof(r[0]))


def reduce(op, x, axes, keepdims=False):
    cdef reduction r
    cdef cnp.ndarray x_, y, mean
    cdef Py_ssize_t outer = 1, R = 1, J = 1, n
    cdef int stage = 0  # kept, then reduced, then kept again
    cdef bint neighbours = True, reduced
    cdef double scale
    shape = x.shape
    for axis, n in enumerate(shape):
        reduced = axis in axes
        if n == 1:
            continue
        if reduced:
            neighbours = neighbours and stage < 2
            stage = 1
            R *= n
        elif stage:
            stage = 2
            J *= n
        else:
            outer *= n
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    if neighbours:
        x_ = ready(x)
    else:
        x_ = ready(x.transpose(kept + sorted(axes)))
        outer, R, J = outer * J, 1, 1
        for axis in axes:
            R *= shape[axis]
    r.real = real_of(x_)
    y = new_array([n if axis not in axes else 1 for axis, n in enumerate(shape)] if keepdims
                  else [shape[axis] for axis in kept], r.real)
    plan(&r, outer, R, J)
    if op == "sum":
        execute(&r, K_reduce_sum, REDUCE_SUM, 1.0, x_, y)
    elif op == "max" or op == "min":
        if R == 0 and outer * J:
            raise ValueError(f"{op} of no elements (shape {shape}, axes {axes}) has no value")
        if op == "max":
            execute(&r, K_reduce_max, REDUCE_MAX, 1.0, x_, y)
        else:
            execute(&r, K_reduce_min, REDUCE_MIN, 1.0, x_, y)
    elif op == "mean" or op == "var":
        scale = 1.0 / R if R else NAN
        if op == "mean":
            execute(&r, K_reduce_sum, REDUCE_SUM, scale, x_, y)
        else:
            mean = new_array((outer, J), r.real)
            execute(&r, K_reduce_sum, REDUCE_SUM, scale, x_, mean)
            r.a.mean = cnp.PyArray_DATA(mean)
            execute(&r, K_reduce_deviation, REDUCE_DEVIATION, scale, x_, y)
    else:
        raise ValueError(f"unknown reduction {op!r}: expected sum, mean, max, min or var")
    return y


cdef cnp.ndarray arg_extreme(int kernel, object x, int axis):
    cdef cnp.ndarray x_ = ready(x), y
    cdef arg_args a
    cdef int d, ndim = cnp.PyArray_NDIM(x_), axis_ = axis if axis >= 0 else axis + ndim
    cdef Py_ssize_t outer = 1
    a.R = cnp.PyArray_DIM(x_, axis_)
    a.J = 1
    for d in range(ndim):
        if d < axis_:
            outer *= cnp.PyArray_DIM(x_, d)
        elif d > axis_:
            a.J *= cnp.PyArray_DIM(x_, d)
    shape = (<object> x_).shape
    if a.R == 0:
        raise ValueError(f"argmax or argmin of no elements (shape {shape}, axis {axis}) has no value")
    y = new_typed(shape[:axis_] + shape[axis_ + 1:], cnp.NPY_INT64)
    a.blocks = (a.J + ARG_WIDTH - 1) // ARG_WIDTH
    a.y = <int64_t *> cnp.PyArray_DATA(y)
    a.x = cnp.PyArray_DATA(x_)
    parallel(kernel, real_of(x_), &a, sizeof(a), outer * a.blocks,
             1 + UNIT // (1 + a.R * min(a.J, <Py_ssize_t> ARG_WIDTH)), 0)
    return y


def argmax(x, axis):
    return arg_extreme(K_argmax, x, axis)


def argmin(x, axis):
    return arg_extreme(K_argmin, x, axis)
