/* conv_filter.inc.h   dw[tap, c, k] = sum over n, oh, ow of x[pixel + tap, c] dy[pixel, k].
 *
 * In tile terms: output row i = an input of the run, outer sum = output rows, inner sum = pixels of a row, and
 * B = dy in panels. Runs shorter than a tile is tall (few channels, groups) are gathered first, so that i counts all
 * of a filter. */

/* dy's rows of one group into panels [panel][pixel][TILE_COLS], zero-padded. */
static void FN(conv_pack_dy)(REAL *restrict out, const REAL *dy, ptrdiff_t pixels, ptrdiff_t K, ptrdiff_t cols)
{
    for (ptrdiff_t k0 = 0; k0 < cols; k0 += TILE_COLS)
        for (ptrdiff_t i = 0; i < pixels; i++, out += TILE_COLS)
            for (ptrdiff_t j = 0; j < TILE_COLS; j += VL)
                FN(store)(out + j, k0 + j < cols ? FN(load_upto)(dy + i * K + k0 + j, cols - k0 - j, 0) : (vec){0});
}

static void FN(conv_filter)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct conv_filter_args *a = args;
    const ptrdiff_t C = a->C, K = a->K, cols = K / a->groups, depth = a->R * a->run;
    const ptrdiff_t panels = (cols + TILE_COLS - 1) / TILE_COLS;
    const ptrdiff_t padded_size = (((a->row_block - 1) * a->s_h + a->span) * a->Wp * C + VL - 1) / VL * VL;
    REAL *padded = scratch, *dy_panels = padded + padded_size;
    REAL *gathered = dy_panels + a->row_block * a->OW * panels * TILE_COLS;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        REAL *partial = (REAL *)a->partial + unit * depth * K;
        const ptrdiff_t end = (unit + 1) * a->chunk < a->items ? (unit + 1) * a->chunk : a->items;
        FN(zero_run)(partial, depth * K);
        for (ptrdiff_t item = unit * a->chunk; item < end; item++) {
            const ptrdiff_t n = item / a->row_blocks, oh0 = item % a->row_blocks * a->row_block;
            const ptrdiff_t rows = a->OH - oh0 < a->row_block ? a->OH - oh0 : a->row_block, pixels = rows * a->OW;
            const REAL *dy = (const REAL *)a->dy + (n * a->OH + oh0) * a->OW * K;
            FN(conv_pad_rows)(padded, (const REAL *)a->x + n * a->H * a->W * C, a->H, a->W, C, a->top, a->left, a->Wp,
                              oh0 * a->s_h, (rows - 1) * a->s_h + a->span);
            for (ptrdiff_t g = 0; g < a->groups; g++) {
                const REAL *x = padded + g * (C / a->groups);
                FN(conv_pack_dy)(dy_panels, dy + g * cols, pixels, K, cols);
                if (a->gather)
                    for (ptrdiff_t i = 0; i < pixels; i++) {
                        const REAL *from = x + i / a->OW * a->s_h * a->Wp * C + i % a->OW * a->s_w * C;
                        for (ptrdiff_t r = 0; r < a->R; r++)
                            FN(copy_run)(gathered + i * depth + r * a->run, from + a->offset[r], a->run);
                    }
                for (ptrdiff_t p = 0; p < panels; p++) {
                    const ptrdiff_t k0 = p * TILE_COLS;
                    struct tile_args t = {.c_i = K, .b_k = TILE_COLS, .R = 1, .a_i = 1, .add = 1};
                    t.cols = cols - k0 < TILE_COLS ? cols - k0 : TILE_COLS;
                    REAL *out = partial + g * cols + k0;
                    const REAL *b = dy_panels + p * pixels * TILE_COLS;
                    if (a->gather) {
                        t.a = gathered, t.a_k = depth, t.K = pixels, t.rows = depth;
                        t.b = b, t.c = out;
                        FN(tile_rows)(&t);
                        continue;
                    }
                    t.a_k = a->s_w * C, t.K = a->OW, t.rows = a->run;
                    for (ptrdiff_t r = 0; r < a->R; r++) {
                        ptrdiff_t row_offset[CONV_FILTER_ROWS];
                        for (ptrdiff_t oh = 0; oh < rows; oh += CONV_FILTER_ROWS) {
                            t.R = rows - oh < CONV_FILTER_ROWS ? rows - oh : CONV_FILTER_ROWS;
                            for (ptrdiff_t i = 0; i < t.R; i++) row_offset[i] = i * a->s_h * a->Wp * C;
                            t.a_r = row_offset, t.b_r = a->OW * TILE_COLS;
                            t.a = x + a->offset[r] + oh * a->s_h * a->Wp * C;
                            t.b = b + oh * a->OW * TILE_COLS;
                            t.c = out + r * a->run * K;
                            FN(tile_rows)(&t);
                        }
                    }
                }
            }
        }
    }
}
