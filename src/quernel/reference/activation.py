"""Activation functions y = f(x) and their backward dx = dy f'(x).

f' is written in terms of y where y determines it (`quernel.backend.SAVES_OUTPUT`), in terms of x elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

__all__ = ["activation_backward", "activation_forward", "bias_activation_backward"]

# Hendrycks and Gimpel, "Gaussian error linear units" (2016), section 2: the tanh approximation.
_GELU_CUBIC = 0.044715
_GELU_SCALE = math.sqrt(2.0 / math.pi)

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _normal_cdf(x: Array) -> Array:
    return np.asarray(0.5 * (1 + _erf(x / math.sqrt(2.0))), dtype=x.dtype)


def _gelu_tanh(x: Array) -> Array:
    return np.asarray(np.tanh(_GELU_SCALE * (x + _GELU_CUBIC * x * x * x)))


def _forward(x: Array, kind: str, alpha: float) -> Any:
    if kind == "linear":
        return x.copy()
    if kind == "relu":
        return np.maximum(x, 0)
    if kind == "leaky_relu":
        return np.where(x < 0, alpha * x, x)
    if kind == "sigmoid":
        return _sigmoid(x)
    if kind == "tanh":
        return np.tanh(x)
    if kind == "silu":
        return x * _sigmoid(x)
    if kind == "gelu":
        return x * _normal_cdf(x)
    if kind == "gelu_tanh":
        return 0.5 * x * (1 + _gelu_tanh(x))
    if kind == "softplus":
        return np.logaddexp(0, x)
    if kind == "elu":
        return np.where(x < 0, alpha * np.expm1(x), x)
    raise ValueError(f"unknown activation {kind!r}")


def _derivative(saved: Array, kind: str, alpha: float) -> Any:
    """f' from the output y (first half) or from the input x (second half)."""
    y = x = saved
    if kind == "linear":
        return np.ones_like(y)
    if kind == "relu":
        return y > 0
    if kind == "leaky_relu":
        return np.where(y > 0, 1, alpha)
    if kind == "sigmoid":
        return y * (1 - y)
    if kind == "tanh":
        return 1 - y * y
    if kind == "softplus":
        return -np.expm1(-y)
    if kind == "elu":
        return np.where(y > 0, 1, y + alpha)
    if kind == "silu":
        s = _sigmoid(x)
        return s + x * s * (1 - s)
    if kind == "gelu":
        return _normal_cdf(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    if kind == "gelu_tanh":
        t = _gelu_tanh(x)
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _GELU_SCALE * (1 + 3 * _GELU_CUBIC * x * x)
    raise ValueError(f"unknown activation {kind!r}")


def activation_forward(x: Array, activation: str, alpha: float = 0.0) -> Array:
    """f(x); `alpha` is the slope of leaky_relu below 0 and the scale of elu."""
    with np.errstate(all="ignore"):
        return np.asarray(_forward(x, activation, alpha), dtype=x.dtype, order="C")


def activation_backward(dy: Array, saved: Array, activation: str, alpha: float = 0.0) -> Array:
    """dx = dy f'; `saved` is the output y for the kinds in SAVES_OUTPUT, the input x for the others."""
    with np.errstate(all="ignore"):
        return np.asarray(dy * _derivative(saved, activation, alpha), dtype=dy.dtype, order="C")


def bias_activation_backward(dy: Array, y: Array, activation: str, alpha: float = 0.0) -> tuple[Array, Array]:
    """Through y = f(z + bias): dz = dy f'(y), and dbias (C,), the sum of dz over all axes but the last."""
    dz = activation_backward(dy, y, activation, alpha)
    return dz, np.asarray(dz.sum(axis=tuple(range(dz.ndim - 1)), dtype=np.float64), dtype=dz.dtype)
