"""Where each kernel stands under the machine's two ceilings, as a picture.

    python -m benchmarks.versus --suite kernels --peer torch --threads 1 --json kernels.json
    python -m benchmarks.roofline kernels.json --plot docs/roofline.png

To the right, operations per byte that must be moved; upwards, operations a second (of the textbook algorithm:
Winograd's convolutions stand above the ceiling). The ceilings are those measured in the same run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, Any]
# What a case is called begins with one of these; each group has a colour and a mark of its own.
GROUPS = {
    "matmul": "matrix products", "dense": "dense", "conv": "convolutions", "max pool": "pooling",
    "avg pool": "pooling", "global pool": "pooling", "batch norm": "batch norm", "lstm": "LSTM",
    "softmax": "cross-entropy", "adam": "optimizers", "sgd": "optimizers", "sum": "reductions", "mean": "reductions",
    "training": "training steps",
}  # fmt: skip
OTHERS = "activations and arithmetic"
MARKS = "os^vDPX*<>h"
NAMED_BELOW = 0.9  # share of the ceiling


class Point(NamedTuple):
    """One case: operations a byte, operations a second, share of the ceiling above it."""

    case: str
    group: str
    intensity: float
    rate: float
    share: float


def group_of(case: str) -> str:
    return next((group for start, group in GROUPS.items() if case.startswith(start)), OTHERS)


def points(rows: Sequence[Row]) -> list[Point]:
    """What can be placed: cases with operations and bytes."""
    return [
        Point(
            row["case"], group_of(row["case"]), row["flops"] / row["bytes"], row["flops"] / row["quernel_ms"] * 1e3,
            row["share_of_peak"],
        )
        for row in rows
        if row["flops"] and row["bytes"]
    ]  # fmt: skip


def plot(rows: Sequence[Row], path: Path) -> None:
    """Both ceilings and all points; of each group the point furthest below its ceiling is named, if it is far."""
    import numpy as np
    from matplotlib.figure import Figure

    placed = points(rows)
    flops, bandwidth = rows[0]["peak_flops"], rows[0]["peak_bandwidth"]
    figure = Figure(figsize=(9, 6), layout="constrained")
    panel = figure.subplots()
    low, high = min(p.intensity for p in placed) / 2, max(p.intensity for p in placed) * 2
    x = np.geomspace(low, high, 200)
    panel.plot(x, np.minimum(flops, x * bandwidth) / 1e9, color="black", linewidth=1)
    panel.text(high, flops / 1e9 * 1.05, f"{flops / 1e9:.0f} GFLOP/s", ha="right", va="bottom")
    panel.text(
        low * 1.05, low * bandwidth / 1e9 * 1.2, f"{bandwidth / 1e9:.0f} GB/s", rotation=35, va="bottom"
    )
    for mark, group in zip(MARKS, sorted({p.group for p in placed}), strict=False):
        mine = [p for p in placed if p.group == group]
        panel.scatter(
            [p.intensity for p in mine],
            [p.rate / 1e9 for p in mine],
            marker=mark,
            s=36,
            alpha=0.8,
            label=group,
        )
        worst = min(mine, key=lambda p: p.share)
        if worst.share < NAMED_BELOW:
            panel.annotate(
                f"{worst.case.split(' forward')[0]}: {worst.share:.0%}", (worst.intensity, worst.rate / 1e9),
                xytext=(5, -9), textcoords="offset points", fontsize=6.5,
            )  # fmt: skip
    panel.set(
        xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s",
        title=f"{rows[0]['threads']} thread(s), {rows[0]['dtype']}",
    )  # fmt: skip
    panel.grid(alpha=0.3, which="both")
    panel.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.roofline", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("rows", type=Path, help="what benchmarks.versus --json wrote")
    parser.add_argument("--plot", type=Path, default=Path("docs/roofline.png"), metavar="FILE")
    options = parser.parse_args(argv)
    rows = json.loads(options.rows.read_text())
    plot(rows, options.plot)
    for point in sorted(points(rows), key=lambda p: p.share):
        print(f"{point.share:6.0%} of its ceiling  {point.intensity:8.2f} operations/byte  {point.case}")


if __name__ == "__main__":
    main()
