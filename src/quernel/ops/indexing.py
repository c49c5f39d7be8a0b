"""Shapes and indices: views where NumPy has them, kernels where elements move."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from quernel import backend as B
from quernel.autograd import Node
from quernel.ops.checks import axis_of, below, integers, reals, reshaped
from quernel.tensor import Tensor, as_tensor, wrap

__all__ = ["embedding", "flatten", "gather", "getitem", "reshape", "take"]


class Reshape(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Reshape, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        ctx.saved = x.shape
        return reshaped(x, shape)

    @staticmethod
    def backward(ctx: Reshape, dy: np.ndarray) -> np.ndarray:
        return reshaped(dy, ctx.saved)


class Slice(Node):
    """Basic indexing: integers, slices, None and ``...``, which always comes along so that a view results."""

    __slots__ = ()

    @staticmethod
    def forward(ctx: Slice, x: np.ndarray, index: tuple[Any, ...]) -> np.ndarray:
        ctx.saved = x.shape, index
        return x[index]

    @staticmethod
    def backward(ctx: Slice, dy: np.ndarray) -> np.ndarray:
        shape, index = ctx.saved
        dx = np.zeros(shape, dy.dtype)
        B.assign(dx[index], dy)
        return dx


class Gather(Node):
    """Slices along an axis, by an int64 array of any shape."""

    __slots__ = ()

    @staticmethod
    def forward(ctx: Gather, x: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
        flat = indices.reshape(-1)
        ctx.saved = flat, x.shape, axis
        y = B.gather(x, flat, axis)
        return y if indices.ndim == 1 else y.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])

    @staticmethod
    def backward(ctx: Gather, dy: np.ndarray) -> np.ndarray:
        flat, shape, axis = ctx.saved
        return B.scatter_add(
            reshaped(dy, (*shape[:axis], len(flat), *shape[axis + 1 :])), flat, shape[axis], axis
        )


def reshape(x: Any, *shape: Any) -> Tensor:
    """The same elements in another shape; one size may be -1: what is left.

    Raises
    ------
    ValueError : if the number of elements differs.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.reshape([1.0, 2.0, 3.0, 4.0], (2, -1)).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    x = as_tensor(x)
    sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    try:
        wanted = [operator.index(n) for n in (sizes if isinstance(sizes, Sequence) else (sizes,))]
    except TypeError:
        raise TypeError(f"reshape: expected a shape of integers, got {sizes!r}") from None
    size = x.data.size
    if wanted.count(-1) == 1:
        rest = math.prod(n for n in wanted if n != -1)
        if rest > 0 and size % rest == 0:
            wanted[wanted.index(-1)] = size // rest
    if any(n < 0 for n in wanted) or math.prod(wanted) != size:
        raise ValueError(
            f"reshape: expected a shape for the {size} elements of {x.shape}, got {tuple(sizes)}: its sizes "
            f"must multiply to {size} (one of them may be -1)."
        )
    return Reshape.apply(x, shape=tuple(wanted))


def flatten(x: Any, start: int = 0) -> Tensor:
    """All axes from `start` on as one: ``flatten(x, 1)`` keeps the batch."""
    x = as_tensor(x)
    shape = x.data.shape
    if start or shape:
        start = axis_of(start, len(shape), "flatten")
    return Reshape.apply(x, shape=(*shape[:start], math.prod(shape[start:])))


def getitem(x: Any, index: Any) -> Tensor:
    """``x[index]`` as in NumPy: integers, slices, None, ``...``, integer arrays and boolean arrays, mixed.

    Raises
    ------
    IndexError : if an index is out of range, there are too many, or they are neither integers nor booleans.

    Examples
    --------
    >>> import quernel as qn
    >>> x = qn.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x[:, 0].tolist(), x[[1, 0], [0, 0]].tolist(), x[x > 2].tolist()
    ([1.0, 3.0], [3.0, 1.0], [3.0, 4.0])
    """
    x = as_tensor(x)
    items = index if type(index) is tuple else (index,)
    for item in items:
        if not (
            item is None or item is Ellipsis or type(item) is int or isinstance(item, slice | np.integer)
        ):
            return _advanced(x, tuple([_index(i) for i in items]))
    if Ellipsis not in items:
        items = (*items, Ellipsis)
    try:
        return Slice.apply(x, index=items)
    except (IndexError, TypeError) as error:
        raise type(error)(f"index {_shown(index)} into a tensor of shape {x.shape}: {error}") from None


def _index(item: Any) -> Any:
    if isinstance(item, Tensor):
        return item.data
    if isinstance(item, list | tuple) and not len(item):
        return np.zeros(0, np.int64)
    return np.asarray([_index(i) for i in item]) if isinstance(item, list | tuple) else item


def _advanced(x: Tensor, items: tuple[Any, ...]) -> Tensor:
    try:
        if x.data.dtype.kind != "f":
            return wrap(np.asarray(x.data[items]))
        first = items[0]
        if len(items) == 1 and isinstance(first, np.ndarray) and first.dtype.kind in "iu" and x.data.ndim:
            return gather(x, first)
        # Any mixture: ask NumPy where it finds the elements, and take them from the flat tensor.
        places = np.arange(x.data.size).reshape(x.data.shape)[items]
    except IndexError as error:
        raise IndexError(f"index into a tensor of shape {x.shape}: {error}") from None
    flat = Reshape.apply(x, shape=(x.data.size,))
    return Gather.apply(flat, np.asarray(places, np.int64), axis=0)


def _shown(index: Any) -> str:
    return repr(index).replace("slice(None, None, None)", ":").replace("Ellipsis", "...")


def gather(x: Any, indices: Any, axis: int = 0, where: str = "gather") -> Tensor:
    """The slices of `x` along `axis` that `indices` (integers of any shape, negative from the end) name.

    Their shape takes the place of the axis; gradients of a slice taken often are added.

    Raises
    ------
    TypeError : if the indices are not integers.
    IndexError : if one is out of range.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.gather([10.0, 20.0, 30.0], [2, 0]).tolist()
    [30.0, 10.0]
    """
    x, chosen = as_tensor(x), integers(indices, where, "indices")
    axis = axis_of(axis, x.data.ndim, where)
    length = x.data.shape[axis]
    if not below(chosen, length):
        _check_range(chosen, -length, length, where)
        chosen = np.where(chosen < 0, chosen + length, chosen)
    if x.data.dtype.kind != "f":
        return wrap(np.take(x.data, chosen, axis))
    return Gather.apply(x, chosen, axis=axis)


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """`gather`, from the flattened tensor if `axis` is None, as in NumPy."""
    return gather(flatten(x), indices, 0, "take") if axis is None else gather(x, indices, axis, "take")


def _check_range(indices: np.ndarray, low: int, high: int, where: str) -> None:
    wrong = indices[(indices < low) | (indices >= high)]
    if wrong.size:
        span = f"{low} to {high - 1}" if high > low else "none, for the axis is empty"
        raise IndexError(f"{where}: index {wrong.flat[0]} is out of range; expected {span}")


def embedding(indices: Any, table: Any, where: str = "embedding") -> Tensor:
    """Rows of the table (rows, width) for integers of any shape: (..., width).

    Raises
    ------
    TypeError : if the indices are not integers.
    IndexError : if one is negative or not below the number of rows.
    """
    (table,) = reals(where, table)
    chosen = integers(indices, where, "indices")
    if table.data.ndim != 2:
        raise ValueError(f"{where}: expected a table (rows, width), got shape {table.shape}")
    rows = table.data.shape[0]
    if not below(chosen, rows):
        wrong = chosen[(chosen < 0) | (chosen >= rows)]
        raise IndexError(
            f"{where}: index {wrong.flat[0]} is out of range for {rows} rows; indices run from 0 to "
            f"{rows - 1}. Make input_dim the largest index plus one, or map rare indices to one of their own."
        )
    return Gather.apply(table, chosen, axis=0)
