/* conv.h   Two-dimensional convolution, channels last, by the matrix tile; nothing is materialised but padding.
 *
 *   y[n, oh, ow, k] = sum_{kh, kw, c} x[n, oh s_h + kh d_h - top, ow s_w + kw d_w - left, c] * w[kh, kw, c, k]
 *
 * The sum is walked as R runs of `run` neighbours: with one group and no dilation along the width a filter row is one
 * run of KW*C inputs; otherwise a tap is a run of C/groups. Where a run starts, relative to an output pixel's first
 * input, stands in a table of offsets: one core thus serves the forward pass and, for each phase of the stride, the
 * gradient of the input (a convolution of dy whose taps are those that reach the phase). */
#ifndef QUERNEL_CONV_H
#define QUERNEL_CONV_H

/* Filters into panels of tile_cols outputs: packed[((g * panels + p) * depth + t * depth_t + i) * tile_cols + j], t =
 * tap, depth = taps_h * taps_w * depth_t. Unit: one panel of one group. */
struct conv_pack_args {
    void *packed;
    const void *w;
    ptrdiff_t taps_h, taps_w; /* tap (i, j) starts at w + i * tap_h + j * tap_w */
    ptrdiff_t tap_h, tap_w;
    ptrdiff_t depth_t;       /* summed channels of a tap */
    ptrdiff_t w_i, w_j, w_g; /* strides of w: summed channel, output channel, group */
    ptrdiff_t cols;          /* output channels of a group */
    ptrdiff_t panels;
    ptrdiff_t run; /* conv_pack_dot: terms of a run, a multiple of depth_t */
};

/* Few outputs (conv_dot.inc.h): packed[(((g * panels + p) * R + r) * vectors + v) * CONV_DOT_COLS + j][lane], vectors
 * of a run, zero-padded. Unit: one run of one panel. */
enum { CONV_DOT_COLS = 4 };

/* Unit: row_block output rows of one image. */
struct conv_args {
    void *y;
    const void *x, *packed, *bias;
    const ptrdiff_t *offset;      /* [R] start of each run, in the padded layout */
    ptrdiff_t y_n, y_h, y_w, y_g; /* strides of y: image, row, column, group */
    ptrdiff_t H, W, C;            /* the image as it is */
    ptrdiff_t top, left, Wp;      /* padding (negative: cropped) and padded width */
    ptrdiff_t span;               /* padded rows below an output row's first that its runs reach into, plus one */
    ptrdiff_t s_h, s_w;
    ptrdiff_t OH, OW, row_block;
    ptrdiff_t R, run, x_g, groups; /* x_g: channels between groups of x */
    ptrdiff_t cols;                /* output channels of a group */
    int padded;                    /* 0: no padding, x is read where it lies */
    int gather;                    /* collect each pixel's runs first: for narrow images */
    int dot;                       /* vectors run along the sum; packed by conv_pack_dot; excludes gather */
    int activation;
    double alpha;
};

/* Filter gradient. Unit: one chunk of the items; an item is row_block output rows of one image. Each unit adds its
 * items, in order, to a partial result of its own. */
struct conv_filter_args {
    void *partial; /* [chunk][depth][K] */
    const void *x, *dy;
    const ptrdiff_t *offset;                /* [depth] start of each input of the filter, in the padded layout */
    ptrdiff_t H, W, C, top, left, Wp, span; /* as above */
    ptrdiff_t s_h, s_w;
    ptrdiff_t OH, OW, K, row_block, row_blocks, items, chunk;
    ptrdiff_t depth, groups; /* taps * C/groups */
    ptrdiff_t wide;          /* columns of dy that a tile takes, a multiple of VL */
    int padded;              /* as above */
    int pack;                /* dy goes into panels first */
};

/* Groups of G = 1, 2, 4 or 8 channels in and out (conv_grouped.inc.h). Forward unit: `rows` output rows, 1, or 2 of
 * depthwise three by three; input gradient: an input row; filter gradient: a chunk of images, with a partial result
 * each. */
struct conv_grouped_args {
    void *out; /* y; dx; partial [chunk][KH * KW][G][Cp] */
    const void *x, *dy, *packed, *bias;
    ptrdiff_t Cp;    /* channels, rounded up to whole vectors */
    ptrdiff_t pixel; /* distance between pixels as they are read: C; more: of a copy in scratch */
    ptrdiff_t N, H, W, C, G, KH, KW, top, left, s_h, s_w, d_h, d_w, OH, OW, rows, chunk, row_block;
    ptrdiff_t copy_rows; /* of inputs that fit into the copy of the forward pass */
    int activation;
    double alpha;
};

/* Filters w[tap][G][C] to packed[tap][d][Cp], and `slices` partial gradients back. */
struct conv_grouped_pack_args {
    void *packed, *w;
    ptrdiff_t C, Cp, G, taps, slices;
    int transposed, turned;
};

/* cols[(n, oh, ow), (kh, kw, c)] and back. im2col unit: an output row; col2im unit: an input row. */
struct conv_cols_args {
    void *out;
    const void *in;
    ptrdiff_t H, W, C, KH, KW, top, left, s_h, s_w, d_h, d_w, OH, OW;
};

/* Output rows whose offsets stand in one table of the filter gradient. */
enum { CONV_FILTER_ROWS = 64 };

#define CONV_KERNELS(K)                                                                                                \
    K(conv_pack)                                                                                                       \
    K(conv_pack_dot)                                                                                                   \
    K(conv_rows)                                                                                                       \
    K(conv_filter)                                                                                                     \
    K(conv_grouped_pack)                                                                                               \
    K(conv_grouped_forward)                                                                                            \
    K(conv_grouped_backward_input) K(conv_grouped_backward_kernel) K(conv_grouped_unpack) K(conv_im2col) K(conv_col2im)
#endif
