/* wide.inc.h   Long sums: a lane adds at most WIDE_STEPS terms in REAL, then goes on in double.
 * Eight roundings of 2^-24 bound the relative error of a sum of positive floats by 5e-7, however long it is. */
#ifndef QUERNEL_WIDE
#define QUERNEL_WIDE
enum { WIDE_STEPS = 8 };
#endif

/* sum[i] += lane i, for the first n lanes, or all if n >= VL. */
QUERNEL_INLINE void FN(add_wide)(double *sum, vec v, ptrdiff_t n)
{
    if (n >= VL) {
        for (ptrdiff_t i = 0; i < VL; i++) sum[i] += (double)v[i];
    } else {
        REAL lane[VECTOR_BYTES / sizeof(REAL)];
        FN(store)(lane, v);
        for (ptrdiff_t i = 0; i < n; i++) sum[i] += (double)lane[i];
    }
}
