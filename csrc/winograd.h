/* winograd.h   Fast convolution of small filters; see winograd.inc.h.
 *
 * winograd_filter: u = transformed filters, from w. Unit: a panel of tile_cols outputs.
 * winograd_forward: out = y. Unit: `block` tiles.                       (also the gradient of the input)
 * winograd_gradient: out = partial sums [chunks][36][C][K]. Unit: `chunk` tiles, a multiple of block.
 * winograd_filter_gradient: out = dw, from u = those partial sums. Unit: an input channel.
 *
 * Scratch of the second: 36 block (row(C) + panels tile_cols) + C; of the third the same but max(C, K) at the end, where
 * row(C) is at most C rounded up to whole vectors, and one vector more. */
#ifndef QUERNEL_WINOGRAD_H
#define QUERNEL_WINOGRAD_H

struct winograd_args {
    void *out, *u;
    const void *x, *dy, *w, *bias;
    ptrdiff_t w_h, w_w, w_i, w_j; /* strides of w: row and column of taps, summed channel, output channel */
    ptrdiff_t H, W, C, K, OH, OW, top, left;
    ptrdiff_t tiles_h, tiles_w, tiles, block, chunk;
    int m; /* edge of an output tile: 4 for 3 x 3 filters, 2 for 5 x 5 */
    int activation;
    double alpha;
};

#define WINOGRAD_KERNELS(K)                                                                                  \
    K(winograd_filter) K(winograd_forward) K(winograd_gradient) K(winograd_filter_gradient)
#endif
