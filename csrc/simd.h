/* simd.h   The vector type, its width, and the dozen operations the kernels are written in.
 * Arithmetic and comparisons are plain C on `vec` (GCC/Clang vector extensions); a comparison gives an `ivec` mask of
 * 0 or -1 per lane. Tails use load_part/store_part and the same vector code, so that a value never depends on where
 * in an array it stands.
 *
 * exp, log, tanh, sigmoid and erf are written for this file; measured errors stand in docs/kernels.md. */
#define VL ((ptrdiff_t)(VECTOR_BYTES / sizeof(REAL)))
#define vec FN(vec)
#define ivec FN(ivec)

typedef REAL vec __attribute__((vector_size(VECTOR_BYTES)));
typedef INT ivec __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL FN(vec_unaligned) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

#ifndef QUERNEL_INLINE
#define QUERNEL_INLINE static inline __attribute__((always_inline, unused))
#endif

typedef INT FN(ivec_unaligned) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

QUERNEL_INLINE vec FN(load)(const REAL *p) { return *(const FN(vec_unaligned) *)p; }

QUERNEL_INLINE void FN(store)(REAL *p, vec v) { *(FN(vec_unaligned) *)p = v; }

QUERNEL_INLINE vec FN(splat)(REAL s) { return s - (vec){0}; }

/* v, in a register: GCC would rather read memory again for every use of a vector that it could keep. */
QUERNEL_INLINE vec FN(held)(vec v)
{
#if defined(__AVX512F__)
    __asm__("" : "+v"(v));
#elif defined(__SSE2__)
    __asm__("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#endif
    return v;
}

/* Lane operations that the vector extensions lack in C. */
#if defined(__AVX512F__) && VECTOR_BYTES == 64
#include <immintrin.h>
#if REAL_IS_DOUBLE
#define AVX512(op) _mm512_##op##_pd
#define LANE_MASK(n) ((__mmask8)((1u << (n)) - 1))
#define MASK_OF(m) _mm512_movepi64_mask((__m512i)(m))
#else
#define AVX512(op) _mm512_##op##_ps
#define LANE_MASK(n) ((__mmask16)((1u << (n)) - 1))
#define MASK_OF(m) _mm512_movepi32_mask((__m512i)(m))
#endif

QUERNEL_INLINE vec FN(select)(ivec mask, vec a, vec b) { return AVX512(mask_blend)(MASK_OF(mask), b, a); }

QUERNEL_INLINE vec FN(load_part)(const REAL *p, ptrdiff_t n, REAL fill)
{
    return AVX512(mask_loadu)(AVX512(set1)(fill), LANE_MASK(n), p);
}

QUERNEL_INLINE void FN(store_part)(REAL *p, vec v, ptrdiff_t n) { AVX512(mask_storeu)(p, LANE_MASK(n), v); }

QUERNEL_INLINE vec FN(vmax)(vec a, vec b) /* b where either is NaN */ { return AVX512(max)(a, b); }

QUERNEL_INLINE vec FN(vmin)(vec a, vec b) /* b where either is NaN */ { return AVX512(min)(a, b); }

QUERNEL_INLINE vec FN(vsqrt)(vec a) { return AVX512(sqrt)(a); }

QUERNEL_INLINE int FN(any)(ivec mask) { return MASK_OF(mask) != 0; }

QUERNEL_INLINE void FN(stream)(REAL *p, vec v) { AVX512(stream)(p, v); }
#undef AVX512
#undef LANE_MASK
#undef MASK_OF
#else
#if defined(__AVX__) && VECTOR_BYTES == 32
#include <immintrin.h>
#if REAL_IS_DOUBLE
#define NATIVE(op) _mm256_##op##_pd
#else
#define NATIVE(op) _mm256_##op##_ps
#endif
#elif defined(__SSE2__) && VECTOR_BYTES == 16
#include <emmintrin.h>
#if REAL_IS_DOUBLE
#define NATIVE(op) _mm_##op##_pd
#else
#define NATIVE(op) _mm_##op##_ps
#endif
#endif

QUERNEL_INLINE vec FN(select)(ivec mask, vec a, vec b)
{
#if defined(__AVX__) && VECTOR_BYTES == 32
    return NATIVE(blendv)(b, a, (vec)mask);
#else
    return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
#endif
}

QUERNEL_INLINE vec FN(load_part)(const REAL *p, ptrdiff_t n, REAL fill)
{
    vec v = FN(splat)(fill);
    memcpy(&v, p, (size_t)n * sizeof(REAL));
    return v;
}

QUERNEL_INLINE void FN(store_part)(REAL *p, vec v, ptrdiff_t n) { memcpy(p, &v, (size_t)n * sizeof(REAL)); }

#ifdef NATIVE
QUERNEL_INLINE vec FN(vmax)(vec a, vec b) /* b where either is NaN */ { return NATIVE(max)(a, b); }

QUERNEL_INLINE vec FN(vmin)(vec a, vec b) /* b where either is NaN */ { return NATIVE(min)(a, b); }

QUERNEL_INLINE vec FN(vsqrt)(vec a) { return NATIVE(sqrt)(a); }

QUERNEL_INLINE int FN(any)(ivec mask) { return NATIVE(movemask)((vec)mask) != 0; }

QUERNEL_INLINE void FN(stream)(REAL *p, vec v) { NATIVE(stream)(p, v); }
#undef NATIVE
#else
QUERNEL_INLINE vec FN(vmax)(vec a, vec b) /* b where either is NaN */ { return FN(select)(a > b, a, b); }

QUERNEL_INLINE vec FN(vmin)(vec a, vec b) /* b where either is NaN */ { return FN(select)(a < b, a, b); }

QUERNEL_INLINE vec FN(vsqrt)(vec a)
{
    for (ptrdiff_t i = 0; i < VL; i++) a[i] = REAL_IS_DOUBLE ? (REAL)sqrt(a[i]) : (REAL)sqrtf((float)a[i]);
    return a;
}

QUERNEL_INLINE int FN(any)(ivec mask)
{
    INT any = 0;
    for (ptrdiff_t i = 0; i < VL; i++) any |= mask[i];
    return any != 0;
}

QUERNEL_INLINE void FN(stream)(REAL *p, vec v) { FN(store)(p, v); }
#endif
#endif

/* `stream` writes past the caches: an ordinary store first reads the line that it will overwrite, a third of all
 * traffic of y = f(x). Only for more than STREAM_BYTES, which a reader would not find in a cache either; p is a
 * multiple of the vector (`can_stream`); `stream_end` before the kernel returns puts what was written in order with
 * later stores. */
QUERNEL_INLINE int FN(can_stream)(const REAL *p) { return (uintptr_t)p % VECTOR_BYTES == 0; }

QUERNEL_INLINE void FN(stream_end)(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}

/* A tail of n < VL elements, or a whole vector. */
QUERNEL_INLINE vec FN(load_upto)(const REAL *p, ptrdiff_t n, REAL fill)
{
    return n >= VL ? FN(load)(p) : FN(load_part)(p, n, fill);
}

QUERNEL_INLINE void FN(store_upto)(REAL *p, vec v, ptrdiff_t n)
{
    if (n >= VL)
        FN(store)(p, v);
    else
        FN(store_part)(p, v, n);
}

QUERNEL_INLINE void FN(stream_upto)(REAL *p, vec v, ptrdiff_t n, int stream)
{
    if (stream && n >= VL)
        FN(stream)(p, v);
    else
        FN(store_upto)(p, v, n);
}

QUERNEL_INLINE vec FN(vabs)(vec a) { return (vec)((ivec)a & ~(ivec)FN(splat)((REAL)-0.0)); }

QUERNEL_INLINE vec FN(copysign)(vec magnitude, vec sign)
{
    const ivec bit = (ivec)FN(splat)((REAL)-0.0);
    return (vec)(((ivec)magnitude & ~bit) | ((ivec)sign & bit));
}

/* Lane i gets lane i ^ distance; distance is a constant power of two. */
QUERNEL_INLINE vec FN(swap_lanes)(vec v, int distance)
{
#ifdef __clang__
    vec swapped = v;
#pragma clang loop unroll(full)
    for (int i = 0; i < (int)VL; i++) swapped[i] = v[i ^ distance];
    return swapped;
#else
    static const INT index[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return __builtin_shuffle(v, *(const FN(ivec_unaligned) *)index ^ distance);
#endif
}

/* Sum and maximum over lanes: lane i meets lane i + VL/2, then i + VL/4, and so on. */
QUERNEL_INLINE REAL FN(hsum)(vec v)
{
#pragma GCC unroll 4
    for (int distance = (int)VL / 2; distance > 0; distance /= 2) v += FN(swap_lanes)(v, distance);
    return v[0];
}

QUERNEL_INLINE REAL FN(hmax)(vec v)
{
#pragma GCC unroll 4
    for (int distance = (int)VL / 2; distance > 0; distance /= 2) v = FN(vmax)(v, FN(swap_lanes)(v, distance));
    return v[0];
}

#include "simd_math.inc.h"
