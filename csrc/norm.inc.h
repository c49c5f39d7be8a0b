/* norm.inc.h   See norm.h for the letters, lines, chunks, blocks, and what a unit is.
 *
 * Sums run in REAL over NORM_RUN lines and go on in double: a float sum of 32 terms is good to some 3e-7 of their size,
 * and sums in double all the way would take twice the time. Statistics are taken relative to a shift, the mean of the
 * chunk's first lines, so that squares stay small however large the mean is: if the shift lies D from the chunk's mean,
 * then those first lines alone bring D^2 into the variance, and what is lost to cancellation is bounded by
 * (lines of a chunk / NORM_HEAD) * 3e-7. */

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

/* Scratch of the summing kernels: by column of a block. */
struct FN(norm_sums) {
    double sum[NORM_BLOCK], dot[NORM_BLOCK];
    REAL run_sum[NORM_BLOCK], run_dot[NORM_BLOCK]; /* of the present NORM_RUN lines */
    REAL shift[NORM_BLOCK];
};

/* run_sum += g, run_dot += g * d over `rows` lines, where d = x - shift and g is d, dy, or dy where y > 0. */
QUERNEL_INLINE void FN(norm_rows)(REAL *restrict run_sum, REAL *restrict run_dot, const REAL *restrict shift,
                                  const REAL *restrict x, const REAL *restrict dy, const REAL *restrict y,
                                  const ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t width, const enum norm_sum kind)
{
#pragma omp simd
    for (ptrdiff_t e = 0; e < width; e++) {
        REAL sum = run_sum[e], dot = run_dot[e];
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t at = r * stride + e;
            const REAL d = x[at] - shift[e];
            const REAL g = kind == NORM_SUM_X ? d : kind == NORM_SUM_DY ? dy[at] : y[at] > 0 ? dy[at] : 0;
            sum += g;
            dot += g * d;
        }
        run_sum[e] = sum;
        run_dot[e] = dot;
    }
}

QUERNEL_INLINE void FN(norm_collect)(struct FN(norm_sums) * t, ptrdiff_t width)
{
    for (ptrdiff_t e = 0; e < width; e++) {
        t->sum[e] += t->run_sum[e];
        t->dot[e] += t->run_dot[e];
        t->run_sum[e] = t->run_dot[e] = 0;
    }
}

/* t->sum and t->dot over `lines` of x (and dy, y, where `kind` needs them): NORM_STREAMS lines at a time, from as many
 * places at equal distances, so that each place is read straight on. */
QUERNEL_INLINE void FN(norm_sum_lines)(struct FN(norm_sums) * t, const REAL *x, const REAL *dy, const REAL *y,
                                       ptrdiff_t lines, ptrdiff_t stride, ptrdiff_t width, const enum norm_sum kind)
{
    const ptrdiff_t each = lines / NORM_STREAMS;
    memset(t->run_sum, 0, (size_t)width * sizeof(REAL));
    memset(t->run_dot, 0, (size_t)width * sizeof(REAL));
    for (ptrdiff_t line = 0, at = 0; line < each; line++, at += stride) {
        FN(norm_rows)(t->run_sum, t->run_dot, t->shift, x + at, dy + at, y + at, NORM_STREAMS, each * stride, width,
                      kind);
        if ((line + 1) % (NORM_RUN / NORM_STREAMS) == 0) FN(norm_collect)(t, width);
    }
    for (ptrdiff_t line = each * NORM_STREAMS; line < lines; line++) {
        const ptrdiff_t at = line * stride;
        FN(norm_rows)(t->run_sum, t->run_dot, t->shift, x + at, dy + at, y + at, 1, stride, width, kind);
    }
    FN(norm_collect)(t, width);
}

/* The sums of a piece, from lines to channels. */
QUERNEL_INLINE void FN(norm_sum_piece)(struct FN(norm_sums) * t, const struct FN(norm_piece) * p, const REAL *x,
                                       const REAL *dy, const REAL *y, ptrdiff_t C, const enum norm_sum kind)
{
    const ptrdiff_t rest = p->lines * p->stride;
    memset(t->sum, 0, (size_t)p->width * sizeof(double));
    memset(t->dot, 0, (size_t)p->width * sizeof(double));
    FN(norm_sum_lines)(t, x, dy, y, p->lines, p->stride, p->width, kind);
    FN(norm_sum_lines)(t, x + rest, dy + rest, y + rest, 1, p->width, p->tail, kind);
    FN(norm_fold)(t->sum, p->width, C);
    FN(norm_fold)(t->dot, p->width, C);
}

static void FN(batch_norm_statistics)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct norm_forward_args *a = args;
    struct FN(norm_sums) *t = scratch;
    const ptrdiff_t C = a->shape.C;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        struct FN(norm_piece) p = FN(norm_piece)(&a->shape, unit), head = p;
        const ptrdiff_t channels = p.width < C ? p.width : C; /* of this block */
        const REAL *x = (const REAL *)a->x + p.first;
        memset(t->shift, 0, (size_t)p.width * sizeof(REAL));
        head.lines = p.lines < NORM_HEAD ? p.lines : NORM_HEAD;
        head.tail = 0;
        if (head.lines > 0) {
            FN(norm_sum_piece)(t, &head, x, x, x, C, NORM_SUM_X);
            for (ptrdiff_t c = 0; c < channels; c++)
                t->shift[c] = (REAL)(t->sum[c] / (double)(head.lines * a->shape.R));
        } else { /* M < R */
            memcpy(t->shift, x, (size_t)channels * sizeof(REAL));
        }
        FN(norm_repeat)(t->shift, p.width, C);
        FN(norm_sum_piece)(t, &p, x, x, x, C, NORM_SUM_X);

        double *partial = a->partial + p.chunk * 3 * C + p.c0;
        for (ptrdiff_t c = 0; c < channels; c++) {
            partial[c] = t->shift[c];
            partial[C + c] = t->sum[c];
            partial[2 * C + c] = t->dot[c];
        }
    }
}

/* What is subtracted from x before it is scaled: the mean, or nothing where the mean is so small against the deviation
 * that its share can go into the offset without loss. */
QUERNEL_INLINE REAL FN(norm_centre)(double mean, double scale)
{
    return fabs(mean * scale) > NORM_NEAR ? (REAL)mean : 0;
}

/* What _normalise needs of channel c. The part of the mean that the centre cannot hold goes into the offset. */
QUERNEL_INLINE void FN(norm_coefficient)(const struct norm_forward_args *a, ptrdiff_t c, double mean, double inv_std)
{
    const ptrdiff_t C = a->shape.C;
    const double scale = a->gamma ? inv_std * ((const REAL *)a->gamma)[c] : inv_std;
    const double beta = a->beta ? ((const REAL *)a->beta)[c] : 0;
    const REAL centre = FN(norm_centre)(mean, scale);
    REAL *coefficient = (REAL *)a->coefficient + c;
    coefficient[0] = centre;
    coefficient[C] = (REAL)scale;
    coefficient[2 * C] = (REAL)(beta - (mean - (double)centre) * scale);
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
            const double inverse = 1 / rows, weight = rows / (before + rows);
#pragma omp simd
            for (ptrdiff_t c = 0; c < channels; c++) {
                const double sum = partial[C + c], square = partial[2 * C + c] - sum * sum * inverse;
                const double delta = partial[c] + sum * inverse - mean[c];
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

QUERNEL_INLINE int FN(norm_any)(const REAL *centre, ptrdiff_t channels)
{
    int any = 0;
    for (ptrdiff_t c = 0; c < channels; c++) any |= centre[c] != 0;
    return any;
}

/* Where a line's last vector begins: moved back over elements already done where it would stick out. */
QUERNEL_INLINE ptrdiff_t FN(norm_last)(ptrdiff_t width) { return width < VL ? 0 : width - VL; }

/* What becomes of a line's elements from e on; n < VL if they are fewer. Without `centred` all of centre is 0; leaving
 * it out then changes no bit, and saves a load in a loop of few. */
QUERNEL_INLINE vec FN(norm_normalised)(const REAL *restrict x, const REAL *restrict centre, const REAL *restrict scale,
                                       const REAL *restrict offset, ptrdiff_t e, ptrdiff_t n, const int relu,
                                       const int centred)
{
    vec z = FN(load_upto)(x + e, n, 0);
    if (centred) z -= FN(load_upto)(centre + e, n, 0);
    z = z * FN(load_upto)(scale + e, n, 0) + FN(load_upto)(offset + e, n, 0);
    return relu ? FN(select)(z < 0, (vec){0}, z) : z;
}

QUERNEL_INLINE void FN(norm_normalise_line)(REAL *restrict y, const REAL *restrict x, const REAL *restrict centre,
                                            const REAL *restrict scale, const REAL *restrict offset, ptrdiff_t width,
                                            const int relu, const int centred, int stream)
{
    const ptrdiff_t last = FN(norm_last)(width);
    ptrdiff_t e = 0;
    if (stream && FN(can_stream)(y))
        for (; e <= width - VL; e += VL)
            FN(stream)(y + e, FN(norm_normalised)(x, centre, scale, offset, e, VL, relu, centred));
    for (; e <= width - VL; e += VL)
        FN(store)(y + e, FN(norm_normalised)(x, centre, scale, offset, e, VL, relu, centred));
    if (e < width)
        FN(store_upto)(y + last, FN(norm_normalised)(x, centre, scale, offset, last, width, relu, centred), width);
}

static void FN(batch_norm_normalise)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct norm_forward_args *a = args;
    const ptrdiff_t C = a->shape.C;
    REAL *centre = scratch, *scale = centre + NORM_BLOCK, *offset = scale + NORM_BLOCK;
    for (ptrdiff_t unit = hi - 1; unit >= lo; unit--) {
        const struct FN(norm_piece) p = FN(norm_piece)(&a->shape, unit);
        const REAL *coefficient = (const REAL *)a->coefficient + p.c0;
        FN(norm_spread)(centre, coefficient, p.width, C);
        FN(norm_spread)(scale, coefficient + C, p.width, C);
        FN(norm_spread)(offset, coefficient + 2 * C, p.width, C);
        const int centred = FN(norm_any)(centre, p.width);
        for (ptrdiff_t line = 0; line <= p.lines; line++) {
            const ptrdiff_t at = p.first + line * p.stride, width = line < p.lines ? p.width : p.tail;
            const REAL *x = (const REAL *)a->x + at;
            REAL *y = (REAL *)a->y + at;
            if (a->relu && centred)
                FN(norm_normalise_line)(y, x, centre, scale, offset, width, 1, 1, a->stream);
            else if (a->relu)
                FN(norm_normalise_line)(y, x, centre, scale, offset, width, 1, 0, a->stream);
            else if (centred)
                FN(norm_normalise_line)(y, x, centre, scale, offset, width, 0, 1, a->stream);
            else
                FN(norm_normalise_line)(y, x, centre, scale, offset, width, 0, 0, a->stream);
        }
    }
    FN(stream_end)();
}

#include "norm_backward.inc.h"

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
