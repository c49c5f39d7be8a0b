"""Does the process grow? Resident memory over many calls of random shapes, and over many predictions.

    python -m benchmarks.memory [--calls 10000] [--predictions 100000]

The largest shape of every operation is computed first; then random ones, forward and backward. What is resident after
them must be within 5 % of the most that the largest took, and the pool must hold no more than was in use at once.
Predictions must leave nothing behind: no block of the pool, no object of Python, no page.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

import quernel as qn
from quernel import layers, ops

LARGEST = 96  # edge of an image, and a third of the edge of a matrix
CHANNELS = 48

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


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split("\n\n")[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--predictions", type=int, default=100_000)
    options = parser.parse_args(argv)
    print(f"{options.calls} calls of random shapes: at most {random_shapes(options.calls)}")
    peak = qn.memory_stats()["peak"]
    print(f"the pool holds {held() / 1e6:.2f} MB; at most {peak / 1e6:.2f} MB were in use at once")
    left = predictions(options.predictions)
    print(
        f"{options.predictions} predictions left {left.pool} bytes of the pool, {left.objects} blocks of Python's, "
        f"{left.resident} bytes resident"
    )


if __name__ == "__main__":
    main()
