/* threads.c   The one parallel loop: a job's ranges are taken by the thread that launched it and by helpers.
 *
 * The launching thread is never made to wait for a thread to wake up or to be given a core: it takes ranges until none
 * is left, then closes the job's door and waits only for helpers that are inside, each with the range it has taken. On
 * an idle machine helpers, still spinning from the job before, are in within a fraction of a microsecond; on a busy one
 * the launching thread has done most of the work before they come, and is not slower than alone. Several threads may
 * launch at once: each has a job of its own, and helpers go where the work is, as long as no more threads compute than
 * the limit.
 *
 * Which thread takes which range is left to chance; nothing that a kernel computes may depend on it. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "kernels.h"

#ifdef __linux__
#include <limits.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { JOBS = 16, LINE = 64 };

/* A helper that finds no work looks for more this long before it sleeps: longer than Python takes from one kernel of a
 * step to the next, so that helpers stay awake through a step; short, so that a core is not kept from others. */
static const long HELPER_SPIN_NS = 100 * 1000;
/* The launching thread waits this long for helpers inside before it sleeps: a helper that takes longer has lost its
 * core, and gets this one. */
static const long LAUNCHER_SPIN_NS = 50 * 1000;
/* A helper that is woken onto the launching thread's own core found no other free: none is woken for this long. */
static const long CROWDED_NS = 2000 * 1000;

/* A door: bits 0-9 helpers inside, 10-19 places left for helpers, then these. A free job's door is 0. */
enum {
    INSIDE = 1u,
    ALL_INSIDE = 0x3ff,
    PLACE = 1u << 10,
    ALL_PLACES = 0x3ffu << 10,
    TAKEN = 1u << 20,
    AWAITED = 1u << 21
};

struct job {
    _Alignas(LINE) _Atomic uint32_t door;
    kernel_fn *kernel;
    const void *args;
    ptrdiff_t units, length, ranges;
    char *scratch;
    size_t stride;
    _Alignas(LINE) _Atomic ptrdiff_t next; /* first range that nobody has taken */
};

static struct job jobs[JOBS];
static _Alignas(LINE) _Atomic uint32_t bell; /* rung for each job; what idle helpers watch */
static _Alignas(LINE) _Atomic int sleeping;  /* helpers that have to be woken */
static _Atomic int computing;                /* threads with a job: launchers and helpers */
static _Atomic int limit = 1;
static _Atomic int helpers;
static _Atomic int launch_core = -1; /* where the last job was launched from */
static _Atomic int64_t crowded_until;
static pthread_mutex_t hiring = PTHREAD_MUTEX_INITIALIZER;

#ifdef __linux__
static void wait_while(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); /* returns early at times: callers look again */
}

static void wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}
#else
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
    (void)word, (void)count;
    pthread_mutex_lock(&waiting); /* a waiter that has seen the old value is asleep by now */
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&waiting);
}
#endif

/* The core this thread is on; -1 where the system does not say. */
static int core(void)
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

/* Takes ranges until none is left. `seat` 0 is the launcher's; it says whose scratch is whose. */
static void take_ranges(struct job *job, uint32_t seat)
{
    const unsigned state = quernel_flush_denormals();
    char *scratch = job->scratch ? job->scratch + seat * job->stride : NULL;
    for (;;) {
        const ptrdiff_t i = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (i >= job->ranges) break;
        const ptrdiff_t lo = i * job->length, hi = job->units - lo < job->length ? job->units : lo + job->length;
        job->kernel(job->args, lo, hi, scratch);
    }
    quernel_restore_denormals(state);
}

/* Joins a job with a place left; false if there is none. */
static int help_one(void)
{
    for (int i = 0; i < JOBS; i++) {
        struct job *job = &jobs[i];
        uint32_t door = atomic_load_explicit(&job->door, memory_order_relaxed);
        while (door & ALL_PLACES) {
            if (!atomic_compare_exchange_weak_explicit(&job->door, &door, door - PLACE + INSIDE, memory_order_acquire,
                                                       memory_order_relaxed))
                continue;
            take_ranges(job, (door & ALL_PLACES) / PLACE);
            door = atomic_fetch_sub_explicit(&job->door, INSIDE, memory_order_release);
            if ((door & AWAITED) && (door & ALL_INSIDE) == INSIDE) wake(&job->door, 1);
            return 1;
        }
    }
    return 0;
}

static void *help(void *nothing)
{
#ifdef __linux__
    prctl(PR_SET_NAME, "quernel"); /* for top, ps and debuggers */
#endif
    for (;;) {
        const uint32_t heard = atomic_load(&bell);
        const int helped = atomic_fetch_add(&computing, 1) < atomic_load(&limit) && help_one();
        atomic_fetch_sub(&computing, 1);
        if (helped) continue;
        const int here = core();
        if (here >= 0 && here == atomic_load(&launch_core))
            atomic_store(&crowded_until, now_ns() + CROWDED_NS); /* to spin here would hold up what it waits for */
        else if (comes_to(&bell, UINT32_MAX, heard, 0, HELPER_SPIN_NS))
            continue;
        atomic_fetch_add(&sleeping, 1);
        wait_while(&bell, heard);
        atomic_fetch_sub(&sleeping, 1);
    }
    return nothing;
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
        if (pthread_create(&thread, NULL, help, NULL) != 0) break;
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

void quernel_run(kernel_fn *kernel, const void *args, ptrdiff_t units, ptrdiff_t length, int threads, int rouse,
                 void *scratch, size_t stride)
{
    struct job *job = threads > 1 && length < units ? free_job() : NULL;
    if (job == NULL) {
        const unsigned state = quernel_flush_denormals();
        kernel(args, 0, units, scratch);
        quernel_restore_denormals(state);
        return;
    }
    if (rouse) hire(threads - 1);
    job->kernel = kernel, job->args = args;
    job->units = units, job->length = length, job->ranges = (units + length - 1) / length;
    job->scratch = scratch, job->stride = stride;
    atomic_store_explicit(&job->next, 0, memory_order_relaxed);
    atomic_store(&launch_core, core());
    atomic_fetch_add(&computing, 1);
    atomic_store_explicit(&job->door, TAKEN + (uint32_t)(threads - 1) * PLACE, memory_order_release);
    atomic_fetch_add(&bell, 1);
    if (rouse && atomic_load(&sleeping) > 0 && now_ns() >= atomic_load(&crowded_until)) wake(&bell, threads - 1);

    take_ranges(job, 0);
    uint32_t door = atomic_fetch_and_explicit(&job->door, ~(uint32_t)ALL_PLACES, memory_order_acquire);
    if ((door & ALL_INSIDE) && !comes_to(&job->door, ALL_INSIDE, 0, 1, LAUNCHER_SPIN_NS)) {
        door = atomic_fetch_or_explicit(&job->door, AWAITED, memory_order_acquire) | AWAITED;
        while (door & ALL_INSIDE) {
            wait_while(&job->door, door);
            door = atomic_load_explicit(&job->door, memory_order_acquire);
        }
    }
    atomic_fetch_sub(&computing, 1);
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
    helpers = sleeping = computing = 0;
    pthread_mutex_unlock(&hiring);
}

int quernel_watch_fork(void) { return pthread_atfork(before_fork, in_parent, in_child); }
