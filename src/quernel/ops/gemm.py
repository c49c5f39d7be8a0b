"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quernel import backend as B
from quernel.autograd import Node
from quernel.ops.activation import activation as apply_activation
from quernel.ops.activation import check_kind
from quernel.ops.binary import operands
from quernel.ops.checks import broadcast, real, reals, reshaped
from quernel.ops.elementwise import sum_to
from quernel.tensor import Tensor

__all__ = ["dense", "matmul"]


class MatMul(Node):
    """y = a b, with leading axes that broadcast."""

    __slots__ = ()

    @staticmethod
    def forward(ctx: MatMul, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        ctx.saved = a, b
        return B.matmul(a, b)

    @staticmethod
    def backward(ctx: MatMul, dy: np.ndarray) -> tuple[Any, Any]:  # da = dy b', db = a' dy
        a, b = ctx.saved
        need_a, need_b = ctx.needs
        return (
            sum_to(B.matmul(dy, b, transpose_b=True), a.shape) if need_a else None,
            sum_to(B.matmul(a, dy, transpose_a=True), b.shape) if need_b else None,
        )


def matmul(a: Any, b: Any) -> Tensor:
    """The matrix product of a (..., M, K) and b (..., K, N); leading axes broadcast, vectors as in NumPy.

    Raises
    ------
    ValueError : if the inner sizes differ, or one of them is a number.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.matmul([[1.0, 2.0]], [[3.0], [4.0]]).tolist()
    [[11.0]]
    """
    a, b = operands(a, b)
    a, b = operands(real(a), real(b))
    shape_a, shape_b = a.data.shape, b.data.shape
    if not shape_a or not shape_b:
        raise ValueError(
            f"matmul: expected matrices or vectors, got shapes {shape_a} and {shape_b}. Use * for numbers."
        )
    inner = shape_b[-2] if len(shape_b) > 1 else shape_b[0]
    if shape_a[-1] != inner:
        raise ValueError(
            f"matmul: expected (..., M, K) and (..., K, N), got {shape_a} and {shape_b}: {shape_a[-1]} is "
            f"not {inner}. Transpose or reshape one of them."
        )
    if len(shape_a) > 1 and len(shape_b) > 1:
        if len(shape_a) > 2 or len(shape_b) > 2:
            broadcast("matmul", shape_a[:-2], shape_b[:-2])
        return MatMul.apply(a, b)
    y = MatMul.apply(a if len(shape_a) > 1 else a[None], b if len(shape_b) > 1 else b[:, None])
    if len(shape_b) == 1:
        y = y[..., 0]
    return y if len(shape_a) > 1 else y[..., 0, :] if len(shape_b) > 1 else y[..., 0]


class Dense(Node):
    """y = activation(x kernel + bias) on rows of x."""

    __slots__ = ("activation", "alpha")
    activation: str
    alpha: float

    @staticmethod
    def forward(
        ctx: Dense, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, activation: str, alpha: float
    ) -> np.ndarray:
        shape = x.shape
        if len(shape) != 2:
            x = reshaped(x, (math.prod(shape[:-1]), shape[-1]))
        y = B.dense_forward(x, kernel, bias, activation, alpha)
        ctx.saved = x, kernel, y if activation != "linear" else None, shape
        ctx.activation = activation
        ctx.alpha = alpha
        return y if len(shape) == 2 else y.reshape(*shape[:-1], y.shape[1])

    @staticmethod
    def backward(ctx: Dense, dy: np.ndarray) -> tuple[Any, Any, Any]:
        x, kernel, y, shape = ctx.saved
        need_x, need_kernel, need_bias = ctx.needs
        if len(shape) != 2:
            dy = reshaped(dy, (len(x), kernel.shape[1]))
        dz, dbias = bias_backward(dy, y, ctx.activation, ctx.alpha, need_bias, dy)
        dx = dkernel = None
        if need_x:  # z = x kernel
            dx = B.matmul(dz, kernel, transpose_b=True)
            dx = dx if len(shape) == 2 else dx.reshape(shape)
        if need_kernel:
            dkernel = B.matmul(x, dz, transpose_a=True)
        return dx, dkernel, dbias


def bias_backward(
    dy: np.ndarray, y: np.ndarray | None, activation: str, alpha: float, need_bias: bool, summed: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """dz and dbias of y = activation(z + bias).

    For a linear one y may be None, and `summed` has the sums of dy by channel.
    """
    if activation == "linear":
        return dy, B.reduce("sum", summed, tuple(range(summed.ndim - 1))) if need_bias else None
    if need_bias:
        dz, dbias = B.bias_activation_backward(dy, y, activation, alpha)
        return dz, dbias
    return B.activation_backward(dy, y, activation, alpha), None


def dense(
    x: Any,
    kernel: Any,
    bias: Any = None,
    activation: str = "linear",
    alpha: float = 0.0,
    where: str = "dense",
) -> Tensor:
    """``activation(x @ kernel + bias)`` in one pass.

    Parameters
    ----------
    x : (..., I).  kernel : (I, O).  bias : (O,) or None.
    activation : a kind of `ops.activation`, default "linear"; alpha: its parameter.
    where : the caller's name in messages.

    Returns
    -------
    (..., O)

    Raises
    ------
    ValueError : if shapes do not fit or the activation is unknown.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.dense([[1.0, -1.0]], [[1.0], [3.0]], activation="relu").tolist()
    [[0.0]]
    """
    x, kernel, bias = reals(where, x, kernel, bias)
    shape, kernel_shape = x.data.shape, kernel.data.shape
    if len(kernel_shape) != 2:
        raise ValueError(f"{where}: expected a kernel (inputs, units), got shape {kernel_shape}")
    if not shape or shape[-1] != kernel_shape[0]:
        raise ValueError(
            f"{where}: expected input (batch, ..., {kernel_shape[0]}), got {shape}. The last axis holds the "
            "features; flatten images first, or build the layer anew for this input."
        )
    if bias is not None and bias.data.shape != kernel_shape[1:]:
        raise ValueError(f"{where}: expected a bias of shape {kernel_shape[1:]}, got {bias.shape}")
    check_kind(activation, alpha, where)
    if activation in B.SAVES_OUTPUT:
        return Dense.apply(x, kernel, bias, activation=activation, alpha=alpha)
    y = Dense.apply(x, kernel, bias, activation="linear", alpha=0.0)
    return apply_activation(y, activation, alpha)
