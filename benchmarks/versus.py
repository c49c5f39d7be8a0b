"""quernel beside another library, in one process.

    python -m benchmarks.versus --suite kernels|training|inference|fit
    --peer numpy|torch|torch_compile|jax|sklearn --threads N --json FILE

For each piece of work: both sides do it once and must agree; then they take turns (`benchmarks.timing`). Of
a peer's variants (PyTorch in NCHW and channels_last) the fastest counts. What takes many seconds (suite fit)
is done once a turn, and the sides must agree in the end. A ratio above 1 means that quernel is faster. The
share of the peak is that of the ceiling which binds (operations or bytes, `benchmarks.machine`), both
measured in the same run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .sides import PEERS

if TYPE_CHECKING:  # what they import must not be loaded before the environment is set
    from .timing import Timing
    from .work import Array, Run, Work

SUITES = ("kernels", "training", "inference", "fit")
# How many threads a library takes is read from the environment when it is loaded, so before this program
# does anything.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "QUERNEL_NUM_THREADS")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versus", description=__doc__.split("\n\n")[0])
    parser.add_argument("--suite", choices=SUITES, default="kernels")
    parser.add_argument("--peer", choices=PEERS, default="torch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    parser.add_argument("--match", default="", metavar="TEXT", help="only cases whose name contains this")
    parser.add_argument("--bursts", type=int, default=5, help="turns of each side (default 5)")
    parser.add_argument("--seconds", type=float, default=0.15, help="length of a turn (default 0.15)")
    return parser.parse_args(argv)


def with_threads(threads: int, peer: str, program: str = "benchmarks.versus") -> None:
    """Start this program anew with the environment that libraries read when they are loaded, if it is not so
    yet.

    JAX has no such variable and takes the cores that the process may use.
    """
    wanted = dict.fromkeys(THREAD_VARIABLES, str(threads))
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.environ.update(wanted)
        os.execv(sys.executable, [sys.executable, "-m", program, *sys.argv[1:]])
    if peer == "jax":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class Comparison(NamedTuple):
    ours: Timing
    theirs: Timing  # of the variant that is fastest
    variant: str
    results: tuple[list[Array], list[Array]]  # ours, and that variant's


def compared(
    work: Work, ours_side: Any, theirs_side: Any, dtype: Any, bursts: int, seconds: float
) -> Comparison | None:
    """Times of both sides and the peer's best variant; None if the peer cannot do it.

    Raises
    ------
    SystemExit : the results differ.
    """
    import numpy as np

    from .timing import by_parts, interleaved

    inputs = work.inputs(np.random.default_rng(0), dtype)
    theirs = {run.variant: run for run in theirs_side.runs(work, inputs)}
    if not theirs:
        return None
    (ours,) = ours_side.runs(work, inputs)
    calls = {"quernel": ours.call, **{f"peer {variant}": run.call for variant, run in theirs.items()}}
    if work.parts:
        times = by_parts(calls, work.parts, bursts)
        result, results = agreed(work, theirs_side.name, ours, theirs, lambda run: run.read(None))
    else:
        result, results = agreed(work, theirs_side.name, ours, theirs, lambda run: run.read(run.call()))
        times = interleaved(calls, bursts=bursts, burst_seconds=seconds)
    best = min(theirs, key=lambda variant: times[f"peer {variant}"].median)
    return Comparison(times["quernel"], times[f"peer {best}"], best, (result, results[best]))


def agreed(
    work: Work, peer: str, ours: Run, theirs: dict[str, Run], result_of: Callable[[Run], list[Array]]
) -> tuple[list[Array], dict[str, list[Array]]]:
    """The results of quernel and of the peer's variants; SystemExit if they differ."""
    from .work import disagreement

    result, results = result_of(ours), {}
    for variant, run in theirs.items():
        results[variant] = result_of(run)
        apart = disagreement(result, results[variant])
        if apart > work.tolerance:
            raise SystemExit(
                f"{work.name}: quernel and {peer} {variant} differ by {apart:.1e}, {work.tolerance:.0e} is allowed"
            )
    return result, results


def measure(options: argparse.Namespace) -> Iterable[dict[str, Any]]:
    """The rows, one by one as they are measured."""
    import numpy as np

    from .machine import measure as measure_machine
    from .sides import peer as make_peer
    from .sides.quernel_side import Side

    quernel_side, peer_side = Side(options.threads), make_peer(options.peer, options.threads)
    machine = measure_machine(options.dtype)
    print(describe(options, machine.flops, machine.bandwidth), flush=True)
    suite = importlib.import_module(f"benchmarks.suites.{options.suite}")
    for work in suite.works():
        if options.match not in work.name:
            continue
        pair = compared(work, quernel_side, peer_side, options.dtype, options.bursts, options.seconds)
        if pair is None:
            continue
        mine, other, variant, results = pair
        bytes_moved = work.elements * np.dtype(options.dtype).itemsize
        least = machine.seconds(work.flops, bytes_moved)
        yield {
            "suite": options.suite, "case": work.name, "threads": options.threads, "dtype": options.dtype,
            "quernel_ms": mine.median * 1e3, "peer": options.peer, "peer_variant": variant,
            "peer_ms": other.median * 1e3, "ratio": other.median / mine.median,
            "share_of_peak": least / mine.median,
            "quernel_min_ms": mine.minimum * 1e3, "peer_min_ms": other.minimum * 1e3,
            "flops": work.flops, "bytes": bytes_moved,
            "peak_flops": machine.flops, "peak_bandwidth": machine.bandwidth,
            **(accuracies(*results) if work.kind == "fit" else {}),
        }  # fmt: skip


def accuracies(ours: list[Array], theirs: list[Array]) -> dict[str, float]:
    return {"accuracy": float(ours[0][0]), "peer_accuracy": float(theirs[0][0])}


def describe(options: argparse.Namespace, flops: float, bandwidth: float) -> str:
    import quernel

    return (
        f"quernel {quernel.__version__} beside {options.peer}, {options.threads} thread(s), {options.dtype}, "
        f"{platform.machine()}: peaks {flops / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.0f} GB/s\n"
        f"{'case':<72}{'quernel ms':>11}{'peer ms':>10}{'ratio':>7}{'of peak':>9}  variant"
    )


def line(row: dict[str, Any]) -> str:
    accuracy = (
        f"  accuracy {row['accuracy']:.4f}, peer's {row['peer_accuracy']:.4f}" if "accuracy" in row else ""
    )
    return (
        f"{row['case']:<72}{row['quernel_ms']:>11.3f}{row['peer_ms']:>10.3f}{row['ratio']:>7.2f}"
        f"{row['share_of_peak']:>9.0%}  {row['peer_variant']}{accuracy}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    with_threads(options.threads, options.peer)
    rows = []
    for row in measure(options):
        rows.append(row)
        print(line(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
