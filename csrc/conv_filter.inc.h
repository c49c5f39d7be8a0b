/* conv_filter.inc.h   dw[tap, c, k] = sum over n, oh, ow of x[pixel + tap, c] dy[pixel, k].
 *
 * In tile terms: output row i = an input of the filter (tap and channel; a table has where it stands), outer sum =
 * output rows, inner sum = pixels of a row, and B = dy. A first layer's filters, nine or 27 inputs, are one tile or
 * two: every pixel of dy is read once or twice, where it lies, and its sums stay in registers over the item. */

/* dy's rows of one group into panels [panel][pixel][wide], zero-padded. */
static void FN(conv_pack_dy)(REAL *restrict out, const REAL *dy, ptrdiff_t pixels, ptrdiff_t K, ptrdiff_t cols,
                             ptrdiff_t wide)
{
    for (ptrdiff_t k0 = 0; k0 < cols; k0 += wide)
        for (ptrdiff_t i = 0; i < pixels; i++, out += wide)
            for (ptrdiff_t j = 0; j < wide; j += VL)
                FN(store)(out + j, k0 + j < cols ? FN(load_upto)(dy + i * K + k0 + j, cols - k0 - j, 0) : (vec){0});
}

/* Adds what `rows` output rows contribute to the filters of one group; x at the inputs of the first of their pixels,
 * neighbours of dy's pixels b_k apart. */
static void FN(conv_filter_rows)(const struct conv_filter_args *a, REAL *dw, const REAL *x, const REAL *dy,
                                 ptrdiff_t b_k, ptrdiff_t rows, ptrdiff_t cols)
{
    const ptrdiff_t x_row = a->s_h * a->Wp * a->C, dy_row = a->OW * b_k;
    ptrdiff_t row_offset[CONV_FILTER_ROWS];
    for (ptrdiff_t i = 0; i < rows && i < CONV_FILTER_ROWS; i++) row_offset[i] = i * x_row;
    for (ptrdiff_t oh = 0; oh < rows; oh += CONV_FILTER_ROWS) {
        const struct tile_args t = {
            .c = dw,
            .a = x + oh * x_row,
            .b = dy + oh * dy_row,
            .c_i = a->K,
            .a_r = row_offset,
            .a_row = a->offset,
            .a_k = a->s_w * a->C,
            .b_r = dy_row,
            .b_k = b_k,
            .rows = a->depth,
            .cols = cols,
            .R = rows - oh < CONV_FILTER_ROWS ? rows - oh : CONV_FILTER_ROWS,
            .K = a->OW,
            .add = 1,
        };
        FN(tile_rows)(&t);
    }
}

static void FN(conv_filter)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct conv_filter_args *a = args;
    const ptrdiff_t C = a->C, K = a->K, cols = K / a->groups, wide = a->wide, row = a->Wp * C;
    const ptrdiff_t padded_size = (((a->row_block - 1) * a->s_h + a->span) * row + VL - 1) / VL * VL;
    const REAL *dy_end = (const REAL *)a->dy + a->items / a->row_blocks * a->OH * a->OW * K;
    REAL *padded = scratch, *panels = padded + (a->padded ? padded_size : 0);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        REAL *partial = (REAL *)a->partial + unit * a->depth * K;
        const ptrdiff_t end = (unit + 1) * a->chunk < a->items ? (unit + 1) * a->chunk : a->items;
        FN(zero_run)(partial, a->depth * K);
        for (ptrdiff_t item = unit * a->chunk; item < end; item++) {
            const ptrdiff_t n = item / a->row_blocks, oh0 = item % a->row_blocks * a->row_block;
            const ptrdiff_t rows = a->OH - oh0 < a->row_block ? a->OH - oh0 : a->row_block, pixels = rows * a->OW;
            const REAL *dy = (const REAL *)a->dy + (n * a->OH + oh0) * a->OW * K;
            const REAL *image = (const REAL *)a->x + n * a->H * a->W * C, *x = image + oh0 * a->s_h * row;
            if (a->padded) {
                FN(conv_pad_rows)(padded, image, a->H, a->W, C, a->top, a->left, a->Wp, oh0 * a->s_h,
                                  (rows - 1) * a->s_h + a->span);
                x = padded;
            }
            /* The tile reads whole vectors; lanes that are not stored may be anybody's, but not beyond the array. */
            const int pack = a->pack || (cols % VL && dy_end - (dy + pixels * K) < VL);
            for (ptrdiff_t g = 0; g < a->groups; g++) {
                if (pack) FN(conv_pack_dy)(panels, dy + g * cols, pixels, K, cols, wide);
                for (ptrdiff_t k0 = 0; k0 < cols; k0 += wide)
                    FN(conv_filter_rows)(a, partial + g * cols + k0, x + g * (C / a->groups),
                                         pack ? panels + k0 * pixels : dy + g * cols + k0, pack ? wide : K, rows,
                                         cols - k0 < wide ? cols - k0 : wide);
            }
        }
    }
}
