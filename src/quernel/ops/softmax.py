"""Softmax and cross-entropy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quernel import backend as B
from quernel.arrays import as_array
from quernel.autograd import Node
from quernel.ops.checks import axis_of, below, real, reals, reshaped
from quernel.tensor import Tensor, as_tensor

__all__ = ["log_softmax", "softmax", "softmax_cross_entropy"]


class Softmax(Node):
    """softmax or log_softmax over the last axis."""

    __slots__ = ("log",)
    log: bool

    @staticmethod
    def forward(ctx: Softmax, x: np.ndarray, log: bool) -> np.ndarray:
        rows = _rows(x)
        ctx.log = log
        ctx.saved = y = B.log_softmax_forward(rows) if log else B.softmax_forward(rows)
        return y.reshape(x.shape)

    @staticmethod
    def backward(ctx: Softmax, dy: np.ndarray) -> np.ndarray:
        rows = _rows(dy)
        dx = B.log_softmax_backward(rows, ctx.saved) if ctx.log else B.softmax_backward(rows, ctx.saved)
        return dx.reshape(dy.shape)


def _rows(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 2 else reshaped(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) divided by its sum along `axis`; safe for large x.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.softmax([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """
    return _softmax(x, axis, False)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """The logarithm of `softmax`, without its rounding."""
    return _softmax(x, axis, True)


def _softmax(x: Any, axis: int, log: bool) -> Tensor:
    where = "log_softmax" if log else "softmax"
    x = real(x)
    ndim = x.data.ndim
    if not ndim:
        raise ValueError(f"{where}: expected at least one axis, got a number")
    axis = axis_of(axis, ndim, where)
    if not x.data.shape[axis]:
        raise ValueError(f"{where}: axis {axis} of shape {x.shape} is empty")
    if axis == ndim - 1:
        return Softmax.apply(x, log=log)
    order = [i for i in range(ndim) if i != axis] + [axis]
    y = Softmax.apply(x.transpose(order), log=log)
    return y.transpose([order.index(i) for i in range(ndim)])


class SoftmaxCrossEntropy(Node):
    """Keeps the logits and one log-sum-exp a row."""

    __slots__ = ("options", "soft")
    options: tuple[Any, ...]
    soft: bool

    @staticmethod
    def forward(
        ctx: SoftmaxCrossEntropy, logits: np.ndarray, target: np.ndarray, soft: bool, options: tuple[Any, ...]
    ) -> np.ndarray:
        rows = _rows(logits)
        target = _rows(target) if soft else target.reshape(-1)
        ctx.soft = soft
        ctx.options = options
        loss, lse = (B.softmax_xent_soft_forward if soft else B.softmax_xent_forward)(rows, target, *options)
        ctx.saved = rows, lse, target, logits.shape
        return loss if logits.ndim == 2 else loss.reshape(logits.shape[:-1])

    @staticmethod
    def backward(ctx: SoftmaxCrossEntropy, dloss: np.ndarray) -> np.ndarray:
        rows, lse, target, shape = ctx.saved
        backward = B.softmax_xent_soft_backward if ctx.soft else B.softmax_xent_backward
        dlogits = backward(reshaped(dloss, lse.shape), rows, lse, target, *ctx.options)
        return dlogits.reshape(shape)


def softmax_cross_entropy(
    logits: Any,
    target: Any,
    class_weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    where: str = "softmax_cross_entropy",
) -> Tensor:
    """``-sum_c w_c t_c log softmax(logits)_c`` for each row.

    Parameters
    ----------
    logits : (..., C), before any softmax.
    target : integer labels (...) from 0 to C - 1, or probabilities (..., C).
    class_weight : w (C,), default all 1.
    ignore_index : a label whose rows have loss 0 and no gradient. Default None.
    label_smoothing : s of the targets ``(1 - s) t + s / C``; default 0.
    where : the caller's name in messages.

    Returns
    -------
    The loss of each row, (...).

    Raises
    ------
    TypeError : if labels are not integers.
    ValueError : if a label is out of range or shapes do not fit.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.softmax_cross_entropy([[0.0, 0.0]], [1]).tolist()
    [0.6931471824645996]
    """
    (logits,) = reals(where, logits)
    shape = logits.data.shape
    if not shape or not shape[-1]:
        raise ValueError(f"{where}: expected logits (..., classes), got shape {shape}")
    classes = shape[-1]
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{where}: expected label_smoothing from 0 to 1, got {label_smoothing}")
    if class_weight is not None:
        class_weight = np.ascontiguousarray(as_array(class_weight, logits.data.dtype))
        if class_weight.shape != (classes,):
            raise ValueError(
                f"{where}: expected one class weight for each of {classes} classes, got {class_weight.shape}"
            )
    if isinstance(target, Tensor) and target._requires_grad:
        raise ValueError(f"{where}: targets have no gradient here; pass target.detach()")
    given = target.data if isinstance(target, Tensor) else as_array(target)
    if given.shape == shape:
        soft = as_array(as_tensor(given), logits.data.dtype)
        if ignore_index is not None:
            raise ValueError(
                f"{where}: ignore_index needs integer labels, got targets of shape {given.shape}"
            )
        options: tuple[Any, ...] = (class_weight, float(label_smoothing))
        return SoftmaxCrossEntropy.apply(logits, soft, soft=True, options=options)
    labels = _labels(given, shape, ignore_index, where)
    options = (class_weight, ignore_index, float(label_smoothing))
    return SoftmaxCrossEntropy.apply(logits, labels, soft=False, options=options)


def _labels(given: np.ndarray, shape: tuple[int, ...], ignore_index: int | None, where: str) -> np.ndarray:
    classes = shape[-1]
    if given.shape != shape[:-1]:
        hint = " Remove its last axis: target[..., 0]." if given.shape == (*shape[:-1], 1) else ""
        raise ValueError(
            f"{where}: expected integer labels of shape {shape[:-1]} or probabilities of shape {shape} for "
            f"logits of shape {shape}, got {given.shape}.{hint}"
        )
    if given.dtype.kind not in "iu":
        raise TypeError(
            f"{where}: expected integer labels, got {given.dtype}. Convert them with .astype('int64'), or "
            f"pass probabilities of shape {shape}."
        )
    labels = np.ascontiguousarray(given, np.int64)
    if below(labels, classes):
        return labels
    wrong = labels[(labels < 0) | (labels >= classes)]
    if ignore_index is not None:
        wrong = wrong[wrong != ignore_index]
    if wrong.size:
        hint = (
            " They seem to count from 1: subtract 1."
            if wrong.min() == wrong.max() == classes and labels.min() > 0
            else ""
        )
        raise ValueError(
            f"{where}: label {wrong[0]} is out of range for {classes} classes; labels run from 0 to "
            f"{classes - 1}.{hint} Subtract the smallest label, give the last layer more units, or set "
            "ignore_index."
        )
    return labels
