"""Odd sizes: the ratio to PyTorch over grids of channels, image sizes and layer widths, as heat maps.

    python -m benchmarks.sweep [--threads 1] [--json FILE] [--plot docs/sweep.png] [--quick]
    python -m benchmarks.sweep --from FILE --plot docs/sweep.png

Forward and all gradients. Every size of `SIZES` meets some of `COLUMNS`: whatever is lost beyond the padding that an
odd size implies shows as a dark row or column. Above 1 quernel is faster; sides are timed as `benchmarks.versus` does.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .versus import compared, with_threads

if TYPE_CHECKING:
    from .work import Work

SIZES = (1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 63, 65, 100, 127)
COLUMNS = (1, 16, 33, 127)
QUICK_SIZES, QUICK_COLUMNS = (3, 17), (16,)
BATCH = 8  # images; rows of a dense layer: eight times that
EDGE, CHANNELS = 15, 16  # of images whose channels vary; of those whose sizes do
FLOOR = 0.8  # below it a cell is named
# Turns of each side and their length: 300 cells, three sides each, in five minutes.
BURSTS, SECONDS = 3, 0.03

Row = dict[str, Any]


def grids() -> dict[str, tuple[str, str, Callable[[int, int], Work | None]]]:
    """Title -> what the rows are, what the columns are, the work of a cell (None: there is none)."""
    from tests.cases.conv import Shape

    from .suites.kernels import conv, dense, pool

    def max_pool(width: int, channels: int) -> Work | None:
        return (
            pool("max_pool", Shape(BATCH, EDGE, width, channels, channels, (2, 2), (2, 2), "valid"))
            if width > 1
            else None
        )

    return {
        "convolution 3x3, channels": ("in", "out", lambda c, k: conv(Shape(BATCH, EDGE, EDGE, c, k), True)),
        "convolution 3x3, image": (
            "height", "width", lambda h, w: conv(Shape(BATCH, h, w, CHANNELS, CHANNELS), True)
        ),
        "convolution 1x1, channels": ("in", "out", lambda c, k: conv(Shape(BATCH, EDGE, EDGE, c, k, (1, 1)), True)),
        "max pooling 2x2": ("width", "channels", max_pool),
        "dense": ("in", "out", lambda i, o: dense(8 * BATCH, i, o)),
    }  # fmt: skip


def measure(
    ours: Any, theirs: Any, sizes: Sequence[int], columns: Sequence[int], bursts: int, seconds: float
) -> Iterator[Row]:
    for title, (rows, across, work_of) in grids().items():
        for row in sizes:
            for column in columns:
                work = work_of(row, column)
                pair = work and compared(work, ours, theirs, "float32", bursts, seconds)
                if not pair:
                    continue
                mine, other, variant, _ = pair
                yield {
                    "grid": title, "rows": rows, "columns": across, "row": row, "column": column,
                    "case": work.name, "quernel_ms": mine.median * 1e3, "peer_ms": other.median * 1e3,
                    "peer_variant": variant, "ratio": other.median / mine.median,
                }  # fmt: skip


def plot(rows: Sequence[Row], path: Path) -> None:
    """One heat map a grid: green where quernel is faster, red where it is slower; slow cells have their number."""
    import numpy as np
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    titles = list(dict.fromkeys(row["grid"] for row in rows))
    figure = Figure(figsize=(2.9 * len(titles), 6), layout="constrained")
    panels = figure.subplots(1, len(titles), squeeze=False)[0]
    for panel, title in zip(panels, titles, strict=True):
        cells = [row for row in rows if row["grid"] == title]
        down, across = (sorted({cell[axis] for cell in cells}) for axis in ("row", "column"))
        ratios = np.full((len(down), len(across)), np.nan)
        for cell in cells:
            ratios[down.index(cell["row"]), across.index(cell["column"])] = cell["ratio"]
        image = panel.imshow(ratios, cmap="RdYlGn", norm=LogNorm(0.25, 4), aspect="auto")
        panel.set(title=title, ylabel=cells[0]["rows"], xlabel=cells[0]["columns"])
        panel.set_xticks(range(len(across)), across)
        panel.set_yticks(range(len(down)), down)
        for i, j in np.argwhere(~np.isnan(ratios)):
            panel.text(j, i, f"{ratios[i, j]:.1f}", ha="center", va="center", fontsize=7,
                       fontweight="bold" if ratios[i, j] < FLOOR else "normal")  # fmt: skip
    bar = figure.colorbar(
        image, ax=panels, label="times as fast as PyTorch", ticks=[0.25, 0.5, 1, 2, 4], format="%g"
    )
    bar.minorticks_off()
    figure.savefig(path, dpi=110)


def summary(rows: Iterable[Row]) -> str:
    ordered = sorted(rows, key=lambda row: row["ratio"])
    slow = [row for row in ordered if row["ratio"] < FLOOR]
    lines = [
        f"{len(ordered)} cells, median ratio {ordered[len(ordered) // 2]['ratio']:.2f}, {len(slow)} under {FLOOR}"
    ]
    return "\n".join([*lines, *(f"  {row['ratio']:.2f}  {row['case']}" for row in slow)])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a few cells, to see whether it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    parser.add_argument(
        "--from", type=Path, metavar="FILE", dest="source", help="rows of an earlier run; nothing is timed"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the picture here")
    options = parser.parse_args(argv)
    if options.source:
        rows = json.loads(options.source.read_text())
    else:
        with_threads(options.threads, "torch", "benchmarks.sweep")
        from .sides import peer
        from .sides.quernel_side import Side

        sizes, columns = (QUICK_SIZES, QUICK_COLUMNS) if options.quick else (SIZES, COLUMNS)
        start = time.perf_counter()
        rows = []
        for row in measure(
            Side(options.threads), peer("torch", options.threads), sizes, columns, BURSTS, SECONDS
        ):
            rows.append(row)
            print(f"{time.perf_counter() - start:5.0f} s  {row['ratio']:6.2f}  {row['case']}", flush=True)
    print(summary(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
