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

/* All ones in the first n lanes. */
QUERNEL_INLINE ivec FN(lanes_below)(ptrdiff_t n)
{
    static const INT index[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    ivec lane;
    memcpy(&lane, index, sizeof lane);
    return lane < (INT)(n < VL ? n : VL);
}

/* q_c = w_c (keep t_c + spread), plus `hit` at the class `label`; t NULL is all 0, w NULL all 1, label -1 no class. */
struct FN(target) {
    const REAL *t, *w;
    REAL keep, spread, hit;
    int64_t label;
};

/* q without `hit`, in lanes below n. */
QUERNEL_INLINE vec FN(q_at)(const struct FN(target) * q, ptrdiff_t c, ptrdiff_t n)
{
    vec q_ = FN(splat)(q->spread);
    if (q->t) q_ += FN(load_upto)(q->t + c, n, 0) * q->keep;
    if (q->w) q_ *= FN(load_upto)(q->w + c, n, 0);
    return FN(select)(FN(lanes_below)(n), q_, (vec){0});
}

/* Whether q is 0 but for its label. */
QUERNEL_INLINE int FN(label_alone)(const struct FN(target) * q) { return !q->t && q->spread == 0; }

/* A row of dx = e scale - v q on its way to memory, written up to c. e is dx itself, or scratch where dx is streamed.
 */
struct FN(writer) {
    REAL *dx;
    const REAL *e;
    struct FN(target) q;
    REAL scale, v;
    ptrdiff_t c, C; /* C = 0: nothing to write */
};

/* The next n elements, but for the label's. One product is held: in which the other is fused must not differ. */
QUERNEL_INLINE vec FN(gradient_at)(const struct FN(writer) * w, ptrdiff_t n)
{
    const vec d = FN(held)(FN(load_upto)(w->e + w->c, n, 0) * w->scale);
    return FN(label_alone)(&w->q) ? d : d - FN(q_at)(&w->q, w->c, n) * w->v;
}

QUERNEL_INLINE void FN(stream_vector)(struct FN(writer) * w)
{
    FN(stream)(w->dx + w->c, FN(gradient_at)(w, VL));
    w->c += VL;
}

/* Up to where a vector may be streamed. */
static void FN(begin_row)(struct FN(writer) * w)
{
    const ptrdiff_t head = (ptrdiff_t)(-((uintptr_t)w->dx / sizeof(REAL)) % (size_t)VL), n = head < w->C ? head : w->C;
    if (n) FN(store_part)(w->dx, FN(gradient_at)(w, n), n);
    w->c = n;
}

static void FN(finish_row)(struct FN(writer) * row)
{
    struct FN(writer) w = *row;
    if (!w.C) return;
    if (w.e == w.dx)
        for (; w.c + VL <= w.C; w.c += VL) FN(store)(w.dx + w.c, FN(gradient_at)(&w, VL));
    else
        while (w.c + VL <= w.C) FN(stream_vector)(&w);
    if (w.c < w.C) FN(store_part)(w.dx + w.c, FN(gradient_at)(&w, w.C - w.c), w.C - w.c);
    if (w.q.label >= 0) w.dx[w.q.label] -= w.v * w.q.hit;
    row->C = 0;
}

/* sum_c e_c, where e_c = exp(x_c - shift). Memory works meanwhile: the row before is streamed and the row behind is
 * fetched into the second cache (beyond the last it is void). 4096 x 10,000 in 10.9 ms, without the fetch 14.6, without
 * either 18.8. */
static double FN(row_exp)(REAL *restrict e, const REAL *restrict x, REAL shift, ptrdiff_t C, struct FN(writer) * before)
{
    struct FN(writer) w = *before;
    double sum = 0;
    vec term;
    ROW_SUM(sum, (__builtin_prefetch(x + C + c, 0, 2), term = FN(exp_below)(FN(load_upto)(x + c, n, NEG_INF) - shift),
                  FN(store_upto)(e + c, term, n), w.c + VL <= w.C ? FN(stream_vector)(&w) : (void)0, term))
    *before = w;
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
            struct FN(writer) none = {0};
            const REAL scale = 1 / (REAL)FN(row_exp)(y, x, FN(hmax)(FN(lane_max)(x, C)), C, &none);
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

/* What the loss of a row is made of: v (far + weight log sum), where far = sum_c q_c (max - x_c), weight = sum_c q_c.
 */
struct FN(parts) {
    REAL sum, far, weight;
};

QUERNEL_INLINE REAL FN(far_at)(const struct FN(target) * q, const REAL *x, REAL max)
{
    return q->label < 0 || q->hit == 0 ? 0 : q->hit * (max - x[q->label]);
}

/* A row in one vector. */
QUERNEL_INLINE struct FN(parts)
    FN(xent_short)(REAL *dx, const REAL *x, const struct FN(target) * q, REAL v, ptrdiff_t C)
{
    const vec x_ = FN(load_upto)(x, C, NEG_INF);
    const REAL max = FN(hmax)(x_);
    const vec e = FN(exp_below)(x_ - max);
    struct FN(parts) row = {FN(hsum)(e), FN(far_at)(q, x, max), q->hit};
    const ivec at_label = FN(lanes_below)(q->label + 1) & ~FN(lanes_below)(q->label);
    vec q_ = FN(select)(at_label, FN(splat)(q->hit), (vec){0});
    if (!FN(label_alone)(q)) {
        const vec others = FN(q_at)(q, 0, C);
        q_ += others;
        row.far += FN(hsum)(FN(select)(others == 0, (vec){0}, others * (max - x_)));
        row.weight += FN(hsum)(others);
    }
    if (dx) FN(store_upto)(dx, e * (v * row.weight / row.sum) - q_ * v, C);
    return row;
}

/* A row of several vectors. Streamed dx are written while the next row is at work: `before` is what is left to do. */
static struct FN(parts) FN(xent_long)(struct FN(writer) * before, REAL *dx, REAL *scratch, const REAL *x,
                                      const struct FN(target) * q, double rest, REAL v, ptrdiff_t C)
{
    REAL max, *e = !scratch ? dx : before->C && before->e == scratch ? scratch + (C + VL - 1) / VL * VL : scratch;
    double sum, far = 0, weight = rest;
    vec term;
    if (dx) {
        max = FN(hmax)(FN(lane_max)(x, C));
        sum = FN(row_exp)(e, x, max, C, before);
        FN(finish_row)(before);
    } else
        sum = (double)FN(row_sum_exp)(&max, x, C);
    if (!FN(label_alone)(q))
        ROW_SUM(far,
                (term = FN(q_at)(q, c, n), FN(select)(term == 0, (vec){0}, term * (max - FN(load_upto)(x + c, n, 0)))))
    if (q->t) ROW_SUM(weight, FN(q_at)(q, c, n))
    weight += (double)q->hit;
    if (dx) {
        *before = (struct FN(writer)){dx, e, *q, (REAL)((double)v * weight / sum), v, 0, C};
        if (scratch)
            FN(begin_row)(before);
        else
            FN(finish_row)(before);
    }
    return (struct FN(parts)){(REAL)sum, FN(far_at)(q, x, max) + (REAL)far, (REAL)weight};
}

/* Rows go by as many as a vector has lanes, for one logarithm of all their sums. Everything else of a row is done while
 * it is in the nearest caches, and exp taken once of each element. */
static void FN(softmax_xent)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct softmax_xent_args *a = args;
    const ptrdiff_t C = a->C;
    const REAL keep = (REAL)(1 - a->smoothing);
    struct FN(target) q = {NULL, a->w_c, keep, (REAL)(a->smoothing / (double)C), 0, -1};
    struct FN(writer) before = {0};
    double rest = 0; /* sum_c q_c without the label, the same for all rows that have one */
    if (a->label_r && !FN(label_alone)(&q)) ROW_SUM(rest, FN(q_at)(&q, c, n))
    for (ptrdiff_t block = lo; block < hi; block += VL) {
        const ptrdiff_t rows = hi - block < VL ? hi - block : VL;
        const vec v_ =
            a->v_r ? FN(load_upto)((const REAL *)a->v_r + block, rows, 0) * (REAL)a->scale : FN(splat)((REAL)a->scale);
        vec sum = FN(splat)(1), far = {0}, weight = {0};
        for (ptrdiff_t i = 0; i < rows; i++) {
            const ptrdiff_t r = block + i;
            const REAL *x = (const REAL *)a->x_rc + r * C;
            REAL *dx = a->dx_rc ? (REAL *)a->dx_rc + r * C : NULL;
            if (a->label_r) {
                q.label = a->label_r[r];
                const int ignored = a->has_ignore && q.label == a->ignore;
                if (ignored || q.label < 0 || q.label >= C) {
                    far[i] = ignored ? 0 : (REAL)NAN;                /* seen, where skipping it would not be */
                    if (dx) memset(dx, 0, (size_t)C * sizeof(REAL)); /* the loss tells; parameters stay well */
                    continue;
                }
                q.hit = q.w ? keep * q.w[q.label] : keep;
            } else
                q.t = (const REAL *)a->t_rc + r * C;
            const struct FN(parts) row = C <= VL ? FN(xent_short)(dx, x, &q, v_[i], C)
                                                 : FN(xent_long)(&before, dx, scratch, x, &q, rest, v_[i], C);
            sum[i] = row.sum;
            far[i] = row.far;
            weight[i] = row.weight;
        }
        const vec loss = v_ * FN(select)(weight == 0, far, far + weight * FN(vlog)(sum));
        FN(store_upto)((REAL *)a->loss_r + block, loss, rows);
    }
    FN(finish_row)(&before);
    if (scratch) FN(stream_end)();
}

#undef EXP_ZERO
#undef ROW_SUM
#undef NEG_INF
#undef LOWEST
