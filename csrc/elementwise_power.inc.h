/* elementwise_power.inc.h   a^b lane by lane, with the special cases of C (Annex F.10.4.4). Float lanes are widened to
 * double, where 2^(b log2 |a|) needs no extra digits: what is left is one rounding. Double goes through the C library.
 */
#if REAL_IS_DOUBLE
QUERNEL_INLINE vec FN(vpow)(vec a, vec b)
{
    for (ptrdiff_t i = 0; i < VL; i++) a[i] = pow(a[i], b[i]);
    return a;
}
#else
typedef double FN(wide) __attribute__((vector_size(VECTOR_BYTES)));
typedef uint64_t FN(wide_bits) __attribute__((vector_size(VECTOR_BYTES)));

/* The lower or upper half of the lanes as double, and back. */
#if defined(__AVX512F__) && VECTOR_BYTES == 64
#define WIDEN_LOW(v) _mm512_cvtps_pd(_mm512_castps512_ps256(v))
#define WIDEN_HIGH(v) _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))
#define NARROW(low, high) _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1)
#elif defined(__AVX__) && VECTOR_BYTES == 32
#define WIDEN_LOW(v) _mm256_cvtps_pd(_mm256_castps256_ps128(v))
#define WIDEN_HIGH(v) _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))
#define NARROW(low, high) _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high), 1)
#elif defined(__SSE2__) && VECTOR_BYTES == 16
#define WIDEN_LOW(v) _mm_cvtps_pd(v)
#define WIDEN_HIGH(v) _mm_cvtps_pd(_mm_movehl_ps(v, v))
#define NARROW(low, high) _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high))
#else
QUERNEL_INLINE FN(wide) FN(widen)(vec v, ptrdiff_t first)
{
    FN(wide) w;
    for (ptrdiff_t i = 0; i < VL / 2; i++) w[i] = (double)v[first + i];
    return w;
}

QUERNEL_INLINE vec FN(narrow)(FN(wide) low, FN(wide) high)
{
    vec v;
    for (ptrdiff_t i = 0; i < VL; i++) v[i] = (float)(i < VL / 2 ? low[i] : high[i - VL / 2]);
    return v;
}
#define WIDEN_LOW(v) FN(widen)(v, 0)
#define WIDEN_HIGH(v) FN(widen)(v, VL / 2)
#define NARROW(low, high) FN(narrow)(low, high)
#endif

#define POWER_ROUNDER 0x1.8p52
#define POWER_LIMIT 200.0 /* 2^200 and 2^-200 are infinite and 0 as floats */

QUERNEL_INLINE FN(wide) FN(wide_select)(FN(wide_bits) mask, FN(wide) a, FN(wide) b)
{
    return (FN(wide))((mask & (FN(wide_bits))a) | (~mask & (FN(wide_bits))b));
}

/* log2 x for 0 < x < infinity: x = 2^e m with m in [sqrt(1/2), sqrt(2)), s = (m - 1) / (m + 1), and atanh(s) by its
 * series up to s^11, which leaves 2^-34. */
QUERNEL_INLINE FN(wide) FN(wide_log2)(FN(wide) x)
{
    const FN(wide) none = {0};
    const FN(wide_bits) root_half = (FN(wide_bits))(none + 0.70710678118654752), one = (FN(wide_bits))(none + 1.0);
    const FN(wide_bits) bits = (FN(wide_bits))x + (one - root_half);
    const FN(wide) m = (FN(wide))((bits & (((uint64_t)1 << 52) - 1)) + root_half);
    const FN(wide_bits) e = (bits >> 52) + (FN(wide_bits))(none + POWER_ROUNDER);
    const FN(wide) s = (m - 1) / (m + 1), z = s * s;
    FN(wide) p = none + 2.8853900817779268 / 11;
    p = p * z + 2.8853900817779268 / 9;
    p = p * z + 2.8853900817779268 / 7;
    p = p * z + 2.8853900817779268 / 5;
    p = p * z + 2.8853900817779268 / 3;
    p = p * z + 2.8853900817779268; /* 2 / ln 2 */
    return ((FN(wide))e - (POWER_ROUNDER + 1023)) + s * p;
}

/* 2^t for |t| <= POWER_LIMIT: 2^n e^r, e^r by its series up to r^7, which leaves 2^-27. */
QUERNEL_INLINE FN(wide) FN(wide_exp2)(FN(wide) t)
{
    const FN(wide) none = {0}, shifted = t + POWER_ROUNDER, r = (t - (shifted - POWER_ROUNDER)) * 0.69314718055994531;
    FN(wide) p = none + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1;
    p = p * r + 1;
    return p * (FN(wide))(((FN(wide_bits))shifted + 1023) << 52);
}

/* a^b for 0 <= a <= infinity, but for the cases that vpow adds. */
QUERNEL_INLINE FN(wide) FN(wide_power)(FN(wide) a, FN(wide) b)
{
    const FN(wide) most = (FN(wide)){0} + POWER_LIMIT;
    FN(wide) t = b * FN(wide_log2)(a);
    t = FN(wide_select)((FN(wide_bits))(t < most), t, most);
    return FN(wide_exp2)(FN(wide_select)((FN(wide_bits))(t > -most), t, -most));
}

QUERNEL_INLINE vec FN(vpow)(vec a, vec b)
{
    const vec one = FN(splat)(1), infinite = FN(splat)((REAL)INFINITY), magnitude = FN(vabs)(a);
    const vec all_even = FN(splat)(0x1p24f); /* as every float from here on */
    const vec near = FN(vmin)(all_even, FN(vmax)(-all_even, b));
    const ivec integer = __builtin_convertvector(near, ivec),
               is_integer = __builtin_convertvector(integer, vec) == near;
    const ivec odd = ((integer & 1) != 0) & is_integer, end = (magnitude == 0) | (magnitude == infinite);
    const FN(wide) low = FN(wide_power)(WIDEN_LOW(magnitude), WIDEN_LOW(b));
    vec y = NARROW(low, FN(wide_power)(WIDEN_HIGH(magnitude), WIDEN_HIGH(b)));
    y = FN(select)(end, FN(select)((magnitude == 0) ^ (b > 0), infinite, (vec){0}), y);
    y = FN(select)(magnitude == 1, one, y);
    y = FN(select)((a < 0) & ~is_integer & ~end, FN(splat)((REAL)NAN), y);
    y = (vec)((ivec)y | (odd & (ivec)a & (ivec)FN(splat)((REAL)-0.0)));
    y = FN(select)((a != a) | (b != b), a + b, y);
    return FN(select)((b == 0) | (a == 1), one, y);
}

#undef WIDEN_LOW
#undef WIDEN_HIGH
#undef NARROW
#undef POWER_ROUNDER
#undef POWER_LIMIT
#endif
