/* indexing.h   Moving elements of 1, 2, 4 or 8 bytes, whatever they mean.
 *
 * move_<bytes>: y[i] = x[0][i] over struct map_args (elementwise.h) with any strides on both sides; a unit is one
 * element.
 *
 * fill_<bytes>: y[i] = the first bytes of p.
 *
 * transpose_<bytes>: move for x contiguous along the last dimension but one, T, and y along the last, L; a unit is a
 * block of TRANSPOSE_BLOCK x TRANSPOSE_BLOCK of them, turned tile by tile.
 *
 * gather_<bytes>: x (O, A, J) -> y (O, n, J), y[o, i] = x[o, indices[i]]; J counts elements, a unit is one (o, i).
 *
 * scatter_add: its backward, dx[o, indices[i]] += dy[o, i] in order of i. scatter_sort first lists, for each row of A,
 * the i that go there (rising): order[start[a] .. start[a + 1]); one unit. A unit of scatter_add is (o, a, block of
 * SCATTER_WIDTH of J): each row of dx is written once, by one thread. */
#ifndef QUERNEL_INDEXING_H
#define QUERNEL_INDEXING_H

#include <stddef.h>
#include <stdint.h>

enum {
    TRANSPOSE_TILE = 16,   /* 16 floats are a cache line */
    TRANSPOSE_BLOCK = 256, /* best of 16 to 4096 for copies of 64 MB: long runs in each page, work for many threads */
    TRANSPOSE_CONFLICT = 2048, /* 16 rows so many bytes apart share one or two sets of a first-level cache */
    MOVE_SHORT = 512,          /* bytes of a run that is copied in place */
    SCATTER_WIDTH = 1024       /* 4 kB of floats: a row worth a unit of its own */
};

struct gather_args {
    void *y;
    const void *x;
    const int64_t *indices;
    ptrdiff_t A;
    ptrdiff_t n;
    ptrdiff_t J;
};

struct scatter_args {
    void *dx;
    int64_t *start;
    int64_t *order;
    const void *dy;
    const int64_t *indices;
    ptrdiff_t A;
    ptrdiff_t n;
    ptrdiff_t J;
    ptrdiff_t blocks;
};

#define INDEXING_KERNELS(K)                                                                                            \
    K(move_1)                                                                                                          \
    K(move_2)                                                                                                          \
    K(move_4)                                                                                                          \
    K(move_8)                                                                                                          \
    K(fill_1)                                                                                                          \
    K(fill_2)                                                                                                          \
    K(fill_4)                                                                                                          \
    K(fill_8)                                                                                                          \
    K(transpose_1)                                                                                                     \
    K(transpose_2)                                                                                                     \
    K(transpose_4)                                                                                                     \
    K(transpose_8)                                                                                                     \
    K(gather_1)                                                                                                        \
    K(gather_2)                                                                                                        \
    K(gather_4)                                                                                                        \
    K(gather_8)                                                                                                        \
    K(scatter_sort)                                                                                                    \
    K(scatter_add)

#endif
