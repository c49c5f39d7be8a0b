/* random.inc.h   See random.h.
 * Each 64-bit lane mixes one counter. Words leave in pairs, the first in the low half, as 64-bit numbers: in
 * memory that is the stream of words on little-endian machines, the only ones these kernels are built for. */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "random.inc.h takes 64-bit numbers for pairs of 32-bit words, low half first"
#endif

typedef uint64_t FN(lanes) __attribute__((vector_size(VECTOR_BYTES)));
enum { FN(COUNTERS) = VECTOR_BYTES / 8 };

/* Words made at a time: 2 KiB, that stay in the first-level cache until they are used. */
enum { FN(BATCH) = 512 };

/* Product of the low halves of each lane. */
QUERNEL_INLINE FN(lanes) FN(multiply)(FN(lanes) a, uint64_t b)
{
#if defined(__AVX512F__) && VECTOR_BYTES == 64
    return (FN(lanes))_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64((long long)b));
#elif defined(__AVX2__) && VECTOR_BYTES == 32
    return (FN(lanes))_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x((long long)b));
#elif defined(__SSE2__) && VECTOR_BYTES == 16
    return (FN(lanes))_mm_mul_epu32((__m128i)a, _mm_set1_epi64x((long long)b));
#else
    return (a & 0xFFFFFFFFu) * b;
#endif
}

/* Pairs of words of `counters` blocks (rounded up to whole vectors) from the given counter on. */
QUERNEL_INLINE void FN(philox)(uint64_t *restrict pairs, uint64_t seed, uint64_t counter, ptrdiff_t counters)
{
    enum { L = FN(COUNTERS) };
    static const uint64_t index[] = {0, 1, 2, 3, 4, 5, 6, 7};
    FN(lanes) lane;
    memcpy(&lane, index, sizeof lane);
    for (ptrdiff_t i = 0; i < counters; i += L) {
        FN(lanes) c0 = counter + (uint64_t)i + lane, c1 = c0 >> 32, c2 = {0}, c3 = {0};
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) { /* upper halves of c1 and c3 hold rubbish that nothing reads */
            const FN(lanes) p0 = FN(multiply)(c0, 0xD2511F53u), p1 = FN(multiply)(c2, 0xCD9E8D57u);
            c0 = (p1 >> 32) ^ c1 ^ k0;
            c2 = (p0 >> 32) ^ c3 ^ k1;
            c1 = p1;
            c3 = p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        const FN(lanes) first = (c0 & 0xFFFFFFFFu) | (c1 << 32), second = (c2 & 0xFFFFFFFFu) | (c3 << 32);
        for (int j = 0; j < L; j++) {
            pairs[2 * (i + j)] = first[j];
            pairs[2 * (i + j) + 1] = second[j];
        }
    }
}

/* The words of up to one batch of the elements [begin, end), `each` per element; returns how many that is. */
QUERNEL_INLINE ptrdiff_t FN(batch)(uint64_t *restrict pairs, const uint64_t *state, ptrdiff_t begin, ptrdiff_t end,
                                   ptrdiff_t each)
{
    const ptrdiff_t n = end - begin < FN(BATCH) / each ? end - begin : FN(BATCH) / each;
    FN(philox)(pairs, state[0], state[1] + (uint64_t)(begin * each / 4), (n * each + 3) / 4);
    return n;
}

QUERNEL_INLINE ptrdiff_t FN(chunk_end)(ptrdiff_t hi, ptrdiff_t size)
{
    return hi * RANDOM_CHUNK < size ? hi * RANDOM_CHUNK : size;
}

/* VL words as unsigned lanes of the width of REAL. */
#if REAL_IS_DOUBLE
typedef uint64_t FN(uvec) __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef uint32_t FN(uvec) __attribute__((vector_size(VECTOR_BYTES)));
#endif
QUERNEL_INLINE FN(uvec) FN(load_words)(const uint64_t *pairs, ptrdiff_t i)
{
    typedef uint32_t narrow __attribute__((vector_size(VECTOR_BYTES / sizeof(REAL) * 4)));
    narrow words;
    memcpy(&words, (const char *)pairs + i * 4, sizeof words);
    return __builtin_convertvector(words, FN(uvec));
}

static void FN(dropout)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct dropout_args *a = args;
    const REAL *x = a->x, scale = (REAL)a->scale;
    REAL *restrict y = a->y;
    const int none = a->threshold > UINT32_MAX;
    const FN(uvec) threshold = (uint32_t)a->threshold - (FN(uvec)){0};
    const ptrdiff_t end = FN(chunk_end)(hi, a->size);
    uint64_t pairs[FN(BATCH) / 2];
    for (ptrdiff_t i = lo * RANDOM_CHUNK, n; i < end; i += n) {
        n = FN(batch)(pairs, a->state, i, end, 1);
        for (ptrdiff_t j = 0; j < n; j += VL) {
            const ivec kept = (ivec)(FN(load_words)(pairs, j) >= threshold);
            const vec scaled = FN(load_upto)(x + i + j, n - j, 0) * scale;
            FN(store_upto)(y + i + j, none ? (vec){0} : FN(select)(kept, scaled, (vec){0}), n - j);
        }
    }
}

static void FN(random_uniform)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct random_args *a = args;
    REAL *restrict y = a->y;
    const ptrdiff_t end = FN(chunk_end)(hi, a->size);
    uint64_t pairs[FN(BATCH) / 2];
    for (ptrdiff_t i = lo * RANDOM_CHUNK, n; i < end; i += n) {
        n = FN(batch)(pairs, a->state, i, end, 1 + REAL_IS_DOUBLE);
        for (ptrdiff_t j = 0; j < n; j++) {
#if REAL_IS_DOUBLE
            const double u = (double)(int64_t)(pairs[j] >> 11) * 0x1p-53;
#else
            const uint32_t word = (uint32_t)(pairs[j / 2] >> (j % 2 * 32));
            const double u = (double)(int32_t)(word >> 8) * 0x1p-24;
#endif
            const double value = a->from + a->span * u;
            y[i + j] = (REAL)value < (REAL)a->last ? (REAL)value : (REAL)a->last;
        }
    }
}

/* cos and sin of 2 pi t for t in [0, 1]. What is left of t beside the nearest quarter of a turn is exact, and at
 * most an eighth: there the series do, written inside out as a (1 - a^2/(2 3) (1 - a^2/(4 5) (...))). The first
 * term left out is a^13/13! (float) or a^21/21!, a^20/20! (double): below a hundredth of an ulp. */
QUERNEL_INLINE void FN(sincos_turns)(vec *restrict cosine, vec *restrict sine, vec t)
{
    const ivec quarter = __builtin_convertvector(t * 4 + (REAL)0.5, ivec);
    const vec a = (t * 4 - __builtin_convertvector(quarter, vec)) * (REAL)1.5707963267948966, z = a * a;
    vec s = FN(splat)(1), c = FN(splat)(1);
#pragma GCC unroll 16
    for (int k = REAL_IS_DOUBLE ? 18 : 10; k > 0; k -= 2) {
        s = 1 - s * z * (REAL)(1.0 / (k * (k + 1)));
        c = 1 - c * z * (REAL)(1.0 / (k * (k - 1)));
    }
    s *= a;
    const ivec odd = (quarter & 1) != 0, turned = (quarter & 2) != 0;
    const vec cos_ = FN(select)(odd, -s, c), sin_ = FN(select)(odd, c, s);
    *cosine = FN(select)(turned, -cos_, cos_);
    *sine = FN(select)(turned, -sin_, sin_);
}

/* Box and Muller 1958: z_2j = r cos(2 pi v), z_2j+1 = r sin(2 pi v), r = sqrt(-2 log(1 - u)). */
static void FN(random_normal)(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch)
{
    (void)scratch;
    const struct random_args *a = args;
    REAL *restrict y = a->y;
    REAL u[FN(BATCH) / 2], v[FN(BATCH) / 2]; /* uniform numbers, then normal ones */
    const ptrdiff_t end = FN(chunk_end)(hi, a->size);
    uint64_t pairs[FN(BATCH) / 2];
    for (ptrdiff_t i = lo * RANDOM_CHUNK, n; i < end; i += n) {
        n = FN(batch)(pairs, a->state, i, end, 1 + REAL_IS_DOUBLE);
        const ptrdiff_t both = (n + 1) / 2;
        for (ptrdiff_t j = 0; j < both; j++) {
#if REAL_IS_DOUBLE
            u[j] = (double)(int64_t)(pairs[2 * j] >> 11) * 0x1p-53;
            v[j] = (double)(int64_t)(pairs[2 * j + 1] >> 11) * 0x1p-53;
#else
            u[j] = (float)(int32_t)((uint32_t)pairs[j] >> 8) * 0x1p-24f;
            v[j] = (float)(int32_t)(pairs[j] >> 40) * 0x1p-24f;
#endif
        }
        for (ptrdiff_t j = 0; j < both; j += VL) {
            const ptrdiff_t left = both - j;
            const vec r = FN(vsqrt)(-2 * FN(vlog)(1 - FN(load_upto)(u + j, left, 0)));
            vec cosine, sine;
            FN(sincos_turns)(&cosine, &sine, FN(load_upto)(v + j, left, 0));
            FN(store_upto)(u + j, r * cosine, left);
            FN(store_upto)(v + j, r * sine, left);
        }
        for (ptrdiff_t j = 0; j < n; j++) y[i + j] = (REAL)a->from + (REAL)a->span * (j % 2 ? v[j / 2] : u[j / 2]);
    }
}
