/* winograd.inc.h   Convolutions of 3 x 3 and 5 x 5, stride 1, with a quarter or a third of the multiplications.
 *
 * An output tile of m x m (m = 4 for 3 x 3 filters, 2 for 5 x 5) comes from a 6 x 6 piece d of the input:
 *   Y = A' [ (G g G') * (B' d B) ] A          ' transposes, * multiplies entry by entry and is summed over channels
 * which is 36 matrix products, one per entry (Lavin and Gray 2015, Fast Algorithms for Convolutional Neural Networks;
 * interpolation points 0, 1, -1, 2, -2 and infinity for both sizes, hence one B). The transforms run along channels.
 * The gradient of the input is the same with flipped filters, or the adjoint in d, whose tiles overlap and are added:
 *   dd = B [ (G g G') * (A dY A') ] B',
 * which has fewer tiles where the output is smaller than the input. The gradient of the filter is the adjoint in g:
 *   dg = G' [ sum over tiles of (B' d B) * (A dY A') ] G.
 *
 * Entries are numbered e = 6 row + column. Tiles are numbered over all images, so that small images fill blocks too.
 * Transformed data: V[e][tile][C], U[e][panel][C][TILE_COLS], M and Z[e][tile][K in whole vectors]; of the filter
 * gradient U[e][C][K]. */

#include "winograd_transform.inc.h"

/* Neighbouring rows of V must not fall into one cache set. */
QUERNEL_INLINE ptrdiff_t FN(wino_row)(ptrdiff_t C)
{
    const ptrdiff_t row = (C + VL - 1) / VL * VL;
    return row * (ptrdiff_t)sizeof(REAL) % 1024 ? row : row + VL;
}

/* Distance between the 36 entries of one tile: an odd number of vectors, for the same reason. */
QUERNEL_INLINE ptrdiff_t FN(wino_slab)(ptrdiff_t tiles, ptrdiff_t row) { return (tiles * row / VL | 1) * VL; }

/* Transforms tiles [first, first + count); with z also their dy. */
QUERNEL_INLINE void FN(wino_transform)(REAL *v, ptrdiff_t v_e, REAL *z, ptrdiff_t z_e, const REAL *zeros,
                                       const struct winograd_args *a, ptrdiff_t first, ptrdiff_t count, const int m)
{
    const ptrdiff_t row = FN(wino_row)(a->C), z_row = (a->K + VL - 1) / VL * VL;
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t tile = first + i, n = tile / (a->tiles_h * a->tiles_w);
        const ptrdiff_t oh = tile / a->tiles_w % a->tiles_h * m, ow = tile % a->tiles_w * m;
        const REAL *at[36];
        FN(wino_piece)(at, (const REAL *)a->x + n * a->H * a->W * a->C, zeros, oh - a->top, ow - a->left, a->H, a->W,
                       a->C, 6);
        FN(wino_input)(v + i * row, v_e, at, a->C);
        if (z) {
            FN(wino_piece)(at, (const REAL *)a->dy + n * a->OH * a->OW * a->K, zeros, oh, ow, a->OH, a->OW, a->K, m);
            FN(wino_output_gradient)(z + i * z_row, z_e, at, a->K, m);
        }
    }
}

/* The 36 products of `count` tiles with the filters. */
static void FN(wino_products)(REAL *products, ptrdiff_t p_e, const REAL *v, ptrdiff_t v_e,
                              const struct winograd_args *a, ptrdiff_t count)
{
    const ptrdiff_t C = a->C, K = a->K, panels = (K + TILE_COLS - 1) / TILE_COLS;
    struct tile_args t = {.rows = count, .R = 1, .K = C, .a_i = FN(wino_row)(C), .a_k = 1, .b_k = TILE_COLS};
    t.c_i = (K + VL - 1) / VL * VL;
    for (int e = 0; e < 36; e++)
        for (ptrdiff_t p = 0; p < panels; p++) {
            t.a = v + e * v_e;
            t.b = (const REAL *)a->u + (e * panels + p) * C * TILE_COLS;
            t.c = products + e * p_e + p * TILE_COLS;
            t.cols = K - p * TILE_COLS < TILE_COLS ? K - p * TILE_COLS : TILE_COLS;
            FN(tile_rows)(&t);
        }
}

QUERNEL_INLINE void FN(wino_forward_blocks)(const struct winograd_args *a, ptrdiff_t lo, ptrdiff_t hi, REAL *scratch,
                                            const int m)
{
    const ptrdiff_t C = a->C, K = a->K, row = FN(wino_row)(C), p_row = (K + VL - 1) / VL * VL, block = a->block;
    const ptrdiff_t v_e = FN(wino_slab)(block, row), p_e = FN(wino_slab)(block, p_row);
    REAL *v = scratch, *products = v + 36 * v_e, *zeros = products + 36 * p_e;
    FN(zero_run)(zeros, C);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t first = unit * block, count = a->tiles - first < block ? a->tiles - first : block;
        FN(wino_transform)(v, v_e, NULL, 0, zeros, a, first, count, m);
        FN(wino_products)(products, p_e, v, v_e, a, count);
        for (ptrdiff_t i = 0; i < count; i++) {
            const ptrdiff_t tile = first + i, n = tile / (a->tiles_h * a->tiles_w);
            const ptrdiff_t oh = tile / a->tiles_w % a->tiles_h * m, ow = tile % a->tiles_w * m;
            FN(wino_output)((REAL *)a->out + ((n * a->OH + oh) * a->OW + ow) * K, products + i * p_row, p_e, a,
                            a->OH - oh < m ? a->OH - oh : m, a->OW - ow < m ? a->OW - ow : m, m);
        }
    }
}

static void FN(winograd_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct winograd_args *a = args;
    if (a->m == 4)
        FN(wino_forward_blocks)(a, lo, hi, scratch, 4);
    else
        FN(wino_forward_blocks)(a, lo, hi, scratch, 2);
}

/* dx of whole images, whose tiles add to it in their order. x is dy here, out is dx, C are the channels of dy. */
QUERNEL_INLINE void FN(wino_adjoint_images)(const struct winograd_args *a, ptrdiff_t lo, ptrdiff_t hi, REAL *scratch,
                                            const int m)
{
    const ptrdiff_t C = a->C, K = a->K, row = FN(wino_row)(C), p_row = (K + VL - 1) / VL * VL, block = a->block;
    const ptrdiff_t v_e = FN(wino_slab)(block, row), p_e = FN(wino_slab)(block, p_row);
    const ptrdiff_t end = hi * a->chunk < a->tiles ? hi * a->chunk : a->tiles;
    REAL *v = scratch, *products = v + 36 * v_e, *zeros = products + 36 * p_e;
    FN(zero_run)(zeros, C);
    for (ptrdiff_t first = lo * a->chunk; first < end; first += block) {
        const ptrdiff_t count = end - first < block ? end - first : block;
        for (ptrdiff_t i = 0; i < count; i++) {
            const ptrdiff_t tile = first + i, n = tile / (a->tiles_h * a->tiles_w);
            const ptrdiff_t h = tile / a->tiles_w % a->tiles_h * m, w = tile % a->tiles_w * m;
            const REAL *at[16];
            FN(wino_piece)(at, (const REAL *)a->x + n * a->H * a->W * C, zeros, h, w, a->H, a->W, C, m);
            FN(wino_output_gradient)(v + i * row, v_e, at, C, m);
        }
        FN(wino_products)(products, p_e, v, v_e, a, count);
        for (ptrdiff_t i = 0; i < count; i++) {
            const ptrdiff_t tile = first + i, n = tile / (a->tiles_h * a->tiles_w);
            const ptrdiff_t h = tile / a->tiles_w % a->tiles_h * m - a->top, w = tile % a->tiles_w * m - a->left;
            const struct FN(wino_place) place = {.image = (REAL *)a->out + n * a->OH * a->OW * K,
                                                 .origin = h * a->OW + w,
                                                 .W = a->OW,
                                                 .C = K,
                                                 .top = -h,
                                                 .bottom = a->OH - h,
                                                 .left = -w,
                                                 .right = a->OW - w,
                                                 .seen_h = h > -a->top ? 6 - m : 0,
                                                 .seen_w = w > -a->left ? 6 - m : 0};
            FN(wino_input_gradient)(&place, products + i * p_row, p_e);
        }
    }
}

static void FN(winograd_adjoint)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct winograd_args *a = args;
    if (a->m == 4)
        FN(wino_adjoint_images)(a, lo, hi, scratch, 4);
    else
        FN(wino_adjoint_images)(a, lo, hi, scratch, 2);
}

/* Small filters: u[slice][e][C][K] = the sum over a slice of tiles, transformed block by block so that neither they nor
 * the sum leave the second-level cache. Unit: one slice. */
static void FN(winograd_gradient_slice)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct winograd_args *a = args;
    const ptrdiff_t C = a->C, K = a->K, row = FN(wino_row)(C);
    const ptrdiff_t z_row = (K + VL - 1) / VL * VL, v_e = FN(wino_slab)(a->block, row),
                    z_e = FN(wino_slab)(a->block, z_row);
    REAL *v = scratch, *z = v + 36 * v_e, *zeros = z + 36 * z_e;
    FN(zero_run)(zeros, C > K ? C : K);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t end = (unit + 1) * a->chunk < a->tiles ? (unit + 1) * a->chunk : a->tiles;
        for (ptrdiff_t first = unit * a->chunk; first < end; first += a->block) {
            const ptrdiff_t count = end - first < a->block ? end - first : a->block;
            if (a->m == 4)
                FN(wino_transform)(v, v_e, z, z_e, zeros, a, first, count, 4);
            else
                FN(wino_transform)(v, v_e, z, z_e, zeros, a, first, count, 2);
            struct tile_args t = {.rows = C, .R = 1, .K = count, .a_i = 1, .a_k = row, .b_k = z_row, .c_i = K};
            t.add = first > unit * a->chunk;
            for (ptrdiff_t e = 0; e < 36; e++)
                for (ptrdiff_t k = 0; k < K; k += TILE_COLS) {
                    t.a = v + e * v_e;
                    t.b = z + e * z_e + k;
                    t.c = (REAL *)a->u + (unit * 36 + e) * C * K + k;
                    t.cols = K - k < TILE_COLS ? K - k : TILE_COLS;
                    FN(tile_rows)(&t);
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
        if (a->m == 4)
            FN(wino_transform)(v, v_e, z, z_e, zeros, a, a->first_tile + at, count, 4);
        else
            FN(wino_transform)(v, v_e, z, z_e, zeros, a, a->first_tile + at, count, 2);
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
                                                  const int taps)
{
    const ptrdiff_t C = a->C, K = a->K;
    for (ptrdiff_t c = lo; c < hi; c++)
        for (ptrdiff_t k = 0; k < K; k += VL) {
            vec u[36], half[30], g[25];
            for (int e = 0; e < 36; e++) {
                u[e] = (vec){0};
                for (ptrdiff_t i = 0; i < a->slices; i++)
                    u[e] += FN(load_upto)((const REAL *)a->u + ((i * 36 + e) * C + c) * K + k, K - k, 0);
            }
            for (int i = 0; i < 6; i++) FN(wino_g_transposed)(half + i, u + i, 6, 6, taps);
            for (int i = 0; i < taps; i++) FN(wino_g_transposed)(g + taps * i, half + 6 * i, 1, 1, taps);
            for (int i = 0; i < taps * taps; i++) FN(store_upto)((REAL *)a->out + (i * C + c) * K + k, g[i], K - k);
        }
}

static void FN(winograd_filter_gradient)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct winograd_args *a = args;
    if (a->m == 4)
        FN(wino_filter_gradient_rows)(a, lo, hi, 3);
    else
        FN(wino_filter_gradient_rows)(a, lo, hi, 5);
}
