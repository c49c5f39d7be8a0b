/* check.h   What a case needs: memory, numbers, a way to start a kernel, a place for its results.
 *
 * The same program is built for two machines. `check write` runs every case and writes its results to standard output;
 * `check compare` runs them again and compares with what it reads from standard input. Inputs are the same bits on
 * every machine (GCC and Clang make the draws of an initializer in order; another order would fail everywhere). Each
 * result states its bound, in units of eps: absolute + relative |expected|. */
#ifndef CHECK_H
#define CHECK_H

#include "kernels.h"

extern const struct kernel_table *table; /* under test */

void *take(size_t bytes); /* framed memory full of NaN, 64-byte aligned, until the next `done` */
double uniform(void);     /* in (-1, 1) */
int64_t below(int64_t n); /* 0 ... n - 1 */
void done(void);          /* of a case: frees its memory, and fails if a frame was written to */

/* Starts a kernel over its units in two ranges, with that much scratch; 0: NULL. */
void run(int real, int id, const void *args, ptrdiff_t units, ptrdiff_t scratch_bytes);

/* The n numbers (int64_t if real < 0) at y, under a name. */
void result(int real, const void *y, ptrdiff_t n, double absolute, double relative, const char *name, ...)
    __attribute__((format(printf, 6, 7)));

void cases_f32(void);
void cases_f64(void);

#endif
