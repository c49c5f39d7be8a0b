"""Matrix products: blocking and packing around the C tile.

B is packed into panels of one tile's width: all of it first where many blocks of rows use it, else each block packs the
panel it comes to; for a few rows B is read as it stands. A is copied block by block where its stride would send
neighbouring rows to one cache set. Where the output has few blocks and the sum is long (gradients of weights), the sum
is cut into slices with a partial result each, added in order. All of this follows from shapes
alone; and each output is one chain of multiply-adds whose blocks depend on K only, so that a row of the result does
not depend on how many rows there are.
"""

cimport numpy as cnp
from libc.stddef cimport size_t

from quernel.kernels.kinds cimport activation_kind
from quernel.kernels.launch cimport ceil_div, for_range, kernel_of, launch, out_of_memory, table
from quernel.kernels.memory cimport new_array, pool_give, pool_take, ready, real_of

cnp.import_array()

__all__ = ["matmul", "dense_forward"]

cdef extern from "kernels.h":
    ctypedef struct gemm_args "struct gemm_args":
        void *c
        const void *a
        const void *b
        const void *bias
        Py_ssize_t c_batch, c_slice, c_m, a_batch, a_m, a_k, b_batch, b_k, b_n, M, N, K
        Py_ssize_t row_block, col_block, k_block, k_slice, slices
        int b_from, copy_a, add, activation
        double alpha
    enum:
        K_gemm_pack
        K_gemm_block
        K_gemm_combine
        GEMM_B_PACKED
        GEMM_B_IN_PLACE
        GEMM_B_BY_BLOCK
        GEMM_K_BLOCK
        GEMM_K_STREAM
        GEMM_SKEW_BYTES

# Multiply-adds worth about 20 microseconds of one core.
cdef enum:
    GRAIN_WORK = 1 << 20
# Elements copied in about 30 microseconds.
cdef enum:
    GRAIN_COPY = 1 << 16
# Tiles per block of rows: 12 x 14 rows x 512 floats = 344 KB, within a second-level cache.
cdef enum:
    TILES_PER_BLOCK = 12
    TURNED_TILES_PER_BLOCK = 24  # of a transposed A (gradients of weights): each block packs B anew
# For few blocks of rows B is read as it stands if it is no larger: it stays in the caches and the translation buffer.
# But where its rows begin in one set of the first-level cache, by so many tiles of rows at most (AVX2, 64x64 @ 64x8192,
# 11 tiles: 1.20 ms in place, 0.72 packed).
cdef enum:
    IN_PLACE_BYTES = 2 << 20
    ONE_SET_BYTES = 4096
    ONE_SET_TILES = 5
# Fewer blocks of rows than this: a sum is cut into slices if each is left so long, else columns are cut into blocks.
cdef enum:
    FEW_BLOCKS = 8
    SLICE_MIN = 2048
# Up to so many rows go by tiles of several panels. Blocks of columns are whole tiles of one row.
cdef enum:
    FEW_ROWS = 3
    WIDE_PANELS = 4
# For these few rows a B of more than STREAM_B bytes, which comes from memory, is read along its rows, by blocks of at
# least STREAM_COLS columns: what memory and the hardware's prefetchers do best.
cdef enum:
    STREAM_B = 16 << 20
    STREAM_COLS = 1024


cdef void run_product(const void *args) noexcept nogil:
    """See `product` in gemm.pxd."""
    cdef const product *p = <const product *> args
    cdef int tile_rows = table.tile_rows[p.real], tile_cols = table.tile_cols[p.real]
    cdef size_t size = 8 if p.real else 4
    cdef Py_ssize_t panels = ceil_div(p.N, tile_cols), b_matrices = p.batch if p.b_batch else 1
    cdef Py_ssize_t blocks, total, skew = GEMM_SKEW_BYTES // <Py_ssize_t> size, panel_work
    cdef gemm_pack_args pack
    cdef gemm_args g
    cdef gemm_combine_args combine
    cdef void *packed = NULL
    cdef void *partial = NULL
    cdef size_t scratch = 0
    cdef bint streams, few_tiles
    if p.M == 0 or p.N == 0 or p.batch == 0:
        return

    g.c = p.c
    g.a = p.a
    g.bias = p.bias
    g.c_batch = p.c_batch
    g.c_m = p.c_m
    g.a_batch = p.a_batch
    g.a_m = p.a_m
    g.a_k = p.a_k
    g.M = p.M
    g.N = p.N
    g.K = p.K
    g.add = p.add
    g.activation = p.activation
    g.alpha = p.alpha

    g.row_block = tile_rows * (TILES_PER_BLOCK if p.a_k == 1 else TURNED_TILES_PER_BLOCK)
    if p.M > g.row_block:  # equal blocks of whole tiles
        g.row_block = ceil_div(ceil_div(p.M, ceil_div(p.M, g.row_block)), tile_rows) * tile_rows
    # The tile reads contiguous columns: B as it stands serves if its rows are contiguous and it is read too few times
    # to be worth a copy. Where few blocks of rows use a panel, each packs its own part when it comes to it.
    g.b = p.b
    g.b_k = p.b_k
    g.b_n = p.b_n
    g.b_batch = p.b_batch
    scratch = size * <size_t> (GEMM_K_BLOCK * tile_cols)
    few_tiles = p.b_k * <Py_ssize_t> size % ONE_SET_BYTES != 0 or p.M <= ONE_SET_TILES * tile_rows
    if (p.b_n == 1 and p.b_k > 0
            and (p.M <= 2 * tile_rows
                 or (few_tiles and p.M <= g.row_block and p.K * p.b_k * <Py_ssize_t> size <= IN_PLACE_BYTES))):
        g.b_from = GEMM_B_IN_PLACE
    elif p.M <= g.row_block or (p.a_k != 1 and p.K > GEMM_K_BLOCK):
        g.b_from = GEMM_B_BY_BLOCK
    else:
        scratch = 0
        g.b_from = GEMM_B_PACKED
        packed = pool_take(<size_t> (b_matrices * panels * tile_cols * p.K) * size)
        if packed == NULL:
            out_of_memory()
            return
        pack.packed = packed
        pack.b = p.b
        pack.b_batch = p.b_batch
        pack.b_k = p.b_k
        pack.b_n = p.b_n
        pack.K = p.K
        pack.N = p.N
        for_range(kernel_of(K_gemm_pack, p.real), &pack, b_matrices * panels,
                  1 + GRAIN_COPY // (1 + p.K * tile_cols), 0)
        g.b = packed
        g.b_batch = panels * tile_cols * p.K if p.b_batch else 0

    streams = g.b_from == GEMM_B_IN_PLACE and p.M <= FEW_ROWS and <Py_ssize_t> size * p.K * p.N > STREAM_B
    g.k_block = GEMM_K_STREAM if streams else GEMM_K_BLOCK

    # Rows of A a multiple of 4 KiB apart share one cache set, and a transposed A is read across its lines.
    g.copy_a = p.N > tile_cols and ((p.a_k == 1 and (p.a_m * <Py_ssize_t> size) % 1024 == 0 and p.K > 64)
                                    or (p.a_k != 1 and p.M > tile_rows))
    g.col_block = panels * tile_cols
    blocks = ceil_div(p.M, g.row_block) * p.batch
    # Only for a transposed A (gradients of weights): rows of data must not depend on how many stand beside them.
    g.slices = 1
    if p.a_k != 1 and blocks < FEW_BLOCKS and p.batch == 1 and p.K >= 2 * SLICE_MIN:
        g.slices = min(ceil_div(FEW_BLOCKS, blocks), p.K // SLICE_MIN)
    if blocks * g.slices < FEW_BLOCKS:
        g.col_block = max(<Py_ssize_t> 1, ceil_div(panels * blocks * g.slices, FEW_BLOCKS)) * tile_cols
    if p.M <= FEW_ROWS:
        g.col_block = ceil_div(g.col_block, WIDE_PANELS * tile_cols) * WIDE_PANELS * tile_cols
    if streams:
        g.col_block = max(g.col_block, <Py_ssize_t> STREAM_COLS)
    total = blocks * ceil_div(p.N, g.col_block)
    g.k_slice = ceil_div(ceil_div(p.K, g.slices), GEMM_K_BLOCK) * GEMM_K_BLOCK if g.slices > 1 else p.K
    g.slices = max(<Py_ssize_t> 1, ceil_div(p.K, g.k_slice)) if g.k_slice else 1
    g.c_slice = 0
    if g.slices > 1:
        partial = pool_take(<size_t> (g.slices * p.M * p.N) * size)
        if partial == NULL:
            out_of_memory()
            if packed != NULL:
                pool_give(packed)
            return
        g.c = partial
        g.c_slice = p.M * p.N
        g.c_m = p.N
        g.bias = NULL
        g.add = 0
        g.activation = 0
    if g.copy_a:
        scratch += size * <size_t> (max((g.row_block + 2 * skew) * min(p.K, <Py_ssize_t> GEMM_K_BLOCK),
                                        g.row_block * (min(p.K, <Py_ssize_t> GEMM_K_BLOCK) + 2 * skew)))
    panel_work = min(p.M, g.row_block) * min(p.N, g.col_block) * min(p.K, g.k_slice)
    for_range(kernel_of(K_gemm_block, p.real), &g, total * g.slices, 1 + GRAIN_WORK // (1 + panel_work), scratch)
    if g.slices > 1:
        combine.c = p.c
        combine.partial = partial
        combine.bias = p.bias
        combine.c_m = p.c_m
        combine.slice = p.M * p.N
        combine.N = p.N
        combine.slices = g.slices
        combine.add = p.add
        combine.activation = p.activation
        combine.alpha = p.alpha
        for_range(kernel_of(K_gemm_combine, p.real), &combine, p.M, 1 + GRAIN_COPY // (1 + p.N * g.slices), 0)
        pool_give(partial)
    if packed != NULL:
        pool_give(packed)


cdef Py_ssize_t extent(tuple shape) except -1:
    cdef Py_ssize_t product_ = 1
    for n in shape:
        product_ *= n
    return product_


def matmul(a, b, transpose_a=False, transpose_b=False):
    import numpy as np

    cdef cnp.ndarray a_, b_, c
    cdef product p
    lead_a, lead_b = a.shape[:-2], b.shape[:-2]
    lead = lead_a if lead_a == lead_b or not lead_b else lead_b if not lead_a else np.broadcast_shapes(lead_a, lead_b)
    if lead_a and lead_a != lead:
        a = np.broadcast_to(a, lead + a.shape[-2:])
    if lead_b and lead_b != lead:
        b = np.broadcast_to(b, lead + b.shape[-2:])
    a_ = ready(a)
    b_ = ready(b)
    p.real = real_of(a_)
    m, k = a.shape[-2:] if not transpose_a else a.shape[:-3:-1]
    n = b.shape[-2] if transpose_b else b.shape[-1]
    c = new_array((*lead, m, n), p.real)
    p.M = m
    p.N = n
    p.K = k
    p.a_m, p.a_k = (1, m) if transpose_a else (k, 1)
    p.b_k, p.b_n = (1, k) if transpose_b else (n, 1)
    p.batch = extent(lead)
    p.a_batch = p.M * p.K if lead_a else 0
    p.b_batch = p.K * p.N if lead_b else 0
    if p.batch > 1 and not lead_b and not transpose_a:  # one B for all: the batch is more rows
        p.M *= p.batch
        p.batch = 1
    p.c_batch = p.M * p.N
    p.c_m = p.N
    p.c = cnp.PyArray_DATA(c)
    p.a = cnp.PyArray_DATA(a_)
    p.b = cnp.PyArray_DATA(b_)
    p.bias = NULL
    p.add = 0
    p.activation = 0
    p.alpha = 0
    launch(run_product, &p, sizeof(p))
    return c


def dense_forward(x, kernel, bias, activation="linear", alpha=0.0):
    cdef cnp.ndarray x_ = ready(x), kernel_ = ready(kernel), bias_, y
    cdef product p
    p.real = real_of(x_)
    p.M = x_.shape[0]
    p.K = x_.shape[1]
    p.N = kernel_.shape[1]
    y = new_array((p.M, p.N), p.real)
    p.c = cnp.PyArray_DATA(y)
    p.a = cnp.PyArray_DATA(x_)
    p.b = cnp.PyArray_DATA(kernel_)
    p.bias = NULL
    if bias is not None:
        bias_ = ready(bias)
        p.bias = cnp.PyArray_DATA(bias_)
    p.batch = 1
    p.c_batch = p.a_batch = p.b_batch = 0
    p.c_m = p.N
    p.a_m = p.K
    p.a_k = 1
    p.b_k = p.N
    p.b_n = 1
    p.add = 0
    p.activation = activation_kind(activation)
    p.alpha = alpha
    launch(run_product, &p, sizeof(p))
    return y
