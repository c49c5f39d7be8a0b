"""The same arguments in other clothes: other types, other strides, framed by guard bytes, read-only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

FRAME_BYTES = 256
LARGE = 100_000  # elements
# All bits set is NaN in float32 and float64: what is read from a frame shows in the result.
FRAME_BYTE = 0xFF


def mapped(function: Callable[[Array], Any], value: Any) -> Any:
    """`value` (an array, a list of them, or neither) with `function` applied to its arrays."""
    if isinstance(value, list):
        return [mapped(function, v) for v in value]
    return function(value) if isinstance(value, np.ndarray) else value


def arrays_in(value: Any) -> list[Array]:
    """The arrays of nested lists and tuples, in order."""
    if isinstance(value, list | tuple):
        return [array for v in value for array in arrays_in(v)]
    return [value] if isinstance(value, np.ndarray) else []


def cast(dtype: Any) -> Callable[[Array], Array]:
    """Real arrays become `dtype`; others are copied."""
    return lambda x: x.astype(dtype if x.dtype.kind == "f" else x.dtype, order="C")


def strided(x: Array) -> Array:
    """The same values, read-only, in memory of other order: axes reversed, every second element, last axis
    reversed.

    The gaps hold NaN (or the largest integer), so that a kernel that ignores strides is found out. Large
    arrays have gaps along their first and last axis only: 16 times their memory is slow to come by.
    """
    if x.ndim == 0:
        return read_only(x)
    steps = [2 if x.size < LARGE or axis in (0, x.ndim - 1) else 1 for axis in range(x.ndim)]
    sizes = [n * step for n, step in zip(x.shape, steps, strict=True)]
    gaps = np.full(sizes[::-1], _filler(x.dtype), x.dtype)
    view = gaps.T[tuple([slice(None, None, step) for step in steps])][..., ::-1]
    view[...] = x
    view.flags.writeable = False
    return view


def _filler(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "f":
        return np.nan
    return True if dtype.kind == "b" else np.iinfo(dtype).max


def unaligned(x: Array) -> Array:
    """The same values one byte off their natural alignment, as fields of packed records are."""
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    view = np.ndarray(x.shape, x.dtype, buffer.data, offset=1)
    view[...] = x
    return view


def read_only(x: Array) -> Array:
    y = x.copy()
    y.flags.writeable = False
    return y


class Framed:
    """A writeable copy of `x` with the same strides, in the middle of guard bytes."""

    def __init__(self, x: Array) -> None:
        span = sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)) + x.itemsize if x.size else 0
        self._bytes = np.full(span + 2 * FRAME_BYTES, FRAME_BYTE, np.uint8)
        self._outside = np.ones(self._bytes.shape, bool)
        self.view = np.ndarray(x.shape, x.dtype, self._bytes.data, FRAME_BYTES, x.strides)
        self.view[...] = x
        item = np.ndarray((*x.shape, x.itemsize), bool, self._outside.data, FRAME_BYTES, (*x.strides, 1))
        item[...] = False

    def broken(self) -> int:
        """Guard bytes, before, behind or between the elements, that were overwritten."""
        return int(np.count_nonzero(self._bytes[self._outside] != FRAME_BYTE))


def same_bits(a: Sequence[Array], b: Sequence[Array]) -> bool:
    """Whether two lists of results are the same bit for bit; the bits of a NaN do not count."""
    return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))


def _same(a: Array, b: Array) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    bits = np.dtype(f"u{a.itemsize}")
    same = a.view(bits) == b.view(bits)
    return bool(same.all() or np.all(same | (np.isnan(a) & np.isnan(b))))
