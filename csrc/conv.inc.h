/* conv.inc.h   The convolution core; see conv.h. */

static void FN(conv_pack)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_pack_args *a = args;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t g = unit / a->panels, j0 = unit % a->panels * TILE_COLS;
        const ptrdiff_t cols = a->cols - j0 < TILE_COLS ? a->cols - j0 : TILE_COLS;
        REAL *restrict out = (REAL *)a->packed + unit * a->taps_h * a->taps_w * a->depth_t * TILE_COLS;
        for (ptrdiff_t t = 0; t < a->taps_h * a->taps_w; t++) {
            const ptrdiff_t tap = t / a->taps_w * a->tap_h + t % a->taps_w * a->tap_w;
            const REAL *w = (const REAL *)a->w + tap + g * a->w_g + j0 * a->w_j;
            for (ptrdiff_t i = 0; i < a->depth_t; i++, out += TILE_COLS)
                for (ptrdiff_t j = 0; j < TILE_COLS; j++) out[j] = j < cols ? w[i * a->w_i + j * a->w_j] : 0;
        }
    }
}

/* Copies `length` elements; runs are often too short for a call of memcpy to pay. */
QUERNEL_INLINE void FN(copy_run)(REAL *restrict to, const REAL *restrict from, ptrdiff_t length)
{
    ptrdiff_t i = 0;
    for (; i + VL <= length; i += VL) FN(store)(to + i, FN(load)(from + i));
    if (i < length) FN(store_part)(to + i, FN(load_part)(from + i, length - i, 0), length - i);
}

QUERNEL_INLINE void FN(zero_run)(REAL *to, ptrdiff_t length)
{
    if (length > 0) memset(to, 0, (size_t)length * sizeof(REAL));
}

/* Rows [first, first + rows) of the padded image: zeros around what x has, cropped where padding is negative. */
static void FN(conv_pad_rows)(REAL *restrict out, const REAL *x, ptrdiff_t H, ptrdiff_t W, ptrdiff_t C, ptrdiff_t top,
                              ptrdiff_t left, ptrdiff_t Wp, ptrdiff_t first, ptrdiff_t rows)
{
    const ptrdiff_t from = left < 0 ? -left : 0, to = left > 0 ? left : 0;
    ptrdiff_t width = W - from < Wp - to ? W - from : Wp - to;
    if (width < 0) width = 0;
    if (Wp * C == 0) return; /* `out` may be NULL then, which memset does not allow even for no bytes */
    for (ptrdiff_t i = 0; i < rows; i++, out += Wp * C) {
        const ptrdiff_t h = first + i - top;
        if (h < 0 || h >= H || width * C == 0) {
            FN(zero_run)(out, Wp * C);
            continue;
        }
        FN(zero_run)(out, to * C);
        memcpy(out + to * C, x + (h * W + from) * C, (size_t)(width * C) * sizeof(REAL));
        FN(zero_run)(out + (to + width) * C, (Wp - to - width) * C);
    }
}

#include "conv_dot.inc.h"

static void FN(conv_rows)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct conv_args *a = args;
    const ptrdiff_t C = a->C, blocks = (a->OH + a->row_block - 1) / a->row_block;
    const ptrdiff_t depth = a->R * a->run, width = a->dot ? CONV_DOT_COLS : TILE_COLS; /* of a panel */
    const ptrdiff_t panels = (a->cols + width - 1) / width;
    const ptrdiff_t panel = a->dot ? a->R * ((a->run + VL - 1) / VL) * VL * width : depth * width;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / blocks, oh0 = unit % blocks * a->row_block;
        const ptrdiff_t rows = a->OH - oh0 < a->row_block ? a->OH - oh0 : a->row_block;
        const REAL *image = (const REAL *)a->x + n * a->H * a->W * C, *x = image + oh0 * a->s_h * a->W * C;
        REAL *free_scratch = scratch;
        if (a->padded) {
            const ptrdiff_t padded_rows = (rows - 1) * a->s_h + a->span;
            FN(conv_pad_rows)(free_scratch, image, a->H, a->W, C, a->top, a->left, a->Wp, oh0 * a->s_h, padded_rows);
            x = free_scratch;
            free_scratch += (padded_rows * a->Wp * C + VL - 1) / VL * VL;
        }
        REAL *y = (REAL *)a->y + n * a->y_n + oh0 * a->y_h;
        struct tile_args t = {.c_i = a->y_w, .b_k = TILE_COLS, .activation = a->activation, .alpha = a->alpha};
        for (ptrdiff_t g = 0; g < a->groups; g++) {
            const REAL *x_g = x + g * a->x_g;
            if (a->gather)
                for (ptrdiff_t i = 0; i < rows * a->OW; i++) {
                    const REAL *from = x_g + i / a->OW * a->s_h * a->Wp * C + i % a->OW * a->s_w * C;
                    for (ptrdiff_t r = 0; r < a->R; r++)
                        FN(copy_run)(free_scratch + i * depth + r * a->run, from + a->offset[r], a->run);
                }
            for (ptrdiff_t p = 0; p < panels; p++) {
                const ptrdiff_t k0 = p * width;
                t.cols = a->cols - k0 < width ? a->cols - k0 : width;
                t.b = (const REAL *)a->packed + (g * panels + p) * panel;
                t.bias = a->bias ? (const REAL *)a->bias + g * a->cols + k0 : NULL;
                t.a_k = 1;
                REAL *y_gp = y + g * a->y_g + k0;
                if (a->gather && a->y_h == a->OW * a->y_w) { /* rows of y follow each other: all pixels at once */
                    t.R = 1, t.K = depth, t.a_i = depth, t.rows = rows * a->OW;
                    t.a = free_scratch, t.c = y_gp;
                    FN(tile_rows)(&t);
                    continue;
                }
                for (ptrdiff_t oh = 0; oh < rows; oh++) {
                    t.rows = a->OW;
                    t.c = y_gp + oh * a->y_h;
                    if (a->gather) {
                        t.R = 1, t.K = depth, t.a_i = depth;
                        t.a = free_scratch + oh * a->OW * depth;
                    } else {
                        t.R = a->R, t.K = a->run, t.a_i = a->s_w * C;
                        t.a_r = a->offset, t.b_r = a->run * TILE_COLS;
                        t.a = x_g + oh * a->s_h * a->Wp * C;
                    }
                    if (a->dot)
                        FN(dot_rows)(&t);
                    else
                        FN(tile_rows)(&t);
                }
            }
        }
    }
}

#include "conv_filter.inc.h"
#include "conv_grouped.inc.h"
#include "conv_cols.inc.h"
