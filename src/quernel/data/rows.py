"""What users pass as data, as NumPy arrays; rows of it, as batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from quernel import backend as B
from quernel.arrays import as_array as any_array

Array = np.ndarray[Any, np.dtype[Any]]


def as_array(value: Any, name: str = "x") -> Array:
    """A NumPy array with one row a sample, from an array, a Tensor, a list, anything with ``__array__`` or
    ``__dlpack__``; nothing is copied that need not be.

    Raises
    ------
    TypeError : it does not hold real numbers, or has no axis to take rows from.
    ValueError : a list whose rows have different lengths.
    """
    try:
        array: Array = any_array(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
    if array.ndim == 0:
        raise TypeError(f"{name} must have one row per sample, got the single value {value!r}")
    return array


def same_length(*arrays: Array, names: tuple[str, ...]) -> int:
    """The number of rows that all arrays have; ValueError if they differ."""
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        found = ", ".join(f"{name} has {len(array)}" for name, array in zip(names, arrays, strict=True))
        raise ValueError(f"all data must have the same number of rows (samples), but {found}")
    return lengths.pop()


def take_rows(array: Array, rows: slice | Array, dtype: np.dtype[Any] | None = None) -> Array:
    """Rows of an array, cast to ``dtype`` if given: a view if rows are a slice and nothing is cast."""
    if isinstance(rows, slice):
        part = array[rows]
    elif array.dtype in (np.float32, np.float64) and array.flags.c_contiguous:
        part = B.gather(array, rows, 0)
    else:
        part = np.take(array, rows, axis=0)
    return part if dtype is None or part.dtype == dtype else part.astype(dtype)
