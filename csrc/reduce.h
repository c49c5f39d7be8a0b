/* reduce.h   sum, mean, max, min, var, argmax, argmin of x viewed as (O outer, R reduced, J inner), contiguous.
 *
 * R is cut into `chunks` of `rows`, J into blocks of `width`: sizes that follow from the shape only. A unit is
 * (o, chunk, block), the last running fastest. It leaves its result for each inner index in partial[o, chunk, J]
 * (double), and reduce_finish, one unit per output, joins the chunks in index order: y = scale * joined.
 * With one chunk the unit writes y itself, and works in scratch (width doubles).
 *
 * reduce_deviation sums (x - mean)^2; mean[o, i] is the result of a first pass. joins: how chunks are joined.
 *
 * argmax, argmin: a unit is (o, block); R >= 1. */
#ifndef QUERNEL_REDUCE_H
#define QUERNEL_REDUCE_H

#include <stddef.h>
#include <stdint.h>

enum reduce_kind { REDUCE_SUM, REDUCE_DEVIATION, REDUCE_MAX, REDUCE_MIN };

struct reduce_args {
    void *y;
    double *partial;
    const void *x;
    const void *mean;
    double scale;
    ptrdiff_t joins; /* enum reduce_kind */
    ptrdiff_t R;
    ptrdiff_t J;
    ptrdiff_t rows;
    ptrdiff_t chunks;
    ptrdiff_t width;
    ptrdiff_t blocks;
};

struct arg_args {
    int64_t *y;
    const void *x;
    ptrdiff_t R;
    ptrdiff_t J;
    ptrdiff_t blocks;
};

enum {
    ARG_WIDTH = 256, /* inner indices in a unit of argmax: their best values stay in 1-2 kB of stack */
    ARG_SHORT = 64   /* elements below which a row is searched one by one */
};

#define REDUCE_KERNELS(K)                                                                                              \
    K(reduce_sum)                                                                                                      \
    K(reduce_deviation)                                                                                                \
    K(reduce_max)                                                                                                      \
    K(reduce_min)                                                                                                      \
    K(reduce_finish)                                                                                                   \
    K(argmax)                                                                                                          \
    K(argmin)

#endif
