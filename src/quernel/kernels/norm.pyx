"""Batch normalisation: sums, a step per channel, and a second pass, each way (csrc/norm.h)."""

cimport numpy as cnp
from libc.stddef cimport size_t

from quernel.kernels.kinds cimport activation_kind
from quernel.kernels.launch cimport for_range, for_range_backwards, kernel_of, launch, out_of_memory, parallel
from quernel.kernels.memory cimport new_array, pool_give, pool_take, ready, real_of

cnp.import_array()

__all__ = [
    "batch_norm_forward_train",
    "batch_norm_forward_inference",
    "batch_norm_backward",
    "batch_norm_update_running",
]

cdef extern from "kernels.h":
    ctypedef struct norm_shape "struct norm_shape":
        Py_ssize_t M, C, R, lines, chunk_lines, chunks, blocks
    ctypedef struct norm_forward_args "struct norm_forward_args":
        void *y
        void *mean
        void *var
        void *inv_std
        double *partial
        void *coefficient
        const void *x
        const void *gamma
        const void *beta
        norm_shape shape
        double epsilon
        int relu, stream
    ctypedef struct norm_backward_args "struct norm_backward_args":
        void *dx
        void *dgamma
        void *dbeta
        double *partial
        void *coefficient
        const void *dy
        const void *x
        const void *y
        const void *gamma
        const void *mean
        const void *inv_std
        norm_shape shape
        int relu, stream
    ctypedef struct norm_running_args "struct norm_running_args":
        void *running_mean
        void *running_var
        const void *mean
        const void *var
        double momentum
    enum:
        K_batch_norm_statistics
        K_batch_norm_finish
        K_batch_norm_coefficients
        K_batch_norm_normalise
        K_batch_norm_backward_sums
        K_batch_norm_backward_finish
        K_batch_norm_backward_apply
        K_batch_norm_running
        NORM_LINE
        NORM_BLOCK
        NORM_CHUNK_MIN
        NORM_CHUNK_MAX
        NORM_CHUNKS_USUAL
        NORM_CHUNKS_MAX
        NORM_SCRATCH_BYTES
        STREAM_BYTES
        ACT_LINEAR
        ACT_RELU

# Elements that take 30 microseconds or so: less is not worth the start of a second thread.
cdef enum:
    GRAIN_ELEMENTS = 1 << 17
# Channels times chunks that the step between the passes does in about 30 microseconds.
cdef enum:
    GRAIN_CHANNELS = 1 << 15

# A struct that a run function gets: the kernels' arguments and which of the two reals.
ctypedef struct forward_run:
    norm_forward_args a
    int real
    int inference
ctypedef struct backward_run:
    norm_backward_args a
    int real


cdef norm_shape shape_of(cnp.ndarray x):
    """How x is cut; see csrc/norm.h."""
    cdef norm_shape s
    cdef int axis
    cdef Py_ssize_t chunk
    s.C = x.shape[x.ndim - 1]
    s.M = 1 if s.C else 0
    for axis in range(x.ndim - 1):
        s.M *= x.shape[axis]
    s.R = 1
    while s.C and s.R * s.C < NORM_LINE:
        s.R *= 2
    s.lines = s.M // s.R
    s.blocks = max(<Py_ssize_t> 1, (s.C + NORM_BLOCK - 1) // NORM_BLOCK)
    chunk = min(max(s.M * s.C // NORM_CHUNKS_USUAL, <Py_ssize_t> NORM_CHUNK_MIN), <Py_ssize_t> NORM_CHUNK_MAX)
    s.chunk_lines = max(1 + chunk // max(<Py_ssize_t> 1, s.R * s.C), 1 + s.lines // NORM_CHUNKS_MAX)
    s.chunks = max(<Py_ssize_t> 1, (s.lines + s.chunk_lines - 1) // s.chunk_lines) if s.M else 0
    return s


cdef int is_relu(str activation) except -1:
    cdef int kind = activation_kind(activation)
    if kind not in (ACT_LINEAR, ACT_RELU):
        raise ValueError(f"batch normalisation takes activation 'linear' or 'relu', got {activation!r}")
    return kind == ACT_RELU


cdef inline Py_ssize_t unit_grain(const norm_shape *s) noexcept nogil:
    return 1 + GRAIN_ELEMENTS // (1 + s.chunk_lines * s.R * s.C // s.blocks)


cdef inline Py_ssize_t channel_grain(const norm_shape *s) noexcept nogil:
    return 1 + GRAIN_CHANNELS // (1 + s.chunks)


cdef void run_forward(const void *args) noexcept nogil:
    cdef const forward_run *run = <const forward_run *> args
    cdef norm_forward_args a = run.a
    cdef Py_ssize_t units = a.shape.chunks * a.shape.blocks
    cdef size_t size = 8 if run.real else 4
    cdef size_t partial_bytes = 0 if run.inference else <size_t> (a.shape.chunks * 3 * a.shape.C) * 8
    cdef char *memory = <char *> pool_take(partial_bytes + <size_t> (3 * a.shape.C) * size)
    if memory == NULL:
        out_of_memory()
        return
    a.partial = <double *> memory
    a.coefficient = memory + partial_bytes
    if run.inference:
        for_range(kernel_of(K_batch_norm_coefficients, run.real), &a, a.shape.C, channel_grain(&a.shape), 0)
    else:
        for_range(kernel_of(K_batch_norm_statistics, run.real), &a, units, unit_grain(&a.shape), NORM_SCRATCH_BYTES)
        for_range(kernel_of(K_batch_norm_finish, run.real), &a, a.shape.C, channel_grain(&a.shape), NORM_SCRATCH_BYTES)
    for_range_backwards(kernel_of(K_batch_norm_normalise, run.real), &a, units, unit_grain(&a.shape),
                        NORM_SCRATCH_BYTES)
    pool_give(memory)


def batch_norm_forward_train(x, gamma, beta, epsilon, activation="linear"):
    cdef cnp.ndarray x_ = ready(x), gamma_, beta_, y, mean, var, inv_std
    cdef forward_run run
    run.real = real_of(x_)
    run.inference = 0
    run.a.shape = shape_of(x_)
    run.a.relu = is_relu(activation)
    run.a.stream = cnp.PyArray_NBYTES(x_) >= STREAM_BYTES
    run.a.epsilon = epsilon
    y = new_array(x.shape, run.real)
    mean = new_array((run.a.shape.C,), run.real)
    var = new_array((run.a.shape.C,), run.real)
    inv_std = new_array((run.a.shape.C,), run.real)
    run.a.y = cnp.PyArray_DATA(y)
    run.a.mean = cnp.PyArray_DATA(mean)
    run.a.var = cnp.PyArray_DATA(var)
    run.a.inv_std = cnp.PyArray_DATA(inv_std)
    run.a.x = cnp.PyArray_DATA(x_)
    run.a.gamma = run.a.beta = NULL
    if gamma is not None:
        gamma_ = ready(gamma)
        run.a.gamma = cnp.PyArray_DATA(gamma_)
    if beta is not None:
        beta_ = ready(beta)
        run.a.beta = cnp.PyArray_DATA(beta_)
    launch(run_forward, &run, sizeof(run))
    return y, mean, var, inv_std


def batch_norm_forward_inference(x, gamma, beta, mean, var, epsilon, activation="linear"):
    cdef cnp.ndarray x_ = ready(x), gamma_, beta_, mean_ = ready(mean), var_ = ready(var), y
    cdef forward_run run
    run.real = real_of(x_)
    run.inference = 1
    run.a.shape = shape_of(x_)
    run.a.relu = is_relu(activation)
    run.a.stream = cnp.PyArray_NBYTES(x_) >= STREAM_BYTES
    run.a.epsilon = epsilon
    y = new_array(x.shape, run.real)
    run.a.y = cnp.PyArray_DATA(y)
    run.a.mean = cnp.PyArray_DATA(mean_)
    run.a.var = cnp.PyArray_DATA(var_)
    run.a.inv_std = NULL
    run.a.x = cnp.PyArray_DATA(x_)
    run.a.gamma = run.a.beta = NULL
    if gamma is not None:
        gamma_ = ready(gamma)
        run.a.gamma = cnp.PyArray_DATA(gamma_)
    if beta is not None:
        beta_ = ready(beta)
        run.a.beta = cnp.PyArray_DATA(beta_)
    launch(run_forward, &run, sizeof(run))
    return y


cdef void run_backward(const void *args) noexcept nogil:
    cdef const backward_run *run = <const backward_run *> args
    cdef norm_backward_args a = run.a
    cdef Py_ssize_t units = a.shape.chunks * a.shape.blocks
    cdef size_t size = 8 if run.real else 4
    cdef size_t partial_bytes = <size_t> (a.shape.chunks * 2 * a.shape.C) * 8
    cdef char *memory = <char *> pool_take(partial_bytes + <size_t> (4 * a.shape.C) * size)
    if memory == NULL:
        out_of_memory()
        return
    a.partial = <double *> memory
    a.coefficient = memory + partial_bytes
    for_range(kernel_of(K_batch_norm_backward_sums, run.real), &a, units, unit_grain(&a.shape), NORM_SCRATCH_BYTES)
    for_range(kernel_of(K_batch_norm_backward_finish, run.real), &a, a.shape.C, channel_grain(&a.shape),
              NORM_SCRATCH_BYTES)
    for_range_backwards(kernel_of(K_batch_norm_backward_apply, run.real), &a, units, unit_grain(&a.shape),
                        NORM_SCRATCH_BYTES)
    pool_give(memory)


def batch_norm_backward(dy, x, y, gamma, mean, inv_std, activation="linear"):
    cdef cnp.ndarray dy_ = ready(dy), x_ = ready(x), y_, gamma_, mean_ = ready(mean), inv_std_ = ready(inv_std)
    cdef cnp.ndarray dx, dgamma, dbeta
    cdef backward_run run
    run.real = real_of(x_)
    run.a.shape = shape_of(x_)
    run.a.relu = is_relu(activation)
    run.a.stream = cnp.PyArray_NBYTES(x_) >= STREAM_BYTES
    dx = new_array(x.shape, run.real)
    dgamma = new_array((run.a.shape.C,), run.real)
    dbeta = new_array((run.a.shape.C,), run.real)
    run.a.dx = cnp.PyArray_DATA(dx)
    run.a.dgamma = cnp.PyArray_DATA(dgamma)
    run.a.dbeta = cnp.PyArray_DATA(dbeta)
    run.a.dy = cnp.PyArray_DATA(dy_)
    run.a.x = cnp.PyArray_DATA(x_)
    run.a.mean = cnp.PyArray_DATA(mean_)
    run.a.inv_std = cnp.PyArray_DATA(inv_std_)
    run.a.y = run.a.gamma = NULL
    if run.a.relu:
        y_ = ready(y)
        run.a.y = cnp.PyArray_DATA(y_)
    if gamma is not None:
        gamma_ = ready(gamma)
        run.a.gamma = cnp.PyArray_DATA(gamma_)
    launch(run_backward, &run, sizeof(run))
    return dx, dgamma, dbeta


def batch_norm_update_running(running_mean, running_var, mean, var, momentum):
    cdef cnp.ndarray running_mean_ = running_mean, running_var_ = running_var, mean_ = ready(mean), var_ = ready(var)
    cdef norm_running_args a
    for running in (running_mean_, running_var_):
        if not cnp.PyArray_ISCARRAY(running):
            raise ValueError("batch_norm_update_running: running statistics must be contiguous and writable, as they "
                             "are updated in place; pass np.ascontiguousarray copies and keep them")
    a.running_mean = cnp.PyArray_DATA(running_mean_)
    a.running_var = cnp.PyArray_DATA(running_var_)
    a.mean = cnp.PyArray_DATA(mean_)
    a.var = cnp.PyArray_DATA(var_)
    a.momentum = momentum
    parallel(K_batch_norm_running, real_of(running_mean_), &a, sizeof(a), running_mean_.shape[0], GRAIN_CHANNELS, 0)
