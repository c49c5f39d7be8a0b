"""Elementwise arithmetic: the operands' strides are walked as they are; y is new and contiguous."""

cimport numpy as cnp
from libc.math cimport INFINITY

import numpy as np

from quernel.kernels.launch cimport parallel
from quernel.kernels.maps cimport behaved, map_args, map_onto, map_to_new
from quernel.kernels.memory cimport real_of

cnp.import_array()

__all__ = ["accumulate", "binary", "clip", "compare", "scale", "unary", "where"]

cdef extern from "kernels.h":
    enum:
        K_unary_negative
        K_unary_exp
        K_unary_log
        K_unary_log1p
        K_unary_sqrt
        K_unary_abs
        K_unary_square
        K_unary_reciprocal
        K_unary_sign
        K_unary_sin
        K_unary_cos
        K_clip
        K_binary_add
        K_binary_subtract
        K_binary_multiply
        K_binary_divide
        K_binary_power
        K_binary_maximum
        K_binary_minimum
        K_compare_equal
        K_compare_not_equal
        K_compare_less
        K_compare_less_equal
        K_compare_greater
        K_compare_greater_equal
        K_where

# Elements worth about 30 microseconds of one core: arithmetic at the speed of memory, functions in vector code at half
# a nanosecond, powers through the C library at ten.
cdef enum:
    GRAIN_ARITHMETIC = 1 << 16
    GRAIN_VECTOR = 1 << 15
    GRAIN_LIBRARY = 1 << 12

cdef dict UNARY = {
    "negative": (K_unary_negative, GRAIN_ARITHMETIC),
    "exp": (K_unary_exp, GRAIN_VECTOR),
    "log": (K_unary_log, GRAIN_VECTOR),
    "log1p": (K_unary_log1p, GRAIN_VECTOR),
    "sqrt": (K_unary_sqrt, GRAIN_VECTOR),
    "abs": (K_unary_abs, GRAIN_ARITHMETIC),
    "square": (K_unary_square, GRAIN_ARITHMETIC),
    "reciprocal": (K_unary_reciprocal, GRAIN_VECTOR),
    "sign": (K_unary_sign, GRAIN_ARITHMETIC),
    "sin": (K_unary_sin, GRAIN_VECTOR),
    "cos": (K_unary_cos, GRAIN_VECTOR),
}

cdef dict BINARY = {
    "add": (K_binary_add, GRAIN_ARITHMETIC),
    "subtract": (K_binary_subtract, GRAIN_ARITHMETIC),
    "multiply": (K_binary_multiply, GRAIN_ARITHMETIC),
    "divide": (K_binary_divide, GRAIN_VECTOR),
    "power": (K_binary_power, GRAIN_LIBRARY),
    "maximum": (K_binary_maximum, GRAIN_ARITHMETIC),
    "minimum": (K_binary_minimum, GRAIN_ARITHMETIC),
}

cdef dict COMPARE = {
    "equal": K_compare_equal,
    "not_equal": K_compare_not_equal,
    "less": K_compare_less,
    "less_equal": K_compare_less_equal,
    "greater": K_compare_greater,
    "greater_equal": K_compare_greater_equal,
}


cdef int real_of_both(cnp.ndarray a, cnp.ndarray b) except -1:
    cdef int real = real_of(a)
    if real != real_of(b):
        raise TypeError(f"expected two arrays of one type, got {a.dtype} and {b.dtype}")
    return real


def unary(op, x):
    cdef cnp.ndarray x_ = behaved(x), y
    cdef int id, real = real_of(x_)
    cdef Py_ssize_t grain
    cdef map_args m
    cdef list operands = [x_]
    id, grain = UNARY[op]
    y = map_to_new(&m, operands, cnp.PyArray_TYPE(x_))
    parallel(id, real, &m, sizeof(m), cnp.PyArray_SIZE(y), grain, 0)
    return y


def binary(op, a, b):
    cdef cnp.ndarray a_ = behaved(a), b_ = behaved(b), y
    cdef int id, real = real_of_both(a_, b_)
    cdef Py_ssize_t grain
    cdef map_args m
    cdef list operands = [a_, b_]
    id, grain = BINARY[op]
    y = map_to_new(&m, operands, cnp.PyArray_TYPE(a_))
    parallel(id, real, &m, sizeof(m), cnp.PyArray_SIZE(y), grain, 0)
    return y


def compare(op, a, b):
    cdef cnp.ndarray a_ = behaved(a), b_ = behaved(b), y
    cdef int real = real_of_both(a_, b_)
    cdef map_args m
    cdef list operands = [a_, b_]
    y = map_to_new(&m, operands, cnp.NPY_BOOL)
    parallel(COMPARE[op], real, &m, sizeof(m), cnp.PyArray_SIZE(y), GRAIN_ARITHMETIC, 0)
    return y


def where(condition, a, b):
    cdef cnp.ndarray a_ = behaved(a), b_ = behaved(b), condition_ = behaved(condition), y
    cdef int real = real_of_both(a_, b_)
    cdef map_args m
    cdef list operands = [a_, b_, condition_]
    if cnp.PyArray_TYPE(condition_) != cnp.NPY_BOOL:
        raise TypeError(f"where: expected a boolean condition, got {condition_.dtype}")
    y = map_to_new(&m, operands, cnp.PyArray_TYPE(a_))
    parallel(K_where, real, &m, sizeof(m), cnp.PyArray_SIZE(y), GRAIN_ARITHMETIC, 0)
    return y


def clip(x, low, high):
    cdef cnp.ndarray x_ = behaved(x), y
    cdef int real = real_of(x_)
    cdef map_args m
    cdef list operands = [x_]
    y = map_to_new(&m, operands, cnp.PyArray_TYPE(x_))
    m.p = -INFINITY if low is None else low
    m.q = INFINITY if high is None else high
    parallel(K_clip, real, &m, sizeof(m), cnp.PyArray_SIZE(y), GRAIN_ARITHMETIC, 0)
    return y


cdef update(str op, int id, target, x):
    """target = target op x, in place; x broadcasts to it."""
    cdef cnp.ndarray x_ = behaved(x), target_
    cdef int real
    cdef map_args m
    cdef list operands
    if not isinstance(target, cnp.ndarray) or not cnp.PyArray_ISWRITEABLE(target):
        raise ValueError("accumulate and scale: the target must be a writable array")
    if not cnp.PyArray_ISCARRAY(target) or np.may_share_memory(target, x_):
        from quernel.kernels.indexing import assign
        assign(target, binary(op, target, x_))
        return
    target_ = target
    real = real_of_both(target_, x_)
    operands = [target_, x_]
    map_onto(&m, target_, operands)
    m.stream = False  # the line is in the cache already
    parallel(id, real, &m, sizeof(m), cnp.PyArray_SIZE(target_), GRAIN_ARITHMETIC, 0)


def accumulate(target, x):
    update("add", K_binary_add, target, x)


def scale(target, x):
    update("multiply", K_binary_multiply, target, x)
