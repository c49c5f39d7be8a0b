"""Finds again the float coefficients of `exp_tail` in csrc/simd_math.inc.h: ``python -m benchmarks.fit_exp``.

Least squares at Chebyshev nodes, the weights raised where the error is largest until it is even (Lawson 1961).
"""

from __future__ import annotations

import numpy as np

DEGREE, NODES, ROUNDS = 6, 4000, 200


def fit(degree: int) -> tuple[np.ndarray, float]:
    """Coefficients of (e^r - 1 - r) / r^2, highest power first, and the largest relative error of e^r."""
    r = np.log(2) / 2 * np.cos((np.arange(NODES) + 0.5) * np.pi / NODES)
    powers, wanted = np.stack([r**i for i in range(2, degree + 1)], 1), np.expm1(r) - r
    weights = np.exp(-r)
    for _ in range(ROUNDS):
        coefficients = np.linalg.lstsq(powers * weights[:, None], wanted * weights, rcond=None)[0]
        error = np.abs(powers @ coefficients - wanted) * np.exp(-r)
        weights *= (0.05 + error / error.max()) ** 0.3
        weights /= weights.max()
    rounded = coefficients.astype(np.float32)
    return rounded[::-1], float((np.abs(powers @ rounded.astype(np.float64) - wanted) * np.exp(-r)).max())


if __name__ == "__main__":
    found, error = fit(DEGREE)
    print(*(f"{c:.9g}f" for c in found), f"error {error:.1e}")
