/* steps.inc.h   Optimizers, clipping, random numbers. */
enum { FN(ARRAYS) = 3 };

/* Three parameters, the middle one empty, the last longer than a chunk. */
static ptrdiff_t FN(parameters)(struct optim_array *arrays, ptrdiff_t small)
{
    const ptrdiff_t sizes[] = {small, 0, small + OPTIM_CHUNK};
    ptrdiff_t chunks = 0;
    for (int i = 0; i < FN(ARRAYS); i++) {
        const ptrdiff_t n = sizes[i];
        struct optim_array row = {.p = FN(draw)(n), .g = FN(draw)(n), .size = n, .first = chunks};
        for (int s = 0; s < OPTIM_STATES; s++) {
            REAL *state = FN(draw)(n);
            for (ptrdiff_t j = 0; j < n; j++) /* squares, well above the square of the mean, and a mean */
                state[j] = s < 2 ? state[j] / 4 + (REAL)0.5 : state[j] / 8;
            row.state[s] = state;
        }
        arrays[i] = row;
        chunks += CEIL_DIV(n, OPTIM_CHUNK);
    }
    return chunks;
}

static void FN(show)(const struct optim_array *arrays, double few, const char *what, ptrdiff_t small)
{
    for (int i = 0; i < FN(ARRAYS); i++) {
        result(THIS, arrays[i].p, arrays[i].size, few, few, "%s p %td", what, small);
        result(THIS, arrays[i].g, arrays[i].size, few, few, "%s g %td", what, small);
        for (int s = 0; s < OPTIM_STATES; s++)
            if (arrays[i].state[s])
                result(THIS, arrays[i].state[s], arrays[i].size, few, few, "%s state %d %td", what, s, small);
    }
}

static void FN(step)(int id, const double *hyper, int states, ptrdiff_t small, const char *what)
{
    struct optim_array arrays[FN(ARRAYS)];
    const ptrdiff_t chunks = FN(parameters)(arrays, small);
    for (int i = 0; i < FN(ARRAYS); i++)
        for (int s = states; s < OPTIM_STATES; s++) arrays[i].state[s] = NULL;
    const struct optim_args a = {.arrays = arrays, .count = FN(ARRAYS), .hyper = hyper};
    run(THIS, id, &a, chunks, 0);
    FN(show)(arrays, 16, what, small);
    done();
}

static void FN(clip)(int global, double max_norm, ptrdiff_t small)
{
    struct optim_array arrays[FN(ARRAYS)];
    const ptrdiff_t chunks = FN(parameters)(arrays, small), norms = global ? 1 : FN(ARRAYS);
    double *norm = take(FN(ARRAYS) * sizeof *norm);
    const struct norm_args a = {.arrays = arrays,
                                .count = FN(ARRAYS),
                                .chunks = chunks,
                                .partial = take((size_t)chunks * sizeof(double)),
                                .norm = norm,
                                .max_norm = max_norm,
                                .global = global};
    run(THIS, K_norm_partial, &a, chunks, 0);
    run(THIS, K_norm_combine, &a, norms, 0);
    run(THIS, K_norm_scale, &a, chunks, 0);
    result(F64, norm, norms, 0, OPTIM_CHUNK, "norm global %d %td %d", global, small, THIS);
    FN(show)(arrays, 4, "clip by norm", small);
    done();
}

static void FN(optimizers)(void)
{
    static const double sgd[] = {0.1, 0.9, 1, 0.01}, rmsprop[] = {0.01, 0.9, 1e-3, 0.5, 0.01};
    static const double adam[] = {0.01, 0.9, 0.99, 1e-3, 0.01, 0, 5}, adamw[] = {0.01, 0.9, 0.99, 1e-3, 0.01, 1, 5};
    static const double limits[] = {-0.5, 0.25};
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i += 2)
        for (int states = 0; states <= 3; states++) {
            const ptrdiff_t n = WIDTHS[i];
            if (states < 2) FN(step)(K_sgd_update, sgd, states, n, "sgd");
            if (states >= 1) FN(step)(K_rmsprop_update, rmsprop, states, n, "rmsprop");
            if (states >= 2) FN(step)(K_adam_update, adam, states, n, "adam");
            if (states >= 2) FN(step)(K_adam_update, adamw, states, n, "adamw");
            FN(step)(K_clip_by_value, limits, 0, n, "clip by value");
            FN(clip)(states % 2, states < 2 ? 1 : 1e6, n);
        }
}

/* Bits depend on seed, offset and place alone: dropout and uniform numbers in [0, 1) agree to the last one. */
static void FN(random)(ptrdiff_t n)
{
    uint64_t *state = take(2 * sizeof *state);
    state[0] = 0x123456789ABCDEFu + (uint64_t)n, state[1] = 0xFFFFFFFFu - 3; /* the counter's lower word overflows */
    REAL *y = FN(blank)(n);
    const ptrdiff_t units = CEIL_DIV(n, RANDOM_CHUNK);
    const struct dropout_args d = {
        .y = y, .x = FN(draw)(n), .state = state, .size = n, .threshold = 1288490188u, .scale = 1.25};
    run(THIS, K_dropout, &d, units, 0);
    result(THIS, y, n, 0, 0, "dropout %td", n);
    struct random_args a = {.y = y, .state = state, .size = n, .from = 0, .span = 1, .last = 1};
    run(THIS, K_random_uniform, &a, units, 0);
    result(THIS, y, n, 0, 0, "uniform %td", n);
    a.from = 0.5, a.span = 2;
    run(THIS, K_random_normal, &a, units, 0);
    result(THIS, y, n, 32, 8, "normal %td", n);
    done();
}

static void FN(randoms)(void)
{
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) FN(random)(WIDTHS[i]);
    FN(random)(RANDOM_CHUNK + 37);
}
