"""Elementwise arithmetic with NumPy broadcasting; undefined values are nan or inf, without a warning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

__all__ = ["accumulate", "binary", "clip", "compare", "scale", "unary", "where"]

_UNARY: dict[str, Callable[..., Any]] = {
    "negative": np.negative,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "square": np.square,
    "reciprocal": np.reciprocal,
    "sign": np.sign,
    "sin": np.sin,
    "cos": np.cos,
}

_BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
}

_COMPARE: dict[str, Callable[..., Any]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}


def unary(op: str, x: Array) -> Array:
    """`op` of each element: negative exp log log1p sqrt abs square reciprocal sign sin cos."""
    with np.errstate(all="ignore"):
        return np.asarray(_UNARY[op](x), order="C")


def binary(op: str, a: Array, b: Array) -> Array:
    """`a op b`: add subtract multiply divide power maximum minimum; the last two hand nan on."""
    with np.errstate(all="ignore"):
        return np.asarray(_BINARY[op](a, b), order="C")


def compare(op: str, a: Array, b: Array) -> Array:
    """Boolean `a op b`: equal not_equal less less_equal greater greater_equal; nan differs from all."""
    return np.asarray(_COMPARE[op](a, b), order="C")


def where(condition: Array, a: Array, b: Array) -> Array:
    """`a` where the boolean condition holds, else `b`; all three broadcast."""
    return np.asarray(np.where(condition, a, b), order="C")


def clip(x: Array, low: float | None, high: float | None) -> Array:
    """min(max(x, low), high); None is no bound, nan stays nan, and `high` wins if the bounds cross."""
    y = np.array(x)
    if low is not None:
        y = np.maximum(y, y.dtype.type(low))
    if high is not None:
        y = np.minimum(y, y.dtype.type(high))
    return np.asarray(y, order="C")


def accumulate(target: Array, x: Array) -> None:
    """target += x, in place; both have the same shape."""
    target[...] += x


def scale(target: Array, x: Array) -> None:
    """target *= x, in place; x broadcasts to the shape of target."""
    target[...] *= x
