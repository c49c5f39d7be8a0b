/* conv_cols.inc.h   The explicit path: patches as rows of a matrix, and the sum of patches back into an image. */

static void FN(conv_im2col)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_cols_args *a = args;
    const ptrdiff_t C = a->C;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / a->OH, oh = unit % a->OH;
        REAL *cols = (REAL *)a->out + unit * a->OW * a->KH * a->KW * C;
        for (ptrdiff_t ow = 0; ow < a->OW; ow++)
            for (ptrdiff_t kh = 0; kh < a->KH; kh++) {
                const ptrdiff_t h = oh * a->s_h + kh * a->d_h - a->top;
                for (ptrdiff_t kw = 0; kw < a->KW; kw++, cols += C) {
                    const ptrdiff_t w = ow * a->s_w + kw * a->d_w - a->left;
                    if (h < 0 || h >= a->H || w < 0 || w >= a->W)
                        FN(zero_run)(cols, C);
                    else
                        FN(copy_run)(cols, (const REAL *)a->in + ((n * a->H + h) * a->W + w) * C, C);
                }
            }
    }
}

static void FN(conv_col2im)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_cols_args *a = args;
    const ptrdiff_t C = a->C, patch = a->KH * a->KW * C;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / a->H, h = unit % a->H;
        REAL *x = (REAL *)a->out + unit * a->W * C;
        FN(zero_run)(x, a->W * C);
        for (ptrdiff_t kh = 0; kh < a->KH; kh++) {
            const ptrdiff_t from_h = h + a->top - kh * a->d_h, oh = from_h / a->s_h;
            if (from_h < 0 || from_h % a->s_h || oh >= a->OH) continue;
            for (ptrdiff_t ow = 0; ow < a->OW; ow++)
                for (ptrdiff_t kw = 0; kw < a->KW; kw++) {
                    const ptrdiff_t w = ow * a->s_w + kw * a->d_w - a->left;
                    if (w < 0 || w >= a->W) continue;
                    const REAL *from =
                        (const REAL *)a->in + ((n * a->OH + oh) * a->OW + ow) * patch + (kh * a->KW + kw) * C;
                    for (ptrdiff_t c = 0; c < C; c += VL)
                        FN(store_upto)(x + w * C + c,
                                       FN(load_upto)(x + w * C + c, C - c, 0) + FN(load_upto)(from + c, C - c, 0),
                                       C - c);
                }
        }
    }
}
