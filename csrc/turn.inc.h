/* turn.inc.h   Rows become columns, a tile of 16 x 16 elements at a time. */

/* Rows of 16 bytes become columns: 4 x 4 elements of 4 bytes, 2 x 2 of 8. */
typedef uint32_t FN(four) __attribute__((vector_size(16)));
typedef uint64_t FN(two) __attribute__((vector_size(16)));

#ifdef __clang__
#define PICK(TYPE, A, B, ...) __builtin_shufflevector(A, B, __VA_ARGS__)
#else
#define PICK(TYPE, A, B, ...) __builtin_shuffle(A, B, (TYPE){__VA_ARGS__})
#endif

QUERNEL_INLINE void FN(turn_4)(char *y, ptrdiff_t y_step, const char *x, ptrdiff_t x_step)
{
    FN(four) r[4], half[4];
    for (ptrdiff_t i = 0; i < 4; i++) memcpy(&r[i], x + i * x_step, 16);
    for (ptrdiff_t i = 0; i < 2; i++) {
        half[i] = PICK(FN(four), r[i], r[i + 2], 0, 4, 1, 5);
        half[i + 2] = PICK(FN(four), r[i], r[i + 2], 2, 6, 3, 7);
    }
    for (ptrdiff_t i = 0; i < 4; i += 2) {
        r[i] = PICK(FN(four), half[i], half[i + 1], 0, 4, 1, 5);
        r[i + 1] = PICK(FN(four), half[i], half[i + 1], 2, 6, 3, 7);
    }
    for (ptrdiff_t i = 0; i < 4; i++) memcpy(y + i * y_step, &r[i], 16);
}

QUERNEL_INLINE void FN(turn_8)(char *y, ptrdiff_t y_step, const char *x, ptrdiff_t x_step)
{
    FN(two) a, b;
    memcpy(&a, x, 16);
    memcpy(&b, x + x_step, 16);
    const FN(two) low = PICK(FN(two), a, b, 0, 2), high = PICK(FN(two), a, b, 1, 3);
    memcpy(y, &low, 16);
    memcpy(y + y_step, &high, 16);
}
#undef PICK

/* y[t, l] = x[t, l] for a tile that is TILE high and `wide` (a multiple of 4, at most TILE) wide: x contiguous along t,
 * y along l. A line of x is done with before the next is read: where lines are a power of two apart they would push
 * each other out of the cache. */
QUERNEL_INLINE void FN(turn_tile)(char *y, ptrdiff_t y_step, const char *x, ptrdiff_t x_step, ptrdiff_t wide,
                                  ptrdiff_t bytes)
{
    enum { TILE = TRANSPOSE_TILE };
    if (bytes == 4) {
        for (ptrdiff_t l = 0; l < wide; l += 4)
            for (ptrdiff_t t = 0; t < TILE; t += 4)
                FN(turn_4)(y + t * y_step + l * 4, y_step, x + l * x_step + t * 4, x_step);
    } else if (bytes == 8) {
        for (ptrdiff_t l = 0; l < wide; l += 2)
            for (ptrdiff_t t = 0; t < TILE; t += 2)
                FN(turn_8)(y + t * y_step + l * 8, y_step, x + l * x_step + t * 8, x_step);
    } else {
        for (ptrdiff_t t = 0; t < TILE; t++)
            for (ptrdiff_t l = 0; l < wide; l++)
                memcpy(y + t * y_step + l * bytes, x + t * bytes + l * x_step, (size_t)bytes);
    }
}
