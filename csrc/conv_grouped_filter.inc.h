/* conv_grouped_filter.inc.h   The gradient of small groups' filters, in the layout of conv_grouped.inc.h:
 *
 *   acc[tap, d, k] = sum over n, oh, ow of x[pixel + tap, k ^ d] * dy[pixel, k]
 *
 * A block of up to 3 x 3 taps of one vector of channels is summed in registers over row_block rows of an image. Rows of
 * taps that lie outside the image read a row of zeros. */

/* Rows of taps that are summed at once, as registers allow: G * 3 accumulators each. */
#define GROUPED_TAP_ROWS(G) ((G) == 1 || ((G) == 2 && TILE_ROWS > 12) ? 3 : 1)
/* Outputs whose inputs are loaded once for three taps. */
#define GROUPED_STEP(G) ((G) < 8 && TILE_ROWS > 12 ? 4 : 2)

/* A block of taps, of one vector of channels of one image. */
struct FN(filter_block) {
    REAL *dw;
    const REAL *x, *dy, *zeros;
    ptrdiff_t kh, kw;     /* first tap */
    ptrdiff_t oh, oh_end; /* output rows */
};

/* Outputs [ow, ow + count) of a row; x_i are the rows of taps, from where output 0 has the first tap. Where `near`,
 * neighbouring outputs' inputs are neighbouring taps', and are loaded once for all; the outermost two may lie outside:
 * left, right say. Otherwise the whole block of taps lies inside. */
QUERNEL_INLINE void FN(filter_outputs)(vec acc[3][3][8], const REAL *const x_i[3], const REAL *dy,
                                       const struct conv_grouped_args *a, ptrdiff_t ow, ptrdiff_t lanes, int left,
                                       int right, const int G, const int rows, const int cols, const int near,
                                       const int count)
{
    const ptrdiff_t tap = a->d_w * a->pixel, step = a->s_w * a->pixel;
    vec g[4];
#pragma GCC unroll 4
    for (int o = 0; o < count; o++) g[o] = FN(load_upto)(dy + (ow + o) * a->pixel, lanes, 0);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int d = 0; d < G; d++) {
            const REAL *from = x_i[i] + ow * step;
            if (near) {
                vec in[4 + 2] = {{0}};
                if (left) in[0] = FN(load_swapped)(from, lanes, d);
                if (right) in[count + 1] = FN(load_swapped)(from + (count + 1) * tap, lanes, d);
#pragma GCC unroll 4
                for (int o = 1; o < count + 1; o++) in[o] = FN(held)(FN(load_swapped)(from + o * tap, lanes, d));
#pragma GCC unroll 4
                for (int j = 0; j < cols; j++)
#pragma GCC unroll 4
                    for (int o = 0; o < count; o++) acc[i][j][d] += in[o + j] * g[o];
            } else {
#pragma GCC unroll 4
                for (int j = 0; j < cols; j++)
#pragma GCC unroll 4
                    for (int o = 0; o < count; o++)
                        acc[i][j][d] += FN(load_swapped)(from + o * step + j * tap, lanes, d) * g[o];
            }
        }
}

/* Taps [kh, kh + rows) x [kw, kw + cols) over output rows [oh, oh_end). */
QUERNEL_INLINE void FN(filter_rows)(const struct FN(filter_block) * b, const struct conv_grouped_args *a,
                                    ptrdiff_t lanes, const int G, const int rows, const int cols, const int near)
{
    const ptrdiff_t C = a->pixel, shift = b->kw * a->d_w - a->left;
    const int skip = near ? 1 : 0; /* columns of taps on either side that may lie outside */
    ptrdiff_t first, last, inner_first, inner_last;
    FN(inner_outputs)(a, b->kw + skip, b->kw + cols - 1 - skip, &first, &last);
    FN(inner_outputs)(a, b->kw, b->kw + cols - 1, &inner_first, &inner_last);
    REAL *dw = b->dw + (b->kh * a->KW + b->kw) * G * a->Cp;
    vec acc[3][3][8];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
#pragma GCC unroll 8
            for (int d = 0; d < G; d++) acc[i][j][d] = FN(load)(dw + ((i * a->KW + j) * G + d) * a->Cp);
    for (ptrdiff_t oh = b->oh; oh < b->oh_end; oh++) {
        const REAL *x_i[3], *dy = b->dy + oh * a->OW * C;
        int inside = 0;
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const ptrdiff_t h = oh * a->s_h + (b->kh + i) * a->d_h - a->top;
            const int has_row = h >= 0 && h < a->H;
            x_i[i] = (has_row ? b->x + h * a->W * C : b->zeros) + shift * C;
            inside |= has_row;
        }
        if (!inside) continue;
        /* What the next row_block rows will read for the first time. */
        const ptrdiff_t next = oh + a->row_block;
        const REAL *dy_next = b->dy + next * a->OW * C;
        const REAL *x_next = b->x + ((next * a->s_h + (a->KH - 1) * a->d_h - a->top) * a->W + shift) * C;
        const int ahead = b->kh == 0 && b->kw == 0 && C == a->C;
        for (ptrdiff_t ow = 0; ow < a->OW; ow++) {
            if (ow >= first && ow < last) {
                for (; ow + GROUPED_STEP(G) <= last; ow += GROUPED_STEP(G)) {
                    if (ahead)
                        for (int o = 0; o < GROUPED_STEP(G); o++) {
                            __builtin_prefetch(dy_next + (ow + o) * C, 0, 2);
                            __builtin_prefetch(x_next + (ow + o) * a->s_w * C, 0, 2);
                        }
                    FN(filter_outputs)(acc, x_i, dy, a, ow, lanes, ow >= inner_first,
                                       ow + GROUPED_STEP(G) <= inner_last, G, rows, cols, near, GROUPED_STEP(G));
                }
                for (; ow < last; ow++)
                    FN(filter_outputs)(acc, x_i, dy, a, ow, lanes, ow >= inner_first, ow < inner_last, G, rows, cols,
                                       near, 1);
                ow--;
                continue;
            }
            const vec g = FN(load_upto)(dy + ow * C, lanes, 0);
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++) {
                const ptrdiff_t w = ow * a->s_w + shift + j * a->d_w;
                if (w < 0 || w >= a->W) continue;
#pragma GCC unroll 4
                for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
                    for (int d = 0; d < G; d++)
                        acc[i][j][d] += FN(load_swapped)(x_i[i] + (ow * a->s_w + j * a->d_w) * C, lanes, d) * g;
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
#pragma GCC unroll 8
            for (int d = 0; d < G; d++) FN(store)(dw + ((i * a->KW + j) * G + d) * a->Cp, acc[i][j][d]);
}

/* The same for all channels. */
QUERNEL_INLINE void FN(filter_channels)(struct FN(filter_block) b, const struct conv_grouped_args *a, ptrdiff_t kh,
                                        ptrdiff_t kw, const int G, const int rows, const int cols, const int near)
{
    b.kh = kh, b.kw = kw;
    ptrdiff_t c = 0;
    for (; c + VL <= a->C; c += VL, b.dw += VL, b.x += VL, b.dy += VL) FN(filter_rows)(&b, a, VL, G, rows, cols, near);
    if (c < a->C) FN(filter_rows)(&b, a, a->C - c, G, rows, cols, near);
}

/* All taps, in blocks. */
QUERNEL_INLINE void FN(filter_taps)(const struct FN(filter_block) * b, const struct conv_grouped_args *a, const int G)
{
    const int tall = GROUPED_TAP_ROWS(G), near = a->s_w == a->d_w;
    ptrdiff_t kh = 0;
    while (kh < a->KH) {
        const int rows = a->KH - kh >= tall && a->KW >= 3 ? tall : 1;
        ptrdiff_t kw = 0;
        for (; kw + 3 <= a->KW; kw += 3) {
            if (rows == tall && near)
                FN(filter_channels)(*b, a, kh, kw, G, tall, 3, 1);
            else if (rows == tall)
                FN(filter_channels)(*b, a, kh, kw, G, tall, 3, 0);
            else
                FN(filter_channels)(*b, a, kh, kw, G, 1, 3, 0);
        }
        for (; kw < a->KW; kw++)
            for (int i = 0; i < rows; i++) FN(filter_channels)(*b, a, kh + i, kw, G, 1, 1, 0);
        kh += rows;
    }
}

#define GROUPED_FILTER(G)                                                                                              \
    static __attribute__((noinline)) void FN(filter_taps_##G)(const struct FN(filter_block) * b,                       \
                                                              const struct conv_grouped_args *a)                       \
    {                                                                                                                  \
        FN(filter_taps)(b, a, G);                                                                                      \
    }
GROUPED_FILTER(1)
GROUPED_FILTER(2)
GROUPED_FILTER(4)
GROUPED_FILTER(8)
#undef GROUPED_FILTER

/* The rows that a block reads, further apart. */
static void FN(copy_block)(struct FN(filter_block) * b, const struct conv_grouped_args *a, REAL *scratch)
{
    const ptrdiff_t row = a->W * a->pixel, dy_row = a->OW * a->pixel;
    const ptrdiff_t above = b->oh * a->s_h - a->top,
                    below = (b->oh_end - 1) * a->s_h - a->top + (a->KH - 1) * a->d_h + 1;
    const ptrdiff_t h = above > 0 ? above : 0, end = below < a->H ? below : a->H;
    if (h < end) {
        FN(copy_pixels)(scratch, b->x + h * a->W * a->C, (end - h) * a->W, a->C, a->pixel);
        b->x = scratch - h * row;
        scratch += (end - h) * row;
    }
    FN(copy_pixels)(scratch, b->dy + b->oh * a->OW * a->C, (b->oh_end - b->oh) * a->OW, a->C, a->pixel);
    b->dy = scratch - b->oh * dy_row;
}

static void FN(conv_grouped_backward_kernel)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct conv_grouped_args *a = args;
    const ptrdiff_t size = a->KH * a->KW * a->G * a->Cp;
    FN(zero_run)(scratch, a->W * a->pixel);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        REAL *dw = (REAL *)a->out + unit * size;
        const ptrdiff_t end = (unit + 1) * a->chunk < a->N ? (unit + 1) * a->chunk : a->N;
        FN(zero_run)(dw, size);
        for (ptrdiff_t n = unit * a->chunk; n < end; n++)
            for (ptrdiff_t oh = 0; oh < a->OH; oh += a->row_block) {
                struct FN(filter_block) b = {
                    .dw = dw,
                    .x = (const REAL *)a->x + n * a->H * a->W * a->C,
                    .dy = (const REAL *)a->dy + n * a->OH * a->OW * a->C,
                    .zeros = scratch,
                    .oh = oh,
                    .oh_end = oh + a->row_block < a->OH ? oh + a->row_block : a->OH,
                };
                if (a->pixel != a->C) FN(copy_block)(&b, a, (REAL *)scratch + a->W * a->pixel);
                switch (a->G) {
                case 1: FN(filter_taps_1)(&b, a); break;
                case 2: FN(filter_taps_2)(&b, a); break;
                case 4: FN(filter_taps_4)(&b, a); break;
                default: FN(filter_taps_8)(&b, a);
                }
            }
    }
}

/* The sum of the chunks' partial results, in order, out of the packed layout. Unit: a tap. */
static void FN(conv_grouped_unpack)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct conv_grouped_pack_args *a = args;
    const ptrdiff_t G = a->G, C = a->C;
    for (ptrdiff_t tap = lo; tap < hi; tap++) {
        REAL *dw = (REAL *)a->w + tap * G * C;
        for (ptrdiff_t d = 0; d < G; d++) {
            REAL *sum = (REAL *)a->packed + (tap * G + d) * a->Cp;
            for (ptrdiff_t s = 1; s < a->slices; s++)
                for (ptrdiff_t c = 0; c < a->Cp; c += VL)
                    FN(store)(sum + c, FN(load)(sum + c) + FN(load)(sum + s * a->taps * G * a->Cp + c));
            for (ptrdiff_t c = 0; c < C; c++) dw[((c ^ d) % G) * C + c] = sum[c];
        }
    }
}
#undef GROUPED_TAP_ROWS
#undef GROUPED_STEP
