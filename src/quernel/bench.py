"""The kernels against their NumPy reference, and against PyTorch if it is installed: ``quernel bench``.

All sides compute the same on the same data, checked before anything is timed; they are timed in turn, round
after round, so that whatever else the machine does hits all of them; medians are compared.
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from quernel import kernels, reference, runtime

# Long enough for a median, short enough for the whole table to take about a minute.
ROUNDS = 7
SECONDS_A_CASE = 1.5
TOLERANCE = 1e-3

Run = Callable[[], Any]


class Case(NamedTuple):
    """One kernel on one input: the call on each side that has it."""

    name: str
    make: Callable[[Any, np.random.Generator], Run]  # (kernels or reference, generator) -> call
    torch: Callable[[Any, np.random.Generator], Run]  # (torch, generator) -> call


def _floats(generator: np.random.Generator, *shape: int) -> np.ndarray:
    return generator.standard_normal(shape, np.float32)


def _matmul(side: Any, generator: np.random.Generator) -> Run:
    a, b = _floats(generator, 512, 512), _floats(generator, 512, 512)
    return lambda: side.matmul(a, b)


def _torch_matmul(torch: Any, generator: np.random.Generator) -> Run:
    a, b = (torch.from_numpy(_floats(generator, 512, 512)) for _ in range(2))
    return lambda: a @ b


def _dense(side: Any, generator: np.random.Generator) -> Run:
    x, kernel, bias = _floats(generator, 256, 784), _floats(generator, 784, 256), _floats(generator, 256)
    return lambda: side.dense_forward(x, kernel, bias, "relu")


def _torch_dense(torch: Any, generator: np.random.Generator) -> Run:
    x, kernel, bias = (torch.from_numpy(_floats(generator, *s)) for s in ((256, 784), (784, 256), (256,)))
    weight = kernel.T.contiguous()
    return lambda: torch.relu(torch.nn.functional.linear(x, weight, bias))


def _conv(side: Any, generator: np.random.Generator) -> Run:
    x, kernel, bias = (
        _floats(generator, 8, 28, 28, 32),
        _floats(generator, 3, 3, 32, 64),
        _floats(generator, 64),
    )
    return lambda: side.conv2d_forward(x, kernel, bias, (1, 1), ((1, 1), (1, 1)), (1, 1), 1, "relu")


def _torch_conv(torch: Any, generator: np.random.Generator) -> Run:
    x, kernel, bias = (
        torch.from_numpy(_floats(generator, *s)) for s in ((8, 28, 28, 32), (3, 3, 32, 64), (64,))
    )
    last = torch.channels_last
    x = x.permute(0, 3, 1, 2).contiguous(memory_format=last)
    weight = kernel.permute(3, 2, 0, 1).contiguous(memory_format=last)
    return lambda: torch.relu(torch.nn.functional.conv2d(x, weight, bias, padding=1)).permute(0, 2, 3, 1)


def _pool(side: Any, generator: np.random.Generator) -> Run:
    x = _floats(generator, 32, 28, 28, 32)
    return lambda: side.max_pool2d_forward(x, (2, 2), (2, 2), ((0, 0), (0, 0)))[0]


def _torch_pool(torch: Any, generator: np.random.Generator) -> Run:
    x = torch.from_numpy(_floats(generator, 32, 28, 28, 32)).permute(0, 3, 1, 2)
    x = x.contiguous(memory_format=torch.channels_last)
    return lambda: torch.nn.functional.max_pool2d(x, 2).permute(0, 2, 3, 1)


def _softmax(side: Any, generator: np.random.Generator) -> Run:
    x = _floats(generator, 1024, 1000)
    return lambda: side.softmax_forward(x)


def _torch_softmax(torch: Any, generator: np.random.Generator) -> Run:
    x = torch.from_numpy(_floats(generator, 1024, 1000))
    return lambda: torch.softmax(x, 1)


def _add(side: Any, generator: np.random.Generator) -> Run:
    a, b = _floats(generator, 1024, 1024), _floats(generator, 1024, 1024)
    return lambda: side.binary("add", a, b)


def _torch_add(torch: Any, generator: np.random.Generator) -> Run:
    a, b = (torch.from_numpy(_floats(generator, 1024, 1024)) for _ in range(2))
    return lambda: a + b


CASES = (
    Case("matmul 512 x 512 x 512", _matmul, _torch_matmul),
    Case("dense 784 -> 256, batch 256, relu", _dense, _torch_dense),
    Case("conv 3x3 32 -> 64, 28 x 28, batch 8, relu", _conv, _torch_conv),
    Case("max pool 2x2, 28 x 28 x 32, batch 32", _pool, _torch_pool),
    Case("softmax 1024 x 1000", _softmax, _torch_softmax),
    Case("add 1024 x 1024", _add, _torch_add),
)


def run(
    report: Callable[[str], Any] | None = print,
    seconds: float = SECONDS_A_CASE,
    cases: tuple[Case, ...] = CASES,
) -> list[dict[str, Any]]:
    """Time all cases; report gets the lines of the table as they are done.

    Returns
    -------
    One dict a case: "case", "quernel_ms", "numpy_ms", "torch_ms" (None without PyTorch), "vs_numpy" and
    "vs_torch": how many times faster quernel is.

    Raises
    ------
    RuntimeError : the sides disagree about a result.
    """
    torch: Any = None
    if importlib.util.find_spec("torch") is not None:
        torch = importlib.import_module("torch")
        torch.set_num_threads(runtime.get_num_threads())
    if report:
        with_torch = f", PyTorch {torch.__version__}" if torch else ""
        report(f"{runtime.get_num_threads()} threads, float32, NumPy {np.__version__}{with_torch}")
        report("milliseconds (median); ratio: how many times faster quernel is")
        report(f"{'case':44} {'quernel':>9} {'NumPy':>9} {'ratio':>7} {'PyTorch':>9} {'ratio':>7}")
    return [_row(case, torch, report, seconds) for case in cases]


def _row(case: Case, torch: Any, report: Callable[[str], Any] | None, seconds: float) -> dict[str, Any]:
    sides = {
        "quernel": case.make(kernels, np.random.default_rng(0)),
        "numpy": case.make(reference, np.random.default_rng(0)),
    }
    if torch is not None:
        sides["torch"] = case.torch(torch, np.random.default_rng(0))
    results = {name: np.asarray(call()) for name, call in sides.items()}
    scale = float(np.abs(results["numpy"]).max())
    for name, result in results.items():
        error = float(np.abs(result - results["numpy"]).max()) / scale
        if not error < TOLERANCE:
            raise RuntimeError(
                f"bench: {case.name}: {name} and numpy differ by {error:.2g} of the largest value"
            )
    times = _interleaved(sides, seconds)
    ms = {name: times[name] * 1e3 if name in times else None for name in ("quernel", "numpy", "torch")}
    row: dict[str, Any] = {"case": case.name, **{f"{name}_ms": value for name, value in ms.items()}}
    for name in ("numpy", "torch"):
        row[f"vs_{name}"] = times[name] / times["quernel"] if name in times else None
    if report:
        torch_part = (
            f"{row['torch_ms']:9.3f} {row['vs_torch']:6.2f}x" if torch is not None else f"{'-':>9} {'-':>7}"
        )
        report(f"{case.name:44} {ms['quernel']:9.3f} {ms['numpy']:9.3f} {row['vs_numpy']:6.2f}x {torch_part}")
    return row


def _interleaved(sides: dict[str, Run], seconds: float) -> dict[str, float]:
    """The median time of each side's call, in rounds in which every side has its turn."""
    clock = time.perf_counter
    # How many calls make a turn of about a hundredth of the time: a clock reading must not count.
    repeats = {}
    for name, call in sides.items():
        start = clock()
        call()
        repeats[name] = max(1, int(seconds / 100 / max(clock() - start, 1e-9)))
    found: dict[str, list[float]] = {name: [] for name in sides}
    end = clock() + seconds
    while len(found["quernel"]) < ROUNDS or clock() < end:
        for name, call in sides.items():
            start = clock()
            for _ in range(repeats[name]):
                call()
            found[name].append((clock() - start) / repeats[name])
    return {name: statistics.median(values) for name, values in found.items()}
