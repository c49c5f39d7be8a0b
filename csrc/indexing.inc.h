/* indexing.inc.h   See indexing.h. `bytes` is a literal everywhere, so that memcpy of one element is one move. */

QUERNEL_INLINE void FN(move_elements)(char *y, ptrdiff_t y_step, const char *x, ptrdiff_t x_step, ptrdiff_t n,
                                      size_t bytes)
{
    for (ptrdiff_t i = 0; i < n; i++) memcpy(y + i * y_step, x + i * x_step, bytes);
}

/* Copies that are to be streamed, and short ones, for which the call of memcpy is most of the time, vector by vector.
 */
QUERNEL_INLINE void FN(move_run)(char *restrict y, const char *restrict x, ptrdiff_t size, int stream)
{
    ptrdiff_t i = 0;
    vec v;
    if (stream && FN(can_stream)((const REAL *)y)) {
        for (; i + VECTOR_BYTES <= size; i += VECTOR_BYTES) {
            memcpy(&v, x + i, sizeof v);
            FN(stream)((REAL *)(y + i), v);
        }
    } else if (size <= MOVE_SHORT) {
        for (; i + VECTOR_BYTES <= size; i += VECTOR_BYTES) {
            memcpy(&v, x + i, sizeof v);
            memcpy(y + i, &v, sizeof v);
        }
    }
    if (i < size) memcpy(y + i, x + i, (size_t)(size - i));
}

QUERNEL_INLINE void FN(move_row)(const struct map_args *m, char *y, const char *x, ptrdiff_t n, ptrdiff_t bytes)
{
    const ptrdiff_t y_step = m->y_stride_bytes[m->dims - 1], x_step = m->stride_bytes[0][m->dims - 1];
    if (y_step == bytes && x_step == bytes)
        FN(move_run)(y, x, n * bytes, m->stream != 0);
    else if (y_step == bytes && x_step == 0)
        FN(move_elements)(y, bytes, x, 0, n, (size_t)bytes);
    else
        FN(move_elements)(y, y_step, x, x_step, n, (size_t)bytes);
}

/* A whole tile. Through a small one on the side, whose lines are then written whole, where the lines of y would push
 * each other out of the first-level cache, or are not in a cache at all. */
QUERNEL_INLINE void FN(transpose_tile)(const struct map_args *m, char *y, const char *x, ptrdiff_t bytes)
{
    enum { TILE = TRANSPOSE_TILE };
    const ptrdiff_t y_step = m->y_stride_bytes[m->dims - 2], x_step = m->stride_bytes[0][m->dims - 1];
    _Alignas(64) char turned[TILE * TILE * sizeof(int64_t)];
    if (!m->stream && y_step % TRANSPOSE_CONFLICT) {
        FN(turn_tile)(y, y_step, x, x_step, TILE, bytes);
        return;
    }
    FN(turn_tile)(turned, TILE * bytes, x, x_step, TILE, bytes);
    for (ptrdiff_t t = 0; t < TILE; t++)
        FN(move_run)(y + t * y_step, turned + t * TILE * bytes, TILE * bytes, m->stream != 0);
}

QUERNEL_INLINE void FN(transpose_units)(const struct map_args *m, ptrdiff_t lo, ptrdiff_t hi, ptrdiff_t bytes)
{
    enum { TILE = TRANSPOSE_TILE, BLOCK = TRANSPOSE_BLOCK };
    const ptrdiff_t last = m->dims - 1, T = m->shape[last - 1], L = m->shape[last];
    const ptrdiff_t y_step = m->y_stride_bytes[last - 1], x_step = m->stride_bytes[0][last];
    const ptrdiff_t t_blocks = (T + BLOCK - 1) / BLOCK, l_blocks = (L + BLOCK - 1) / BLOCK;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t l = unit % l_blocks * BLOCK, wide = L - l < BLOCK ? L - l : BLOCK;
        const ptrdiff_t t = unit / l_blocks % t_blocks * BLOCK, high = T - t < BLOCK ? T - t : BLOCK;
        char *y = (char *)m->y + t * y_step + l * bytes;
        const char *x = (const char *)m->x[0] + t * bytes + l * x_step;
        ptrdiff_t rest = unit / (l_blocks * t_blocks);
        for (ptrdiff_t d = last - 2; d >= 0; d--) {
            y += rest % m->shape[d] * m->y_stride_bytes[d];
            x += rest % m->shape[d] * m->stride_bytes[0][d];
            rest /= m->shape[d];
        }
        for (ptrdiff_t j = 0; j < wide; j += TILE) {
            ptrdiff_t i = 0;
            if (j + TILE <= wide)
                for (; i + TILE <= high; i += TILE)
                    FN(transpose_tile)(m, y + i * y_step + j * bytes, x + i * bytes + j * x_step, bytes);
            for (; i < high; i++)
                FN(move_elements)(y + i * y_step + j * bytes, bytes, x + i * bytes + j * x_step, x_step,
                                  wide - j < TILE ? wide - j : TILE, (size_t)bytes);
        }
    }
}

QUERNEL_INLINE void FN(gather_units)(const struct gather_args *a, ptrdiff_t lo, ptrdiff_t hi, ptrdiff_t bytes)
{
    const ptrdiff_t row = a->J * bytes;
    char *y = (char *)a->y + lo * row;
    while (lo < hi) { /* one o at a time */
        const ptrdiff_t o = lo / a->n, first = lo - o * a->n, n = hi - lo < a->n - first ? hi - lo : a->n - first;
        const char *x = (const char *)a->x + o * a->A * row;
        const int64_t *index = a->indices + first;
        if (a->J == 1)
            for (ptrdiff_t i = 0; i < n; i++) memcpy(y + i * bytes, x + index[i] * bytes, (size_t)bytes);
        else
            for (ptrdiff_t i = 0; i < n; i++) memcpy(y + i * row, x + index[i] * row, (size_t)row);
        lo += n;
        y += n * row;
    }
}

#define MOVING_KERNELS(BYTES)                                                                                          \
    static void FN(move_row_##BYTES)(const struct map_args *m, void *y, const char *const *x, ptrdiff_t n)             \
    {                                                                                                                  \
        FN(move_row)(m, y, x[0], n, BYTES);                                                                            \
    }                                                                                                                  \
    static void FN(move_##BYTES)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)                          \
    {                                                                                                                  \
        FN(map_walk)(args, lo, hi, 1, FN(move_row_##BYTES));                                                           \
    }                                                                                                                  \
    static void FN(fill_row_##BYTES)(const struct map_args *m, void *y, const char *const *x, ptrdiff_t n)             \
    {                                                                                                                  \
        FN(move_elements)(y, m->y_stride_bytes[m->dims - 1], (const char *)&m->p, 0, n, BYTES);                        \
    }                                                                                                                  \
    static void FN(fill_##BYTES)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)                          \
    {                                                                                                                  \
        FN(map_walk)(args, lo, hi, 0, FN(fill_row_##BYTES));                                                           \
    }                                                                                                                  \
    static void FN(transpose_##BYTES)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)                     \
    {                                                                                                                  \
        FN(transpose_units)(args, lo, hi, BYTES);                                                                      \
        FN(stream_end)();                                                                                              \
    }                                                                                                                  \
    static void FN(gather_##BYTES)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)                        \
    {                                                                                                                  \
        FN(gather_units)(args, lo, hi, BYTES);                                                                         \
    }

MOVING_KERNELS(1)
MOVING_KERNELS(2)
MOVING_KERNELS(4)
MOVING_KERNELS(8)
#undef MOVING_KERNELS

/* Counting sort: stable, so that rows of dy are added in index order. */
static void FN(scatter_sort)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct scatter_args *s = args;
    int64_t *start = s->start; /* A + 1 */
    for (ptrdiff_t a = 0; a <= s->A; a++) start[a] = 0;
    for (ptrdiff_t i = 0; i < s->n; i++) start[s->indices[i]]++;
    for (int64_t a = 0, total = 0; a <= s->A; a++) {
        total += start[a];
        start[a] = total; /* the end of row a */
    }
    for (ptrdiff_t i = s->n - 1; i >= 0; i--) s->order[--start[s->indices[i]]] = i; /* ends come down to starts */
}

static void FN(scatter_add)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    const struct scatter_args *s = args;
    const ptrdiff_t J = s->J;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t block = unit % s->blocks, row = unit / s->blocks, a = row % s->A, o = row / s->A;
        const ptrdiff_t first = block * SCATTER_WIDTH, end = J - first < SCATTER_WIDTH ? J : first + SCATTER_WIDTH;
        REAL *restrict dx = (REAL *)s->dx + row * J;
        for (ptrdiff_t i = first; i < end; i++) dx[i] = 0;
        for (int64_t k = s->start[a]; k < s->start[a + 1]; k++) {
            const REAL *restrict dy = (const REAL *)s->dy + (o * s->n + s->order[k]) * J;
#pragma omp simd
            for (ptrdiff_t i = first; i < end; i++) dx[i] += dy[i];
        }
    }
}
