"""Errors of the vector functions in units in the last place: ``python -m benchmarks.ulp [STEP]``.

Every STEP-th float32 (default 97), denormals left out, against float64. An error counts where the true value is a
normal float32; elsewhere the result must be the rounded value, or zero or tiny where that is denormal.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np

from quernel import kernels

TINY = float(np.finfo(np.float32).tiny)

FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "exp": (lambda x: kernels.unary("exp", x), np.exp),
    "log": (lambda x: kernels.unary("log", x), np.log),
    "log1p": (lambda x: kernels.unary("log1p", x), np.log1p),
    "tanh": (lambda x: kernels.activation_forward(x, "tanh"), np.tanh),
    "sigmoid": (
        lambda x: kernels.activation_forward(x, "sigmoid"),
        lambda x: np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x))),
    ),
    "softplus": (lambda x: kernels.activation_forward(x, "softplus"), lambda x: np.logaddexp(0, x)),
    # erf is reached through gelu: erf(z) = gelu(z sqrt 2) / (z sqrt 2 / 2) - 1, so its own error is measured on
    # 1 + erf(z) = 2 gelu(x) / x.
    "1 + erf": (
        lambda x: np.where(x == 0, np.float32(1), kernels.activation_forward(x, "gelu") / x * 2),
        lambda x: np.vectorize(math.erfc)(-x / math.sqrt(2)),
    ),
}
# 1 + erf vanishes to the left, where gelu's error is measured against 1 instead.
LOWEST = {"1 + erf": -1.0}


def floats(step: int) -> np.ndarray:
    """Every step-th float32 that is finite and not denormal."""
    x = np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = x[np.isfinite(x)]
    return x[(np.abs(x) >= TINY) | (x == 0)]


def worst(name: str, x: np.ndarray) -> tuple[float, float]:
    """The largest error in ulp, and where; infinite where a result that is no normal number is wrong."""
    mine, true = FUNCTIONS[name]
    x = x[x >= LOWEST.get(name, -math.inf)]
    if name == "1 + erf":
        x = x[np.abs(x) >= 4 * TINY]  # gelu of less is denormal
    with np.errstate(all="ignore"):
        got, want = mine(x), true(x.astype(np.float64))
        rounded = want.astype(np.float32)
        normal = np.isfinite(rounded) & (np.abs(want) >= TINY)
        error = np.zeros(len(x))
        spacing = np.spacing(np.abs(rounded[normal])).astype(np.float64)
        error[normal] = np.abs(got[normal] - want[normal]) / spacing
        tiny = (np.abs(want) < TINY) & (np.abs(got) <= 1.01 * TINY)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded)) | tiny
        error[~normal & ~same] = math.inf
    at = int(np.argmax(error))
    return float(error[at]), float(x[at])


def main() -> None:
    x = floats(int(sys.argv[1]) if len(sys.argv) > 1 else 97)
    for name in FUNCTIONS:
        error, at = worst(name, x[:: 50 if "erf" in name else 1])
        print(f"{name:10s} {error:6.2f} ulp at {at:g}")


if __name__ == "__main__":
    main()
