/* gemm.h   Matrix products.
 *
 *   C[m, n] = act(sum_k A[m, k] B[k, n] + bias[n])          M x N = (M x K) (K x N)
 *
 * Letters here: M rows, N columns, K summed index; `a_m` is the distance in A between neighbours along M, and so on. */
#ifndef QUERNEL_GEMM_H
#define QUERNEL_GEMM_H

/* One tile or a column of tiles (tile.inc.h). */
struct tile_args {
    void *c;
    const void *a, *b, *bias; /* bias NULL: none */
    ptrdiff_t c_i;            /* distance between rows of C */
    const ptrdiff_t *a_r;     /* offset in A of each step of the outer sum; NULL: R == 1, offset 0 */
    const ptrdiff_t *a_row;   /* offset in A of each output row; NULL: i * a_i */
    ptrdiff_t a_i, a_k;       /* strides of A: output row, inner sum */
    ptrdiff_t b_r, b_k;       /* strides of B; the columns of a panel are contiguous */
    ptrdiff_t b_panel;        /* distance between panels of TILE_COLS columns; tile_rows with one panel reads none */
    ptrdiff_t rows, cols;     /* output block; cols <= TILE_COLS but for tile_block */
    ptrdiff_t R, K;           /* lengths of the outer and the inner sum */
    int add;                  /* start from what C holds */
    int plain;                /* R == 1, rows a_i apart, no add, bias or activation; C is in a near cache */
    int activation;
    double alpha;
};

/* B into panels of `tile_cols` columns: panel p, row k, column j at packed[(p * K + k) * tile_cols + j], zero-padded.
 * Unit: one panel of one batch entry. */
struct gemm_pack_args {
    void *packed;
    const void *b;
    ptrdiff_t b_batch, b_k, b_n;
    ptrdiff_t K, N;
};

/* Where a block finds B: in panels packed before; as it stands (contiguous rows), but for a last panel that is not
 * full; or it packs a panel's part into its scratch when it comes to it, which spares a long B the way through memory.
 */
enum gemm_b { GEMM_B_PACKED, GEMM_B_IN_PLACE, GEMM_B_BY_BLOCK };

/* Unit: one block of rows_per_block x cols_per_block of C, of one batch entry and one slice of K. */
struct gemm_args {
    void *c;
    const void *a, *b, *bias;
    ptrdiff_t c_batch, c_slice, c_m;
    ptrdiff_t a_batch, a_m, a_k;
    ptrdiff_t b_batch, b_k, b_n; /* of B packed before: b_batch alone, the size of one packed matrix */
    ptrdiff_t M, N, K;
    ptrdiff_t row_block, col_block; /* col_block a multiple of tile_cols */
    ptrdiff_t k_block;              /* terms that one pass over a block of A takes: GEMM_K_BLOCK or fewer */
    ptrdiff_t k_slice, slices;      /* K is cut into `slices` of k_slice, each with a C of its own */
    int b_from;                     /* enum gemm_b; scratch unless GEMM_B_PACKED: GEMM_K_BLOCK x tile_cols */
    int copy_a;                     /* copy blocks of A into scratch first, behind that */
    int add;                        /* C += instead of C = */
    int activation;
    double alpha;
};

/* c[i] = bias-free sum of `slices` partial C, in index order, then bias and activation. Unit: one row. */
struct gemm_combine_args {
    void *c;
    const void *partial, *bias;
    ptrdiff_t c_m, slice, N, slices;
    int add;
    int activation;
    double alpha;
};

/* Longest run of K that one pass over a block of A takes: 14 rows x 512 floats stay in a 32 KiB first-level cache
 * beside the panel of B that streams through it. */
enum { GEMM_K_BLOCK = 512 };
/* The same for a few rows of A beside a large B that is read as it stands, which then goes by in runs as long as its
 * rows: 1x4096 @ 4096x4096 2.5 ms, with 32 terms or more 3.6 to 4.3; 4 terms 3.4, 16 terms 3.1. */
enum { GEMM_K_STREAM = 8 };
/* Rows of copied A blocks are this many bytes further apart than their length, lest they fall in one cache set. */
enum { GEMM_SKEW_BYTES = 64 };

#define GEMM_KERNELS(K) K(gemm_pack) K(gemm_block) K(gemm_combine)
#endif
