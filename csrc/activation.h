/* activation.h   y = f(x), dx = dy f', and the backward of a bias with an activation behind it.
 *
 * A unit of forward (out = y, saved = x) and backward (out = dx, saved: see activate.inc.h) is one element; arrays are
 * contiguous. The kernels stand in the order of enum activation_kind, so that a kind is added to the first of them.
 *
 * bias_activation_backward: M rows of C channels, a unit is a chunk of `rows` rows; partial[unit, C] are its sums of dz
 * (added up by reduce_finish). */
#ifndef QUERNEL_ACTIVATION_H
#define QUERNEL_ACTIVATION_H

#include <stddef.h>

struct activation_args {
    void *out;
    const void *dy;
    const void *saved;
    double alpha;
    int stream; /* out is written past the caches (simd.h) */
};

struct bias_activation_args {
    void *dz;
    double *partial;
    const void *dy;
    const void *y;
    double alpha;
    ptrdiff_t kind;
    ptrdiff_t M;
    ptrdiff_t C;
    ptrdiff_t rows;
    int stream; /* dz, as above */
};

#define ACTIVATION_KERNELS(K)                                                                                          \
    K(activation_forward_linear)                                                                                       \
    K(activation_forward_relu)                                                                                         \
    K(activation_forward_leaky_relu)                                                                                   \
    K(activation_forward_sigmoid)                                                                                      \
    K(activation_forward_tanh)                                                                                         \
    K(activation_forward_silu)                                                                                         \
    K(activation_forward_gelu)                                                                                         \
    K(activation_forward_gelu_tanh)                                                                                    \
    K(activation_forward_softplus)                                                                                     \
    K(activation_forward_elu)                                                                                          \
    K(activation_backward_linear)                                                                                      \
    K(activation_backward_relu)                                                                                        \
    K(activation_backward_leaky_relu)                                                                                  \
    K(activation_backward_sigmoid)                                                                                     \
    K(activation_backward_tanh)                                                                                        \
    K(activation_backward_silu)                                                                                        \
    K(activation_backward_gelu)                                                                                        \
    K(activation_backward_gelu_tanh)                                                                                   \
    K(activation_backward_softplus)                                                                                    \
    K(activation_backward_elu)                                                                                         \
    K(bias_activation_backward)

#endif
