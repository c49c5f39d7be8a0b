/* maps.inc.h   Activations, arithmetic, and moving elements. */
static void FN(activation)(int kind, ptrdiff_t n, double size)
{
    REAL *y = FN(blank)(n), *dx = FN(blank)(n), *x = FN(draw)(n), *dy = FN(draw)(n);
    for (ptrdiff_t i = 0; i < n; i++) x[i] *= (REAL)size;
    struct activation_args a = {.out = y, .saved = x, .alpha = 0.25, .stream = n % 2};
    run(THIS, K_activation_forward_linear + kind, &a, n, 0);
    result(THIS, y, n, 2 * size, 16, "activation %d n %td size %g", kind, n, size);
    const int saves_input = kind == ACT_SILU || kind == ACT_GELU || kind == ACT_GELU_TANH;
    a.out = dx, a.dy = dy, a.saved = saves_input ? x : y;
    run(THIS, K_activation_backward_linear + kind, &a, n, 0);
    result(THIS, dx, n, 32 * (1 + (saves_input ? fmin(size * size, 100) : 0)), 32, "activation dx %d n %td size %g",
           kind, n, size);
    done();
}

static void FN(bias_activation)(int kind, ptrdiff_t M, ptrdiff_t C)
{
    const ptrdiff_t rows = 4, chunks = CEIL_DIV(M, rows);
    REAL *dz = FN(blank)(M * C), *dbias = FN(blank)(C), *y = FN(draw)(M * C);
    double *partial = take((size_t)(chunks * C) * sizeof *partial);
    for (ptrdiff_t i = 0; i < M * C; i++) y[i] = y[i] < 0 ? -y[i] : y[i]; /* an output of every one of them */
    const struct bias_activation_args a = {.dz = dz,
                                           .partial = partial,
                                           .dy = FN(draw)(M * C),
                                           .y = y,
                                           .alpha = 0.25,
                                           .kind = kind,
                                           .M = M,
                                           .C = C,
                                           .rows = rows,
                                           .stream = C % 2 == 0};
    const struct reduce_args sum = {
        .y = dbias, .partial = partial, .scale = 1, .joins = REDUCE_SUM, .J = C, .chunks = chunks};
    run(THIS, K_bias_activation_backward, &a, chunks, 0);
    run(THIS, K_reduce_finish, &sum, C, 0);
    result(THIS, dz, M * C, 16, 16, "bias and activation %d %td x %td", kind, M, C);
    result(THIS, dbias, C, 16 * (double)M, 0, "dbias of activation %d %td x %td", kind, M, C);
    done();
}

static void FN(activations)(void)
{
    for (int kind = ACT_LINEAR; kind <= ACT_ELU; kind++) {
        for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) FN(activation)(kind, WIDTHS[i], 3);
        FN(activation)(kind, 301, 0.01);
        FN(activation)(kind, 301, 60);
        if (kind != ACT_SILU && kind != ACT_GELU && kind != ACT_GELU_TANH)
            for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) FN(bias_activation)(kind, 9, WIDTHS[i]);
    }
}

/* A map over (3, n): `step` elements between neighbours of each operand, rows one after the other; 0: one number. */
static struct map_args FN(map)(void *y, ptrdiff_t y_bytes, ptrdiff_t n, ptrdiff_t step_0, ptrdiff_t step_1)
{
    const ptrdiff_t real = sizeof(REAL), steps[] = {step_0, step_1, 1};
    struct map_args m = {.y = y, .dims = 2, .shape = {3, n}, .y_stride_bytes = {n * y_bytes, y_bytes}, .stream = n > 8};
    for (int o = 0; o < MAP_OPERANDS; o++) {
        const ptrdiff_t bytes = o == 2 ? 1 : real;
        m.stride_bytes[o][0] = n * steps[o] * bytes;
        m.stride_bytes[o][1] = steps[o] * bytes;
    }
    return m;
}

/* Numbers of both signs, of any size up to `size`; for logarithms and roots positive ones. */
static REAL *FN(operand)(ptrdiff_t n, double size, int positive)
{
    REAL *x = FN(draw)(n);
    for (ptrdiff_t i = 0; i < n; i++) x[i] = (REAL)(positive && x[i] < 0 ? -x[i] : x[i]) * (REAL)size;
    return x;
}

static void FN(unary)(int id, ptrdiff_t n, ptrdiff_t step, double size)
{
    const int positive = id == K_unary_log || id == K_unary_log1p || id == K_unary_sqrt;
    REAL *y = FN(blank)(3 * n);
    struct map_args m = FN(map)(y, sizeof(REAL), n, step, 0);
    m.x[0] = FN(operand)(3 * n * step + 1, size, positive);
    m.p = -0.5, m.q = 0.75; /* clip's */
    run(THIS, id, &m, 3 * n, 0);
    result(THIS, y, 3 * n, id == K_unary_sin || id == K_unary_cos ? 2 : 0, 8, "unary %d n %td step %td size %g",
           id - K_unary_negative, n, step, size);
    done();
}

static void FN(binary)(int id, ptrdiff_t n, ptrdiff_t step_a, ptrdiff_t step_b)
{
    REAL *y = FN(blank)(3 * n);
    struct map_args m = FN(map)(y, sizeof(REAL), n, step_a, step_b);
    m.x[0] = FN(operand)(3 * n * step_a + 1, 3, id == K_binary_power);
    m.x[1] = FN(operand)(3 * n * step_b + 1, 3, 0);
    run(THIS, id, &m, 3 * n, 0);
    result(THIS, y, 3 * n, 0, 8, "binary %d n %td steps %td %td", id - K_binary_add, n, step_a, step_b);
    done();
}

static void FN(condition)(int id, ptrdiff_t n, ptrdiff_t step_a, ptrdiff_t step_b)
{
    signed char *flags = take((size_t)(3 * n));
    int64_t *held = take((size_t)(3 * n) * sizeof *held);
    REAL *y = FN(blank)(3 * n);
    struct map_args m = FN(map)(flags, 1, n, step_a, step_b);
    REAL *a = FN(operand)(3 * n * step_a + 1, 3, 0), *b = FN(operand)(3 * n * step_b + 1, 3, 0);
    for (ptrdiff_t i = 0; i < 3 * n && step_a && step_b; i += 3) b[i * step_b] = a[i * step_a];
    m.x[0] = a, m.x[1] = b;
    run(THIS, id, &m, 3 * n, 0);
    for (ptrdiff_t i = 0; i < 3 * n; i++) held[i] = flags[i];
    result(-1, held, 3 * n, 0, 0, "compare %d n %td steps %td %td %d", id - K_compare_equal, n, step_a, step_b, THIS);
    m = FN(map)(y, sizeof(REAL), n, step_a, step_b);
    m.x[0] = a, m.x[1] = b, m.x[2] = flags;
    run(THIS, K_where, &m, 3 * n, 0);
    result(THIS, y, 3 * n, 0, 0, "where %d n %td steps %td %td", id - K_compare_equal, n, step_a, step_b);
    done();
}

static void FN(maps)(void)
{
    const double limits[] = {0.01, 3, 80};
    for (int id = K_unary_negative; id <= K_clip; id++)
        for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++)
            for (ptrdiff_t step = 0; step <= 3; step++) FN(unary)(id, WIDTHS[i], step, limits[i % 3]);
    FN(unary)(K_unary_sin, 301, 1, 20000); /* beyond what vector code reduces */
    FN(unary)(K_unary_cos, 301, 1, 20000);
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++)
        for (ptrdiff_t a = 0; a <= 2; a++)
            for (ptrdiff_t b = 0; b <= 2; b++) {
                for (int id = K_binary_add; id <= K_binary_minimum; id++) FN(binary)(id, WIDTHS[i], a, b);
                for (int id = K_compare_equal; id <= K_compare_greater_equal; id++) FN(condition)(id, WIDTHS[i], a, b);
            }
}

/* Elements of 1, 2, 4 and 8 bytes that count from 0 on: rows with gaps, a fill, a transpose, a gather. */
static void FN(moving)(int log2_bytes, ptrdiff_t n)
{
    const ptrdiff_t bytes = 1 << log2_bytes, rows = 3, gap = 2 * bytes, total = rows * n * bytes;
    unsigned char *x = take((size_t)(2 * total + 8)), *y = take((size_t)total);
    int64_t *seen = take((size_t)total * sizeof *seen), *indices = take((size_t)n * sizeof *indices);
    for (ptrdiff_t i = 0; i < 2 * total + 8; i++) x[i] = (unsigned char)below(256);
    for (ptrdiff_t i = 0; i < n; i++) indices[i] = below(rows);
#define SHOW(what)                                                                                                     \
    for (ptrdiff_t i = 0; i < total; i++) seen[i] = y[i];                                                              \
    result(-1, seen, total, 0, 0, what " %td bytes n %td %d", bytes, n, THIS)
    struct map_args m = {.y = y,
                         .x = {x},
                         .dims = 2,
                         .shape = {rows, n},
                         .y_stride_bytes = {n * bytes, bytes},
                         .stride_bytes = {{n * gap, gap}}};
    run(THIS, K_move_1 + log2_bytes, &m, rows * n, 0);
    SHOW("move");
    m.stride_bytes[0][0] = bytes, m.stride_bytes[0][1] = rows * bytes; /* x (n, rows), turned */
    run(THIS, K_transpose_1 + log2_bytes, &m, CEIL_DIV(rows, TRANSPOSE_BLOCK) * CEIL_DIV(n, TRANSPOSE_BLOCK), 0);
    SHOW("transpose");
    memcpy(&m.p, x, sizeof m.p);
    run(THIS, K_fill_1 + log2_bytes, &m, rows * n, 0);
    SHOW("fill");
    const struct gather_args g = {.y = y, .x = x, .indices = indices, .A = rows, .n = n, .J = 3};
    run(THIS, K_gather_1 + log2_bytes, &g, n, 0); /* n x 3 elements */
    SHOW("gather");
#undef SHOW
    done();
}

static void FN(scatter)(ptrdiff_t A, ptrdiff_t n, ptrdiff_t J)
{
    const ptrdiff_t O = 2, blocks = CEIL_DIV(J, SCATTER_WIDTH);
    REAL *dx = FN(blank)(O * A * J);
    int64_t *start = take((size_t)(A + 1) * sizeof *start), *order = take((size_t)n * sizeof *order);
    int64_t *indices = take((size_t)n * sizeof *indices);
    for (ptrdiff_t i = 0; i < n; i++) indices[i] = below(A);
    const struct scatter_args s = {.dx = dx,
                                   .start = start,
                                   .order = order,
                                   .dy = FN(draw)(O * n * J),
                                   .indices = indices,
                                   .A = A,
                                   .n = n,
                                   .J = J,
                                   .blocks = blocks};
    run(THIS, K_scatter_sort, &s, 1, 0);
    run(THIS, K_scatter_add, &s, O * A * blocks, 0);
    result(THIS, dx, O * A * J, 0, 0, "scatter %td %td %td", A, n, J);
    done();
}

static void FN(moves)(void)
{
    for (int log2_bytes = 0; log2_bytes < 4; log2_bytes++)
        for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) FN(moving)(log2_bytes, WIDTHS[i]);
    for (int log2_bytes = 0; log2_bytes < 4; log2_bytes++) FN(moving)(log2_bytes, 300);
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) FN(scatter)(5, 40, WIDTHS[i]);
    FN(scatter)(3, 7, 1500);
}
