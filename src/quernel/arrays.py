"""What a tensor can be made from: arrays, numbers, nested lists; and the types it can have."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["as_array", "as_dtype", "as_shape", "get_default_dtype", "set_default_dtype", "short"]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_default = np.dtype(np.float32)


def get_default_dtype() -> np.dtype[Any]:
    """The type that Python floats become: float32 unless `set_default_dtype` changed it."""
    return _default


def set_default_dtype(dtype: Any) -> None:
    """Set the type that Python floats and new parameters get.

    Parameters
    ----------
    dtype : "float32" (at the start) or "float64".

    Raises
    ------
    TypeError : for any other type.
    """
    global _default
    chosen = as_dtype(dtype)
    if chosen not in _FLOATS:
        raise TypeError(f"set_default_dtype: expected float32 or float64, got {chosen}")
    _default = chosen


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype for a name, a type or a dtype: float32, float64, an integer type or bool."""
    try:
        chosen = np.dtype(dtype)
    except TypeError:
        raise TypeError(
            f"unknown dtype {dtype!r}: expected 'float32', 'float64', an integer type or 'bool'"
        ) from None
    if dtype is None or (chosen not in _FLOATS and chosen.kind not in "iub"):
        raise TypeError(
            f"dtype {dtype!r} is not supported: expected 'float32', 'float64', an integer type or 'bool'"
        )
    return chosen


def as_array(data: Any, dtype: Any = None) -> np.ndarray:
    """Any array-like as an array that quernel can work on, sharing memory where possible.

    float32, float64, integers and bool stay; Python floats get the default dtype; float16 becomes float32.

    Raises
    ------
    TypeError : for complex numbers, texts, objects.
    ValueError : for nested lists of unequal lengths.
    """
    if type(data) is np.ndarray:
        array = data
    else:
        array = np.asarray(data) if isinstance(data, np.ndarray) else _convert(data)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if dtype is not None:
        dtype = as_dtype(dtype)
        if array.dtype != dtype:
            _check_kind(array, data)
            return array.astype(dtype)
        return array
    if array.dtype in _FLOATS or array.dtype.kind in "iub":
        return array
    _check_kind(array, data)
    return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)


def _convert(data: Any) -> np.ndarray:
    if hasattr(data, "__array__"):
        return np.asarray(data)
    if hasattr(data, "__dlpack__"):
        return np.from_dlpack(data)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(
            f"expected numbers or nested lists of equal lengths, got {short(data)} ({error})"
        ) from None
    if array.dtype.kind == "f" or (
        array.size == 0 and isinstance(data, list | tuple)
    ):  # Python floats have no precision of their own
        array = array.astype(_default)
    return array


def _check_kind(array: np.ndarray, data: Any) -> None:
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"expected numbers (float, integer or bool), got {array.dtype} from {short(data)}. Convert it "
            "to numbers first, for example with np.asarray(data, np.float32)."
        )


def short(data: Any) -> str:
    """How data look, in at most 60 characters."""
    text = repr(data)
    return text if len(text) <= 60 else text[:57] + "..."


def as_shape(shape: int | Iterable[int], where: str) -> tuple[int, ...]:
    """A shape as a tuple of non-negative integers."""
    sizes: Sequence[Any] = [shape] if isinstance(shape, int | np.integer) else list(shape)
    try:
        result = tuple([operator.index(n) for n in sizes])
    except TypeError:
        raise TypeError(f"{where}: expected a shape of integers, got {shape!r}") from None
    if any(n < 0 for n in result):
        raise ValueError(f"{where}: expected sizes of 0 or more, got {result}")
    return result
