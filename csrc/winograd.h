/* winograd.h   Fast convolution of small filters; see winograd.inc.h.
 *
 * winograd_filter: u = transformed filters, from w. Unit: a panel of tile_cols outputs.
 * winograd_forward: out = y. Unit: `block` tiles.
 * Gradient of the input: winograd_forward with x = dy and turned filters, or, by tiles of dy in place of tiles of dx,
 *   winograd_adjoint: out = dx. Unit: `chunk` tiles, of whole images, in blocks. x, H, W, C are of dy; OH, OW, K of dx.
 * Filter gradient, of small filters:
 *   winograd_gradient_slice: u[slice], from `chunk` tiles. Unit: a slice. Scratch: both slabs, and max(C, K).
 * of large ones, for one chunk of tiles after the other:
 *   winograd_gradient_transform: v and z of the chunk. Unit: `block` tiles. Scratch: max(C, K).
 *   winograd_gradient: u += v' z, entry by entry. Unit: a panel of an entry.
 * and then winograd_filter_gradient: out = dw, from the slices of u. Unit: an input channel.
 *
 * Slabs (piece^2 entries) of T tiles take piece^2 (T row + VL) elements, where row is K in whole vectors for
 * outputs and at most C in whole vectors, and one vector more, for inputs. Scratch of winograd_forward and
 * winograd_adjoint: both slabs of `block` tiles, and C. */
#ifndef QUERNEL_WINOGRAD_H
#define QUERNEL_WINOGRAD_H

struct winograd_args {
    void *out, *u, *v, *z;
    const void *x, *dy, *w, *bias;
    ptrdiff_t w_h, w_w, w_i, w_j; /* strides of w: row and column of taps, summed channel, output channel */
    ptrdiff_t H, W, C, K, OH, OW, top, left;
    ptrdiff_t d_h, d_w;         /* dilation */
    ptrdiff_t tiles_h, tiles_w; /* of one image, or of each of the d_h x d_w interleaved ones */
    ptrdiff_t tiles, block, chunk, first_tile, slices;
    int piece, m; /* edges of a piece of the input, 6 or 8, and of an output tile: piece + 1 - taps */
    int activation;
    double alpha;
};

#define WINOGRAD_KERNELS(K)                                                                                            \
    K(winograd_filter)                                                                                                 \
    K(winograd_forward)                                                                                                \
    K(winograd_adjoint)                                                                                                \
    K(winograd_gradient_slice) K(winograd_gradient_transform) K(winograd_gradient) K(winograd_filter_gradient)
#endif
