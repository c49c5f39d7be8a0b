"""Shapes: views where NumPy has them, kernels where elements move."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from quernel import backend as B
from quernel.arrays import as_shape
from quernel.autograd import Node
from quernel.ops.checks import axes_of, axis_of, broadcast
from quernel.ops.elementwise import cast, sum_to
from quernel.ops.indexing import Reshape, getitem
from quernel.tensor import Tensor, as_tensor, wrap

__all__ = [
    "broadcast_to",
    "concatenate",
    "expand_dims",
    "flip",
    "pad",
    "split",
    "squeeze",
    "stack",
    "transpose",
]


class Transpose(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Transpose, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        ctx.saved = axes
        return x.transpose(axes)

    @staticmethod
    def backward(ctx: Transpose, dy: np.ndarray) -> np.ndarray:
        return dy.transpose(np.argsort(ctx.saved))


class BroadcastTo(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: BroadcastTo, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        ctx.saved = x.shape
        return np.broadcast_to(x, shape)

    @staticmethod
    def backward(ctx: BroadcastTo, dy: np.ndarray) -> np.ndarray:
        return sum_to(dy, ctx.saved)


class Concatenate(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Concatenate, *arrays: np.ndarray, axis: int) -> np.ndarray:
        ctx.saved = [x.shape[axis] for x in arrays], axis
        return B.concatenate(arrays, axis)

    @staticmethod
    def backward(ctx: Concatenate, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        sizes, axis = ctx.saved
        grads = []
        start = 0
        for size in sizes:
            grads.append(dy[(slice(None),) * axis + (slice(start, start + size),)])
            start += size
        return tuple(grads)


class Pad(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Pad, x: np.ndarray, widths: list[tuple[int, int]], value: float) -> np.ndarray:
        ctx.saved = tuple([slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True)])
        return B.pad(x, widths, value)

    @staticmethod
    def backward(ctx: Pad, dy: np.ndarray) -> np.ndarray:
        return dy[ctx.saved]


def squeeze(x: Any, axis: Any = None) -> Tensor:
    """Without the axes of size 1: all of them, or those given.

    Raises
    ------
    ValueError : if a given axis is larger.
    """
    x = as_tensor(x)
    shape = x.data.shape
    if axis is None:
        gone: tuple[int, ...] = tuple(i for i, n in enumerate(shape) if n == 1)
    else:
        gone = axes_of(axis, len(shape), "squeeze")
        for i in gone:
            if shape[i] != 1:
                raise ValueError(
                    f"squeeze: axis {i} of shape {shape} has size {shape[i]}; only axes of size 1 can go"
                )
    return Reshape.apply(x, shape=tuple(n for i, n in enumerate(shape) if i not in gone))


def expand_dims(x: Any, axis: int) -> Tensor:
    """With a new axis of size 1 at `axis` of the result."""
    x = as_tensor(x)
    at = axis_of(axis, x.data.ndim + 1, "expand_dims")
    return Reshape.apply(x, shape=(*x.data.shape[:at], 1, *x.data.shape[at:]))


def transpose(x: Any, *axes: Any) -> Tensor:
    """The axes in another order (a view): reversed if none are given.

    Raises
    ------
    ValueError : unless each axis is given once.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.transpose([[1.0, 2.0], [3.0, 4.0]]).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    x = as_tensor(x)
    ndim = x.data.ndim
    if not axes or axes == (None,):
        order = tuple(range(ndim))[::-1]
    else:
        given = axes[0] if len(axes) == 1 and isinstance(axes[0], Sequence) else axes
        order = tuple([axis_of(a, ndim, "transpose") for a in given])
        if sorted(order) != list(range(ndim)):
            raise ValueError(
                f"transpose: expected each of the {ndim} axes of shape {x.shape} once, got {tuple(given)}"
            )
    return Transpose.apply(x, axes=order)


def broadcast_to(x: Any, shape: Any) -> Tensor:
    """`x` repeated along new axes and axes of size 1 (a view)."""
    x, shape = as_tensor(x), as_shape(shape, "broadcast_to")
    if broadcast("broadcast_to", x.shape, shape) != shape:
        raise ValueError(f"broadcast_to: shape {x.shape} does not broadcast to {shape}")
    return BroadcastTo.apply(x, shape=shape)


def concatenate(xs: Sequence[Any], axis: int = 0, where: str = "concatenate") -> Tensor:
    """The tensors one after another along `axis`.

    Raises
    ------
    ValueError : if there are none, or sizes differ in another axis.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.concatenate([[1.0], [2.0, 3.0]]).tolist()
    [1.0, 2.0, 3.0]
    """
    tensors = _alike(xs, where)
    shape = tensors[0].data.shape
    axis = axis_of(axis, len(shape), where)
    for t in tensors:
        other = t.data.shape
        if len(other) != len(shape) or any(
            m != n for i, (m, n) in enumerate(zip(other, shape, strict=True)) if i != axis
        ):
            raise ValueError(
                f"{where}: expected shapes equal in all axes but {axis}, got "
                f"{', '.join(str(t.shape) for t in tensors)}"
            )
    return Concatenate.apply(*tensors, axis=axis)


def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis.

    Raises
    ------
    ValueError : if there are none, or shapes differ.
    """
    tensors = _alike(xs, "stack")
    if len({t.shape for t in tensors}) > 1:
        raise ValueError(f"stack: expected equal shapes, got {', '.join(str(t.shape) for t in tensors)}")
    return concatenate([expand_dims(t, axis) for t in tensors], axis, "stack")


def _alike(xs: Sequence[Any], where: str) -> list[Tensor]:
    """The tensors in one type: the widest float among them, or what NumPy makes of integers."""
    tensors = [as_tensor(x) for x in xs]
    if not tensors:
        raise ValueError(f"{where}: expected at least one tensor, got none")
    dtypes = {t.data.dtype for t in tensors}
    if len(dtypes) == 1:
        return tensors
    floats = [d for d in dtypes if d.kind == "f"]
    dtype = max(floats, key=lambda d: d.itemsize) if floats else np.result_type(*dtypes)
    return [cast(t, dtype) for t in tensors]


def split(x: Any, parts: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """`parts` equal pieces along `axis`, or pieces cut before the positions given (as ``numpy.split``).

    Raises
    ------
    ValueError : if the axis cannot be cut into equal pieces.
    """
    x = as_tensor(x)
    axis = axis_of(axis, x.data.ndim, "split")
    length = x.data.shape[axis]
    if isinstance(parts, int):
        if parts < 1 or length % parts:
            raise ValueError(f"split: cannot cut axis {axis} of shape {x.shape} into {parts} equal parts")
        cuts = list(range(0, length + 1, length // parts)) if length else [0] * (parts + 1)
    else:
        cuts = [0, *[operator.index(p) for p in parts], length]
    before = (slice(None),) * axis
    return [getitem(x, (*before, slice(a, b))) for a, b in pairwise(cuts)]


def flip(x: Any, axis: Any = None) -> Tensor:
    """The order of elements reversed along `axis` (an integer, several, or None for all): a view."""
    x = as_tensor(x)
    axes = axes_of(axis, x.data.ndim, "flip")
    return getitem(x, tuple([slice(None, None, -1 if i in axes else None) for i in range(x.data.ndim)]))


def pad(x: Any, widths: Any, value: float = 0.0) -> Tensor:
    """`x` framed by `value`.

    Parameters
    ----------
    widths : an integer for every side, or a pair (before, after), or one pair per axis; none negative.

    Raises
    ------
    ValueError : if the widths are anything else.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.pad([1.0, 2.0], (1, 2)).tolist()
    [0.0, 1.0, 2.0, 0.0, 0.0]
    """
    x = as_tensor(x)
    given = np.asarray(widths)
    try:
        if given.dtype.kind not in "iu" or (given < 0).any():
            raise ValueError
        pairs = [(int(a), int(b)) for a, b in np.broadcast_to(given, (x.data.ndim, 2))]
    except ValueError:
        raise ValueError(
            f"pad: expected an integer, a pair (before, after) or one pair for each of the {x.data.ndim} "
            f"axes, all 0 or more, got {widths!r}"
        ) from None
    if math.prod(n + a + b for n, (a, b) in zip(x.data.shape, pairs, strict=True)) >= 2**60:
        raise ValueError(f"pad: the result would be too large: shape {x.shape} with widths {pairs}")
    if x.data.dtype.kind != "f":
        return wrap(np.pad(x.data, pairs, constant_values=value))
    return Pad.apply(x, widths=pairs, value=float(value))
