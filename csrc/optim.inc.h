/* optim.inc.h   See optim.h. */

/* Where a chunk lies: its array, and its elements [begin, end). */
struct FN(chunk) {
    const struct optim_array *array;
    ptrdiff_t begin, end;
};

/* In the last array whose first chunk is not past the unit; empty arrays, which have no chunk, come before. */
QUERNEL_INLINE struct FN(chunk) FN(chunk_at)(const struct optim_array *arrays, ptrdiff_t count, ptrdiff_t unit)
{
    ptrdiff_t low = 0, high = count;
    while (high - low > 1) {
        const ptrdiff_t middle = low + (high - low) / 2;
        if (arrays[middle].first <= unit)
            low = middle;
        else
            high = middle;
    }
    struct FN(chunk) c = {.array = arrays + low, .begin = (unit - arrays[low].first) * OPTIM_CHUNK};
    c.end = c.array->size - c.begin < OPTIM_CHUNK ? c.array->size : c.begin + OPTIM_CHUNK;
    return c;
}

/* g += decay p; v = momentum v + g; p -= rate (nesterov ? g + momentum v : v) */
static void FN(sgd_update)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct optim_args *a = args;
    const REAL rate = (REAL)a->hyper[0], momentum = (REAL)a->hyper[1], decay = (REAL)a->hyper[3];
    const int nesterov = a->hyper[2] != 0;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const struct FN(chunk) c = FN(chunk_at)(a->arrays, a->count, unit);
        REAL *restrict p_ = c.array->p, *restrict v_ = c.array->state[0];
        const REAL *g_ = c.array->g;
        for (ptrdiff_t i = c.begin; i < c.end; i += VL) {
            const ptrdiff_t n = c.end - i;
            const vec p = FN(load_upto)(p_ + i, n, 0);
            vec step = FN(load_upto)(g_ + i, n, 0) + decay * p;
            if (v_) {
                const vec v = momentum * FN(load_upto)(v_ + i, n, 0) + step;
                FN(store_upto)(v_ + i, v, n);
                step = nesterov ? step + momentum * v : v;
            }
            FN(store_upto)(p_ + i, p - rate * step, n);
        }
    }
}

/* s = rho s + (1 - rho) g^2; mean = rho mean + (1 - rho) g; step = g / (sqrt(s - mean^2) + epsilon);
 * b = momentum b + step; p -= rate b */
static void FN(rmsprop_update)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct optim_args *a = args;
    const REAL rate = (REAL)a->hyper[0], rho = (REAL)a->hyper[1], rest = (REAL)(1 - a->hyper[1]);
    const REAL epsilon = (REAL)a->hyper[2], momentum = (REAL)a->hyper[3], decay = (REAL)a->hyper[4];
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const struct FN(chunk) c = FN(chunk_at)(a->arrays, a->count, unit);
        REAL *restrict p_ = c.array->p, *restrict s_ = c.array->state[0];
        REAL *restrict b_ = c.array->state[1], *restrict mean_ = c.array->state[2];
        const REAL *g_ = c.array->g;
        for (ptrdiff_t i = c.begin; i < c.end; i += VL) {
            const ptrdiff_t n = c.end - i;
            const vec p = FN(load_upto)(p_ + i, n, 0);
            const vec g = FN(load_upto)(g_ + i, n, 0) + decay * p;
            vec variance = rho * FN(load_upto)(s_ + i, n, 0) + rest * g * g;
            FN(store_upto)(s_ + i, variance, n);
            if (mean_) {
                const vec mean = rho * FN(load_upto)(mean_ + i, n, 0) + rest * g;
                FN(store_upto)(mean_ + i, mean, n);
                variance = FN(vmax)((vec){0}, variance - mean * mean); /* rounding may take it below 0 */
            }
            vec step = g / (FN(vsqrt)(variance) + epsilon);
            if (b_) {
                step += momentum * FN(load_upto)(b_ + i, n, 0);
                FN(store_upto)(b_ + i, step, n);
            }
            FN(store_upto)(p_ + i, p - rate * step, n);
        }
    }
}

/* m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
 * p -= rate / (1 - beta1^step) * m / (sqrt(v / (1 - beta2^step)) + epsilon), the corrections in double. */
static void FN(adam_update)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct optim_args *a = args;
    const double *h = a->hyper;
    const REAL beta1 = (REAL)h[1], rest1 = (REAL)(1 - h[1]), beta2 = (REAL)h[2], rest2 = (REAL)(1 - h[2]);
    const REAL epsilon = (REAL)h[3];
    const REAL decay = h[5] != 0 ? 0 : (REAL)h[4], shrink = h[5] != 0 ? (REAL)(1 - h[0] * h[4]) : 1;
    const REAL rate = (REAL)(h[0] / (1 - pow(h[1], h[6])));
    const REAL root_scale = (REAL)(1 / sqrt(1 - pow(h[2], h[6])));
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const struct FN(chunk) c = FN(chunk_at)(a->arrays, a->count, unit);
        REAL *restrict p_ = c.array->p, *restrict m_ = c.array->state[0];
        REAL *restrict v_ = c.array->state[1], *restrict vmax_ = c.array->state[2];
        const REAL *g_ = c.array->g;
        for (ptrdiff_t i = c.begin; i < c.end; i += VL) {
            const ptrdiff_t n = c.end - i;
            const vec p = FN(load_upto)(p_ + i, n, 0);
            const vec g = FN(load_upto)(g_ + i, n, 0) + decay * p;
            const vec m = beta1 * FN(load_upto)(m_ + i, n, 0) + rest1 * g;
            vec v = beta2 * FN(load_upto)(v_ + i, n, 0) + rest2 * g * g;
            FN(store_upto)(m_ + i, m, n);
            FN(store_upto)(v_ + i, v, n);
            if (vmax_) {
                v = FN(vmax)(FN(load_upto)(vmax_ + i, n, 0), v);
                FN(store_upto)(vmax_ + i, v, n);
            }
            FN(store_upto)(p_ + i, p * shrink - rate * m / (FN(vsqrt)(v) * root_scale + epsilon), n);
        }
    }
}

static void FN(clip_by_value)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct optim_args *a = args;
    const vec low = FN(splat)((REAL)a->hyper[0]), high = FN(splat)((REAL)a->hyper[1]);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const struct FN(chunk) c = FN(chunk_at)(a->arrays, a->count, unit);
        REAL *g = c.array->g;
        for (ptrdiff_t i = c.begin; i < c.end; i += VL) {
            const vec clipped = FN(vmin)(high, FN(vmax)(low, FN(load_upto)(g + i, c.end - i, 0)));
            FN(store_upto)(g + i, clipped, c.end - i); /* in this order of operands NaN stays */
        }
    }
}

static void FN(norm_partial)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct norm_args *a = args;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const struct FN(chunk) c = FN(chunk_at)(a->arrays, a->count, unit);
        const REAL *g = c.array->g;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (ptrdiff_t i = c.begin; i < c.end; i++) sum += (double)g[i] * (double)g[i];
        a->partial[unit] = sum;
    }
}

static void FN(norm_combine)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct norm_args *a = args;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t begin = a->global ? 0 : a->arrays[unit].first;
        const ptrdiff_t end = a->global || unit + 1 == a->count ? a->chunks : a->arrays[unit + 1].first;
        double sum = 0;
        for (ptrdiff_t i = begin; i < end; i++) sum += a->partial[i];
        a->norm[unit] = sqrt(sum);
    }
}

static void FN(norm_scale)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct norm_args *a = args;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const struct FN(chunk) c = FN(chunk_at)(a->arrays, a->count, unit);
        const double norm = a->norm[a->global ? 0 : c.array - a->arrays];
        if (!(norm > a->max_norm)) continue;
        const REAL scale = (REAL)(a->max_norm / norm);
        REAL *g = c.array->g;
        for (ptrdiff_t i = c.begin; i < c.end; i += VL)
            FN(store_upto)(g + i, FN(load_upto)(g + i, c.end - i, 0) * scale, c.end - i);
    }
}
