"""Dropout, and arrays of random numbers, from Philox4x32-10.

See csrc/random.h; `quernel.reference.random` says which bits make which number.
"""

cimport numpy as cnp
from libc.math cimport ceil
from libc.stdint cimport uint64_t

import numpy as np

from quernel.kernels.launch cimport parallel
from quernel.kernels.memory cimport new_array, ready, real_of

cnp.import_array()

__all__ = ["dropout", "random_uniform", "random_normal"]

cdef extern from "kernels.h":
    ctypedef struct dropout_args "struct dropout_args":
        void *y
        const void *x
        const uint64_t *state
        Py_ssize_t size
        uint64_t threshold
        double scale
    ctypedef struct random_args "struct random_args":
        void *y
        const uint64_t *state
        Py_ssize_t size
        double from_ "from"
        double span
        double last
    enum:
        RANDOM_CHUNK
        K_dropout
        K_random_uniform
        K_random_normal

# Chunks that take about 30 microseconds of one core.
cdef enum:
    GRAIN_DROPOUT = 4
    GRAIN_RANDOM = 2


cdef cnp.ndarray state_of(state):
    """[seed, offset] as the kernels read it: the memory of `state` itself if it will do."""
    cdef cnp.ndarray state_ = np.require(state, np.uint64, "CA")
    if state_.size != 2:
        raise ValueError(f"random state must be two numbers, seed and offset, got {state!r}")
    return state_


cdef Py_ssize_t chunks(Py_ssize_t size) noexcept:
    return (size + RANDOM_CHUNK - 1) // RANDOM_CHUNK


def dropout(x, rate, state):
    cdef cnp.ndarray x_ = ready(x), state_ = state_of(state), y
    cdef int real = real_of(x_)
    cdef dropout_args a
    y = new_array(x.shape, real)
    a.y = cnp.PyArray_DATA(y)
    a.x = cnp.PyArray_DATA(x_)
    a.state = <const uint64_t *> cnp.PyArray_DATA(state_)
    a.size = x_.size
    a.threshold = <uint64_t> ceil(min(max(<double> rate, 0.0), 1.0) * 4294967296.0)
    a.scale = 1 / (1 - <double> rate) if rate < 1 else 0
    parallel(K_dropout, real, &a, sizeof(a), chunks(a.size), GRAIN_DROPOUT, 0)
    return y


cdef fill(int id, shape, double start, double span, double last, state, dtype):
    cdef cnp.ndarray state_ = state_of(state), y
    cdef int real = dtype == np.float64
    cdef random_args a
    y = new_array(shape, real)
    a.y = cnp.PyArray_DATA(y)
    a.state = <const uint64_t *> cnp.PyArray_DATA(state_)
    a.size = y.size
    a.from_ = start
    a.span = span
    a.last = last
    parallel(id, real, &a, sizeof(a), chunks(a.size), GRAIN_RANDOM, 0)
    return y


def random_uniform(shape, low, high, state, dtype):
    dtype = np.dtype(dtype)
    low, high = np.array([low, high], dtype).tolist()
    last = np.nextafter(np.array(high, dtype), np.array(low, dtype))
    return fill(K_random_uniform, shape, low, high - low, last, state, dtype)


def random_normal(shape, mean, std, state, dtype):
    return fill(K_random_normal, shape, mean, std, 0, state, np.dtype(dtype))
