"""Scratch, blocks and chunks around csrc/winograd.inc.h, and the rules of when it pays and with which pieces."""

from libc.stddef cimport size_t
from libc.string cimport memset

from quernel.kernels.launch cimport F64, ceil_div, for_range, kernel_of, out_of_memory, table
from quernel.kernels.memory cimport pool_give, pool_take

cdef extern from "kernels.h":
    ctypedef struct winograd_args "struct winograd_args":
        void *out
        void *u
        void *v
        void *z
        const void *x
        const void *dy
        const void *w
        const void *bias
        Py_ssize_t w_h, w_w, w_i, w_j
        Py_ssize_t H, W, C, K, OH, OW, top, left, d_h, d_w, tiles_h, tiles_w, tiles, block, chunk, first_tile, slices
        int piece, m, activation
        double alpha
    enum:
        K_winograd_filter
        K_winograd_forward
        K_winograd_adjoint
        K_winograd_gradient_slice
        K_winograd_gradient_transform
        K_winograd_gradient
        K_winograd_filter_gradient

# Multiply-adds worth about 30 microseconds of one core.
cdef enum:
    GRAIN_WORK = 1 << 20
# Channels of tiles transformed in about 30 microseconds.
cdef enum:
    GRAIN_TRANSFORM = 1 << 12
# Transformed inputs and products of a block share a second-level cache.
cdef enum:
    BLOCK_BYTES = 1 << 20
# Tiles of a block: fewer would read filters that are larger than that cache too often, more fill it.
cdef enum:
    MIN_TILES = 42
    MAX_TILES = 112
# Blocks for threads to share, where that leaves so many tiles to each.
cdef enum:
    LEAST_UNITS = 8
# Filter gradients up to this size are summed by each thread in its own cache, in so many slices; larger ones together,
# and those of fewer blocks of tiles, unless the transformed tiles are so many times as large as the sum (13 x 13, 32 to
# 64 channels, in a training step: 1.34 ms together, 1.15 in slices; 8 x 8, 64 channels: 0.93 and 1.07).
cdef enum:
    SLICE_BYTES = 640 << 10
    SLICES = 8
    FEW_SLICES = 4
    SMALL_SUM = 12
# Transformed inputs and gradients of a chunk of the filter gradient, within a last-level cache; but at least so many
# tiles, for each chunk reads and writes the result.
cdef enum:
    CHUNK_BYTES = 16 << 20
    CHUNK_TILES = 112

# Time of the transforms of a tile per channel and entry, in multiply-adds of a vector lane: an estimate from their
# loads, stores and additions.
cdef double INPUT_COST = 7
cdef double OUTPUT_COST = 5.5
# The same of the adjoint transforms: of dy's tiles, and of dx's, which overlap and are added up.
cdef double OUTPUT_GRADIENT_COST = 5.5
cdef double INPUT_GRADIENT_COST = 10.5
# Gain below which the direct path's smaller error is preferred.
cdef double WORTHWHILE = 1.2
# Gain in products below which pieces of 6 x 6 are preferred: their error is half as large, and transforms of 64 entries
# find less in the caches. At 1.22 (112 x 112) the times are equal.
cdef double LARGE_WORTHWHILE = 1.25
# Gain below which the gradient of the input is made as a forward pass: its cropped tiles cost less than the estimate.
cdef double ADJOINT_WORTHWHILE = 1.1


cdef inline Py_ssize_t tiles_along(Py_ssize_t outputs, Py_ssize_t dilation, Py_ssize_t m) noexcept nogil:
    return ceil_div(ceil_div(outputs, dilation), m)


cdef double estimate(const winograd *w, int piece, bint adjoint) noexcept nogil:
    """Time per image, in multiply-adds of a vector lane, of y; or of the gradient of the input from dy (H x W x C)."""
    cdef Py_ssize_t m = piece + 1 - w.taps, lanes = table.lanes[w.real], outputs = ceil_div(w.K, lanes) * lanes
    cdef double tile = <double> w.C * outputs
    if adjoint:
        tile += OUTPUT_GRADIENT_COST * w.C + INPUT_GRADIENT_COST * outputs
        tile *= w.d_h * tiles_along(w.H, w.d_h, m) * w.d_w * tiles_along(w.W, w.d_w, m)
    else:
        tile += INPUT_COST * w.C + OUTPUT_COST * outputs
        tile *= w.d_h * tiles_along(w.OH, w.d_h, m) * w.d_w * tiles_along(w.OW, w.d_w, m)
    return tile * piece * piece


cdef void choose_piece(winograd *w) noexcept nogil:
    w.piece = 8 if LARGE_WORTHWHILE * estimate(w, 8, w.adjoint) < estimate(w, 6, w.adjoint) else 6


cdef bint winograd_pays(winograd *w) noexcept nogil:
    """Chooses the size of the pieces; whether it gains on the direct path.

    It knows nothing of the batch: a row's bits must not depend on it.
    """
    cdef Py_ssize_t lanes = table.lanes[w.real], outputs = ceil_div(w.K, lanes) * lanes
    choose_piece(w)
    return (w.real != F64 and WORTHWHILE * estimate(w, w.piece, False)
            < <double> (w.OH * w.OW * w.taps * w.taps) * w.C * outputs)


cdef void winograd_choose_gradient(winograd *w) noexcept nogil:
    """Chooses between tiles of dy (H x W x C) and tiles of dx (OH x OW x K), and their size."""
    cdef double turned
    w.adjoint = False
    choose_piece(w)
    turned = estimate(w, w.piece, False)
    w.adjoint = True
    choose_piece(w)
    if ADJOINT_WORTHWHILE * estimate(w, w.piece, True) >= turned:
        w.adjoint = False
        choose_piece(w)


cdef inline Py_ssize_t entries_of(const winograd *w) noexcept nogil:
    return w.piece * w.piece


cdef void fill(winograd_args *a, const winograd *w, Py_ssize_t *row, Py_ssize_t *p_row) noexcept nogil:
    cdef Py_ssize_t lanes = table.lanes[w.real], rows = table.tile_rows[w.real], size = 8 if w.real else 4, block
    cdef Py_ssize_t high = w.H if w.adjoint else w.OH, wide = w.W if w.adjoint else w.OW
    memset(a, 0, sizeof(winograd_args))
    a.x = w.x
    a.dy = w.dy
    a.w = w.w
    a.bias = w.bias
    a.w_h, a.w_w, a.w_i, a.w_j = w.w_h, w.w_w, w.w_i, w.w_j
    a.H, a.W, a.C, a.K, a.OH, a.OW, a.top, a.left = w.H, w.W, w.C, w.K, w.OH, w.OW, w.top, w.left
    a.activation = w.activation
    a.alpha = w.alpha
    a.d_h, a.d_w = w.d_h, w.d_w
    a.piece, a.m = w.piece, w.piece + 1 - w.taps
    a.tiles_h, a.tiles_w = tiles_along(high, w.d_h, a.m), tiles_along(wide, w.d_w, a.m)
    a.tiles = w.N * w.d_h * w.d_w * a.tiles_h * a.tiles_w
    row[0] = ceil_div(w.C, lanes) * lanes + lanes
    p_row[0] = ceil_div(w.K, lanes) * lanes
    block = BLOCK_BYTES // (entries_of(w) * size * (row[0] + p_row[0])) // rows * rows
    a.block = max(<Py_ssize_t> MIN_TILES, min(<Py_ssize_t> MAX_TILES, block))


cdef inline Py_ssize_t slabs(const winograd *w, Py_ssize_t tiles, Py_ssize_t row, Py_ssize_t p_row) noexcept nogil:
    """Elements of the slabs of inputs and outputs."""
    return entries_of(w) * (tiles * (row + p_row) + 2 * table.lanes[w.real])


cdef Py_ssize_t units_of(const winograd *w, Py_ssize_t tiles) noexcept nogil:
    """Blocks that threads can share evenly, an even number if the tiles fill more than one matrix tile."""
    cdef Py_ssize_t rows = table.tile_rows[w.real], size = 8 if w.real else 4
    cdef Py_ssize_t least = MIN_TILES if entries_of(w) * w.C * w.K * size > BLOCK_BYTES else rows
    return 1 if tiles <= rows else min(<Py_ssize_t> LEAST_UNITS, 2 * ceil_div(tiles, 2 * least))


cdef void run_winograd(const void *args) noexcept nogil:
    """y (or dx, with the filter's strides turned round or as adjoint) of a `winograd`."""
    cdef const winograd *w = <const winograd *> args
    cdef winograd_args a
    cdef Py_ssize_t row, p_row, size = 8 if w.real else 4, lanes = table.lanes[w.real], entries = entries_of(w)
    cdef Py_ssize_t tile_cols = table.tile_cols[w.real], panels = ceil_div(w.K, tile_cols), units, unit
    fill(&a, w, &row, &p_row)
    if a.tiles == 0:
        return
    units = units_of(w, a.tiles)
    if w.adjoint:  # a unit is some images, of one or more blocks
        unit = a.d_h * a.d_w * a.tiles_h * a.tiles_w
        unit *= max(<Py_ssize_t> 1, min(a.block // unit, ceil_div(w.N, units)))
        a.chunk = unit
        a.block = ceil_div(unit, ceil_div(unit, a.block))
    else:
        unit = a.block = ceil_div(a.tiles, max(units, ceil_div(a.tiles, a.block)))
    a.out = w.out
    a.u = pool_take(<size_t> (entries * panels * tile_cols * max(<Py_ssize_t> 1, w.C) * size))
    if a.u == NULL:
        out_of_memory()
        return
    for_range(kernel_of(K_winograd_filter, w.real), &a, panels, 1 + 512 // (1 + w.C), 0)
    for_range(kernel_of(K_winograd_adjoint if w.adjoint else K_winograd_forward, w.real), &a, ceil_div(a.tiles, unit),
              1 + GRAIN_WORK // (1 + unit * entries * w.C * w.K),
              <size_t> (slabs(w, a.block, row, p_row) + w.C + lanes) * size)
    pool_give(a.u)


cdef void run_winograd_gradient(const void *args) noexcept nogil:
    """dw of a `winograd`."""
    cdef const winograd *w = <const winograd *> args
    cdef winograd_args a
    cdef Py_ssize_t row, p_row, size = 8 if w.real else 4, blocks, entries = entries_of(w)
    cdef Py_ssize_t sum_bytes = entries * w.C * w.K * size, slices
    cdef bint small_sum
    fill(&a, w, &row, &p_row)
    blocks = ceil_div(a.tiles, a.block)
    a.slices = 1
    slices = SLICES if blocks >= SLICES else FEW_SLICES
    small_sum = a.tiles * (row + p_row) > SMALL_SUM * w.C * w.K
    if sum_bytes <= SLICE_BYTES and (blocks >= SLICES or blocks >= FEW_SLICES and small_sum):
        a.chunk = ceil_div(blocks, slices) * a.block
        a.slices = ceil_div(a.tiles, a.chunk)
    a.u = pool_take(<size_t> max(<Py_ssize_t> 1, a.slices * sum_bytes))
    if a.u == NULL:
        out_of_memory()
        return
    if a.slices > 1:
        for_range(kernel_of(K_winograd_gradient_slice, w.real), &a, a.slices,
                  1 + GRAIN_WORK // (1 + a.chunk * entries * w.C * w.K),
                  <size_t> ((slabs(w, a.block, row, p_row) + max(w.C, w.K)) * size))
    else:
        sum_together(&a, w, row, p_row)
    a.out = w.out
    for_range(kernel_of(K_winograd_filter_gradient, w.real), &a, w.C, 1 + (1 << 12) // (1 + w.K * a.slices), 0)
    pool_give(a.u)


cdef void sum_together(winograd_args *a, const winograd *w, Py_ssize_t row, Py_ssize_t p_row) noexcept nogil:
    """a.u, the gradient in the transformed domain: transforms of a chunk of tiles by all threads, then its products."""
    cdef Py_ssize_t size = 8 if w.real else 4, lanes = table.lanes[w.real], tile_cols = table.tile_cols[w.real]
    cdef Py_ssize_t entries = entries_of(w), chunk = CHUNK_BYTES // (entries * size * (row + p_row))
    a.chunk = max(<Py_ssize_t> 1, min(a.tiles, max(<Py_ssize_t> CHUNK_TILES, chunk)))
    a.block = min(a.block, max(<Py_ssize_t> 1, ceil_div(a.chunk, 16)))
    a.v = pool_take(<size_t> (slabs(w, a.chunk, row, p_row) * size))
    if a.v == NULL:
        out_of_memory()
        return
    a.z = <char *> a.v + entries * (a.chunk * row + lanes) * size
    while a.first_tile < a.tiles:
        chunk = min(a.chunk, a.tiles - a.first_tile)
        for_range(kernel_of(K_winograd_gradient_transform, w.real), a, ceil_div(chunk, a.block),
                  1 + GRAIN_TRANSFORM // (a.block * (row + p_row)), <size_t> (max(w.C, w.K) * size))
        for_range(kernel_of(K_winograd_gradient, w.real), a, entries * ceil_div(w.K, tile_cols),
                  1 + GRAIN_WORK // (1 + chunk * w.C * tile_cols), 0)
        a.first_tile += a.chunk
    pool_give(a.v)
