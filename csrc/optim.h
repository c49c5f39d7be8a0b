/* optim.h   Parameter updates and gradient clipping over many arrays in one parallel region.
 *
 * The arrays of one call are cut into chunks of OPTIM_CHUNK elements; chunks count through all arrays.
 * Letters here: p parameter, g gradient, and the state that a rule keeps beside a parameter.
 * Unit of every kernel but norm_combine: one chunk. */
#ifndef QUERNEL_OPTIM_H
#define QUERNEL_OPTIM_H

/* 64 KiB of each array in float: some 10 microseconds of memory traffic. */
enum { OPTIM_CHUNK = 16384, OPTIM_STATES = 3 };

/* One row of the table: a parameter with what belongs to it. */
struct optim_array {
    void *p, *g;
    void *state[OPTIM_STATES]; /* NULL where the rule keeps none */
    ptrdiff_t size, first;     /* elements; number of its first chunk */
};

/* kernel          state                   hyper (read when the kernel runs)
 * sgd_update      velocity                rate, momentum, nesterov, weight decay
 * rmsprop_update  square, momentum, mean  rate, rho, epsilon, momentum, weight decay
 * adam_update     m, v, vmax              rate, beta 1, beta 2, epsilon, weight decay, decoupled, step
 * clip_by_value   none, nor p             low, high */
struct optim_args {
    const struct optim_array *arrays;
    ptrdiff_t count;
    const double *hyper;
};

/* norm_partial: the sum of squares of g in each chunk, in double.
 * norm_combine: root of the sum of partials in index order. Unit: one norm, of an array or of all `chunks`.
 * norm_scale: g *= max_norm / norm where norm > max_norm. */
struct norm_args {
    const struct optim_array *arrays;
    ptrdiff_t count, chunks;
    double *partial, *norm;
    double max_norm;
    int global; /* norm[0] is that of all arrays together */
};

#define OPTIM_KERNELS(K)                                                                                               \
    K(sgd_update)                                                                                                      \
    K(rmsprop_update)                                                                                                  \
    K(adam_update)                                                                                                     \
    K(clip_by_value)                                                                                                   \
    K(norm_partial)                                                                                                    \
    K(norm_combine)                                                                                                    \
    K(norm_scale)
#endif
