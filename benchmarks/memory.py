"""Memory: does the process grow, and what does a training step take at most?

    python -m benchmarks.memory [--calls 10000] [--predictions 100000]
    python -m benchmarks.memory --peer torch [--threads N] [--match TEXT]

Growth: the largest shape of every operation is computed first; then random ones, forward and backward. What is resident
after them must be within 5 % of the most that the largest took, and the pool must hold no more than was in use at once.
Predictions must leave nothing behind: no block of the pool, no object of Python, no page.

Peaks (`--peer`): for each training step of `benchmarks.suites.training`, and for each side and variant in a process of
its own, the most that is resident during some steps, less what was before them: the libraries, the inputs and the
weights; gradients, Adam's means, what forward keeps and scratch space remain. A ratio above 1 means that quernel takes
less. Code counts where it is first used, so that a step with two samples comes first. Peers that compile are left
out, for compiling takes memory too. All of it reads /proc and runs on Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import quernel as qn
from quernel import layers, ops

from .networks import NETWORKS
from .sides import peer
from .suites import training
from .versus import THREAD_VARIABLES
from .work import Run, Work

LARGEST = 96  # edge of an image, and a third of the edge of a matrix
CHANNELS = 48
STEPS = 4  # the second already has all that steps keep
PEAK_PEERS = ("torch", "sklearn")
RESET_PEAK = "5"  # what /proc/self/clear_refs takes for "VmHWM is VmRSS again", see man 5 proc

Sizes = Sequence[float]  # four shares of the largest extents, in (0, 1]


def _ones(*shape: int) -> qn.Tensor:
    return qn.tensor(np.ones(shape, np.float32), requires_grad=True)


def _extent(share: float, largest: int) -> int:
    return max(1, round(share * largest))


def _image(sizes: Sizes) -> qn.Tensor:
    return _ones(4, _extent(sizes[0], LARGEST), _extent(sizes[1], LARGEST), _extent(sizes[2], CHANNELS))


def _conv(sizes: Sizes) -> qn.Tensor:
    x = _image(sizes)
    return ops.conv2d(x, _ones(3, 3, x.shape[3], _extent(sizes[3], CHANNELS)), padding="same")


def _matmul(sizes: Sizes) -> qn.Tensor:
    m, k, n = (_extent(share, 8 * LARGEST) for share in sizes[:3])
    return ops.matmul(_ones(m, k), _ones(k, n))


def _pool(sizes: Sizes) -> qn.Tensor:
    return ops.max_pool2d(_image(sizes), 2, padding="same")


def _norm(sizes: Sizes) -> qn.Tensor:
    x = _image(sizes)
    channels = x.shape[3]
    moving = [np.zeros(channels, np.float32) for _ in range(2)]
    return ops.relu(ops.batch_norm(x, _ones(channels), _ones(channels), *moving, True))


OPERATIONS: tuple[Callable[[Sizes], qn.Tensor], ...] = (_conv, _matmul, _pool, _norm)


def status(field: str) -> int:
    """Bytes of a field of /proc/self/status: VmRSS, resident now; VmHWM, the most that ever was."""
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(field))


def held() -> int:
    """Bytes that the pool has from the system."""
    stats = qn.memory_stats()
    return int(stats["in_use"] + stats["cached"])


class Growth(NamedTuple):
    before: int
    after: int

    def __str__(self) -> str:
        return f"{self.before / 1e6:.2f} MB, then {self.after / 1e6:.2f} MB ({self.after / self.before - 1:+.1%})"


def random_shapes(calls: int, seed: int = 0) -> Growth:
    """Bytes resident at most while the largest were computed, and after `calls` random ones."""
    rng = np.random.default_rng(seed)
    for operation in OPERATIONS:
        operation((1.0, 1.0, 1.0, 1.0)).sum().backward()
    largest = status("VmHWM")
    for i in range(calls):
        OPERATIONS[i % len(OPERATIONS)](rng.random(4)).sum().backward()
    gc.collect()
    return Growth(largest, status("VmRSS"))


class Left(NamedTuple):
    """What predictions left behind: bytes of the pool, blocks of Python's allocator, bytes resident."""

    pool: int
    objects: int
    resident: int


def predictions(count: int) -> Left:
    """Of a network with every kind of layer that predicts, one row at a time."""
    model = qn.Sequential(
        [
            layers.Conv2D(8, 3, activation="relu"), layers.BatchNormalization(), layers.MaxPool2D(2), layers.Flatten(),
            layers.Dropout(0.5), layers.Dense(10, activation="softmax"),
        ]
    )  # fmt: skip
    x = np.ones((1, 8, 8, 1), np.float32)
    for _ in range(200):  # caches fill
        model.predict(x, verbose=0)
    gc.collect()
    before = Left(qn.memory_stats()["in_use"], sys.getallocatedblocks(), status("VmRSS"))
    for _ in range(count):
        model.predict(x, verbose=0)
    gc.collect()
    after = Left(qn.memory_stats()["in_use"], sys.getallocatedblocks(), status("VmRSS"))
    return Left(*(b - a for a, b in zip(before, after, strict=True)))


def release() -> None:
    """Give back to the system what is free here, so that what comes next counts in full."""
    gc.collect()
    qn.empty_cache()
    ctypes.CDLL(None).malloc_trim(0)


def peak(side: Any, work: Work, index: int) -> tuple[str, int] | None:
    """The name of a side's variant of that index and the bytes that its steps take; None if there is none."""

    def run_of(work: Work) -> Run | None:
        runs = side.runs(work, work.inputs(np.random.default_rng(0), "float32"))
        return runs[index] if index < len(runs) else None

    for piece in (replace(work, inputs=NETWORKS[work.spec["network"]].inputs(2)), work):
        run = run_of(piece)
        if run is None:
            return None
        release()
        before = status("VmRSS")
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
        for _ in range(STEPS):
            run.call()
        taken = status("VmHWM") - before
    return run.variant, taken


def child(side: str, case: str, index: str) -> None:
    """The peak of one variant, in this process."""
    work = next(work for work in training.works() if work.name == case)
    found = peak(peer(side, int(os.environ["QUERNEL_NUM_THREADS"])), work, int(index))
    if found is not None:
        print(*found, sep="\t")


def peaks(side: str, case: str, threads: int) -> dict[str, int]:
    """Bytes of each variant, each in a process of its own."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    found: dict[str, int] = {}
    while True:
        command = [sys.executable, "-m", "benchmarks.memory", "--child", side, case, str(len(found))]
        answer = subprocess.run(
            command, env=environment, text=True, stdout=subprocess.PIPE, check=True
        ).stdout
        if not answer:
            return found
        variant, taken = answer.removesuffix("\n").split("\t")
        found[variant] = int(taken)


def peak_line(case: str, ours: int, theirs: dict[str, int]) -> str:
    each = ", ".join(f"{variant} {taken / 1e6:.1f}".strip() for variant, taken in theirs.items())
    return f"{case:<60}{ours / 1e6:>11.1f}{min(theirs.values()) / ours:>7.2f}  {each}"


def growth(calls: int, count: int) -> None:
    print(f"{calls} calls of random shapes: at most {random_shapes(calls)}")
    most = qn.memory_stats()["peak"]
    print(f"the pool holds {held() / 1e6:.2f} MB; at most {most / 1e6:.2f} MB were in use at once")
    left = predictions(count)
    print(
        f"{count} predictions left {left.pool} bytes of the pool, {left.objects} blocks of Python's, "
        f"{left.resident} bytes resident"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split("\n\n")[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--peer", choices=PEAK_PEERS, help="the peaks of training steps, beside this library")
    parser.add_argument("--threads", type=int, default=1, help="with --peer")
    parser.add_argument("--match", default="", metavar="TEXT", help="with --peer: cases whose name has this")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        child(*options.child)
    elif options.peer:
        print(f"{'peak of a':<60}{'quernel MB':>11}{'ratio':>7}  {options.peer} MB")
        for work in training.works():
            theirs = peaks(options.peer, work.name, options.threads) if options.match in work.name else {}
            if theirs:
                (ours,) = peaks("quernel", work.name, options.threads).values()
                print(peak_line(work.name, ours, theirs), flush=True)
    else:
        growth(options.calls, options.predictions)


if __name__ == "__main__":
    main()
