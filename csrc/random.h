/* random.h   Philox4x32-10: random words that depend on (seed, offset, index) alone.
 *
 * Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3". A block of four 32-bit
 * words is a keyed mixing of a 128-bit counter. Word w of the stream is word w % 4 of the block with counter
 * offset + w / 4.
 *
 * `state` points at two numbers, seed and offset, that are read when the kernel runs.
 * Unit of every kernel: RANDOM_CHUNK elements of the flat array. */
#ifndef QUERNEL_RANDOM_H
#define QUERNEL_RANDOM_H

/* Elements of a unit: a multiple of 4, so that units begin with a block; about 4 microseconds of work. */
enum { RANDOM_CHUNK = 16384 };

/* y = x scale where the element's word is at least threshold, else 0; threshold <= 2^32 (then all is 0) */
struct dropout_args {
    void *y;
    const void *x;
    const uint64_t *state;
    ptrdiff_t size;
    uint64_t threshold;
    double scale;
};

/* random_uniform: from + span u, at most `last`; random_normal: from + span z */
struct random_args {
    void *y;
    const uint64_t *state;
    ptrdiff_t size;
    double from, span, last;
};

#define RANDOM_KERNELS(K) K(dropout) K(random_uniform) K(random_normal)
#endif
