"""Softmax, log-softmax and softmax cross-entropy of rows: arrays are (R, C), the classes on the last axis.

Every row is shifted by its largest logit before exp, so that logits of any size are safe, and a logit of -inf
is a class of probability 0. A row whose logits are all -inf, or that holds +inf or NaN, gives NaN.

The cross-entropy of row r is ``v_r * sum_c q_rc * (lse_r - x_rc)`` with ``q_rc = w_c * t_rc``: v the row
weights times a scale, w the class weights, t the target distribution, smoothed as ``(1 - s) * t + s / C``
(Szegedy et al. 2016, "Rethinking the Inception Architecture"), lse the log-sum-exp of the row. Terms whose q is
0 count nothing, even where x is -inf. The gradient is made along with it: what a row counts for is known then,
and exp need not be taken again.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "log_softmax_backward",
    "log_softmax_forward",
    "softmax_backward",
    "softmax_forward",
    "softmax_xent_forward",
    "softmax_xent_gradient",
    "softmax_xent_soft_forward",
    "softmax_xent_soft_gradient",
]

# A row of infinities or NaN is the caller's business: NaN comes out, without a warning.
_quiet = np.errstate(invalid="ignore", divide="ignore")


def _shifted(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x minus the largest of its row, (R, C), and log sum exp of that, (R, 1)."""
    shifted = x - x.max(axis=1, keepdims=True, initial=-np.inf)
    return shifted, np.log(np.exp(shifted).sum(axis=1, keepdims=True))


@_quiet
def softmax_forward(x: np.ndarray) -> np.ndarray:
    """exp(x_rc) / sum_c exp(x_rc); x and the result are (R, C)."""
    shifted, _ = _shifted(x)
    e = np.exp(shifted)
    return e / e.sum(axis=1, keepdims=True)


@_quiet
def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = y * (dy - sum_c dy * y), y being the output of `softmax_forward`; all (R, C)."""
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


@_quiet
def log_softmax_forward(x: np.ndarray) -> np.ndarray:
    """x_rc - log sum_c exp(x_rc); x and the result are (R, C)."""
    shifted, log_sum = _shifted(x)
    return shifted - log_sum


@_quiet
def log_softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = dy - exp(y) * sum_c dy, y being the output of `log_softmax_forward`; all (R, C)."""
    return dy - np.exp(y) * dy.sum(axis=1, keepdims=True)


def _smoothed(target: np.ndarray, class_weight: np.ndarray | None, label_smoothing: float) -> np.ndarray:
    """q (R, C): the smoothed target distribution times the class weights."""
    q = (1.0 - label_smoothing) * target + label_smoothing / max(target.shape[1], 1)
    return q if class_weight is None else q * class_weight


def _one_hot(
    target: np.ndarray, ignore_index: int | None, like: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One-hot labels (R, C), which rows count, and which have a label that is no class, both bool (R,)."""
    kept = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    bad = kept & ((target < 0) | (target >= like.shape[1]))
    return (target[:, None] == np.arange(like.shape[1])).astype(like.dtype), kept, bad


@_quiet
def softmax_xent_soft_gradient(
    logits: np.ndarray,
    target: np.ndarray,
    class_weight: np.ndarray | None,
    label_smoothing: float,
    row_weight: np.ndarray | None,
    scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Loss (R,) of logits (R, C) against targets (R, C), not necessarily of sum 1, and the gradient of its sum.

    dlogits (R, C) = v * (p * sum_c q - q), p being the softmax of the logits, v row_weight (R,) times scale.
    """
    q = _smoothed(target, class_weight, label_smoothing).astype(logits.dtype)
    v = (scale * np.ones(len(logits)) if row_weight is None else scale * row_weight).astype(logits.dtype)
    shifted, log_sum = _shifted(logits)
    loss = v * np.where(q == 0, 0, q * (log_sum - shifted)).sum(axis=1)
    return loss, v[:, None] * (softmax_forward(logits) * q.sum(axis=1, keepdims=True) - q)


def softmax_xent_soft_forward(
    logits: np.ndarray,
    target: np.ndarray,
    class_weight: np.ndarray | None,
    label_smoothing: float,
    row_weight: np.ndarray | None,
    scale: float,
) -> np.ndarray:
    """The loss (R,) of `softmax_xent_soft_gradient`, alone."""
    return softmax_xent_soft_gradient(logits, target, class_weight, label_smoothing, row_weight, scale)[0]


def softmax_xent_gradient(
    logits: np.ndarray,
    target: np.ndarray,
    class_weight: np.ndarray | None,
    ignore_index: int | None,
    label_smoothing: float,
    row_weight: np.ndarray | None,
    scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Loss (R,) of logits (R, C) against integer labels (R,), and the gradient (R, C) of its sum.

    The loss of a row labelled ignore_index is 0. Any other label outside 0 ... C-1 gives a loss of NaN, so
    that it is seen. The gradient of both is 0.
    """
    one_hot, kept, bad = _one_hot(target, ignore_index, logits)
    loss, dlogits = softmax_xent_soft_gradient(
        logits, one_hot, class_weight, label_smoothing, row_weight, scale
    )
    loss = np.where(bad, np.nan, np.where(kept, loss, 0)).astype(logits.dtype)
    return loss, np.where((kept & ~bad)[:, None], dlogits, 0).astype(logits.dtype)


def softmax_xent_forward(
    logits: np.ndarray,
    target: np.ndarray,
    class_weight: np.ndarray | None,
    ignore_index: int | None,
    label_smoothing: float,
    row_weight: np.ndarray | None,
    scale: float,
) -> np.ndarray:
    """The loss (R,) of `softmax_xent_gradient`, alone."""
    return softmax_xent_gradient(
        logits, target, class_weight, ignore_index, label_smoothing, row_weight, scale
    )[0]
