"""What a convolution launches: packing of filters, blocks and scratch around the C core (csrc/conv.h)."""

from libc.stddef cimport size_t
from libc.string cimport memset

from quernel.kernels.gemm cimport gemm_combine_args
from quernel.kernels.launch cimport ceil_div, for_range, kernel_of, out_of_memory, table
from quernel.kernels.memory cimport pool_give, pool_take

cdef extern from "kernels.h":
    ctypedef struct conv_pack_args "struct conv_pack_args":
        void *packed
        const void *w
        Py_ssize_t taps_h, taps_w, tap_h, tap_w, depth_t, w_i, w_j, w_g, cols, panels, run
    ctypedef struct conv_grouped_pack_args "struct conv_grouped_pack_args":
        void *packed
        void *w
        Py_ssize_t C, Cp, G, taps, slices
        int transposed, turned
    enum:
        CONV_DOT_COLS
        K_conv_pack
        K_conv_pack_dot
        K_conv_rows
        K_conv_filter
        K_conv_grouped_pack
        K_conv_grouped_forward
        K_conv_grouped_backward_input
        K_conv_grouped_backward_kernel
        K_conv_grouped_unpack
        K_gemm_combine

# Multiply-adds worth about 30 microseconds of one core.
cdef enum:
    GRAIN_WORK = 1 << 20
# A unit's padded rows and the panel of filters it reads share a second-level cache.
cdef enum:
    PADDED_BYTES = 128 << 10
# Outputs narrower than this are gathered: a tile of so few rows leaves registers idle.
cdef enum:
    NARROW = 7
# Filter gradients copy dy into panels for filters of more tiles than this (7x7x3 to 64, 11 tiles of AVX-512: 19.0 ms
# against 17.8 in place; 25 tiles of AVX2: 21.0 against 22.1), and if its pixels are further apart than this: a tile
# that reads 128 bytes of every 1024 waits for memory (3x3x3 to 256, AVX-512: 17 ms against 21 in place; to 128: 7.7
# against 6.1).
cdef enum:
    PACK_TILES = 20
    FAR_BYTES = 512
# The rows of x and dy that the filter gradient of small groups goes over channel by channel stay in the second-level
# cache, beside those that it prefetches.
cdef enum:
    GROUPED_BYTES = 256 << 10
# Pixels that are a multiple of FEW_SETS_BYTES apart share two sets of a first-level cache of 64: small groups read a
# copy in which they are SKEW_BYTES, a line, further apart. Depthwise 3x3 forward and backward: 14x14x512 3.3 ms
# without, 2.6 with it, 7x7x1024 1.9 and 1.1; but 28x28x256, 1024 bytes apart, 4.5 and 5.8.
cdef enum:
    FEW_SETS_BYTES = 2048
    SKEW_BYTES = 64
# Adding up the lanes of a vector costs as much as this many multiply-adds.
cdef enum:
    LANE_SUM = 8
# Pixels of an item of the filter gradient: long enough a sum to pay for reading and writing the partial result.
cdef enum:
    ITEM_PIXELS = 256
# The partial results of a filter gradient take no more memory than this.
cdef enum:
    PARTIAL_BYTES = 32 << 20


cdef void fill_runs(Py_ssize_t *runs, Py_ssize_t *R, Py_ssize_t *run, Py_ssize_t taps_h, Py_ssize_t taps_w,
                    Py_ssize_t offset_h, Py_ssize_t offset_w, Py_ssize_t groups) noexcept nogil:
    """Starts of the runs; *run comes as the channels of a tap and goes as the length of a run."""
    cdef Py_ssize_t i, per_row = taps_w
    if groups == 1 and offset_w == run[0]:  # the taps of a row are neighbours in the input
        per_row = 1
        run[0] *= taps_w
    R[0] = taps_h * per_row
    for i in range(R[0]):
        runs[i] = i // per_row * offset_h + i % per_row * offset_w


cdef bint dot_pays(const conv_args *a, Py_ssize_t lanes) noexcept nogil:
    """Whether vectors along the sum take fewer steps a pixel than one vector along the outputs, a step a term."""
    return a.R * a.run > 0 and (a.R * ceil_div(a.run, lanes) + LANE_SUM) * a.cols < a.R * a.run


cdef void run_convolution(const void *args) noexcept nogil:
    cdef const convolution *v = <const convolution *> args
    cdef conv_args a = v.core
    cdef conv_pack_args pack
    cdef Py_ssize_t lanes = table.lanes[v.real], taps = v.taps_h * v.taps_w, depth_t = a.run
    cdef size_t size = 8 if v.real else 4
    cdef Py_ssize_t work, row_bytes, panels, panel, scratch = 0
    cdef Py_ssize_t *runs
    cdef void *packed
    if v.N == 0 or a.OH == 0 or a.OW == 0 or a.cols == 0 or a.groups == 0:
        return
    runs = <Py_ssize_t *> pool_take(<size_t> (taps + 1) * sizeof(Py_ssize_t))
    if runs == NULL:
        out_of_memory()
        return
    a.offset = runs
    fill_runs(runs, &a.R, &a.run, v.taps_h, v.taps_w, v.offset_h, v.offset_w, a.groups)
    a.dot = dot_pays(&a, lanes)
    a.gather = a.OW < NARROW and taps > 0 and not a.dot
    if a.dot:
        panels = ceil_div(a.cols, CONV_DOT_COLS)
        panel = a.R * ceil_div(a.run, lanes) * lanes * CONV_DOT_COLS
    else:
        panels = ceil_div(a.cols, table.tile_cols[v.real])
        panel = taps * depth_t * table.tile_cols[v.real]
    packed = pool_take(<size_t> (a.groups * panels * panel) * size)
    if packed == NULL:
        out_of_memory()
        pool_give(runs)
        return
    pack.packed = packed
    pack.w = v.w
    pack.taps_h = v.taps_h
    pack.taps_w = v.taps_w
    pack.tap_h = v.tap_h
    pack.tap_w = v.tap_w
    pack.depth_t = depth_t
    pack.w_i = v.w_i
    pack.w_j = v.w_j
    pack.w_g = v.w_g
    pack.cols = a.cols
    pack.panels = panels
    pack.run = a.run
    if a.dot:
        for_range(kernel_of(K_conv_pack_dot, v.real), &pack, a.groups * panels * a.R,
                  1 + GRAIN_COPY * a.R // (1 + panel), 0)
    else:
        for_range(kernel_of(K_conv_pack, v.real), &pack, a.groups * panels, 1 + GRAIN_COPY // (1 + panel), 0)

    a.packed = packed
    # Rows of a unit: work for a while, the padded input within its share of the cache.
    work = a.OW * taps * depth_t * a.cols * a.groups
    row_bytes = max(<Py_ssize_t> 1, a.s_h * a.Wp * a.C * <Py_ssize_t> size)
    a.row_block = min(a.OH, max(max(<Py_ssize_t> 1, PADDED_BYTES // row_bytes), GRAIN_WORK // (1 + work)))
    if v.N < 8:  # few images: cut finer, for the threads
        a.row_block = max(<Py_ssize_t> 1, min(a.row_block, max(ceil_div(a.OH * v.N, 16), GRAIN_WORK // (1 + work))))
    if a.padded:
        scratch += ceil_div(((a.row_block - 1) * a.s_h + a.span) * a.Wp * a.C, lanes) * lanes
    if a.gather:
        scratch += a.row_block * a.OW * a.R * a.run
    for_range(kernel_of(K_conv_rows, v.real), &a, v.N * ceil_div(a.OH, a.row_block),
              1 + GRAIN_WORK // (1 + work * a.row_block), <size_t> scratch * size)
    pool_give(runs)
    pool_give(packed)


cdef void run_filter_gradient(const void *args) noexcept nogil:
    cdef const filter_gradient *v = <const filter_gradient *> args
    cdef conv_filter_args a = v.core
    cdef size_t size = 8 if v.real else 4
    cdef Py_ssize_t lanes = table.lanes[v.real], cols = a.K // a.groups, channels = a.C // a.groups
    cdef Py_ssize_t N = a.items, chunks, scratch, row_bytes, panels, dw_bytes, i
    cdef Py_ssize_t *offset
    a.depth = v.taps_h * v.taps_w * channels
    offset = <Py_ssize_t *> pool_take(<size_t> (a.depth + 1) * sizeof(Py_ssize_t))
    if offset == NULL:
        out_of_memory()
        return
    for i in range(a.depth):
        offset[i] = i // channels // v.taps_w * v.offset_h + i // channels % v.taps_w * v.offset_w + i % channels
    a.offset = offset
    a.wide = min(<Py_ssize_t> table.tile_cols[v.real], ceil_div(cols, lanes) * lanes)
    a.pack = a.K > a.wide and (a.depth > PACK_TILES * table.tile_rows[v.real] or a.K * <Py_ssize_t> size > FAR_BYTES)
    panels = a.OW * ceil_div(cols, a.wide) * a.wide if a.pack or cols % lanes != 0 else 0
    row_bytes = max(<Py_ssize_t> 1, (a.s_h * a.Wp * a.C + (panels if a.pack else a.OW * a.K)) * <Py_ssize_t> size)
    a.row_block = max(<Py_ssize_t> 1, min(a.OH, min(ceil_div(4 * ITEM_PIXELS, max(<Py_ssize_t> 1, a.OW)),
                                                    (4 if a.pack else 2) * PADDED_BYTES // row_bytes)))
    a.row_blocks = ceil_div(a.OH, a.row_block)
    a.items = N * a.row_blocks
    dw_bytes = a.depth * a.K * <Py_ssize_t> size
    chunks = min(<Py_ssize_t> CHUNKS, max(<Py_ssize_t> 1, PARTIAL_BYTES // max(<Py_ssize_t> 1, dw_bytes)))
    a.chunk = max(<Py_ssize_t> 1, ceil_div(a.items, chunks))
    chunks = max(<Py_ssize_t> 1, ceil_div(a.items, a.chunk))
    a.partial = v.dw if chunks == 1 else pool_take(<size_t> (chunks * dw_bytes))
    scratch = a.row_block * panels
    if a.padded:
        scratch += ceil_div(((a.row_block - 1) * a.s_h + a.span) * a.Wp * a.C, lanes) * lanes
    if a.partial == NULL:
        out_of_memory()
    else:
        for_range(kernel_of(K_conv_filter, v.real), &a, chunks,
                  1 + GRAIN_WORK // (1 + a.chunk * a.row_block * a.OW * a.depth * a.K), <size_t> scratch * size)
        add_partials(v.dw, a.partial, chunks, a.depth, a.K, v.real)
    pool_give(offset)


cdef void add_partials(void *out, void *partial, Py_ssize_t slices, Py_ssize_t rows, Py_ssize_t cols,
                       int real) noexcept nogil:
    """out = the sum of `slices` partial results, in order; gives `partial` back to the pool."""
    cdef gemm_combine_args c
    if partial == out:
        return
    memset(&c, 0, sizeof(c))
    c.c, c.partial, c.c_m, c.N, c.slice, c.slices = out, partial, cols, cols, rows * cols, slices
    for_range(kernel_of(K_gemm_combine, real), &c, rows, 1 + GRAIN_COPY // (1 + cols * slices), 0)
    pool_give(partial)


cdef conv_grouped_pack_args grouped_pack(const conv_grouped_args *g, void *packed, const void *w) noexcept nogil:
    cdef conv_grouped_pack_args p
    memset(&p, 0, sizeof(p))
    p.packed, p.w, p.C, p.Cp, p.G, p.taps, p.slices = packed, <void *> w, g.C, g.Cp, g.G, g.KH * g.KW, 1
    return p


cdef Py_ssize_t pixel_of(const conv_grouped_args *g, Py_ssize_t size) noexcept nogil:
    """How far apart the pixels of the input are to be read."""
    return g.C if g.C * size % FEW_SETS_BYTES else g.C + SKEW_BYTES // size


cdef void run_grouped(const void *args) noexcept nogil:
    cdef const grouped_convolution *v = <const grouped_convolution *> args
    cdef conv_grouped_args g = v.core
    cdef conv_grouped_pack_args pack
    cdef Py_ssize_t taps = g.KH * g.KW, size = 8 if v.real else 4
    cdef Py_ssize_t scratch = 0, units, width = g.W if v.strided else g.OW
    cdef void *packed
    # Two rows share inputs as two outputs of a row do; larger groups leave no registers for it.
    g.rows = 2 if g.G == 1 and g.KW == 3 and g.s_h == g.d_h and g.s_w == g.d_w else 1
    units = g.N * (g.H if v.strided else ceil_div(g.OH, g.rows))
    if units == 0 or width == 0:
        return
    g.Cp = ceil_div(g.C, table.lanes[v.real]) * table.lanes[v.real]
    packed = pool_take(<size_t> (taps * g.G * g.Cp * size))
    if packed == NULL:
        out_of_memory()
        return
    pack = grouped_pack(&g, packed, v.w)
    pack.transposed, pack.turned = v.transposed, v.transposed and not v.strided
    for_range(kernel_of(K_conv_grouped_pack, v.real), &pack, taps, 1 + GRAIN_COPY // (1 + g.G * g.Cp), 0)
    g.packed = packed
    g.pixel = g.C if v.strided else pixel_of(&g, size)
    if g.pixel != g.C:
        scratch = g.W * g.pixel * size
        g.copy_rows = min(g.H, max((g.rows - 1) * g.s_h + (g.KH - 1) * g.d_h + 1, GROUPED_BYTES // (1 + scratch)))
        scratch *= g.copy_rows
    for_range(kernel_of(K_conv_grouped_backward_input if v.strided else K_conv_grouped_forward, v.real), &g, units,
              1 + GRAIN_COPY // (1 + g.rows * width * g.C * (1 + taps * g.G // 8)), <size_t> scratch)
    pool_give(packed)


cdef void run_grouped_gradient(const void *args) noexcept nogil:
    cdef const grouped_gradient *v = <const grouped_gradient *> args
    cdef conv_grouped_args g = v.core
    cdef conv_grouped_pack_args unpack
    cdef Py_ssize_t taps = g.KH * g.KW, chunks, scratch, size = 8 if v.real else 4
    g.Cp = ceil_div(g.C, table.lanes[v.real]) * table.lanes[v.real]
    g.chunk = ceil_div(g.N, CHUNKS)
    g.row_block = max(<Py_ssize_t> 1, GROUPED_BYTES // (1 + (g.s_h * g.W + g.OW) * g.C * size))
    chunks = ceil_div(g.N, g.chunk)
    g.pixel = pixel_of(&g, size)
    scratch = g.W  # pixels: a row of zeros; copies of x and dy
    if g.pixel != g.C:
        g.row_block = min(2 * g.row_block, g.OH)  # nothing is fetched ahead
        scratch += min(g.H, (g.row_block - 1) * g.s_h + (g.KH - 1) * g.d_h + 1) * g.W + g.row_block * g.OW
    g.out = pool_take(<size_t> (chunks * taps * g.G * g.Cp * size))
    if g.out == NULL:
        out_of_memory()
        return
    for_range(kernel_of(K_conv_grouped_backward_kernel, v.real), &g, chunks,
              1 + GRAIN_COPY // (1 + g.chunk * g.OH * g.OW * g.C * (1 + taps * g.G // 8)),
              <size_t> (scratch * g.pixel * size))
    unpack = grouped_pack(&g, g.out, v.dw)
    unpack.slices = chunks
    for_range(kernel_of(K_conv_grouped_unpack, v.real), &unpack, taps, 1 + GRAIN_COPY // (1 + chunks * g.G * g.Cp), 0)
    pool_give(g.out)
