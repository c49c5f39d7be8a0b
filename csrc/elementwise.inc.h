/* elementwise.inc.h   See elementwise.h. The loops are in map.inc.h; here is what happens to one vector. */
#include "elementwise_power.inc.h"

/* sin and cos: x = q pi/2 + r with |r| <= pi/4, then the Taylor series of sin r or cos r, whose first term left out is
 * below half an ulp. pi/2 is split in three so that q times the first two is exact for |x| up to TRIG_LIMIT (Cody and
 * Waite 1980); lanes beyond go through the C library. */
#if REAL_IS_DOUBLE
#define LIBM(function) function
#define PI_2_HIGH 0x1.921fb544p0 /* 33 bits */
#define PI_2_MIDDLE 0x1.0b4611a6p-34
#define PI_2_LOW 0x1.3198a2e037073p-69
#define TRIG_LIMIT 1e6 /* q < 2^20 */
#define TRIG_ROUNDER 0x1.8p52
#else
#define LIBM(function) function##f
#define PI_2_HIGH 0x1.92p0f /* 12 bits */
#define PI_2_MIDDLE 0x1.fb4p-12f
#define PI_2_LOW 0x1.4442d2p-24f
#define TRIG_LIMIT 6000 /* q < 2^12 */
#define TRIG_ROUNDER 0x1.8p23f
#endif

/* sin(x + turns pi/2) for |x| <= TRIG_LIMIT; anything elsewhere. */
QUERNEL_INLINE vec FN(sin_turned)(vec x, INT turns)
{
    const vec t = x * (REAL)0.63661977236758134 + TRIG_ROUNDER, q_real = t - TRIG_ROUNDER;
    const ivec q = (ivec)t + turns; /* the low bits of t are the integer's */
    const vec r = ((x - q_real * PI_2_HIGH) - q_real * PI_2_MIDDLE) - q_real * PI_2_LOW, z = r * r;
#if REAL_IS_DOUBLE
    vec s = FN(splat)(1.0 / 355687428096000.0), c = FN(splat)(1.0 / 20922789888000.0);
    s = s * z - 1.0 / 1307674368000.0;
    s = s * z + 1.0 / 6227020800.0;
    s = s * z - 1.0 / 39916800.0;
    s = s * z + 1.0 / 362880.0;
    c = c * z - 1.0 / 87178291200.0;
    c = c * z + 1.0 / 479001600.0;
    c = c * z - 1.0 / 3628800.0;
#else
    vec s = FN(splat)(1.0f / 362880), c = FN(splat)(-1.0f / 3628800);
#endif
    s = s * z - (REAL)(1.0 / 5040);
    s = s * z + (REAL)(1.0 / 120);
    s = s * z - (REAL)(1.0 / 6);
    c = c * z + (REAL)(1.0 / 40320);
    c = c * z - (REAL)(1.0 / 720);
    c = c * z + (REAL)(1.0 / 24);
    c = c * z - (REAL)0.5;
    const vec y = FN(select)((q & 1) != 0, c * z + 1, s * z * r + r);
    return FN(select)((q & 2) != 0, -y, y);
}

/* True if no lane is beyond the limit, or nan. */
QUERNEL_INLINE int FN(trig_all_near)(vec x) { return !FN(any)(~(FN(vabs)(x) <= (REAL)TRIG_LIMIT)); }

QUERNEL_INLINE vec FN(vsin)(vec x)
{
    vec y = FN(select)(x == 0, x, FN(sin_turned)(x, 0)); /* the sign of 0 stays */
    if (!FN(trig_all_near)(x))
        for (ptrdiff_t i = 0; i < VL; i++)
            if (!(LIBM(fabs)(x[i]) <= TRIG_LIMIT)) y[i] = LIBM(sin)(x[i]);
    return y;
}

QUERNEL_INLINE vec FN(vcos)(vec x)
{
    vec y = FN(sin_turned)(x, 1);
    if (!FN(trig_all_near)(x))
        for (ptrdiff_t i = 0; i < VL; i++)
            if (!(LIBM(fabs)(x[i]) <= TRIG_LIMIT)) y[i] = LIBM(cos)(x[i]);
    return y;
}

#undef LIBM
#undef PI_2_HIGH
#undef PI_2_MIDDLE
#undef PI_2_LOW
#undef TRIG_LIMIT
#undef TRIG_ROUNDER

/* nan on either side comes through: vmax and vmin give b then. */
QUERNEL_INLINE vec FN(maximum)(vec a, vec b) { return FN(select)(a == a, FN(vmax)(a, b), a); }

QUERNEL_INLINE vec FN(minimum)(vec a, vec b) { return FN(select)(a == a, FN(vmin)(a, b), a); }

/* 1, -1, or `a` itself: zeros and nan. */
QUERNEL_INLINE vec FN(vsign)(vec a) { return FN(select)(a > 0, FN(splat)(1), FN(select)(a < 0, FN(splat)(-1), a)); }

UNARY_KERNEL(unary_negative, -a)
UNARY_KERNEL(unary_exp, FN(vexp)(a))
UNARY_KERNEL(unary_log, FN(vlog)(a))
UNARY_KERNEL(unary_log1p, FN(vlog1p)(a))
UNARY_KERNEL(unary_sqrt, FN(vsqrt)(a))
UNARY_KERNEL(unary_abs, FN(vabs)(a))
UNARY_KERNEL(unary_square, a *a)
UNARY_KERNEL(unary_reciprocal, 1 / a)
UNARY_KERNEL(unary_sign, FN(vsign)(a))
UNARY_KERNEL(unary_sin, FN(vsin)(a))
UNARY_KERNEL(unary_cos, FN(vcos)(a))
UNARY_KERNEL(clip, FN(minimum)(FN(maximum)(a, FN(splat)(p)), FN(splat)(q)))

BINARY_KERNEL(binary_add, a + b)
BINARY_KERNEL(binary_subtract, a - b)
BINARY_KERNEL(binary_multiply, a *b)
BINARY_KERNEL(binary_divide, a / b)
BINARY_KERNEL(binary_maximum, FN(maximum)(a, b))
BINARY_KERNEL(binary_minimum, FN(minimum)(a, b))

/* Exponents that are a multiplication or two, more exact than pow; anything for others. */
QUERNEL_INLINE vec FN(simple_power)(vec a, REAL exponent)
{
    return exponent == 2 ? a * a : exponent == 3 ? a * a * a : exponent == -1 ? 1 / a : FN(vsqrt)(a);
}

/* One exponent for the row is looked at first. */
static void FN(binary_power_row)(const struct map_args *m, void *y_n, const char *const *x, ptrdiff_t n)
{
    REAL *y = y_n;
    const ptrdiff_t step_a = m->stride_bytes[0][m->dims - 1], step_b = m->stride_bytes[1][m->dims - 1];
    const REAL exponent = step_b == 0 ? *(const REAL *)x[1] : (REAL)NAN;
    if (exponent != 2 && exponent != 3 && exponent != -1 && exponent != (REAL)0.5) {
        FN(map_row_binary)(m, y_n, x, n, FN(vpow));
        return;
    }
    const int stream = m->stream && FN(can_stream)(y);
    for (ptrdiff_t i = 0; i < n; i += VL) {
        const vec a = FN(map_lanes)(x[0] + i * step_a, step_a, n - i);
        FN(stream_upto)(y + i, FN(simple_power)(a, exponent), n - i, stream);
    }
}

static void FN(binary_power)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    FN(map_walk)(args, lo, hi, 2, FN(binary_power_row));
}

/* A comparison gives 0 or -1 in each lane; a boolean is a byte of 0 or 1. */
typedef signed char FN(flags) __attribute__((vector_size(VECTOR_BYTES / sizeof(REAL))));

#define COMPARE_KERNEL(NAME, OPERATOR)                                                                                 \
    static void FN(NAME##_row)(const struct map_args *m, void *y_n, const char *const *x, ptrdiff_t n)                 \
    {                                                                                                                  \
        signed char *y = y_n;                                                                                          \
        const ptrdiff_t step_a = m->stride_bytes[0][m->dims - 1], step_b = m->stride_bytes[1][m->dims - 1];            \
        for (ptrdiff_t i = 0; i < n; i += VL) {                                                                        \
            const vec a = FN(map_lanes)(x[0] + i * step_a, step_a, n - i);                                             \
            const vec b = FN(map_lanes)(x[1] + i * step_b, step_b, n - i);                                             \
            const FN(flags) holds = -__builtin_convertvector(a OPERATOR b, FN(flags));                                 \
            if (n - i >= VL)                                                                                           \
                memcpy(y + i, &holds, sizeof holds);                                                                   \
            else                                                                                                       \
                memcpy(y + i, &holds, (size_t)(n - i));                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    static void FN(NAME)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)                                  \
    {                                                                                                                  \
        FN(map_walk)(args, lo, hi, 2, FN(NAME##_row));                                                                 \
    }

COMPARE_KERNEL(compare_equal, ==)
COMPARE_KERNEL(compare_not_equal, !=)
COMPARE_KERNEL(compare_less, <)
COMPARE_KERNEL(compare_less_equal, <=)
COMPARE_KERNEL(compare_greater, >)
COMPARE_KERNEL(compare_greater_equal, >=)
#undef COMPARE_KERNEL

/* Literal strides let the compiler vectorise. */
QUERNEL_INLINE void FN(where_loop)(REAL *restrict y, const char *a, ptrdiff_t step_a, const char *b, ptrdiff_t step_b,
                                   const char *condition, ptrdiff_t step_c, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const REAL yes = *(const REAL *)(a + i * step_a), no = *(const REAL *)(b + i * step_b);
        y[i] = condition[i * step_c] ? yes : no;
    }
}

static void FN(where_row)(const struct map_args *m, void *y, const char *const *x, ptrdiff_t n)
{
    const ptrdiff_t last = m->dims - 1, real = sizeof(REAL);
    const ptrdiff_t a = m->stride_bytes[0][last], b = m->stride_bytes[1][last], c = m->stride_bytes[2][last];
    if (a == real && b == real && c == 1)
        FN(where_loop)(y, x[0], real, x[1], real, x[2], 1, n);
    else if (a == real && b == 0 && c == 1)
        FN(where_loop)(y, x[0], real, x[1], 0, x[2], 1, n);
    else if (a == 0 && b == real && c == 1)
        FN(where_loop)(y, x[0], 0, x[1], real, x[2], 1, n);
    else
        FN(where_loop)(y, x[0], a, x[1], b, x[2], c, n);
}

static void FN(where)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    FN(map_walk)(args, lo, hi, 3, FN(where_row));
}
