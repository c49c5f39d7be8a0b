"""How many threads the kernels use, and why.

The default is the smallest of: the cores this process may run on, its cgroup's CPU quota (containers), and
QUERNEL_NUM_THREADS or OMP_NUM_THREADS where set. A fractional quota is rounded down: a thread that is throttled within
a range holds up the kernel.
"""

import os
import warnings

from quernel.kernels.launch cimport MAX_THREADS, set_thread_limit, thread_limit


def affinity_cores():
    """Cores in this process's affinity mask (all cores where the system has no such mask)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def cgroup_quota(proc="/proc/self/cgroup", root="/sys/fs/cgroup"):
    """CPUs' worth of time the cgroup (version 1 or 2, and all above it) allows; None without a limit."""
    limits = []
    for line in _read(proc).splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers == "":
            base, version = root, 2
        elif "cpu" in controllers.split(","):
            base = next((b for b in (f"{root}/cpu", f"{root}/{controllers}") if os.path.isdir(b)), f"{root}/cpu")
            version = 1
        else:
            continue
        parts = [p for p in path.split("/") if p and p != ".."]
        for depth in range(len(parts) + 1):
            folder = "/".join([base, *parts[:depth]])
            if version == 2:
                fields = _read(f"{folder}/cpu.max").split()
            else:
                fields = [_read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us")]
            if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit() and int(fields[1]) > 0:
                limits.append(int(fields[0]) / int(fields[1]))
    return min(limits, default=None)


def _from_environment():
    """(threads, variable) asked for by the environment, or None."""
    for variable in ("QUERNEL_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(variable, "").split(",")[0].strip()
        if not text:
            continue
        if text.isdigit() and 1 <= int(text) <= MAX_THREADS:
            return int(text), variable
        warnings.warn(f"{variable}={text!r} is ignored: expected 1 to {MAX_THREADS}", RuntimeWarning, stacklevel=2)
    return None


def default_threads():
    """(threads, reason): what the kernels start with."""
    choices = [(affinity_cores(), "cores this process may run on")]
    quota = cgroup_quota()
    if quota is not None:
        choices.append((max(1, int(quota)), f"CPU quota of the cgroup ({quota:g} CPUs)"))
    asked = _from_environment()
    if asked is not None:
        choices.append((asked[0], f"{asked[1]}={asked[0]}"))
    n, reason = min(choices, key=lambda choice: choice[0])
    return min(n, MAX_THREADS), reason


_reason = ""


def get_num_threads():
    """Threads that a kernel with enough work uses now."""
    return thread_limit()


def threads_reason():
    """Why it is that number."""
    return _reason


def set_num_threads(n):
    """Let kernels use up to `n` threads (1 to 1024). Results are the same bits for every n.

    Raises ValueError for other numbers and TypeError for what is no integer.
    """
    global _reason
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads: expected an integer, got {n!r} of type {type(n).__name__}")
    n = n.__index__()
    if not 1 <= n <= MAX_THREADS:
        raise ValueError(f"set_num_threads: expected 1 to {MAX_THREADS} threads, got {n}")
    set_thread_limit(n)
    _reason = "set_num_threads"


def _start():
    global _reason
    n, _reason = default_threads()
    set_thread_limit(n)


_start()
