/* softmax.inc.h   See softmax.h.
 * Rows that fit one vector (ten classes in sixteen lanes) stay in a register from load to store; missing lanes
 * hold -inf, whose exp is 0. Longer rows are taken in pieces that stay in the nearest cache, so that the sum over one
 * piece is made while the next comes from memory. */

/* Vectors of a piece. Pieces are added in double: 64 x 16 floats lose at most 64 ulps of the piece, whatever the length
 * of the row. */
enum { FN(SUM_VECTORS) = 64 };

#define NEG_INF (-(REAL)INFINITY)
#define LOWEST ((REAL)(REAL_IS_DOUBLE ? -DBL_MAX : -(double)FLT_MAX))

/* exp(x) for x <= 80, which is all that is needed below the maximum of a row: without the scaling in two steps and the
 * limits of vexp. From EXP_ZERO down 2^n is made with the exponent field 0: the result is 0. NaN comes through. */
#define EXP_ZERO ((REAL)(REAL_IS_DOUBLE ? -709 : -88))
QUERNEL_INLINE vec FN(exp_below)(vec x)
{
    ivec n;
    const vec r = FN(exp_reduce)(FN(vmax)(FN(splat)(EXP_ZERO), x), &n);
    return FN(exp_near_zero)(r) * FN(power_of_two)(n);
}

QUERNEL_INLINE vec FN(log_of)(REAL x) { return FN(vlog)(FN(splat)(x)); }

/* The largest of a row or piece in each lane; NaN may be lost here, the sum of exp finds it again. */
QUERNEL_INLINE vec FN(lane_max)(const REAL *x, ptrdiff_t C)
{
    vec a = FN(splat)(NEG_INF), b = a;
    ptrdiff_t c = 0;
    for (; c + 2 * VL <= C; c += 2 * VL) {
        a = FN(vmax)(a, FN(load)(x + c));
        b = FN(vmax)(b, FN(load)(x + c + VL));
    }
    for (; c < C; c += VL) a = FN(vmax)(a, FN(load_upto)(x + c, C - c, NEG_INF));
    return FN(vmax)(a, b);
}

/* sum_c of TERM, a vector that may use c (first element) and n (elements left, or VL); 0 in lanes from n on. */
#define ROW_SUM(total, TERM)                                                                                           \
    for (ptrdiff_t begin_ = 0; begin_ < C; begin_ += FN(SUM_VECTORS) * VL) {                                           \
        const ptrdiff_t end_ = C - begin_ < FN(SUM_VECTORS) * VL ? C : begin_ + FN(SUM_VECTORS) * VL;                  \
        vec piece_ = {0};                                                                                              \
        ptrdiff_t c = begin_;                                                                                          \
        for (; c + VL <= end_; c += VL) {                                                                              \
            const ptrdiff_t n = VL;                                                                                    \
            (void)n;                                                                                                   \
            piece_ += (TERM);                                                                                          \
        }                                                                                                              \
        if (c < end_) {                                                                                                \
            const ptrdiff_t n = end_ - c;                                                                              \
            (void)n;                                                                                                   \
            piece_ += (TERM);                                                                                          \
        }                                                                                                              \
        total += (double)FN(hsum)(piece_);                                                                             \
    }

/* sum_c e_c, where e_c = exp(x_c - shift). */
static double FN(row_exp)(REAL *restrict e, const REAL *restrict x, REAL shift, ptrdiff_t C)
{
    double sum = 0;
    vec term;
    ROW_SUM(sum, (term = FN(exp_below)(FN(load_upto)(x + c, n, NEG_INF) - shift), FN(store_upto)(e + c, term, n), term))
    return sum;
}

/* sum_c exp(x_c - max), max found on the way: where a piece has a new one, what was summed is scaled down. */
static REAL FN(row_sum_exp)(REAL *max, const REAL *row, ptrdiff_t columns)
{
    const ptrdiff_t piece = FN(SUM_VECTORS) * VL;
    double total = 0;
    REAL shift = NEG_INF;
    for (ptrdiff_t begin = 0; begin < columns; begin += piece) {
        const REAL *x = row + begin;
        const ptrdiff_t C = columns - begin < piece ? columns - begin : piece;
        const vec largest = FN(lane_max)(x, C);
        if (FN(any)(largest > shift)) {
            const REAL before = shift;
            shift = FN(hmax)(largest);
            if (total != 0) total *= (double)FN(exp_below)(FN(splat)(before - shift))[0];
        }
        const REAL below = shift == NEG_INF ? LOWEST : shift; /* -inf - -inf would be NaN */
        ROW_SUM(total, FN(exp_below)(FN(load_upto)(x + c, n, NEG_INF) - below))
    }
    *max = shift;
    return shift == NEG_INF ? (REAL)NAN : (REAL)total;
}

static void FN(softmax_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct softmax_args *a = args;
    const ptrdiff_t C = a->C;
    for (ptrdiff_t r = lo; r < hi; r++) {
        const REAL *x = (const REAL *)a->x_rc + r * C;
        REAL *restrict y = (REAL *)a->y_rc + r * C;
        if (C <= VL) {
            const vec x_ = FN(load_upto)(x, C, NEG_INF);
            const vec e = FN(exp_below)(x_ - FN(hmax)(x_));
            FN(store_upto)(y, e / FN(hsum)(e), C);
        } else {
            const REAL scale = 1 / (REAL)FN(row_exp)(y, x, FN(hmax)(FN(lane_max)(x, C)), C);
            for (ptrdiff_t c = 0; c < C; c += VL) FN(store_upto)(y + c, FN(load_upto)(y + c, C - c, 0) * scale, C - c);
        }
    }
}

/* dx = y (dy - sum_c dy y) */
static void FN(softmax_backward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct softmax_backward_args *a = args;
    const ptrdiff_t C = a->C;
    for (ptrdiff_t r = lo; r < hi; r++) {
        const REAL *dy = (const REAL *)a->dy_rc + r * C, *y = (const REAL *)a->y_rc + r * C;
        REAL *restrict dx = (REAL *)a->dx_rc + r * C;
        double sum = 0;
        ROW_SUM(sum, FN(load_upto)(dy + c, n, 0) * FN(load_upto)(y + c, n, 0))
        for (ptrdiff_t c = 0; c < C; c += VL) {
            const ptrdiff_t n = C - c;
            FN(store_upto)(dx + c, FN(load_upto)(y + c, n, 0) * (FN(load_upto)(dy + c, n, 0) - (REAL)sum), n);
        }
    }
}

static void FN(log_softmax_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct softmax_args *a = args;
    const ptrdiff_t C = a->C;
    for (ptrdiff_t r = lo; r < hi; r++) {
        const REAL *x = (const REAL *)a->x_rc + r * C;
        REAL *restrict y = (REAL *)a->y_rc + r * C;
        if (C <= VL) {
            const vec x_ = FN(load_upto)(x, C, NEG_INF);
            const vec shifted = x_ - FN(hmax)(x_);
            FN(store_upto)(y, shifted - FN(log_of)(FN(hsum)(FN(exp_below)(shifted))), C);
        } else {
            REAL max;
            const vec log_sum = FN(log_of)(FN(row_sum_exp)(&max, x, C));
            for (ptrdiff_t c = 0; c < C; c += VL)
                FN(store_upto)(y + c, (FN(load_upto)(x + c, C - c, 0) - max) - log_sum, C - c);
        }
    }
}

/* dx = dy - exp(y) sum_c dy */
static void FN(log_softmax_backward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct softmax_backward_args *a = args;
    const ptrdiff_t C = a->C;
    for (ptrdiff_t r = lo; r < hi; r++) {
        const REAL *dy = (const REAL *)a->dy_rc + r * C, *y = (const REAL *)a->y_rc + r * C;
        REAL *restrict dx = (REAL *)a->dx_rc + r * C;
        double sum = 0;
        ROW_SUM(sum, FN(load_upto)(dy + c, n, 0))
        for (ptrdiff_t c = 0; c < C; c += VL) {
            const ptrdiff_t n = C - c;
            const vec p = FN(exp_below)(FN(load_upto)(y + c, n, 0));
            FN(store_upto)(dx + c, FN(load_upto)(dy + c, n, 0) - p * (REAL)sum, n);
        }
    }
}

/* lse of a row as its two parts, which keep digits that their sum loses when logits are large. */
QUERNEL_INLINE REAL FN(row_lse)(REAL *max, const REAL *x, ptrdiff_t C)
{
    if (C <= VL) {
        const vec x_ = FN(load_upto)(x, C, NEG_INF);
        *max = FN(hmax)(x_);
        return FN(log_of)(FN(hsum)(FN(exp_below)(x_ - *max)))[0];
    }
    return FN(log_of)(FN(row_sum_exp)(max, x, C))[0];
}

/* All ones in the first n lanes. */
QUERNEL_INLINE ivec FN(lanes_below)(ptrdiff_t n)
{
    static const INT index[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    ivec lane;
    memcpy(&lane, index, sizeof lane);
    return lane < (INT)(n < VL ? n : VL);
}

/* (1 - s) t + s / C, times w, in lanes below n; t NULL is all 0, w NULL all 1. */
QUERNEL_INLINE vec FN(smoothed)(const REAL *t, const REAL *w, ptrdiff_t c, ptrdiff_t n, REAL keep, REAL spread)
{
    vec q = FN(splat)(spread);
    if (t) q += FN(load_upto)(t + c, n, 0) * keep;
    if (w) q *= FN(load_upto)(w + c, n, 0);
    return FN(select)(FN(lanes_below)(n), q, (vec){0});
}

/* sum_c q_c (lse - x_c), where q_c is not 0. */
static REAL FN(row_loss)(const REAL *x, const REAL *t, const REAL *w, REAL max, REAL log_sum, REAL keep, REAL spread,
                         ptrdiff_t C)
{
    double sum = 0;
    vec q;
    ROW_SUM(sum, (q = FN(smoothed)(t, w, c, n, keep, spread),
                  FN(select)(q == 0, (vec){0}, q * ((max - FN(load_upto)(x + c, n, 0)) + log_sum))))
    return (REAL)sum;
}

/* sum_c q_c */
static double FN(row_weight)(const REAL *t, const REAL *w, REAL keep, REAL spread, ptrdiff_t C)
{
    double sum = 0;
    ROW_SUM(sum, FN(smoothed)(t, w, c, n, keep, spread))
    return sum;
}

/* A vector of dx = e scale - dloss q. */
QUERNEL_INLINE vec FN(gradient_at)(const REAL *e, const REAL *t, const REAL *w, ptrdiff_t c, ptrdiff_t n, REAL scale,
                                   REAL dloss, REAL keep, REAL spread)
{
    const vec d = FN(load_upto)(e + c, n, 0) * scale;
    return t || spread != 0 ? d - FN(smoothed)(t, w, c, n, keep, spread) * dloss : d;
}

/* dx_c = p_c dloss sum_c q_c - dloss q_c. p = exp(x - lse) is divided by its own sum, which is 1 but for the
 * rounding of lse: with logits near 1e8 that is the difference between 1 and 0.5. `e` is room for a row where dx is to
 * be streamed, dx itself elsewhere. */
static void FN(row_gradient)(REAL *dx, REAL *e, const REAL *x, const REAL *t, const REAL *w, REAL lse, REAL dloss,
                             double weight, REAL keep, REAL spread, ptrdiff_t C)
{
    const REAL scale = (REAL)((double)dloss * weight / FN(row_exp)(e, x, lse, C));
    ptrdiff_t c = 0;
    if (e != dx) { /* up to where a vector may be streamed, and on from there */
        const ptrdiff_t head = (ptrdiff_t)(-((uintptr_t)dx / sizeof(REAL)) % (size_t)VL);
        c = head < C ? head : C;
        if (c) FN(store_upto)(dx, FN(gradient_at)(e, t, w, 0, c, scale, dloss, keep, spread), c);
        for (; c + VL <= C; c += VL) FN(stream)(dx + c, FN(gradient_at)(e, t, w, c, VL, scale, dloss, keep, spread));
    }
    for (; c + VL <= C; c += VL) FN(store)(dx + c, FN(gradient_at)(e, t, w, c, VL, scale, dloss, keep, spread));
    if (c < C) FN(store_part)(dx + c, FN(gradient_at)(e, t, w, c, C - c, scale, dloss, keep, spread), C - c);
}

static void FN(softmax_xent_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct softmax_xent_args *a = args;
    const ptrdiff_t C = a->C;
    const REAL *w = a->w_c, keep = (REAL)(1 - a->smoothing), spread = (REAL)(a->smoothing / (double)C);
    for (ptrdiff_t r = lo; r < hi; r++) {
        const REAL *x = (const REAL *)a->x_rc + r * C;
        const int64_t label = a->label_r[r];
        REAL max, loss = 0;
        const REAL log_sum = FN(row_lse)(&max, x, C);
        if (a->has_ignore && label == a->ignore) {
            loss = 0;
        } else if (label < 0 || label >= C) {
            loss = (REAL)NAN; /* seen, where skipping it would not be */
        } else {
            const REAL q = w ? keep * w[label] : keep;
            if (q != 0) loss = q * ((max - x[label]) + log_sum);
            if (spread != 0) loss += FN(row_loss)(x, NULL, w, max, log_sum, 0, spread, C);
        }
        ((REAL *)a->lse_r)[r] = max + log_sum;
        ((REAL *)a->loss_r)[r] = loss;
    }
}

static void FN(softmax_xent_backward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct softmax_xent_args *a = args;
    const ptrdiff_t C = a->C;
    const REAL *w = a->w_c, keep = (REAL)(1 - a->smoothing), spread = (REAL)(a->smoothing / (double)C);
    const double spread_weight = spread != 0 ? FN(row_weight)(NULL, w, 0, spread, C) : 0;
    for (ptrdiff_t r = lo; r < hi; r++) {
        const REAL *x = (const REAL *)a->x_rc + r * C;
        REAL *restrict dx = (REAL *)a->dx_rc + r * C;
        const REAL lse = ((const REAL *)a->lse_r)[r], dloss = ((const REAL *)a->dloss_r)[r];
        const int64_t label = a->label_r[r];
        if ((a->has_ignore && label == a->ignore) || label < 0 || label >= C) {
            memset(dx, 0, (size_t)C * sizeof(REAL)); /* the loss tells of a bad label; parameters stay well */
            continue;
        }
        const REAL q = w ? keep * w[label] : keep;
        const double weight = (double)q + spread_weight;
        if (C <= VL && spread == 0) {
            const vec e = FN(exp_below)(FN(load_upto)(x, C, NEG_INF) - lse);
            const REAL scale = (REAL)((double)dloss * weight / (double)FN(hsum)(e));
            const ivec hit = FN(lanes_below)(label + 1) & ~FN(lanes_below)(label);
            FN(store_upto)(dx, e * scale - FN(select)(hit, FN(splat)(dloss * q), (vec){0}), C);
        } else {
            REAL *e = scratch ? scratch : dx;
            FN(row_gradient)(dx, e, x, NULL, w, lse, dloss, weight, 0, spread, C);
            dx[label] -= dloss * q;
        }
    }
    if (scratch) FN(stream_end)();
}

static void FN(softmax_xent_soft_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct softmax_xent_args *a = args;
    const ptrdiff_t C = a->C;
    const REAL keep = (REAL)(1 - a->smoothing), spread = (REAL)(a->smoothing / (double)C);
    for (ptrdiff_t r = lo; r < hi; r++) {
        const REAL *x = (const REAL *)a->x_rc + r * C, *t = (const REAL *)a->t_rc + r * C;
        REAL max;
        const REAL log_sum = FN(row_lse)(&max, x, C);
        ((REAL *)a->lse_r)[r] = max + log_sum;
        ((REAL *)a->loss_r)[r] = FN(row_loss)(x, t, a->w_c, max, log_sum, keep, spread, C);
    }
}

static void FN(softmax_xent_soft_backward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct softmax_xent_args *a = args;
    const ptrdiff_t C = a->C;
    const REAL keep = (REAL)(1 - a->smoothing), spread = (REAL)(a->smoothing / (double)C);
    for (ptrdiff_t r = lo; r < hi; r++) {
        const REAL *t = (const REAL *)a->t_rc + r * C;
        REAL *dx = (REAL *)a->dx_rc + r * C, *e = scratch ? scratch : dx;
        const REAL lse = ((const REAL *)a->lse_r)[r], dloss = ((const REAL *)a->dloss_r)[r];
        FN(row_gradient)(dx, e, (const REAL *)a->x_rc + r * C, t, a->w_c, lse, dloss,
                         FN(row_weight)(t, a->w_c, keep, spread, C), keep, spread, C);
    }
    if (scratch) FN(stream_end)();
}

#undef EXP_ZERO
#undef ROW_SUM
#undef NEG_INF
#undef LOWEST
