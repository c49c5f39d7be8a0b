"""Moving elements: copies, joined pieces, rows picked and added back; any type but in `scatter_add`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

__all__ = ["assign", "concatenate", "copy", "gather", "pad", "scatter_add"]


def copy(x: Array) -> Array:
    """A C-contiguous copy of `x`, whatever its strides."""
    return np.array(x, order="C")


def assign(target: Array, x: Array) -> None:
    """target[...] = x, in place; `x` broadcasts to the target, which may be a strided view."""
    target[...] = x


def concatenate(arrays: Sequence[Array], axis: int) -> Array:
    """The arrays, which differ in `axis` only, one after another along it."""
    return np.ascontiguousarray(np.concatenate(arrays, axis))


def pad(x: Array, widths: Sequence[tuple[int, int]], value: float) -> Array:
    """`x` framed by `value`: widths[d] = (before, after) >= 0 elements in dimension d."""
    shape = tuple(before + n + after for n, (before, after) in zip(x.shape, widths, strict=True))
    y = np.full(shape, value, dtype=x.dtype)
    y[tuple(slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True))] = x
    return y


def gather(x: Array, indices: Array, axis: int = 0) -> Array:
    """Slice indices[i] of `x` along `axis` becomes slice i; indices in [0, x.shape[axis])."""
    return np.ascontiguousarray(np.take(x, indices, axis=axis))


def scatter_add(dy: Array, indices: Array, length: int, axis: int = 0) -> Array:
    """Backward of `gather`: slice i of `dy` added to slice indices[i] of `length` zero slices, i rising."""
    rows = np.moveaxis(dy, axis, 0)
    dx = np.zeros((length, *rows.shape[1:]), dtype=dy.dtype)
    np.add.at(dx, indices, rows)
    return np.ascontiguousarray(np.moveaxis(dx, 0, axis))
