/* rows.inc.h   Pooling, softmax and reductions. */
static void FN(pool)(ptrdiff_t N, ptrdiff_t H, ptrdiff_t W, ptrdiff_t C, ptrdiff_t window, ptrdiff_t stride,
                     ptrdiff_t pad, int count_padding)
{
    const ptrdiff_t OH = (H + 2 * pad - window) / stride + 1, OW = (W + 2 * pad - window) / stride + 1;
    const ptrdiff_t n_x = N * H * W * C, n_y = N * OH * OW * C, bytes = window * window > POOL_BYTE_POSITIONS ? 4 : 1;
    const ptrdiff_t scratch = FN(scratch)(W * C) + W * C * 4;
    REAL *y = FN(blank)(n_y), *dx = FN(blank)(n_x);
    const REAL *x = FN(draw)(n_x), *dy = FN(draw)(n_y);
    unsigned char *index = take((size_t)(n_y * bytes));
    int64_t *places = take((size_t)n_y * sizeof *places);
    struct pool_args a = {.out = y,
                          .index_out = index,
                          .in = x,
                          .H = H,
                          .W = W,
                          .C = C,
                          .OH = OH,
                          .OW = OW,
                          .KH = window,
                          .KW = window,
                          .sh = stride,
                          .sw = stride,
                          .top = pad,
                          .left = pad,
                          .count_include_pad = count_padding};
    struct pool_args b = a;
    b.out = dx, b.in = dy, b.index_in = index;
    const double covering = (double)((window / stride + 1) * (window / stride + 1));
    run(THIS, K_max_pool2d_forward, &a, N * OH, scratch);
    result(THIS, y, n_y, 0, 0, "max pool %tdx%td %td window %td stride %td pad %td", H, W, C, window, stride, pad);
    for (ptrdiff_t i = 0; i < n_y; i++) places[i] = bytes == 1 ? index[i] : ((const int32_t *)(const void *)index)[i];
    result(-1, places, n_y, 0, 0, "max pool index %tdx%td %td window %td stride %td", H, W, C, window, stride);
    run(THIS, K_max_pool2d_backward, &b, N * H, scratch);
    result(THIS, dx, n_x, covering, 0, "max pool dx %tdx%td %td window %td stride %td", H, W, C, window, stride);
    if (bytes == 1) {
        REAL *scattered = FN(blank)(n_x);
        b.out = scattered;
        run(THIS, K_max_pool2d_scatter, &b, N, scratch);
        result(THIS, scattered, n_x, covering, 0, "max pool scattered %tdx%td %td window %td", H, W, C, window);
        b.out = dx;
    }
    run(THIS, K_avg_pool2d_forward, &a, N * OH, scratch);
    result(THIS, y, n_y, 2.0 * (double)window, 0, "mean pool %tdx%td %td window %td stride %td", H, W, C, window,
           stride);
    run(THIS, K_avg_pool2d_backward, &b, N * H, scratch);
    result(THIS, dx, n_x, covering, 0, "mean pool dx %tdx%td %td window %td stride %td", H, W, C, window, stride);
    done();
}

static void FN(pools)(void)
{
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) {
        FN(pool)(2, 6, 7, WIDTHS[i], 2, 2, 0, 1);
        FN(pool)(1, 7, 8, WIDTHS[i], 3, 2, 1, i % 2);
        if (WIDTHS[i] >= 3) FN(pool)(1, 5, WIDTHS[i], 3, 3, 1, 1, 0);
    }
    FN(pool)(2, 5, 5, 70, 5, 5, 0, 1);   /* a large window of many neighbours */
    FN(pool)(1, 19, 18, 5, 17, 3, 2, 1); /* places that a byte cannot number */
}

static void FN(softmax)(ptrdiff_t R, ptrdiff_t C)
{
    const ptrdiff_t n = R * C;
    const double terms = (double)C + 32;
    REAL *y = FN(blank)(n), *dx = FN(blank)(n), *loss = FN(blank)(R), *x = FN(draw)(n);
    int64_t *labels = take((size_t)R * sizeof *labels);
    for (ptrdiff_t i = 0; i < R; i++) labels[i] = below(C);
    for (ptrdiff_t i = 0; i < n; i++) x[i] *= 6;
    const REAL *dy = FN(draw)(n);
    const struct softmax_args f = {.y_rc = y, .x_rc = x, .C = C};
    const struct softmax_backward_args b = {.dx_rc = dx, .dy_rc = dy, .y_rc = y, .C = C};
    run(THIS, K_softmax_forward, &f, R, 0);
    result(THIS, y, n, 0, terms, "softmax %td x %td", R, C);
    run(THIS, K_softmax_backward, &b, R, 0);
    result(THIS, dx, n, terms, 0, "softmax dx %td x %td", R, C);
    run(THIS, K_log_softmax_forward, &f, R, 0);
    result(THIS, y, n, terms, 8, "log softmax %td x %td", R, C);
    run(THIS, K_log_softmax_backward, &b, R, 0);
    result(THIS, dx, n, 2 * terms, terms * (double)C, "log softmax dx %td x %td", R, C);
    REAL *t = FN(draw)(n), *w = FN(draw)(C);
    for (ptrdiff_t i = 0; i < n; i++) t[i] = (t[i] + 1) / (REAL)C;
    for (ptrdiff_t i = 0; i < C; i++) w[i] += 1;
    const REAL *v = FN(draw)(R);
    for (int weighted = 0; weighted < 2; weighted++)
        for (int soft = 0; soft < 2; soft++) {
            struct softmax_xent_args e = {.loss_r = loss,
                                          .x_rc = x,
                                          .label_r = soft ? NULL : labels,
                                          .t_rc = soft ? t : NULL,
                                          .w_c = weighted ? w : NULL,
                                          .v_r = weighted ? v : NULL,
                                          .C = C,
                                          .smoothing = weighted ? 0.1 : 0,
                                          .scale = weighted ? 0.5 : 1,
                                          .ignore = 1,
                                          .has_ignore = weighted};
            run(THIS, K_softmax_xent, &e, R, 0);
            result(THIS, loss, R, 8 * terms, 8, "cross-entropy %td x %td weighted %d soft %d", R, C, weighted, soft);
            e.dx_rc = dx;
            run(THIS, K_softmax_xent, &e, R, weighted * FN(scratch)(2 * (C + 16))); /* scratch: past the caches */
            result(THIS, loss, R, 8 * terms, 8, "cross-entropy %td x %td weighted %d soft %d", R, C, weighted, soft);
            result(THIS, dx, n, 8 * terms, 0, "cross-entropy dx %td x %td weighted %d soft %d", R, C, weighted, soft);
        }
    done();
}

static void FN(softmaxes)(void)
{
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) FN(softmax)(5, WIDTHS[i]);
    FN(softmax)(3, 1031);
    FN(softmax)(301, 10);
}

/* (O, R, J), R in chunks of `rows`, J in blocks of `width`. */
static void FN(reduction)(ptrdiff_t O, ptrdiff_t R, ptrdiff_t J, ptrdiff_t rows, ptrdiff_t width)
{
    const ptrdiff_t chunks = CEIL_DIV(R, rows), blocks = CEIL_DIV(J, width);
    REAL *y = FN(blank)(O * J), *mean = FN(draw)(O * J), *x = FN(draw)(O * R * J);
    if (R > 2) x[R / 2 * J] = -x[0]; /* of size, so that places differ */
    struct reduce_args a = {.y = y,
                            .partial = take((size_t)(O * chunks * J) * sizeof(double)),
                            .x = x,
                            .mean = mean,
                            .scale = 1,
                            .R = R,
                            .J = J,
                            .rows = rows,
                            .chunks = chunks,
                            .width = width,
                            .blocks = blocks};
    const int ids[] = {K_reduce_sum, K_reduce_deviation, K_reduce_max, K_reduce_min};
    for (int kind = REDUCE_SUM; kind <= REDUCE_MIN; kind++) {
        const int sums = kind == REDUCE_SUM || kind == REDUCE_DEVIATION;
        a.joins = kind;
        run(THIS, ids[kind], &a, O * chunks * blocks, width * 8);
        if (chunks > 1) run(THIS, K_reduce_finish, &a, O * J, 0);
        result(THIS, y, O * J, sums ? 4 * (double)R : 0, 0, "reduce %d %td %td %td rows %td", kind, O, R, J, rows);
    }
    int64_t *places = take((size_t)(O * J) * sizeof *places);
    const struct arg_args p = {.y = places, .x = x, .R = R, .J = J, .blocks = CEIL_DIV(J, ARG_WIDTH)};
    run(THIS, K_argmax, &p, O * p.blocks, 0);
    result(-1, places, O * J, 0, 0, "argmax %td %td %td %d", O, R, J, THIS);
    run(THIS, K_argmin, &p, O * p.blocks, 0);
    result(-1, places, O * J, 0, 0, "argmin %td %td %td %d", O, R, J, THIS);
    done();
}

static void FN(reductions)(void)
{
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) {
        FN(reduction)(3, WIDTHS[i], 1, 1000, 1);
        FN(reduction)(2, 5, WIDTHS[i], 2, 16);
        FN(reduction)(2, WIDTHS[i], 3, 10, 3);
    }
    FN(reduction)(1, 5003, 1, 700, 1);
    FN(reduction)(1, 70, 301, 64, 128);
}
