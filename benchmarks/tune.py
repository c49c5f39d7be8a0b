"""Find a blocking constant again: builds the tree with other values of it and times the kernels that it decides.

    python -m benchmarks.tune                                  # the constants and their values
    python -m benchmarks.tune --constant winograd.BLOCK_BYTES --values "1<<20,2<<20" [--threads 1] [--match TEXT]

Each value is built in a copy of this tree and timed by a process of its own; the processes take turns, and the least
time of all turns counts. A ratio above 1 means that the value is faster than the present one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("csrc", "src", "benchmarks", "tests", "build", "setup.py", "pyproject.toml", "README.md", "LICENSE")
ROUNDS, SECONDS = 5, 0.1


class Constant(NamedTuple):
    """Where it stands, and what cases of the suite `kernels` it decides: those whose name contains `match`."""

    path: str
    match: str


def _cython(stem: str, match: str, names: str) -> dict[str, Constant]:
    return {f"{stem}.{name}": Constant(f"src/quernel/kernels/{stem}.pyx", match) for name in names.split()}


def _c(header: str, match: str, names: str) -> dict[str, Constant]:
    return {f"{header}.{name}": Constant(f"csrc/{header}.h", match) for name in names.split()}


CONSTANTS: dict[str, Constant] = {
    **_cython(
        "gemm", "matmul",
        "GRAIN_WORK GRAIN_COPY TILES_PER_BLOCK TURNED_TILES_PER_BLOCK FEW_BLOCKS "
        "SLICE_MIN IN_PLACE_BYTES ONE_SET_BYTES ONE_SET_TILES FEW_ROWS WIDE_PANELS STREAM_B STREAM_COLS",
    ),
    **_cython(
        "conv_core", "conv",
        "GRAIN_WORK PADDED_BYTES NARROW PACK_TILES FAR_BYTES LANE_SUM ITEM_PIXELS PARTIAL_BYTES GROUPED_BYTES "
        "FEW_SETS_BYTES SKEW_BYTES",
    ),
    **_cython(
        "winograd", "-3x3-",
        "GRAIN_WORK GRAIN_TRANSFORM BLOCK_BYTES MIN_TILES MAX_TILES LEAST_UNITS SLICE_BYTES SLICES "
        "FEW_SLICES SMALL_SUM CHUNK_BYTES CHUNK_TILES",
    ),
    **_cython("recurrent", "lstm", "GRAIN_WORK GRAIN_COPY FEW_ROWS IN_PLACE_STEPS ROWS_PER_THREAD STEP_WORK"),
    **_cython("pool", "pool", "GRAIN_WORK"),
    **_cython("reduce", "over", "UNIT WIDTH ROWS_MIN"),
    **_cython("norm", "batch norm", "GRAIN_ELEMENTS GRAIN_CHANNELS"),
    **_cython("softmax", "softmax", "GRAIN_ELEMENTS ROW_COST"),
    **_cython("optim", "adam", "GRAIN_ELEMENTS"),
    **_c("gemm", "matmul", "GEMM_K_BLOCK GEMM_K_STREAM GEMM_SKEW_BYTES"),
    **_c("norm", "batch norm", "NORM_LINE NORM_BLOCK NORM_CHUNK_MIN NORM_CHUNK_MAX NORM_STREAMS NORM_RUN"),
    **_c("recurrent", "lstm", "LSTM_ROWS LSTM_TURN_ROWS"),
    **_c("optim", "adam", "OPTIM_CHUNK"),
    **_c("pool", "pool", "POOL_LARGE POOL_BLOCK"),
    **_c("indexing", "transpose", "TRANSPOSE_TILE TRANSPOSE_BLOCK"),
}  # fmt: skip


def _definition(name: str) -> re.Pattern[str]:
    """`NAME = value`, in an enum of C or of Cython."""
    return re.compile(rf"(?<!\w){name.rpartition('.')[2]} = ([\w <()*+-]*[\w)])")


def value_of(name: str, root: Path = ROOT) -> str:
    """The present value, as it is written.

    Raises
    ------
    LookupError : the source does not define it exactly once.
    """
    found = _definition(name).findall((root / CONSTANTS[name].path).read_text())
    if len(found) != 1:
        raise LookupError(
            f"{CONSTANTS[name].path} defines {name.rpartition('.')[2]} {len(found)} times, expected once"
        )
    return str(found[0])


def patch(name: str, value: str, root: Path) -> None:
    """Write another value into the tree at `root`."""
    value_of(name, root)
    path = root / CONSTANTS[name].path
    text = path.read_text()
    start, end = _definition(name).search(text).span(1)  # type: ignore[union-attr]
    path.write_text(text[:start] + value + text[end:])


def build(name: str, value: str, root: Path) -> None:
    """A copy of this tree with that value, compiled; what the value does not touch is taken as it is built here."""
    for part in COPIED:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, root / part)
        elif source.exists():
            shutil.copy2(source, root / part)
    patch(name, value, root)
    run = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=root, capture_output=True, text=True
    )
    if run.returncode:
        raise SystemExit(f"{name} = {value} does not compile:\n{run.stderr[-3000:]}")


def timed(root: Path, match: str, threads: int) -> subprocess.Popen[str]:
    """A process that times the cases once for each line it is sent, and answers with a line of JSON."""
    paths = os.pathsep.join([str(root / "src"), str(root)])
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.tune", "--child", match], cwd=root, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths, "QUERNEL_NUM_THREADS": str(threads)},
    )  # fmt: skip


def child(match: str) -> None:
    """Least seconds of each case whose name contains `match`, for each line of standard input."""
    import numpy as np

    from .sides.quernel_side import Side
    from .suites import kernels

    side = Side(int(os.environ["QUERNEL_NUM_THREADS"]))
    works = [work for work in kernels.works() if match in work.name]
    calls = {
        work.name: side.runs(work, work.inputs(np.random.default_rng(0), "float32"))[0].call for work in works
    }
    for _ in sys.stdin:
        least = {}
        for name, call in calls.items():
            call()
            end, best = time.perf_counter() + SECONDS, float("inf")
            while (start := time.perf_counter()) < end:
                call()
                best = min(best, time.perf_counter() - start)
            least[name] = best
        print(json.dumps(least), flush=True)


def compare(name: str, values: Sequence[str], match: str, threads: int) -> dict[str, dict[str, float]]:
    """Least seconds of each case for the present value (first) and each of `values`."""
    every = list(dict.fromkeys([value_of(name), *values]))
    with tempfile.TemporaryDirectory() as folder:
        children = {}
        for i, value in enumerate(every):
            build(name, value, root := Path(folder) / str(i))
            children[value] = timed(root, match, threads)
        least: dict[str, dict[str, float]] = {value: {} for value in every}
        for _ in range(ROUNDS):
            for value, process in children.items():
                assert process.stdin and process.stdout
                process.stdin.write("\n")
                process.stdin.flush()
                for case, seconds in json.loads(process.stdout.readline()).items():
                    least[value][case] = min(seconds, least[value].get(case, float("inf")))
        for process in children.values():
            process.communicate()
    return least


def table(least: dict[str, dict[str, float]]) -> str:
    """A line for each case: milliseconds at the present value, then how many times as fast each value is."""
    (present, before), *others = least.items()
    lines = [f"{'case':<60}{present + ' (ms)':>16}" + "".join(f"{value:>14}" for value, _ in others)]
    for case, seconds in before.items():
        ratios = "".join(f"{seconds / after[case]:>14.3f}" for _, after in others)
        lines.append(f"{case:<60}{seconds * 1e3:>16.3f}{ratios}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=__doc__.split("\n\n")[0])
    parser.add_argument("--constant", choices=CONSTANTS, metavar="NAME")
    parser.add_argument("--values", default="", help="separated by commas")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--match", help="only cases whose name contains this")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child is not None:
        child(options.child)
    elif options.constant and options.values:
        match = options.match or CONSTANTS[options.constant].match
        print(table(compare(options.constant, options.values.split(","), match, options.threads)))
    else:
        for name, constant in CONSTANTS.items():
            print(f"{name:<28}{value_of(name):<12}{constant.path}, cases with {constant.match!r}")


if __name__ == "__main__":
    main()
