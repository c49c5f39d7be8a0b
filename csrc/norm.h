/* norm.h   Batch normalisation over M rows of C channels, two passes over memory each way.
 *
 *   y = act((x - mean) * inv_std * gamma + beta)          mean, var over the M rows; inv_std = 1 / sqrt(var + epsilon)
 *
 * Rows are taken in lines of R side by side, so that few channels fill the vectors too; element e of a line belongs to
 * channel e % C. R is a power of two, 1 for C >= NORM_LINE. Lines are cut into chunks (and, for very many channels,
 * into blocks of columns) whose size depends on the shape alone; each leaves partial sums, added in chunk order.
 * Second passes go from the last unit to the first: what the first pass read last may still be in cache. */
#ifndef QUERNEL_NORM_H
#define QUERNEL_NORM_H

enum {
    NORM_LINE = 256,  /* elements a line has at least: long against a loop's overhead, short against the cache */
    NORM_BLOCK = 512, /* columns of a block at most: its sums (40 bytes a column) stay in a 32 KiB cache */
    /* Elements of a chunk: a 16th of x between these, some 5 to 20 us of work (long runs suit the prefetcher: chunks of
     * 131072 take a tenth less time than of 32768), but a 256th of x at least, to keep the partials small beside it. */
    NORM_CHUNK_MIN = 32768,
    NORM_CHUNK_MAX = 131072,
    NORM_CHUNKS_USUAL = 16,
    NORM_CHUNKS_MAX = 256,
    /* Sums take lines from 4 places at once. Measured on a Zen 4 server, C = 64 ... 512, data in memory: 28 GB/s, one
     * line after the other 20, four neighbouring lines (the prefetcher sees no order) 12; a bare sum reaches 37. */
    NORM_STREAMS = 4,
    NORM_RUN = 32, /* lines summed in REAL before the sum goes on in double */
    NORM_HEAD = 8, /* lines whose mean is a chunk's shift */
    NORM_NEAR = 16 /* deviations from 0 that a mean may lie for 1e-6 of a deviation to be lost (float) */
};

/* The two sums of a pass: of g and of g * (x - shift). */
enum norm_sum {
    NORM_SUM_X,      /* g = x - shift */
    NORM_SUM_DY,     /* g = dy */
    NORM_SUM_DY_RELU /* g = dy where y > 0 */
};

struct norm_shape {
    ptrdiff_t M, C;
    ptrdiff_t R, lines;            /* lines = M / R; the M % R rows that remain belong to the last chunk */
    ptrdiff_t chunk_lines, chunks; /* chunks = 0 if M = 0 */
    ptrdiff_t blocks;              /* of columns; 1 unless C > NORM_BLOCK */
};

/* Units: _statistics and _normalise a block of a chunk; _finish and _coefficients a channel. */
struct norm_forward_args {
    void *y;
    void *mean, *var, *inv_std; /* (C,) */
    double *partial;            /* (chunks, 3, C): shift, sum of (x - shift), sum of (x - shift)^2 */
    void *coefficient;          /* (3, C): centre, scale, offset; y = (x - centre) * scale + offset */
    const void *x, *gamma, *beta;
    struct norm_shape shape;
    double epsilon;
    int relu;
    int stream; /* y is written past the caches (simd.h) */
};

/* Units: _sums and _apply a block of a chunk; _finish a channel. */
struct norm_backward_args {
    void *dx, *dgamma, *dbeta;
    double *partial;   /* (chunks, 2, C): sum of dz, sum of dz * (x - mean) */
    void *coefficient; /* (4, C): centre, scale, offset, slope; dx = scale * (dz - offset - (x - centre) * slope) */
    const void *dy, *x, *y, *gamma, *mean, *inv_std;
    struct norm_shape shape;
    int relu;
    int stream; /* dx is written past the caches (simd.h) */
};

/* Unit: a channel. */
struct norm_running_args {
    void *running_mean, *running_var;
    const void *mean, *var;
    double momentum;
};

/* Scratch of all kernels here: five double for each column of a block. */
enum { NORM_SCRATCH_BYTES = NORM_BLOCK * 5 * 8 };

#define NORM_KERNELS(K)                                                                                                \
    K(batch_norm_statistics)                                                                                           \
    K(batch_norm_finish)                                                                                               \
    K(batch_norm_coefficients)                                                                                         \
    K(batch_norm_normalise)                                                                                            \
    K(batch_norm_backward_sums) K(batch_norm_backward_finish) K(batch_norm_backward_apply) K(batch_norm_running)
#endif
