"""Metrics: numbers for people, gathered over batches. Nothing is recorded and nothing differentiated.

``update_state(y_true, y_pred, sample_weight=None)`` adds a batch, ``result()`` gives the value so far, and
``reset_state()`` starts again. Names and definitions are Keras's.

>>> from quernel import metrics
>>> accuracy = metrics.SparseCategoricalAccuracy()
>>> accuracy.update_state([0, 1], [[0.9, 0.1], [0.8, 0.2]])
>>> accuracy.result()
0.5
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quernel import backend as B
from quernel import naming
from quernel.ops.checks import below
from quernel.targets import class_numbers, class_scores, common_shape, sample_weights
from quernel.tensor import as_array


class Metric:
    """The weighted mean of what `values` gives for each sample."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or naming.snake_case(type(self).__name__)
        self.reset_state()

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """A number for each sample: ``(..., n)`` to ``(...)``."""
        raise NotImplementedError(f"{type(self).__name__}: define values(y_true, y_pred)")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        self._add(self.values(as_array(y_true), as_array(y_pred)), sample_weight)

    def _add(self, values: np.ndarray, sample_weight: Any) -> None:
        if sample_weight is None:
            self.total += float(
                np.count_nonzero(values) if values.dtype == bool else values.sum(dtype=np.float64)
            )
            self.count += values.size
            return
        weights = sample_weights(self.name, sample_weight, values.shape, np.float64)
        weights = np.broadcast_to(weights, values.shape)
        self.total += float((values * weights).sum())
        self.count += float(weights.sum())

    def result(self) -> float:
        """The mean so far; 0.0 before the first sample."""
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        """Forget everything."""
        self.total = 0.0
        self.count = 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> float:
        self.update_state(*args, **kwargs)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.result():.6g}>"


class Mean(Metric):
    """The mean of numbers.

    >>> from quernel import metrics
    >>> metrics.Mean()([1.0, 2.0, 6.0])
    3.0
    """

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Add numbers of any shape."""
        self._add(as_array(values), sample_weight)


class MeanSquaredError(Metric):
    """``mean((y_true - y_pred)**2)``."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """``(..., n)`` to ``(...)``."""
        y_true, y_pred = _pair(self.name, y_true, y_pred)
        return np.square(y_true - y_pred, dtype=np.float64).mean(axis=-1)


class MeanAbsoluteError(Metric):
    """``mean(abs(y_true - y_pred))``."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """``(..., n)`` to ``(...)``."""
        y_true, y_pred = _pair(self.name, y_true, y_pred)
        return np.abs(y_true - y_pred, dtype=np.float64).mean(axis=-1)


class BinaryAccuracy(Metric):
    """How often ``y_pred > threshold`` agrees with labels of 0 and 1.

    threshold : 0.5 for probabilities (default), 0 for logits.
    """

    def __init__(self, threshold: float = 0.5, name: str | None = None) -> None:
        super().__init__(name)
        self.threshold = threshold

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """``(..., n)`` to ``(...)``."""
        y_true, y_pred = _pair(self.name, y_true, y_pred)
        return ((y_pred > self.threshold) == y_true).mean(axis=-1)


class CategoricalAccuracy(Metric):
    """How often the greatest prediction is where the one-hot label is greatest."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """``(..., classes)`` to ``(...)``."""
        return _same_class(self.name, y_true, y_pred)


class SparseCategoricalAccuracy(Metric):
    """How often the greatest prediction is at the label; NaN predictions are wrong."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Labels ``(...)`` or ``(..., 1)``, predictions ``(..., classes)`` to ``(...)``."""
        return _right_class(self.name, y_true, y_pred)


class SparseTopKCategoricalAccuracy(Metric):
    """How often the label is among the `k` greatest predictions (with ties: if fewer than k are greater)."""

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        super().__init__(name)
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"{self.name}: expected k as an integer of at least 1, got {k!r}")
        self.k = k

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Labels ``(...)`` or ``(..., 1)``, predictions ``(..., classes)`` to ``(...)``."""
        labels = _labels(self.name, y_true, y_pred)
        at_label = np.take_along_axis(y_pred, labels[..., None].astype(np.int64), axis=-1)
        # Counting what is not smaller leaves NaN, which is neither, outside the first k.
        not_below = (~(y_pred <= at_label)).sum(axis=-1)
        return not_below < self.k


class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """`SparseTopKCategoricalAccuracy` for one-hot labels."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """``(..., classes)`` to ``(...)``."""
        y_true, y_pred = _pair(self.name, y_true, y_pred)
        return super().values(y_true.argmax(axis=-1), y_pred)


class Accuracy(Metric):
    """How often predictions equal labels.

    By the shapes, as Keras resolves ``metrics=["accuracy"]``: class numbers with a score for each class are
    compared as in `SparseCategoricalAccuracy`, one-hot labels as in `CategoricalAccuracy`, one output as in
    `BinaryAccuracy`, and predicted class numbers directly.

    from_logits : scores of one output are logits, so that the threshold is 0 instead of 0.5.
    """

    def __init__(self, name: str | None = None, from_logits: bool = False) -> None:
        super().__init__(name)
        self.from_logits = from_logits

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """``(...)`` to ``(...)``, or as in the metric that fits."""
        if y_pred.dtype.kind in "iub":
            y_true, y_pred = _pair(self.name, y_true, y_pred)
            return (y_true == y_pred).mean(axis=-1)
        if y_pred.ndim < 2 or y_pred.shape[-1] == 1:
            return BinaryAccuracy(0.0 if self.from_logits else 0.5, self.name).values(y_true, y_pred)
        if y_true.shape == y_pred.shape:
            return _same_class(self.name, y_true, y_pred)
        return _right_class(self.name, y_true, y_pred)


class FunctionMetric(Metric):
    """The mean of a function ``(y_true, y_pred) -> values``."""

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(name or getattr(function, "__name__", None))
        self.function = function

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """What the function returns."""
        return as_array(self.function(y_true, y_pred))


_CLASSES = (
    Mean,
    MeanSquaredError,
    MeanAbsoluteError,
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    TopKCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
)
TABLE = {**naming.table_of(*_CLASSES), "acc": Accuracy, "mse": MeanSquaredError, "mae": MeanAbsoluteError}


def get(spec: Any, from_logits: bool = False) -> Metric:
    """The metric meant by a name, a `Metric`, or a function ``(y_true, y_pred) -> values``.

    A name is kept as the metric's name (``"acc"`` is shown as ``acc``). `from_logits` says what the loss
    expects, so that binary accuracies asked for by name use the right threshold.
    """
    metric: Any = naming.get_object("metric", spec, TABLE)
    if not isinstance(metric, Metric):
        return FunctionMetric(metric)
    if isinstance(spec, str):
        metric.name = naming.snake_case(spec)
        if isinstance(metric, Accuracy):
            metric.from_logits = from_logits
        elif isinstance(metric, BinaryAccuracy) and from_logits:
            metric.threshold = 0.0
    return metric


def _pair(where: str, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both with one shape ``(..., n)``."""
    shape = common_shape(where, y_true.shape, y_pred.shape)
    return y_true.reshape(shape), y_pred.reshape(shape)


def _labels(where: str, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Class numbers ``(...)`` for predictions ``(..., classes)``, checked."""
    shape, classes = y_pred.shape[:-1], y_pred.shape[-1]
    labels = class_numbers(where, y_true, y_pred.shape)
    if labels.shape != shape:
        raise ValueError(f"{where}: expected y_true {shape} for y_pred {y_pred.shape}, got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"{where}: expected y_true with integers (class numbers), got {labels.dtype}; convert them with "
            "y.astype('int64')"
        )
    if not below(np.ascontiguousarray(labels, np.int64), classes):
        raise ValueError(
            f"{where}: expected labels from 0 to {classes - 1} for {classes} classes, got labels from "
            f"{labels.min()} to {labels.max()}"
        )
    return labels


def _same_class(where: str, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    y_true, y_pred = _pair(where, y_true, y_pred)
    return y_true.argmax(axis=-1) == _best(y_pred)


def _right_class(where: str, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    class_scores(where, y_pred)
    return _labels(where, y_true, y_pred) == _best(y_pred)


def _best(y_pred: np.ndarray) -> np.ndarray:
    """Where each row is greatest; -1 if it holds a NaN, so that it never counts as right."""
    best = B.argmax(y_pred, y_pred.ndim - 1)
    classes = y_pred.shape[-1]
    chosen = y_pred.reshape(-1).take(best.reshape(-1) + np.arange(0, y_pred.size, classes))
    unclear = np.isnan(chosen).reshape(best.shape)
    return np.where(unclear, -1, best) if unclear.any() else best
