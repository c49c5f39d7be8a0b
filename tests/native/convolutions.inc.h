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

/* Start of each input of a filter of one group. */
static ptrdiff_t *FN(inputs)(const struct FN(image) * s)
{
    const ptrdiff_t Wp = s->W + 2 * s->pad_w, channels = s->C / s->groups;
    ptrdiff_t *offset = take((size_t)(s->KH * s->KW * channels) * sizeof *offset);
    for (ptrdiff_t i = 0; i < s->KH * s->KW * channels; i++) {
        const ptrdiff_t tap = i / channels;
        offset[i] = (tap / s->KW * s->d_h * Wp + tap % s->KW * s->d_w) * s->C + i % channels;
    }
    return offset;
}

static void FN(direct)(struct FN(image) s, enum way way, int activation)
{
    const ptrdiff_t OH = FN(outputs)(s.H, s.pad_h, s.KH, s.d_h, s.s_h),
                    OW = FN(outputs)(s.W, s.pad_w, s.KW, s.d_w, s.s_w);
    const ptrdiff_t cols = s.K / s.groups, depth_t = s.C / s.groups, taps = s.KH * s.KW, lanes = table->lanes[THIS];
    const ptrdiff_t Wp = s.W + 2 * s.pad_w, row_block = 2, span = (s.KH - 1) * s.d_h + 1;
    const ptrdiff_t padded = ((row_block - 1) * s.s_h + span) * Wp * s.C + 64, pixels = row_block * OW;
    const REAL *x = FN(draw)(s.N * s.H * s.W * s.C);
    REAL *y = FN(blank)(s.N * OH * OW * s.K);
    struct conv_args a = {.y = y,
                          .x = x,
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
                          .gather = way == GATHERED,
                          .dot = way == DOTS,
                          .activation = activation,
                          .alpha = 0.25};
    a.offset = FN(runs)(&s, &a.R, &a.run);
    const ptrdiff_t width = a.dot ? CONV_DOT_COLS : table->tile_cols[THIS], panels = CEIL_DIV(cols, width);
    const ptrdiff_t depth = a.dot ? a.R * CEIL_DIV(a.run, lanes) * lanes : taps * depth_t;
    REAL *packed = FN(blank)(s.groups * panels * depth * width);
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
                                        .panels = panels,
                                        .run = a.run};
    run(THIS, a.dot ? K_conv_pack_dot : K_conv_pack, &pack, s.groups * panels * (a.dot ? a.R : 1), 0);
    a.packed = packed;
    run(THIS, K_conv_rows, &a, s.N * CEIL_DIV(OH, row_block), FN(scratch)(padded + pixels * taps * depth_t));
    result(THIS, y, s.N * OH * OW * s.K, (double)(taps * depth_t) + 8, 8, "conv %tdx%td %td-%td way %d activation %d",
           s.H, s.W, s.C, s.K, way, activation);

    const ptrdiff_t row_blocks = CEIL_DIV(OH, row_block), items = s.N * row_blocks, chunk = CEIL_DIV(items, 2);
    const ptrdiff_t whole = CEIL_DIV(cols, lanes) * lanes;
    REAL *dw = FN(blank)(2 * taps * depth_t * s.K);
    const struct conv_filter_args f = {
        .partial = dw,
        .x = x,
        .dy = FN(draw)(s.N * OH * OW * s.K),
        .offset = FN(inputs)(&s),
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
        .depth = taps * depth_t,
        .groups = s.groups,
        .wide = whole < table->tile_cols[THIS] ? whole : table->tile_cols[THIS],
        .padded = s.pad_h || s.pad_w,
        .pack = way == GATHERED,
    };
    run(THIS, K_conv_filter, &f, CEIL_DIV(items, chunk),
        FN(scratch)(padded + pixels * CEIL_DIV(cols, f.wide) * f.wide));
    result(THIS, dw, CEIL_DIV(items, chunk) * taps * depth_t * s.K, (double)(s.N * OH * OW) + 4, 0,
           "conv filter gradient %tdx%td %td-%td way %d", s.H, s.W, s.C, s.K, way);
    done();
}

/* Groups of G channels, in and out. */
static void FN(grouped)(struct FN(image) s)
{
    const ptrdiff_t OH = FN(outputs)(s.H, s.pad_h, s.KH, s.d_h, s.s_h),
                    OW = FN(outputs)(s.W, s.pad_w, s.KW, s.d_w, s.s_w);
    const ptrdiff_t taps = s.KH * s.KW, C = s.C, G = C / s.groups, lanes = table->lanes[THIS];
    const ptrdiff_t Cp = CEIL_DIV(C, lanes) * lanes;
    REAL *y = FN(blank)(s.N * OH * OW * C), *dx = FN(blank)(s.N * s.H * s.W * C), *dw = FN(blank)(taps * G * C);
    REAL *w = FN(draw)(taps * G * C), *packed = FN(blank)(taps * G * Cp), *partial = FN(blank)(s.N * taps * G * Cp);
    /* Rows that two rows of outputs read; every other width copies them, further apart. */
    const ptrdiff_t reach = s.s_h + (s.KH - 1) * s.d_h + 1, pixel = C % 2 ? C + 3 : C, copied = reach * s.W * pixel;
    struct conv_grouped_pack_args p = {.packed = packed, .w = w, .C = C, .Cp = Cp, .G = G, .taps = taps, .slices = 1};
    struct conv_grouped_args a = {.out = y,
                                  .x = FN(draw)(s.N * s.H * s.W * C),
                                  .packed = packed,
                                  .bias = FN(draw)(C),
                                  .Cp = Cp,
                                  .pixel = pixel,
                                  .N = s.N,
                                  .H = s.H,
                                  .W = s.W,
                                  .C = C,
                                  .G = G,
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
                                  .rows = 1 + (G == 1 && s.KW == 3 && s.s_h == s.d_h && s.s_w == s.d_w),
                                  .chunk = 1,
                                  .row_block = 2,
                                  .copy_rows = reach,
                                  .activation = ACT_LEAKY_RELU,
                                  .alpha = 0.25};
    const REAL *x = a.x, *dy = FN(draw)(s.N * OH * OW * C);
    run(THIS, K_conv_grouped_pack, &p, taps, 0);
    run(THIS, K_conv_grouped_forward, &a, s.N * CEIL_DIV(OH, a.rows), FN(scratch)(copied));
    result(THIS, y, s.N * OH * OW * C, (double)(taps * G) + 2, 0, "grouped conv %tdx%td %td of %td", s.H, s.W, C, G);

    p.transposed = 1;
    run(THIS, K_conv_grouped_pack, &p, taps, 0);
    a.out = dx, a.x = dy, a.bias = NULL, a.activation = ACT_LINEAR;
    run(THIS, K_conv_grouped_backward_input, &a, s.N * s.H, 0);
    result(THIS, dx, s.N * s.H * s.W * C, (double)(taps * G), 0, "grouped conv dx %tdx%td %td of %td", s.H, s.W, C, G);

    a.out = partial, a.x = x, a.dy = dy;
    run(THIS, K_conv_grouped_backward_kernel, &a, s.N, FN(scratch)(s.W * pixel + copied + 2 * OW * pixel));
    p.packed = partial, p.w = dw, p.slices = s.N, p.transposed = 0;
    run(THIS, K_conv_grouped_unpack, &p, taps, 0);
    result(THIS, dw, taps * G * C, (double)(s.N * OH * OW), 0, "grouped conv dw %tdx%td %td of %td", s.H, s.W, C, G);
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
        FN(direct)((struct FN(image)){2, 5, 6, n, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1}, i % 3, ACT_LINEAR);
        FN(direct)((struct FN(image)){1, 4, 9, 3, n, 3, 2, 0, 0, 1, 1, 1, 1, 1}, i % 2, ACT_RELU);
        FN(direct)((struct FN(image)){1, 3, n, 2, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1}, TILES, ACT_TANH);
        FN(direct)((struct FN(image)){1, 9, n, 7, 1 + n % 5, 3, 3, 1, 1, 1, 1, 1, 1, 1}, DOTS, ACT_TANH);
        for (ptrdiff_t G = 1; G <= 16 / (ptrdiff_t)sizeof(REAL); G *= 2) { /* a vector of any machine holds a group */
            FN(grouped)((struct FN(image)){2, 5, 6, n * G, n * G, 3, 3, 1, 1, 1, 1, 1, 1, n});
            FN(grouped)((struct FN(image)){2, 6, n + 2, 3 * G, 3 * G, 2, 3, 0, 1, 2, 2, 1, 2, 3});
            FN(grouped)((struct FN(image)){1, 7, n + 2, 8, 8, 3, 3, 1, 1, 1, 2, 1, 1, 8 / G});
        }
        FN(columns)((struct FN(image)){2, 5, 4, n, n, 3, 3, 1, 1, 1, 1, 1, 1, 1});
    }
    for (int way = TILES; way <= DOTS; way++) {
        FN(direct)((struct FN(image)){2, 9, 11, 4, 6, 3, 3, 1, 1, 2, 2, 1, 1, 1}, way, ACT_LINEAR);
        FN(direct)((struct FN(image)){1, 11, 10, 3, 5, 3, 3, 0, 2, 1, 2, 2, 3, 1}, way, ACT_ELU);
        FN(direct)((struct FN(image)){1, 7, 8, 12, 8, 3, 3, 1, 1, 1, 1, 1, 1, 4}, way, ACT_SIGMOID);
        FN(direct)((struct FN(image)){1, 23, 23, 3, 17, 7, 7, 3, 3, 2, 2, 1, 1, 1}, way, ACT_RELU);
    }
    FN(columns)((struct FN(image)){1, 7, 9, 3, 3, 2, 3, 1, 0, 2, 1, 2, 2, 1});
}

/* By how much the transforms enlarge intermediate values, and with them their rounding. */
static double FN(winograd_growth)(int piece) { return piece == 8 ? 100 : 30; }

/* The gradient of the input of a forward pass f, by the same tiles. */
static void FN(winograd_adjoint_case)(const struct winograd_args *f, ptrdiff_t N)
{
    const ptrdiff_t tile = table->tile_cols[THIS], lanes = table->lanes[THIS], taps = f->piece + 1 - f->m, C = f->C,
                    K = f->K;
    const ptrdiff_t entries = f->piece * f->piece, panels = CEIL_DIV(C, tile);
    const ptrdiff_t slab = entries * ((CEIL_DIV(K, lanes) + 1) * lanes + panels * tile);
    REAL *dx = FN(blank)(N * f->H * f->W * C);
    struct winograd_args a = *f;
    a.out = dx;
    a.u = FN(blank)(entries * panels * tile * K);
    a.x = f->dy;
    a.w_i = f->w_j, a.w_j = f->w_i;
    a.H = f->OH, a.W = f->OW, a.C = K, a.K = C, a.OH = f->H, a.OW = f->W;
    a.chunk = a.tiles / N;
    run(THIS, K_winograd_filter, &a, panels, 0);
    run(THIS, K_winograd_adjoint, &a, N, FN(scratch)(a.block * slab + 2 * (entries + 4) * lanes + K));
    result(THIS, dx, N * a.OH * a.OW * C, FN(winograd_growth)(a.piece) * (double)(taps * taps * K), 8,
           "winograd dx %td %tdx%td %td-%td m %d of %d dilation %td", N, a.OH, a.OW, C, K, a.m, a.piece, a.d_w);
}

/* Tiles of m x m from pieces of piece x piece; a dilation of d and 1. */
static void FN(winograd_case)(ptrdiff_t N, ptrdiff_t H, ptrdiff_t W, ptrdiff_t C, ptrdiff_t K, ptrdiff_t pad,
                              ptrdiff_t d, int piece, int m)
{
    const ptrdiff_t taps = piece + 1 - m, OH = H + 2 * pad - (taps - 1) * d, OW = W + 2 * pad - taps + 1;
    const ptrdiff_t lanes = table->lanes[THIS], entries = piece * piece;
    const ptrdiff_t tile = table->tile_cols[THIS], panels = CEIL_DIV(K, tile), block = 3;
    const ptrdiff_t row = (CEIL_DIV(C, lanes) + 1) * lanes, slab = entries * (row + panels * tile),
                    guard = 2 * (entries + 4) * lanes;
    REAL *y = FN(blank)(N * OH * OW * K), *dw = FN(blank)(taps * taps * C * K);
    struct winograd_args a = {.out = y,
                              .u = FN(blank)(entries * panels * tile * C),
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
                              .d_h = d,
                              .d_w = 1,
                              .tiles_h = CEIL_DIV(CEIL_DIV(OH, d), m),
                              .tiles_w = CEIL_DIV(OW, m),
                              .block = block,
                              .piece = piece,
                              .m = m,
                              .activation = ACT_LEAKY_RELU,
                              .alpha = 0.5};
    a.tiles = N * d * a.tiles_h * a.tiles_w;
    const double growth = FN(winograd_growth)(piece);
    const double terms = growth * (double)(taps * taps * C), pixels = growth * (double)(N * OH * OW);
    run(THIS, K_winograd_filter, &a, panels, 0);
    run(THIS, K_winograd_forward, &a, CEIL_DIV(a.tiles, block), FN(scratch)(block * slab + guard + C));
    result(THIS, y, N * OH * OW * K, terms, 8, "winograd %td %tdx%td %td-%td m %d of %d dilation %td", N, H, W, C, K, m,
           piece, d);

    FN(winograd_adjoint_case)(&a, N);

    a.chunk = 2 * block;
    a.slices = CEIL_DIV(a.tiles, a.chunk);
    a.u = FN(blank)(a.slices * entries * C * K);
    run(THIS, K_winograd_gradient_slice, &a, a.slices, FN(scratch)(block * slab + guard + C + K));
    a.out = dw;
    run(THIS, K_winograd_filter_gradient, &a, C, 0);
    result(THIS, dw, taps * taps * C * K, pixels, 8, "winograd dw slices %td %tdx%td %td-%td m %d of %d dilation %td",
           N, H, W, C, K, m, piece, d);

    a.v = FN(blank)(entries * a.chunk * row + guard);
    a.z = FN(blank)(entries * a.chunk * panels * tile + guard);
    for (a.first_tile = 0; a.first_tile < a.tiles; a.first_tile += a.chunk) {
        const ptrdiff_t left = a.tiles - a.first_tile < a.chunk ? a.tiles - a.first_tile : a.chunk;
        run(THIS, K_winograd_gradient_transform, &a, CEIL_DIV(left, block), FN(scratch)(C + K));
        run(THIS, K_winograd_gradient, &a, entries * panels, 0);
    }
    a.slices = 1;
    run(THIS, K_winograd_filter_gradient, &a, C, 0);
    result(THIS, dw, taps * taps * C * K, pixels, 8, "winograd dw together %td %tdx%td %td-%td m %d of %d dilation %td",
           N, H, W, C, K, m, piece, d);
    done();
}

static void FN(winograd)(void)
{
    const int sizes[4][2] = {{6, 4}, {6, 2}, {8, 6}, {8, 4}};
    for (int s = 0; s < 4; s++) {
        const int piece = sizes[s][0], m = sizes[s][1];
        for (ptrdiff_t i = s / 2; i < COUNT(WIDTHS); i += 2) {
            FN(winograd_case)(1, 6, 7, WIDTHS[i], 3, 1, 1, piece, m);
            FN(winograd_case)(1, 7, 5, 2, WIDTHS[i], piece == m + 4 ? 2 : 1, 1, piece, m);
        }
        FN(winograd_case)(3, 9, 6, 17, 33, 0, 1, piece, m);
        FN(winograd_case)(1, 5, 5, 1, 1, 2, 1, piece, m);
        FN(winograd_case)(2, 17, 9, 3, 5, 1, 3, piece, m);
    }
}
