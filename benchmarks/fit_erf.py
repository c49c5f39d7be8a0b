"""Finds again the coefficients of `verf` in csrc/simd_math.inc.h: ``python -m benchmarks.fit_erf``.

Least squares at Chebyshev nodes, the weights raised where the error is largest until it is even (Lawson 1961).
"""

from __future__ import annotations

import math

import numpy as np

SPLIT, ONE = 0.9, 4.0  # where the two polynomials meet; erf rounds to 1 before that
CENTRE_DEGREE, TAIL_DEGREE = 5, 5
POWER_DEGREE = 5
NODES, ROUNDS = 4000, 200


def nodes(low: float, high: float) -> np.ndarray:
    return (low + high) / 2 + (high - low) / 2 * np.cos((np.arange(NODES) + 0.5) * np.pi / NODES)


def fit(x: np.ndarray, wanted: np.ndarray, weights: np.ndarray, degree: int) -> tuple[np.ndarray, float]:
    """Coefficients, highest power first, rounded to float, and the largest error times its weight."""
    powers = np.stack([x**i for i in range(degree + 1)], 1)
    raised = weights.copy()
    for _ in range(ROUNDS):
        coefficients = np.linalg.lstsq(powers * raised[:, None], wanted * raised, rcond=None)[0]
        error = np.abs(powers @ coefficients - wanted) * weights
        raised *= (0.05 + error / error.max()) ** 0.3
        raised /= raised.max()
    rounded = coefficients.astype(np.float32)
    error = np.abs(powers @ rounded.astype(np.float64) - wanted) * weights
    return rounded[::-1], float(error.max())


def main() -> None:
    z = nodes(0, SPLIT**2)
    ratio = np.array([math.erf(math.sqrt(v)) / math.sqrt(v) for v in z])
    centre, error = fit(z, ratio - 1, 1 / ratio, CENTRE_DEGREE)
    print("erf(x) / x - 1:", *(f"{c:.9g}f," for c in centre), f"relative error of erf {error:.1e}")
    t = nodes(SPLIT, ONE)
    rest = np.array([math.erfc(v) for v in t])
    tail, error = fit(t, np.log2(rest), np.log(2) * rest / (1 - rest), TAIL_DEGREE)
    print("log2(1 - erf(x)):", *(f"{c:.9g}f," for c in tail), f"relative error of erf {error:.1e}")
    r = nodes(-0.5, 0.5)
    power, error = fit(r, np.exp2(r), np.exp2(-r), POWER_DEGREE)
    print("2^r:", *(f"{c:.9g}f," for c in power), f"relative error {error:.1e}")


if __name__ == "__main__":
    main()
