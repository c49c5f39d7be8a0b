"""How many threads the kernels use."""

import os

from quernel.kernels.launch cimport set_thread_limit, thread_limit

from quernel.kernels.launch import was_forked

MAX_THREADS = 1024


def get_num_threads():
    """Threads that a kernel with enough work uses now."""
    return thread_limit()


def set_num_threads(n):
    """Let kernels use up to `n` threads (1 to 1024). Results are the same bits for every n.

    Raises ValueError for other numbers, TypeError for what is no integer, and RuntimeError in a process forked after
    the parent's threads had started, when n > 1: threads do not survive fork.
    """
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads: expected an integer, got {n!r} of type {type(n).__name__}")
    n = n.__index__()
    if not 1 <= n <= MAX_THREADS:
        raise ValueError(f"set_num_threads: expected 1 to {MAX_THREADS} threads, got {n}")
    if n > 1 and was_forked():
        raise RuntimeError(
            f"set_num_threads({n}): this process was forked after its parent had started kernel threads, which do not "
            "survive fork, so kernels run on one thread here. Start workers with the 'spawn' or 'forkserver' method "
            "(multiprocessing.set_start_method), or fork before the first training step."
        )
    set_thread_limit(n)
