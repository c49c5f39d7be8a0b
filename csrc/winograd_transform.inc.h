/* winograd_transform.inc.h   The three transforms of winograd.inc.h and their adjoints, of one filter or one tile. */

/* One dimension of each transform. */
QUERNEL_INLINE void FN(wino_b)(vec *restrict t, const vec *restrict d)
{
    const vec even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1], even2 = d[4] - d[2], odd2 = 2 * (d[3] - d[1]);
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = 4 * d[1] - 5 * d[3] + d[5];
}

/* The adjoint of wino_b. */
QUERNEL_INLINE void FN(wino_b_adjoint)(vec *restrict d, const vec *restrict t)
{
    const vec s1 = t[1] + t[2], d1 = t[1] - t[2], s2 = t[3] + t[4], d2 = t[3] - t[4];
    d[0] = 4 * t[0];
    d[1] = 4 * (t[5] - d1) - 2 * d2;
    d[2] = -5 * t[0] - 4 * s1 - s2;
    d[3] = d1 + 2 * d2 - 5 * t[5];
    d[4] = t[0] + s1 + s2;
    d[5] = t[5];
}

QUERNEL_INLINE void FN(wino_a_transposed)(vec *restrict y, const vec *restrict x, const int m)
{
    const vec s1 = x[1] + x[2], d1 = x[1] - x[2], s2 = x[3] + x[4], d2 = x[3] - x[4];
    y[0] = x[0] + s1 + s2;
    if (m == 2) {
        y[1] = d1 + 2 * d2 + x[5];
    } else {
        y[1] = d1 + 2 * d2;
        y[2] = s1 + 4 * s2;
        y[3] = d1 + 8 * d2 + x[5];
    }
}

QUERNEL_INLINE void FN(wino_a)(vec *restrict z, const vec *restrict y, ptrdiff_t stride, const int m)
{
    const vec y0 = y[0], y1 = y[stride], zero = {0};
    const vec y2 = m == 4 ? y[2 * stride] : zero, y3 = m == 4 ? y[3 * stride] : zero;
    const vec even = y0 + y2, odd = y1 + y3, even2 = y0 + 4 * y2, odd2 = 2 * y1 + 8 * y3;
    z[0] = y0;
    z[1] = even + odd;
    z[2] = even - odd;
    z[3] = even2 + odd2;
    z[4] = even2 - odd2;
    z[5] = m == 4 ? y3 : y1;
}

QUERNEL_INLINE void FN(wino_g)(vec *restrict u, const vec *restrict g, ptrdiff_t u_stride, ptrdiff_t stride,
                               const int taps)
{
    const vec zero = {0}, g0 = g[0], g1 = g[stride], g2 = g[2 * stride];
    const vec g3 = taps == 5 ? g[3 * stride] : zero, g4 = taps == 5 ? g[4 * stride] : zero;
    const vec even = (REAL)(-1.0 / 6) * (g0 + g2 + g4), odd = (REAL)(-1.0 / 6) * (g1 + g3);
    const vec even2 = (REAL)(1.0 / 24) * (g0 + 4 * g2 + 16 * g4), odd2 = (REAL)(1.0 / 12) * (g1 + 4 * g3);
    u[0] = (REAL)0.25 * g0;
    u[u_stride] = even + odd;
    u[2 * u_stride] = even - odd;
    u[3 * u_stride] = even2 + odd2;
    u[4 * u_stride] = even2 - odd2;
    u[5 * u_stride] = taps == 5 ? g4 : g2;
}

QUERNEL_INLINE void FN(wino_g_transposed)(vec *restrict g, const vec *restrict u, ptrdiff_t g_stride, ptrdiff_t stride,
                                          const int taps)
{
    const vec even = (REAL)(-1.0 / 6) * (u[stride] + u[2 * stride]),
              odd = (REAL)(-1.0 / 6) * (u[stride] - u[2 * stride]);
    const vec even2 = (REAL)(1.0 / 24) * (u[3 * stride] + u[4 * stride]);
    const vec odd2 = (REAL)(1.0 / 24) * (u[3 * stride] - u[4 * stride]);
    g[0] = (REAL)0.25 * u[0] + even + even2;
    g[g_stride] = odd + 2 * odd2;
    if (taps == 3) {
        g[2 * g_stride] = even + 4 * even2 + u[5 * stride];
    } else {
        g[2 * g_stride] = even + 4 * even2;
        g[3 * g_stride] = odd + 8 * odd2;
        g[4 * g_stride] = even + 16 * even2 + u[5 * stride];
    }
}

/* U from the filter. Unit: one panel of outputs. */
QUERNEL_INLINE void FN(wino_filter_panels)(const struct winograd_args *a, ptrdiff_t lo, ptrdiff_t hi, const int taps)
{
    const ptrdiff_t C = a->C, panels = (a->K + TILE_COLS - 1) / TILE_COLS;
    for (ptrdiff_t p = lo; p < hi; p++)
        for (ptrdiff_t c = 0; c < C; c++)
            for (ptrdiff_t j = 0; j < TILE_COLS; j += VL) {
                const ptrdiff_t k0 = p * TILE_COLS + j;
                vec g[25], half[30], u[36];
                for (int t = 0; t < taps * taps; t++) {
                    const REAL *w =
                        (const REAL *)a->w + t / taps * a->w_h + t % taps * a->w_w + c * a->w_i + k0 * a->w_j;
                    g[t] = (vec){0};
                    if (k0 >= a->K) continue;
                    if (a->w_j == 1)
                        g[t] = FN(load_upto)(w, a->K - k0, 0);
                    else
                        for (ptrdiff_t i = 0; i < VL && k0 + i < a->K; i++) g[t][i] = w[i * a->w_j];
                }
                for (int i = 0; i < taps; i++) FN(wino_g)(half + i, g + i, taps, taps, taps);
                for (int i = 0; i < 6; i++) FN(wino_g)(u + 6 * i, half + taps * i, 1, 1, taps);
                for (int e = 0; e < 36; e++) FN(store)((REAL *)a->u + ((e * panels + p) * C + c) * TILE_COLS + j, u[e]);
            }
}

static void FN(winograd_filter)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct winograd_args *a = args;
    if (a->m == 4)
        FN(wino_filter_panels)(a, lo, hi, 3);
    else
        FN(wino_filter_panels)(a, lo, hi, 5);
}

/* Where the elements of a piece of size x size begin, one pointer a pixel; outside the image: zeros. */
QUERNEL_INLINE void FN(wino_piece)(const REAL **at, const REAL *image, const REAL *zeros, ptrdiff_t h0, ptrdiff_t w0,
                                   ptrdiff_t H, ptrdiff_t W, ptrdiff_t C, const int size)
{
    const int inside = h0 >= 0 && h0 + size <= H && w0 >= 0 && w0 + size <= W;
#pragma GCC unroll 6
    for (int i = 0; i < size; i++)
#pragma GCC unroll 6
        for (int j = 0; j < size; j++) {
            const int outside = !inside && ((size_t)(h0 + i) >= (size_t)H || (size_t)(w0 + j) >= (size_t)W);
            at[i * size + j] = outside ? zeros : image + ((h0 + i) * W + w0 + j) * C;
        }
}

/* Transforms a row of B'd and stores it as row i of V. */
QUERNEL_INLINE void FN(wino_input_row)(REAL *v, ptrdiff_t v_e, int i, const vec *d)
{
    vec t[6];
    FN(wino_b)(t, d);
#pragma GCC unroll 6
    for (int j = 0; j < 6; j++) FN(store)(v + (6 * i + j) * v_e, t[j]);
}

/* V of one tile. Rows of B'd are made when they are needed and stay in registers; those that add and subtract the same
 * come in pairs. */
static void FN(wino_input)(REAL *restrict v, ptrdiff_t v_e, const REAL *const *at, ptrdiff_t C)
{
    for (ptrdiff_t c = 0; c < C; c += VL) {
        vec r[6], s[6];
#define D(i) FN(load_upto)(at[6 * (i) + j] + c, C - c, 0)
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) r[j] = 4 * D(0) - 5 * D(2) + D(4);
        FN(wino_input_row)(v + c, v_e, 0, r);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
            const vec even = D(4) - 4 * D(2), odd = D(3) - 4 * D(1);
            r[j] = even + odd, s[j] = even - odd;
        }
        FN(wino_input_row)(v + c, v_e, 1, r);
        FN(wino_input_row)(v + c, v_e, 2, s);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
            const vec even = D(4) - D(2), odd = 2 * (D(3) - D(1));
            r[j] = even + odd, s[j] = even - odd;
        }
        FN(wino_input_row)(v + c, v_e, 3, r);
        FN(wino_input_row)(v + c, v_e, 4, s);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) r[j] = 4 * D(1) - 5 * D(3) + D(5);
        FN(wino_input_row)(v + c, v_e, 5, r);
#undef D
    }
}

/* Z of one tile of dy. */
QUERNEL_INLINE void FN(wino_output_gradient)(REAL *restrict z, ptrdiff_t z_e, const REAL *const *at, ptrdiff_t K,
                                             const int m)
{
    for (ptrdiff_t k = 0; k < K; k += VL) {
        vec y[16], half[24];
#pragma GCC unroll 16
        for (int i = 0; i < m * m; i++) y[i] = FN(load_upto)(at[i] + k, K - k, 0);
#pragma GCC unroll 4
        for (int j = 0; j < m; j++) FN(wino_a)(half + 6 * j, y + j, m, m);
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++) {
            vec t[6];
            FN(wino_a)(t, half + i, 6, m);
#pragma GCC unroll 6
            for (int j = 0; j < 6; j++) FN(store)(z + (6 * i + j) * z_e + k, t[j]);
        }
    }
}

/* Transforms a row of A'M and stores it, cropped to cols, as a row of y. */
QUERNEL_INLINE void FN(wino_output_row)(REAL *y, const struct winograd_args *a, ptrdiff_t k, ptrdiff_t cols,
                                        const vec *x, const int m)
{
    vec out[4];
    FN(wino_a_transposed)(out, x, m);
    const vec bias = a->bias ? FN(load_upto)((const REAL *)a->bias + k, a->K - k, 0) : (vec){0};
#pragma GCC unroll 4
    for (int j = 0; j < m; j++) {
        if (j >= cols) break;
        vec s = out[j] + bias;
        if (a->activation == ACT_RELU)
            s = FN(select)(s < 0, (vec){0}, s);
        else if (a->activation != ACT_LINEAR)
            s = FN(activate)(s, a->activation, (REAL)a->alpha);
        FN(store_upto)(y + j * a->K + k, s, a->K - k);
    }
}

/* y of one tile, cropped to rows x cols, with bias and activation; rows of A'M as in wino_input. */
QUERNEL_INLINE void FN(wino_output)(REAL *restrict y, const REAL *restrict products, ptrdiff_t p_e,
                                    const struct winograd_args *a, ptrdiff_t rows, ptrdiff_t cols, const int m)
{
    for (ptrdiff_t k = 0; k < a->K; k += VL) {
        const REAL *p = products + k;
        vec r[6], s[6];
#define X(i) FN(load)(p + (6 * (i) + j) * p_e)
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
            const vec s1 = X(1) + X(2), s2 = X(3) + X(4);
            r[j] = X(0) + s1 + s2, s[j] = s1 + 4 * s2;
        }
        FN(wino_output_row)(y, a, k, cols, r, m);
        if (m == 4 && rows > 2) FN(wino_output_row)(y + 2 * a->OW * a->K, a, k, cols, s, m);
        if (rows < 2) continue;
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
            const vec d1 = X(1) - X(2), d2 = X(3) - X(4);
            r[j] = m == 4 ? d1 + 2 * d2 : d1 + 2 * d2 + X(5), s[j] = d1 + 8 * d2 + X(5);
        }
        FN(wino_output_row)(y + a->OW * a->K, a, k, cols, r, m);
        if (m == 4 && rows > 3) FN(wino_output_row)(y + 3 * a->OW * a->K, a, k, cols, s, m);
#undef X
    }
}

/* Where a piece of 6 x 6 meets an image: its rows [top, bottom) and columns [left, right) are inside, and what is above
 * row seen_h or left of column seen_w has the sums of earlier tiles. */
struct FN(wino_place) {
    REAL *image;
    ptrdiff_t origin, W, C; /* of the piece's first pixel, which may lie outside; strides of the image */
    ptrdiff_t top, bottom, left, right, seen_h, seen_w;
};

/* Transforms row i of B M and adds it to its pixels. */
QUERNEL_INLINE void FN(wino_add_row)(const struct FN(wino_place) * p, ptrdiff_t c, int i, const vec *t)
{
    if (i < p->top || i >= p->bottom) return;
    const ptrdiff_t seen = i < p->seen_h ? 6 : p->seen_w, C = p->C;
    REAL *dx = p->image + (p->origin + i * p->W) * C + c;
    vec d[6];
    FN(wino_b_adjoint)(d, t);
#pragma GCC unroll 6
    for (int j = 0; j < 6; j++) {
        if (j < p->left || j >= p->right) continue;
        const vec before = j < seen ? FN(load_upto)(dx + j * C, C - c, 0) : (vec){0};
        FN(store_upto)(dx + j * C, before + d[j], C - c);
    }
}

/* Adds B M B' of one tile to the image; rows of B M as in wino_input. */
QUERNEL_INLINE void FN(wino_input_gradient)(const struct FN(wino_place) * p, const REAL *products, ptrdiff_t p_e)
{
    for (ptrdiff_t c = 0; c < p->C; c += VL) {
        const REAL *at = products + c;
        vec r[6], s[6];
#define M(i) FN(load)(at + (6 * (i) + j) * p_e)
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) r[j] = 4 * M(0);
        FN(wino_add_row)(p, c, 0, r);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
            const vec s1 = M(1) + M(2), s2 = M(3) + M(4);
            r[j] = -5 * M(0) - 4 * s1 - s2, s[j] = M(0) + s1 + s2;
        }
        FN(wino_add_row)(p, c, 2, r);
        FN(wino_add_row)(p, c, 4, s);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
            const vec d1 = M(1) - M(2), d2 = M(3) - M(4);
            r[j] = 4 * (M(5) - d1) - 2 * d2, s[j] = d1 + 2 * d2 - 5 * M(5);
        }
        FN(wino_add_row)(p, c, 1, r);
        FN(wino_add_row)(p, c, 3, s);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) r[j] = M(5);
        FN(wino_add_row)(p, c, 5, r);
#undef M
    }
}
