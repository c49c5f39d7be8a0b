/* recurrent.inc.h   LSTM, forward and backward over ranges of rows (letters and structs: recurrent.h). */

/* C (rows, cols) = or += A (rows, K) times B (K, cols), whose rows are b_k apart; 0: packed in panels. */
QUERNEL_INLINE void FN(lstm_product)(REAL *c, ptrdiff_t c_i, const REAL *a, ptrdiff_t a_i, const REAL *b, ptrdiff_t b_k,
                                     ptrdiff_t rows, ptrdiff_t K, ptrdiff_t cols, int add, int backwards)
{
    struct tile_args t = {.c = c, .a = a, .b = b, .a_i = a_i, .a_k = 1, .c_i = c_i, .R = 1, .K = K, .add = add};
    t.rows = rows;
    t.cols = cols;
    t.b_k = b_k ? b_k : TILE_COLS;
    t.b_panel = b_k ? TILE_COLS : K * TILE_COLS;
    FN(tile_block)(&t, backwards);
}

/* Whether a step goes through the weights from their end, which the step before has left in cache. */
QUERNEL_INLINE int FN(lstm_backwards)(ptrdiff_t step, ptrdiff_t rows) { return step % 2 && rows <= LSTM_TURN_ROWS; }

/* One step of one row, columns [u, u + n), n <= VL.   z += h·recurrent_kernel;  c = f*c + i*g;  h = o*tanh(c). */
QUERNEL_INLINE void FN(lstm_gates)(REAL *gates, REAL *c, REAL *h, REAL *c_seq, REAL *h_seq, const REAL *hr, ptrdiff_t u,
                                   ptrdiff_t n, ptrdiff_t U)
{
    vec z[4];
    for (int k = 0; k < 4; k++) z[k] = FN(load_upto)(gates + k * U + u, n, 0) + FN(load_upto)(hr + k * U + u, n, 0);
    const vec i = FN(vsigmoid)(z[0]), f = FN(vsigmoid)(z[1]), g = FN(vtanh)(z[2]), o = FN(vsigmoid)(z[3]);
    const vec c_new = f * FN(load_upto)(c + u, n, 0) + i * g;
    const vec h_new = o * FN(vtanh)(c_new);
    FN(store_upto)(gates + u, i, n);
    FN(store_upto)(gates + U + u, f, n);
    FN(store_upto)(gates + 2 * U + u, g, n);
    FN(store_upto)(gates + 3 * U + u, o, n);
    FN(store_upto)(c + u, c_new, n);
    FN(store_upto)(h + u, h_new, n);
    FN(store_upto)(c_seq + u, c_new, n);
    FN(store_upto)(h_seq + u, h_new, n);
}

/* Its backward; dz goes to its array and to the block that the product reads.
 * dc += dh*o*(1 - tanh(c)^2);  dz follows from dc and dh gate by gate;  dc *= f hands it on. */
QUERNEL_INLINE void FN(lstm_gates_backward)(REAL *dz, REAL *dz_block, REAL *dbias, REAL *dh, REAL *dc,
                                            const REAL *dh_seq, const REAL *gates, const REAL *c_new,
                                            const REAL *c_before, ptrdiff_t u, ptrdiff_t n, ptrdiff_t U)
{
    const REAL *gi = gates + u, *gf = gi + U, *gg = gf + U, *go = gg + U;
    const vec i = FN(load_upto)(gi, n, 0), f = FN(load_upto)(gf, n, 0);
    const vec g = FN(load_upto)(gg, n, 0), o = FN(load_upto)(go, n, 0);
    const vec tanh_c = FN(vtanh)(FN(load_upto)(c_new + u, n, 0));
    vec dh_u = FN(load_upto)(dh + u, n, 0);
    if (dh_seq) dh_u += FN(load_upto)(dh_seq + u, n, 0);
    const vec dc_u = FN(load_upto)(dc + u, n, 0) + dh_u * o * (1 - tanh_c * tanh_c);
    const vec dz_k[4] = {dc_u * g * i * (1 - i), dc_u * FN(load_upto)(c_before + u, n, 0) * f * (1 - f),
                         dc_u * i * (1 - g * g), dh_u * tanh_c * o * (1 - o)};
    for (int k = 0; k < 4; k++) {
        const ptrdiff_t z = k * U + u;
        FN(store_upto)(dz + z, dz_k[k], n);
        FN(store_upto)(dz_block + z, dz_k[k], n);
        FN(store_upto)(dbias + z, FN(load_upto)(dbias + z, n, 0) + dz_k[k], n);
    }
    FN(store_upto)(dc + u, dc_u * f, n);
    FN(store_upto)(dh + u, FN(splat)(0), n); /* dz·recurrent_kernel' is added to it next */
}

QUERNEL_INLINE int FN(lstm_takes_part)(const int64_t *lengths, ptrdiff_t n, ptrdiff_t t)
{
    return !lengths || t < lengths[n];
}

/* One step of rows [lo, hi), at most LSTM_ROWS, for hidden units [u0, u1). h_new may be h where these are all. */
static void FN(lstm_forward_step)(const struct lstm_forward_args *a, ptrdiff_t step, ptrdiff_t lo, ptrdiff_t hi,
                                  ptrdiff_t u0, ptrdiff_t u1, REAL *h_new_block, const REAL *h_block, ptrdiff_t h_i,
                                  REAL *hr_block)
{
    const ptrdiff_t T = a->T, U = a->U, Z = 4 * U, z_skewed = LSTM_SKEWED(Z), t = a->reverse ? T - 1 - step : step;
    const size_t bytes = (size_t)(u1 - u0) * sizeof(REAL);
    const int backwards = FN(lstm_backwards)(step, hi - lo);
    const int all = u1 - u0 == U, products = all ? 1 : 4; /* of a gate each */

    for (int i = 0; i < products; i++) {
        const ptrdiff_t z = all ? 0 : (backwards ? 3 - i : i) * U + u0;
        const REAL *recurrent = (const REAL *)a->recurrent + (a->packed ? z * U : z);
        FN(lstm_product)(hr_block + z, z_skewed, h_block, h_i, recurrent, a->packed ? 0 : Z, hi - lo, U,
                         all ? Z : u1 - u0, 0, backwards);
    }
    for (ptrdiff_t n = lo; n < hi; n++) {
        const REAL *hr = hr_block + (n - lo) * z_skewed, *h = h_block + (n - lo) * h_i;
        REAL *h_new = h_new_block + (n - lo) * h_i, *c = (REAL *)a->c + n * U,
             *gates = (REAL *)a->gates + (n * T + t) * Z;
        REAL *h_seq = (REAL *)a->h_seq + (n * T + t) * U, *c_seq = (REAL *)a->c_seq + (n * T + t) * U;
        if (FN(lstm_takes_part)(a->lengths, n, t)) {
            ptrdiff_t u = u0;
            for (; u + VL <= u1; u += VL) FN(lstm_gates)(gates, c, h_new, c_seq, h_seq, hr, u, VL, U);
            if (u < u1) FN(lstm_gates)(gates, c, h_new, c_seq, h_seq, hr, u, u1 - u, U);
        } else {
            for (int k = 0; k < 4; k++) memset(gates + k * U + u0, 0, bytes);
            memset(h_seq + u0, 0, bytes);
            memset(c_seq + u0, 0, bytes);
            if (h_new != h) memcpy(h_new + u0, h + u0, bytes);
        }
    }
}

/* Rows [lo, hi), at most LSTM_ROWS. Products read and write blocks in scratch: in the arrays themselves neighbouring
 * rows are T·Z apart, often a power of two, and would fall in one cache set. */
static void FN(lstm_forward_block)(const struct lstm_forward_args *a, ptrdiff_t lo, ptrdiff_t hi, REAL *scratch)
{
    const ptrdiff_t U = a->U, h_skewed = LSTM_SKEWED(U);
    REAL *h_block = scratch, *hr_block = scratch + LSTM_ROWS * h_skewed;

    for (ptrdiff_t n = lo; n < hi; n++)
        memcpy(h_block + (n - lo) * h_skewed, (REAL *)a->h + n * U, (size_t)U * sizeof(REAL));
    for (ptrdiff_t step = 0; step < a->T; step++)
        FN(lstm_forward_step)(a, step, lo, hi, 0, U, h_block, h_block, h_skewed, hr_block);
    for (ptrdiff_t n = lo; n < hi; n++)
        memcpy((REAL *)a->h + n * U, h_block + (n - lo) * h_skewed, (size_t)U * sizeof(REAL));
}

static void FN(lstm_backward_block)(const struct lstm_backward_args *a, ptrdiff_t lo, ptrdiff_t hi, REAL *scratch)
{
    const ptrdiff_t T = a->T, C = a->C, U = a->U, Z = 4 * U, z_skewed = LSTM_SKEWED(Z), before = a->reverse ? 1 : -1;
    const REAL *x_ntc = a->x, *h0_nu = a->h0, *c0_nu = a->c0, *dh_seq_ntu = a->dh_seq;
    const REAL *h_seq_ntu = a->h_seq, *gates_ntz = a->gates, *c_seq_ntu = a->c_seq;
    REAL *dz_ntz = a->dz, *xh_ntk = a->xh, *dbias_nz = a->dbias_n, *dh_nu = a->dh, *dc_nu = a->dc;

    memset(dbias_nz + lo * Z, 0, (size_t)((hi - lo) * Z) * sizeof(REAL));
    for (ptrdiff_t step = T - 1; step >= 0; step--) {
        const ptrdiff_t t = a->reverse ? T - 1 - step : step;
        for (ptrdiff_t n = lo; n < hi; n++) {
            const ptrdiff_t nt = n * T + t;
            REAL *dz = dz_ntz + nt * Z, *dz_row = scratch + (n - lo) * z_skewed, *xh = xh_ntk + nt * (C + U);
            if (FN(lstm_takes_part)(a->lengths, n, t)) {
                const int first = step == 0 || !FN(lstm_takes_part)(a->lengths, n, t + before);
                const REAL *h_before = first ? h0_nu + n * U : h_seq_ntu + (nt + before) * U;
                const REAL *c_before = first ? c0_nu + n * U : c_seq_ntu + (nt + before) * U;
                const REAL *c_new = c_seq_ntu + nt * U, *gates = gates_ntz + nt * Z;
                const REAL *dh_seq = dh_seq_ntu ? dh_seq_ntu + nt * U : NULL;
                REAL *dbias = dbias_nz + n * Z, *dh = dh_nu + n * U, *dc = dc_nu + n * U;
                ptrdiff_t u = 0;
                for (; u + VL <= U; u += VL)
                    FN(lstm_gates_backward)(dz, dz_row, dbias, dh, dc, dh_seq, gates, c_new, c_before, u, VL, U);
                if (u < U)
                    FN(lstm_gates_backward)(dz, dz_row, dbias, dh, dc, dh_seq, gates, c_new, c_before, u, U - u, U);
                memcpy(xh, x_ntc + nt * C, (size_t)C * sizeof(REAL));
                memcpy(xh + C, h_before, (size_t)U * sizeof(REAL));
            } else {
                memset(dz, 0, (size_t)Z * sizeof(REAL));
                memset(dz_row, 0, (size_t)Z * sizeof(REAL));
                memset(xh, 0, (size_t)(C + U) * sizeof(REAL));
            }
        }
        FN(lstm_product)(dh_nu + lo * U, U, scratch, z_skewed, a->recurrent_transposed, 0, hi - lo, Z, U, 1,
                         FN(lstm_backwards)(step, hi - lo));
    }
}

static void FN(lstm_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    for (ptrdiff_t n = lo; n < hi; n += LSTM_ROWS)
        FN(lstm_forward_block)(args, n, n + LSTM_ROWS < hi ? n + LSTM_ROWS : hi, scratch);
}

static void FN(lstm_forward_units)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct lstm_units_args *a = args;
    FN(lstm_forward_step)(&a->rows, a->step, 0, a->N, lo * TILE_COLS, hi * TILE_COLS, a->h_next, a->rows.h, a->rows.U,
                          scratch);
}

static void FN(lstm_backward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    for (ptrdiff_t n = lo; n < hi; n += LSTM_ROWS)
        FN(lstm_backward_block)(args, n, n + LSTM_ROWS < hi ? n + LSTM_ROWS : hi, scratch);
}
