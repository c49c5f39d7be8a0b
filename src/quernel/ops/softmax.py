"""Softmax and cross-entropy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quernel import backend as B
from quernel.arrays import as_array
from quernel.autograd import Node, graph_is_kept
from quernel.ops.checks import axis_of, real, reals, reshaped
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
    """Makes the gradient along with the loss, and keeps nothing else."""

    __slots__ = ("ignored",)
    ignored: np.ndarray | None

    @staticmethod
    def forward(
        ctx: SoftmaxCrossEntropy, logits: np.ndarray, target: np.ndarray, soft: bool, options: tuple[Any, ...],
        ignored: np.ndarray | None, total: bool,
    ) -> np.ndarray:  # fmt: skip
        rows = _rows(logits)
        target = _rows(target) if soft else target.reshape(-1)
        if ctx.needs[0]:
            both = B.softmax_xent_soft_gradient if soft else B.softmax_xent_gradient
            loss, dlogits = both(rows, target, *options)
            ctx.saved = dlogits if rows is logits else dlogits.reshape(logits.shape)
            ctx.ignored = ignored
        else:
            loss = (B.softmax_xent_soft_forward if soft else B.softmax_xent_forward)(rows, target, *options)
        if total:
            return B.reduce("sum", loss, (0,), False)
        return loss if rows is logits else loss.reshape(logits.shape[:-1])

    @staticmethod
    def backward(ctx: SoftmaxCrossEntropy, dloss: np.ndarray) -> np.ndarray:
        dlogits = ctx.saved
        if dloss.ndim:
            if ctx.ignored is not None:  # no gradient, even of an infinite dloss
                dloss = np.where(ctx.ignored, np.zeros_like(dloss), dloss)
            dloss = dloss[..., None]
        if graph_is_kept():
            return B.binary("multiply", dlogits, dloss)
        ctx.saved = None  # whoever comes next may write to it
        if dloss.ndim or dloss.item() != 1:
            B.scale(dlogits, dloss)
        return dlogits


def softmax_cross_entropy(
    logits: Any,
    target: Any,
    class_weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: Any = None,
    reduction: str = "none",
    where: str = "softmax_cross_entropy",
) -> Tensor:
    """``-sum_c w_c t_c log softmax(logits)_c`` for each row, or of all rows.

    Parameters
    ----------
    logits : (..., C), before any softmax.
    target : integer labels (...) from 0 to C - 1, or probabilities (..., C).
    class_weight : w (C,), default all 1.
    ignore_index : a label whose rows have loss 0 and no gradient. Default None.
    label_smoothing : s of the targets ``(1 - s) t + s / C``; default 0.
    sample_weight : factors of the losses, that broadcast to (...); default all 1.
    reduction : ``"none"`` (default), ``"sum"``, or ``"mean"``: the sum over the number of rows that are not
        ignored, whatever their weights. A batch reduced here costs less than one that is reduced later.
    where : the caller's name in messages.

    Returns
    -------
    The loss of each row, (...), or one number.

    Raises
    ------
    TypeError : if labels are not integers.
    ValueError : if a label is out of range, shapes do not fit, or there is nothing to reduce.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.softmax_cross_entropy([[0.0, 0.0]], [1]).tolist()
    [0.6931471824645996]
    >>> ops.softmax_cross_entropy([[0.0, 0.0], [5.0, 5.0]], [1, 0], reduction="mean").item()
    0.6931471824645996
    """
    (logits,) = reals(where, logits)
    shape, dtype = logits.data.shape, logits.data.dtype
    if not shape or not shape[-1]:
        raise ValueError(f"{where}: expected logits (..., classes), got shape {shape}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{where}: expected label_smoothing from 0 to 1, got {label_smoothing}")
    if class_weight is not None:
        class_weight = np.ascontiguousarray(as_array(class_weight, dtype))
        if class_weight.shape != shape[-1:]:
            raise ValueError(
                f"{where}: expected one class weight for each of {shape[-1]} classes, got {class_weight.shape}"
            )
    if sample_weight is not None:
        sample_weight = _row_weights(sample_weight, shape[:-1], dtype, where)
    total = _is_total(reduction, shape, where)
    given = _constant(target, "targets", where)
    ignored = None
    options: tuple[Any, ...]
    if soft := given.shape == shape:
        if ignore_index is not None:
            raise ValueError(
                f"{where}: ignore_index needs integer labels, got targets of shape {given.shape}"
            )
        given = as_array(as_tensor(given), dtype)
        options = (class_weight, float(label_smoothing))
    else:
        given = _labels(given, shape, where)
        options = (class_weight, ignore_index, float(label_smoothing))
        if ignore_index is not None:
            ignored = given == ignore_index
    scale = 1.0
    if reduction == "mean":
        scale /= max(math.prod(shape[:-1]) - (0 if ignored is None else np.count_nonzero(ignored)), 1)
    options = (*options, sample_weight, scale)
    loss = SoftmaxCrossEntropy.apply(logits, given, soft=soft, options=options, ignored=ignored, total=total)
    if not soft:
        sum_ = loss.data if total else B.reduce("sum", loss.data.reshape(-1), (0,), False)
        if math.isnan(sum_.item()):  # as the loss of a label that is no class is
            _check_range(given, shape[-1], ignore_index, where)
    return loss


def _constant(x: Any, what: str, where: str) -> np.ndarray:
    if not isinstance(x, Tensor):
        return as_array(x)
    if x._requires_grad:
        raise ValueError(f"{where}: {what} have no gradient here; pass target.detach()")
    return x.data


def _is_total(reduction: str, shape: tuple[int, ...], where: str) -> bool:
    if reduction == "none":
        return False
    if reduction not in ("sum", "mean"):
        raise ValueError(f"{where}: expected reduction 'none', 'sum' or 'mean', got {reduction!r}")
    if 0 in shape:
        raise ValueError(f"{where}: expected at least one sample, got an empty batch")
    return True


def _row_weights(weights: Any, shape: tuple[int, ...], dtype: Any, where: str) -> np.ndarray:
    """One weight for each row, (R,)."""
    array = as_array(_constant(weights, "sample weights", where), dtype)
    try:
        return np.ascontiguousarray(np.broadcast_to(array, shape)).reshape(-1)
    except ValueError:
        raise ValueError(
            f"{where}: expected sample_weight that broadcasts to {shape}, one for each row, got {array.shape}"
        ) from None


def _labels(given: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
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
    return np.ascontiguousarray(given, np.int64)


def _check_range(labels: np.ndarray, classes: int, ignore_index: int | None, where: str) -> None:
    """Raise ValueError if a label is no class."""
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
