"""What runs the kernels: instruction set, threads, memory."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from quernel import backend
from quernel.kernels import launch, memory, threads

__all__ = ["empty_cache", "get_num_threads", "info", "memory_stats", "num_threads", "set_num_threads"]

set_num_threads = threads.set_num_threads
get_num_threads = threads.get_num_threads
memory_stats = memory.memory_stats
empty_cache = memory.empty_cache


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Let kernels use up to `n` threads inside the block.

    Parameters
    ----------
    n : 1 to 1024. Results are the same bits for every n.

    Raises
    ------
    ValueError, TypeError : as `set_num_threads`.

    Examples
    --------
    >>> import quernel as qn
    >>> with qn.num_threads(1):
    ...     qn.get_num_threads()
    1
    """
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def info() -> dict[str, Any]:
    """What quernel runs on here and why, as a dictionary (the command ``quernel info`` prints it).

    Keys: version, python, numpy, machine, backend, isa (instruction set in use), isas (those this CPU and build
    have, best first), threads, threads_reason, affinity_cores, cgroup_quota (CPUs, None without a limit), memory.

    Examples
    --------
    >>> import quernel as qn
    >>> sorted(qn.info())[:3]
    ['affinity_cores', 'backend', 'cgroup_quota']
    """
    from quernel import __version__

    return {
        "version": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "backend": backend.name(),
        "isa": launch.isa(),
        "isas": launch.isas_supported(),
        "threads": threads.get_num_threads(),
        "threads_reason": threads.threads_reason(),
        "affinity_cores": threads.affinity_cores(),
        "cgroup_quota": threads.cgroup_quota(),
        "memory": memory.memory_stats(),
    }
