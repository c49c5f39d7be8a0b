/* convolutions.inc.h   Direct, depthwise, explicit and Winograd's convolutions, with the sizes that kernels/conv*.pyx
 * would hand them. */
struct FN(image) {
    ptrdiff_t N, H, W, C, K, KH, KW, pad_h, pad_w, s_h, s_w, d_h, d_w, groups;
};

static ptrdiff_t FN(outputs)(ptrdiff_t size, ptrdiff_t pad, ptrdiff_t taps, ptrdiff_t dilation, ptrdiff_t stride)
{
    const ptrdiff_t room = size + 2 * pad - (taps - 1) * dilation - 1;
    return room < 0 ? 0 : room / stride + 1;
}

/* Starts of the runs and their length, as fill_runs of conv_core.pyx has them. */
static ptrdiff_t *FN(runs)(const struct FN(image) * s, ptrdiff_t *R, ptrdiff_t *run)
{
    const ptrdiff_t Wp = s->W + 2 * s->pad_w, joined = s->groups == 1 && s->d_w == 1;
    ptrdiff_t *offset = take((size_t)(s->KH * s->KW) * sizeof *offset);
    const ptrdiff_t per_row = joined ? 1 : s->KW;
    *R = s->KH * per_row;
    *run = s->C / s->groups * (joined ? s->KW : 1);
    for (ptrdiff_t i = 0; i < *R; i++) offset[i] = i / per_row * s->d_h * Wp * s->C + i % per_row * s->d_w * s->C;
    return offset;
}

static void FN(direct)(struct FN(image) s, int gather, int activation)
{
    const ptrdiff_t OH = FN(outputs)(s.H, s.pad_h, s.KH, s.d_h, s.s_h),
                    OW = FN(outputs)(s.W, s.pad_w, s.KW, s.d_w, s.s_w);
    const ptrdiff_t cols = s.K / s.groups, depth_t = s.C / s.groups, taps = s.KH * s.KW, tile = table->tile_cols[THIS];
    const ptrdiff_t panels = CEIL_DIV(cols, tile), Wp = s.W + 2 * s.pad_w, row_block = 2, span = (s.KH - 1) * s.d_h + 1;
    const ptrdiff_t padded = ((row_block - 1) * s.s_h + span) * Wp * s.C + 64, pixels = row_block * OW;
    const REAL *x = FN(draw)(s.N * s.H * s.W * s.C);
    REAL *y = FN(blank)(s.N * OH * OW * s.K), *packed = FN(blank)(s.groups * panels * taps * depth_t * tile);
    const struct conv_pack_args pack = {.packed = packed,
                                        .w = FN(draw)(taps * depth_t * s.K),
                                        .taps_h = s.KH,
                                        .taps_w = s.KW,
                                        .tap_h = s.KW * depth_t * s.K,
                                        .tap_w = depth_t * s.K,
                                        .depth_t = depth_t,
                                        .w_i = s.K,
                                        .w_j = 1,
                                        .w_g = cols,
                                        .cols = cols,
                                        .panels = panels};
    run(THIS, K_conv_pack, &pack, s.groups * panels, 0);
    struct conv_args a = {.y = y,
                          .x = x,
                          .packed = packed,
                          .bias = FN(draw)(s.K),
                          .y_n = OH * OW * s.K,
                          .y_h = OW * s.K,
                          .y_w = s.K,
                          .y_g = cols,
                          .H = s.H,
                          .W = s.W,
                          .C = s.C,
                          .top = s.pad_h,
                          .left = s.pad_w,
                          .Wp = Wp,
                          .span = span,
                          .s_h = s.s_h,
                          .s_w = s.s_w,
                          .OH = OH,
                          .OW = OW,
                          .row_block = row_block,
                          .x_g = depth_t,
                          .groups = s.groups,
                          .cols = cols,
                          .padded = s.pad_h || s.pad_w,
                          .gather = gather,
                          .activation = activation,
                          .alpha = 0.25};
    a.offset = FN(runs)(&s, &a.R, &a.run);
    run(THIS, K_conv_rows, &a, s.N * CEIL_DIV(OH, row_block), FN(scratch)(padded + pixels * taps * depth_t));
    result(THIS, y, s.N * OH * OW * s.K, (double)(taps * depth_t) + 8, 8,
           "conv %tdx%td %td-%td gather %d activation %d", s.H, s.W, s.C, s.K, gather, activation);

    const ptrdiff_t row_blocks = CEIL_DIV(OH, row_block), items = s.N * row_blocks, chunk = CEIL_DIV(items, 2);
    REAL *dw = FN(blank)(2 * taps * depth_t * s.K);
    struct conv_filter_args f = {.partial = dw,
                                 .x = x,
                                 .dy = FN(draw)(s.N * OH * OW * s.K),
                                 .H = s.H,
                                 .W = s.W,
                                 .C = s.C,
                                 .top = s.pad_h,
                                 .left = s.pad_w,
                                 .Wp = Wp,
                                 .span = span,
                                 .s_h = s.s_h,
                                 .s_w = s.s_w,
                                 .OH = OH,
                                 .OW = OW,
                                 .K = s.K,
                                 .row_block = row_block,
                                 .row_blocks = row_blocks,
                                 .items = items,
                                 .chunk = chunk,
                                 .groups = s.groups,
                                 .gather = gather};
    f.offset = FN(runs)(&s, &f.R, &f.run);
    run(THIS, K_conv_filter, &f, CEIL_DIV(items, chunk),
        FN(scratch)(padded + pixels * (panels * tile + taps * depth_t)));
    result(THIS, dw, CEIL_DIV(items, chunk) * taps * depth_t * s.K, (double)(s.N * OH * OW) + 4, 0,
           "conv filter gradient %tdx%td %td-%td gather %d", s.H, s.W, s.C, s.K, gather);
    done();
}

static void FN(depthwise)(struct FN(image) s)
{
    const ptrdiff_t OH = FN(outputs)(s.H, s.pad_h, s.KH, s.d_h, s.s_h),
                    OW = FN(outputs)(s.W, s.pad_w, s.KW, s.d_w, s.s_w);
    const ptrdiff_t taps = s.KH * s.KW, C = s.C;
    REAL *y = FN(blank)(s.N * OH * OW * C), *dx = FN(blank)(s.N * s.H * s.W * C), *dw = FN(blank)(s.N * taps * C);
    struct conv_depthwise_args a = {.out = y,
                                    .x = FN(draw)(s.N * s.H * s.W * C),
                                    .dy = FN(draw)(s.N * OH * OW * C),
                                    .w = FN(draw)(taps * C),
                                    .bias = FN(draw)(C),
                                    .w_tap = C,
                                    .N = s.N,
                                    .H = s.H,
                                    .W = s.W,
                                    .C = C,
                                    .KH = s.KH,
                                    .KW = s.KW,
                                    .top = s.pad_h,
                                    .left = s.pad_w,
                                    .s_h = s.s_h,
                                    .s_w = s.s_w,
                                    .d_h = s.d_h,
                                    .d_w = s.d_w,
                                    .OH = OH,
                                    .OW = OW,
                                    .chunk = 1,
                                    .activation = ACT_RELU};
    run(THIS, K_conv_depthwise_forward, &a, s.N * OH, 0);
    result(THIS, y, s.N * OH * OW * C, (double)taps + 2, 0, "depthwise %tdx%td %td", s.H, s.W, C);
    a.out = dx;
    run(THIS, K_conv_depthwise_backward_input, &a, s.N * s.H, 0);
    result(THIS, dx, s.N * s.H * s.W * C, (double)taps, 0, "depthwise dx %tdx%td %td", s.H, s.W, C);
    a.out = dw;
    run(THIS, K_conv_depthwise_backward_kernel, &a, s.N, 0);
    result(THIS, dw, s.N * taps * C, (double)(OH * OW), 0, "depthwise dw %tdx%td %td", s.H, s.W, C);
    done();
}

static void FN(columns)(struct FN(image) s)
{
    const ptrdiff_t OH = FN(outputs)(s.H, s.pad_h, s.KH, s.d_h, s.s_h),
                    OW = FN(outputs)(s.W, s.pad_w, s.KW, s.d_w, s.s_w);
    const ptrdiff_t n = s.N * s.H * s.W * s.C, n_cols = s.N * OH * OW * s.KH * s.KW * s.C;
    REAL *cols = FN(blank)(n_cols), *x = FN(blank)(n);
    struct conv_cols_args a = {.out = cols,
                               .in = FN(draw)(n),
                               .H = s.H,
                               .W = s.W,
                               .C = s.C,
                               .KH = s.KH,
                               .KW = s.KW,
                               .top = s.pad_h,
                               .left = s.pad_w,
                               .s_h = s.s_h,
                               .s_w = s.s_w,
                               .d_h = s.d_h,
                               .d_w = s.d_w,
                               .OH = OH,
                               .OW = OW};
    run(THIS, K_conv_im2col, &a, s.N * OH, 0);
    result(THIS, cols, n_cols, 0, 0, "im2col %tdx%td %td", s.H, s.W, s.C);
    a.out = x, a.in = cols;
    run(THIS, K_conv_col2im, &a, s.N * s.H, 0);
    result(THIS, x, n, (double)(s.KH * s.KW), 0, "col2im %tdx%td %td", s.H, s.W, s.C);
    done();
}

static void FN(convolutions)(void)
{
    for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i++) {
        const ptrdiff_t n = WIDTHS[i];
        FN(direct)((struct FN(image)){2, 5, 6, n, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1}, i % 2, ACT_LINEAR);
        FN(direct)((struct FN(image)){1, 4, 9, 3, n, 3, 2, 0, 0, 1, 1, 1, 1, 1}, i % 2, ACT_RELU);
        FN(direct)((struct FN(image)){1, 3, n, 2, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1}, 0, ACT_TANH);
        FN(depthwise)((struct FN(image)){2, 5, 6, n, n, 3, 3, 1, 1, 1, 1, 1, 1, n});
        FN(depthwise)((struct FN(image)){2, 6, n, 3, 3, 2, 3, 0, 1, 2, 2, 1, 2, 3});
        FN(columns)((struct FN(image)){2, 5, 4, n, n, 3, 3, 1, 1, 1, 1, 1, 1, 1});
    }
    for (int gather = 0; gather < 2; gather++) {
        FN(direct)((struct FN(image)){2, 9, 11, 4, 6, 3, 3, 1, 1, 2, 2, 1, 1, 1}, gather, ACT_LINEAR);
        FN(direct)((struct FN(image)){1, 11, 10, 3, 5, 3, 3, 0, 2, 1, 2, 2, 3, 1}, gather, ACT_ELU);
        FN(direct)((struct FN(image)){1, 7, 8, 12, 8, 3, 3, 1, 1, 1, 1, 1, 1, 4}, gather, ACT_SIGMOID);
        FN(direct)((struct FN(image)){1, 23, 23, 3, 17, 7, 7, 3, 3, 2, 2, 1, 1, 1}, gather, ACT_RELU);
    }
    FN(columns)((struct FN(image)){1, 7, 9, 3, 3, 2, 3, 1, 0, 2, 1, 2, 2, 1});
}

/* Tiles of m x m. The transforms enlarge intermediate values, and their rounding, some 30 times. */
static void FN(winograd_case)(ptrdiff_t N, ptrdiff_t H, ptrdiff_t W, ptrdiff_t C, ptrdiff_t K, ptrdiff_t pad, int m)
{
    const ptrdiff_t taps = 7 - m, OH = H + 2 * pad - taps + 1, OW = W + 2 * pad - taps + 1, lanes = table->lanes[THIS];
    const ptrdiff_t tile = table->tile_cols[THIS], panels = CEIL_DIV(K, tile), block = 3;
    const ptrdiff_t row = (CEIL_DIV(C, lanes) + 1) * lanes, slab = 36 * (row + panels * tile), guard = 80 * lanes;
    REAL *y = FN(blank)(N * OH * OW * K), *dw = FN(blank)(taps * taps * C * K);
    struct winograd_args a = {.out = y,
                              .u = FN(blank)(36 * panels * tile * C),
                              .x = FN(draw)(N * H * W * C),
                              .dy = FN(draw)(N * OH * OW * K),
                              .w = FN(draw)(taps * taps * C * K),
                              .bias = FN(draw)(K),
                              .w_h = taps * C * K,
                              .w_w = C * K,
                              .w_i = K,
                              .w_j = 1,
                              .H = H,
                              .W = W,
                              .C = C,
                              .K = K,
                              .OH = OH,
                              .OW = OW,
                              .top = pad,
                              .left = pad,
                              .tiles_h = CEIL_DIV(OH, m),
                              .tiles_w = CEIL_DIV(OW, m),
                              .block = block,
                              .m = m,
                              .activation = ACT_LEAKY_RELU,
                              .alpha = 0.5};
    a.tiles = N * a.tiles_h * a.tiles_w;
    const double terms = 30.0 * (double)(taps * taps * C), pixels = 30.0 * (double)(N * OH * OW);
    run(THIS, K_winograd_filter, &a, panels, 0);
    run(THIS, K_winograd_forward, &a, CEIL_DIV(a.tiles, block), FN(scratch)(block * slab + guard + C));
    result(THIS, y, N * OH * OW * K, terms, 8, "winograd %td %tdx%td %td-%td m %d", N, H, W, C, K, m);

    a.chunk = 2 * block;
    a.slices = CEIL_DIV(a.tiles, a.chunk);
    a.u = FN(blank)(a.slices * 36 * C * K);
    run(THIS, K_winograd_gradient_slice, &a, a.slices, FN(scratch)(block * slab + guard + C + K));
    a.out = dw;
    run(THIS, K_winograd_filter_gradient, &a, C, 0);
    result(THIS, dw, taps * taps * C * K, pixels, 8, "winograd dw slices %td %tdx%td %td-%td m %d", N, H, W, C, K, m);

    a.v = FN(blank)(36 * a.chunk * row + guard);
    a.z = FN(blank)(36 * a.chunk * panels * tile + guard);
    for (a.first_tile = 0; a.first_tile < a.tiles; a.first_tile += a.chunk) {
        const ptrdiff_t left = a.tiles - a.first_tile < a.chunk ? a.tiles - a.first_tile : a.chunk;
        run(THIS, K_winograd_gradient_transform, &a, CEIL_DIV(left, block), FN(scratch)(C + K));
        run(THIS, K_winograd_gradient, &a, 36 * panels, 0);
    }
    a.slices = 1;
    run(THIS, K_winograd_filter_gradient, &a, C, 0);
    result(THIS, dw, taps * taps * C * K, pixels, 8, "winograd dw together %td %tdx%td %td-%td m %d", N, H, W, C, K, m);
    done();
}

static void FN(winograd)(void)
{
    for (int m = 2; m <= 4; m += 2) {
        for (ptrdiff_t i = 0; i < COUNT(WIDTHS); i += 2) {
            FN(winograd_case)(1, 6, 7, WIDTHS[i], 3, 1, m);
            FN(winograd_case)(1, 7, 5, 2, WIDTHS[i], m == 2 ? 2 : 1, m);
        }
        FN(winograd_case)(3, 9, 6, 17, 33, 0, m);
        FN(winograd_case)(1, 5, 5, 1, 1, 2, m);
    }
}
