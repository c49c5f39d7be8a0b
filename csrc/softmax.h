/* softmax.h   Softmax, log-softmax, and softmax cross-entropy of rows.
 *
 *   y_rc = exp(x_rc) / sum_c exp(x_rc)             lse_r = log sum_c exp(x_rc)
 *   loss_r = v_r sum_c q_rc (lse_r - x_rc),         q_rc = w_c ((1 - s) t_rc + s / C)
 *   dx_rc = v_r (y_rc sum_c q_rc - q_rc), the gradient of sum_r loss_r
 *
 * Letters here: R rows, C classes, x logits, t target distribution (one-hot where labels are given),
 * w class weights, s label smoothing, v row weights. Unit of every kernel: one row.
 * Cross-entropy writes dx past the caches if it is given scratch, which then holds two rows of whole vectors. */
#ifndef QUERNEL_SOFTMAX_H
#define QUERNEL_SOFTMAX_H

/* softmax_forward, log_softmax_forward */
struct softmax_args {
    void *y_rc;
    const void *x_rc;
    ptrdiff_t C;
};

/* softmax_backward, log_softmax_backward; y is the output of forward */
struct softmax_backward_args {
    void *dx_rc;
    const void *dy_rc, *y_rc;
    ptrdiff_t C;
};

/* Cross-entropy, forward and backward in one: the weight of a row in the loss of the batch is known beforehand. */
struct softmax_xent_args {
    void *loss_r, *dx_rc; /* dx NULL: the loss alone */
    const void *x_rc;
    const int64_t *label_r; /* or NULL, and then */
    const void *t_rc;
    const void *w_c; /* NULL: all 1 */
    const void *v_r; /* times scale; NULL: all 1 */
    ptrdiff_t C;
    double smoothing, scale;
    int64_t ignore; /* rows with this label count nothing, if */
    int has_ignore;
};

#define SOFTMAX_KERNELS(K)                                                                                             \
    K(softmax_forward)                                                                                                 \
    K(softmax_backward)                                                                                                \
    K(log_softmax_forward)                                                                                             \
    K(log_softmax_backward)                                                                                            \
    K(softmax_xent)
#endif
