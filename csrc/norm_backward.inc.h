/* norm_backward.inc.h   Gradients of batch normalisation: two sums over all rows, then one pass over the elements. */

static void FN(batch_norm_backward_sums)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct norm_backward_args *a = args;
    struct FN(norm_sums) *t = scratch;
    const ptrdiff_t C = a->shape.C;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const struct FN(norm_piece) p = FN(norm_piece)(&a->shape, unit);
        const size_t bytes = (size_t)(p.width < C ? p.width : C) * sizeof(double);
        const REAL *dy = (const REAL *)a->dy + p.first, *x = (const REAL *)a->x + p.first;
        FN(norm_spread)(t->shift, (const REAL *)a->mean + p.c0, p.width, C);
        if (a->relu)
            FN(norm_sum_piece)(t, &p, x, dy, (const REAL *)a->y + p.first, C, NORM_SUM_DY_RELU);
        else
            FN(norm_sum_piece)(t, &p, x, dy, dy, C, NORM_SUM_DY);
        memcpy(a->partial + p.chunk * 2 * C + p.c0, t->sum, bytes);
        memcpy(a->partial + (p.chunk * 2 + 1) * C + p.c0, t->dot, bytes);
    }
}

/* Gradients and coefficients of channel c from its two sums over all rows. */
QUERNEL_INLINE void FN(norm_gradient)(const struct norm_backward_args *a, ptrdiff_t c, double sum, double dot)
{
    const ptrdiff_t C = a->shape.C;
    const double rows = a->shape.M > 0 ? (double)a->shape.M : 1;
    const double inv_std = ((const REAL *)a->inv_std)[c];
    const double mean = ((const REAL *)a->mean)[c], slope = dot * inv_std * inv_std / rows;
    const REAL centre = FN(norm_centre)(mean, inv_std);
    REAL *coefficient = (REAL *)a->coefficient + c;
    coefficient[0] = centre;
    coefficient[C] = (REAL)(a->gamma ? inv_std * ((const REAL *)a->gamma)[c] : inv_std);
    coefficient[2 * C] = (REAL)(sum / rows - (mean - (double)centre) * slope);
    coefficient[3 * C] = (REAL)slope;
    ((REAL *)a->dgamma)[c] = (REAL)(dot * inv_std);
    ((REAL *)a->dbeta)[c] = (REAL)sum;
}

static void FN(batch_norm_backward_finish)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct norm_backward_args *a = args;
    const ptrdiff_t C = a->shape.C;
    double *restrict sum = scratch, *restrict dot = sum + NORM_BLOCK;
    for (ptrdiff_t c0 = lo; c0 < hi; c0 += NORM_BLOCK) {
        const ptrdiff_t channels = hi - c0 < NORM_BLOCK ? hi - c0 : NORM_BLOCK;
        memset(sum, 0, (size_t)channels * sizeof(double));
        memset(dot, 0, (size_t)channels * sizeof(double));
        for (ptrdiff_t k = 0; k < a->shape.chunks; k++) {
            const double *restrict partial = a->partial + k * 2 * C + c0;
            for (ptrdiff_t c = 0; c < channels; c++) {
                sum[c] += partial[c];
                dot[c] += partial[C + c];
            }
        }
        for (ptrdiff_t c = 0; c < channels; c++) FN(norm_gradient)(a, c0 + c, sum[c], dot[c]);
    }
}

QUERNEL_INLINE vec FN(norm_applied)(const REAL *restrict dy, const REAL *restrict x, const REAL *restrict y,
                                    const REAL *restrict centre, const REAL *restrict scale,
                                    const REAL *restrict offset, const REAL *restrict slope, ptrdiff_t e, ptrdiff_t n,
                                    const int relu, const int centred)
{
    vec dz = FN(load_upto)(dy + e, n, 0), d = FN(load_upto)(x + e, n, 0);
    if (relu) dz = FN(select)(FN(load_upto)(y + e, n, 0) > 0, dz, (vec){0});
    if (centred) d -= FN(load_upto)(centre + e, n, 0);
    return FN(load_upto)(scale + e, n, 0) * (dz - FN(load_upto)(offset + e, n, 0) - d * FN(load_upto)(slope + e, n, 0));
}

QUERNEL_INLINE void FN(norm_apply_line)(REAL *restrict dx, const REAL *restrict dy, const REAL *restrict x,
                                        const REAL *restrict y, const REAL *restrict centre, const REAL *restrict scale,
                                        const REAL *restrict offset, const REAL *restrict slope, ptrdiff_t width,
                                        const int relu, const int centred, int stream)
{
    const ptrdiff_t last = FN(norm_last)(width);
    ptrdiff_t e = 0;
    if (stream && FN(can_stream)(dx))
        for (; e <= width - VL; e += VL)
            FN(stream)(dx + e, FN(norm_applied)(dy, x, y, centre, scale, offset, slope, e, VL, relu, centred));
    for (; e <= width - VL; e += VL)
        FN(store)(dx + e, FN(norm_applied)(dy, x, y, centre, scale, offset, slope, e, VL, relu, centred));
    if (e < width)
        FN(store_upto)(dx + last, FN(norm_applied)(dy, x, y, centre, scale, offset, slope, last, width, relu, centred),
                       width);
}

static void FN(batch_norm_backward_apply)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct norm_backward_args *a = args;
    const ptrdiff_t C = a->shape.C;
    REAL *centre = scratch, *scale = centre + NORM_BLOCK, *offset = scale + NORM_BLOCK, *slope = offset + NORM_BLOCK;
    for (ptrdiff_t unit = hi - 1; unit >= lo; unit--) {
        const struct FN(norm_piece) p = FN(norm_piece)(&a->shape, unit);
        const REAL *coefficient = (const REAL *)a->coefficient + p.c0;
        FN(norm_spread)(centre, coefficient, p.width, C);
        FN(norm_spread)(scale, coefficient + C, p.width, C);
        FN(norm_spread)(offset, coefficient + 2 * C, p.width, C);
        FN(norm_spread)(slope, coefficient + 3 * C, p.width, C);
        const int centred = FN(norm_any)(centre, p.width);
        for (ptrdiff_t line = 0; line <= p.lines; line++) {
            const ptrdiff_t at = p.first + line * p.stride, width = line < p.lines ? p.width : p.tail;
            const REAL *dy = (const REAL *)a->dy + at, *x = (const REAL *)a->x + at;
            const REAL *y = a->relu ? (const REAL *)a->y + at : x;
            REAL *dx = (REAL *)a->dx + at;
            if (a->relu && centred)
                FN(norm_apply_line)(dx, dy, x, y, centre, scale, offset, slope, width, 1, 1, a->stream);
            else if (a->relu)
                FN(norm_apply_line)(dx, dy, x, y, centre, scale, offset, slope, width, 1, 0, a->stream);
            else if (centred)
                FN(norm_apply_line)(dx, dy, x, y, centre, scale, offset, slope, width, 0, 1, a->stream);
            else
                FN(norm_apply_line)(dx, dy, x, y, centre, scale, offset, slope, width, 0, 0, a->stream);
        }
    }
    FN(stream_end)();
}
