"""Labels, predictions and weights: how losses and metrics check and shape what users hand them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from quernel.ops.softmax import Softmax
from quernel.tensor import Tensor, as_array, as_tensor, get_default_dtype

# Rows whose values are in [0, 1] and sum to 1 within this are taken for probabilities.
ROW_SUM_TOLERANCE = 1e-4
# How far outside [0, 1] rounding may carry a probability.
RANGE_TOLERANCE = 1e-3


def floats(x: Any) -> Tensor:
    """`x` as a Tensor of floats."""
    x = as_tensor(x)
    return x if x.dtype.kind == "f" else as_tensor(x, get_default_dtype())


def class_scores(where: str, y_pred: Any) -> Tensor:
    """Predictions ``(..., classes)`` as a float Tensor.

    Raises
    ------
    ValueError : fewer than two axes or classes.
    """
    y_pred = floats(y_pred)
    if y_pred.ndim < 2 or y_pred.shape[-1] < 2:
        raise ValueError(
            f"{where}: expected y_pred (batch, classes) with at least two classes, got {y_pred.shape}; "
            "for one output a sample use binary_crossentropy"
        )
    return y_pred


def common_shape(where: str, y_true: tuple[int, ...], y_pred: tuple[int, ...]) -> tuple[int, ...]:
    """The shape ``(..., n)`` that labels and predictions both have; (n,) and (n, 1) are taken for the same.

    Raises
    ------
    ValueError : they differ otherwise (broadcasting them would compare every sample with every other).
    """
    shape = y_pred if len(y_pred) > 1 else (*y_pred, 1) if y_pred else (1, 1)
    if y_true in (shape, y_pred) or (*y_true, 1) == shape:
        return shape
    raise ValueError(f"{where}: expected y_true of y_pred's shape {y_pred}, got {y_true}")


def class_numbers(where: str, y_true: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Labels ``(...)`` or ``(..., 1)`` as ``(...)``, for predictions of the shape ``(..., classes)``.

    Raises
    ------
    ValueError : one-hot labels.
    """
    labels = as_array(y_true)
    if labels.shape == shape:
        raise ValueError(
            f"{where}: expected y_true with one class number a sample, {shape[:-1]}, got {labels.shape} like "
            "y_pred; one-hot or soft labels belong to categorical_crossentropy and categorical_accuracy"
        )
    return labels.reshape(shape[:-1]) if labels.shape == (*shape[:-1], 1) else labels


def check_logits(where: str, y_pred: Tensor) -> None:
    """Tell the mistake of a softmax before a loss that makes its own.

    Raises
    ------
    ValueError : y_pred was made by a softmax.

    Warns
    -----
    UserWarning : there are several rows, and each has values >= 0 that sum to 1.
    """
    fix = "use from_logits=False, or drop the softmax (faster and more exact)"
    if isinstance(y_pred._node, Softmax) and not y_pred._node.log:
        raise ValueError(f"{where}: from_logits=True, but y_pred comes from a softmax; {fix}")
    data = y_pred.data
    ends = (data.item(0), data.item(-1)) if data.size else (-1,)
    if min(ends) < 0 or max(ends) > 1 + ROW_SUM_TOLERANCE:  # of most logits one number tells
        return
    rows = data.reshape(-1, data.shape[-1])
    if len(rows) < 2:
        return
    for part in (rows[:1], rows):  # the first row of true logits ends it
        if not (part.min() >= 0 and np.abs(part.sum(axis=-1) - 1).max() < ROW_SUM_TOLERANCE):
            return
    seen = "every row of y_pred is >= 0 and sums to 1, as probabilities do"
    warnings.warn(f"{where}: from_logits=True, but {seen}; {fix}", stacklevel=5)


def check_probabilities(where: str, name: str, values: Tensor, hint: str) -> None:
    """Raise ValueError, with the hint what to do, unless all values are in [0, 1] (NaN passes)."""
    data = values.data
    if data.size and (data.min() < -RANGE_TOLERANCE or data.max() > 1 + RANGE_TOLERANCE):
        limits = f"{data.min():.6g} to {data.max():.6g}"
        raise ValueError(f"{where}: expected {name} in [0, 1], got values from {limits}; {hint}")


def check_smoothing(where: str, label_smoothing: float) -> None:
    """Raise ValueError unless it is in [0, 1]."""
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{where}: expected label_smoothing in [0, 1], got {label_smoothing!r}")


def class_weights(where: str, weights: Any, classes: int) -> np.ndarray:
    """One float64 weight a class, from a sequence or a dict (classes it does not have weigh 1).

    Raises
    ------
    ValueError : an unknown class, another number of weights, or a weight that is negative or not finite.
    """
    if isinstance(weights, Mapping):
        if wrong := [key for key in weights if key not in range(classes)]:
            raise ValueError(
                f"{where}: expected class_weight for classes 0 to {classes - 1}, got class {wrong[0]!r}"
            )
        weights = [weights.get(number, 1.0) for number in range(classes)]
    array = np.asarray(as_array(weights), np.float64)
    if array.shape != (classes,) or not (np.isfinite(array) & (array >= 0)).all():
        received = f"values from {array.min()}" if array.shape == (classes,) else f"shape {array.shape}"
        raise ValueError(f"{where}: expected class_weight as {classes} numbers >= 0, got {received}")
    return array


def sample_weights(where: str, weights: Any, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Weights that broadcast to losses of this shape: ``(n,)`` or ``(n, 1)`` also for ``(n, ...)``.

    Raises
    ------
    ValueError : any other shape.
    """
    array = as_array(weights, dtype)
    if array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.shape != shape[: array.ndim]:
        raise ValueError(
            f"{where}: expected sample_weight of shape {shape} or {shape[:1]}, one a sample, "
            f"got {array.shape}"
        )
    return array.reshape(array.shape + (1,) * (len(shape) - array.ndim))
