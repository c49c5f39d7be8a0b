"""Reductions over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from quernel import backend as B
from quernel.autograd import Node
from quernel.ops.checks import axes_of, axis_of, real
from quernel.ops.elementwise import scalar
from quernel.tensor import Tensor, as_tensor, wrap

__all__ = ["argmax", "argmin", "max", "mean", "min", "sum", "var"]


def _spread(dy: np.ndarray, shape: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray:
    """The gradient of a sum: `dy` seen in the shape of the input, without a copy."""
    kept = dy.reshape([1 if i in axes else n for i, n in enumerate(shape)])
    if not kept.flags.c_contiguous:
        return np.broadcast_to(kept, shape)
    # What np.broadcast_to does, in a fifth of its time.
    strides = [0 if i in axes else s for i, s in enumerate(kept.strides)]
    view = np.ndarray(shape, kept.dtype, kept, 0, strides)
    view.flags.writeable = False
    return view


class Sum(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Sum, x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        ctx.saved = x.shape, axes
        return B.reduce("sum", x, axes, keepdims)

    @staticmethod
    def backward(ctx: Sum, dy: np.ndarray) -> np.ndarray:
        return _spread(dy, *ctx.saved)


class Mean(Node):
    __slots__ = ("count",)
    count: int

    @staticmethod
    def forward(ctx: Mean, x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        y = B.reduce("mean", x, axes, keepdims)
        ctx.saved = x.shape, axes
        ctx.count = x.size // y.size if y.size else 1
        return y

    @staticmethod
    def backward(ctx: Mean, dy: np.ndarray) -> np.ndarray:
        return _spread(B.binary("divide", dy, scalar(ctx.count, dy)), *ctx.saved)


class Var(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Var, x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        ctx.saved = x, axes
        return B.reduce("var", x, axes, keepdims)

    @staticmethod
    def backward(ctx: Var, dy: np.ndarray) -> np.ndarray:  # dx = 2 (x - mean) dy / n
        x, axes = ctx.saved
        mean = B.reduce("mean", x, axes, True)
        share = B.binary("multiply", dy, scalar(2 * mean.size / x.size if x.size else 0, dy))
        return B.binary("multiply", B.binary("subtract", x, mean), _spread(share, x.shape, axes))


class Extreme(Node):
    """max or min; equals share the gradient."""

    __slots__ = ()

    @staticmethod
    def forward(ctx: Extreme, x: np.ndarray, axes: tuple[int, ...], keepdims: bool, op: str) -> np.ndarray:
        y = B.reduce(op, x, axes, keepdims)
        ctx.saved = x, y, axes
        return y

    @staticmethod
    def backward(ctx: Extreme, dy: np.ndarray) -> np.ndarray:
        x, y, axes = ctx.saved
        zero, one = scalar(0, dy), scalar(1, dy)
        winners = B.where(B.compare("equal", x, _spread(y, x.shape, axes)), one, zero)
        share = B.binary("divide", dy.reshape(y.shape), B.reduce("sum", winners, axes).reshape(y.shape))
        return B.binary("multiply", winners, _spread(share, x.shape, axes))


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis` (an integer, several, or None for all); `keepdims` leaves the axes with size 1.

    Partial sums are added so that the error does not grow with the length.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.sum([[1.0, 2.0], [3.0, 4.0]], axis=0).tolist()
    [4.0, 6.0]
    """
    x = as_tensor(x)
    axes = axes_of(axis, x.data.ndim, "sum")
    if x.data.dtype.kind != "f":
        return wrap(np.asarray(np.sum(x.data, axis=axes, keepdims=keepdims)))
    return Sum.apply(x, axes=axes, keepdims=keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean over `axis` (an integer, several, or None for all).

    Raises
    ------
    ValueError : if there is nothing to average.
    """
    x = real(x)
    axes = axes_of(axis, x.data.ndim, "mean")
    _not_empty(x, axes, "mean")
    return Mean.apply(x, axes=axes, keepdims=keepdims)


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The biased variance (divided by n) over `axis` (an integer, several, or None for all).

    Raises
    ------
    ValueError : if there are no elements.
    """
    x = real(x)
    axes = axes_of(axis, x.data.ndim, "var")
    _not_empty(x, axes, "var")
    return Var.apply(x, axes=axes, keepdims=keepdims)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element over `axis` (an integer, several, or None for all), nan if there is one.

    Equal largest elements share the gradient.

    Raises
    ------
    ValueError : if there are no elements.
    """
    return _extreme("max", x, axis, keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest element over `axis` (an integer, several, or None for all), nan if there is one.

    Equal smallest elements share the gradient.

    Raises
    ------
    ValueError : if there are no elements.
    """
    return _extreme("min", x, axis, keepdims)


def _extreme(op: str, x: Any, axis: Any, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    axes = axes_of(axis, x.data.ndim, op)
    _not_empty(x, axes, op)
    if x.data.dtype.kind != "f":
        return wrap(np.asarray(getattr(np, op)(x.data, axis=axes, keepdims=keepdims)))
    return Extreme.apply(x, axes=axes, keepdims=keepdims, op=op)


def _not_empty(x: Tensor, axes: tuple[int, ...], where: str) -> None:
    if not x.data.size and not all(x.data.shape[a] for a in axes):
        raise ValueError(f"{where}: there is nothing to reduce: got shape {x.shape}. Is the batch empty?")


def argmax(x: Any, axis: int | None = None) -> Tensor:
    """The index (int64) of the largest element along `axis`, or in the flattened tensor; the first of equals.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.argmax([[1.0, 3.0, 2.0]], axis=1).tolist()
    [1]
    """
    return _arg("argmax", x, axis)


def argmin(x: Any, axis: int | None = None) -> Tensor:
    """The index (int64) of the smallest element, as `argmax`."""
    return _arg("argmin", x, axis)


def _arg(op: str, x: Any, axis: int | None) -> Tensor:
    data = as_tensor(x).data
    if axis is None:
        data, axis = data.reshape(-1), 0
    axis = axis_of(axis, data.ndim, op)
    if not data.shape[axis]:
        raise ValueError(f"{op}: axis {axis} of shape {data.shape} is empty")
    if data.dtype.kind != "f":
        return wrap(np.asarray(getattr(np, op)(data, axis=axis)))
    return wrap(np.asarray(B.argmax(data, axis) if op == "argmax" else B.argmin(data, axis)))
