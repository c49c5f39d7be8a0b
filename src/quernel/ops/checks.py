"""What every operation checks: types of its inputs, axes, pairs."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from quernel import backend as B
from quernel.arrays import as_array, get_default_dtype
from quernel.tensor import Tensor, as_tensor, wrap


def real(x: Any) -> Tensor:
    """`x` as a float tensor; integers and booleans become the default dtype."""
    if not isinstance(x, Tensor):
        x = as_tensor(x)
    return x if x.data.dtype.kind == "f" else wrap(x.data.astype(get_default_dtype()))


def reals(where: str, *inputs: Any) -> list[Any]:
    """The inputs as float tensors of one type; None stays None, but for the first.

    Tensors decide the type; arrays, lists, numbers and integer tensors follow them. Float tensors of two
    types are refused: mixing float64 in by accident would slow everything down, unseen.
    """
    if inputs[0] is None:
        raise TypeError(
            f"{where}: expected a tensor as input, got None. Does the step before forget to return it?"
        )
    dtype = None
    same = True
    for x in inputs:
        if x is None:
            continue
        if isinstance(x, Tensor) and x.data.dtype.kind == "f":
            if dtype is None:
                dtype = x.data.dtype
            elif x.data.dtype is not dtype and x.data.dtype != dtype:
                raise TypeError(
                    f"{where}: expected tensors of one type, got {dtype} and {x.data.dtype}. Convert one of "
                    f"them with astype('{dtype}')."
                )
        else:
            same = False
    if same:
        return list(inputs)
    if dtype is None:
        arrays = [as_array(x) for x in inputs if x is not None]
        dtype = next((a.dtype for a in arrays if a.dtype.kind == "f"), get_default_dtype())
    return [x if x is None else as_tensor(x, dtype) for x in inputs]


def integers(x: Any, where: str, what: str) -> np.ndarray:
    """`x` as an int64 array.

    Raises
    ------
    TypeError : if it holds floats or booleans.
    """
    array = x.data if isinstance(x, Tensor) else as_array(x)
    if array.dtype.kind not in "iu":
        if array.size == 0 and not isinstance(x, Tensor | np.ndarray):
            return array.astype(np.int64)
        raise TypeError(
            f"{where}: expected integer {what}, got {array.dtype}. Convert them with .astype('int64') if "
            "they are whole numbers."
        )
    return array.astype(np.int64, copy=False)


def below(indices: np.ndarray, limit: int) -> bool:
    """Whether all int64 indices are in [0, limit)."""
    if not indices.size:
        return True
    # Seen as unsigned, negative numbers are huge: one pass instead of two.
    return int(np.maximum.reduce(indices.view(np.uint64), None)) < limit


def axis_of(axis: Any, ndim: int, where: str) -> int:
    """`axis` counted from the front."""
    try:
        number = operator.index(axis)
    except TypeError:
        raise TypeError(f"{where}: expected an integer axis, got {axis!r}") from None
    if not -ndim <= number < ndim:
        raise IndexError(
            f"{where}: axis {number} is out of range for a tensor with {ndim} axes; expected "
            f"{f'{-ndim} to {ndim - 1}' if ndim else 'none'}"
        )
    return number % ndim


def axes_of(axis: Any, ndim: int, where: str) -> tuple[int, ...]:
    """The axes of a reduction, counted from the front: all of them if `axis` is None."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, tuple | list):
        return (axis_of(axis, ndim, where),)
    axes = tuple(sorted(axis_of(a, ndim, where) for a in axis))
    if len(set(axes)) < len(axes):
        raise ValueError(f"{where}: each axis can be given once, got {axis}")
    return axes


# Sizes, strides, padding and dilation are at most this: no product of two of them overflows in a kernel.
LARGEST = 2**31 - 1


def pair(value: Any, where: str, name: str, least: int = 1) -> tuple[int, int]:
    """An integer, or two, as a pair (height, width)."""
    values = list(value) if isinstance(value, tuple | list | np.ndarray) else [value, value]
    try:
        numbers = [operator.index(v) for v in values]
    except TypeError:
        numbers = []
    if len(numbers) != 2 or not least <= min(numbers) <= max(numbers) <= LARGEST:
        raise ValueError(
            f"{where}: expected {name} to be one or two integers from {least} to 2**31 - 1, got {value!r}"
        )
    return numbers[0], numbers[1]


def rank(x: Tensor, ndim: int, where: str, axes: str) -> None:
    """Raise unless `x` has `ndim` axes."""
    if x.data.ndim != ndim:
        raise ValueError(
            f"{where}: expected input {axes} with {ndim} axes, got shape {x.shape}.{_rank_hint(x, ndim)}"
        )


def _rank_hint(x: Tensor, ndim: int) -> str:
    if x.data.ndim == ndim - 1:
        return " For a batch of one add an axis: x[None]; for one channel: x[..., None]."
    return ""


def broadcast(where: str, *shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that `shapes` broadcast to."""
    try:
        return np.broadcast_shapes(*[tuple(s) for s in shapes])
    except ValueError:
        raise ValueError(
            f"{where}: shapes {' and '.join(str(tuple(s)) for s in shapes)} do not broadcast: compared from "
            "the last axis, sizes must be equal or 1. Reshape or transpose one of them."
        ) from None


def reshaped(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`x` in another shape: a view, or of a strided array a copy made by a kernel."""
    return (x if x.flags.c_contiguous else B.copy(x)).reshape(shape)
