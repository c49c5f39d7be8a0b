"""Finds again the polynomials of `verf` in csrc/simd_math.inc.h (needs mpmath): ``python -m benchmarks.fit_erf``."""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp


def fit(function: Callable[[mp.mpf], mp.mpf], low: float, high: float, degree: int) -> list[mp.mpf]:
    """Coefficients, highest power first, of the polynomial through the Chebyshev nodes of [low, high]."""
    nodes = [
        (low + high) / 2 + (high - low) / mp.mpf(2) * mp.cos(mp.pi * (2 * i + 1) / (2 * (degree + 1)))
        for i in range(degree + 1)
    ]
    powers = mp.matrix([[x**j for j in range(degree, -1, -1)] for x in nodes])
    return list(mp.lu_solve(powers, mp.matrix([function(x) for x in nodes])))


def main() -> None:
    mp.mp.dps = 40
    near = fit(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z), mp.mpf("1e-30"), mp.mpf(1), 7)
    far = fit(lambda x: mp.log(mp.erfc(x)), mp.mpf("0.98"), mp.mpf(4), 9)
    print("P:", ", ".join(mp.nstr(c, 9) for c in near))
    print("Q:", ", ".join(mp.nstr(c, 9) for c in far))


if __name__ == "__main__":
    main()
