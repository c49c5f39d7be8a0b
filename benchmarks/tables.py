"""Tables for the documentation, from what `benchmarks.versus --json` wrote in one run or several.

    python -m benchmarks.tables run1.json run2.json ...

Rows of one case and one number of threads are put together: the median of each time, the median and the range of the
ratio (peer : quernel, over 1 is faster), the median share of whichever ceiling binds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

Row = dict[str, Any]


def table(rows: Iterable[Row]) -> str:
    """Markdown: a line for each case in order of first appearance, four columns for each number of threads."""
    groups: dict[str, dict[int, list[Row]]] = {}
    for row in rows:
        groups.setdefault(row["case"], {}).setdefault(row["threads"], []).append(row)
    threads = sorted({n for group in groups.values() for n in group})
    head = [f"{n} thread{'s' * (n > 1)}: ms | peer | ratio (range) | of peak" for n in threads]
    lines = [f"| case | {' | '.join(head)} |", "| --- |" + " ---: |" * (4 * len(threads))]
    for case, group in groups.items():
        cells = [_cells(group[n]) if n in group else " | | | " for n in threads]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(rows: list[Row]) -> str:
    ratios = [row["ratio"] for row in rows]
    spread = f" ({min(ratios):.2f}-{max(ratios):.2f})" if len(rows) > 1 else ""
    ms, peer, share = (median(row[key] for row in rows) for key in ("quernel_ms", "peer_ms", "share_of_peak"))
    return f"{ms:.3g} | {peer:.3g} | {median(ratios):.2f}{spread} | {share:.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="A table for the documentation from runs of benchmarks.versus."
    )
    parser.add_argument("files", nargs="+", type=Path, help="what --json wrote")
    rows = [row for file in parser.parse_args().files for row in json.loads(file.read_text())]
    for suite in dict.fromkeys(row["suite"] for row in rows):
        print(f"{suite}:\n\n{table(row for row in rows if row['suite'] == suite)}\n")


if __name__ == "__main__":
    main()
