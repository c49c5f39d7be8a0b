"""What threads cost and gain where work is small and the machine is shared.

    python -m benchmarks.company [--threads 2] [--json FILE]

small        time on one thread : time on `threads`, of work too small to share; 1 or more is what we want
neighbour    the same with a process that keeps one core busy all the time
callers      predictions a second of `threads` Python threads at once : that many times one thread's alone
denormal     time on ordinary numbers : time on numbers below the normal range

All sides of a row take turns in one process; medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import quernel as qn
from quernel import layers, losses, ops, optimizers

from .networks import cnn, mlp
from .timing import interleaved

Call = Callable[[], Any]
Row = dict[str, Any]
# Far below the smallest normal float32, 1.2e-38.
DENORMAL = 1e-40


def training_step(model: qn.Model, x: np.ndarray, classes: int) -> Call:
    """Forward, loss, backward, Adam."""
    y = np.arange(len(x)) % classes
    model(x)
    model.train()
    optimizer = optimizers.Adam(parameters=model.parameters())
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)

    def step() -> None:
        loss = loss_of(y, model(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def prediction(model: qn.Model, x: np.ndarray) -> Call:
    model(x)
    model.eval()

    def predict() -> np.ndarray:
        with qn.no_grad():
            return model(x).numpy()

    return predict


def _draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def small_works() -> dict[str, Call]:
    """Work of some microseconds, and steps made of it."""
    works: dict[str, Call] = {}
    for n in (16, 64, 128, 192):
        a = qn.tensor(_draw(n, n))
        works[f"matmul {n}x{n}"] = lambda a=a: ops.matmul(a, a)
    for n in (1_000, 10_000, 50_000, 200_000):
        x = qn.tensor(_draw(n))
        works[f"relu of {n}"] = lambda x=x: ops.relu(x)
    x = qn.tensor(_draw(128, 10))
    works["softmax 128x10"] = lambda: ops.softmax(x)
    dense = qn.Sequential([layers.Dense(100, activation="relu"), layers.Dense(100)])
    works["training step, mlp 100-100-100, batch 4"] = training_step(dense, _draw(4, 100), 100)
    works["training step, mlp 784-128-10, batch 32"] = training_step(mlp(0.0), _draw(32, 784), 10)
    works["prediction, cnn 28x28, batch 1"] = prediction(cnn(0.0), _draw(1, 28, 28, 1))
    return works


def steps() -> dict[str, Call]:
    """Training steps of a fraction of a millisecond to some milliseconds."""
    return {
        "training step, mlp 784-128-10, batch 32": training_step(mlp(0.0), _draw(32, 784), 10),
        "training step, mlp 784-128-10, batch 128": training_step(mlp(0.0), _draw(128, 784), 10),
        "training step, cnn 28x28, batch 64": training_step(cnn(0.0), _draw(64, 28, 28, 1), 10),
    }


def one_against_many(kind: str, works: dict[str, Call], threads: int, **timing: Any) -> Iterator[Row]:
    for name, call in works.items():

        def on(n: int, call: Call = call) -> Call:
            def run() -> None:
                qn.set_num_threads(n)
                call()

            return run

        times = interleaved({"one": on(1), "many": on(threads)}, **timing)
        yield {"kind": kind, "case": name, "ratio": times["one"].median / times["many"].median}


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that computes on one of our cores for ever."""
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    pin = "" if core is None else f"import os; os.sched_setaffinity(0, [{core}])\n"
    with subprocess.Popen([sys.executable, "-c", pin + "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def callers(threads: int, seconds: float, rounds: int) -> Iterator[Row]:
    """Each Python thread has a model of its own, as servers have; all results are checked."""
    x = _draw(64, 28, 28, 1)
    models = [prediction(cnn(0.0), x) for _ in range(threads)]
    expected = [model() for model in models]

    def work(index: int) -> int:
        end, done = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            if not np.array_equal(models[index](), expected[index]):
                raise SystemExit("predictions of several Python threads at once differ from those of one")
            done += 1
        return done

    ratios = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            qn.set_num_threads(1)
            alone = work(0)
            qn.set_num_threads(threads)
            ratios.append(sum(pool.map(work, range(threads))) / (threads * alone))
    yield {
        "kind": "callers",
        "case": f"cnn 28x28, batch 64, {threads} Python threads",
        "ratio": float(np.median(ratios)),
    }


def denormal_works(scale: float) -> dict[str, Call]:
    image, kernel = qn.tensor(_draw(16, 28, 28, 16) * scale), qn.tensor(_draw(3, 3, 16, 16))
    matrix, vector = qn.tensor(_draw(256, 256) * scale), qn.tensor(_draw(16))
    zeros, ones = np.zeros(16, np.float32), np.ones(16, np.float32)
    rnn = [qn.tensor(a) for a in (_draw(64, 256), _draw(64, 256), _draw(256))]
    sequence = qn.tensor(_draw(8, 16, 64) * scale)
    return {
        "matmul": lambda: ops.matmul(matrix, matrix),
        "convolution": lambda: ops.conv2d(image, kernel, padding="same"),
        "max pool": lambda: ops.max_pool2d(image, 2),
        "average pool": lambda: ops.avg_pool2d(image, 2),
        "batch norm": lambda: ops.batch_norm(image, vector, vector, zeros, ones, True),
        "lstm": lambda: ops.lstm(sequence, *rnn),
        "softmax": lambda: ops.softmax(matrix),
        "sigmoid": lambda: ops.sigmoid(image),
        "gelu": lambda: ops.gelu(image),
        "add": lambda: ops.add(image, image),
        "multiply": lambda: ops.multiply(image, image),
        "sum": lambda: ops.sum(image),
    }


def denormal(**timing: Any) -> Iterator[Row]:
    tiny = denormal_works(DENORMAL)
    for name, call in denormal_works(1.0).items():
        times = interleaved({"ordinary": call, "tiny": tiny[name]}, **timing)
        yield {"kind": "denormal", "case": name, "ratio": times["ordinary"].median / times["tiny"].median}


def measure(threads: int, bursts: int = 9, seconds: float = 0.1) -> Iterator[Row]:
    timing = {"bursts": bursts, "burst_seconds": seconds}
    before = qn.get_num_threads()
    try:
        yield from one_against_many("small", small_works(), threads, **timing)
        with neighbour():
            yield from one_against_many("neighbour", steps(), threads, **timing)
        yield from callers(threads, 5 * seconds, bursts)
        qn.set_num_threads(1)
        yield from denormal(**timing)
    finally:
        qn.set_num_threads(before)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="What threads cost and gain on small work and shared machines."
    )
    parser.add_argument("--threads", type=int, default=2, help="threads compared with one (default 2)")
    parser.add_argument("--json", type=Path, help="write the rows there")
    arguments = parser.parse_args()
    rows = []
    for row in measure(arguments.threads):
        print(f"{row['kind']:<10} {row['case']:<45} {row['ratio']:.2f}", flush=True)
        rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
