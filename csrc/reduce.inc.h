/* reduce.inc.h   See reduce.h. `kind` is a literal everywhere, so each kernel keeps its own branch only. */

/* What changes nothing. */
QUERNEL_INLINE REAL FN(neutral)(int kind)
{
    return kind == REDUCE_MAX ? -(REAL)INFINITY : kind == REDUCE_MIN ? (REAL)INFINITY : 0;
}

QUERNEL_INLINE vec FN(fold)(int kind, vec so_far, vec x, vec mean)
{
    switch (kind) {
    case REDUCE_MAX: return FN(maximum)(x, so_far);
    case REDUCE_MIN: return FN(minimum)(x, so_far);
    case REDUCE_DEVIATION: return so_far + (x - mean) * (x - mean);
    default: return so_far + x;
    }
}

/* Two folded values; max and min hand nan on. */
QUERNEL_INLINE double FN(join)(int kind, double a, double b)
{
    switch (kind) {
    case REDUCE_MAX: return (a > b) | (a != a) ? a : b;
    case REDUCE_MIN: return (a < b) | (a != a) ? a : b;
    default: return a + b;
    }
}

QUERNEL_INLINE vec FN(join_lanes)(int kind, vec a, vec b)
{
    return kind == REDUCE_MAX ? FN(maximum)(a, b) : kind == REDUCE_MIN ? FN(minimum)(a, b) : a + b;
}

/* p[i] joined with lane i, for the first n lanes, or all if n >= VL. */
QUERNEL_INLINE void FN(join_wide)(int kind, double *restrict p, vec v, ptrdiff_t n)
{
    if (kind == REDUCE_SUM || kind == REDUCE_DEVIATION) {
        FN(add_wide)(p, v, n);
        return;
    }
    const ptrdiff_t lanes = n < VL ? n : VL;
    REAL so_far[VECTOR_BYTES / sizeof(REAL)] = {0};
    for (ptrdiff_t i = 0; i < lanes; i++) so_far[i] = (REAL)p[i]; /* p holds REALs here: nothing is lost */
    FN(store)(so_far, FN(join_lanes)(kind, FN(load)(so_far), v));
    for (ptrdiff_t i = 0; i < lanes; i++) p[i] = (double)so_far[i];
}

/* x[0..n), contiguous, lane by lane. Four independent accumulators hide the latency of an addition. */
QUERNEL_INLINE vec FN(fold_block)(int kind, const REAL *x, ptrdiff_t n, REAL mean)
{
    enum { STREAMS = 4 };
    const REAL fill = kind == REDUCE_DEVIATION ? mean : FN(neutral)(kind);
    const vec start = FN(splat)(FN(neutral)(kind)), m = FN(splat)(mean);
    vec acc[STREAMS] = {start, start, start, start};
    ptrdiff_t i = 0;
    for (; i + STREAMS * VL <= n; i += STREAMS * VL)
        for (int s = 0; s < STREAMS; s++) acc[s] = FN(fold)(kind, acc[s], FN(load)(x + i + s * VL), m);
    for (int s = 0; s < STREAMS; s++) {
        const ptrdiff_t at = i + s * VL;
        if (at < n) acc[s] = FN(fold)(kind, acc[s], FN(load_upto)(x + at, n - at, fill), m);
    }
    return FN(join_lanes)(kind, FN(join_lanes)(kind, acc[0], acc[1]), FN(join_lanes)(kind, acc[2], acc[3]));
}

/* The sum of x[0..n), contiguous. Each lane adds up the blocks and, apart, what their additions round off (Knuth, The
 * Art of Computer Programming 2, 4.2.2, theorem B): as good as double without conversions. */
QUERNEL_INLINE double FN(sum_row)(int kind, const REAL *x, ptrdiff_t n, REAL mean)
{
    const ptrdiff_t block = 4 * WIDE_STEPS * VL;
    vec sum = FN(fold_block)(kind, x, n < block ? n : block, mean), lost = {0};
    for (ptrdiff_t i = block; i < n; i += block) {
        const vec part = FN(fold_block)(kind, x + i, n - i < block ? n - i : block, mean);
        const vec next = sum + part, added = next - sum;
        lost += (sum - (next - added)) + (part - added);
        sum = next;
    }
    if (n <= block) return (double)FN(hsum)(sum);
    const double total = (double)FN(hsum)(sum), rest = (double)FN(hsum)(lost);
    return rest == rest ? total + rest : total; /* nan: from infinities in the sum */
}

/* The largest or smallest of x[0..n), contiguous, or nan. The plain comparison loses nan: 0 x tells of it, and of
 * infinities, which are then told apart. */
QUERNEL_INLINE double FN(extreme_row)(int kind, const REAL *x, ptrdiff_t n)
{
    enum { STREAMS = 4 };
    const vec start = FN(splat)(FN(neutral)(kind));
    vec best[STREAMS] = {start, start, start, start}, zero[STREAMS] = {{0}};
    ptrdiff_t i = 0;
#define NEXT(s, v)                                                                                                     \
    do {                                                                                                               \
        best[s] = kind == REDUCE_MAX ? FN(vmax)(v, best[s]) : FN(vmin)(v, best[s]);                                    \
        zero[s] += 0 * (v);                                                                                            \
    } while (0)
    for (; i + STREAMS * VL <= n; i += STREAMS * VL)
        for (int s = 0; s < STREAMS; s++) NEXT(s, FN(load)(x + i + s * VL));
    for (; i < n; i += VL) {
        const ptrdiff_t left = n - i;
        best[0] = FN(join_lanes)(kind, FN(load_upto)(x + i, left, FN(neutral)(kind)), best[0]);
    }
#undef NEXT
    const vec all =
        FN(join_lanes)(kind, FN(join_lanes)(kind, best[0], best[1]), FN(join_lanes)(kind, best[2], best[3]));
    const vec doubt = (zero[0] + zero[1]) + (zero[2] + zero[3]);
    if (FN(any)(all != all)) return (double)NAN;
    if (FN(any)(doubt != doubt))
        for (i = 0; i < n; i++)
            if (x[i] != x[i]) return (double)NAN;
    return (double)(kind == REDUCE_MAX ? FN(hmax)(all) : -FN(hmax)(-all));
}

QUERNEL_INLINE double FN(fold_row)(int kind, const REAL *x, ptrdiff_t n, REAL mean)
{
    return kind == REDUCE_MAX || kind == REDUCE_MIN ? FN(extreme_row)(kind, x, n) : FN(sum_row)(kind, x, n, mean);
}

/* `rows` rows of x, J apart, `width` columns of each: into p[0..width). */
QUERNEL_INLINE void FN(fold_columns)(int kind, double *p, const REAL *x, const REAL *mean, ptrdiff_t rows, ptrdiff_t J,
                                     ptrdiff_t width)
{
    const vec start = FN(splat)(FN(neutral)(kind));
    for (ptrdiff_t i = 0; i < width; i++) p[i] = (double)FN(neutral)(kind);
    for (ptrdiff_t r = 0; r < rows; r += WIDE_STEPS) {
        const ptrdiff_t end = r + WIDE_STEPS < rows ? r + WIDE_STEPS : rows;
        for (ptrdiff_t i = 0; i < width; i += VL) {
            const ptrdiff_t n = width - i;
            const vec m = kind == REDUCE_DEVIATION ? FN(load_upto)(mean + i, n, 0) : start;
            vec acc = start;
            if (n >= VL)
                for (ptrdiff_t s = r; s < end; s++) acc = FN(fold)(kind, acc, FN(load)(x + s * J + i), m);
            else
                for (ptrdiff_t s = r; s < end; s++) acc = FN(fold)(kind, acc, FN(load_part)(x + s * J + i, n, 0), m);
            FN(join_wide)(kind, p + i, acc, n);
        }
    }
}

QUERNEL_INLINE void FN(reduce_units)(int kind, const struct reduce_args *a, ptrdiff_t lo, ptrdiff_t hi, double *scratch)
{
    const ptrdiff_t R = a->R, J = a->J;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t block = unit % a->blocks, rest = unit / a->blocks;
        const ptrdiff_t chunk = rest % a->chunks, o = rest / a->chunks;
        const ptrdiff_t r = chunk * a->rows, rows = R - r < a->rows ? R - r : a->rows;
        const ptrdiff_t i = block * a->width, width = J - i < a->width ? J - i : a->width;
        const REAL *x = (const REAL *)a->x + (o * R + r) * J + i;
        const REAL *mean = kind == REDUCE_DEVIATION ? (const REAL *)a->mean + o * J + i : NULL;
        REAL *y = (REAL *)a->y + o * J + i;
        double *p = a->chunks > 1 ? a->partial + (o * a->chunks + chunk) * J + i : scratch;
        if (J == 1)
            *p = FN(fold_row)(kind, x, rows, mean ? *mean : 0);
        else
            FN(fold_columns)(kind, p, x, mean, rows, J, width);
        if (a->chunks == 1)
            for (ptrdiff_t n = 0; n < width; n++) y[n] = (REAL)(a->scale * p[n]);
    }
}

static void FN(reduce_sum)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    FN(reduce_units)(REDUCE_SUM, args, lo, hi, scratch);
}

static void FN(reduce_deviation)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    FN(reduce_units)(REDUCE_DEVIATION, args, lo, hi, scratch);
}

static void FN(reduce_max)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    FN(reduce_units)(REDUCE_MAX, args, lo, hi, scratch);
}

static void FN(reduce_min)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    FN(reduce_units)(REDUCE_MIN, args, lo, hi, scratch);
}

static void FN(reduce_finish)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct reduce_args *a = args;
    REAL *y = a->y;
    for (ptrdiff_t output = lo; output < hi; output++) {
        const ptrdiff_t o = output / a->J, i = output % a->J;
        const double *p = a->partial + o * a->chunks * a->J + i;
        double joined = p[0];
        for (ptrdiff_t chunk = 1; chunk < a->chunks; chunk++) joined = FN(join)((int)a->joins, joined, p[chunk * a->J]);
        y[output] = (REAL)(a->scale * joined);
    }
}

QUERNEL_INLINE int FN(beats)(int kind, REAL a, REAL b)
{
    return (kind == REDUCE_MAX ? a > b : a < b) | ((a != a) & (b == b));
}

/* The first place of the best value, or of nan, if there is one. Short rows are searched without branches, as their
 * outcome cannot be predicted. */
QUERNEL_INLINE int64_t FN(arg_row)(int kind, const REAL *x, ptrdiff_t R)
{
    ptrdiff_t place = 0;
    REAL best = x[0];
    if (R < ARG_SHORT) {
        int nan = 0;
        for (ptrdiff_t r = 0; r < R; r++) {
            best = (kind == REDUCE_MAX ? x[r] > best : x[r] < best) ? x[r] : best;
            nan |= x[r] != x[r];
        }
        if (!nan) {
            int searching = 1;
            for (ptrdiff_t r = 0; r < R; r++) {
                searching &= x[r] != best;
                place += searching;
            }
            return place;
        }
    } else {
        best = (REAL)FN(fold_row)(kind, x, R, 0);
        if (best == best) {
            while (x[place] != best) place++;
            return place;
        }
    }
    while (x[place] == x[place]) place++;
    return place;
}

QUERNEL_INLINE void FN(arg_columns)(int kind, int64_t *restrict y, const REAL *restrict x, ptrdiff_t R, ptrdiff_t J,
                                    ptrdiff_t width)
{
    REAL best[ARG_WIDTH];
    for (ptrdiff_t i = 0; i < width; i++) {
        best[i] = x[i];
        y[i] = 0;
    }
    for (ptrdiff_t r = 1; r < R; r++)
        for (ptrdiff_t i = 0; i < width; i++) {
            const REAL v = x[r * J + i];
            const int better = FN(beats)(kind, v, best[i]);
            y[i] = better ? r : y[i];
            best[i] = better ? v : best[i];
        }
}

QUERNEL_INLINE void FN(arg_units)(int kind, const struct arg_args *a, ptrdiff_t lo, ptrdiff_t hi)
{
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t o = unit / a->blocks, i = unit % a->blocks * ARG_WIDTH;
        const REAL *x = (const REAL *)a->x + o * a->R * a->J + i;
        int64_t *y = a->y + o * a->J + i;
        if (a->J == 1)
            *y = FN(arg_row)(kind, x, a->R);
        else
            FN(arg_columns)(kind, y, x, a->R, a->J, a->J - i < ARG_WIDTH ? a->J - i : ARG_WIDTH);
    }
}

static void FN(argmax)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    FN(arg_units)(REDUCE_MAX, args, lo, hi);
}

static void FN(argmin)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    FN(arg_units)(REDUCE_MIN, args, lo, hi);
}
