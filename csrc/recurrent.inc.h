/* recurrent.inc.h   LSTM, forward and backward over ranges of rows (letters and structs: recurrent.h). */

/* C (rows, cols) = or += A (rows, K) times B (K, cols), which is packed in panels or as it stands. */
QUERNEL_INLINE void FN(lstm_product)(REAL *c, ptrdiff_t c_i, const REAL *a, ptrdiff_t a_i, const REAL *b, int packed,
                                     ptrdiff_t rows, ptrdiff_t K, ptrdiff_t cols, int add)
{
    struct tile_args t = {.a = a, .a_i = a_i, .a_k = 1, .c_i = c_i, .rows = rows, .R = 1, .K = K, .add = add};
    t.b_k = packed ? TILE_COLS : cols;
    for (ptrdiff_t j = 0; j < cols; j += TILE_COLS) {
        t.b = packed ? b + j * K : b + j;
        t.c = c + j;
        t.cols = cols - j < TILE_COLS ? cols - j : TILE_COLS;
        FN(tile_rows)(&t);
    }
}

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

/* Rows [lo, hi), at most LSTM_ROWS. Products read and write blocks in scratch: in the arrays themselves neighbouring
 * rows are T·Z apart, often a power of two, and would fall in one cache set. */
static void FN(lstm_forward_block)(const struct lstm_forward_args *a, ptrdiff_t lo, ptrdiff_t hi, REAL *scratch)
{
    const ptrdiff_t T = a->T, U = a->U, Z = 4 * U, h_skewed = LSTM_SKEWED(U), z_skewed = LSTM_SKEWED(Z);
    REAL *c_nu = a->c, *gates_ntz = a->gates, *h_seq_ntu = a->h_seq, *c_seq_ntu = a->c_seq;
    REAL *h_block = scratch, *hr_block = scratch + LSTM_ROWS * h_skewed;

    for (ptrdiff_t n = lo; n < hi; n++)
        memcpy(h_block + (n - lo) * h_skewed, (REAL *)a->h + n * U, (size_t)U * sizeof(REAL));
    for (ptrdiff_t step = 0; step < T; step++) {
        const ptrdiff_t t = a->reverse ? T - 1 - step : step;
        FN(lstm_product)(hr_block, z_skewed, h_block, h_skewed, a->recurrent, a->packed, hi - lo, U, Z, 0);
        for (ptrdiff_t n = lo; n < hi; n++) {
            const REAL *hr = hr_block + (n - lo) * z_skewed;
            REAL *h = h_block + (n - lo) * h_skewed, *c = c_nu + n * U, *gates = gates_ntz + (n * T + t) * Z;
            REAL *h_seq = h_seq_ntu + (n * T + t) * U, *c_seq = c_seq_ntu + (n * T + t) * U;
            if (FN(lstm_takes_part)(a->lengths, n, t)) {
                ptrdiff_t u = 0;
                for (; u + VL <= U; u += VL) FN(lstm_gates)(gates, c, h, c_seq, h_seq, hr, u, VL, U);
                if (u < U) FN(lstm_gates)(gates, c, h, c_seq, h_seq, hr, u, U - u, U);
            } else {
                memset(gates, 0, (size_t)Z * sizeof(REAL));
                memset(h_seq, 0, (size_t)U * sizeof(REAL));
                memset(c_seq, 0, (size_t)U * sizeof(REAL));
            }
        }
    }
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
        FN(lstm_product)(dh_nu + lo * U, U, scratch, z_skewed, a->recurrent_transposed, 1, hi - lo, Z, U, 1);
    }
}

static void FN(lstm_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    for (ptrdiff_t n = lo; n < hi; n += LSTM_ROWS)
        FN(lstm_forward_block)(args, n, n + LSTM_ROWS < hi ? n + LSTM_ROWS : hi, scratch);
}

static void FN(lstm_backward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    for (ptrdiff_t n = lo; n < hi; n += LSTM_ROWS)
        FN(lstm_backward_block)(args, n, n + LSTM_ROWS < hi ? n + LSTM_ROWS : hi, scratch);
}
