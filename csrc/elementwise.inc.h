/* elementwise.inc.h   See elementwise.h. The loops are in map.inc.h; here is what happens to one vector. */

/* Lane by lane through the C library: functions too rare to deserve vector code. */
#if REAL_IS_DOUBLE
#define LIBM(function) function
#else
#define LIBM(function) function##f
#endif

QUERNEL_INLINE vec FN(vsin)(vec a)
{
    for (ptrdiff_t i = 0; i < VL; i++) a[i] = LIBM(sin)(a[i]);
    return a;
}

QUERNEL_INLINE vec FN(vcos)(vec a)
{
    for (ptrdiff_t i = 0; i < VL; i++) a[i] = LIBM(cos)(a[i]);
    return a;
}

QUERNEL_INLINE vec FN(vpow)(vec a, vec b)
{
    for (ptrdiff_t i = 0; i < VL; i++) a[i] = LIBM(pow)(a[i], b[i]);
    return a;
}
#undef LIBM

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

/* One exponent for the row is looked at first: the common ones are a multiplication or two and more exact than pow. */
static void FN(binary_power_row)(const struct map_args *m, void *y_n, const char *const *x, ptrdiff_t n)
{
    REAL *y = y_n;
    const ptrdiff_t step_a = m->stride_bytes[0][m->dims - 1], step_b = m->stride_bytes[1][m->dims - 1];
    const REAL exponent = step_b == 0 ? *(const REAL *)x[1] : (REAL)NAN;
    for (ptrdiff_t i = 0; i < n; i += VL) {
        const vec a = FN(map_lanes)(x[0] + i * step_a, step_a, n - i);
        vec power;
        if (exponent == 2)
            power = a * a;
        else if (exponent == 3)
            power = a * a * a;
        else if (exponent == (REAL)0.5)
            power = FN(vsqrt)(a);
        else if (exponent == -1)
            power = 1 / a;
        else
            power = FN(vpow)(a, FN(map_lanes)(x[1] + i * step_b, step_b, n - i));
        FN(store_upto)(y + i, power, n - i);
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
