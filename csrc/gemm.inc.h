/* gemm.inc.h   See gemm.h for what a unit is. */

/* The part of a panel that holds columns [j, j + wide) and terms [k, k + TRANSPOSE_TILE) of a transposed B. */
QUERNEL_INLINE void FN(pack_turned)(REAL *restrict out, const REAL *b, ptrdiff_t b_k, ptrdiff_t b_n, ptrdiff_t depth,
                                    ptrdiff_t cols, ptrdiff_t wide)
{
    if (b_k == 1 && depth >= TRANSPOSE_TILE && cols >= wide) {
        FN(turn_tile)((char *)out, TILE_COLS * sizeof(REAL), (const char *)b, b_n * (ptrdiff_t)sizeof(REAL), wide,
                      sizeof(REAL));
        return;
    }
    for (ptrdiff_t j = 0; j < wide; j++)
        for (ptrdiff_t k = 0; k < TRANSPOSE_TILE && k < depth; k++)
            out[k * TILE_COLS + j] = j < cols ? b[k * b_k + j * b_n] : 0;
}

/* A panel: `cols` columns of B, zero-padded to TILE_COLS, for `depth` terms of the sum. */
static void FN(pack_panel)(REAL *restrict out, const REAL *b, ptrdiff_t b_k, ptrdiff_t b_n, ptrdiff_t depth,
                           ptrdiff_t cols)
{
    const ptrdiff_t wide = TILE_COLS < TRANSPOSE_TILE ? TILE_COLS : TRANSPOSE_TILE;
    if (b_n == 1) /* rows of B are contiguous */
        for (ptrdiff_t k = 0; k < depth; k++)
            for (ptrdiff_t j = 0; j < TILE_COLS; j += VL)
                FN(store)(out + k * TILE_COLS + j, j < cols ? FN(load_upto)(b + k * b_k + j, cols - j, 0) : (vec){0});
    else /* transposed: read along k, a block of rows at a time so that the writes stay in cache */
        for (ptrdiff_t k = 0; k < depth; k += TRANSPOSE_TILE)
            for (ptrdiff_t j = 0; j < TILE_COLS; j += wide)
                FN(pack_turned)(out + k * TILE_COLS + j, b + k * b_k + j * b_n, b_k, b_n, depth - k, cols - j, wide);
}

static void FN(gemm_pack)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct gemm_pack_args *g = args;
    const ptrdiff_t K = g->K, panels = (g->N + TILE_COLS - 1) / TILE_COLS;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t batch = unit / panels, j0 = unit % panels * TILE_COLS;
        FN(pack_panel)((REAL *)g->packed + unit * K * TILE_COLS, (const REAL *)g->b + batch * g->b_batch + j0 * g->b_n,
                       g->b_k, g->b_n, K, g->N - j0 < TILE_COLS ? g->N - j0 : TILE_COLS);
    }
}

/* Copies rows x depth of A so that its longer contiguous direction stays contiguous; sets the strides of the copy. */
QUERNEL_INLINE const REAL *FN(gemm_copy_a)(REAL *restrict out, const REAL *a, struct tile_args *t, ptrdiff_t a_m,
                                           ptrdiff_t a_k, ptrdiff_t rows, ptrdiff_t depth)
{
    const ptrdiff_t skew = GEMM_SKEW_BYTES / (ptrdiff_t)sizeof(REAL);
    const int by_rows = a_k == 1;
    const ptrdiff_t lines = by_rows ? rows : depth, length = by_rows ? depth : rows;
    const ptrdiff_t from = by_rows ? a_m : a_k, step = by_rows ? a_k : a_m;
    const ptrdiff_t to = (length + skew - 1) / skew * skew + skew;
    for (ptrdiff_t i = 0; i < lines; i++) {
        if (step == 1)
            memcpy(out + i * to, a + i * from, (size_t)length * sizeof(REAL));
        else
            for (ptrdiff_t j = 0; j < length; j++) out[i * to + j] = a[i * from + j * step];
    }
    t->a_i = by_rows ? to : 1;
    t->a_k = by_rows ? 1 : to;
    return out;
}

static void FN(gemm_block)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct gemm_args *g = args;
    REAL *panel = scratch, *a_copy = panel + (g->b_from == GEMM_B_PACKED ? 0 : GEMM_K_BLOCK * TILE_COLS);
    const ptrdiff_t row_blocks = (g->M + g->row_block - 1) / g->row_block;
    const ptrdiff_t col_blocks = (g->N + g->col_block - 1) / g->col_block;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t i0 = unit % row_blocks * g->row_block, j0 = unit / row_blocks % col_blocks * g->col_block;
        const ptrdiff_t slice = unit / (row_blocks * col_blocks) % g->slices;
        const ptrdiff_t batch = unit / (row_blocks * col_blocks * g->slices);
        const ptrdiff_t k_begin = slice * g->k_slice;
        const ptrdiff_t k_end = k_begin + g->k_slice < g->K ? k_begin + g->k_slice : g->K;
        const ptrdiff_t rows = g->M - i0 < g->row_block ? g->M - i0 : g->row_block;
        const ptrdiff_t j1 = j0 + g->col_block < g->N ? j0 + g->col_block : g->N;
        const REAL *a = (const REAL *)g->a + batch * g->a_batch + i0 * g->a_m;
        const REAL *b = (const REAL *)g->b + batch * g->b_batch;
        REAL *c = (REAL *)g->c + batch * g->c_batch + slice * g->c_slice + i0 * g->c_m;

        struct tile_args t = {.c_i = g->c_m, .rows = rows, .R = 1, .alpha = g->alpha};
        ptrdiff_t k0 = k_begin;
        do { /* once also for K == 0: the sum is empty, the bias is not */
            const ptrdiff_t depth = k_end - k0 < g->k_block ? k_end - k0 : g->k_block;
            const int last = k0 + depth >= k_end;
            t.K = depth;
            t.add = g->add || k0 > k_begin;
            t.activation = last ? g->activation : ACT_LINEAR;
            t.a_i = g->a_m;
            t.a_k = g->a_k;
            t.a =
                g->copy_a ? FN(gemm_copy_a)(a_copy, a + k0 * g->a_k, &t, g->a_m, g->a_k, rows, depth) : a + k0 * g->a_k;
            for (ptrdiff_t j = j0; j < j1; j += t.cols) {
                const REAL *b_kj = b + k0 * g->b_k + j * g->b_n;
                t.cols = j1 - j;
                t.b_k = TILE_COLS;
                if (g->b_from == GEMM_B_PACKED) {
                    t.b = b + j * g->K + k0 * TILE_COLS;
                    t.b_panel = g->K * TILE_COLS;
                } else if (g->b_from == GEMM_B_IN_PLACE && t.cols >= TILE_COLS) {
                    t.cols -= t.cols % TILE_COLS;
                    t.b = b_kj;
                    t.b_k = g->b_k;
                    t.b_panel = TILE_COLS;
                } else {
                    t.cols = t.cols < TILE_COLS ? t.cols : TILE_COLS;
                    FN(pack_panel)(panel, b_kj, g->b_k, g->b_n, depth, t.cols);
                    t.b = panel;
                }
                t.bias = last && g->bias ? (const REAL *)g->bias + j : NULL;
                t.c = c + j;
                FN(tile_block)(&t, 0);
            }
            k0 += depth;
        } while (k0 < k_end);
    }
}

static void FN(gemm_combine)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct gemm_combine_args *g = args;
    for (ptrdiff_t m = lo; m < hi; m++) {
        REAL *c = (REAL *)g->c + m * g->c_m;
        for (ptrdiff_t j = 0; j < g->N; j += VL) {
            const ptrdiff_t n = g->N - j;
            vec sum = g->add ? FN(load_upto)(c + j, n, 0) : (vec){0};
            for (ptrdiff_t s = 0; s < g->slices; s++)
                sum += FN(load_upto)((const REAL *)g->partial + s * g->slice + m * g->N + j, n, 0);
            if (g->bias) sum += FN(load_upto)((const REAL *)g->bias + j, n, 0);
            FN(store_upto)(c + j, FN(activate)(sum, g->activation, (REAL)g->alpha), n);
        }
    }
}
