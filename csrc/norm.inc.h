/* norm.inc.h   See norm.h for the letters, lines, chunks, blocks, and what a unit is.
 *
 * Sums are made in REAL over NORM_ROWS lines, then go on in double: a float sum of eight terms is good to 3e-7, and
 * conversions cost an eighth. Statistics are taken relative to a shift, the mean of the chunk's first lines, so that
 * squares stay small however large the mean is: if the shift lies D from the chunk's mean, then those first lines alone
 * bring D^2 into the variance, and what is lost to cancellation is bounded by (lines of a chunk / NORM_ROWS) * 1e-7. */

#define NORM_ROWS 8

/* What one unit works on: `lines` lines of `width` elements, the first at element `first`, `stride` apart, and after
 * them one shorter line of `tail` elements; columns c0 and on. */
struct FN(norm_piece) {
    ptrdiff_t chunk, first, stride, lines, width, tail, c0;
};

QUERNEL_INLINE struct FN(norm_piece) FN(norm_piece)(const struct norm_shape *s, ptrdiff_t unit)
{
    struct FN(norm_piece) p = {.chunk = unit / s->blocks, .stride = s->R * s->C, .c0 = unit % s->blocks * NORM_BLOCK};
    const ptrdiff_t line = p.chunk * s->chunk_lines, left = s->lines - line, columns = p.stride - p.c0;
    p.first = line * p.stride + p.c0;
    p.lines = left < s->chunk_lines ? left : s->chunk_lines;
    p.width = columns < NORM_BLOCK ? columns : NORM_BLOCK;
    p.tail = p.chunk == s->chunks - 1 ? s->M % s->R * s->C : 0;
    return p;
}

/* Rows of x that chunk k has. */
QUERNEL_INLINE ptrdiff_t FN(norm_chunk_rows)(const struct norm_shape *s, ptrdiff_t k)
{
    return (k < s->chunks - 1 ? s->chunk_lines * (k + 1) * s->R : s->M) - s->chunk_lines * k * s->R;
}

/* From elements of a line, R * C with R a power of two, to its C channels (a block has no more than C). */
QUERNEL_INLINE void FN(norm_fold)(double *sum, ptrdiff_t width, ptrdiff_t C)
{
    for (ptrdiff_t half = width / 2; half >= C; half /= 2)
        for (ptrdiff_t e = 0; e < half; e++) sum[e] += sum[e + half];
}

/* The other way: out[e] = out[e % C]. */
QUERNEL_INLINE void FN(norm_repeat)(REAL *out, ptrdiff_t width, ptrdiff_t C)
{
    for (ptrdiff_t have = C; have < width; have *= 2) memcpy(out + have, out, (size_t)have * sizeof(REAL));
}

/* The line of one of the coefficients. */
QUERNEL_INLINE void FN(norm_spread)(REAL *restrict out, const REAL *restrict in, ptrdiff_t width, ptrdiff_t C)
{
    memcpy(out, in, (size_t)(width < C ? width : C) * sizeof(REAL));
    FN(norm_repeat)(out, width, C);
}

QUERNEL_INLINE void FN(norm_shifted_sums)(double *restrict sum, double *restrict square, const REAL *restrict shift,
                                     const REAL *restrict x, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t width)
{
#pragma omp simd
    for (ptrdiff_t e = 0; e < width; e++) {
        REAL s = 0, ss = 0;
        for (ptrdiff_t r = 0; r < rows; r++) {
            const REAL d = x[r * stride + e] - shift[e];
            s += d;
            ss += d * d;
        }
        sum[e] += s;
        square[e] += ss;
    }
}

static void FN(batch_norm_statistics)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct norm_forward_args *a = args;
    const ptrdiff_t C = a->shape.C;
    double *sum = scratch, *square = sum + NORM_BLOCK;
    REAL *shift = (REAL *)(square + NORM_BLOCK);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const struct FN(norm_piece) p = FN(norm_piece)(&a->shape, unit);
        const ptrdiff_t channels = p.width < C ? p.width : C; /* of this block */
        const REAL *x = (const REAL *)a->x + p.first;
        const REAL *rest = x + p.lines * p.stride;

        memset(sum, 0, (size_t)p.width * sizeof(double));
        memset(square, 0, (size_t)p.width * sizeof(double));
        memset(shift, 0, (size_t)p.width * sizeof(REAL));
        const ptrdiff_t head = p.lines < NORM_ROWS ? p.lines : NORM_ROWS;
        if (head > 0) {
            FN(norm_shifted_sums)(sum, square, shift, x, head, p.stride, p.width);
            FN(norm_fold)(sum, p.width, C);
            for (ptrdiff_t c = 0; c < channels; c++) shift[c] = (REAL)(sum[c] / (double)(head * a->shape.R));
        } else { /* M < R */
            memcpy(shift, rest, (size_t)channels * sizeof(REAL));
        }
        FN(norm_repeat)(shift, p.width, C);
        memset(sum, 0, (size_t)p.width * sizeof(double));
        memset(square, 0, (size_t)p.width * sizeof(double));

        ptrdiff_t line = 0;
        for (; line + NORM_ROWS <= p.lines; line += NORM_ROWS)
            FN(norm_shifted_sums)(sum, square, shift, x + line * p.stride, NORM_ROWS, p.stride, p.width);
        FN(norm_shifted_sums)(sum, square, shift, x + line * p.stride, p.lines - line, p.stride, p.width);
        FN(norm_shifted_sums)(sum, square, shift, rest, 1, 0, p.tail);
        FN(norm_fold)(sum, p.width, C);
        FN(norm_fold)(square, p.width, C);

        double *partial = a->partial + p.chunk * 3 * C + p.c0;
        for (ptrdiff_t c = 0; c < channels; c++) {
            partial[c] = shift[c];
            partial[C + c] = sum[c];
            partial[2 * C + c] = square[c];
        }
    }
}

/* What _normalise needs of channel c. The part of the mean that REAL cannot hold goes into the offset. */
QUERNEL_INLINE void FN(norm_coefficient)(const struct norm_forward_args *a, ptrdiff_t c, double mean, double inv_std)
{
    const ptrdiff_t C = a->shape.C;
    const double scale = a->gamma ? inv_std * ((const REAL *)a->gamma)[c] : inv_std;
    const double beta = a->beta ? ((const REAL *)a->beta)[c] : 0;
    REAL *coefficient = (REAL *)a->coefficient + c;
    coefficient[0] = (REAL)mean;
    coefficient[C] = (REAL)scale;
    coefficient[2 * C] = (REAL)(beta - (mean - (double)coefficient[0]) * scale);
}

/* Chan, Golub and LeVeque 1979 (STAN-CS-79-773), equation 2.1: means and squared deviations of two sets to those of
 * both. */
static void FN(batch_norm_finish)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct norm_forward_args *a = args;
    const ptrdiff_t C = a->shape.C;
    double *restrict mean = scratch, *restrict deviation = mean + NORM_BLOCK;
    for (ptrdiff_t c0 = lo; c0 < hi; c0 += NORM_BLOCK) {
        const ptrdiff_t channels = hi - c0 < NORM_BLOCK ? hi - c0 : NORM_BLOCK;
        memset(mean, 0, (size_t)channels * sizeof(double));
        memset(deviation, 0, (size_t)channels * sizeof(double));
        double before = 0;
        for (ptrdiff_t k = 0; k < a->shape.chunks; k++) {
            const double *restrict partial = a->partial + k * 3 * C + c0;
            const double rows = (double)FN(norm_chunk_rows)(&a->shape, k);
            const double weight = rows / (before + rows);
#pragma omp simd
            for (ptrdiff_t c = 0; c < channels; c++) {
                const double sum = partial[C + c], square = partial[2 * C + c] - sum * sum / rows;
                const double delta = partial[c] + sum / rows - mean[c];
                mean[c] += delta * weight;
                deviation[c] += (square < 0 ? 0 : square) + delta * delta * before * weight;
            }
            before += rows;
        }
        for (ptrdiff_t c = 0; c < channels; c++) {
            const double var = before > 0 ? deviation[c] / before : 0, inv_std = 1 / sqrt(var + a->epsilon);
            ((REAL *)a->mean)[c0 + c] = (REAL)mean[c];
            ((REAL *)a->var)[c0 + c] = (REAL)var;
            ((REAL *)a->inv_std)[c0 + c] = (REAL)inv_std;
            FN(norm_coefficient)(a, c0 + c, mean[c], inv_std);
        }
    }
}

/* For statistics that are given: mean and var are inputs here. */
static void FN(batch_norm_coefficients)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct norm_forward_args *a = args;
    const REAL *mean = a->mean, *var = a->var;
    for (ptrdiff_t c = lo; c < hi; c++) FN(norm_coefficient)(a, c, mean[c], 1 / sqrt(var[c] + a->epsilon));
}

QUERNEL_INLINE void FN(norm_normalise_line)(REAL *restrict y, const REAL *restrict x, const REAL *restrict mean,
                                       const REAL *restrict scale, const REAL *restrict offset, ptrdiff_t width, int relu)
{
#pragma omp simd
    for (ptrdiff_t e = 0; e < width; e++) {
        const REAL z = (x[e] - mean[e]) * scale[e] + offset[e];
        y[e] = relu && z < 0 ? 0 : z;
    }
}

/* From the end: what the statistics read last may still be in cache. */
static void FN(batch_norm_normalise)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct norm_forward_args *a = args;
    const ptrdiff_t C = a->shape.C;
    REAL *mean = scratch, *scale = mean + NORM_BLOCK, *offset = scale + NORM_BLOCK;
    const ptrdiff_t last = a->shape.chunks * a->shape.blocks - 1;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const struct FN(norm_piece) p = FN(norm_piece)(&a->shape, last - unit);
        const REAL *coefficient = (const REAL *)a->coefficient + p.c0;
        FN(norm_spread)(mean, coefficient, p.width, C);
        FN(norm_spread)(scale, coefficient + C, p.width, C);
        FN(norm_spread)(offset, coefficient + 2 * C, p.width, C);
        for (ptrdiff_t line = p.lines; line >= 0; line--) {
            const ptrdiff_t at = p.first + line * p.stride, width = line < p.lines ? p.width : p.tail;
            const REAL *x = (const REAL *)a->x + at;
            REAL *y = (REAL *)a->y + at;
            if (a->relu)
                FN(norm_normalise_line)(y, x, mean, scale, offset, width, 1);
            else
                FN(norm_normalise_line)(y, x, mean, scale, offset, width, 0);
        }
    }
}

QUERNEL_INLINE void FN(norm_gradient_sums)(double *restrict sum, double *restrict dot, const REAL *restrict mean,
                                      const REAL *restrict dy, const REAL *restrict x, const REAL *restrict y,
                                      ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t width, int relu)
{
#pragma omp simd
    for (ptrdiff_t e = 0; e < width; e++) {
        REAL s = 0, sx = 0;
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t at = r * stride + e;
            const REAL dz = relu ? (y[at] > 0 ? dy[at] : 0) : dy[at];
            s += dz;
            sx += dz * (x[at] - mean[e]);
        }
        sum[e] += s;
        dot[e] += sx;
    }
}

QUERNEL_INLINE void FN(norm_backward_sums)(const struct norm_backward_args *a, ptrdiff_t lo, ptrdiff_t hi, void *scratch,
                                      int relu)
{
    const ptrdiff_t C = a->shape.C;
    double *sum = scratch, *dot = sum + NORM_BLOCK;
    REAL *mean = (REAL *)(dot + NORM_BLOCK);
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const struct FN(norm_piece) p = FN(norm_piece)(&a->shape, unit);
        const ptrdiff_t channels = p.width < C ? p.width : C;
        const REAL *dy = (const REAL *)a->dy + p.first, *x = (const REAL *)a->x + p.first;
        const REAL *y = relu ? (const REAL *)a->y + p.first : x;
        FN(norm_spread)(mean, (const REAL *)a->mean + p.c0, p.width, C);
        memset(sum, 0, (size_t)p.width * sizeof(double));
        memset(dot, 0, (size_t)p.width * sizeof(double));
        ptrdiff_t line = 0, at = 0;
        for (; line + NORM_ROWS <= p.lines; line += NORM_ROWS, at += NORM_ROWS * p.stride)
            FN(norm_gradient_sums)(sum, dot, mean, dy + at, x + at, y + at, NORM_ROWS, p.stride, p.width, relu);
        FN(norm_gradient_sums)(sum, dot, mean, dy + at, x + at, y + at, p.lines - line, p.stride, p.width, relu);
        at = p.lines * p.stride;
        FN(norm_gradient_sums)(sum, dot, mean, dy + at, x + at, y + at, 1, 0, p.tail, relu);
        FN(norm_fold)(sum, p.width, C);
        FN(norm_fold)(dot, p.width, C);
        memcpy(a->partial + p.chunk * 2 * C + p.c0, sum, (size_t)channels * sizeof(double));
        memcpy(a->partial + (p.chunk * 2 + 1) * C + p.c0, dot, (size_t)channels * sizeof(double));
    }
}

static void FN(batch_norm_backward_sums)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct norm_backward_args *a = args;
    if (a->relu)
        FN(norm_backward_sums)(a, lo, hi, scratch, 1);
    else
        FN(norm_backward_sums)(a, lo, hi, scratch, 0);
}

static void FN(batch_norm_backward_finish)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct norm_backward_args *a = args;
    const ptrdiff_t C = a->shape.C;
    const double rows = a->shape.M > 0 ? (double)a->shape.M : 1;
    for (ptrdiff_t c = lo; c < hi; c++) {
        const double inv_std = ((const REAL *)a->inv_std)[c];
        double sum = 0, dot = 0;
        for (ptrdiff_t k = 0; k < a->shape.chunks; k++) {
            sum += a->partial[k * 2 * C + c];
            dot += a->partial[(k * 2 + 1) * C + c];
        }
        REAL *coefficient = (REAL *)a->coefficient + c;
        coefficient[0] = ((const REAL *)a->mean)[c];
        coefficient[C] = (REAL)(a->gamma ? inv_std * ((const REAL *)a->gamma)[c] : inv_std);
        coefficient[2 * C] = (REAL)(sum / rows);
        coefficient[3 * C] = (REAL)(dot * inv_std * inv_std / rows);
        ((REAL *)a->dgamma)[c] = (REAL)(dot * inv_std);
        ((REAL *)a->dbeta)[c] = (REAL)sum;
    }
}

QUERNEL_INLINE void FN(norm_apply_line)(REAL *restrict dx, const REAL *restrict dy, const REAL *restrict x,
                                   const REAL *restrict y, const REAL *restrict mean, const REAL *restrict scale,
                                   const REAL *restrict mean_dz, const REAL *restrict slope, ptrdiff_t width, int relu)
{
#pragma omp simd
    for (ptrdiff_t e = 0; e < width; e++) {
        const REAL dz = relu ? (y[e] > 0 ? dy[e] : 0) : dy[e];
        dx[e] = scale[e] * (dz - mean_dz[e] - (x[e] - mean[e]) * slope[e]);
    }
}

static void FN(batch_norm_backward_apply)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct norm_backward_args *a = args;
    const ptrdiff_t C = a->shape.C;
    REAL *mean = scratch, *scale = mean + NORM_BLOCK, *mean_dz = scale + NORM_BLOCK, *slope = mean_dz + NORM_BLOCK;
    const ptrdiff_t last = a->shape.chunks * a->shape.blocks - 1;
    for (ptrdiff_t unit = lo; unit < hi; unit++) { /* last first, as in _normalise */
        const struct FN(norm_piece) p = FN(norm_piece)(&a->shape, last - unit);
        const REAL *coefficient = (const REAL *)a->coefficient + p.c0;
        FN(norm_spread)(mean, coefficient, p.width, C);
        FN(norm_spread)(scale, coefficient + C, p.width, C);
        FN(norm_spread)(mean_dz, coefficient + 2 * C, p.width, C);
        FN(norm_spread)(slope, coefficient + 3 * C, p.width, C);
        for (ptrdiff_t line = p.lines; line >= 0; line--) {
            const ptrdiff_t at = p.first + line * p.stride, width = line < p.lines ? p.width : p.tail;
            const REAL *dy = (const REAL *)a->dy + at, *x = (const REAL *)a->x + at;
            REAL *dx = (REAL *)a->dx + at;
            if (a->relu)
                FN(norm_apply_line)(dx, dy, x, (const REAL *)a->y + at, mean, scale, mean_dz, slope, width, 1);
            else
                FN(norm_apply_line)(dx, dy, x, x, mean, scale, mean_dz, slope, width, 0);
        }
    }
}

static void FN(batch_norm_running)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct norm_running_args *a = args;
    const REAL momentum = (REAL)a->momentum, rest = (REAL)(1 - a->momentum);
    REAL *restrict running_mean = a->running_mean, *restrict running_var = a->running_var;
    const REAL *restrict mean = a->mean, *restrict var = a->var;
    for (ptrdiff_t c = lo; c < hi; c++) {
        running_mean[c] = running_mean[c] * momentum + mean[c] * rest;
        running_var[c] = running_var[c] * momentum + var[c] * rest;
    }
}
