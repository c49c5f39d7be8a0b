/* normalisation.inc.h   Batch normalisation, cut as kernels/norm.pyx cuts it but finer. */
static struct norm_shape FN(cut)(ptrdiff_t M, ptrdiff_t C, ptrdiff_t chunk_lines)
{
    struct norm_shape s = {.M = M, .C = C, .R = 1, .chunk_lines = chunk_lines, .blocks = CEIL_DIV(C, NORM_BLOCK)};
    while (s.R * C < NORM_LINE) s.R *= 2;
    s.lines = M / s.R;
    s.chunks = s.lines > chunk_lines ? CEIL_DIV(s.lines, chunk_lines) : 1;
    return s;
}

static void FN(norm)(ptrdiff_t M, ptrdiff_t C, ptrdiff_t chunk_lines, double mean, int relu)
{
    const struct norm_shape shape = FN(cut)(M, C, chunk_lines);
    const ptrdiff_t units = shape.chunks * shape.blocks, n = M * C;
    const double terms = (double)M + 32, shifted = terms * (1 + fabs(mean)), of_x = shifted * 40; /* inv_std < 40 */
    REAL *x = FN(draw)(n), *y = FN(blank)(n), *dx = FN(blank)(n), *gamma = FN(draw)(C);
    REAL *mean_ = FN(blank)(C), *var = FN(blank)(C), *inv_std = FN(blank)(C), *dgamma = FN(blank)(C),
         *dbeta = FN(blank)(C);
    for (ptrdiff_t i = 0; i < n; i++) x[i] += (REAL)mean;
    struct norm_forward_args f = {.y = y,
                                  .mean = mean_,
                                  .var = var,
                                  .inv_std = inv_std,
                                  .partial = take((size_t)(shape.chunks * 3 * C) * sizeof(double)),
                                  .coefficient = FN(blank)(3 * C),
                                  .x = x,
                                  .gamma = gamma,
                                  .beta = FN(draw)(C),
                                  .shape = shape,
                                  .epsilon = 1e-3,
                                  .relu = relu,
                                  .stream = relu};
    run(THIS, K_batch_norm_statistics, &f, units, NORM_SCRATCH_BYTES);
    run(THIS, K_batch_norm_finish, &f, C, NORM_SCRATCH_BYTES);
    run(THIS, K_batch_norm_normalise, &f, units, NORM_SCRATCH_BYTES);
    result(THIS, y, n, of_x, 8, "norm %td x %td mean %g relu %d", M, C, mean, relu);
    result(THIS, mean_, C, shifted, 0, "norm mean %td x %td", M, C);
    result(THIS, var, C, shifted, 0, "norm var %td x %td", M, C);
    result(THIS, inv_std, C, 0, of_x * 40, "norm inv_std %td x %td", M, C);

    const struct norm_backward_args b = {.dx = dx,
                                         .dgamma = dgamma,
                                         .dbeta = dbeta,
                                         .partial = take((size_t)(shape.chunks * 2 * C) * sizeof(double)),
                                         .coefficient = FN(blank)(4 * C),
                                         .dy = FN(draw)(n),
                                         .x = x,
                                         .y = y,
                                         .gamma = gamma,
                                         .mean = mean_,
                                         .inv_std = inv_std,
                                         .shape = shape,
                                         .relu = relu,
                                         .stream = relu};
    run(THIS, K_batch_norm_backward_sums, &b, units, NORM_SCRATCH_BYTES);
    run(THIS, K_batch_norm_backward_finish, &b, C, NORM_SCRATCH_BYTES);
    run(THIS, K_batch_norm_backward_apply, &b, units, NORM_SCRATCH_BYTES);
    result(THIS, dx, n, of_x * 40, 8, "norm dx %td x %td mean %g relu %d", M, C, mean, relu);
    result(THIS, dgamma, C, of_x * (double)M, 8, "norm dgamma %td x %td", M, C);
    result(THIS, dbeta, C, terms, 8, "norm dbeta %td x %td", M, C);

    REAL *moving_mean = FN(draw)(C), *moving_var = FN(draw)(C);
    for (ptrdiff_t c = 0; c < C; c++) moving_var[c] += (REAL)1.5;
    const struct norm_running_args r = {
        .running_mean = moving_mean, .running_var = moving_var, .mean = gamma, .var = gamma, .momentum = 0.9};
    run(THIS, K_batch_norm_running, &r, C, 0);
    result(THIS, moving_mean, C, 4, 0, "norm running mean %td", C);
    result(THIS, moving_var, C, 4, 4, "norm running var %td", C);
    f.mean = moving_mean, f.var = moving_var, f.inv_std = NULL;
    run(THIS, K_batch_norm_coefficients, &f, C, 0);
    run(THIS, K_batch_norm_normalise, &f, units, NORM_SCRATCH_BYTES);
    result(THIS, y, n, 16 * (1 + fabs(mean)), 8, "norm inference %td x %td mean %g relu %d", M, C, mean, relu);
    done();
}

static void FN(norms)(void)
{
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) {
        FN(norm)(6, WIDTHS[i], 1, 0, i % 2);
        FN(norm)(WIDTHS[i] + 1, 5, 1, 0, i % 2);
    }
    FN(norm)(311, 1, 1, 0, 0);
    FN(norm)(700, 67, 3, 0, 1);
    FN(norm)(300, 19, 2, 30, 0); /* a mean far from 0 */
    FN(norm)(9, 700, 2, 0, 1);   /* blocks of columns */
}
