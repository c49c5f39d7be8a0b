"""Softmax, log-softmax and softmax cross-entropy: one row is one unit of work. See csrc/softmax.h."""

cimport numpy as cnp
from libc.stddef cimport size_t
from libc.stdint cimport int64_t

import numpy as np

from quernel.kernels.launch cimport parallel
from quernel.kernels.memory cimport new_array, ready, real_of

cnp.import_array()

__all__ = [
    "softmax_forward", "softmax_backward", "log_softmax_forward", "log_softmax_backward",
    "softmax_xent_forward", "softmax_xent_gradient",
    "softmax_xent_soft_forward", "softmax_xent_soft_gradient",
]

cdef extern from "kernels.h":
    ctypedef struct softmax_args "struct softmax_args":
        void *y_rc
        const void *x_rc
        Py_ssize_t C
    ctypedef struct softmax_backward_args "struct softmax_backward_args":
        void *dx_rc
        const void *dy_rc
        const void *y_rc
        Py_ssize_t C
    ctypedef struct softmax_xent_args "struct softmax_xent_args":
        void *loss_r
        void *dx_rc
        const void *x_rc
        const int64_t *label_r
        const void *t_rc
        const void *w_c
        const void *v_r
        Py_ssize_t C
        double smoothing
        double scale
        int64_t ignore
        int has_ignore
    enum:
        K_softmax_forward
        K_softmax_backward
        K_log_softmax_forward
        K_log_softmax_backward
        K_softmax_xent
        STREAM_BYTES

# Elements whose exp takes about 30 microseconds of one core; a row costs about 16 of them beside its own.
cdef enum:
    GRAIN_ELEMENTS = 1 << 16
    ROW_COST = 16
cdef enum:
    CACHE_LINE = 64


cdef Py_ssize_t grain_of(Py_ssize_t C) noexcept:
    return 1 + GRAIN_ELEMENTS // (C + ROW_COST)


cdef forward(int id, x):
    cdef cnp.ndarray x_ = ready(x), y
    cdef int real = real_of(x_)
    cdef Py_ssize_t R = x_.shape[0]
    cdef softmax_args a
    a.C = x_.shape[1]
    y = new_array((R, a.C), real)
    a.y_rc = cnp.PyArray_DATA(y)
    a.x_rc = cnp.PyArray_DATA(x_)
    parallel(id, real, &a, sizeof(a), R, grain_of(a.C), 0)
    return y


cdef backward(int id, dy, y):
    cdef cnp.ndarray dy_ = ready(dy), y_ = ready(y), dx
    cdef int real = real_of(y_)
    cdef Py_ssize_t R = y_.shape[0]
    cdef softmax_backward_args a
    a.C = y_.shape[1]
    dx = new_array((R, a.C), real)
    a.dx_rc = cnp.PyArray_DATA(dx)
    a.dy_rc = cnp.PyArray_DATA(dy_)
    a.y_rc = cnp.PyArray_DATA(y_)
    parallel(id, real, &a, sizeof(a), R, grain_of(a.C), 0)
    return dx


def softmax_forward(x):
    return forward(K_softmax_forward, x)


def softmax_backward(dy, y):
    return backward(K_softmax_backward, dy, y)


def log_softmax_forward(x):
    return forward(K_log_softmax_forward, x)


def log_softmax_backward(dy, y):
    return backward(K_log_softmax_backward, dy, y)


cdef void *data(cnp.ndarray x):
    return NULL if x is None else cnp.PyArray_DATA(x)


cdef cnp.ndarray ready_labels(x):
    """x as an aligned C-contiguous array of int64."""
    if isinstance(x, cnp.ndarray) and cnp.PyArray_TYPE(x) == cnp.NPY_INT64 and cnp.PyArray_ISCARRAY_RO(x):
        return x
    return np.require(x, np.int64, "CA")


cdef xent(bint gradient, logits, labels, soft, class_weight, ignore_index, double label_smoothing, row_weight,
          double scale):
    """The loss of each row, and with `gradient` that of the logits; labels or soft is None, weights may be."""
    cdef cnp.ndarray x = ready(logits), loss, dx = None
    cdef cnp.ndarray labels_ = None if labels is None else ready_labels(labels)
    cdef cnp.ndarray soft_ = None if soft is None else ready(soft)
    cdef cnp.ndarray w = None if class_weight is None else ready(class_weight)
    cdef cnp.ndarray v = None if row_weight is None else ready(row_weight)
    cdef int real = real_of(x)
    cdef Py_ssize_t R = x.shape[0]
    cdef softmax_xent_args a
    cdef size_t scratch = 0
    a.C = x.shape[1]
    loss = new_array((R,), real)
    if gradient:
        dx = new_array((R, a.C), real)
        if cnp.PyArray_NBYTES(dx) >= STREAM_BYTES:
            scratch = 2 * (a.C * cnp.PyArray_ITEMSIZE(dx) + CACHE_LINE)
    a.loss_r = data(loss)
    a.dx_rc = data(dx)
    a.x_rc = data(x)
    a.label_r = <const int64_t *> data(labels_)
    a.t_rc = data(soft_)
    a.w_c = data(w)
    a.v_r = data(v)
    a.smoothing = label_smoothing
    a.scale = scale
    a.has_ignore = ignore_index is not None
    a.ignore = 0 if ignore_index is None else ignore_index
    parallel(K_softmax_xent, real, &a, sizeof(a), R, grain_of(a.C), scratch)
    return (loss, dx) if gradient else loss


def softmax_xent_forward(logits, target, class_weight, ignore_index, label_smoothing, row_weight, scale):
    return xent(
        False, logits, target, None, class_weight, ignore_index, label_smoothing, row_weight, scale
    )


def softmax_xent_gradient(logits, target, class_weight, ignore_index, label_smoothing, row_weight, scale):
    return xent(
        True, logits, target, None, class_weight, ignore_index, label_smoothing, row_weight, scale
    )


def softmax_xent_soft_forward(logits, target, class_weight, label_smoothing, row_weight, scale):
    return xent(False, logits, None, target, class_weight, None, label_smoothing, row_weight, scale)


def softmax_xent_soft_gradient(logits, target, class_weight, label_smoothing, row_weight, scale):
    return xent(True, logits, None, target, class_weight, None, label_smoothing, row_weight, scale)
