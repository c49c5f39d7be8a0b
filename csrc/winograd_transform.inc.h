/* winograd_transform.inc.h   The three transforms of winograd.inc.h and their adjoints, of one filter or one tile.
 *
 * Points of pieces of P x P: 0, pairs of p and -p, infinity, in this order. Let c be the coefficients of the product of
 * x^2 - p^2 over all pairs, and e_q those of the product without pair q. Then the rows of B' are
 *
 *   0           sum_k c_k d[2k]
 *   p_q, -p_q   sum_k e_qk d[2k + 2] + or - p_q sum_k e_qk d[2k + 1]
 *   infinity    sum_k c_k d[2k + 1]
 *
 * A polynomial of n coefficients is evaluated at the points: by A, n = m, and, with a factor for each point, by G. */

#define WINO_PIECE 8                    /* the larger P */
#define WINO_PAIRS (WINO_PIECE / 2 - 1) /* of that P */

QUERNEL_INLINE REAL FN(wino_c)(const int P, const int k)
{
    static const REAL c[2][WINO_PAIRS + 1] = {{4, -5, 1}, {-1, (REAL)5.25, (REAL)-5.25, 1}};
    return c[P == 8][k];
}

QUERNEL_INLINE REAL FN(wino_e)(const int P, const int q, const int k)
{
    static const REAL e[2][WINO_PAIRS][WINO_PAIRS] = {{{-4, 1}, {-1, 1}},
                                                      {{1, (REAL)-4.25, 1}, {(REAL)0.25, (REAL)-1.25, 1}, {4, -5, 1}}};
    return e[P == 8][q][k];
}

/* p_q to the power i; the points are 1, 2 and 1/2. */
QUERNEL_INLINE REAL FN(wino_power)(const int q, const int i)
{
    return q == 0 ? 1 : q == 1 ? (REAL)(1 << i) : 1 / (REAL)(1 << i);
}

/* Factors of the rows of G, one over the product of a point's differences from all others: point 0, then pairs. */
QUERNEL_INLINE REAL FN(wino_scale)(const int P, const int point)
{
    static const REAL scale[2][WINO_PAIRS + 1] = {{(REAL)0.25, (REAL)(-1.0 / 6), (REAL)(1.0 / 24)},
                                                  {-1, (REAL)(-2.0 / 9), (REAL)(1.0 / 90), (REAL)(32.0 / 45)}};
    return scale[P == 8][point];
}

/* One dimension of each transform: the sum over all pairs, and over all but one, of every second element of d. */
QUERNEL_INLINE vec FN(wino_all)(const vec *d, const int P)
{
    vec sum = FN(wino_c)(P, 0) * d[0];
#pragma GCC unroll 4
    for (int k = 1; k < P / 2; k++) sum += FN(wino_c)(P, k) * d[2 * k];
    return sum;
}

QUERNEL_INLINE vec FN(wino_but)(const vec *d, const int P, const int q)
{
    vec sum = FN(wino_e)(P, q, 0) * d[0];
#pragma GCC unroll 4
    for (int k = 1; k < P / 2 - 1; k++) sum += FN(wino_e)(P, q, k) * d[2 * k];
    return sum;
}

QUERNEL_INLINE void FN(wino_b)(vec *restrict t, const vec *restrict d, const int P)
{
    t[0] = FN(wino_all)(d, P);
#pragma GCC unroll 4
    for (int q = 0; q < P / 2 - 1; q++) {
        const vec even = FN(wino_but)(d + 2, P, q), odd = FN(wino_power)(q, 1) * FN(wino_but)(d + 1, P, q);
        t[1 + 2 * q] = even + odd;
        t[2 + 2 * q] = even - odd;
    }
    t[P - 1] = FN(wino_all)(d + 1, P);
}

/* Element i of the adjoint of wino_b; sum and difference are of the pairs of t. */
QUERNEL_INLINE vec FN(wino_b_adjoint)(vec zero, vec infinity, const vec *sum, const vec *difference, const int P,
                                      const int i)
{
    vec d = FN(wino_c)(P, i / 2) * (i % 2 ? infinity : zero);
#pragma GCC unroll 4
    for (int q = 0; q < P / 2 - 1; q++) {
        if (i % 2 == 0 && i > 0) d += FN(wino_e)(P, q, i / 2 - 1) * sum[q];
        if (i % 2 == 1 && i < P - 1) d += FN(wino_power)(q, 1) * FN(wino_e)(P, q, i / 2) * difference[q];
    }
    return d;
}

/* The polynomial of n coefficients y at the points. */
QUERNEL_INLINE void FN(wino_points)(vec *restrict z, const vec *restrict y, ptrdiff_t z_stride, ptrdiff_t stride,
                                    const int P, const int n)
{
    z[0] = y[0];
#pragma GCC unroll 4
    for (int q = 0; q < P / 2 - 1; q++) {
        vec even = y[0], odd = FN(wino_power)(q, 1) * y[stride];
#pragma GCC unroll 8
        for (int i = 2; i < n; i++)
            if (i % 2)
                odd += FN(wino_power)(q, i) * y[i * stride];
            else
                even += FN(wino_power)(q, i) * y[i * stride];
        z[(1 + 2 * q) * z_stride] = even + odd;
        z[(2 + 2 * q) * z_stride] = even - odd;
    }
    z[(P - 1) * z_stride] = y[(n - 1) * stride];
}

/* Coefficient i of its adjoint; sum and difference are of the pairs of x. */
QUERNEL_INLINE vec FN(wino_points_adjoint)(vec zero, vec infinity, const vec *sum, const vec *difference, const int P,
                                           const int n, const int i)
{
    const vec *x = i % 2 ? difference : sum;
    vec y = i ? FN(wino_power)(0, i) * x[0] : zero + x[0];
#pragma GCC unroll 4
    for (int q = 1; q < P / 2 - 1; q++) y += FN(wino_power)(q, i) * x[q];
    return i == n - 1 ? y + infinity : y;
}

/* Sums and differences of the pairs in x. */
QUERNEL_INLINE void FN(wino_pairs)(vec *restrict sum, vec *restrict difference, const vec *restrict x, ptrdiff_t stride,
                                   const int P)
{
#pragma GCC unroll 4
    for (int q = 0; q < P / 2 - 1; q++) {
        sum[q] = x[(1 + 2 * q) * stride] + x[(2 + 2 * q) * stride];
        difference[q] = x[(1 + 2 * q) * stride] - x[(2 + 2 * q) * stride];
    }
}

QUERNEL_INLINE void FN(wino_g)(vec *restrict u, const vec *restrict g, ptrdiff_t u_stride, ptrdiff_t stride,
                               const int P, const int taps)
{
    FN(wino_points)(u, g, u_stride, stride, P, taps);
#pragma GCC unroll 8
    for (int e = 0; e < P - 1; e++) u[e * u_stride] *= FN(wino_scale)(P, (e + 1) / 2);
}

QUERNEL_INLINE void FN(wino_g_adjoint)(vec *restrict g, const vec *restrict u, ptrdiff_t g_stride, ptrdiff_t stride,
                                       const int P, const int taps)
{
    vec sum[WINO_PAIRS], difference[WINO_PAIRS];
    FN(wino_pairs)(sum, difference, u, stride, P);
#pragma GCC unroll 4
    for (int q = 0; q < P / 2 - 1; q++) {
        sum[q] *= FN(wino_scale)(P, q + 1);
        difference[q] *= FN(wino_scale)(P, q + 1);
    }
#pragma GCC unroll 8
    for (int i = 0; i < taps; i++)
        g[i * g_stride] =
            FN(wino_points_adjoint)(FN(wino_scale)(P, 0) * u[0], u[(P - 1) * stride], sum, difference, P, taps, i);
}

/* U from the filter. Unit: one panel of outputs. */
QUERNEL_INLINE void FN(wino_filter_panels)(const struct winograd_args *a, ptrdiff_t lo, ptrdiff_t hi, const int P,
                                           const int m)
{
    const int taps = P + 1 - m;
    const ptrdiff_t C = a->C, panels = (a->K + TILE_COLS - 1) / TILE_COLS;
    for (ptrdiff_t p = lo; p < hi; p++)
        for (ptrdiff_t c = 0; c < C; c++)
            for (ptrdiff_t j = 0; j < TILE_COLS; j += VL) {
                const ptrdiff_t k0 = p * TILE_COLS + j;
                vec g[25], half[5 * WINO_PIECE], u[WINO_PIECE * WINO_PIECE];
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
                for (int i = 0; i < taps; i++) FN(wino_g)(half + i, g + i, taps, taps, P, taps);
                for (int i = 0; i < P; i++) FN(wino_g)(u + P * i, half + taps * i, 1, 1, P, taps);
                for (int e = 0; e < P * P; e++)
                    FN(store)((REAL *)a->u + ((e * panels + p) * C + c) * TILE_COLS + j, u[e]);
            }
}

static void FN(winograd_filter)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct winograd_args *a = args;
    WINO_BY_SIZE(FN(wino_filter_panels), a->piece, a->m, a, lo, hi);
}

/* Where a tile begins: its image, and its first output's row and column. A dilated convolution is d_h x d_w ordinary
 * ones, whose pixels lie d_h and d_w apart, and so are the tile's. */
struct FN(wino_tile) {
    ptrdiff_t n, h, w;
};

QUERNEL_INLINE struct FN(wino_tile) FN(wino_tile_at)(const struct winograd_args *a, ptrdiff_t tile)
{
    struct FN(wino_tile) t;
    const ptrdiff_t column = tile % a->tiles_w, row = tile / a->tiles_w % a->tiles_h;
    tile /= a->tiles_w * a->tiles_h;
    t.w = column * a->m * a->d_w + tile % a->d_w;
    tile /= a->d_w;
    t.h = row * a->m * a->d_h + tile % a->d_h;
    t.n = tile / a->d_h;
    return t;
}

/* Where the elements of a piece of size x size begin, one pointer a pixel; outside the image: zeros. */
QUERNEL_INLINE void FN(wino_piece_of)(const REAL **at, const REAL *image, const REAL *zeros, ptrdiff_t h0, ptrdiff_t w0,
                                      ptrdiff_t H, ptrdiff_t W, ptrdiff_t C, const struct winograd_args *a,
                                      const int size)
{
    const ptrdiff_t h_last = h0 + (size - 1) * a->d_h, w_last = w0 + (size - 1) * a->d_w;
    const int inside = h0 >= 0 && h_last < H && w0 >= 0 && w_last < W;
#pragma GCC unroll 8
    for (int i = 0; i < size; i++)
#pragma GCC unroll 8
        for (int j = 0; j < size; j++) {
            const ptrdiff_t h = h0 + i * a->d_h, w = w0 + j * a->d_w;
            const int outside = !inside && ((size_t)h >= (size_t)H || (size_t)w >= (size_t)W);
            at[i * size + j] = outside ? zeros : image + (h * W + w) * C;
        }
}

static void FN(wino_piece)(const REAL **at, const REAL *image, const REAL *zeros, ptrdiff_t h0, ptrdiff_t w0,
                           ptrdiff_t H, ptrdiff_t W, ptrdiff_t C, const struct winograd_args *a, int size)
{
    if (size == 8)
        FN(wino_piece_of)(at, image, zeros, h0, w0, H, W, C, a, 8);
    else if (size == 6)
        FN(wino_piece_of)(at, image, zeros, h0, w0, H, W, C, a, 6);
    else if (size == 4)
        FN(wino_piece_of)(at, image, zeros, h0, w0, H, W, C, a, 4);
    else
        FN(wino_piece_of)(at, image, zeros, h0, w0, H, W, C, a, 2);
}

/* V of one tile: columns, then rows. What is between stays in the first-level cache; GCC must be told to read it once.
 */
QUERNEL_INLINE void FN(wino_input_of)(REAL *restrict v, ptrdiff_t v_e, const REAL *const *at, ptrdiff_t C, const int P)
{
    for (ptrdiff_t c = 0; c < C; c += VL) {
        vec half[WINO_PIECE * WINO_PIECE], d[WINO_PIECE], t[WINO_PIECE];
#pragma GCC unroll 6
        for (int j = 0; j < P; j++) {
#pragma GCC unroll 8
            for (int i = 0; i < P; i++) d[i] = FN(held)(FN(load_upto)(at[P * i + j] + c, C - c, 0));
            FN(wino_b)(t, d, P);
#pragma GCC unroll 8
            for (int i = 0; i < P; i++) half[P * i + j] = t[i];
        }
#pragma GCC unroll 6
        for (int i = 0; i < P; i++) {
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) d[j] = FN(held)(half[P * i + j]);
            FN(wino_b)(t, d, P);
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) FN(store)(v + (P * i + j) * v_e + c, t[j]);
        }
    }
}

static void FN(wino_input)(REAL *restrict v, ptrdiff_t v_e, const REAL *const *at, ptrdiff_t C, int P)
{
    if (P == 8)
        FN(wino_input_of)(v, v_e, at, C, 8);
    else
        FN(wino_input_of)(v, v_e, at, C, 6);
}

/* Z of one tile of dy. */
QUERNEL_INLINE void FN(wino_output_gradient_of)(REAL *restrict z, ptrdiff_t z_e, const REAL *const *at, ptrdiff_t K,
                                                const int P, const int m)
{
    for (ptrdiff_t k = 0; k < K; k += VL) {
        vec half[6 * WINO_PIECE], y[6], t[WINO_PIECE];
        for (int j = 0; j < m; j++) {
#pragma GCC unroll 6
            for (int i = 0; i < m; i++) y[i] = FN(held)(FN(load_upto)(at[m * i + j] + k, K - k, 0));
            FN(wino_points)(t, y, 1, 1, P, m);
#pragma GCC unroll 8
            for (int i = 0; i < P; i++) half[m * i + j] = t[i];
        }
        for (int i = 0; i < P; i++) {
#pragma GCC unroll 6
            for (int j = 0; j < m; j++) y[j] = FN(held)(half[m * i + j]);
            FN(wino_points)(t, y, 1, 1, P, m);
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) FN(store)(z + (P * i + j) * z_e + k, t[j]);
        }
    }
}

static void FN(wino_output_gradient)(REAL *restrict z, ptrdiff_t z_e, const REAL *const *at, ptrdiff_t K, int P, int m)
{
    WINO_BY_SIZE(FN(wino_output_gradient_of), P, m, z, z_e, at, K);
}

/* Activations other than relu, of a row of y that has been stored: they are many operations, one load is not. */
static void FN(wino_activate)(REAL *y, const struct winograd_args *a, ptrdiff_t k, ptrdiff_t cols)
{
    for (ptrdiff_t j = 0; j < cols; j++) {
        REAL *at = y + j * a->d_w * a->K + k;
        const vec x = FN(load_upto)(at, a->K - k, 0);
        FN(store_upto)(at, FN(activate)(x, a->activation, (REAL)a->alpha), a->K - k);
    }
}

/* Transforms a row of A'M and stores it, cropped to cols, as a row of y. */
QUERNEL_INLINE void FN(wino_output_row)(REAL *y, const struct winograd_args *a, ptrdiff_t k, ptrdiff_t cols,
                                        const vec *x, const int P, const int m)
{
    vec sum[WINO_PAIRS], difference[WINO_PAIRS];
    FN(wino_pairs)(sum, difference, x, 1, P);
    const vec bias = a->bias ? FN(load_upto)((const REAL *)a->bias + k, a->K - k, 0) : (vec){0};
#pragma GCC unroll 6
    for (int j = 0; j < m; j++) {
        if (j >= cols) break;
        vec s = FN(wino_points_adjoint)(x[0], x[P - 1], sum, difference, P, m, j) + bias;
        if (a->activation == ACT_RELU) s = FN(vmax)((vec){0}, s);
        FN(store_upto)(y + j * a->d_w * a->K + k, s, a->K - k);
    }
    if (a->activation != ACT_RELU && a->activation != ACT_LINEAR) FN(wino_activate)(y, a, k, cols < m ? cols : m);
}

/* y of one tile, cropped to rows x cols, with bias and activation. */
QUERNEL_INLINE void FN(wino_output_of)(REAL *restrict y, const REAL *restrict products, ptrdiff_t p_e,
                                       const struct winograd_args *a, ptrdiff_t rows, ptrdiff_t cols, const int P,
                                       const int m)
{
    const ptrdiff_t y_h = a->d_h * a->OW * a->K;
    for (ptrdiff_t k = 0; k < a->K; k += VL) {
        vec half[6 * WINO_PIECE], x[WINO_PIECE], sum[WINO_PAIRS], difference[WINO_PAIRS];
        for (int j = 0; j < P; j++) {
#pragma GCC unroll 8
            for (int e = 0; e < P; e++) x[e] = FN(held)(FN(load)(products + k + (P * e + j) * p_e));
            FN(wino_pairs)(sum, difference, x, 1, P);
#pragma GCC unroll 6
            for (int i = 0; i < m; i++)
                half[P * i + j] = FN(wino_points_adjoint)(x[0], x[P - 1], sum, difference, P, m, i);
        }
        for (int i = 0; i < m && i < rows; i++) {
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) x[j] = FN(held)(half[P * i + j]);
            FN(wino_output_row)(y + i * y_h, a, k, cols, x, P, m);
        }
    }
}

static void FN(wino_output)(REAL *restrict y, const REAL *restrict products, ptrdiff_t p_e,
                            const struct winograd_args *a, ptrdiff_t rows, ptrdiff_t cols)
{
    WINO_BY_SIZE(FN(wino_output_of), a->piece, a->m, y, products, p_e, a, rows, cols);
}

/* Where a piece meets an image: its rows [top, bottom) and columns [left, right) are inside, and what is above row
 * seen_h or left of column seen_w has the sums of earlier tiles. */
struct FN(wino_place) {
    REAL *image;
    ptrdiff_t origin, row, column; /* the piece's first pixel, which may lie outside; distances of rows, of columns */
    ptrdiff_t C;
    ptrdiff_t top, bottom, left, right, seen_h, seen_w;
};

/* Transforms row i of B M and adds it to its pixels. */
QUERNEL_INLINE void FN(wino_add_row)(const struct FN(wino_place) * p, ptrdiff_t c, int i, const vec *t, const int P)
{
    if (i < p->top || i >= p->bottom) return;
    const ptrdiff_t seen = i < p->seen_h ? P : p->seen_w, C = p->C;
    vec sum[WINO_PAIRS], difference[WINO_PAIRS];
    FN(wino_pairs)(sum, difference, t, 1, P);
#pragma GCC unroll 8
    for (int j = 0; j < P; j++) {
        if (j < p->left || j >= p->right) continue;
        REAL *dx = p->image + (p->origin + i * p->row + j * p->column) * C + c;
        const vec before = j < seen ? FN(load_upto)(dx, C - c, 0) : (vec){0};
        FN(store_upto)(dx, before + FN(wino_b_adjoint)(t[0], t[P - 1], sum, difference, P, j), C - c);
    }
}

/* Adds B M B' of one tile to the image. */
QUERNEL_INLINE void FN(wino_input_gradient_of)(const struct FN(wino_place) * p, const REAL *products, ptrdiff_t p_e,
                                               const int P)
{
    for (ptrdiff_t c = 0; c < p->C; c += VL) {
        vec half[WINO_PIECE * WINO_PIECE], x[WINO_PIECE], sum[WINO_PAIRS], difference[WINO_PAIRS];
        for (int j = 0; j < P; j++) {
#pragma GCC unroll 8
            for (int e = 0; e < P; e++) x[e] = FN(held)(FN(load)(products + c + (P * e + j) * p_e));
            FN(wino_pairs)(sum, difference, x, 1, P);
#pragma GCC unroll 8
            for (int i = 0; i < P; i++) half[P * i + j] = FN(wino_b_adjoint)(x[0], x[P - 1], sum, difference, P, i);
        }
        for (int i = 0; i < P; i++) {
#pragma GCC unroll 8
            for (int j = 0; j < P; j++) x[j] = FN(held)(half[P * i + j]);
            FN(wino_add_row)(p, c, i, x, P);
        }
    }
}

static void FN(wino_input_gradient)(const struct FN(wino_place) * p, const REAL *products, ptrdiff_t p_e, int P)
{
    if (P == 8)
        FN(wino_input_gradient_of)(p, products, p_e, 8);
    else
        FN(wino_input_gradient_of)(p, products, p_e, 6);
}
