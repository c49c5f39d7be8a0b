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

/* `count` outputs of a row at once, so that a weight is loaded once for all and sums do not wait for each other. */
QUERNEL_INLINE void FN(depthwise_outputs)(REAL *y, const REAL *x, const struct conv_depthwise_args *a, ptrdiff_t kh0,
                                          ptrdiff_t kh1, ptrdiff_t kw0, ptrdiff_t kw1, const int count)
{
    const ptrdiff_t C = a->C, step = a->s_w * C, row = a->d_h * a->W * C, tap = a->d_w * C;
    for (ptrdiff_t c = 0; c < C; c += VL) {
        const ptrdiff_t lanes = C - c;
        const vec bias = a->bias ? FN(load_upto)((const REAL *)a->bias + c, lanes, 0) : (vec){0};
        vec sum[4];
        for (int i = 0; i < count; i++) sum[i] = bias;
        for (ptrdiff_t kh = kh0; kh < kh1; kh++)
            for (ptrdiff_t kw = kw0; kw < kw1; kw++) {
                const vec w = FN(load_upto)((const REAL *)a->w + (kh * a->KW + kw) * a->w_tap + c, lanes, 0);
                const REAL *from = x + kh * row + kw * tap + c;
#pragma GCC unroll 4
                for (int i = 0; i < count; i++) sum[i] += FN(load_upto)(from + i * step, lanes, 0) * w;
            }
        for (int i = 0; i < count; i++)
            FN(store_upto)(y + i * C + c, FN(activate)(sum[i], a->activation, (REAL)a->alpha), lanes);
    }
}

static void FN(conv_depthwise_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_depthwise_args *a = args;
    const ptrdiff_t C = a->C, reach = (a->KW - 1) * a->d_w;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / a->OH, oh = unit % a->OH;
        const REAL *x = (const REAL *)a->x + (n * a->H + oh * a->s_h - a->top) * a->W * C;
        REAL *y = (REAL *)a->out + unit * a->OW * C;
        ptrdiff_t kh0, kh1, count;
        FN(tap_range)(oh, a->s_h, a->d_h, a->top, a->KH, a->H, &kh0, &kh1);
        for (ptrdiff_t ow = 0; ow < a->OW; ow += count) {
            const ptrdiff_t w0 = ow * a->s_w - a->left;
            const REAL *from = x + w0 * C;
            count = 1;
            if (w0 >= 0 && ow + 4 <= a->OW && w0 + 3 * a->s_w + reach < a->W) {
                FN(depthwise_outputs)(y + ow * C, from, a, kh0, kh1, 0, a->KW, 4);
                count = 4;
            } else if (w0 >= 0 && w0 + reach < a->W) {
                FN(depthwise_outputs)(y + ow * C, from, a, kh0, kh1, 0, a->KW, 1);
            } else {
                ptrdiff_t kw0, kw1;
                FN(tap_range)(ow, a->s_w, a->d_w, a->left, a->KW, a->W, &kw0, &kw1);
                FN(depthwise_outputs)(y + ow * C, from, a, kh0, kh1, kw0, kw1, 1);
            }
        }
    }
}

/* Outputs [*first, *last) for which tap position ow * stride + shift lies in [0, extent). */
QUERNEL_INLINE void FN(output_range)(ptrdiff_t shift, ptrdiff_t stride, ptrdiff_t extent, ptrdiff_t outputs,
                                     ptrdiff_t *first, ptrdiff_t *last)
{
    const ptrdiff_t fit = extent > shift ? (extent - shift + stride - 1) / stride : 0;
    *first = shift < 0 ? (-shift + stride - 1) / stride : 0;
    *last = fit < outputs ? fit : outputs;
}

/* With a stride: every tap adds its share to the inputs it met. (Without, the forward kernel does it, filter turned.)
 */
static void FN(conv_depthwise_backward_input)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_depthwise_args *a = args;
    const ptrdiff_t C = a->C;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / a->H, h = unit % a->H;
        REAL *dx = (REAL *)a->out + unit * a->W * C;
        FN(zero_run)(dx, a->W * C);
        for (ptrdiff_t kh = 0; kh < a->KH; kh++) {
            const ptrdiff_t from_h = h + a->top - kh * a->d_h, oh = from_h / a->s_h;
            if (from_h < 0 || from_h % a->s_h || oh >= a->OH) continue;
            const REAL *dy = (const REAL *)a->dy + (n * a->OH + oh) * a->OW * C;
            for (ptrdiff_t kw = 0; kw < a->KW; kw++) {
                const REAL *w = (const REAL *)a->w + (kh * a->KW + kw) * a->w_tap;
                const ptrdiff_t shift = kw * a->d_w - a->left;
                ptrdiff_t ow0, ow1;
                FN(output_range)(shift, a->s_w, a->W, a->OW, &ow0, &ow1);
                for (ptrdiff_t ow = ow0; ow < ow1; ow++) {
                    REAL *to = dx + (ow * a->s_w + shift) * C;
                    for (ptrdiff_t c = 0; c < C; c += VL)
                        FN(store_upto)(to + c,
                                       FN(load_upto)(to + c, C - c, 0) +
                                           FN(load_upto)(dy + ow * C + c, C - c, 0) * FN(load_upto)(w + c, C - c, 0),
                                       C - c);
                }
            }
        }
    }
}

static void FN(conv_depthwise_backward_kernel)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_depthwise_args *a = args;
    const ptrdiff_t C = a->C, step = a->s_w * C;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        REAL *dw = (REAL *)a->out + unit * a->KH * a->KW * C;
        const ptrdiff_t n0 = unit * a->chunk, n1 = n0 + a->chunk < a->N ? n0 + a->chunk : a->N;
        FN(zero_run)(dw, a->KH * a->KW * C);
        for (ptrdiff_t row = n0 * a->OH; row < n1 * a->OH; row++) {
            const ptrdiff_t n = row / a->OH, oh = row % a->OH;
            ptrdiff_t kh0, kh1, ow0, ow1;
            FN(tap_range)(oh, a->s_h, a->d_h, a->top, a->KH, a->H, &kh0, &kh1);
            for (ptrdiff_t kh = kh0; kh < kh1; kh++)
                for (ptrdiff_t kw = 0; kw < a->KW; kw++) {
                    const ptrdiff_t shift = kw * a->d_w - a->left;
                    FN(output_range)(shift, a->s_w, a->W, a->OW, &ow0, &ow1);
                    const ptrdiff_t h = n * a->H + oh * a->s_h + kh * a->d_h - a->top;
                    const REAL *x = (const REAL *)a->x + (h * a->W + shift) * C,
                               *dy = (const REAL *)a->dy + row * a->OW * C;
                    REAL *dw_t = dw + (kh * a->KW + kw) * C;
                    for (ptrdiff_t c = 0; c < C; c += VL) {
                        vec sum[4] = {FN(load_upto)(dw_t + c, C - c, 0)}; /* four chains: none waits for another */
                        ptrdiff_t ow = ow0;
                        for (; ow + 4 <= ow1; ow += 4)
#pragma GCC unroll 4
                            for (int i = 0; i < 4; i++)
                                sum[i] += FN(load_upto)(x + (ow + i) * step + c, C - c, 0) *
                                          FN(load_upto)(dy + (ow + i) * C + c, C - c, 0);
                        for (; ow < ow1; ow++)
                            sum[0] +=
                                FN(load_upto)(x + ow * step + c, C - c, 0) * FN(load_upto)(dy + ow * C + c, C - c, 0);
                        FN(store_upto)(dw_t + c, (sum[0] + sum[1]) + (sum[2] + sum[3]), C - c);
                    }
                }
        }
    }
}
