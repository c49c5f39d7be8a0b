/* pool.h   Maximum and mean over windows, channels last.
 *
 * Output (p, q) of image n looks at a window of KH x KW inputs that starts at row p * sh - top, column q * sw - left;
 * position (i, j) of the window has the number i * KW + j. Padding never wins a maximum, and counts in a mean only if
 * asked to. `index` keeps the winner's number, in a byte where KH * KW <= POOL_BYTE_POSITIONS, else in an int32.
 *
 * Backward gathers: an input adds up, over the windows that cover it in ascending (p, q), what they send back. So each
 * dx is written once, whether windows overlap or leave gaps, and no two units touch the same one.
 * max_pool2d_scatter does the same by adding each output's share to its winner, an image at a time: the same sums in
 * the same order, and faster where the channels fill no vectors. It takes windows that a byte can number, and images
 * of fewer than 2^31 elements. */
#ifndef QUERNEL_POOL_H
#define QUERNEL_POOL_H

enum {
    POOL_BYTE_POSITIONS = 256, /* that a byte can number */
    POOL_LARGE = 16,           /* positions from which a window's mean is summed in the order of memory */
    POOL_BLOCK = 1024,         /* neighbours summed at once there: 8 or 16 KiB of sums */
    POOL_SCATTER = 32          /* channels below which strided max pooling scatters backward */
};

/* How windows send back: to the winner, by its number; or an equal share, the same from all or by their size. */
enum pool_share { POOL_BYTE, POOL_WORD, POOL_UNIFORM, POOL_COUNTED };

/* Unit: forward one output row (n, p); backward one input row (n, h); max_pool2d_scatter one image. */
struct pool_args {
    void *out;            /* forward y (N, OH, OW, C); backward dx (N, H, W, C) */
    void *index_out;      /* max_pool2d_forward only (N, OH, OW, C) */
    const void *in;       /* forward x (N, H, W, C); backward dy (N, OH, OW, C) */
    const void *index_in; /* max_pool2d_backward only (N, OH, OW, C) */
    ptrdiff_t H, W, C;
    ptrdiff_t OH, OW;
    ptrdiff_t KH, KW;
    ptrdiff_t sh, sw;
    ptrdiff_t top, left;
    int count_include_pad;
    int stream; /* backward: dx is written past the caches (simd.h); C elements are whole cache lines then */
};

/* Forward needs W * C elements and as many int32 of scratch, backward W * C elements. */
#define POOL_KERNELS(K)                                                                                                \
    K(max_pool2d_forward)                                                                                              \
    K(max_pool2d_backward) K(max_pool2d_scatter) K(avg_pool2d_forward) K(avg_pool2d_backward)
#endif
