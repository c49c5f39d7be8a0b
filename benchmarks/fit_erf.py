"""Finds again the coefficients of `verf` in csrc/simd_math.inc.h (needs mpmath): ``python -m benchmarks.fit_erf``."""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp


def fit(
    function: Callable[[mp.mpf], mp.mpf], low: mp.mpf, high: mp.mpf, above: int, below: int
) -> tuple[list[mp.mpf], list[mp.mpf]]:
    """The rational function P / Q through the Chebyshev nodes of [low, high], with Q's last coefficient 1.

    P has degree `above`, Q degree `below`; coefficients stand highest power first.
    """
    count = above + below + 1
    angles = [mp.pi * (2 * i + 1) / (2 * count) for i in range(count)]
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(angle) for angle in angles]
    values = [function(z) for z in nodes]
    rows = [
        [z**j for j in range(above, -1, -1)] + [-y * z**j for j in range(below, 0, -1)]
        for z, y in zip(nodes, values, strict=True)
    ]
    solution = list(mp.lu_solve(mp.matrix(rows), mp.matrix(values)))
    return solution[: above + 1], [*solution[above + 1 :], mp.mpf(1)]


def main() -> None:
    mp.mp.dps = 50
    above, below = fit(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z), mp.mpf("1e-30"), mp.mpf(16), 6, 5)
    print("P:", ", ".join(mp.nstr(c, 9) for c in above))
    print("Q:", ", ".join(mp.nstr(c, 9) for c in below))


if __name__ == "__main__":
    main()
