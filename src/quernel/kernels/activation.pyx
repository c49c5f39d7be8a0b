"""Activations: forward, backward, and the backward of a bias with an activation behind it in one pass."""

cimport numpy as cnp
from libc.stddef cimport size_t

from quernel.kernels.kinds cimport activation_kind
from quernel.kernels.launch cimport for_range, kernel_of, launch, out_of_memory, parallel
from quernel.kernels.memory cimport new_array, pool_give, pool_take, ready, real_of

cnp.import_array()

__all__ = ["activation_backward", "activation_forward", "bias_activation_backward"]

cdef extern from "kernels.h":
    ctypedef struct activation_args "struct activation_args":
        void *out
        const void *dy
        const void *saved
        double alpha
        int stream
    ctypedef struct bias_activation_args "struct bias_activation_args":
        void *dz
        double *partial
        const void *dy
        const void *y
        double alpha
        Py_ssize_t kind
        Py_ssize_t M
        Py_ssize_t C
        Py_ssize_t rows
        int stream
    ctypedef struct reduce_args "struct reduce_args":
        void *y
        double *partial
        double scale
        Py_ssize_t joins
        Py_ssize_t J
        Py_ssize_t chunks
    enum:
        ACT_LEAKY_RELU
        ACT_SILU
        ACT_GELU
        ACT_GELU_TANH
        REDUCE_SUM
        STREAM_BYTES
        K_activation_forward_linear
        K_activation_backward_linear
        K_bias_activation_backward
        K_reduce_finish

# Elements worth about 30 microseconds of one core: at the speed of memory, and where there is an exponential to take.
cdef enum:
    GRAIN_CHEAP = 1 << 16
    GRAIN_EXP = 1 << 14
# Elements in a chunk of rows with a partial sum of its own, and its rows at least (partials are written in double).
cdef enum:
    CHUNK = 1 << 15
    CHUNK_ROWS = 32


cdef Py_ssize_t grain_of(int kind) noexcept:
    return GRAIN_CHEAP if kind <= ACT_LEAKY_RELU else GRAIN_EXP


def activation_forward(x, activation, alpha=0.0):
    cdef cnp.ndarray x_ = ready(x), y
    cdef int kind = activation_kind(activation), real = real_of(x_)
    cdef activation_args a
    y = new_array((<object> x_).shape, real)
    a.out = cnp.PyArray_DATA(y)
    a.dy = NULL
    a.saved = cnp.PyArray_DATA(x_)
    a.alpha = alpha
    a.stream = cnp.PyArray_NBYTES(x_) >= STREAM_BYTES
    parallel(K_activation_forward_linear + kind, real, &a, sizeof(a), cnp.PyArray_SIZE(x_), grain_of(kind), 0)
    return y


def activation_backward(dy, saved, activation, alpha=0.0):
    cdef cnp.ndarray dy_ = ready(dy), saved_ = ready(saved), dx
    cdef int kind = activation_kind(activation), real = real_of(dy_)
    cdef activation_args a
    dx = new_array((<object> dy_).shape, real)
    a.out = cnp.PyArray_DATA(dx)
    a.dy = cnp.PyArray_DATA(dy_)
    a.saved = cnp.PyArray_DATA(saved_)
    a.alpha = alpha
    a.stream = cnp.PyArray_NBYTES(dy_) >= STREAM_BYTES
    parallel(K_activation_backward_linear + kind, real, &a, sizeof(a), cnp.PyArray_SIZE(dy_), grain_of(kind), 0)
    return dx


cdef struct bias_run:
    bias_activation_args a
    void *dbias
    int real


cdef void run_bias_activation(const void *args) noexcept nogil:
    cdef const bias_run *r = <const bias_run *> args
    cdef bias_activation_args a = r.a
    cdef reduce_args finish
    cdef Py_ssize_t chunks
    if a.C == 0:
        return
    a.rows = max(<Py_ssize_t> CHUNK_ROWS, CHUNK // a.C)
    chunks = max(<Py_ssize_t> 1, (a.M + a.rows - 1) // a.rows)
    a.partial = <double *> pool_take(<size_t> (chunks * a.C) * sizeof(double))
    if a.partial == NULL:
        out_of_memory()
        return
    for_range(kernel_of(K_bias_activation_backward, r.real), &a, chunks, 1 + CHUNK // (1 + min(a.M, a.rows) * a.C), 0)
    finish.y = r.dbias
    finish.partial = a.partial
    finish.scale = 1.0
    finish.joins = REDUCE_SUM
    finish.J = a.C
    finish.chunks = chunks
    for_range(kernel_of(K_reduce_finish, r.real), &finish, a.C, 1 + CHUNK // (4 * chunks), 0)
    pool_give(a.partial)


def bias_activation_backward(dy, y, activation, alpha=0.0):
    cdef cnp.ndarray dy_ = ready(dy), y_ = ready(y), dz, dbias
    cdef bias_run r
    r.real = real_of(dy_)
    r.a.kind = activation_kind(activation)
    if r.a.kind in (ACT_SILU, ACT_GELU, ACT_GELU_TANH):
        raise ValueError(f"bias_activation_backward: the derivative of {activation!r} does not follow from its output")
    shape = (<object> dy_).shape
    dz = new_array(shape, r.real)
    dbias = new_array(shape[len(shape) - 1:], r.real)
    r.a.C = shape[len(shape) - 1]
    r.a.M = cnp.PyArray_SIZE(dy_) // r.a.C if r.a.C else 0
    r.a.dz = cnp.PyArray_DATA(dz)
    r.a.dy = cnp.PyArray_DATA(dy_)
    r.a.y = cnp.PyArray_DATA(y_)
    r.a.alpha = alpha
    r.a.stream = cnp.PyArray_NBYTES(dy_) >= STREAM_BYTES
    r.dbias = cnp.PyArray_DATA(dbias)
    launch(run_bias_activation, &r, sizeof(r))
    return dz, dbias
