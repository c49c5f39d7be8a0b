"""Memory: a caching pool of aligned blocks, and NumPy arrays that give their block back when they die.

Fresh pages cost more than most kernels do: the system zeroes them one fault at a time. Blocks therefore return to a
free list of their size class and are handed out again, most recent (warmest) first. Every thread has a shelf of such
lists, for what one core has used is far from another; scratch space has shelves of its own, one for each seat at a
job. Only when its own shelf has nothing does a thread look at the others. Classes are four to a power of two,
so that at most a quarter of a block is unused; but before the system is asked, a free block of up to twice the size is
taken. Together with what is in use, free blocks take no more than the most that ever was in use: the rest goes back to
the system when it is asked for more. Work that repeats itself would pay for that in every step, so that the limit is
raised while the system is asked for the same sizes again; after a few steps nothing goes back any more. Work whose
shapes do not repeat keeps to the limit. Large blocks ask for huge pages: half of the time of a pass over an array
larger than the caches goes into looking up 4 KiB pages (measured: 27 and 42 GB/s). What a last huge page would hold
too little of is left to ordinary pages: with its header, a block of 4 MB would take 6.

``QUERNEL_MEMORY_GUARD=1`` is for tests: blocks are framed by a pattern that is checked when they come back, and
filled with NaN when handed out, so that neither a stray write nor a read of memory never written passes unseen.
"""

import os

cimport cython
cimport numpy as cnp
from libc.stddef cimport size_t

cnp.import_array()

cdef extern from *:
    """
    #include <pthread.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #endif

    /* With AddressSanitizer, guard mode makes every access outside a block (reads too) and to a free one an error. */
    #ifdef __SANITIZE_ADDRESS__
    #include <sanitizer/asan_interface.h>
    #else
    #define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
    #define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
    #endif

    /* A block: a header of one cache line, then the memory. `next` links free blocks of a class. */
    struct pool_block {
        struct pool_block *next;
        size_t size;   /* usable bytes */
        size_t asked;  /* bytes asked for by the present holder */
        int class_;
        char pad[64 - 2 * sizeof(size_t) - sizeof(void *) - sizeof(int)];
    };

    enum { POOL_CLASSES = 256, POOL_ALIGN = 64, POOL_GUARD = 64, HUGE_PAGE = 1 << 21, LARGEST_PAGE = 1 << 16 };
    enum {
        POOL_REACH = 4,         /* classes above its own that a request may be served from: twice the size */
        POOL_LAUNCHERS = 8,     /* shelves for arrays, and as many for scratch, of threads that launch kernels */
        POOL_SEATS = 16,        /* shelves for scratch of helpers, by their seats (seat 0 is the launcher) */
        POOL_SHELVES = 2 * POOL_LAUNCHERS + POOL_SEATS,
        POOL_MAPPED = 1 << 17,  /* blocks from this size on have pages of their own, so that these can go back */
        POOL_REMEMBERED = 1024, /* sizes that the system was asked for */
        POOL_STEP = 4096,       /* requests in which a step of a large network is over and the next has begun */
        POOL_PATTERN = 8        /* sizes in a row that were asked for a step before: no chance */
    };
    enum { GUARD_BYTE = 0xA5, POISON_BYTE = 0xFF };

    static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
    static struct pool_block *pool_free_list[POOL_SHELVES][POOL_CLASSES];
    static unsigned pool_launchers; /* threads that have a shelf; more than POOL_LAUNCHERS share them */
    static _Thread_local int pool_launcher = -1;
    static size_t pool_in_use, pool_cached, pool_peak, pool_system_calls, pool_requests, pool_violations;
    /* What was asked of the system, and at which request. */
    static struct { size_t bytes, when; } pool_asked[POOL_REMEMBERED];
    static size_t pool_slack;
    static int pool_repeats;
    static int pool_guard;

    /* Sizes 64, 80, 96, 112, 128, 160 ...: four to a power of two, multiples of 16. */
    static int pool_class(size_t size, size_t *rounded)
    {
        if (size < 64) size = 64;
        int log2 = 63 - __builtin_clzll((unsigned long long)size);
        size_t quarter = (size_t)1 << (log2 - 2);
        size_t steps = (size - ((size_t)1 << log2) + quarter - 1) / quarter;
        *rounded = ((size_t)1 << log2) + steps * quarter;
        return (log2 - 6) * 4 + (int)steps;
    }

    /* Bytes to ask of the system for a block, and how they are aligned. */
    static size_t pool_span_(size_t size, size_t *align)
    {
        size_t unit = *align = POOL_ALIGN;
    #ifdef __linux__
        if (size >= 2 * HUGE_PAGE) *align = HUGE_PAGE, unit = LARGEST_PAGE;
    #endif
        return (sizeof(struct pool_block) + size + unit - 1) / unit * unit;
    }

    #ifdef __linux__
    static struct pool_block *pool_map_(size_t bytes, size_t align)
    {
        const size_t spare = align == HUGE_PAGE ? HUGE_PAGE : 0;
        char *memory = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return NULL;
        if (spare) { /* cut off what lies before and behind the aligned part */
            const size_t before = (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
            if (before) munmap(memory, before);
            if (spare - before) munmap(memory + before + bytes, spare - before);
            memory += before;
            madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* advice: failure changes nothing */
        }
        return (struct pool_block *)memory;
    }
    #endif

    static struct pool_block *pool_ask_(size_t size, int class_)
    {
        size_t align, bytes = pool_span_(size, &align);
        struct pool_block *block;
        pool_system_calls++;
    #ifdef __linux__
        block = size >= POOL_MAPPED ? pool_map_(bytes, align) : aligned_alloc(align, bytes);
    #else
        block = aligned_alloc(align, bytes);
    #endif
        if (block) {
            block->size = size;
            block->class_ = class_;
        }
        return block;
    }

    static void pool_release_(struct pool_block *block)
    {
        ASAN_UNPOISON_MEMORY_REGION(block + 1, block->size);
    #ifdef __linux__
        size_t align, bytes = pool_span_(block->size, &align);
        if (block->size >= POOL_MAPPED) {
            munmap(block, bytes);
            return;
        }
    #endif
        free(block);
    }

    static struct pool_block *pool_pop_(int shelf, int class_)
    {
        struct pool_block *block = pool_free_list[shelf][class_];
        if (block) {
            pool_free_list[shelf][class_] = block->next;
            pool_cached -= block->size;
        }
        return block;
    }

    static struct pool_block *pool_find_(int shelf, int class_, int reach)
    {
        struct pool_block *block = NULL;
        for (int c = class_; c <= class_ + reach && c < POOL_CLASSES && !block; c++) block = pool_pop_(shelf, c);
        return block;
    }

    /* The present thread's shelf for arrays. */
    static int pool_shelf_(void)
    {
        if (pool_launcher < 0)
            pool_launcher = (int)(__atomic_fetch_add(&pool_launchers, 1, __ATOMIC_RELAXED) % POOL_LAUNCHERS);
        return pool_launcher;
    }

    static int pool_scratch_shelf_(int seat)
    {
        return POOL_LAUNCHERS + (seat ? POOL_LAUNCHERS + seat % POOL_SEATS : pool_shelf_());
    }

    /* Gives free blocks back to the system, the largest first, until at most `keep` bytes of them are left. */
    static void pool_trim_(size_t keep)
    {
        for (int c = POOL_CLASSES - 1; c >= 0; c--)
            for (int shelf = 0; shelf < POOL_SHELVES; shelf++)
                while (pool_cached > keep && pool_free_list[shelf][c]) pool_release_(pool_pop_(shelf, c));
    }

    /* Makes room for a block that is about to be asked of the system. Work that repeats itself would ask for the same
     * sizes in every step: then more is kept. */
    static void pool_make_room_(size_t asked, size_t size)
    {
        int i = 0;
        while (i < POOL_REMEMBERED && pool_asked[i].bytes != asked) i++;
        const int again = i < POOL_REMEMBERED && pool_requests - pool_asked[i].when < POOL_STEP;
        if (i == POOL_REMEMBERED) i = (int)(pool_system_calls % POOL_REMEMBERED);
        pool_asked[i].bytes = asked;
        pool_asked[i].when = pool_requests;
        pool_repeats = again ? pool_repeats + 1 : 0;
        if (pool_repeats >= POOL_PATTERN)
            pool_slack += size;
        else if (!again)
            pool_slack /= 2;
        const size_t most = pool_peak + pool_slack, needed = pool_in_use + size;
        pool_trim_(most > needed ? most - needed : 0);
    }

    static void *pool_take_(size_t asked, int shelf)
    {
        size_t size, want = asked + (pool_guard ? POOL_GUARD : 0);
        if (want < asked || want > PTRDIFF_MAX / 2) return NULL;
        int class_ = pool_class(want, &size);
        pthread_mutex_lock(&pool_lock);
        /* Of a thread's scratch, any that is large enough: always the same, it stays in the thread's cache. */
        struct pool_block *block = pool_find_(shelf, class_, shelf < POOL_LAUNCHERS ? POOL_REACH : POOL_CLASSES);
        for (int s = 0; s < POOL_SHELVES && !block; s++) block = pool_find_(s, class_, POOL_REACH);
        if (!block) {
            pool_make_room_(asked, size);
            block = pool_ask_(size, class_);
        }
        if (!block) { /* without what is kept for later it may fit */
            pool_trim_(0);
            block = pool_ask_(size, class_);
        }
        if (!block) {
            pthread_mutex_unlock(&pool_lock);
            return NULL;
        }
        block->asked = asked;
        pool_requests++;
        pool_in_use += block->size;
        if (pool_in_use > pool_peak) pool_peak = pool_in_use;
        pthread_mutex_unlock(&pool_lock);
        if (pool_guard) {
            ASAN_UNPOISON_MEMORY_REGION(block + 1, block->size);
            memset(block->pad, GUARD_BYTE, sizeof block->pad);
            memset(block + 1, POISON_BYTE, asked);
            memset((char *)(block + 1) + asked, GUARD_BYTE, POOL_GUARD);
            ASAN_POISON_MEMORY_REGION(block->pad, sizeof block->pad);
            ASAN_POISON_MEMORY_REGION((char *)(block + 1) + asked, POOL_GUARD);
        }
        return block + 1;
    }

    static void pool_check_(const struct pool_block *block)
    {
        const unsigned char *before = (const unsigned char *)block->pad;
        const unsigned char *after = (const unsigned char *)(block + 1) + block->asked;
        int bad = 0;
        ASAN_UNPOISON_MEMORY_REGION(before, sizeof block->pad);
        ASAN_UNPOISON_MEMORY_REGION(after, POOL_GUARD);
        for (size_t i = 0; i < sizeof block->pad; i++) bad |= before[i] != GUARD_BYTE;
        for (size_t i = 0; i < POOL_GUARD; i++) bad |= after[i] != GUARD_BYTE;
        if (bad) pool_violations++;
        ASAN_POISON_MEMORY_REGION(block + 1, block->size);
    }

    static void pool_give_(void *memory, int shelf)
    {
        struct pool_block *block = (struct pool_block *)memory - 1;
        pthread_mutex_lock(&pool_lock);
        if (pool_guard) pool_check_(block);
        pool_in_use -= block->size;
        pool_cached += block->size;
        block->next = pool_free_list[shelf][block->class_];
        pool_free_list[shelf][block->class_] = block;
        pthread_mutex_unlock(&pool_lock);
    }

    static void pool_empty_(void)
    {
        pthread_mutex_lock(&pool_lock);
        pool_trim_(0);
        memset(pool_asked, 0, sizeof pool_asked);
        pool_slack = 0;
        pthread_mutex_unlock(&pool_lock);
    }

    /* A fork while another thread holds the lock would leave it locked for ever in the child. */
    static void pool_before_fork_(void) { pthread_mutex_lock(&pool_lock); }
    static void pool_after_fork_(void) { pthread_mutex_unlock(&pool_lock); }
    static int pool_watch_fork_(void) { return pthread_atfork(pool_before_fork_, pool_after_fork_, pool_after_fork_); }
    """
    void *pool_take_(size_t size, int shelf) noexcept nogil
    void pool_give_(void *block, int shelf) noexcept nogil
    int pool_shelf_() noexcept nogil
    int pool_scratch_shelf_(int seat) noexcept nogil
    void pool_empty_() noexcept nogil
    int pool_watch_fork_()
    int pool_guard
    size_t pool_in_use, pool_cached, pool_peak, pool_system_calls, pool_requests, pool_violations

pool_guard = os.environ.get("QUERNEL_MEMORY_GUARD", "0") not in ("", "0")
if pool_watch_fork_() != 0:
    raise ImportError("quernel: could not register a fork handler (pthread_atfork failed)")


cdef void *pool_take(size_t size) noexcept nogil:
    """A 64-byte aligned block of at least `size` bytes with undefined content, or NULL."""
    return pool_take_(size, pool_shelf_())


cdef void pool_give(void *block) noexcept nogil:
    pool_give_(block, pool_shelf_())


cdef bint scratch_take(void **scratch, int seats, size_t size) noexcept nogil:
    """One block for each seat at a job, the present thread's and its helpers'; false if there is no memory."""
    cdef int seat
    for seat in range(seats):
        scratch[seat] = pool_take_(size, pool_scratch_shelf_(seat))
        if scratch[seat] == NULL:
            scratch_give(scratch, seat)
            return False
    return True


cdef void scratch_give(void **scratch, int seats) noexcept nogil:
    """Last first: seats that share a shelf find their own again."""
    while seats > 0:
        seats -= 1
        pool_give_(scratch[seats], pool_scratch_shelf_(seats))


@cython.final
@cython.freelist(256)
cdef class Block:
    """Owner of a pool block: the base object of arrays made by new_array."""
    cdef void *memory

    def __dealloc__(self):
        if self.memory != NULL:
            pool_give(self.memory)


cdef cnp.ndarray new_typed(object shape, int typenum):
    """An uninitialised C-contiguous array from the pool; MemoryError if there is none."""
    cdef cnp.npy_intp dims[32]
    cdef int ndim = 0
    cdef size_t bytes = cnp.PyArray_DescrFromType(typenum).itemsize
    cdef Block owner
    cdef cnp.ndarray array
    cdef bint overflow = False
    if len(shape) > 32:
        raise ValueError(f"quernel: expected an array of at most 32 axes, got {len(shape)}")
    for extent in shape:
        dims[ndim] = extent
        if dims[ndim] and bytes > (<size_t> 1 << 62) // <size_t> dims[ndim]:
            overflow = True
        bytes *= <size_t> dims[ndim]
        ndim += 1
    owner = Block.__new__(Block)
    owner.memory = NULL if overflow else pool_take(bytes)
    if owner.memory == NULL:
        raise MemoryError(f"quernel: no memory for an array of shape {tuple(shape)} ({bytes} bytes)")
    array = cnp.PyArray_SimpleNewFromData(ndim, dims, typenum, owner.memory)
    cnp.set_array_base(array, owner)
    return array


cdef cnp.ndarray new_array(object shape, int real):
    return new_typed(shape, cnp.NPY_FLOAT64 if real else cnp.NPY_FLOAT32)


cdef cnp.ndarray ready(object x):
    """x as an aligned C-contiguous array: itself if it is one, else a copy."""
    if isinstance(x, cnp.ndarray) and cnp.PyArray_ISCARRAY_RO(x):
        return x
    from quernel.kernels.indexing import copy
    return copy(x)


cdef int real_of(cnp.ndarray x) except -1:
    """F32 or F64, the row of the kernel table for x."""
    cdef int typenum = cnp.PyArray_TYPE(x)
    if typenum == cnp.NPY_FLOAT32:
        return 0
    if typenum == cnp.NPY_FLOAT64:
        return 1
    raise TypeError(f"kernels take float32 or float64 arrays, got {x.dtype}")


def memory_stats():
    """What the pool holds, in bytes (`system_calls`, `requests` and `violations` are counts).

    in_use: handed out; cached: free, kept for reuse; peak: the most that was ever in use; system_calls: blocks asked
    of the operating system; requests: blocks handed out; violations: writes outside a block seen in guard mode.
    """
    return {
        "in_use": pool_in_use, "cached": pool_cached, "peak": pool_peak, "system_calls": pool_system_calls,
        "requests": pool_requests, "violations": pool_violations,
    }


def is_guarded():
    """Whether blocks are framed and poisoned (``QUERNEL_MEMORY_GUARD=1``)."""
    return bool(pool_guard)


def empty_cache():
    """Return the free blocks to the operating system."""
    pool_empty_()
