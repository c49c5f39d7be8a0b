/* simd_math.inc.h   Elementary functions on vectors.
 *
 * exp(x) = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2, and e^r by a polynomial good to a tenth of an ulp: in
 * double its Taylor series up to r^13, in float one of degree 6 fitted by benchmarks/fit_exp.py. ln 2 is split in two
 * so that n * LN2_HIGH is exact (Cody and Waite, Software Manual for the Elementary Functions, 1980).
 *
 * Denormal results are zero, as everywhere in the kernels. */
#if REAL_IS_DOUBLE
#define EXP_LOW -708.3964185322641   /* log of the smallest normal number */
#define EXP_HIGH 709.782712893384    /* log of the largest number */
#define LN2_HIGH 0x1.62e42fefa38p-1  /* 41 leading bits of ln 2 */
#define LN2_LOW 0x1.ef35793c7673p-45 /* ln 2 - LN2_HIGH */
#define ROUNDER 0x1.8p52             /* adding and subtracting it rounds to an integer */
#define MANTISSA 52
#define BIAS 1023
#define TANH_ONE 19.1 /* tanh rounds to 1 from here on */
#else
#define EXP_LOW -87.33654f
#define EXP_HIGH 88.72284f
#define LN2_HIGH 0x1.62e4p-1f /* 15 leading bits */
#define LN2_LOW 0x1.7f7d1cp-20f
#define ROUNDER 0x1.8p23f
#define MANTISSA 23
#define BIAS 127
#define TANH_ONE 9.02f
#define ERF_SPLIT 0.9f
#endif

/* 2^n for integer n as bits in the exponent field; n within the normal range. */
QUERNEL_INLINE vec FN(power_of_two)(ivec n) { return (vec)((n + BIAS) << MANTISSA); }

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2. */
QUERNEL_INLINE vec FN(exp_tail)(vec r)
{
#if REAL_IS_DOUBLE
    vec p = FN(splat)(1.0 / 6227020800.0);
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    return p * r + 0.5;
#else
    vec p = FN(splat)(0.00138146128f);
    p = p * r + 0.00836871006f;
    p = p * r + 0.041668389f;
    p = p * r + 0.166665211f;
    return p * r + 0.49999994f;
#endif
}

QUERNEL_INLINE vec FN(expm1_near_zero)(vec r) { return FN(exp_tail)(r) * (r * r) + r; }

QUERNEL_INLINE vec FN(exp_near_zero)(vec r) { return (FN(exp_tail)(r) * r + 1) * r + 1; }

/* Splits x = n ln 2 + r; returns r. */
QUERNEL_INLINE vec FN(exp_reduce)(vec x, ivec *n)
{
    const vec t = x * (REAL)1.4426950408889634 + ROUNDER;
    const vec n_real = t - ROUNDER;
    *n = (ivec)t - (ivec)FN(splat)(ROUNDER);
    return (x - n_real * LN2_HIGH) - n_real * LN2_LOW;
}

QUERNEL_INLINE vec FN(vexp)(vec x)
{
    const vec top = FN(splat)(EXP_HIGH), bottom = FN(splat)(EXP_LOW);
    ivec n;
    const vec r = FN(exp_reduce)(FN(vmin)(top, FN(vmax)(bottom, x)), &n); /* in this order NaN comes through */
    const ivec half = n >> 1;                                             /* 2^n itself may overflow: twice 2^(n/2) */
    vec y = FN(exp_near_zero)(r) * FN(power_of_two)(half) * FN(power_of_two)(n - half);
    y = FN(select)(x < bottom, FN(splat)(0), y);
    return FN(select)(x > top, FN(splat)((REAL)INFINITY), y);
}

/* log(2^e (1 + f)) with 1 + f in [sqrt(1/2), sqrt(2)); s = f / (2 + f) and log(1 + f) = 2 atanh(s) by its series in
 * s^2 <= 0.0295, arranged as f - s (f - R) so that nothing cancels near x = 1. `correction` is added to f's log. */
QUERNEL_INLINE vec FN(log_of_normal)(vec x, vec correction)
{
    const ivec root_half = (ivec)FN(splat)((REAL)0.70710678118654752);
    const ivec one = (ivec)FN(splat)((REAL)1.0);
    ivec bits = (ivec)x + (one - root_half);
    const ivec e = (bits >> MANTISSA) - BIAS;
    bits = (bits & (((INT)1 << MANTISSA) - 1)) + root_half;
    const vec f = (vec)bits - 1;
    const vec s = f / (f + 2), z = s * s;
#if REAL_IS_DOUBLE
    vec p = FN(splat)(2.0 / 23);
    p = p * z + 2.0 / 21;
    p = p * z + 2.0 / 19;
    p = p * z + 2.0 / 17;
    p = p * z + 2.0 / 15;
    p = p * z + 2.0 / 13;
    p = p * z + 2.0 / 11;
#else
    vec p = FN(splat)(2.0f / 11);
#endif
    p = p * z + (REAL)(2.0 / 9);
    p = p * z + (REAL)(2.0 / 7);
    p = p * z + (REAL)(2.0 / 5);
    p = p * z + (REAL)(2.0 / 3);
    vec e_real;
#if REAL_IS_DOUBLE
    e_real = (vec)(e + (ivec)FN(splat)(ROUNDER)) - ROUNDER;
#else
    e_real = __builtin_convertvector(e, vec);
#endif
    return e_real * LN2_HIGH + (f - (s * (f - z * p) - (e_real * LN2_LOW + correction)));
}

/* What log gives outside the normal positive numbers. */
QUERNEL_INLINE vec FN(log_edges)(vec x, vec y)
{
    y = FN(select)(x < (REAL)(REAL_IS_DOUBLE ? 2.2250738585072014e-308 : 1.17549435e-38), FN(splat)((REAL)-INFINITY),
                   y);
    y = FN(select)(x < 0, FN(splat)((REAL)NAN), y);
    y = FN(select)(x == (REAL)INFINITY, x, y);
    return FN(select)(x == x, y, x);
}

QUERNEL_INLINE vec FN(vlog)(vec x) { return FN(log_edges)(x, FN(log_of_normal)(x, FN(splat)(0))); }

/* log(1 + x): u = 1 + x is rounded; (x - (u - 1)) / u puts back what was lost. */
QUERNEL_INLINE vec FN(vlog1p)(vec x)
{
    const vec u = x + 1;
    const vec lost = FN(select)(u < (REAL)(REAL_IS_DOUBLE ? 0x1p53 : 0x1p24), (x - (u - 1)) / u, FN(splat)(0));
    const vec y = FN(log_edges)(u, FN(log_of_normal)(u, lost));
    return FN(select)(x == 0, x, y);
}

/* tanh|x| = m / (m + 2) with m = e^(2|x|) - 1, which is exact to the last bits also near 0. */
QUERNEL_INLINE vec FN(vtanh)(vec x)
{
    ivec n;
    const vec r = FN(exp_reduce)(FN(vmin)(FN(splat)(2 * TANH_ONE), FN(vabs)(x) * 2), &n);
    const vec scale = FN(power_of_two)(n);
    const vec m = FN(expm1_near_zero)(r) * scale + (scale - 1);
    return FN(copysign)(m / (m + 2), x);
}

/* 1 / (1 + e^-x) with e^-x held within the normal numbers, which takes exp without its special cases. */
QUERNEL_INLINE vec FN(vsigmoid)(vec x)
{
    ivec n;
    const vec r = FN(exp_reduce)(FN(vmin)(FN(splat)(-EXP_LOW), FN(vmax)(FN(splat)(EXP_LOW), -x)), &n);
    const vec scale = FN(power_of_two)(n);
    return 1 / (FN(exp_near_zero)(r) * scale + 1);
}

#if REAL_IS_DOUBLE
QUERNEL_INLINE vec FN(verf)(vec x)
{
    for (ptrdiff_t i = 0; i < VL; i++) x[i] = erf(x[i]);
    return x;
}
#else
/* erf(x) = x + x P(x^2) up to ERF_SPLIT, 1 - 2^Q(x) from there on; it rounds to 1 before 4. The polynomials, also that
 * of 2^r for |r| <= 1/2, are fitted by benchmarks/fit_erf.py. */
QUERNEL_INLINE vec FN(verf)(vec x)
{
    static const float P[] = {-0.000609035953f, 0.00501196273f, -0.0267789084f,
                              0.112821408f,     -0.376125246f,  0.128379151f};
    static const float Q[] = {-0.00181979756f, 0.0225819144f, -0.131751031f,
                              -0.938406289f,   -1.61639249f,  -0.00262894947f};
    static const float POWER[] = {0.00132764701f, 0.00967554096f, 0.0555071309f,
                                  0.240221202f,   0.693146944f,   1.00000012f};
    const vec t = FN(vmin)(FN(splat)(4), FN(vabs)(x)), z = t * t; /* NaN comes through */
    vec p = FN(splat)(P[0]), q = FN(splat)(Q[0]), e = FN(splat)(POWER[0]);
#pragma GCC unroll 16
    for (int i = 1; i < (int)(sizeof P / sizeof P[0]); i++) p = p * z + P[i];
#pragma GCC unroll 16
    for (int i = 1; i < (int)(sizeof Q / sizeof Q[0]); i++) q = q * t + Q[i];
    const vec rounded = q + ROUNDER, r = q - (rounded - ROUNDER);
#pragma GCC unroll 16
    for (int i = 1; i < (int)(sizeof POWER / sizeof POWER[0]); i++) e = e * r + POWER[i];
    const vec tail = 1 - e * FN(power_of_two)((ivec)rounded - (ivec)FN(splat)(ROUNDER));
    return FN(copysign)(FN(select)(t < ERF_SPLIT, p * t + t, tail), x);
}
#endif

#undef EXP_LOW
#undef EXP_HIGH
#undef LN2_HIGH
#undef LN2_LOW
#undef ROUNDER
#undef MANTISSA
#undef BIAS
#undef TANH_ONE
#undef ERF_SPLIT
