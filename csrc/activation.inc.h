/* activation.inc.h   See activation.h. The formulas are in activate.inc.h. */
#define ACTIVATION(NAME, KIND)                                                                                         \
    static void FN(activation_forward_##NAME)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)             \
    {                                                                                                                  \
        const struct activation_args *a = args;                                                                        \
        const REAL *x = a->saved, alpha = (REAL)a->alpha;                                                              \
        REAL *y = a->out;                                                                                              \
        const int stream = a->stream && FN(can_stream)(y + lo);                                                        \
        for (ptrdiff_t i = lo; i < hi; i += VL)                                                                        \
            FN(stream_upto)(y + i, FN(activate)(FN(load_upto)(x + i, hi - i, 1), KIND, alpha), hi - i, stream);        \
        if (stream) FN(stream_end)();                                                                                  \
    }                                                                                                                  \
    static void FN(activation_backward_##NAME)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)            \
    {                                                                                                                  \
        const struct activation_args *a = args;                                                                        \
        const REAL *dy = a->dy, *saved = a->saved, alpha = (REAL)a->alpha;                                             \
        REAL *dx = a->out;                                                                                             \
        const int stream = a->stream && FN(can_stream)(dx + lo);                                                       \
        for (ptrdiff_t i = lo; i < hi; i += VL) {                                                                      \
            const vec s = FN(load_upto)(saved + i, hi - i, 1), d = FN(load_upto)(dy + i, hi - i, 1);                   \
            FN(stream_upto)(dx + i, FN(activate_backward)(d, s, KIND, alpha), hi - i, stream);                         \
        }                                                                                                              \
        if (stream) FN(stream_end)();                                                                                  \
    }

ACTIVATION(linear, ACT_LINEAR)
ACTIVATION(relu, ACT_RELU)
ACTIVATION(leaky_relu, ACT_LEAKY_RELU)
ACTIVATION(sigmoid, ACT_SIGMOID)
ACTIVATION(tanh, ACT_TANH)
ACTIVATION(silu, ACT_SILU)
ACTIVATION(gelu, ACT_GELU)
ACTIVATION(gelu_tanh, ACT_GELU_TANH)
ACTIVATION(softplus, ACT_SOFTPLUS)
ACTIVATION(elu, ACT_ELU)
#undef ACTIVATION

/* dz = dy f'(y) over rows [lo, hi) of C channels, and sum_c += dz. */
QUERNEL_INLINE void FN(bias_activation_rows)(REAL *restrict dz_mc, double *restrict sum_c, const REAL *restrict dy_mc,
                                             const REAL *restrict y_mc, ptrdiff_t lo, ptrdiff_t hi, ptrdiff_t C,
                                             int kind, REAL alpha, int stream)
{
    for (ptrdiff_t m = lo; m < hi; m += WIDE_STEPS) {
        const ptrdiff_t end = m + WIDE_STEPS < hi ? m + WIDE_STEPS : hi;
        for (ptrdiff_t c = 0; c < C; c += VL) {
            const ptrdiff_t n = C - c;
            vec sum = {0};
            for (ptrdiff_t r = m; r < end; r++) {
                const ptrdiff_t at = r * C + c;
                const vec dy = FN(load_upto)(dy_mc + at, n, 0), y = FN(load_upto)(y_mc + at, n, 0);
                const vec dz = FN(activate_backward)(dy, y, kind, alpha);
                FN(stream_upto)(dz_mc + at, dz, n, stream);
                sum += dz;
            }
            FN(add_wide)(sum_c + c, sum, n);
        }
    }
}

static void FN(bias_activation_backward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct bias_activation_args *a = args;
    const REAL alpha = (REAL)a->alpha;
    const int stream = a->stream && a->C % VL == 0; /* dz begins at a cache line, so do its rows */
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t first = unit * a->rows;
        const ptrdiff_t end = first + a->rows < a->M ? first + a->rows : a->M;
        double *sum = a->partial + unit * a->C;
        for (ptrdiff_t c = 0; c < a->C; c++) sum[c] = 0;
#define ROWS(KIND)                                                                                                     \
    case KIND: FN(bias_activation_rows)(a->dz, sum, a->dy, a->y, first, end, a->C, KIND, alpha, stream); break;
        switch (a->kind) {
            ROWS(ACT_LINEAR)
            ROWS(ACT_RELU)
            ROWS(ACT_LEAKY_RELU)
            ROWS(ACT_SIGMOID)
            ROWS(ACT_TANH)
            ROWS(ACT_SOFTPLUS)
            ROWS(ACT_ELU)
        }
#undef ROWS
    }
    if (stream) FN(stream_end)();
}
