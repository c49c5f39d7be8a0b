/* products.inc.h   Matrix products and what is made of them. With inputs in (-1, 1), a sum of K products is off by at
 * most K eps. */

/* B (K, N) in panels; `transposed`: it lies as (N, K). */
static REAL *FN(packed)(const REAL *b, ptrdiff_t batch, ptrdiff_t K, ptrdiff_t N, int transposed)
{
    const ptrdiff_t cols = table->tile_cols[THIS], panels = CEIL_DIV(N, cols);
    REAL *packed = FN(blank)(batch * panels * K * cols);
    const struct gemm_pack_args pack = {.packed = packed,
                                        .b = b,
                                        .b_batch = K * N,
                                        .b_k = transposed ? 1 : N,
                                        .b_n = transposed ? K : 1,
                                        .K = K,
                                        .N = N};
    run(THIS, K_gemm_pack, &pack, batch * panels, 0);
    return packed;
}

static void FN(product)(ptrdiff_t M, ptrdiff_t K, ptrdiff_t N, enum how how, int copy_a, int activation)
{
    const ptrdiff_t cols = table->tile_cols[THIS], batch = 2, row_block = 5, col_block = 5 * cols;
    REAL *c = FN(blank)(batch * M * N);
    const REAL *b = FN(draw)(batch * K * N);
    struct gemm_args g = {.c = c,
                          .a = FN(draw)(batch * M * K),
                          .bias = FN(draw)(N),
                          .c_batch = M * N,
                          .c_m = N,
                          .a_batch = M * K,
                          .a_m = copy_a > 1 ? 1 : K,
                          .a_k = copy_a > 1 ? M : 1,
                          .M = M,
                          .N = N,
                          .K = K,
                          .row_block = row_block,
                          .col_block = col_block,
                          .k_block = K > 40 ? GEMM_K_BLOCK : 8,
                          .k_slice = K,
                          .slices = 1,
                          .copy_a = copy_a > 0,
                          .activation = activation,
                          .alpha = 0.25};
    if (how == IN_PLACE) {
        g.b = b, g.b_k = N, g.b_n = 1, g.b_batch = K * N, g.b_from = GEMM_B_IN_PLACE;
    } else if (how == BY_BLOCK) {
        g.b = b, g.b_k = N, g.b_n = 1, g.b_batch = K * N, g.b_from = GEMM_B_BY_BLOCK;
    } else {
        g.b = FN(packed)(b, batch, K, N, how == TRANSPOSED);
        g.b_batch = CEIL_DIV(N, cols) * K * cols;
    }
    run(THIS, K_gemm_block, &g, batch * CEIL_DIV(M, row_block) * CEIL_DIV(N, col_block),
        FN(scratch)((row_block + 32) * (K + 64) + GEMM_K_BLOCK * cols));
    result(THIS, c, batch * M * N, (double)K + 8, 8, "product %td x %td x %td how %d copy %d activation %d", M, K, N,
           how, copy_a, activation);
    done();
}

/* A long sum in slices, added up afterwards to what is there. */
static void FN(sliced_product)(ptrdiff_t M, ptrdiff_t K, ptrdiff_t N)
{
    const ptrdiff_t cols = table->tile_cols[THIS], slices = 3;
    REAL *partial = FN(blank)(slices * M * N), *c = FN(draw)(M * N);
    struct gemm_args g = {.c = partial,
                          .a = FN(draw)(M * K),
                          .c_slice = M * N,
                          .c_m = N,
                          .a_m = K,
                          .a_k = 1,
                          .M = M,
                          .N = N,
                          .K = K,
                          .row_block = M,
                          .col_block = 2 * cols,
                          .k_block = GEMM_K_BLOCK,
                          .k_slice = CEIL_DIV(K, slices),
                          .slices = slices};
    g.b = FN(packed)(FN(draw)(K * N), 1, K, N, 0);
    run(THIS, K_gemm_block, &g, slices * CEIL_DIV(N, 2 * cols), 0);
    const struct gemm_combine_args sum = {.c = c,
                                          .partial = partial,
                                          .bias = FN(draw)(N),
                                          .c_m = N,
                                          .slice = M * N,
                                          .N = N,
                                          .slices = slices,
                                          .add = 1,
                                          .activation = ACT_TANH};
    run(THIS, K_gemm_combine, &sum, M, 0);
    result(THIS, c, M * N, (double)K + 8, 8, "sliced product %td x %td x %td", M, K, N);
    done();
}

static void FN(products)(void)
{
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) {
        const ptrdiff_t n = WIDTHS[i];
        FN(product)(n, 5, 3, PACKED, 0, ACT_LINEAR);
        FN(product)(3, n, 5, TRANSPOSED, 1, ACT_RELU);
        FN(product)(13, 6, n, PACKED, 2, ACT_SIGMOID);
        FN(product)(7, n, n, TRANSPOSED, 0, ACT_ELU);
        FN(sliced_product)(3, 40, n);
    }
    FN(product)(12, 7, 64, IN_PLACE, 0, ACT_LEAKY_RELU);
    FN(product)(29, 700, 32, IN_PLACE, 1, ACT_SOFTPLUS); /* longer than one run of K */
    FN(product)(29, 700, 37, BY_BLOCK, 1, ACT_RELU);
    FN(product)(9, 33, 17, BY_BLOCK, 2, ACT_LINEAR);
    FN(product)(29, 700, 33, PACKED, 2, ACT_GELU);
    for (ptrdiff_t M = 1; M < 5; M++) { /* few rows: tiles of several panels, and what is left beside them */
        FN(product)(M, 33, 317, PACKED, 0, ACT_LINEAR);
        FN(product)(M, 21, 299, IN_PLACE, 0, ACT_RELU);
    }
    FN(product)(3, 0, 5, PACKED, 0, ACT_SILU);
    FN(product)(0, 4, 5, PACKED, 0, ACT_TANH);
}

static void FN(lstm)(ptrdiff_t N, ptrdiff_t T, ptrdiff_t C, ptrdiff_t U, int packed, int reverse, int ragged)
{
    const ptrdiff_t Z = 4 * U, states = N * T * U;
    const double few = 8.0 * (double)(T + 1) * (double)(U + 8), growth = few * pow(4, (double)T);
    REAL *recurrent = FN(draw)(U * Z);
    for (ptrdiff_t i = 0; i < U * Z; i++)
        recurrent[i] /= (REAL)U; /* so that a step does not enlarge what comes to it */
    const REAL *h0 = FN(draw)(N * U), *c0 = FN(draw)(N * U);
    REAL *h = FN(blank)(N * U), *c = FN(blank)(N * U), *gates = FN(draw)(N * T * Z);
    REAL *h_seq = FN(blank)(states), *c_seq = FN(blank)(states);
    int64_t *lengths = take((size_t)N * sizeof *lengths);
    for (ptrdiff_t n = 0; n < N; n++) lengths[n] = below(T + 1);
    memcpy(h, h0, (size_t)(N * U) * sizeof(REAL));
    memcpy(c, c0, (size_t)(N * U) * sizeof(REAL));
    const struct lstm_forward_args f = {.h_seq = h_seq,
                                        .c_seq = c_seq,
                                        .h = h,
                                        .c = c,
                                        .gates = gates,
                                        .recurrent = packed ? FN(packed)(recurrent, 1, U, Z, 0) : recurrent,
                                        .lengths = ragged ? lengths : NULL,
                                        .T = T,
                                        .U = U,
                                        .packed = packed,
                                        .reverse = reverse};
    run(THIS, K_lstm_forward, &f, N, FN(scratch)(LSTM_SCRATCH(U)));
    result(THIS, h_seq, states, few, few, "lstm states %td %td %td packed %d reverse %d ragged %d", N, T, U, packed,
           reverse, ragged);
    result(THIS, c_seq, states, few, few, "lstm cells %td %td %td", N, T, U);
    result(THIS, gates, N * T * Z, few, few, "lstm gates %td %td %td", N, T, U);

    REAL *dz = FN(blank)(N * T * Z), *xh = FN(blank)(N * T * (C + U)), *dbias = FN(blank)(N * Z);
    REAL *dh = FN(draw)(N * U), *dc = FN(draw)(N * U);
    const struct lstm_backward_args b = {.dz = dz,
                                         .xh = xh,
                                         .dbias_n = dbias,
                                         .dh = dh,
                                         .dc = dc,
                                         .dh_seq = FN(draw)(states),
                                         .x = FN(draw)(N * T * C),
                                         .h0 = h0,
                                         .c0 = c0,
                                         .h_seq = h_seq,
                                         .gates = gates,
                                         .c_seq = c_seq,
                                         .recurrent_transposed = FN(packed)(recurrent, 1, Z, U, 1),
                                         .lengths = f.lengths,
                                         .T = T,
                                         .C = C,
                                         .U = U,
                                         .reverse = reverse};
    run(THIS, K_lstm_backward, &b, N, FN(scratch)(LSTM_SCRATCH(U)));
    result(THIS, dz, N * T * Z, growth, growth, "lstm dz %td %td %td", N, T, U);
    result(THIS, xh, N * T * (C + U), few, few, "lstm xh %td %td %td", N, T, U);
    result(THIS, dbias, N * Z, growth, growth, "lstm dbias %td %td %td", N, T, U);
    result(THIS, dh, N * U, growth, growth, "lstm dh %td %td %td", N, T, U);
    result(THIS, dc, N * U, growth, growth, "lstm dc %td %td %td", N, T, U);
    done();
}

/* Steps shared by hidden units. */
static void FN(lstm_units)(ptrdiff_t N, ptrdiff_t U, int reverse)
{
    const ptrdiff_t T = 3, Z = 4 * U, states = N * T * U;
    const double few = 8.0 * (double)(T + 1) * (double)(U + 8);
    REAL *recurrent = FN(draw)(U * Z), *h[] = {FN(draw)(N * U), FN(blank)(N * U)};
    for (ptrdiff_t i = 0; i < U * Z; i++) recurrent[i] /= (REAL)U;
    int64_t *lengths = take((size_t)N * sizeof *lengths);
    for (ptrdiff_t n = 0; n < N; n++) lengths[n] = below(T + 1);
    struct lstm_units_args a = {.N = N,
                                .rows = {.h_seq = FN(blank)(states),
                                         .c_seq = FN(blank)(states),
                                         .c = FN(draw)(N * U),
                                         .gates = FN(draw)(N * T * Z),
                                         .recurrent = FN(packed)(recurrent, 1, U, Z, 0),
                                         .lengths = lengths,
                                         .T = T,
                                         .U = U,
                                         .packed = 1,
                                         .reverse = reverse}};
    for (a.step = 0; a.step < T; a.step++) {
        a.rows.h = h[a.step % 2];
        a.h_next = h[(a.step + 1) % 2];
        run(THIS, K_lstm_forward_units, &a, U / table->tile_cols[THIS], FN(scratch)(LSTM_SCRATCH(U)));
    }
    result(THIS, a.h_next, N * U, few, few, "lstm units: last %td %td", N, U);
    result(THIS, a.rows.h_seq, states, few, few, "lstm units: states %td %td", N, U);
    result(THIS, a.rows.c_seq, states, few, few, "lstm units: cells %td %td", N, U);
    result(THIS, a.rows.gates, N * T * Z, few, few, "lstm units: gates %td %td", N, U);
    done();
}

static void FN(recurrent)(void)
{
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) FN(lstm)(3, 2, 2, WIDTHS[i], 1, i % 2, i % 3 == 0);
    for (ptrdiff_t N = 1; N < 16; N += 7) FN(lstm)(N, 3, 3, 5, 1, 0, 1);
    FN(lstm)(61, 2, 1, 4, 1, 1, 1); /* more rows than go through a step together */
    FN(lstm)(2, 3, 5, 16, 0, 0, 0);
    FN(lstm)(1, 0, 2, 3, 1, 0, 0);
    for (ptrdiff_t N = 1; N < 4; N++) FN(lstm_units)(N, N == 3 ? 32 : 96, N == 2); /* whole panels on any machine */
}
