"""Reductions. Sums run in float64 and are rounded once, so that their length costs no accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

__all__ = ["argmax", "argmin", "reduce"]


def _count(x: Array, axes: tuple[int, ...]) -> int:
    return int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))


def _mean(wide: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Mean of a float64 array; nan where there is nothing to average."""
    with np.errstate(all="ignore"):
        return np.asarray(np.sum(wide, axis=axes, keepdims=keepdims) / np.float64(_count(wide, axes)))


def reduce(op: str, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """sum, mean, max, min or (biased) var over `axes`, non-negative and distinct.

    Of no elements the sum is 0, mean and var are nan; max and min raise ValueError. max and min hand nan on.
    """
    if op in ("max", "min"):
        extreme = np.max if op == "max" else np.min
        return np.array(extreme(x, axis=axes, keepdims=keepdims), order="C")
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        if op == "sum":
            result = np.sum(wide, axis=axes, keepdims=keepdims)
        elif op == "mean":
            result = _mean(wide, axes, keepdims)
        elif op == "var":
            deviation = wide - _mean(wide, axes, keepdims=True)
            result = _mean(deviation * deviation, axes, keepdims)
        else:
            raise ValueError(f"unknown reduction {op!r}: expected sum, mean, max, min or var")
        return np.asarray(result, dtype=x.dtype, order="C")


def argmax(x: Array, axis: int) -> Array:
    """Index (int64) of the largest element along `axis`: nan before all, the first of equals."""
    return np.asarray(np.argmax(x, axis=axis), dtype=np.int64, order="C")


def argmin(x: Array, axis: int) -> Array:
    """Index (int64) of the smallest element along `axis`: nan before all, the first of equals."""
    return np.asarray(np.argmin(x, axis=axis), dtype=np.int64, order="C")
