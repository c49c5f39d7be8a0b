"""Timing two libraries in one process.

Each library has its own pool of OpenMP threads, and after a region the threads of a pool spin
for some milliseconds
before they sleep: on two cores they would take a core from whoever computes next. So the sides take turns in
bursts of many calls, with a pause before each burst that lets the other side's threads fall asleep, and a
few calls first that wake the own ones. Turns alternate, so that a change of clock or of neighbours meets all
sides alike.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# GNU OpenMP's threads spin for at most some milliseconds once they have nothing to do.
PAUSE_SECONDS = 0.03
# A call shorter than this is timed together with its followers: the clock and the loop cost about 0.1
# microseconds.
SHORT_SECONDS = 20e-6
WARM_CALLS = 2


@dataclass(frozen=True)
class Timing:
    """Seconds per call: the median over bursts of each burst's median, and the shortest call of all."""

    median: float
    minimum: float
    calls: int


def interleaved(
    sides: Mapping[str, Callable[[], Any]], *, bursts: int = 5, burst_seconds: float = 0.15
) -> dict[str, Timing]:
    """Time each side in `bursts` turns of about `burst_seconds`."""
    medians: dict[str, list[float]] = {name: [] for name in sides}
    shortest = dict.fromkeys(sides, float("inf"))
    calls = dict.fromkeys(sides, 0)
    names = list(sides)
    gc_was_on = gc.isenabled()
    gc.disable()
    try:
        for turn in range(bursts):
            for name in names if turn % 2 == 0 else reversed(names):
                times = _burst(sides[name], burst_seconds)
                medians[name].append(statistics.median(times))
                shortest[name] = min(shortest[name], *times)
                calls[name] += len(times)
            gc.collect()
    finally:
        if gc_was_on:
            gc.enable()
    return {name: Timing(statistics.median(medians[name]), shortest[name], calls[name]) for name in sides}


def _burst(call: Callable[[], Any], seconds: float) -> list[float]:
    time.sleep(PAUSE_SECONDS)
    for _ in range(WARM_CALLS):
        call()
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    together = max(1, round(SHORT_SECONDS / max(once, 1e-7)))
    times = [once]
    end = start + seconds
    while (now := time.perf_counter()) < end:
        for _ in range(together):
            call()
        times.append((time.perf_counter() - now) / together)
    return times


def by_parts(sides: Mapping[str, Callable[[], Any]], parts: int, rounds: int) -> dict[str, Timing]:
    """Time what takes so long that each side does it in `parts` calls: sides take turns at every part, and the
    times of the parts are added up."""
    wholes: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for turn in range(rounds):
        seconds = dict.fromkeys(sides, 0.0)
        for part in range(parts):
            for name in names if (turn + part) % 2 == 0 else reversed(names):
                time.sleep(PAUSE_SECONDS)
                start = time.perf_counter()
                sides[name]()
                seconds[name] += time.perf_counter() - start
        for name in names:
            wholes[name].append(seconds[name])
    return {name: Timing(statistics.median(times), min(times), rounds) for name, times in wholes.items()}
