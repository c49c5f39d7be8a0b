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
    "softmax_xent_forward", "softmax_xent_backward",
    "softmax_xent_soft_forward", "softmax_xent_soft_backward",
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
        void *lse_r
        void *dx_rc
        const void *x_rc
        const void *dloss_r
        const int64_t *label_r
        const void *t_rc
        const void *w_c
        Py_ssize_t C
        double smoothing
        int64_t ignore
        int has_ignore
    enum:
        K_softmax_forward
        K_softmax_backward
        K_log_softmax_forward
        K_log_softmax_backward
        K_softmax_xent_forward
        K_softmax_xent_backward
        K_softmax_xent_soft_forward
        K_softmax_xent_soft_backward
        STREAM_BYTES

# Elements whose exp takes about 30 microseconds of one core; a row costs about 16 of them beside its own.
cdef enum:
    GRAIN_ELEMENTS = 1 << 16
    ROW_COST = 16


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


cdef run_xent(int id, cnp.ndarray loss, cnp.ndarray lse, cnp.ndarray dx, cnp.ndarray dloss, cnp.ndarray x,
              labels, soft, class_weight, ignore_index, double label_smoothing):
    """Any of the four cross-entropy kernels; what a kernel does not use is None."""
    cdef cnp.ndarray labels_ = None if labels is None else np.require(labels, np.int64, "CA")
    cdef cnp.ndarray soft_ = None if soft is None else ready(soft)
    cdef cnp.ndarray w = None if class_weight is None else ready(class_weight)
    cdef softmax_xent_args a
    cdef size_t scratch = 0
    a.loss_r = data(loss)
    a.lse_r = data(lse)
    a.dx_rc = data(dx)
    a.x_rc = data(x)
    a.dloss_r = data(dloss)
    a.label_r = <const int64_t *> data(labels_)
    a.t_rc = data(soft_)
    a.w_c = data(w)
    a.C = x.shape[1]
    a.smoothing = label_smoothing
    a.has_ignore = ignore_index is not None
    a.ignore = 0 if ignore_index is None else ignore_index
    if dx is not None and cnp.PyArray_NBYTES(dx) >= STREAM_BYTES:
        scratch = a.C * cnp.PyArray_ITEMSIZE(dx)
    parallel(id, real_of(x), &a, sizeof(a), x.shape[0], grain_of(a.C), scratch)


cdef xent_forward(int id, logits, labels, soft, class_weight, ignore_index, label_smoothing):
    cdef cnp.ndarray x = ready(logits)
    loss, lse = new_array((len(x),), real_of(x)), new_array((len(x),), real_of(x))
    run_xent(id, loss, lse, None, None, x, labels, soft, class_weight, ignore_index, label_smoothing)
    return loss, lse


cdef xent_backward(int id, dloss, logits, lse, labels, soft, class_weight, ignore_index, label_smoothing):
    cdef cnp.ndarray x = ready(logits)
    dx = new_array(logits.shape, real_of(x))
    run_xent(
        id, None, ready(lse), dx, ready(dloss), x, labels, soft, class_weight, ignore_index, label_smoothing
    )
    return dx


def softmax_xent_forward(logits, target, class_weight, ignore_index, label_smoothing):
    return xent_forward(
        K_softmax_xent_forward, logits, target, None, class_weight, ignore_index, label_smoothing
    )


def softmax_xent_backward(dloss, logits, lse, target, class_weight, ignore_index, label_smoothing):
    return xent_backward(
        K_softmax_xent_backward, dloss, logits, lse, target, None, class_weight, ignore_index, label_smoothing
    )


def softmax_xent_soft_forward(logits, target, class_weight, label_smoothing):
    return xent_forward(
        K_softmax_xent_soft_forward, logits, None, target, class_weight, None, label_smoothing
    )


def softmax_xent_soft_backward(dloss, logits, lse, target, class_weight, label_smoothing):
    return xent_backward(
        K_softmax_xent_soft_backward, dloss, logits, lse, None, target, class_weight, None, label_smoothing
    )
