"""One gate for all compute: every kernel is started by `launch` or `parallel`, without the GIL but for short work.

A kernel's arguments are a plain struct of pointers and sizes. That is what will let a program be recorded (a copy of
each struct, in order) and replayed without Python: values that change between steps live in memory the kernels read
through a pointer, never in the struct.

`run_ranges` is the one parallel loop (csrc/threads.c), `for_range` the usual way to it: it decides on the ranges. Which
thread takes which range is left to chance, and nothing that a kernel computes may depend on it.
"""

import os

from quernel.kernels.memory cimport scratch_give, scratch_take

cdef extern from "kernels.h":
    const kernel_table *quernel_table(const char *isa)
    const char *quernel_isa_names(int supported)
    void quernel_run(kernel_fn *kernel, const void *args, Py_ssize_t units, Py_ssize_t length, int threads,
                     int flags, void *const *scratch) noexcept nogil
    void quernel_set_threads(int n) noexcept nogil
    int quernel_threads() noexcept nogil
    int quernel_watch_fork()

cdef extern from *:
    """
    /* Set where scratch could not be had; read and cleared by the launching thread, which is the only writer. */
    static _Thread_local int launch_failed;
    """
    int launch_failed

# Ranges per thread: enough that an unequal or disturbed thread does not hold up the others by more than a few percent.
cdef enum:
    RANGES_PER_THREAD = 8
# A helper that is awake shares a part of a grain; to wake one takes some 5 microseconds, and more until it is there.
cdef enum:
    PARTS_OF_GRAIN = 4


cdef const kernel_table *choose() except NULL:
    wanted = os.environ.get("QUERNEL_ISA", "")
    supported = quernel_isa_names(1).decode().split()
    if wanted and wanted not in supported:
        built = quernel_isa_names(0).decode().split()
        reason = "this CPU lacks it" if wanted in built else f"it is not in this build, which has {', '.join(built)}"
        raise ImportError(
            f"QUERNEL_ISA={wanted}: {reason}. This CPU runs: {', '.join(supported)}. "
            "Unset QUERNEL_ISA to take the best of them."
        )
    name = wanted.encode()
    return quernel_table(<const char *> name if wanted else NULL)


table = choose()
if quernel_watch_fork() != 0:
    raise ImportError("quernel: could not register a fork handler (pthread_atfork failed)")


def isa():
    """The instruction set in use."""
    return table.isa.decode()


def isas_supported():
    """Instruction sets that this build has and this CPU runs, best first."""
    return quernel_isa_names(1).decode().split()


cdef int thread_limit() noexcept nogil:
    return quernel_threads()


cdef int set_thread_limit(int n) except -1:
    quernel_set_threads(n)
    return 0


cdef void out_of_memory() noexcept nogil:
    global launch_failed
    launch_failed = 1


cdef void run_ranges(kernel_fn *kernel, const void *args, Py_ssize_t units, Py_ssize_t length, int flags,
                     size_t scratch_bytes) noexcept nogil:
    """kernel(args, lo, hi, scratch) over [0, units) in ranges of `length`; for the flags see csrc/kernels.h."""
    if units <= 0:
        return
    cdef int threads = <int> min(<Py_ssize_t> quernel_threads(), ceil_div(units, length))
    cdef void *scratch[MAX_THREADS]
    if scratch_bytes and not scratch_take(scratch, threads, scratch_bytes):
        out_of_memory()
        return
    quernel_run(kernel, args, units, length, threads, flags, scratch if scratch_bytes else NULL)
    if scratch_bytes:
        scratch_give(scratch, threads)


cdef Py_ssize_t range_length(Py_ssize_t units, Py_ssize_t grain) noexcept nogil:
    return max(max(<Py_ssize_t> 1, grain // PARTS_OF_GRAIN), units // (quernel_threads() * RANGES_PER_THREAD))


cdef void for_range(kernel_fn *kernel, const void *args, Py_ssize_t units, Py_ssize_t grain,
                    size_t scratch_bytes) noexcept nogil:
    """As run_ranges, where units may be grouped in any way.

    A grain is the units that keep a core busy for 20 to 30 microseconds, by estimate: no thread is woken for less.
    """
    run_ranges(kernel, args, units, range_length(units, grain), RUN_ROUSE if units > grain else 0, scratch_bytes)


cdef void for_range_backwards(kernel_fn *kernel, const void *args, Py_ssize_t units, Py_ssize_t grain,
                              size_t scratch_bytes) noexcept nogil:
    """As for_range; every thread goes through its part from end to beginning (a kernel does so with its range)."""
    run_ranges(kernel, args, units, range_length(units, grain), RUN_LAST_FIRST | (RUN_ROUSE if units > grain else 0),
               scratch_bytes)


cdef int finish() except -1:
    global launch_failed
    if launch_failed:
        launch_failed = 0
        raise MemoryError("quernel: no memory left for a kernel's scratch space")
    return 0


cdef int launch(run_fn *run, const void *args, size_t args_bytes) except -1:
    """Run a kernel of several phases: run(args) calls for_range as often as it needs."""
    with nogil:
        run(args)
    return finish()


cdef int parallel(int id, int real, const void *args, size_t args_bytes, Py_ssize_t units, Py_ssize_t grain,
                  size_t scratch_bytes) except -1:
    """Run a kernel of one phase. What is over within a grain keeps the GIL: to hand it over would take longer."""
    cdef kernel_fn *kernel = kernel_of(id, real)
    if units <= grain:
        for_range(kernel, args, units, grain, scratch_bytes)
    else:
        with nogil:
            for_range(kernel, args, units, grain, scratch_bytes)
    return finish()
