/* conv_depthwise.inc.h   Convolution with one filter a channel: no sum over channels, so vectors run along them. */

/* Taps k in [first, last) reach inside an input of `extent` from output position o. */
QUERNEL_INLINE void FN(tap_range)(ptrdiff_t o, ptrdiff_t stride, ptrdiff_t dilation, ptrdiff_t pad, ptrdiff_t taps,
                                  ptrdiff_t extent, ptrdiff_t *first, ptrdiff_t *last)
{
    const ptrdiff_t start = o * stride - pad; /* input position of tap 0 */
    ptrdiff_t lo = start < 0 ? (-start + dilation - 1) / dilation : 0;
    ptrdiff_t hi = start < extent ? (extent - start + dilation - 1) / dilation : 0;
    *last = hi < taps ? hi : taps;
    *first = lo < *last ? lo : *last;
}

static void FN(conv_depthwise_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_depthwise_args *a = args;
    const ptrdiff_t C = a->C;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / a->OH, oh = unit % a->OH;
        const REAL *x = (const REAL *)a->x + n * a->H * a->W * C;
        REAL *y = (REAL *)a->out + unit * a->OW * C;
        ptrdiff_t kh0, kh1;
        FN(tap_range)(oh, a->s_h, a->d_h, a->top, a->KH, a->H, &kh0, &kh1);
        for (ptrdiff_t ow = 0; ow < a->OW; ow++) {
            ptrdiff_t kw0, kw1;
            FN(tap_range)(ow, a->s_w, a->d_w, a->left, a->KW, a->W, &kw0, &kw1);
            for (ptrdiff_t c = 0; c < C; c += VL) {
                const ptrdiff_t lanes = C - c;
                vec sum = a->bias ? FN(load_upto)((const REAL *)a->bias + c, lanes, 0) : (vec){0};
                for (ptrdiff_t kh = kh0; kh < kh1; kh++) {
                    const REAL *x_h = x + (oh * a->s_h + kh * a->d_h - a->top) * a->W * C + c;
                    for (ptrdiff_t kw = kw0; kw < kw1; kw++)
                        sum += FN(load_upto)(x_h + (ow * a->s_w + kw * a->d_w - a->left) * C, lanes, 0) *
                               FN(load_upto)((const REAL *)a->w + (kh * a->KW + kw) * C + c, lanes, 0);
                }
                FN(store_upto)(y + ow * C + c, FN(activate)(sum, a->activation, (REAL)a->alpha), lanes);
            }
        }
    }
}

static void FN(conv_depthwise_backward_input)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_depthwise_args *a = args;
    const ptrdiff_t C = a->C;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / a->H, h = unit % a->H;
        const REAL *dy = (const REAL *)a->dy + n * a->OH * a->OW * C;
        REAL *dx = (REAL *)a->out + unit * a->W * C;
        for (ptrdiff_t w = 0; w < a->W; w++)
            for (ptrdiff_t c = 0; c < C; c += VL) {
                vec sum = {0};
                for (ptrdiff_t kh = 0; kh < a->KH; kh++) {
                    const ptrdiff_t from_h = h + a->top - kh * a->d_h, oh = from_h / a->s_h;
                    if (from_h < 0 || from_h % a->s_h || oh >= a->OH) continue;
                    for (ptrdiff_t kw = 0; kw < a->KW; kw++) {
                        const ptrdiff_t from_w = w + a->left - kw * a->d_w, ow = from_w / a->s_w;
                        if (from_w < 0 || from_w % a->s_w || ow >= a->OW) continue;
                        sum += FN(load_upto)(dy + (oh * a->OW + ow) * C + c, C - c, 0) *
                               FN(load_upto)((const REAL *)a->w + (kh * a->KW + kw) * C + c, C - c, 0);
                    }
                }
                FN(store_upto)(dx + w * C + c, sum, C - c);
            }
    }
}

static void FN(conv_depthwise_backward_kernel)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_depthwise_args *a = args;
    const ptrdiff_t C = a->C;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        REAL *dw = (REAL *)a->out + unit * a->KH * a->KW * C;
        const ptrdiff_t n0 = unit * a->chunk, n1 = n0 + a->chunk < a->N ? n0 + a->chunk : a->N;
        FN(zero_run)(dw, a->KH * a->KW * C);
        for (ptrdiff_t n = n0; n < n1; n++)
            for (ptrdiff_t oh = 0; oh < a->OH; oh++) {
                const REAL *dy = (const REAL *)a->dy + (n * a->OH + oh) * a->OW * C;
                ptrdiff_t kh0, kh1;
                FN(tap_range)(oh, a->s_h, a->d_h, a->top, a->KH, a->H, &kh0, &kh1);
                for (ptrdiff_t kh = kh0; kh < kh1; kh++) {
                    const REAL *x = (const REAL *)a->x + (n * a->H + oh * a->s_h + kh * a->d_h - a->top) * a->W * C;
                    for (ptrdiff_t kw = 0; kw < a->KW; kw++) {
                        const ptrdiff_t shift = kw * a->d_w - a->left; /* w = ow s_w + shift */
                        const ptrdiff_t ow0 = shift < 0 ? (-shift + a->s_w - 1) / a->s_w : 0;
                        const ptrdiff_t fit = a->W - shift > 0 ? (a->W - shift + a->s_w - 1) / a->s_w : 0;
                        const ptrdiff_t ow1 = fit < a->OW ? fit : a->OW;
                        REAL *dw_t = dw + (kh * a->KW + kw) * C;
                        for (ptrdiff_t c = 0; c < C; c += VL) {
                            vec sum = FN(load_upto)(dw_t + c, C - c, 0);
                            for (ptrdiff_t ow = ow0; ow < ow1; ow++)
                                sum += FN(load_upto)(x + (ow * a->s_w + shift) * C + c, C - c, 0) *
                                       FN(load_upto)(dy + ow * C + c, C - c, 0);
                            FN(store_upto)(dw_t + c, sum, C - c);
                        }
                    }
                }
            }
    }
}
