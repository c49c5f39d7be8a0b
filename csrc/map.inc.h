/* map.inc.h   Walking y[i] = f(x0[i], x1[i], ...) over strided operands: one loop body per number of operands.
 * (struct map_args is explained in elementwise.h.)
 *
 * f is a static inline function handed down by name; as everything here is inlined, each kernel gets its own loop. */

/* n elements along the innermost dimension; y and x[] point to the first of them. */
typedef void FN(map_row)(const struct map_args *m, void *y, const char *const *x, ptrdiff_t n);
typedef vec FN(map_unary)(vec a, REAL p, REAL q);
typedef vec FN(map_binary)(vec a, vec b);

/* Elements [lo, hi) of y in row-major order, cut at the ends of rows. */
QUERNEL_INLINE void FN(map_walk)(const struct map_args *m, ptrdiff_t lo, ptrdiff_t hi, ptrdiff_t operands,
                                 FN(map_row) * row)
{
    const ptrdiff_t last = m->dims - 1;
    ptrdiff_t index[MAP_DIMS], rest = lo;
    const char *x[MAP_OPERANDS];
    char *y = m->y;
    for (ptrdiff_t o = 0; o < operands; o++) x[o] = m->x[o];
    for (ptrdiff_t d = last; d >= 0; d--) {
        index[d] = rest % m->shape[d];
        rest /= m->shape[d];
        y += index[d] * m->y_stride_bytes[d];
        for (ptrdiff_t o = 0; o < operands; o++) x[o] += index[d] * m->stride_bytes[o][d];
    }
    while (lo < hi) {
        const ptrdiff_t left = m->shape[last] - index[last];
        const ptrdiff_t n = left < hi - lo ? left : hi - lo;
        row(m, y, x, n);
        lo += n;
        index[last] += n;
        y += n * m->y_stride_bytes[last];
        for (ptrdiff_t o = 0; o < operands; o++) x[o] += n * m->stride_bytes[o][last];
        for (ptrdiff_t d = last; d > 0 && index[d] == m->shape[d]; d--) {
            index[d] = 0;
            index[d - 1]++;
            y += m->y_stride_bytes[d - 1] - m->shape[d] * m->y_stride_bytes[d];
            for (ptrdiff_t o = 0; o < operands; o++)
                x[o] += m->stride_bytes[o][d - 1] - m->shape[d] * m->stride_bytes[o][d];
        }
    }
    if (m->stream) FN(stream_end)();
}

/* `n` lanes of an operand with any stride, or a whole vector; the lanes beyond are filled with what every f is defined
 * for. One body for all strides keeps the code of long functions small. */
QUERNEL_INLINE vec FN(map_lanes)(const char *x, ptrdiff_t stride_bytes, ptrdiff_t n)
{
    if (stride_bytes == sizeof(REAL)) return FN(load_upto)((const REAL *)x, n, 1);
    if (stride_bytes == 0) return FN(splat)(*(const REAL *)x);
    REAL lane[VECTOR_BYTES / sizeof(REAL)];
    for (ptrdiff_t i = 0; i < VL; i++) lane[i] = i < n ? *(const REAL *)(x + i * stride_bytes) : 1;
    return FN(load)(lane);
}

QUERNEL_INLINE void FN(map_row_unary)(const struct map_args *m, void *y_n, const char *const *x, ptrdiff_t n,
                                      FN(map_unary) * f)
{
    REAL *y = y_n;
    const REAL p = (REAL)m->p, q = (REAL)m->q;
    const ptrdiff_t step = m->stride_bytes[0][m->dims - 1];
    const int stream = m->stream && FN(can_stream)(y);
    for (ptrdiff_t i = 0; i < n; i += VL)
        FN(stream_upto)(y + i, f(FN(map_lanes)(x[0] + i * step, step, n - i), p, q), n - i, stream);
}

QUERNEL_INLINE void FN(map_row_binary)(const struct map_args *m, void *y_n, const char *const *x, ptrdiff_t n,
                                       FN(map_binary) * f)
{
    REAL *y = y_n;
    const ptrdiff_t step_a = m->stride_bytes[0][m->dims - 1], step_b = m->stride_bytes[1][m->dims - 1];
    ptrdiff_t i = 0;
    if (step_a == sizeof(REAL) && step_b == 0) {
        const REAL *a = (const REAL *)x[0];
        const vec b = FN(splat)(*(const REAL *)x[1]);
        const int stream = m->stream && FN(can_stream)(y);
        for (; i + VL <= n; i += VL) FN(stream_upto)(y + i, f(FN(load)(a + i), b), VL, stream);
    }
    if (step_a == sizeof(REAL) && step_b == sizeof(REAL)) {
        const REAL *a = (const REAL *)x[0], *b = (const REAL *)x[1];
        if (m->stream && FN(can_stream)(y))
            for (; i + VL <= n; i += VL) FN(stream)(y + i, f(FN(load)(a + i), FN(load)(b + i)));
        for (; i + VL <= n; i += VL) FN(store)(y + i, f(FN(load)(a + i), FN(load)(b + i)));
    }
    for (; i < n; i += VL) {
        const vec a = FN(map_lanes)(x[0] + i * step_a, step_a, n - i);
        const vec b = FN(map_lanes)(x[1] + i * step_b, step_b, n - i);
        FN(store_upto)(y + i, f(a, b), n - i);
    }
}

/* A kernel NAME from an expression in a, p and q, or in a and b. */
#define UNARY_KERNEL(NAME, EXPRESSION)                                                                                 \
    QUERNEL_INLINE vec FN(NAME##_of)(vec a, REAL p, REAL q) { return EXPRESSION; }                                     \
    static void FN(NAME##_row)(const struct map_args *m, void *y, const char *const *x, ptrdiff_t n)                   \
    {                                                                                                                  \
        FN(map_row_unary)(m, y, x, n, FN(NAME##_of));                                                                  \
    }                                                                                                                  \
    static void FN(NAME)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)                                  \
    {                                                                                                                  \
        FN(map_walk)(args, lo, hi, 1, FN(NAME##_row));                                                                 \
    }

#define BINARY_KERNEL(NAME, EXPRESSION)                                                                                \
    QUERNEL_INLINE vec FN(NAME##_of)(vec a, vec b) { return EXPRESSION; }                                              \
    static void FN(NAME##_row)(const struct map_args *m, void *y, const char *const *x, ptrdiff_t n)                   \
    {                                                                                                                  \
        FN(map_row_binary)(m, y, x, n, FN(NAME##_of));                                                                 \
    }                                                                                                                  \
    static void FN(NAME)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)                                  \
    {                                                                                                                  \
        FN(map_walk)(args, lo, hi, 2, FN(NAME##_row));                                                                 \
    }
