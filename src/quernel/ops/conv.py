"""Convolution in two dimensions, channels last."""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import Any

import numpy as np

from quernel import backend as B
from quernel.ops.activation import Activated, check_kind
from quernel.ops.activation import activation as apply_activation
from quernel.ops.checks import LARGEST, pair, rank, reals
from quernel.ops.gemm import bias_backward
from quernel.tensor import Tensor

__all__ = ["conv2d", "conv_algorithm"]

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


ALGORITHMS = ("auto", "direct", "winograd", "im2col")
_algorithm = "auto"


def check_algorithm(name: Any, where: str) -> str:
    """`name` if it is an algorithm.

    Raises
    ------
    ValueError : if it is none.
    """
    if name not in ALGORITHMS:
        raise ValueError(f"{where}: expected algorithm {', '.join(map(repr, ALGORITHMS))}, got {name!r}")
    return str(name)


class conv_algorithm:
    """Choose how convolutions are computed, for good (as a call) or for a block (as a context manager).

    Parameters
    ----------
    name : ``"auto"`` (the default: the fastest by shape), ``"direct"`` (never Winograd, whose error in
        float32 is 4 to 12 times larger), ``"winograd"`` (for every 3 x 3 and 5 x 5 filter with stride 1),
        ``"im2col"`` (the explicit matrix of patches; groups and what Winograd does not admit fall back to
        direct). A layer's own choice (``Conv2D(algorithm=...)``) comes first.

    Raises
    ------
    ValueError : for any other name.

    Examples
    --------
    >>> import numpy as np
    >>> import quernel as qn
    >>> with qn.conv_algorithm("direct"):
    ...     y = qn.ops.conv2d(np.ones((1, 8, 8, 16)), np.ones((3, 3, 16, 16)))
    >>> y.shape
    (1, 6, 6, 16)
    """

    def __init__(self, name: str) -> None:
        global _algorithm
        check_algorithm(name, "conv_algorithm")
        self._before, _algorithm = _algorithm, name

    def __enter__(self) -> conv_algorithm:
        return self

    def __exit__(self, *exception: object) -> None:
        global _algorithm
        _algorithm = self._before


def padding_of(padding: Any, where: str) -> str | Padding:
    """`padding` as "valid", "same" or ((top, bottom), (left, right)).

    Raises
    ------
    ValueError : unless it is one of these words, an integer, a pair of integers or a pair of pairs, none
        negative.
    """
    if isinstance(padding, str):
        word = padding.lower()
        if word in ("valid", "same"):
            return word
    else:
        try:
            sides = list(padding) if isinstance(padding, tuple | list) else [padding, padding]
            top_bottom, left_right = [
                tuple(map(operator.index, s)) if isinstance(s, tuple | list) else (operator.index(s),) * 2
                for s in sides
            ]
            if len(top_bottom) == len(left_right) == 2 and min(*top_bottom, *left_right) >= 0:
                return (top_bottom[0], top_bottom[1]), (left_right[0], left_right[1])
        except (TypeError, ValueError):
            pass
    raise ValueError(
        f"{where}: expected padding 'valid', 'same', an integer, (height, width) or ((top, bottom), (left, "
        f"right)), all 0 or more, got {padding!r}"
    )


@lru_cache(maxsize=1024)
def geometry(
    size: Pair, window: Pair, strides: Pair, padding: str | Padding, dilation: Pair, where: str
) -> tuple[Padding, Pair]:
    """The padding in numbers and the output's (height, width) of a window moving over an image of `size`.

    "same" pads so that the output has ceil(size / stride) positions; the odd one goes to the end (as
    TensorFlow).

    Raises
    ------
    ValueError : if the window does not fit into the padded image.
    """
    pads: list[Pair] = []
    out: list[int] = []
    for axis in (0, 1):
        n, s = size[axis], strides[axis]
        reach = (window[axis] - 1) * dilation[axis] + 1
        if padding == "same":
            total = max((-(-n // s) - 1) * s + reach - n, 0)
            pads.append((total // 2, total - total // 2))
        elif padding == "valid":
            pads.append((0, 0))
        else:
            pads.append(padding[axis])  # type: ignore[arg-type]
        padded = n + sum(pads[axis])
        positions = (padded - reach) // s + 1
        if padded > LARGEST:
            raise ValueError(
                f"{where}: expected padded images of less than 2**31 pixels in each direction, got {padded} "
                f"(window {window}, strides {strides}, padding {padding!r}, dilation {dilation})"
            )
        if n <= 0 or positions <= 0:
            raise ValueError(
                f"{where}: expected images of at least {reach} pixels in {('height', 'width')[axis]} (window "
                f"{window[axis]}, dilation {dilation[axis]}, padding {padding!r}), got {size[0]} x "
                f"{size[1]}. Use padding='same', a smaller window, or fewer pooling layers before."
            )
        out.append(positions)
    return (pads[0], pads[1]), (out[0], out[1])


class Conv2D(Activated):
    """y = activation(x * kernel + bias)."""

    __slots__ = ("algorithm", "alpha", "geometry")
    algorithm: str
    alpha: float
    geometry: tuple[Pair, Padding, Pair, int]

    @staticmethod
    def forward(
        ctx: Conv2D,
        x: np.ndarray,
        kernel: np.ndarray,
        bias: np.ndarray | None,
        geometry: tuple[Pair, Padding, Pair, int],
        activation: str,
        alpha: float,
        algorithm: str,
    ) -> np.ndarray:
        y = B.conv2d_forward(x, kernel, bias, *geometry, activation, alpha, algorithm)
        ctx.saved = x, kernel, y if activation != "linear" else None
        ctx.geometry = geometry
        ctx.end_in(activation)
        ctx.alpha = alpha
        ctx.algorithm = algorithm
        return y

    @staticmethod
    def backward(ctx: Conv2D, dy: np.ndarray) -> tuple[Any, Any, Any]:
        x, kernel, y = ctx.saved
        need_x, need_kernel, need_bias = ctx.needs
        left, summed = ctx.left(dy)
        dz, dbias = bias_backward(dy, y, left, ctx.alpha, need_bias, summed)
        return (
            B.conv2d_backward_input(dz, kernel, x.shape, *ctx.geometry, ctx.algorithm) if need_x else None,
            B.conv2d_backward_kernel(dz, x, kernel.shape, *ctx.geometry, ctx.algorithm)
            if need_kernel
            else None,
            dbias,
        )


def conv2d(
    x: Any,
    kernel: Any,
    bias: Any = None,
    strides: Any = 1,
    padding: Any = "valid",
    dilation: Any = 1,
    groups: int = 1,
    activation: str = "linear",
    alpha: float = 0.0,
    algorithm: str | None = None,
    where: str = "conv2d",
) -> Tensor:
    """Convolution (cross-correlation) with bias and activation in one pass.

    Parameters
    ----------
    x : (N, H, W, C).  kernel : (KH, KW, C / groups, K).  bias : (K,) or None.
    strides, dilation : an integer or (height, width), default 1.
    padding : "valid" (none, the default), "same" (output ceil(size / stride)), an integer, (height, width) or
        ((top, bottom), (left, right)).
    groups : the channels of x and K are cut into this many groups, each convolved on its own. Default 1.
    activation : a kind of `ops.activation`, default "linear"; alpha: its parameter.
    algorithm : see `conv_algorithm`; None (the default) takes the global choice.
    where : the caller's name in messages.

    Returns
    -------
    (N, OH, OW, K)

    Raises
    ------
    ValueError : if shapes, strides, padding, dilation or groups do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from quernel import ops
    >>> ops.conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)))[0, :, :, 0].tolist()
    [[4.0, 4.0], [4.0, 4.0]]
    """
    x, kernel, bias = reals(where, x, kernel, bias)
    shape, kernel_shape = x.data.shape, kernel.data.shape
    if len(kernel_shape) != 4:
        raise ValueError(
            f"{where}: expected a kernel (height, width, channels / groups, filters), got {kernel_shape}"
        )
    kh, kw, channels, filters = kernel_shape
    if type(groups) is not int or groups < 1:
        raise ValueError(f"{where}: expected groups to be an integer of 1 or more, got {groups!r}")
    rank(x, 4, where, f"(batch, height, width, {channels * groups})")
    if shape[3] != channels * groups:
        hint = " Are its channels first? Then transpose(0, 2, 3, 1)." if shape[1] == channels * groups else ""
        raise ValueError(
            f"{where}: expected input (batch, height, width, {channels * groups}), got {shape}.{hint}"
        )
    if filters % groups:
        raise ValueError(
            f"{where}: expected a number of filters divisible by groups = {groups}, got {filters}"
        )
    if not (kh and kw and channels):
        raise ValueError(f"{where}: expected a kernel without empty axes, got {kernel_shape}")
    if bias is not None and bias.data.shape != (filters,):
        raise ValueError(f"{where}: expected a bias of shape ({filters},), got {bias.shape}")
    check_kind(activation, alpha, where)
    steps, spread = pair(strides, where, "strides"), pair(dilation, where, "dilation")
    pads, _ = geometry(shape[1:3], (kh, kw), steps, padding_of(padding, where), spread, where)
    fused = activation in B.SAVES_OUTPUT
    y = Conv2D.apply(
        x,
        kernel,
        bias,
        geometry=(steps, pads, spread, groups),
        activation=activation if fused else "linear",
        alpha=alpha if fused else 0.0,
        algorithm=_algorithm if algorithm is None else check_algorithm(algorithm, where),
    )
    return y if fused else apply_activation(y, activation, alpha)
