/* pool.inc.h   See pool.h for the letters and what a unit is.
 *
 * The innermost functions take `count` neighbouring elements whose windows lie alike: the channels of one output, or,
 * where neighbours along the row move in step (stride 1), a whole run of the row, so that few channels fill the vectors
 * too. A last vector that would stick out is moved back over elements already done (same values, written again). */

typedef uint8_t FN(pool_bytes) __attribute__((vector_size(VECTOR_BYTES / sizeof(REAL))));
typedef int32_t FN(pool_words) __attribute__((vector_size(VECTOR_BYTES / sizeof(REAL) * 4)));

/* GCC makes sixteen scalar moves of the conversion; the instructions exist. */
QUERNEL_INLINE ivec FN(pool_widen)(FN(pool_bytes) bytes)
{
#if defined(__AVX2__) && VECTOR_BYTES >= 32
    __m128i b = _mm_setzero_si128();
    memcpy(&b, &bytes, sizeof bytes);
#if VECTOR_BYTES == 64
    return REAL_IS_DOUBLE ? (ivec)_mm512_cvtepu8_epi64(b) : (ivec)_mm512_cvtepu8_epi32(b);
#else
    return REAL_IS_DOUBLE ? (ivec)_mm256_cvtepu8_epi64(b) : (ivec)_mm256_cvtepu8_epi32(b);
#endif
#else
    return __builtin_convertvector(bytes, ivec);
#endif
}

QUERNEL_INLINE ivec FN(pool_load_index)(const void *index, ptrdiff_t at, ptrdiff_t n, int wide)
{
    if (wide) {
        FN(pool_words) w = {0};
        memcpy(&w, (const int32_t *)index + at, n >= VL ? sizeof w : (size_t)n * 4);
        return __builtin_convertvector(w, ivec);
    }
    FN(pool_bytes) b = {0};
#if defined(__AVX512VL__) && VECTOR_BYTES == 64
    if (n < VL) { /* a copy of unknown length would be a call */
        const __m128i part = _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), (const uint8_t *)index + at);
        memcpy(&b, &part, sizeof b);
        return FN(pool_widen)(b);
    }
#endif
    memcpy(&b, (const uint8_t *)index + at, n >= VL ? sizeof b : (size_t)n);
    return FN(pool_widen)(b);
}

QUERNEL_INLINE void FN(pool_store_index)(void *index, ptrdiff_t at, ivec v, ptrdiff_t n, int wide)
{
    if (wide) {
        const FN(pool_words) w = __builtin_convertvector(v, FN(pool_words));
        memcpy((int32_t *)index + at, &w, n >= VL ? sizeof w : (size_t)n * 4);
    } else {
        const FN(pool_bytes) b = __builtin_convertvector(v, FN(pool_bytes));
        memcpy((uint8_t *)index + at, &b, n >= VL ? sizeof b : (size_t)n);
    }
}

/* Where the vector that begins at element e of `count` really begins. */
QUERNEL_INLINE ptrdiff_t FN(pool_vector_start)(ptrdiff_t e, ptrdiff_t count)
{
    return e + VL <= count || count < VL ? e : count - VL;
}

/* The part [begin, end) of a window's rows or columns that lies inside an image of `size`. */
struct FN(pool_span) {
    ptrdiff_t begin, end;
};

QUERNEL_INLINE struct FN(pool_span) FN(pool_inside)(ptrdiff_t start, ptrdiff_t window, ptrdiff_t size)
{
    const ptrdiff_t begin = start < 0 ? -start : 0, end = size - start < window ? size - start : window;
    return (struct FN(pool_span)){begin, end < begin ? begin : end};
}

/* Outputs of a row whose windows lie inside the image from side to side. */
QUERNEL_INLINE struct FN(pool_span) FN(pool_whole_outputs)(const struct pool_args *a)
{
    const ptrdiff_t room = a->W + a->left - a->KW;
    ptrdiff_t end = room < 0 ? 0 : room / a->sw + 1, begin = (a->left + a->sw - 1) / a->sw;
    if (end > a->OW) end = a->OW;
    if (begin > end) begin = end;
    return (struct FN(pool_span)){begin, end};
}

/* Windows [begin, end) of a row or column of `count` that cover the input at `place`, counted from the padding's edge.
 */
QUERNEL_INLINE struct FN(pool_span)
    FN(pool_covering)(ptrdiff_t place, ptrdiff_t window, ptrdiff_t stride, ptrdiff_t count)
{
    const ptrdiff_t begin = place < window ? 0 : (place - window) / stride + 1, end = place / stride + 1;
    return (struct FN(pool_span)){begin, end < count ? end : count};
}

struct FN(pool_winner) {
    vec value;
    ivec number;
};

/* Where a NaN may be among the candidates: a later one wins if greater, or if it is the first NaN. */
static __attribute__((noinline)) struct FN(pool_winner)
    FN(pool_max_nan)(const REAL *x, ptrdiff_t n, struct FN(pool_span) rows, struct FN(pool_span) cols, ptrdiff_t KW,
                     ptrdiff_t W, ptrdiff_t C)
{
    struct FN(pool_winner) best = {.value = FN(load_upto)(x + (rows.begin * W + cols.begin) * C, n, 0),
                                   .number = (ivec){0} + (INT)(rows.begin * KW + cols.begin)};
    for (ptrdiff_t i = rows.begin; i < rows.end; i++)
        for (ptrdiff_t j = cols.begin; j < cols.end; j++) {
            const vec v = FN(load_upto)(x + (i * W + j) * C, n, 0);
            const ivec wins = ~(v <= best.value) & (best.value == best.value);
            best.value = FN(select)(wins, v, best.value);
            best.number = (wins & ((ivec){0} + (INT)(i * KW + j))) | (~wins & best.number);
        }
    return best;
}

/* The maxima of n <= VL windows. The value first, then, from the last candidate to the first, which of them are equal
 * to it: no step waits for a comparison. The sum finds NaN (and is NaN for opposite infinities). */
QUERNEL_INLINE struct FN(pool_winner)
    FN(pool_max_vector)(const REAL *restrict x, ptrdiff_t n, struct FN(pool_span) rows, struct FN(pool_span) cols,
                        ptrdiff_t KW, ptrdiff_t W, ptrdiff_t C)
{
    struct FN(pool_winner) best = {.value = FN(load_upto)(x + (rows.begin * W + cols.begin) * C, n, 0)};
    vec sum = {0};
    for (ptrdiff_t i = rows.begin; i < rows.end; i++)
        for (ptrdiff_t j = cols.begin; j < cols.end; j++) {
            const vec v = FN(load_upto)(x + (i * W + j) * C, n, 0);
            best.value = FN(vmax)(v, best.value); /* in this order the first of two zeros stays */
            sum += v;
        }
    for (ptrdiff_t i = rows.end - 1; i >= rows.begin; i--)
        for (ptrdiff_t j = cols.end - 1; j >= cols.begin; j--) {
            const ivec wins = FN(load_upto)(x + (i * W + j) * C, n, 0) == best.value;
            best.number = (wins & ((ivec){0} + (INT)(i * KW + j))) | (~wins & best.number);
        }
    if (FN(any)(sum != sum)) return FN(pool_max_nan)(x, n, rows, cols, KW, W, C);
    return best;
}

/* y and index of `count` elements at y, x pointing to their windows' position (0, 0). */
QUERNEL_INLINE void FN(pool_max_window)(REAL *restrict y, void *restrict index, ptrdiff_t at, const REAL *restrict x,
                                        ptrdiff_t count, struct FN(pool_span) rows, struct FN(pool_span) cols,
                                        ptrdiff_t KW, ptrdiff_t W, ptrdiff_t C, int wide)
{
    if (count < VL) {
        const struct FN(pool_winner) best = FN(pool_max_vector)(x, count, rows, cols, KW, W, C);
        FN(store_part)(y + at, best.value, count);
        FN(pool_store_index)(index, at, best.number, count, wide);
        return;
    }
    for (ptrdiff_t step = 0; step < count; step += VL) {
        const ptrdiff_t e = FN(pool_vector_start)(step, count);
        const struct FN(pool_winner) best = FN(pool_max_vector)(x + e, VL, rows, cols, KW, W, C);
        FN(store)(y + at + e, best.value);
        FN(pool_store_index)(index, at + e, best.number, VL, wide);
    }
}

/* Sums by rows first: the error of a mean over KH * KW positions grows with KH + KW. `vectors` neighbours at a time, so
 * that a large window is read in longer pieces. */
QUERNEL_INLINE void FN(pool_sum_vectors)(REAL *restrict y, const REAL *restrict x, ptrdiff_t n,
                                         struct FN(pool_span) rows, struct FN(pool_span) cols, ptrdiff_t W, ptrdiff_t C,
                                         REAL scale, const ptrdiff_t vectors)
{
    vec sum[4] = {{0}};
    for (ptrdiff_t i = rows.begin; i < rows.end; i++) {
        vec row[4] = {{0}};
        for (ptrdiff_t j = cols.begin; j < cols.end; j++)
            for (ptrdiff_t v = 0; v < vectors; v++)
                row[v] += FN(load_upto)(x + (i * W + j) * C + v * VL, n - v * VL, 0);
        for (ptrdiff_t v = 0; v < vectors; v++) sum[v] += row[v];
    }
    for (ptrdiff_t v = 0; v < vectors; v++) FN(store_upto)(y + v * VL, sum[v] * scale, n - v * VL);
}

QUERNEL_INLINE void FN(pool_sum_window)(REAL *restrict y, const REAL *restrict x, ptrdiff_t count,
                                        struct FN(pool_span) rows, struct FN(pool_span) cols, ptrdiff_t W, ptrdiff_t C,
                                        REAL scale)
{
    ptrdiff_t e = 0;
    for (; e + 4 * VL <= count; e += 4 * VL) FN(pool_sum_vectors)(y + e, x + e, 4 * VL, rows, cols, W, C, scale, 4);
    for (ptrdiff_t at; e < count; e += VL) {
        at = FN(pool_vector_start)(e, count);
        if (count >= VL)
            FN(pool_sum_vectors)(y + at, x + at, VL, rows, cols, W, C, scale, 1);
        else
            FN(pool_sum_vectors)(y, x, count, rows, cols, W, C, scale, 1);
    }
}

/* The same for large windows of many neighbours: positions in the order of memory, sums in the nearest cache. */
static void FN(pool_sum_large)(REAL *restrict y, const REAL *restrict x, ptrdiff_t count, struct FN(pool_span) rows,
                               struct FN(pool_span) cols, ptrdiff_t W, ptrdiff_t C, REAL scale)
{
    REAL sum[POOL_BLOCK], row[POOL_BLOCK];
    for (ptrdiff_t c0 = 0; c0 < count; c0 += POOL_BLOCK) {
        const ptrdiff_t n = count - c0 < POOL_BLOCK ? count - c0 : POOL_BLOCK;
        memset(sum, 0, (size_t)n * sizeof(REAL));
        for (ptrdiff_t i = rows.begin; i < rows.end; i++) {
            memset(row, 0, (size_t)n * sizeof(REAL));
            for (ptrdiff_t j = cols.begin; j < cols.end; j++) {
                const REAL *in = x + (i * W + j) * C + c0;
                for (ptrdiff_t e = 0; e < n; e++) row[e] += in[e];
            }
            for (ptrdiff_t e = 0; e < n; e++) sum[e] += row[e];
        }
        for (ptrdiff_t e = 0; e < n; e++) y[c0 + e] = sum[e] * scale;
    }
}

/* Windows most networks use get loops of known length. */
static void FN(pool_max_elements)(REAL *y, void *index, ptrdiff_t at, const REAL *x, ptrdiff_t count,
                                  struct FN(pool_span) rows, struct FN(pool_span) cols, const struct pool_args *a)
{
    const ptrdiff_t KH = rows.end - rows.begin, KW = cols.end - cols.begin, W = a->W, C = a->C;
    const struct FN(pool_span) two = {0, 2}, three = {0, 3};
    if (KH <= 0 || KW <= 0) { /* nothing but padding */
        for (ptrdiff_t e = 0; e < count; e += VL) {
            FN(store_upto)(y + at + e, FN(splat)(-(REAL)INFINITY), count - e);
            FN(pool_store_index)(index, at + e, (ivec){0}, count - e, a->KH * a->KW > POOL_BYTE_POSITIONS);
        }
    } else if (KH == 2 && KW == 2 && a->KH == 2 && a->KW == 2) {
        FN(pool_max_window)(y, index, at, x, count, two, two, 2, W, C, 0);
    } else if (KH == 3 && KW == 3 && a->KH == 3 && a->KW == 3) {
        FN(pool_max_window)(y, index, at, x, count, three, three, 3, W, C, 0);
    } else {
        FN(pool_max_window)(y, index, at, x, count, rows, cols, a->KW, W, C, a->KH * a->KW > POOL_BYTE_POSITIONS);
    }
}

static void FN(pool_sum_elements)(REAL *y, const REAL *x, ptrdiff_t count, struct FN(pool_span) rows,
                                  struct FN(pool_span) cols, const struct pool_args *a)
{
    const ptrdiff_t KH = rows.end - rows.begin, KW = cols.end - cols.begin;
    const struct FN(pool_span) two = {0, 2};
    const ptrdiff_t positions = a->count_include_pad ? a->KH * a->KW : KH * KW;
    const REAL scale = 1 / (REAL)(positions > 0 ? positions : 1);
    if (KH == 2 && KW == 2 && rows.begin == 0 && cols.begin == 0)
        FN(pool_sum_window)(y, x, count, two, two, a->W, a->C, scale);
    else if (KH * KW >= POOL_LARGE && count > 4 * VL)
        FN(pool_sum_large)(y, x, count, rows, cols, a->W, a->C, scale);
    else
        FN(pool_sum_window)(y, x, count, rows, cols, a->W, a->C, scale);
}

/* Copies `count` items, `from` and `to` bytes apart; sizes that channels 1 to 4 give are known to the compiler. */
QUERNEL_INLINE void FN(pool_copy_items)(char *restrict out, const char *restrict in, ptrdiff_t count, ptrdiff_t bytes,
                                        ptrdiff_t to, ptrdiff_t from)
{
#define COPY_ITEMS(size)                                                                                               \
    for (ptrdiff_t i = 0; i < count; i++) memcpy(out + i * to, in + i * from, (size_t)(size))
    switch (bytes) {
    case 1: COPY_ITEMS(1); break;
    case 2: COPY_ITEMS(2); break;
    case 3: COPY_ITEMS(3); break;
    case 4: COPY_ITEMS(4); break;
    case 8: COPY_ITEMS(8); break;
    case 12: COPY_ITEMS(12); break;
    case 16: COPY_ITEMS(16); break;
    case 24: COPY_ITEMS(24); break;
    default: COPY_ITEMS(bytes);
    }
#undef COPY_ITEMS
}

/* Asks for `rows` rows of `count` elements, which the next row of outputs will read: the hardware does not foresee rows
 * of several streams. 28x28x32 from memory 9.6 to 7.2 ms for 1000 images, from the caches 5 to 10 % slower. */
QUERNEL_INLINE void FN(pool_prefetch)(const REAL *x, ptrdiff_t count, ptrdiff_t stride, ptrdiff_t rows)
{
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t e = 0; e < count; e += 64 / (ptrdiff_t)sizeof(REAL)) __builtin_prefetch(x + i * stride + e);
}

QUERNEL_INLINE void FN(pool_forward)(const struct pool_args *a, ptrdiff_t lo, ptrdiff_t hi, void *scratch, int is_max)
{
    const ptrdiff_t W = a->W, C = a->C, OW = a->OW, sw = a->sw;
    const ptrdiff_t index_bytes = a->KH * a->KW > POOL_BYTE_POSITIONS ? 4 : 1;
    const struct FN(pool_span) whole = FN(pool_whole_outputs)(a);
    /* Few channels and a stride: pool as if the stride were 1, then pick every sw-th. Pays while that many times the
     * work still takes fewer vectors than one for each output. */
    const int pick = sw > 1 && C * sw <= VL;
    REAL *const dense = scratch;
    void *const dense_index = dense + W * C;
    for (ptrdiff_t unit = lo; unit < hi; unit++) {
        const ptrdiff_t n = unit / a->OH, p = unit % a->OH, h = p * a->sh - a->top;
        const struct FN(pool_span) rows = FN(pool_inside)(h, a->KH, a->H);
        const REAL *x = (const REAL *)a->in + (n * a->H + h) * W * C; /* may point before the image; used inside only */
        REAL *y = (REAL *)a->out + unit * OW * C;
        void *index = is_max ? (char *)a->index_out + unit * OW * C * index_bytes : NULL;
        for (ptrdiff_t q = 0; q < OW;) {
            const ptrdiff_t w = q * sw - a->left;
            const ptrdiff_t run = q == whole.begin && (sw == 1 || pick) && whole.end > q ? whole.end - q : 1;
            const struct FN(pool_span) cols = FN(pool_inside)(w, a->KW, W);
            if (is_max) FN(pool_prefetch)(x + (a->KH * W + w) * C, run * sw * C, W * C, a->sh);
            if (run > 1 && pick) {
                const ptrdiff_t count = ((run - 1) * sw + 1) * C;
                const ptrdiff_t bytes = C * (ptrdiff_t)sizeof(REAL);
                if (is_max) {
                    FN(pool_max_elements)(dense, dense_index, 0, x + w * C, count, rows, cols, a);
                    FN(pool_copy_items)((char *)index + q * C * index_bytes, dense_index, run, C * index_bytes,
                                        C * index_bytes, C * index_bytes * sw);
                } else {
                    FN(pool_sum_elements)(dense, x + w * C, count, rows, cols, a);
                }
                FN(pool_copy_items)((char *)(y + q * C), (const char *)dense, run, bytes, bytes, bytes * sw);
            } else if (is_max) {
                FN(pool_max_elements)(y, index, q * C, x + w * C, run * C, rows, cols, a);
            } else {
                FN(pool_sum_elements)(y + q * C, x + w * C, run * C, rows, cols, a);
            }
            q += run;
        }
    }
}

static void FN(max_pool2d_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    FN(pool_forward)(args, lo, hi, scratch, 1);
}

static void FN(avg_pool2d_forward)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    FN(pool_forward)(args, lo, hi, scratch, 0);
}
