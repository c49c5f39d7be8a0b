/* recurrent.h   LSTM over a sequence; the equations stand in reference/recurrent.py.
 *
 * N rows, T steps, C inputs, U units, Z = 4U gate columns: i, f, g, o side by side.
 * A unit is a row of the batch. Rows do not depend on each other, so a range of rows runs through all its steps
 * without waiting for other threads, and its state stays in cache. What does not depend on the state (x·kernel,
 * and in the backward pass everything but dz) is a large product over all N·T rows, made by gemm.
 * Row n takes part in steps t < lengths[n] (NULL: in all); in the others its state is carried, zeros are stored. */
struct lstm_forward_args {
    void *h_seq, *c_seq;    /* (N, T, U) states after each step */
    void *h, *c;            /* (N, U) in: first state, out: last */
    void *gates;            /* (N, T, Z) in: x·kernel + bias, out: activated */
    const void *recurrent;  /* (U, Z), packed in panels or as it stands (then Z is a multiple of a tile's width) */
    const int64_t *lengths; /* (N,) or NULL */
    ptrdiff_t T, U;
    int packed, reverse;
};

/* One step of a few rows, too few for threads to share: they share its hidden units. Unit: tile_cols of these, of which
 * U is a multiple. */
struct lstm_units_args {
    void *h_next;                  /* (N, U) out; rows.h is in: other threads still read it */
    struct lstm_forward_args rows; /* but for h as above */
    ptrdiff_t N, step;             /* N <= LSTM_ROWS */
};

struct lstm_backward_args {
    void *dz;                /* (N, T, Z) gradient before activation */
    void *xh;                /* (N, T, C + U) what each step read: x beside the old h; 0 where a row has no part */
    void *dbias_n;           /* (N, Z) dz summed over the steps of a row */
    void *dh, *dc;           /* (N, U) in: gradient of the last state, out: of the first */
    const void *dh_seq;      /* (N, T, U) or NULL: zero */
    const void *x, *h0, *c0; /* (N, T, C), (N, U), (N, U) */
    const void *h_seq, *gates, *c_seq; /* as made by forward */
    const void *recurrent_transposed;  /* (Z, U) packed in panels */
    const int64_t *lengths;            /* (N,) or NULL */
    ptrdiff_t T, C, U;
    int reverse;
};

/* Rows that go through a step together: enough to read the recurrent weights from cache once for many rows, few
 * enough for a block of gates (LSTM_ROWS x Z) to stay in a second-level cache beside them. Whole tiles of 14. */
enum { LSTM_ROWS = 56 };
/* So few rows are done before the weights are read: every other step reads them backwards. With 1 MiB of weights, as
 * much as the second-level cache: 1 row 0.65 ms for 64 steps instead of 0.71; 3 rows even, 32 rows 1 % slower. */
enum { LSTM_TURN_ROWS = 2 };
/* Distance of rows in scratch: a cache line or two more than the length, to fall in different cache sets. */
#define LSTM_SKEWED(length) (((length) + 15) / 16 * 16 + 16)
/* Elements of scratch of lstm_forward; the others need less. */
#define LSTM_SCRATCH(U) (LSTM_ROWS * (LSTM_SKEWED(U) + LSTM_SKEWED(4 * (U))))

#define RECURRENT_KERNELS(K) K(lstm_forward) K(lstm_forward_units) K(lstm_backward)
