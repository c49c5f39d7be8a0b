/* winograd.inc.h   Convolutions of 3 x 3 and 5 x 5, stride 1, with a sixth to a third of the multiplications.
 *
 * An output tile of m x m comes from a piece d of the input of P x P, P = m + taps - 1, which is 6 or 8:
 *   Y = A' [ (G g G') * (B' d B) ] A          ' transposes, * multiplies entry by entry and is summed over channels
 * which is P^2 matrix products, one per entry (Lavin and Gray 2015, Fast Algorithms for Convolutional Neural Networks;
 * interpolation points 0, 1, -1, 2, -2, infinity, and 1/2, -1/2 if P is 8; B depends on P alone). The transforms run
 * along channels.
 * The gradient of the input is the same with flipped filters, or the adjoint in d, whose tiles overlap and are added:
 *   dd = B [ (G g G') * (A dY A') ] B',
 * which has fewer tiles where the output is smaller than the input. The gradient of the filter is the adjoint in g:
 *   dg = G' [ sum over tiles of (B' d B) * (A dY A') ] G.
 *
 * Entries are numbered e = P row + column. Tiles are numbered over all images, so that small images fill blocks too.
 * Transformed data: V[e][tile][C], U[e][panel][C][TILE_COLS], M and Z[e][tile][K in whole vectors]; of the filter
 * gradient U[e][C][K]. */

/* f(..., P, m) with constants, a copy for each of the sizes. */
#define WINO_BY_SIZE(f, P, m, ...)                                                                                     \
    ((P) == 8 ? ((m) == 6 ? f(__VA_ARGS__, 8, 6) : f(__VA_ARGS__, 8, 4))                                               \
              : ((m) == 4 ? f(__VA_ARGS__, 6, 4) : f(__VA_ARGS__, 6, 2)))

#include "winograd_transform.inc.h"

/* Neighbouring rows of V must not fall into one cache set. */
QUERNEL_INLINE ptrdiff_t FN(wino_row)(ptrdiff_t C)
{
    const ptrdiff_t row = (C + VL - 1) / VL * VL;
    return row * (ptrdiff_t)sizeof(REAL) % 1024 ? row : row + VL;
}

/* Distance between the entries of one tile: an odd number of vectors, for the same reason. */
QUERNEL_INLINE ptrdiff_t FN(wino_slab)(ptrdiff_t tiles, ptrdiff_t row) { return (tiles * row / VL | 1) * VL; }

/* Data come from memory more slowly than they are transformed, and what the hardware foresees ends at every piece. So
 * what the next tiles read, and what the present ones will write, is fetched into the second-level cache meanwhile:
 * 64 images of 32 x 32 x 16 that are in no cache took 2.3 ms forward, 2.35 and 2.5 for the gradients, now 1.7 each. */
struct FN(wino_fetch) {
    const REAL *begin;
    ptrdiff_t length;
};

/* Tiles beyond the next row of tiles, whose pixels are partly those of the present row. */
#define WINO_AHEAD 3

/* The share of tiles [first, first + count) in images of `size` elements: in the order of memory, which for whole rows
 * of tiles is what they touch; a guess for dilated ones. */
QUERNEL_INLINE struct FN(wino_fetch)
    FN(wino_share)(const struct winograd_args *a, const void *images, ptrdiff_t size, ptrdiff_t first, ptrdiff_t count)
{
    const ptrdiff_t tiles = a->d_h * a->d_w * a->tiles_h * a->tiles_w;
    const ptrdiff_t from = first < a->tiles ? first : a->tiles, to = from + count < a->tiles ? from + count : a->tiles;
    const ptrdiff_t begin = from / tiles * size + from % tiles * size / tiles;
    const ptrdiff_t end = to / tiles * size + to % tiles * size / tiles;
    return (struct FN(wino_fetch)){(const REAL *)images + begin, end - begin};
}

/* Part e of so many. */
QUERNEL_INLINE void FN(wino_fetch_part)(const struct FN(wino_fetch) * f, ptrdiff_t e, ptrdiff_t parts, const int write)
{
    const ptrdiff_t line = 64 / (ptrdiff_t)sizeof(REAL), end = f->length * (e + 1) / parts;
    for (ptrdiff_t i = f->length * e / parts; i < end; i += line) __builtin_prefetch(f->begin + i, write, 2);
}

/* Transforms tiles [first, first + count); with z also their dy. Images are fetched so many tiles ahead, unless 0. */
static void FN(wino_transform)(REAL *v, ptrdiff_t v_e, REAL *z, ptrdiff_t z_e, const REAL *zeros,
                               const struct winograd_args *a, ptrdiff_t first, ptrdiff_t count, ptrdiff_t ahead)
{
    const ptrdiff_t row = FN(wino_row)(a->C), z_row = (a->K + VL - 1) / VL * VL;
    for (ptrdiff_t i = 0; i < count; i++) {
        const struct FN(wino_tile) t = FN(wino_tile_at)(a, first + i);
        const REAL *at[WINO_PIECE * WINO_PIECE];
        if (ahead) {
            const struct FN(wino_fetch) x = FN(wino_share)(a, a->x, a->H * a->W * a->C, first + i + ahead, 1);
            FN(wino_fetch_part)(&x, 0, 1, 0);
        }
        if (ahead && z) {
            const struct FN(wino_fetch) dy = FN(wino_share)(a, a->dy, a->OH * a->OW * a->K, first + i + ahead, 1);
            FN(wino_fetch_part)(&dy, 0, 1, 0);
        }
        FN(wino_piece)(at, (const REAL *)a->x + t.n * a->H * a->W * a->C, zeros, t.h - a->top, t.w - a->left, a->H,
                       a->W, a->C, a, a->piece);
        FN(wino_input)(v + i * row, v_e, at, a->C, a->piece);
        if (z) {
            FN(wino_piece)(at, (const REAL *)a->dy + t.n * a->OH * a->OW * a->K, zeros, t.h, t.w, a->OH, a->OW, a->K, a,
                           a->m);
            FN(wino_output_gradient)(z + i * z_row, z_e, at, a->K, a->piece, a->m);
        }
    }
}

/* The products of `count` tiles with the filters. */
static void FN(wino_products)(REAL *products, ptrdiff_t p_e, const REAL *v, ptrdiff_t v_e,
                              const struct winograd_args *a, ptrdiff_t first, ptrdiff_t count)
{
    const struct FN(wino_fetch) in = FN(wino_share)(a, a->x, a->H * a->W * a->C, first + count, count);
    const struct FN(wino_fetch) out = FN(wino_share)(a, a->out, a->OH * a->OW * a->K, first, count);
    const ptrdiff_t C = a->C, K = a->K, panels = (K + TILE_COLS - 1) / TILE_COLS;
    struct tile_args t = {
        .rows = count, .R = 1, .K = C, .a_i = FN(wino_row)(C), .a_k = 1, .b_k = TILE_COLS, .plain = 1};
    t.c_i = (K + VL - 1) / VL * VL;
    for (int e = 0; e < a->piece * a->piece; e++) {
        FN(wino_fetch_part)(&in, e, a->piece * a->piece, 0);
        FN(wino_fetch_part)(&out, e, a->piece * a->piece, 1);
        for (ptrdiff_t p = 0; p < panels; p++) {
            t.a = v + e * v_e;
            t.b = (const REAL *)a->u + (e * panels + p) * C * TILE_COLS;
            t.c = products + e * p_e + p * TILE_COLS;
            t.cols = K - p * TILE_COLS < TILE_COLS ? K - p * TILE_COLS : TILE_COLS;
            FN(tile_rows)(&t);
        }
    }
}

static void FN(winograd_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct winograd_args *a = args;
    const ptrdiff_t C = a->C, K = a->K, row = FN(wino_row)(C), p_row = (K + VL - 1) / VL * VL, block = a->block;
    const ptrdiff_t v_e = FN(wino_slab)(block, row), p_e = FN(wino_slab)(block, p_row);
    const ptrdiff_t entries = a->piece * a->piece;
    REAL *v = scratch, *products = v + entries * v_e, *zeros = products + entries * p_e;
    FN(zero_run)(zeros, C);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t first = unit * block, count = a->tiles - first < block ? a->tiles - first : block;
        FN(wino_transform)(v, v_e, NULL, 0, zeros, a, first, count, unit == lo ? a->tiles_w + WINO_AHEAD : 0);
        FN(wino_products)(products, p_e, v, v_e, a, first, count);
        for (ptrdiff_t i = 0; i < count; i++) {
            const struct FN(wino_tile) t = FN(wino_tile_at)(a, first + i);
            if (t.h >= a->OH || t.w >= a->OW) continue; /* of a dilated convolution's smaller images */
            const ptrdiff_t rows = (a->OH - t.h - 1) / a->d_h + 1, cols = (a->OW - t.w - 1) / a->d_w + 1;
            FN(wino_output)((REAL *)a->out + ((t.n * a->OH + t.h) * a->OW + t.w) * K, products + i * p_row, p_e, a,
                            rows, cols);
        }
    }
}

/* dx of whole images, whose tiles add to it in their order. x is dy here, out is dx, C are the channels of dy. */
static void FN(winograd_adjoint)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct winograd_args *a = args;
    const ptrdiff_t C = a->C, K = a->K, row = FN(wino_row)(C), p_row = (K + VL - 1) / VL * VL, block = a->block;
    const ptrdiff_t v_e = FN(wino_slab)(block, row), p_e = FN(wino_slab)(block, p_row);
    const ptrdiff_t end = hi * a->chunk < a->tiles ? hi * a->chunk : a->tiles;
    const ptrdiff_t entries = a->piece * a->piece;
    REAL *v = scratch, *products = v + entries * v_e, *zeros = products + entries * p_e;
    FN(zero_run)(zeros, C);
    for (ptrdiff_t first = lo * a->chunk; first < end; first += block) {
        const ptrdiff_t count = end - first < block ? end - first : block;
        for (ptrdiff_t i = 0; i < count; i++) {
            const struct FN(wino_tile) t = FN(wino_tile_at)(a, first + i);
            const REAL *at[36];
            FN(wino_piece)(at, (const REAL *)a->x + t.n * a->H * a->W * C, zeros, t.h, t.w, a->H, a->W, C, a, a->m);
            FN(wino_output_gradient)(v + i * row, v_e, at, C, a->piece, a->m);
        }
        FN(wino_products)(products, p_e, v, v_e, a, first, count);
        for (ptrdiff_t i = 0; i < count; i++) {
            const struct FN(wino_tile) t = FN(wino_tile_at)(a, first + i);
            const ptrdiff_t h = t.h - a->top, w = t.w - a->left, d_h = a->d_h, d_w = a->d_w;
            const struct FN(wino_place) place = {.image = (REAL *)a->out + t.n * a->OH * a->OW * K,
                                                 .origin = h * a->OW + w,
                                                 .row = d_h * a->OW,
                                                 .column = d_w,
                                                 .C = K,
                                                 .top = h < 0 ? (-h + d_h - 1) / d_h : 0,
                                                 .bottom = h < a->OH ? (a->OH - h - 1) / d_h + 1 : 0,
                                                 .left = w < 0 ? (-w + d_w - 1) / d_w : 0,
                                                 .right = w < a->OW ? (a->OW - w - 1) / d_w + 1 : 0,
                                                 .seen_h = t.h >= a->m * d_h ? a->piece - a->m : 0,
                                                 .seen_w = t.w >= a->m * d_w ? a->piece - a->m : 0};
            FN(wino_input_gradient)(&place, products + i * p_row, p_e, a->piece);
        }
    }
}

/* Small filters: u[slice][e][C][K] = the sum over a slice of tiles, transformed block by block so that neither they nor
 * the sum leave the second-level cache. Unit: one slice. */
static void FN(winograd_gradient_slice)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct winograd_args *a = args;
    const ptrdiff_t C = a->C, K = a->K, row = FN(wino_row)(C);
    const ptrdiff_t z_row = (K + VL - 1) / VL * VL, v_e = FN(wino_slab)(a->block, row),
                    z_e = FN(wino_slab)(a->block, z_row);
    const ptrdiff_t entries = a->piece * a->piece;
    REAL *v = scratch, *z = v + entries * v_e, *zeros = z + entries * z_e;
    FN(zero_run)(zeros, C > K ? C : K);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t end = (unit + 1) * a->chunk < a->tiles ? (unit + 1) * a->chunk : a->tiles;
        for (ptrdiff_t first = unit * a->chunk; first < end; first += a->block) {
            const ptrdiff_t count = end - first < a->block ? end - first : a->block;
            FN(wino_transform)(v, v_e, z, z_e, zeros, a, first, count, 0);
            struct tile_args t = {.rows = C, .R = 1, .K = count, .a_i = 1, .a_k = row, .b_k = z_row, .c_i = K};
            t.add = first > unit * a->chunk;
            const struct FN(wino_fetch) x = FN(wino_share)(a, a->x, a->H * a->W * C, first + count, count);
            const struct FN(wino_fetch) dy = FN(wino_share)(a, a->dy, a->OH * a->OW * K, first + count, count);
            for (ptrdiff_t e = 0; e < entries; e++) {
                FN(wino_fetch_part)(&x, e, entries, 0);
                FN(wino_fetch_part)(&dy, e, entries, 0);
                for (ptrdiff_t k = 0; k < K; k += TILE_COLS) {
                    t.a = v + e * v_e;
                    t.b = z + e * z_e + k;
                    t.c = (REAL *)a->u + (unit * entries + e) * C * K + k;
                    t.cols = K - k < TILE_COLS ? K - k : TILE_COLS;
                    FN(tile_rows)(&t);
                }
            }
        }
    }
}

/* Large filters: transforms and products in turn, the products entry by entry.
 * V and Z of tiles [first_tile, first_tile + chunk). Unit: `block` tiles of these. */
static void FN(winograd_gradient_transform)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct winograd_args *a = args;
    const ptrdiff_t row = FN(wino_row)(a->C), z_row = (a->K + VL - 1) / VL * VL;
    const ptrdiff_t v_e = FN(wino_slab)(a->chunk, row), z_e = FN(wino_slab)(a->chunk, z_row);
    REAL *zeros = scratch;
    FN(zero_run)(zeros, a->C > a->K ? a->C : a->K);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t at = unit * a->block,
                        left = a->tiles - a->first_tile < a->chunk ? a->tiles - a->first_tile : a->chunk;
        const ptrdiff_t count = left - at < a->block ? left - at : a->block;
        REAL *v = (REAL *)a->v + at * row, *z = (REAL *)a->z + at * z_row;
        FN(wino_transform)(v, v_e, z, z_e, zeros, a, a->first_tile + at, count, a->tiles_w + WINO_AHEAD);
    }
}

/* u[e][C][K] += the sum over these tiles; the first chunk starts it. Unit: one panel of one entry. */
static void FN(winograd_gradient)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct winograd_args *a = args;
    const ptrdiff_t C = a->C, K = a->K, row = FN(wino_row)(C), panels = (K + TILE_COLS - 1) / TILE_COLS;
    const ptrdiff_t z_row = (K + VL - 1) / VL * VL;
    const ptrdiff_t v_e = FN(wino_slab)(a->chunk, row), z_e = FN(wino_slab)(a->chunk, z_row);
    struct tile_args t = {.rows = C, .R = 1, .a_i = 1, .a_k = row, .b_k = z_row, .c_i = K, .add = a->first_tile > 0};
    t.K = a->tiles - a->first_tile < a->chunk ? a->tiles - a->first_tile : a->chunk;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t e = unit / panels, k = unit % panels * TILE_COLS;
        t.a = (const REAL *)a->v + e * v_e;
        t.b = (const REAL *)a->z + e * z_e + k;
        t.c = (REAL *)a->u + e * C * K + k;
        t.cols = K - k < TILE_COLS ? K - k : TILE_COLS;
        FN(tile_rows)(&t);
    }
}

/* dw = G' (sum of the slices of u, in order) G. Unit: one input channel. */
QUERNEL_INLINE void FN(wino_filter_gradient_rows)(const struct winograd_args *a, ptrdiff_t lo, ptrdiff_t hi,
                                                  const int P, const int m)
{
    const int taps = P + 1 - m;
    const ptrdiff_t C = a->C, K = a->K;
    for (ptrdiff_t c = lo; c < hi; c++)
        for (ptrdiff_t k = 0; k < K; k += VL) {
            vec u[WINO_PIECE * WINO_PIECE], half[5 * WINO_PIECE], g[25];
            for (int e = 0; e < P * P; e++) {
                u[e] = (vec){0};
                for (ptrdiff_t i = 0; i < a->slices; i++)
                    u[e] += FN(load_upto)((const REAL *)a->u + ((i * P * P + e) * C + c) * K + k, K - k, 0);
            }
            for (int i = 0; i < P; i++) FN(wino_g_adjoint)(half + i, u + i, P, P, P, taps);
            for (int i = 0; i < taps; i++) FN(wino_g_adjoint)(g + taps * i, half + P * i, 1, 1, P, taps);
            for (int i = 0; i < taps * taps; i++) FN(store_upto)((REAL *)a->out + (i * C + c) * K + k, g[i], K - k);
        }
}

static void FN(winograd_filter_gradient)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct winograd_args *a = args;
    WINO_BY_SIZE(FN(wino_filter_gradient_rows), a->piece, a->m, a, lo, hi);
}
