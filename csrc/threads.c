/* threads.c   The one parallel loop: a job's ranges are taken by the thread that launched it and by helpers.
 *
 * The launching thread is never made to wait for a thread to wake up or to be given a core: it takes ranges until none
 * is left, then closes the job's door and waits only for helpers that are inside, each with the range it has taken. On
 * an idle machine helpers are still spinning from the job before; on a busy one the launching thread has done most of
 * the work before they come. Several threads may launch at once: each has a job of its own, and helpers go where the
 * work is, as long as no more cores compute than the limit.
 *
 * Which thread takes which range is left to chance; nothing that a kernel computes may depend on it. */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "kernels.h"

#ifdef __linux__
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum {
    JOBS = 16,  /* launched at once; one more is done by its launcher alone */
    PARTS = 16, /* of a job; more threads than these begin on a part that another has begun */
    LINE = 64   /* bytes of a cache line */
};

/* A helper that finds no work looks for more this long before it sleeps: longer than Python takes from one kernel of a
 * step to the next, so that helpers stay awake through a step; short, so that a core is not kept from others. */
static const long HELPER_SPIN_NS = 100 * 1000;
/* The launching thread watches the door this long before it sleeps. */
static const long LAUNCHER_SPIN_NS = 50 * 1000;
/* A helper that keeps the launcher waiting for more than this, and twice what its own ranges took, has lost its core to
 * another process: the launcher works alone for a while, for twice as long at each time that this happens again. */
static const long PATIENCE_NS = 200 * 1000;
static const int64_t ALONE_MIN_NS = 1000 * 1000, ALONE_MAX_NS = 32 * 1000 * 1000;

/* A door: how many helpers are inside, and these. A free job's door is 0. */
enum { ALL_INSIDE = 0xffff, TAKEN = 1u << 16, OPEN = 1u << 17, AWAITED = 1u << 18 };

/* Ranges [first, end) of a part that nobody has taken, in one word: who works on the part takes the first, who has
 * finished his own takes the last. */
struct part {
    _Alignas(LINE) _Atomic uint64_t left; /* end << 32 | first */
};

struct job {
    _Alignas(LINE) _Atomic uint32_t door;
    kernel_fn *kernel;
    const void *args;
    ptrdiff_t units, length;
    void *const *scratch; /* by seat */
    int seats, parts;     /* seat 0 is the launcher's, seat i helper i's; seat i starts with part i % parts */
    int last_first;       /* who works on a part goes from its end to its beginning, others the other way */
    _Atomic int core;     /* of the launching thread; -1 where the system does not say */
    struct part part[PARTS];
};

static struct job jobs[JOBS];
static _Alignas(LINE) _Atomic uint32_t bell; /* rung for each job; what idle helpers watch */
static _Alignas(LINE) _Atomic int sleeping;  /* helpers that have to be woken */
static _Atomic int helping;                  /* helpers with a job */
static _Atomic int limit = 1;
static _Atomic int helpers;
static _Atomic int64_t alone_until, alone_next; /* when helpers are welcome again; how long they are not, next time */
static pthread_mutex_t hiring = PTHREAD_MUTEX_INITIALIZER;

#ifdef __linux__
typedef cpu_set_t cpu_mask;

static void wait_while(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); /* returns early at times: callers look again */
}

static void wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}
#else
typedef int cpu_mask;
#define CPU_SETSIZE 0
#define CPU_ZERO(cores) ((void)(cores))
#define CPU_ISSET(core, cores) 0
#define CPU_SET(core, cores) ((void)(core), (void)(cores))

static pthread_mutex_t waiting = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void wait_while(_Atomic uint32_t *word, uint32_t value)
{
    pthread_mutex_lock(&waiting);
    while (atomic_load(word) == value) pthread_cond_wait(&changed, &waiting);
    pthread_mutex_unlock(&waiting);
}

static void wake(_Atomic uint32_t *word, int count)
{
    (void)word, (void)count;      /* all look */
    pthread_mutex_lock(&waiting); /* a waiter that has seen the old value is asleep by now */
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&waiting);
}
#endif

/* The core this thread is on; -1 where the system does not say. */
static int here(void)
{
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Watches a word until its bits `mask` are (or, with equal = 0, are no longer) `value`; false if not within `ns`. */
static int comes_to(_Atomic uint32_t *word, uint32_t mask, uint32_t value, int equal, long ns)
{
    enum { LOOKS = 32 }; /* between two readings of the clock */
    int64_t end = 0;
    for (;;) {
        for (int i = 0; i < LOOKS; i++) {
            if (((atomic_load_explicit(word, memory_order_acquire) & mask) == value) == equal) return 1;
            pause_briefly();
        }
        const int64_t now = now_ns();
        if (end == 0) end = now + ns;
        if (now >= end) return 0;
    }
}

/* The first range of a part, or the last; -1 if none is left. */
static ptrdiff_t take(struct part *part, int last)
{
    uint64_t left = atomic_load_explicit(&part->left, memory_order_relaxed);
    for (;;) {
        const uint64_t first = left & UINT32_MAX, end = left >> 32;
        if (first >= end) return -1;
        const uint64_t rest = last ? (end - 1) << 32 | first : left + 1;
        if (atomic_compare_exchange_weak_explicit(&part->left, &left, rest, memory_order_relaxed, memory_order_relaxed))
            return (ptrdiff_t)(last ? end - 1 : first);
    }
}

/* Takes ranges until none is left; returns how many. A seat works on the same part of every job first: what one kernel
 * leaves in a core's caches is what the next one reads there. `seat` also says whose scratch is whose. */
static ptrdiff_t take_ranges(struct job *job, int seat)
{
    ptrdiff_t taken = 0;
    const unsigned state = quernel_flush_denormals();
    void *scratch = job->scratch ? job->scratch[seat] : NULL;
    for (int i = 0; i < job->parts; i++)
        for (;;) {
            const ptrdiff_t range = take(&job->part[(seat + i) % job->parts], (i > 0) != job->last_first);
            if (range < 0) break;
            const ptrdiff_t lo = range * job->length;
            job->kernel(job->args, lo, job->units - lo < job->length ? job->units : lo + job->length, scratch);
            taken++;
        }
    quernel_restore_denormals(state);
    return taken;
}

/* Joins a job that has this seat; false if there is none. */
static int help_one(int seat)
{
    for (int i = 0; i < JOBS; i++) {
        struct job *job = &jobs[i];
        uint32_t door = atomic_load_explicit(&job->door, memory_order_relaxed);
        while (door & OPEN) {
            if (!atomic_compare_exchange_weak_explicit(&job->door, &door, door + 1, memory_order_acquire,
                                                       memory_order_relaxed))
                continue;
            const ptrdiff_t taken = seat < job->seats ? take_ranges(job, seat) : 0;
            door = atomic_fetch_sub_explicit(&job->door, 1, memory_order_release);
            if ((door & AWAITED) && (door & ALL_INSIDE) == 1) wake(&job->door, 1);
            if (taken) return 1;
            break;
        }
    }
    return 0;
}

/* Cores that launching threads are on; several threads on one core count once, for they take turns. */
static int launching(cpu_mask *cores)
{
    int count = 0;
    CPU_ZERO(cores);
    for (int i = 0; i < JOBS; i++) {
        if (!atomic_load_explicit(&jobs[i].door, memory_order_relaxed)) continue;
        const int core = atomic_load_explicit(&jobs[i].core, memory_order_relaxed);
        if (core < 0 || core >= CPU_SETSIZE)
            count++;
        else if (!CPU_ISSET(core, cores)) {
            count++;
            CPU_SET(core, cores);
        }
    }
    return count;
}

/* Whether a helper may compute where it is. On a launcher's core, where the scheduler at times puts a thread that is
 * woken, it would hold up what it helps: it moves away. */
static int welcome(const cpu_mask *home)
{
    cpu_mask cores;
    if (launching(&cores) + atomic_load(&helping) > atomic_load(&limit)) return 0; /* `helping` counts us, too */
#ifdef __linux__
    const int core = here();
    if (core < 0 || core >= CPU_SETSIZE || !CPU_ISSET(core, &cores)) return 1;
    cpu_mask others;
    CPU_XOR(&others, home, &cores);
    CPU_AND(&others, &others, home);
    return CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0;
#else
    (void)home;
    return 1;
#endif
}

static void *help(void *seat)
{
    cpu_mask home;
#ifdef __linux__
    prctl(PR_SET_NAME, "quernel"); /* for top, ps and debuggers */
    if (sched_getaffinity(0, sizeof home, &home) != 0) CPU_ZERO(&home);
#endif
    for (;;) {
        const uint32_t heard = atomic_load(&bell);
        atomic_fetch_add(&helping, 1);
        const int wanted = welcome(&home), helped = wanted && help_one((int)(intptr_t)seat);
        atomic_fetch_sub(&helping, 1);
        if (helped || (wanted && comes_to(&bell, UINT32_MAX, heard, 0, HELPER_SPIN_NS))) continue;
        atomic_fetch_add(&sleeping, 1);
        wait_while(&bell, heard);
        atomic_fetch_sub(&sleeping, 1);
    }
    return NULL;
}

/* Sees to it that there are `wanted` helpers; with fewer than that, where the system gives no more, the work is done
 * all the same. Signals are for the threads that the program knows of. */
static void hire(int wanted)
{
    if (atomic_load_explicit(&helpers, memory_order_relaxed) >= wanted) return;
    sigset_t all, before;
    sigfillset(&all);
    pthread_mutex_lock(&hiring);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (atomic_load(&helpers) < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, help, (void *)(intptr_t)(atomic_load(&helpers) + 1)) != 0) break;
        pthread_detach(thread);
        atomic_fetch_add(&helpers, 1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_unlock(&hiring);
}

static struct job *free_job(void)
{
    for (int i = 0; i < JOBS; i++) {
        uint32_t door = 0;
        if (atomic_compare_exchange_strong_explicit(&jobs[i].door, &door, TAKEN, memory_order_acquire,
                                                    memory_order_relaxed))
            return &jobs[i];
    }
    return NULL;
}

/* Waits until nobody is inside a job whose door is closed. */
static void wait_for_helpers(struct job *job, int64_t start, ptrdiff_t taken)
{
    const int64_t closed = now_ns(), patience = PATIENCE_NS + 2 * (closed - start) / (taken + 1);
    if (!comes_to(&job->door, ALL_INSIDE, 0, 1, LAUNCHER_SPIN_NS)) {
        uint32_t door = atomic_fetch_or_explicit(&job->door, AWAITED, memory_order_acquire) | AWAITED;
        while (door & ALL_INSIDE) {
            wait_while(&job->door, door);
            door = atomic_load_explicit(&job->door, memory_order_acquire);
        }
    }
    const int64_t now = now_ns();
    int64_t alone = atomic_load(&alone_next);
    if (now - closed > patience) {
        alone = alone < ALONE_MIN_NS ? ALONE_MIN_NS : alone < ALONE_MAX_NS ? 2 * alone : alone;
        atomic_store(&alone_until, now + alone);
    } else {
        alone -= alone / 256; /* forgotten within some hundred jobs that went well */
    }
    atomic_store(&alone_next, alone);
}

void quernel_run(kernel_fn *kernel, const void *args, ptrdiff_t units, ptrdiff_t length, int threads, int flags,
                 void *const *scratch)
{
    struct job *job = NULL;
    int64_t start = 0;
    const int rouse = flags & RUN_ROUSE;
    if (threads > 1 && length < units && (start = now_ns()) >= atomic_load(&alone_until)) job = free_job();
    if (job == NULL) {
        const unsigned state = quernel_flush_denormals();
        kernel(args, 0, units, scratch ? scratch[0] : NULL);
        quernel_restore_denormals(state);
        return;
    }
    if (rouse) hire(threads - 1);
    const ptrdiff_t ranges = (units + length - 1) / length;
    job->kernel = kernel, job->args = args, job->units = units, job->length = length;
    job->scratch = scratch;
    job->seats = threads, job->parts = threads < PARTS ? threads : PARTS;
    job->last_first = (flags & RUN_LAST_FIRST) != 0;
    for (int i = 0; i < job->parts; i++) {
        const uint64_t first = (uint64_t)(ranges * i / job->parts), end = (uint64_t)(ranges * (i + 1) / job->parts);
        atomic_store_explicit(&job->part[i].left, end << 32 | first, memory_order_relaxed);
    }
    atomic_store_explicit(&job->core, here(), memory_order_relaxed);
    atomic_store_explicit(&job->door, TAKEN | OPEN, memory_order_release);
    atomic_fetch_add(&bell, 1);
    if (rouse && atomic_load(&sleeping) > 0) {
        cpu_mask cores;
        const int others = launching(&cores) + atomic_load(&helping);
        /* Helpers without a seat, hired when the limit was higher, may be the ones that hear the bell. */
        if (others < threads) wake(&bell, atomic_load(&helpers) < threads ? threads - others : INT_MAX);
    }

    const ptrdiff_t taken = take_ranges(job, 0);
    const uint32_t door = atomic_fetch_and_explicit(&job->door, ~(uint32_t)OPEN, memory_order_acquire);
    if (door & ALL_INSIDE) wait_for_helpers(job, start, taken);
    atomic_store_explicit(&job->door, 0, memory_order_release);
}

void quernel_set_threads(int n) { atomic_store(&limit, n); }

int quernel_threads(void) { return atomic_load_explicit(&limit, memory_order_relaxed); }

/* Only the thread that forks lives on in the child: it starts with no helpers and no jobs, and hires anew. */
static void before_fork(void) { pthread_mutex_lock(&hiring); }

static void in_parent(void) { pthread_mutex_unlock(&hiring); }

static void in_child(void)
{
    memset(jobs, 0, sizeof jobs);
    helpers = sleeping = helping = 0;
#ifndef __linux__
    waiting = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; /* a helper of the parent may have held it */
    changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
#endif
    pthread_mutex_unlock(&hiring);
}

int quernel_watch_fork(void) { return pthread_atfork(before_fork, in_parent, in_child); }
