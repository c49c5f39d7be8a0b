"""Pooling in two dimensions, channels last."""

from __future__ import annotations

from typing import Any

import numpy as np

from quernel import backend as B
from quernel.autograd import Node
from quernel.ops.activation import Activated
from quernel.ops.checks import LARGEST, pair, rank, real
from quernel.ops.conv import Padding, Pair, geometry, padding_of
from quernel.ops.reduce import mean
from quernel.tensor import Tensor

__all__ = ["avg_pool2d", "global_average_pool2d", "max_pool2d"]


class MaxPool2D(Node):
    """Keeps the winners' places in their windows, a byte each; behind relu its outputs, too (see `Activated`)."""

    __slots__ = ("window",)
    window: tuple[Any, ...]

    @staticmethod
    def forward(ctx: MaxPool2D, x: np.ndarray, window: tuple[Pair, Pair, Padding]) -> np.ndarray:
        y, index = B.max_pool2d_forward(x, *window)
        ctx.saved = index, x.shape, None if _relu_before(ctx) is None else y
        ctx.window = window
        return y

    @staticmethod
    def backward(ctx: MaxPool2D, dy: np.ndarray) -> np.ndarray:
        index, shape, y = ctx.saved
        source = _relu_before(ctx)
        if source is None or source._retained is not None:
            return B.max_pool2d_backward(dy, index, shape, *ctx.window)
        dy = B.activation_backward(dy, y, "relu")
        dx = B.max_pool2d_backward(dy, index, shape, *ctx.window)
        source.masked = dx, dy
        return dx


def _relu_before(ctx: Node) -> Activated | None:
    """The node that made the input, if relu was its end."""
    source = ctx._edges[0] if ctx._edges else None
    return source if isinstance(source, Activated) and source.activation == "relu" else None


class AvgPool2D(Node):
    __slots__ = ("window",)
    window: tuple[Any, ...]

    @staticmethod
    def forward(ctx: AvgPool2D, x: np.ndarray, window: tuple[Pair, Pair, Padding, bool]) -> np.ndarray:
        ctx.saved = x.shape
        ctx.window = window
        return B.avg_pool2d_forward(x, *window)

    @staticmethod
    def backward(ctx: AvgPool2D, dy: np.ndarray) -> np.ndarray:
        return B.avg_pool2d_backward(dy, ctx.saved, *ctx.window)


def _window(x: Tensor, pool_size: Any, strides: Any, padding: Any, where: str) -> tuple[Pair, Pair, Padding]:
    rank(x, 4, where, "(batch, height, width, channels)")
    size = pair(pool_size, where, "pool_size")
    steps = size if strides is None else pair(strides, where, "strides")
    pads, _ = geometry(x.data.shape[1:3], size, steps, padding_of(padding, where), (1, 1), where)
    if size[0] * size[1] > LARGEST:
        raise ValueError(f"{where}: expected a window of less than 2**31 positions, got pool_size {size}")
    if max(pads[0]) >= size[0] or max(pads[1]) >= size[1]:
        raise ValueError(f"{where}: expected padding smaller than pool_size {size}, got {padding!r}")
    return size, steps, pads


def max_pool2d(
    x: Any, pool_size: Any = 2, strides: Any = None, padding: Any = "valid", where: str = "max_pool2d"
) -> Tensor:
    """The largest value of each window; nan wins, padding never does.

    Parameters
    ----------
    x : (N, H, W, C).
    pool_size, strides : an integer or (height, width); strides default to pool_size.
    padding : as in `conv2d`, smaller than pool_size.
    where : the caller's name in messages.

    Raises
    ------
    ValueError : if shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from quernel import ops
    >>> ops.max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    x = real(x)
    return MaxPool2D.apply(x, window=_window(x, pool_size, strides, padding, where))


def avg_pool2d(
    x: Any,
    pool_size: Any = 2,
    strides: Any = None,
    padding: Any = "valid",
    count_include_pad: bool = False,
    where: str = "avg_pool2d",
) -> Tensor:
    """The mean of each window; arguments as in `max_pool2d`.

    `count_include_pad` makes padding count as zeros; by default only what lies inside the image is averaged.
    """
    x = real(x)
    window = (*_window(x, pool_size, strides, padding, where), bool(count_include_pad))
    return AvgPool2D.apply(x, window=window)


def global_average_pool2d(x: Any, keepdims: bool = False, where: str = "global_average_pool2d") -> Tensor:
    """The mean of each channel of each image: (N, H, W, C) to (N, C), or (N, 1, 1, C) with `keepdims`."""
    x = real(x)
    rank(x, 4, where, "(batch, height, width, channels)")
    if not (x.data.shape[1] and x.data.shape[2]):
        raise ValueError(f"{where}: expected images of at least one pixel, got shape {x.shape}")
    return mean(x, axis=(1, 2), keepdims=keepdims)
