/* conv_dot.inc.h   Few outputs of many terms (the input gradient of a first layer): a tile would fill 1 or 3 of its
 * columns, so vectors run along the sum instead and are added up at its end.
 *
 *   C[i, j] = sum_lanes sum_{r, v} A[i a_i + a_r[r] + v VL + lane] * B[r, v, j, lane]
 *
 * Each output is one chain of vector multiply-adds in the order r, v whatever the block: a pixel's bits do not depend
 * on its neighbours. */

/* Height of a block: as many accumulators as the registers hold beside one vector of A and `cols` of B. */
#define DOT_ROWS(cols) (TILE_ROWS > 12 ? ((cols) < 4 ? 8 : 6) : (cols) == 1 ? 8 : 12 / (cols))

static void FN(conv_pack_dot)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_pack_args *a = args;
    const ptrdiff_t R = a->taps_h * a->taps_w * a->depth_t / a->run, vectors = (a->run + VL - 1) / VL;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t r = unit % R, j0 = unit / R % a->panels * CONV_DOT_COLS, g = unit / R / a->panels;
        const REAL *w = (const REAL *)a->w + g * a->w_g + j0 * a->w_j;
        REAL *restrict out = (REAL *)a->packed + unit * vectors * CONV_DOT_COLS * VL;
        for (ptrdiff_t i = 0; i < vectors * VL; i++) {
            const ptrdiff_t term = r * a->run + i, t = term / a->depth_t;
            const REAL *from = w + t / a->taps_w * a->tap_h + t % a->taps_w * a->tap_w + term % a->depth_t * a->w_i;
            for (ptrdiff_t j = 0; j < CONV_DOT_COLS; j++)
                out[(i / VL * CONV_DOT_COLS + j) * VL + i % VL] = i < a->run && j0 + j < a->cols ? from[j * a->w_j] : 0;
        }
    }
}

QUERNEL_INLINE void FN(dot_body)(const struct tile_args *t, const REAL *a, REAL *c, const int rows, const int cols)
{
    const REAL *b = t->b;
    const ptrdiff_t a_i = t->a_i, K = t->K;
    vec acc[8][CONV_DOT_COLS] = {{{0}}};
    for (ptrdiff_t r = 0; r < t->R; r++) {
        const REAL *a_row = a + t->a_r[r];
        for (ptrdiff_t k = 0; k < K; k += VL, b += CONV_DOT_COLS * VL) {
            const ptrdiff_t n = K - k;
            if (n >= VL) {
#pragma GCC unroll 8
                for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
                    for (int j = 0; j < cols; j++) acc[i][j] += FN(load)(a_row + i * a_i + k) * FN(load)(b + j * VL);
            } else {
#pragma GCC unroll 8
                for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
                    for (int j = 0; j < cols; j++)
                        acc[i][j] += FN(load_part)(a_row + i * a_i + k, n, 0) * FN(load)(b + j * VL);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            c[i * t->c_i + j] = FN(hsum)(acc[i][j]) + (t->bias ? ((const REAL *)t->bias)[j] : 0);
}

/* All rows of a block of `cols` columns; the last block of rows reaches back over rows that are done. */
QUERNEL_INLINE void FN(dot_columns)(const struct tile_args *t, const int cols)
{
    const int height = DOT_ROWS(cols);
    ptrdiff_t i = 0;
    if (t->rows >= height)
        for (; i < t->rows; i += height) {
            if (i + height > t->rows) i = t->rows - height;
            FN(dot_body)(t, (const REAL *)t->a + i * t->a_i, (REAL *)t->c + i * t->c_i, height, cols);
        }
    for (; i < t->rows; i++) FN(dot_body)(t, (const REAL *)t->a + i * t->a_i, (REAL *)t->c + i * t->c_i, 1, cols);
}

static void FN(dot_rows)(const struct tile_args *t)
{
    switch (t->cols) {
    case 1: FN(dot_columns)(t, 1); break;
    case 2: FN(dot_columns)(t, 2); break;
    case 3: FN(dot_columns)(t, 3); break;
    default: FN(dot_columns)(t, CONV_DOT_COLS);
    }
    if (t->activation) FN(activate_block)(t);
}
#undef DOT_ROWS
