/* elementwise.h   y[i] = f(a[i], ...): arithmetic, comparisons, choice.
 *
 * A unit is one element of y. The operands x[0..2] are walked with their own strides (any sign, 0 to broadcast) over a
 * shape whose adjacent dimensions were merged where strides allow; y is contiguous (indexing.h lifts this). p and q are
 * parameters: clip's bounds, an activation's alpha.
 *
 * binary, compare: x[0] op x[1]     where: x[2] (bytes, 0 or 1) ? x[0] : x[1]     accumulate: y = x[0] + x[1], y = x[0]
 */
#ifndef QUERNEL_ELEMENTWISE_H
#define QUERNEL_ELEMENTWISE_H

#include <stddef.h>

enum { MAP_DIMS = 8, MAP_OPERANDS = 3 };

struct map_args {
    void *y;
    const void *x[MAP_OPERANDS];
    double p, q;
    ptrdiff_t stream; /* arithmetic on one or two operands, and moves: y is written past the caches (simd.h) */
    ptrdiff_t dims;   /* at least 1 */
    ptrdiff_t shape[MAP_DIMS];
    ptrdiff_t y_stride_bytes[MAP_DIMS];
    ptrdiff_t stride_bytes[MAP_OPERANDS][MAP_DIMS];
};

#define ELEMENTWISE_KERNELS(K)                                                                                         \
    K(unary_negative)                                                                                                  \
    K(unary_exp)                                                                                                       \
    K(unary_log)                                                                                                       \
    K(unary_log1p)                                                                                                     \
    K(unary_sqrt)                                                                                                      \
    K(unary_abs)                                                                                                       \
    K(unary_square)                                                                                                    \
    K(unary_reciprocal)                                                                                                \
    K(unary_sign)                                                                                                      \
    K(unary_sin)                                                                                                       \
    K(unary_cos)                                                                                                       \
    K(clip)                                                                                                            \
    K(binary_add)                                                                                                      \
    K(binary_subtract)                                                                                                 \
    K(binary_multiply)                                                                                                 \
    K(binary_divide)                                                                                                   \
    K(binary_power)                                                                                                    \
    K(binary_maximum)                                                                                                  \
    K(binary_minimum)                                                                                                  \
    K(compare_equal)                                                                                                   \
    K(compare_not_equal)                                                                                               \
    K(compare_less)                                                                                                    \
    K(compare_less_equal)                                                                                              \
    K(compare_greater)                                                                                                 \
    K(compare_greater_equal)                                                                                           \
    K(where)

#endif
