"""LSTM: one product for what does not depend on the state, then every thread takes its rows through all steps."""

import numpy as np

cimport numpy as cnp
from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from quernel.kernels.gemm cimport gemm_combine_args, gemm_pack_args, product, run_product
from quernel.kernels.launch cimport (
    RUN_ROUSE, ceil_div, for_range, kernel_of, launch, out_of_memory, run_ranges, table, thread_limit,
)
from quernel.kernels.memory cimport new_array, pool_give, pool_take, ready, real_of

cnp.import_array()

__all__ = ["lstm_backward", "lstm_cell_backward", "lstm_cell_forward", "lstm_forward"]

cdef extern from "kernels.h":
    ctypedef struct lstm_forward_args "struct lstm_forward_args":
        void *h_seq
        void *c_seq
        void *h
        void *c
        void *gates
        const void *recurrent
        const int64_t *lengths
        Py_ssize_t T, U
        int packed, reverse
    ctypedef struct lstm_units_args "struct lstm_units_args":
        void *h_next
        lstm_forward_args rows
        Py_ssize_t N, step
    ctypedef struct lstm_backward_args "struct lstm_backward_args":
        void *dz
        void *xh
        void *dbias_n
        void *dh
        void *dc
        const void *dh_seq
        const void *x
        const void *h0
        const void *c0
        const void *h_seq
        const void *gates
        const void *c_seq
        const void *recurrent_transposed
        const int64_t *lengths
        Py_ssize_t T, C, U
        int reverse
    Py_ssize_t LSTM_SCRATCH(Py_ssize_t U) nogil
    enum:
        K_gemm_combine
        K_gemm_pack
        K_lstm_backward
        K_lstm_forward
        K_lstm_forward_units
        LSTM_ROWS

# Multiply-adds worth about 30 microseconds of one core (as in gemm), and elements copied in that time.
cdef enum:
    GRAIN_WORK = 1 << 20
    GRAIN_COPY = 1 << 16

# Up to this many tiles' height of rows times steps the recurrent weights are read too few times to be worth packing; up
# to this many steps of a single row, if it reads them by whole lines: 256 units, 64 steps, 0.97 ms instead of 1.05.
cdef enum:
    FEW_ROWS = 2
    IN_PLACE_STEPS = 64

# Fewer rows than this for each thread: threads share the hidden units of a step instead, unless a step has fewer
# multiply-adds than some 10 microseconds are worth, of which a launch takes 1 to 3.
cdef enum:
    ROWS_PER_THREAD = 2
    STEP_WORK = 1 << 18

cdef struct forward_run:
    lstm_forward_args rows
    const void *x
    const void *kernel
    const void *recurrent
    const void *bias
    const void *h0
    const void *c0
    Py_ssize_t N, C
    int real

cdef struct backward_run:
    lstm_backward_args rows
    void *dx
    void *dweights  # (C + U, Z): of the kernel, then of the recurrent kernel
    void *dbias
    const void *kernel
    const void *recurrent
    const void *dh_n
    const void *dc_n
    Py_ssize_t N
    int real


cdef Py_ssize_t rows_per_range(Py_ssize_t N, Py_ssize_t T, Py_ssize_t U) noexcept nogil:
    """Equal shares for all threads in blocks of at most LSTM_ROWS, none too small to be worth a thread.

    Every range reads the recurrent weights once a step, hence one block a thread where that is enough. The cut may
    follow the number of threads because a row does not feel its neighbours.
    """
    cdef Py_ssize_t threads = thread_limit()
    cdef Py_ssize_t blocks = threads * max(<Py_ssize_t> 1, ceil_div(N, threads * LSTM_ROWS))
    return max(ceil_div(N, blocks), ceil_div(GRAIN_WORK, 1 + 4 * T * U * U))


cdef Py_ssize_t panels_per_range(Py_ssize_t N, Py_ssize_t U, int real) noexcept nogil:
    """Equal shares of a step's hidden units for all threads, in panels; 0: threads share the rows."""
    cdef Py_ssize_t threads = thread_limit(), cols = table.tile_cols[real]
    if N >= ROWS_PER_THREAD * threads or N > LSTM_ROWS or threads == 1 or U % cols or 4 * N * U * U < STEP_WORK:
        return 0
    return ceil_div(U // cols, threads)


cdef void run_steps(const lstm_forward_args *rows, Py_ssize_t N, Py_ssize_t length, int real) noexcept nogil:
    """Step by step, each in ranges of `length` panels of hidden units.

    Every thread takes the same part of each step first, and finds its part of the weights in its cache.
    """
    cdef Py_ssize_t step, U = rows.U
    cdef size_t size = 8 if real else 4, states = <size_t> (N * U) * size
    cdef void *before = rows.h
    cdef void *after = pool_take(states)
    cdef lstm_units_args a
    if after == NULL:
        out_of_memory()
        return
    a.rows = rows[0]
    a.N = N
    for step in range(rows.T):
        a.rows.h = before
        a.h_next = after
        a.step = step
        run_ranges(kernel_of(K_lstm_forward_units, real), &a, U // table.tile_cols[real], length, RUN_ROUSE,
                   <size_t> LSTM_SCRATCH(U) * size)
        before, after = after, before
    if before != rows.h:
        memcpy(rows.h, before, states)
        after = before
    pool_give(after)


cdef void *packed(const void *b, Py_ssize_t b_k, Py_ssize_t b_n, Py_ssize_t K, Py_ssize_t N, int real) noexcept nogil:
    """B (K, N) in panels of one tile's width, from the pool; NULL if there is no memory."""
    cdef Py_ssize_t cols = table.tile_cols[real], panels = ceil_div(N, cols)
    cdef gemm_pack_args pack
    pack.packed = pool_take(<size_t> (panels * cols * K) * (8 if real else 4))
    if pack.packed == NULL:
        out_of_memory()
        return NULL
    pack.b = b
    pack.b_batch = 0
    pack.b_k = b_k
    pack.b_n = b_n
    pack.K = K
    pack.N = N
    for_range(kernel_of(K_gemm_pack, real), &pack, panels, 1 + GRAIN_COPY // (1 + K * cols), 0)
    return pack.packed


cdef product plain_product(void *c, const void *a, const void *b, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
                           int real) noexcept nogil:
    """c (M, N) = a (M, K) b (K, N), all contiguous; the caller changes what differs."""
    cdef product p
    p.c = c
    p.a = a
    p.b = b
    p.bias = NULL
    p.batch = 1
    p.c_batch = p.a_batch = p.b_batch = 0
    p.M = M
    p.N = N
    p.K = K
    p.c_m = N
    p.a_m = K
    p.a_k = 1
    p.b_k = N
    p.b_n = 1
    p.real = real
    p.add = 0
    p.activation = 0
    p.alpha = 0
    return p


cdef void run_forward(const void *args) noexcept nogil:
    cdef const forward_run *f = <const forward_run *> args
    cdef lstm_forward_args rows = f.rows
    cdef Py_ssize_t T = rows.T, U = rows.U
    cdef size_t size = 8 if f.real else 4
    cdef void *panels = NULL
    cdef Py_ssize_t shared = panels_per_range(f.N, U, f.real)
    # A vector is a line of the cache: only then are rows in place read as fast as panels.
    cdef bint whole_lines = table.lanes[f.real] * size == 64 and <size_t> f.recurrent % 64 == 0
    rows.packed = f.N * T > (IN_PLACE_STEPS if f.N == 1 and whole_lines else FEW_ROWS * table.tile_rows[f.real])
    rows.packed |= 4 * U % table.tile_cols[f.real] != 0
    rows.recurrent = f.recurrent
    if rows.packed:
        rows.recurrent = panels = packed(f.recurrent, 4 * U, 1, U, 4 * U, f.real)
        if panels == NULL:
            return
    memcpy(rows.h, f.h0, <size_t> (f.N * U) * size)
    memcpy(rows.c, f.c0, <size_t> (f.N * U) * size)
    cdef product p = plain_product(rows.gates, f.x, f.kernel, f.N * T, 4 * U, f.C, f.real)
    p.bias = f.bias
    run_product(&p)
    if shared:
        run_steps(&rows, f.N, shared, f.real)
    else:
        run_ranges(kernel_of(K_lstm_forward, f.real), &rows, f.N, rows_per_range(f.N, T, U), RUN_ROUSE,
                   LSTM_SCRATCH(U) * size)
    if panels != NULL:
        pool_give(panels)


cdef void run_backward(const void *args) noexcept nogil:
    cdef const backward_run *f = <const backward_run *> args
    cdef lstm_backward_args rows = f.rows
    cdef Py_ssize_t N = f.N, T = rows.T, C = rows.C, U = rows.U, Z = 4 * rows.U
    cdef size_t size = 8 if f.real else 4
    cdef gemm_combine_args sum_n
    cdef product p
    cdef void *recurrent = packed(f.recurrent, 1, Z, Z, U, f.real)
    rows.dz = pool_take(<size_t> (N * T * Z) * size)
    rows.xh = pool_take(<size_t> (N * T * (C + U)) * size)
    rows.dbias_n = pool_take(<size_t> (N * Z) * size)
    if recurrent == NULL or rows.dz == NULL or rows.xh == NULL or rows.dbias_n == NULL:
        out_of_memory()
    else:
        rows.recurrent_transposed = recurrent
        memcpy(rows.dh, f.dh_n, <size_t> (N * U) * size)
        memcpy(rows.dc, f.dc_n, <size_t> (N * U) * size)
        run_ranges(kernel_of(K_lstm_backward, f.real), &rows, N, rows_per_range(N, T, U), RUN_ROUSE,
                   LSTM_SCRATCH(U) * size)

        p = plain_product(f.dx, rows.dz, f.kernel, N * T, C, Z, f.real)  # dz kernel'
        p.b_k = 1
        p.b_n = Z
        run_product(&p)
        p = plain_product(f.dweights, rows.xh, rows.dz, C + U, Z, N * T, f.real)  # [x h]' dz
        p.a_m = 1
        p.a_k = C + U
        run_product(&p)
        sum_n.c = f.dbias
        sum_n.partial = rows.dbias_n
        sum_n.bias = NULL
        sum_n.c_m = sum_n.N = sum_n.slice = Z
        sum_n.slices = N
        sum_n.add = sum_n.activation = 0
        sum_n.alpha = 0
        for_range(kernel_of(K_gemm_combine, f.real), &sum_n, 1, 1, 0)
    if recurrent != NULL:
        pool_give(recurrent)
    if rows.dz != NULL:
        pool_give(rows.dz)
    if rows.xh != NULL:
        pool_give(rows.xh)
    if rows.dbias_n != NULL:
        pool_give(rows.dbias_n)


def lstm_forward(x, kernel, recurrent_kernel, bias, h0, c0, lengths, reverse):
    cdef cnp.ndarray x_ = ready(x), kernel_ = ready(kernel), recurrent_ = ready(recurrent_kernel)
    cdef cnp.ndarray h0_ = ready(h0), c0_ = ready(c0)
    cdef cnp.ndarray bias_, lengths_, h_seq, h, c, gates, c_seq
    cdef forward_run f
    cdef Py_ssize_t T = x_.shape[1], U = recurrent_.shape[0]
    f.N = x_.shape[0]
    f.C = x_.shape[2]
    f.real = real_of(x_)
    h_seq = new_array((f.N, T, U), f.real)
    h = new_array((f.N, U), f.real)
    c = new_array((f.N, U), f.real)
    gates = new_array((f.N, T, 4 * U), f.real)
    c_seq = new_array((f.N, T, U), f.real)
    f.rows.h_seq = cnp.PyArray_DATA(h_seq)
    f.rows.c_seq = cnp.PyArray_DATA(c_seq)
    f.rows.h = cnp.PyArray_DATA(h)
    f.rows.c = cnp.PyArray_DATA(c)
    f.rows.gates = cnp.PyArray_DATA(gates)
    f.rows.lengths = NULL
    if lengths is not None:
        lengths_ = np.require(lengths, np.int64, "CA")
        f.rows.lengths = <const int64_t *> cnp.PyArray_DATA(lengths_)
    f.rows.T = T
    f.rows.U = U
    f.rows.reverse = reverse
    f.x = cnp.PyArray_DATA(x_)
    f.kernel = cnp.PyArray_DATA(kernel_)
    f.recurrent = cnp.PyArray_DATA(recurrent_)
    f.bias = NULL
    if bias is not None:
        bias_ = ready(bias)
        f.bias = cnp.PyArray_DATA(bias_)
    f.h0 = cnp.PyArray_DATA(h0_)
    f.c0 = cnp.PyArray_DATA(c0_)
    launch(run_forward, &f, sizeof(f))
    return h_seq, h, c, gates, c_seq


def lstm_backward(dh_seq, dh_n, dc_n, x, kernel, recurrent_kernel, h0, c0, h_seq, gates, c_seq, lengths, reverse):
    cdef cnp.ndarray dh_n_ = ready(dh_n), dc_n_ = ready(dc_n), x_ = ready(x), kernel_ = ready(kernel)
    cdef cnp.ndarray recurrent_ = ready(recurrent_kernel), h0_ = ready(h0), c0_ = ready(c0), h_seq_ = ready(h_seq)
    cdef cnp.ndarray gates_ = ready(gates), c_seq_ = ready(c_seq)
    cdef cnp.ndarray dh_seq_, lengths_, dx, dweights, dbias, dh, dc
    cdef backward_run f
    cdef Py_ssize_t T = x_.shape[1], C = x_.shape[2], U = recurrent_.shape[0]
    f.N = x_.shape[0]
    f.real = real_of(x_)
    dx = new_array((f.N, T, C), f.real)
    dweights = new_array((C + U, 4 * U), f.real)
    dbias = new_array((4 * U,), f.real)
    dh = new_array((f.N, U), f.real)
    dc = new_array((f.N, U), f.real)
    f.dx = cnp.PyArray_DATA(dx)
    f.dweights = cnp.PyArray_DATA(dweights)
    f.dbias = cnp.PyArray_DATA(dbias)
    f.rows.dz = f.rows.xh = f.rows.dbias_n = NULL
    f.rows.dh = cnp.PyArray_DATA(dh)
    f.rows.dc = cnp.PyArray_DATA(dc)
    f.rows.dh_seq = NULL
    if dh_seq is not None:
        dh_seq_ = ready(dh_seq)
        f.rows.dh_seq = cnp.PyArray_DATA(dh_seq_)
    f.rows.x = cnp.PyArray_DATA(x_)
    f.rows.h0 = cnp.PyArray_DATA(h0_)
    f.rows.c0 = cnp.PyArray_DATA(c0_)
    f.rows.h_seq = cnp.PyArray_DATA(h_seq_)
    f.rows.gates = cnp.PyArray_DATA(gates_)
    f.rows.c_seq = cnp.PyArray_DATA(c_seq_)
    f.rows.recurrent_transposed = NULL
    f.rows.lengths = NULL
    if lengths is not None:
        lengths_ = np.require(lengths, np.int64, "CA")
        f.rows.lengths = <const int64_t *> cnp.PyArray_DATA(lengths_)
    f.rows.T = T
    f.rows.C = C
    f.rows.U = U
    f.rows.reverse = reverse
    f.kernel = cnp.PyArray_DATA(kernel_)
    f.recurrent = cnp.PyArray_DATA(recurrent_)
    f.dh_n = cnp.PyArray_DATA(dh_n_)
    f.dc_n = cnp.PyArray_DATA(dc_n_)
    launch(run_backward, &f, sizeof(f))
    return dx, dweights[:C], dweights[C:], dbias, dh, dc


def lstm_cell_forward(x, h, c, kernel, recurrent_kernel, bias):
    _, h_new, c_new, gates, _ = lstm_forward(x[:, None], kernel, recurrent_kernel, bias, h, c, None, False)
    return h_new, c_new, gates[:, 0]


def lstm_cell_backward(dh_new, dc_new, x, h, c, c_new, gates, kernel, recurrent_kernel):
    """One step: its h came from no earlier step, so that h_seq (c_new stands in for it) is not read."""
    step = c_new[:, None]
    dx, dkernel, drecurrent_kernel, dbias, dh, dc = lstm_backward(
        None, dh_new, dc_new, x[:, None], kernel, recurrent_kernel, h, c, step, gates[:, None], step, None, False
    )
    return dx[:, 0], dh, dc, dkernel, drecurrent_kernel, dbias
