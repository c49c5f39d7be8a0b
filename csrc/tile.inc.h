/* tile.inc.h   The one matrix tile.
 *
 *   acc[i][j] (+)= sum_{r < R} sum_{k < K} A[i a_i + a_r[r] + k a_k] * B[r b_r + k b_k + j]
 *
 * or A[a_row[i] + ...], rows scattered. Strides decide what it is: a product (R = 1), a convolution (r a filter row, k
 * the contiguous run of KW*C inputs), a filter gradient (a_row the taps, r a row of outputs, k its pixels). The block
 * of accumulators, up to TILE_ROWS x TILE_VECTORS vectors, lives in registers; one function per height and width is
 * made from one text, so that odd sizes never fall back to scalar code. Each output is one chain of multiply-adds in
 * the order r, k whatever the height: a row's bits do not depend on the rows beside it. B is read in whole vectors:
 * callers pad it.
 *
 * A panel of B is TILE_VECTORS wide. One to three rows by that are fewer chains than a core can have under way (two
 * multiply-adds a cycle that take four cycles each), so their tiles take several panels at once: 1x256 @ 256x256 on
 * AVX2 2.4 us instead of 4.2. */
#ifndef TILE_VECTORS
#define TILE_VECTORS 2
/* Vectors of the widest tile of so many rows. */
#if TILE_ROWS > 6 /* 32 registers */
#define TILE_WIDTH(rows) ((rows) <= 3 ? 8 : TILE_VECTORS)
#else /* 16 */
#define TILE_WIDTH(rows) ((rows) == 1 ? 8 : (rows) == 2 ? 4 : TILE_VECTORS)
#endif
#endif
#define TILE_COLS (TILE_VECTORS * VL)
#define TILE_TALL (2 * TILE_ROWS)

QUERNEL_INLINE void FN(tile_body)(const struct tile_args *t, const REAL *a, const ptrdiff_t *a_row, REAL *c,
                                  const int rows, const int vectors, const int scattered, const int plain)
{
    const int add = !plain && t->add, relu = !plain && t->activation == ACT_RELU;
    const REAL *b_panel = t->b;
    const ptrdiff_t a_i = t->a_i, a_k = t->a_k, b_k = t->b_k, b_next = t->b_panel, c_i = t->c_i;
    const ptrdiff_t last = plain ? VL : t->cols - (vectors - 1) * VL; /* valid lanes of the last vector */
    vec acc[TILE_TALL][TILE_WIDTH(1)];

    if (!add && !plain) /* C's lines come while the sums are made */
#pragma GCC unroll 28
        for (int i = 0; i < rows; i++) {
            __builtin_prefetch(c + i * c_i, 1);
            if (vectors > 1) __builtin_prefetch(c + i * c_i + t->cols - 1, 1);
        }
#pragma GCC unroll 28
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < vectors; j++)
            acc[i][j] = add ? FN(load_upto)(c + i * c_i + j * VL, j == vectors - 1 ? last : VL, 0) : (vec){0};

    for (ptrdiff_t r = 0; r < (plain ? 1 : t->R); r++) {
        const REAL *a_rk = !plain && t->a_r ? a + t->a_r[r] : a, *b = b_panel + r * t->b_r;
        for (ptrdiff_t k = 0; k < t->K; k++, a_rk += a_k, b += b_k) {
            if (vectors > TILE_VECTORS) { /* vector by vector: there is no room for all beside the accumulators */
#pragma GCC unroll 8
                for (int j = 0; j < vectors; j++) {
                    vec b_j = FN(load)(b + j / TILE_VECTORS * b_next + j % TILE_VECTORS * VL);
                    if (rows > 1) b_j = FN(held)(b_j);
#pragma GCC unroll 4
                    for (int i = 0; i < rows; i++) acc[i][j] += a_rk[i * a_i] * b_j;
                }
                continue;
            }
            vec b_j[TILE_VECTORS];
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) b_j[j] = FN(load)(b + j * VL);
#pragma GCC unroll 28
            for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
                for (int j = 0; j < vectors; j++) acc[i][j] += a_rk[scattered ? a_row[i] : i * a_i] * b_j[j];
        }
    }

    const REAL *bias = plain ? NULL : t->bias;
#pragma GCC unroll 8
    for (int j = 0; j < vectors; j++) {
        const ptrdiff_t n = j == vectors - 1 ? last : VL;
        const vec b = bias ? FN(load_upto)(bias + j * VL, n, 0) : (vec){0};
#pragma GCC unroll 28
        for (int i = 0; i < rows; i++) {
            vec y = bias ? acc[i][j] + b : acc[i][j];
            if (relu) y = FN(vmax)((vec){0}, y);
            FN(store_upto)(c + i * c_i + j * VL, y, n);
        }
    }
}

typedef void FN(tile_fn)(const struct tile_args *t, const REAL *a, const ptrdiff_t *a_row, REAL *c);

/* clang-format off */
#define TILE_OF(rows, vectors, scattered)                                                                    \
    static __attribute__((noinline)) void FN(tile_##rows##x##vectors##_##scattered)(                         \
        const struct tile_args *t, const REAL *a, const ptrdiff_t *a_row, REAL *c)                           \
    {                                                                                                        \
        FN(tile_body)(t, a, a_row, c, rows, vectors, scattered, 0);                                          \
    }
#define TILE(rows) TILE_OF(rows, 1, 0) TILE_OF(rows, 2, 0) TILE_OF(rows, 1, 1) TILE_OF(rows, 2, 1)
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)
#if TILE_ROWS > 6
TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12)
#endif
#if TILE_ROWS > 12
TILE(13) TILE(14)
#endif
TILE_OF(1, 4, 0) TILE_OF(1, 8, 0) TILE_OF(2, 4, 0)
#if TILE_ROWS > 6
TILE_OF(2, 8, 0) TILE_OF(3, 4, 0) TILE_OF(3, 8, 0)
#endif
#undef TILE
#undef TILE_OF

#define TILES(rows) {{FN(tile_##rows##x1_0), FN(tile_##rows##x2_0)}, {FN(tile_##rows##x1_1), FN(tile_##rows##x2_1)}}
static FN(tile_fn) *const FN(tiles)[TILE_ROWS][2][TILE_VECTORS] = {
    TILES(1),  TILES(2),  TILES(3),  TILES(4), TILES(5), TILES(6),
#if TILE_ROWS > 6
    TILES(7),  TILES(8),  TILES(9),  TILES(10), TILES(11), TILES(12),
#endif
#if TILE_ROWS > 12
    TILES(13), TILES(14),
#endif
};
#undef TILES
/* Of 4 and 8 vectors. */
static FN(tile_fn) *const FN(wide_tiles)[][2] = {
    {FN(tile_1x4_0), FN(tile_1x8_0)},
#if TILE_ROWS > 6
    {FN(tile_2x4_0), FN(tile_2x8_0)},
    {FN(tile_3x4_0), FN(tile_3x8_0)},
#else
    {FN(tile_2x4_0)},
#endif
};
/* clang-format on */

typedef void FN(plain_fn)(const struct tile_args *t, const REAL *a, REAL *c);

/* Of plain columns: 5 % faster for sums of 32 terms, 10 % for 16. */
static __attribute__((noinline)) void FN(tile_plain)(const struct tile_args *t, const REAL *a, REAL *c)
{
    FN(tile_body)(t, a, NULL, c, TILE_ROWS, TILE_VECTORS, 0, 1);
}

/* A single vector of columns leaves registers for twice the height: sums of 16 terms 24.6 to 22.4 us. */
static __attribute__((noinline)) void FN(tile_tall)(const struct tile_args *t, const REAL *a, REAL *c)
{
    FN(tile_body)(t, a, NULL, c, TILE_TALL, 1, 0, 1);
}

/* The activations that are too long to stand in every tile are applied to the finished block, which is in cache. */
static void FN(activate_block)(const struct tile_args *t)
{
    for (ptrdiff_t i = 0; i < t->rows; i++) {
        REAL *c = (REAL *)t->c + i * t->c_i;
        for (ptrdiff_t j = 0; j < t->cols; j += VL) {
            const vec x = FN(load_upto)(c + j, t->cols - j, 0);
            FN(store_upto)(c + j, FN(activate)(x, t->activation, (REAL)t->alpha), t->cols - j);
        }
    }
}

/* A column of tiles: any number of rows, cut into near-equal heights. */
static void FN(tile_rows)(const struct tile_args *t)
{
    const REAL *a = t->a;
    const ptrdiff_t *a_row = t->a_row;
    REAL *c = t->c;
    const int scattered = a_row != NULL;
    ptrdiff_t rows = t->rows;
    if (t->plain && t->cols % VL == 0) {
        FN(plain_fn) *const tile = t->cols == VL ? FN(tile_tall) : FN(tile_plain);
        const ptrdiff_t height = t->cols == VL ? TILE_TALL : TILE_ROWS;
        for (; rows >= height; rows -= height, a += height * t->a_i, c += height * t->c_i) tile(t, a, c);
    }
    for (ptrdiff_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS; rows > 0; tiles--) {
        const ptrdiff_t height = (rows + tiles - 1) / tiles;
        FN(tile_fn) *const tile = t->cols > TILE_COLS ? FN(wide_tiles)[height - 1][t->cols > 2 * TILE_COLS]
                                                      : FN(tiles)[height - 1][scattered][t->cols > VL];
        tile(t, a, a_row, c);
        if (scattered)
            a_row += height;
        else
            a += height * t->a_i;
        c += height * t->c_i;
        rows -= height;
    }
    if (t->activation > ACT_RELU) FN(activate_block)(t);
}

/* Columns of tiles side by side: any number of rows, a_i apart, and of columns; the panels in order or backwards. */
static void FN(tile_block)(const struct tile_args *block, int backwards)
{
    const ptrdiff_t rows = block->rows, cols = block->cols;
    const ptrdiff_t widest = TILE_WIDTH(rows) * VL, groups = (cols + widest - 1) / widest;
    struct tile_args t = *block;
    for (ptrdiff_t group = 0; group < groups; group++) {
        const ptrdiff_t begin = (backwards ? groups - 1 - group : group) * widest;
        const ptrdiff_t end = begin + widest < cols ? begin + widest : cols;
        for (ptrdiff_t j = begin; j < end; j += t.cols) {
            ptrdiff_t width = widest; /* the widest tile that has something for each of its vectors */
            while (width > TILE_COLS && end - j <= width - VL) width /= 2;
            t.cols = end - j < width ? end - j : width;
            t.b = (const REAL *)block->b + j / TILE_COLS * t.b_panel;
            t.c = (REAL *)block->c + j;
            t.bias = block->bias ? (const REAL *)block->bias + j : NULL;
            FN(tile_rows)(&t);
        }
    }
}
