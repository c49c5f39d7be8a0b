/* conv_grouped.inc.h   Convolution in many small groups: G = 1 (depthwise), 2, 4 or 8 channels each, in and out.
 *
 * Vectors run along the channels and hold VL/G whole groups. Output k meets all inputs of its group by exchanging
 * lanes within the groups:
 *
 *   y[k] = sum_{tap, d < G} x[k ^ d] * packed[tap, d, k],    packed[tap, d, k] = w[tap, (k % G) ^ d, k]
 *
 * Every output is one chain in the order kh, d, kw, whatever its neighbours. */

/* Outputs of a row that share a vector of filters, beside which the inputs of three taps have to find registers. */
#define GROUPED_OUTPUTS (TILE_ROWS > 6 ? 8 : 4)

/* Unit: a tap. For the gradient of the input, groups are transposed; `turned` by 180 degrees when it is a forward pass
 * over dy. */
static void FN(conv_grouped_pack)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_grouped_pack_args *a = args;
    const ptrdiff_t G = a->G, C = a->C;
    for (ptrdiff_t tap = lo; tap < hi; tap++) {
        const REAL *w = (const REAL *)a->w + (a->turned ? a->taps - 1 - tap : tap) * G * C;
        REAL *out = (REAL *)a->packed + tap * G * a->Cp;
        for (ptrdiff_t d = 0; d < G; d++, out += a->Cp)
            for (ptrdiff_t c = 0; c < a->Cp; c++)
                out[c] = c >= C ? 0 : a->transposed ? w[c % G * C + (c ^ d)] : w[((c ^ d) % G) * C + c];
    }
}

QUERNEL_INLINE vec FN(load_swapped)(const REAL *p, ptrdiff_t lanes, const int d)
{
    const vec x = FN(load_upto)(p, lanes, 0);
    return d ? FN(swap_lanes)(x, d) : x;
}

/* The taps that outputs of one row, or two, meet. Row i of outputs meets row kh = r - i of taps in row r of inputs. */
struct FN(conv_taps) {
    const REAL *w, *bias;
    ptrdiff_t r, r_end, n_h;  /* rows of inputs that are inside; rows of taps */
    ptrdiff_t n_w;            /* taps of a row */
    ptrdiff_t x_h, x_w;       /* distance of neighbours in the input */
    ptrdiff_t w_h, w_w, Cp;   /* and in the packed filters; distance between d and d + 1 */
    ptrdiff_t step_x, step_y; /* distance between neighbouring outputs' inputs, and outputs */
    ptrdiff_t y_h;            /* distance between rows of outputs */
    ptrdiff_t first, last;    /* outputs all of whose taps lie inside the row */
    int relu;
};

/* One vector of channels of outputs [o, o + count) of `rows` rows; x, y and t->w point to those of output 0.
 *
 * `taps` 0: t->n_w taps, all inside. 3: neighbouring outputs' inputs are neighbouring taps', and are loaded once for
 * all; the outermost two may lie outside. */
QUERNEL_INLINE void FN(grouped_vector)(REAL *y, const REAL *x, const REAL *w, const struct FN(conv_taps) * t,
                                       ptrdiff_t o, vec bias, ptrdiff_t lanes, const int G, const int taps,
                                       const int rows, const int count)
{
    const int left = o >= t->first, right = o + count <= t->last;
    vec sum[2][8];
    x += o * t->step_x, y += o * t->step_y;
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < count; j++) sum[i][j] = bias;
    if (count > 1) /* what the next rows will read and write for the first time */
#pragma GCC unroll 2
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
            for (int j = 0; j < count; j++) {
                __builtin_prefetch(x + (t->n_h + rows - 1 + i) * t->x_h + j * t->step_x, 0, 2);
                __builtin_prefetch(y + (rows + i) * t->y_h + j * t->step_y, 1, 2);
            }
    for (ptrdiff_t r = t->r; r < t->r_end; r++)
#pragma GCC unroll 8
        for (int d = 0; d < G; d++) {
            const REAL *from = x + r * t->x_h, *w_d = w + r * t->w_h + d * t->Cp;
            if (taps) {
                const int end = count + taps - 2;
                vec in[8 + 2] = {{0}};
                if (left) in[0] = FN(load_swapped)(from, lanes, d);
                if (right) in[end] = FN(load_swapped)(from + end * t->x_w, lanes, d);
#pragma GCC unroll 16
                for (int j = 1; j < end; j++) in[j] = FN(held)(FN(load_swapped)(from + j * t->x_w, lanes, d));
#pragma GCC unroll 2
                for (int i = 0; i < rows; i++, w_d -= t->w_h) {
                    if (rows > 1 && (r < i || r - i >= t->n_h)) continue;
#pragma GCC unroll 4
                    for (int kw = 0; kw < taps; kw++) {
                        const vec w_k = FN(load)(w_d + kw * t->w_w);
#pragma GCC unroll 8
                        for (int j = 0; j < count; j++) sum[i][j] += in[j + kw] * w_k;
                    }
                }
                continue;
            }
            for (ptrdiff_t kw = 0; kw < t->n_w; kw++) {
                const vec w_k = FN(load)(w_d + kw * t->w_w);
#pragma GCC unroll 8
                for (int j = 0; j < count; j++)
                    sum[0][j] += FN(load_swapped)(from + kw * t->x_w + j * t->step_x, lanes, d) * w_k;
            }
        }
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < count; j++) {
            const vec v = t->relu ? FN(vmax)((vec){0}, sum[i][j]) : sum[i][j];
            FN(store_upto)(y + i * t->y_h + j * t->step_y, v, lanes);
        }
}

/* All channels of the same outputs. */
QUERNEL_INLINE void FN(grouped_outputs)(REAL *y, const REAL *x, const struct FN(conv_taps) * t, ptrdiff_t o,
                                        ptrdiff_t C, const int G, const int taps, const int rows, const int count)
{
    ptrdiff_t c = 0;
    for (; c + VL <= C; c += VL) {
        const vec bias = t->bias ? FN(load)(t->bias + c) : (vec){0};
        FN(grouped_vector)(y + c, x + c, t->w + c, t, o, bias, VL, G, taps, rows, count);
    }
    if (c < C) {
        const vec bias = t->bias ? FN(load_part)(t->bias + c, C - c, 0) : (vec){0};
        FN(grouped_vector)(y + c, x + c, t->w + c, t, o, bias, C - c, G, taps, rows, count);
    }
}

/* Outputs [o, end) of each row, in blocks; the last one reaches back over outputs that are done. */
QUERNEL_INLINE void FN(grouped_span)(REAL *y, const REAL *x, const struct FN(conv_taps) * t, ptrdiff_t o, ptrdiff_t end,
                                     ptrdiff_t C, const int G, const int taps, const int rows)
{
    const ptrdiff_t size = end - o;
    if (size >= GROUPED_OUTPUTS)
        for (; end - o > 4 || (GROUPED_OUTPUTS == 4 && o < end); o += GROUPED_OUTPUTS) {
            if (o + GROUPED_OUTPUTS > end) o = end - GROUPED_OUTPUTS;
            FN(grouped_outputs)(y, x, t, o, C, G, taps, rows, GROUPED_OUTPUTS);
        }
    if (size >= 4)
        for (; o < end; o += 4) {
            if (o + 4 > end) o = end - 4;
            FN(grouped_outputs)(y, x, t, o, C, G, taps, rows, 4);
        }
    for (; o < end; o++) FN(grouped_outputs)(y, x, t, o, C, G, taps, rows, 1);
}

/* One function a width of group: any taps, and three of a row at once where neighbours share inputs. */
typedef void FN(grouped_fn)(REAL *y, const REAL *x, const struct FN(conv_taps) * t, ptrdiff_t o, ptrdiff_t end,
                            ptrdiff_t C);
#define GROUPED_OF(G, taps, rows)                                                                                      \
    static __attribute__((noinline)) void FN(grouped_##G##_##taps##x##rows)(                                           \
        REAL * y, const REAL *x, const struct FN(conv_taps) * t, ptrdiff_t o, ptrdiff_t end, ptrdiff_t C)              \
    {                                                                                                                  \
        FN(grouped_span)(y, x, t, o, end, C, G, taps, rows);                                                           \
    }
#define GROUPED(G) GROUPED_OF(G, 0, 1) GROUPED_OF(G, 3, 1)
GROUPED(1)
GROUPED_OF(1, 3, 2)
GROUPED(2)
GROUPED(4)
GROUPED(8)
#undef GROUPED
#undef GROUPED_OF

/* [log2 G][any taps, three, three of two rows]: larger groups leave no registers for two rows. */
static FN(grouped_fn) *const FN(grouped)[4][3] = {
    {FN(grouped_1_0x1), FN(grouped_1_3x1), FN(grouped_1_3x2)},
    {FN(grouped_2_0x1), FN(grouped_2_3x1), NULL},
    {FN(grouped_4_0x1), FN(grouped_4_3x1), NULL},
    {FN(grouped_8_0x1), FN(grouped_8_3x1), NULL},
};

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

/* Outputs [*first, *last) for which taps [tap, last_tap] lie inside a row; none if *last <= *first. */
QUERNEL_INLINE void FN(inner_outputs)(const struct conv_grouped_args *a, ptrdiff_t tap, ptrdiff_t last_tap,
                                      ptrdiff_t *first, ptrdiff_t *last)
{
    const ptrdiff_t before = a->left - tap * a->d_w, room = a->W + a->left - last_tap * a->d_w;
    const ptrdiff_t lo = before > 0 ? (before + a->s_w - 1) / a->s_w : 0; /* before <= ow * s_w < room */
    const ptrdiff_t hi = room > 0 ? (room + a->s_w - 1) / a->s_w : 0;
    *first = lo;
    *last = hi < a->OW ? hi : a->OW;
}

/* `count` pixels of C channels, further apart: `pixel`. */
static void FN(copy_pixels)(REAL *restrict out, const REAL *restrict x, ptrdiff_t count, ptrdiff_t C, ptrdiff_t pixel)
{
    for (ptrdiff_t i = 0; i < count; i++) FN(copy_run)(out + i * pixel, x + i * C, C);
}

/* What scratch holds of an image: rows [first, end), their pixels further apart. */
struct FN(copied_rows) {
    ptrdiff_t image, first, end;
};

/* Copies what is missing of rows [begin, end) of image n, and returns where row 0 would be. */
static const REAL *FN(copy_rows)(struct FN(copied_rows) * held, REAL *scratch, const struct conv_grouped_args *a,
                                 ptrdiff_t n, ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t row = a->W * a->pixel;
    if (held->image != n || end > held->first + a->copy_rows) {
        held->image = n;
        held->first = held->end = begin;
    }
    if (held->end < end) {
        FN(copy_pixels)(scratch + (held->end - held->first) * row,
                        (const REAL *)a->x + (n * a->H + held->end) * a->W * a->C, (end - held->end) * a->W, a->C,
                        a->pixel);
        held->end = end;
    }
    return scratch - held->first * row;
}

static void FN(conv_grouped_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct conv_grouped_args *a = args;
    const ptrdiff_t C = a->C, G = a->G, pairs = (a->OH + a->rows - 1) / a->rows, row = a->W * a->pixel;
    struct FN(copied_rows) held = {.image = -1};
    const int three = a->KW == 3 && a->s_w == a->d_w;
    struct FN(conv_taps) t = {.x_h = a->d_h * row, .x_w = a->d_w * a->pixel, .w_h = a->KW * G * a->Cp};
    t.w_w = G * a->Cp, t.Cp = a->Cp, t.step_x = a->s_w * a->pixel, t.step_y = C, t.y_h = a->OW * C, t.n_h = a->KH;
    t.bias = a->bias, t.relu = a->activation == ACT_RELU;
    FN(grouped_fn) *const *const functions = FN(grouped)[__builtin_ctzll((unsigned long long)G)];
    ptrdiff_t first, last; /* outputs that all taps of a row meet inside, or at least the middle one of three */
    FN(inner_outputs)(a, 0, a->KW - 1, &t.first, &t.last);
    FN(inner_outputs)(a, three ? 1 : 0, three ? 1 : a->KW - 1, &first, &last);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / pairs, oh = unit % pairs * a->rows;
        const ptrdiff_t rows = a->OH - oh < a->rows ? a->OH - oh : a->rows;
        const ptrdiff_t h = oh * a->s_h - a->top; /* of the first row of taps */
        const REAL *x = (const REAL *)a->x + n * a->H * a->W * C;
        REAL *y = (REAL *)a->out + (n * a->OH + oh) * t.y_h;
        t.w = a->packed, t.n_w = a->KW;
        FN(tap_range)(oh, a->s_h, a->d_h, a->top, a->KH + rows - 1, a->H, &t.r, &t.r_end);
        if (a->pixel != C && t.r < t.r_end)
            x = FN(copy_rows)(&held, scratch, a, n, h + t.r * a->d_h, h + (t.r_end - 1) * a->d_h + 1);
        x += h * row - a->left * a->pixel;
        if (first < last) functions[three ? rows : 0](y, x, &t, first, last, C);
        for (ptrdiff_t i = 0; i < rows; i++) {
            FN(tap_range)(oh + i, a->s_h, a->d_h, a->top, a->KH, a->H, &t.r, &t.r_end);
            for (ptrdiff_t ow = 0; ow < a->OW; ow++) {
                ptrdiff_t kw, last_kw;
                if (ow >= first && ow < last) ow = last;
                if (ow == a->OW) break;
                FN(tap_range)(ow, a->s_w, a->d_w, a->left, a->KW, a->W, &kw, &last_kw);
                t.n_w = last_kw - kw, t.w = (const REAL *)a->packed + kw * t.w_w;
                functions[0](y + i * t.y_h, x + i * a->s_h * row + kw * t.x_w, &t, ow, ow + 1, C);
            }
        }
        if (a->activation > ACT_RELU) {
            const struct tile_args block = {
                .c = y, .c_i = t.y_h, .rows = rows, .cols = t.y_h, .activation = a->activation, .alpha = a->alpha};
            FN(activate_block)(&block);
        }
    }
}

/* The taps that meet input i: `*count` of them, *first, *second and on at the same distance. */
QUERNEL_INLINE void FN(meeting_taps)(ptrdiff_t i, ptrdiff_t stride, ptrdiff_t dilation, ptrdiff_t pad, ptrdiff_t taps,
                                     ptrdiff_t outputs, ptrdiff_t *first, ptrdiff_t *second, ptrdiff_t *count)
{
    *first = *second = *count = 0;
    for (ptrdiff_t k = 0; k < taps; k++) {
        const ptrdiff_t from = i + pad - k * dilation;
        if (from < 0 || from % stride || from / stride >= outputs) continue;
        if (*count == 0) *first = k;
        if (*count == 1) *second = k;
        ++*count;
    }
}

/* For strides: without, the forward kernel does it over dy. */
static void FN(conv_grouped_backward_input)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_grouped_args *a = args;
    const ptrdiff_t C = a->C, w_w = a->G * a->Cp, w_h = a->KW * w_w;
    FN(grouped_fn) *const pixel = FN(grouped)[__builtin_ctzll((unsigned long long)a->G)][0];
    struct FN(conv_taps) t = {.Cp = a->Cp};
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / a->H, h = unit % a->H;
        REAL *dx = (REAL *)a->out + unit * a->W * C;
        const REAL *dy = (const REAL *)a->x + n * a->OH * a->OW * C;
        ptrdiff_t kh, next_h, kw, next_w;
        FN(meeting_taps)(h, a->s_h, a->d_h, a->top, a->KH, a->OH, &kh, &next_h, &t.r_end);
        t.w_h = (next_h - kh) * w_h;
        t.x_h = (kh - next_h) * a->d_h / a->s_h * a->OW * C;
        dy += (h + a->top - kh * a->d_h) / a->s_h * a->OW * C;
        for (ptrdiff_t i = 0; i < a->W; i++) {
            FN(meeting_taps)(i, a->s_w, a->d_w, a->left, a->KW, a->OW, &kw, &next_w, &t.n_w);
            t.w_w = (next_w - kw) * w_w;
            t.x_w = (kw - next_w) * a->d_w / a->s_w * C;
            t.w = (const REAL *)a->packed + kh * w_h + kw * w_w;
            pixel(dx + i * C, dy + (i + a->left - kw * a->d_w) / a->s_w * C, &t, 0, 1, C);
        }
    }
}

#include "conv_grouped_filter.inc.h"
#undef GROUPED_OUTPUTS
