/* norm.h   Batch normalisation over M rows of C channels, two passes over memory each way.
 *
 *   y = act((x - mean) * inv_std * gamma + beta)          mean, var over the M rows; inv_std = 1 / sqrt(var + epsilon)
 *
 * Rows are taken in lines of R side by side, so that few channels fill the vectors too; element e of a line belongs to
 * channel e % C. R is a power of two, 1 for C >= NORM_LINE. Lines are cut into chunks (and, for very many channels,
 * into blocks of columns) whose size depends on the shape alone; each leaves partial sums, added in chunk order. */
#ifndef QUERNEL_NORM_H
#define QUERNEL_NORM_H

enum {
    NORM_LINE = 256,     /* elements a line has at least: long against a loop's overhead, short against the cache */
    NORM_BLOCK = 1024,   /* columns of a block at most: its sums and shifts (20 bytes a column) stay in a 32 KiB cache */
    NORM_CHUNK = 32768,  /* elements of a chunk at least: some 5 us of work */
    NORM_CHUNKS_MAX = 256 /* keeps the partials of a large x small beside it */
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
    void *coefficient;          /* (3, C): mean, scale, offset; y = (x - mean) * scale + offset */
    const void *x, *gamma, *beta;
    struct norm_shape shape;
    double epsilon;
    int relu;
};

/* Units: _sums and _apply a block of a chunk; _finish a channel. */
struct norm_backward_args {
    void *dx, *dgamma, *dbeta;
    double *partial;   /* (chunks, 2, C): sum of dz, sum of dz * (x - mean) */
    void *coefficient; /* (4, C): mean, scale, mean of dz, slope; dx = scale * (dz - mean_dz - (x - mean) * slope) */
    const void *dy, *x, *y, *gamma, *mean, *inv_std;
    struct norm_shape shape;
    int relu;
};

/* Unit: a channel. */
struct norm_running_args {
    void *running_mean, *running_var;
    const void *mean, *var;
    double momentum;
};

/* Scratch of all kernels here: four REAL or two double and one REAL for each column of a block. */
enum { NORM_SCRATCH_BYTES = NORM_BLOCK * 4 * 8 };

#define NORM_KERNELS(K)                                                                                      \
    K(batch_norm_statistics) K(batch_norm_finish) K(batch_norm_coefficients) K(batch_norm_normalise)         \
    K(batch_norm_backward_sums) K(batch_norm_backward_finish) K(batch_norm_backward_apply) K(batch_norm_running)
#endif
