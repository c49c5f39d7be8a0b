"""Parameter updates and gradient clipping: one parallel region for all arrays. See csrc/optim.h."""

cimport numpy as cnp

import numpy as np

from quernel.kernels.launch cimport for_range, kernel_of, launch, parallel
from quernel.kernels.memory cimport new_typed, ready, real_of

cnp.import_array()

__all__ = [
    "sgd_update", "rmsprop_update", "adam_update",
    "clip_by_value", "clip_by_norm", "clip_by_global_norm",
]

cdef extern from "kernels.h":
    ctypedef struct optim_array "struct optim_array":
        void *p
        void *g
        void *state[3]
        Py_ssize_t size
        Py_ssize_t first
    ctypedef struct optim_args "struct optim_args":
        const optim_array *arrays
        Py_ssize_t count
        const double *hyper
    ctypedef struct norm_args "struct norm_args":
        const optim_array *arrays
        Py_ssize_t count
        Py_ssize_t chunks
        double *partial
        double *norm
        double max_norm
        int global_ "global"
    enum:
        OPTIM_CHUNK
        OPTIM_STATES
        K_sgd_update
        K_rmsprop_update
        K_adam_update
        K_clip_by_value
        K_norm_partial
        K_norm_combine
        K_norm_scale

# Elements updated in about 30 microseconds by one core.
cdef enum:
    GRAIN_ELEMENTS = 32768


cdef class Table:
    """The arrays of one call as the kernels see them, all of one real type; lists match one by one.

    Params, states, and gradients without params (which are to be clipped) change in place: what is of another type or
    size, not contiguous or not writable raises before anything changes. Gradients that are only read are copied if
    need be.
    """
    cdef cnp.ndarray memory
    cdef list grads  # keeps the copies alive
    cdef optim_array *rows
    cdef Py_ssize_t count, chunks, grain
    cdef int real

    def __init__(self, params, grads, *states):
        cdef Py_ssize_t i, elements = 0
        cdef int slot
        cdef optim_array *row
        self.grads = list(grads) if params is None else [ready(g) for g in grads]
        self.count = len(self.grads)
        self.real = real_of(self.grads[0]) if self.count else 0
        self.memory = new_typed((self.count * <Py_ssize_t> sizeof(optim_array),), cnp.NPY_UINT8)
        self.rows = <optim_array *> cnp.PyArray_DATA(self.memory)
        for i in range(self.count):
            row = &self.rows[i]
            row.size = cnp.PyArray_SIZE(self.grads[i])
            row.first = self.chunks
            row.g = self.data(self.grads, i, params is None)
            row.p = self.data(params, i, True)
            for slot in range(OPTIM_STATES):
                row.state[slot] = self.data(states[slot], i, True) if slot < len(states) else NULL
            self.chunks += (row.size + OPTIM_CHUNK - 1) // OPTIM_CHUNK
            elements += row.size
        self.grain = 1 + GRAIN_ELEMENTS * self.chunks // (1 + elements)

    cdef void *data(self, arrays, Py_ssize_t i, bint changes) except? NULL:
        """The memory of arrays[i], of the size of the gradient; NULL if there is no such list."""
        cdef cnp.ndarray x
        if arrays is None:
            return NULL
        if len(arrays) != self.count:
            raise ValueError(
                f"optimizer update: expected {self.count} arrays, one for each gradient, got {len(arrays)}"
            )
        x = arrays[i]
        if cnp.PyArray_SIZE(x) != self.rows[i].size or real_of(x) != self.real:
            raise ValueError(
                f"optimizer update: array {i} is {arrays[i].dtype} {arrays[i].shape}, expected one of "
                f"{self.rows[i].size} elements of {np.dtype(np.float64 if self.real else np.float32)}"
            )
        if changes and not cnp.PyArray_ISCARRAY(x):
            raise ValueError(f"optimizer update: array {i} must be contiguous and writable: it changes in place")
        return cnp.PyArray_DATA(x)


cdef int run(int id, Table table, hyper, int expected) except -1:
    cdef cnp.ndarray hyper_ = cnp.PyArray_FROM_OTF(hyper, cnp.NPY_FLOAT64, cnp.NPY_ARRAY_CARRAY_RO)
    cdef optim_args a
    if hyper_.size != expected:
        raise ValueError(f"optimizer update: expected {expected} values in hyper, got {hyper_.size}")
    a.arrays = table.rows
    a.count = table.count
    a.hyper = <const double *> cnp.PyArray_DATA(hyper_)
    return parallel(id, table.real, &a, sizeof(a), table.chunks, table.grain, 0)


def sgd_update(params, grads, velocities, hyper):
    run(K_sgd_update, Table(params, grads, velocities), hyper, 4)


def rmsprop_update(params, grads, squares, momenta, means, hyper):
    run(K_rmsprop_update, Table(params, grads, squares, momenta, means), hyper, 5)


def adam_update(params, grads, m, v, vmax, hyper):
    run(K_adam_update, Table(params, grads, m, v, vmax), hyper, 7)


cdef list by_type(arrays):
    """Tables of the float32 and of the float64 arrays."""
    single = [g for g in arrays if g.dtype == np.float32]
    double = [g for g in arrays if g.dtype != np.float32]
    return [Table(None, single), Table(None, double)]


def clip_by_value(grads, low, high):
    for table in by_type(grads):
        run(K_clip_by_value, table, [low, high], 2)


ctypedef struct clip:
    norm_args of_type[2]  # float32, float64
    Py_ssize_t grain[2]


cdef void run_clip(const void *args) noexcept nogil:
    """Partial sums of squares, norms, scaling. A global norm adds the partials of float32 arrays first."""
    cdef const clip *c = <const clip *> args
    cdef const norm_args *a
    cdef norm_args total
    cdef int real
    for real in range(2):
        a = &c.of_type[real]
        for_range(kernel_of(K_norm_partial, real), a, a.chunks, c.grain[real], 0)
        if not a.global_:
            for_range(kernel_of(K_norm_combine, real), a, a.count, 1 + a.count, 0)
    if c.of_type[0].global_:
        total = c.of_type[0]
        total.chunks += c.of_type[1].chunks
        for_range(kernel_of(K_norm_combine, 0), &total, 1, 1, 0)
    for real in range(2):
        a = &c.of_type[real]
        for_range(kernel_of(K_norm_scale, real), a, a.chunks, c.grain[real], 0)


cdef cnp.ndarray clip_norms(grads, double max_norm, bint together):
    """Clip; returns the norms: one of each array, float32 ones first, or that of all, of shape ()."""
    cdef Table narrow, wide, table
    cdef cnp.ndarray partial, norm
    cdef clip c
    cdef int real
    narrow, wide = by_type(grads)
    partial = new_typed((narrow.chunks + wide.chunks,), cnp.NPY_FLOAT64)
    norm = new_typed(() if together else (narrow.count + wide.count,), cnp.NPY_FLOAT64)
    for real in range(2):
        table = wide if real else narrow
        c.of_type[real].arrays = table.rows
        c.of_type[real].count = table.count
        c.of_type[real].chunks = table.chunks
        c.of_type[real].partial = <double *> cnp.PyArray_DATA(partial) + (narrow.chunks if real else 0)
        c.of_type[real].norm = <double *> cnp.PyArray_DATA(norm)
        if real and not together:
            c.of_type[real].norm += narrow.count
        c.of_type[real].max_norm = max_norm
        c.of_type[real].global_ = together
        c.grain[real] = table.grain
    launch(run_clip, &c, sizeof(c))
    return norm


def clip_by_norm(grads, max_norm):
    clip_norms(grads, max_norm, False)


def clip_by_global_norm(grads, max_norm):
    return clip_norms(grads, max_norm, True)
