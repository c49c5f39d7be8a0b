/* pool_backward.inc.h   See pool.h for the letters and what a unit is. */

/* dx of n <= VL elements: over windows (p, q) in `rows` x `cols`, what they send back to the input whose place, counted
 * from the padding's edge, is (up, along). `first` is the element of window (0, 0). */
QUERNEL_INLINE vec FN(pool_gather_vector)(const REAL *restrict dy, const void *restrict index, ptrdiff_t first,
                                          ptrdiff_t n, struct FN(pool_span) rows, struct FN(pool_span) cols,
                                          ptrdiff_t up, ptrdiff_t along, const struct pool_args *a,
                                          const enum pool_share share)
{
    const ptrdiff_t C = a->C, OW = a->OW, KW = a->KW, sh = a->sh, sw = a->sw;
    vec sum = {0};
    for (ptrdiff_t p = rows.begin; p < rows.end; p++)
        for (ptrdiff_t q = cols.begin; q < cols.end; q++) {
            const ptrdiff_t at = (p * OW + q) * C + first;
            const vec d = FN(load_upto)(dy + at, n, 0);
            if (share == POOL_UNIFORM) {
                sum += d;
            } else if (share == POOL_COUNTED) {
                const struct FN(pool_span) r = FN(pool_inside)(p * sh - a->top, a->KH, a->H);
                const struct FN(pool_span) c = FN(pool_inside)(q * sw - a->left, KW, a->W);
                sum += d * (1 / (REAL)((r.end - r.begin) * (c.end - c.begin)));
            } else {
                const INT number = (INT)((up - p * sh) * KW + along - q * sw);
                const ivec winner = FN(pool_load_index)(index, at, n, share == POOL_WORD);
                sum += (vec)((ivec)d & (winner == (ivec){0} + number));
            }
        }
    return share == POOL_UNIFORM ? sum * (1 / (REAL)(a->KH * KW)) : sum;
}

/* `items` pieces of `count` elements, dx_step apart; their windows are `rows` x `cols`, one column on for each item. */
QUERNEL_INLINE void FN(pool_gather_items)(REAL *restrict dx, ptrdiff_t dx_step, const REAL *restrict dy,
                                          const void *restrict index, ptrdiff_t items, ptrdiff_t count,
                                          struct FN(pool_span) rows, struct FN(pool_span) cols, ptrdiff_t up,
                                          ptrdiff_t along, const struct pool_args *a, const enum pool_share share)
{
    for (ptrdiff_t item = 0; item < items; item++) {
        const ptrdiff_t first = item * a->C;
        REAL *restrict out = dx + item * dx_step;
        if (count < VL) {
            const vec v = FN(pool_gather_vector)(dy, index, first, count, rows, cols, up, along, a, share);
            FN(store_part)(out, v, count);
            continue;
        }
        for (ptrdiff_t step = 0; step < count; step += VL) {
            const ptrdiff_t e = FN(pool_vector_start)(step, count);
            const vec v = FN(pool_gather_vector)(dy, index, first + e, VL, rows, cols, up, along, a, share);
            FN(stream_upto)(out + e, v, VL, a->stream);
        }
    }
}

/* The numbers of windows that a 2x2 pooling and a 3x3 one with steps of 2 have are known to the compiler. */
QUERNEL_INLINE void FN(pool_gather)(REAL *restrict dx, ptrdiff_t dx_step, const REAL *restrict dy,
                                    const void *restrict index, ptrdiff_t items, ptrdiff_t count,
                                    struct FN(pool_span) rows, struct FN(pool_span) cols, ptrdiff_t up, ptrdiff_t along,
                                    const struct pool_args *a, const enum pool_share share)
{
    const ptrdiff_t high = rows.end - rows.begin, wide = cols.end - cols.begin;
#define GATHER_FIXED(HIGH, WIDE)                                                                                       \
    if (high == (HIGH) && wide == (WIDE)) {                                                                            \
        rows.end = rows.begin + (HIGH);                                                                                \
        cols.end = cols.begin + (WIDE);                                                                                \
        FN(pool_gather_items)(dx, dx_step, dy, index, items, count, rows, cols, up, along, a, share);                  \
        return;                                                                                                        \
    }
    GATHER_FIXED(1, 1)
    GATHER_FIXED(1, 2)
    GATHER_FIXED(2, 1)
    GATHER_FIXED(2, 2)
#undef GATHER_FIXED
    FN(pool_gather_items)(dx, dx_step, dy, index, items, count, rows, cols, up, along, a, share);
}

/* Every sw-th column of a row is a run of `run` items whose windows lie alike. Few channels: made as one piece, then
 * spread. */
QUERNEL_INLINE void FN(pool_gather_phase)(REAL *restrict dx, REAL *restrict phase_row, const REAL *restrict dy,
                                          const void *restrict index, ptrdiff_t run, struct FN(pool_span) rows,
                                          ptrdiff_t up, ptrdiff_t along, const struct pool_args *a,
                                          const enum pool_share share)
{
    const ptrdiff_t C = a->C, sw = a->sw, bytes = C * (ptrdiff_t)sizeof(REAL);
    const struct FN(pool_span) cols = FN(pool_covering)(along, a->KW, sw, a->OW);
    if (sw == 1) {
        FN(pool_gather)(dx, 0, dy, index, 1, run * C, rows, cols, up, along, a, share);
    } else if (C >= VL) {
        FN(pool_gather)(dx, sw * C, dy, index, run, C, rows, cols, up, along, a, share);
    } else {
        FN(pool_gather)(phase_row, 0, dy, index, 1, run * C, rows, cols, up, along, a, share);
        FN(pool_copy_items)((char *)dx, (const char *)phase_row, run, bytes, bytes * sw, bytes);
    }
}

QUERNEL_INLINE void FN(pool_backward)(const struct pool_args *args, ptrdiff_t lo, ptrdiff_t hi, REAL *phase_row,
                                      const enum pool_share share)
{
    const struct pool_args copy = *args, *const a = &copy; /* which no store to dx can be taken to change */
    const ptrdiff_t W = a->W, C = a->C, OW = a->OW, KW = a->KW, sw = a->sw;
    const ptrdiff_t index_bytes = share == POOL_WORD ? 4 : 1;
    /* Columns [begin, end): all that cover them are alike, shifted by one for each sw columns. Where the shares differ
     * the windows must be whole, too. */
    const struct FN(pool_span) like = share == POOL_COUNTED ? FN(pool_whole_outputs)(a) : (struct FN(pool_span)){0, OW};
    ptrdiff_t begin = KW + (like.begin - 1) * sw - a->left, end = like.end * sw - a->left;
    begin = begin < 0 ? 0 : begin > W ? W : begin;
    end = end > W ? W : end < begin ? begin : end;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / a->H, up = unit % a->H + a->top;
        const REAL *dy = (const REAL *)a->in + n * a->OH * OW * C;
        const void *index = (const char *)a->index_in + n * a->OH * OW * C * index_bytes;
        REAL *dx = (REAL *)a->out + unit * W * C;
        const struct FN(pool_span) rows = FN(pool_covering)(up, a->KH, a->sh, a->OH);
        for (ptrdiff_t w = 0; w < W;) {
            if (w < begin || w >= end) {
                const struct FN(pool_span) cols = FN(pool_covering)(w + a->left, KW, sw, OW);
                FN(pool_gather)(dx + w * C, 0, dy, index, 1, C, rows, cols, up, w + a->left, a, share);
                w++;
                continue;
            }
            for (ptrdiff_t i = 0; i < sw && w + i < end; i++)
                FN(pool_gather_phase)(dx + (w + i) * C, phase_row, dy, index, (end - w - i + sw - 1) / sw, rows, up,
                                      w + i + a->left, a, share);
            w = end;
        }
    }
    if (a->stream) FN(stream_end)();
}

/* Adds the window at (h, w) to its winners, which may lie beyond the image. */
QUERNEL_INLINE void FN(pool_scatter_border)(REAL *restrict dx, const REAL *restrict dy, const uint8_t *restrict index,
                                            ptrdiff_t h, ptrdiff_t w, const struct pool_args *a)
{
    for (ptrdiff_t c = 0; c < a->C; c++) {
        const ptrdiff_t row = h + index[c] / (uint32_t)a->KW, column = w + index[c] % (uint32_t)a->KW;
        if (row >= 0 && row < a->H && column >= 0 && column < a->W) dx[(row * a->W + column) * a->C + c] += dy[c];
    }
}

/* The same for `run` windows within the image, a constant number of channels each; offset[i] is how far position i
 * lies from position 0. */
QUERNEL_INLINE void FN(pool_scatter_run)(REAL *restrict dx, const REAL *restrict dy, const uint8_t *restrict index,
                                         const int32_t *restrict offset, ptrdiff_t run, ptrdiff_t step,
                                         const ptrdiff_t C)
{
    for (ptrdiff_t q = 0; q < run; q++)
        for (ptrdiff_t c = 0; c < C; c++) dx[q * step + c + offset[index[q * C + c]]] += dy[q * C + c];
}

/* Few channels: each output's share goes to its winner. */
static void FN(max_pool2d_scatter)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct pool_args *a = args;
    const ptrdiff_t W = a->W, C = a->C, OW = a->OW, positions = a->KH * a->KW;
    const struct FN(pool_span) whole = FN(pool_whole_outputs)(a);
    int32_t offset[POOL_BYTE_POSITIONS] = {0};
    for (ptrdiff_t i = 0; i < positions; i++) offset[i] = (int32_t)((i / a->KW * W + i % a->KW) * C);
    for (ptrdiff_t n = lo; n < hi; n++) {
        REAL *dx = (REAL *)a->out + n * a->H * W * C;
        memset(dx, 0, (size_t)(a->H * W * C) * sizeof(REAL));
        for (ptrdiff_t p = 0; p < a->OH; p++) {
            const ptrdiff_t h = p * a->sh - a->top, row = (n * a->OH + p) * OW * C;
            const REAL *dy = (const REAL *)a->in + row;
            const uint8_t *index = (const uint8_t *)a->index_in + row;
            for (ptrdiff_t q = 0; q < OW;) {
                const ptrdiff_t w = q * a->sw - a->left;
                const int inside = h >= 0 && h + a->KH <= a->H && q >= whole.begin && q < whole.end;
                const ptrdiff_t run = inside ? whole.end - q : 1, step = a->sw * C;
                REAL *to = dx + (h * W + w) * C; /* outside of dx unless `inside` */
                if (!inside)
                    FN(pool_scatter_border)(dx, dy + q * C, index + q * C, h, w, a);
                else if (C == 1)
                    FN(pool_scatter_run)(to, dy + q, index + q, offset, run, step, 1);
                else if (C == 3)
                    FN(pool_scatter_run)(to, dy + q * 3, index + q * 3, offset, run, step, 3);
                else
                    FN(pool_scatter_run)(to, dy + q * C, index + q * C, offset, run, step, C);
                q += run;
            }
        }
    }
}

static void FN(max_pool2d_backward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct pool_args *a = args;
    if (a->KH * a->KW > POOL_BYTE_POSITIONS)
        FN(pool_backward)(a, lo, hi, scratch, POOL_WORD);
    else
        FN(pool_backward)(a, lo, hi, scratch, POOL_BYTE);
}

static void FN(avg_pool2d_backward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct pool_args *a = args;
    const int inside =
        a->top == 0 && a->left == 0 && (a->OH - 1) * a->sh + a->KH <= a->H && (a->OW - 1) * a->sw + a->KW <= a->W;
    if (a->count_include_pad || inside)
        FN(pool_backward)(a, lo, hi, scratch, POOL_UNIFORM);
    else
        FN(pool_backward)(a, lo, hi, scratch, POOL_COUNTED);
}
