"""Losses: functions ``(y_true, y_pred) -> loss of each sample``, and classes that also weight and reduce.

Classes are called as ``loss(y_true, y_pred, sample_weight=None)`` and give one number for ``backward()``.
Names and arguments are Keras's; `y_pred` is a Tensor (or an array), `y_true` anything with its shape.

>>> from quernel import losses
>>> losses.MeanSquaredError()([[1.0, 2.0]], [[1.0, 4.0]]).item()
2.0
>>> loss = losses.SparseCategoricalCrossentropy(from_logits=True)
>>> round(loss([0, 1], [[4.0, 0.0], [4.0, 0.0]]).item(), 4)
2.0181
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quernel import naming, ops
from quernel.targets import (
    check_logits,
    check_probabilities,
    check_smoothing,
    class_numbers,
    class_scores,
    class_weights,
    common_shape,
    floats,
    sample_weights,
)
from quernel.tensor import Tensor, as_array, as_tensor

# The least probability that a logarithm is taken of: float32's smallest normal number, so that the loss stays
# below 87.4. (PyTorch cuts at 100; Keras at 16.1, beyond which a wrong prediction has no gradient.)
LEAST = float(np.finfo(np.float32).tiny)
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none")


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """``mean((y_true - y_pred)**2)`` over the last axis: ``(..., n)`` to ``(...)``."""
    y_true, y_pred = _pair("mean_squared_error", y_true, y_pred)
    return ops.mean(ops.square(ops.subtract(y_pred, y_true)), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """``mean(abs(y_true - y_pred))`` over the last axis: ``(..., n)`` to ``(...)``."""
    y_true, y_pred = _pair("mean_absolute_error", y_true, y_pred)
    return ops.mean(ops.abs(ops.subtract(y_pred, y_true)), axis=-1)


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
) -> Tensor:
    """``-mean(y_true * log(p) + (1 - y_true) * log(1 - p))`` over the last axis: ``(..., n)`` to ``(...)``.

    Parameters
    ----------
    y_true : 0 or 1, or probabilities.
    y_pred : probabilities p, or with `from_logits` their logits (more exact; no sigmoid needed).
    label_smoothing : moves labels this far towards 0.5.
    class_weight : weights of the terms of class 0 and class 1.

    Raises
    ------
    ValueError : shapes that differ, labels or probabilities outside [0, 1].
    """
    where = "binary_crossentropy"
    y_true, y_pred = _pair(where, y_true, y_pred)
    check_probabilities(
        where, "y_true", y_true, "for more than two classes use sparse_categorical_crossentropy"
    )
    check_smoothing(where, label_smoothing)
    if label_smoothing:
        y_true = ops.add(ops.multiply(y_true, 1 - label_smoothing), 0.5 * label_smoothing)
    if from_logits:
        if class_weight is None:  # -log sigmoid(x) = softplus(x) - x
            return ops.mean(ops.subtract(ops.softplus(y_pred), ops.multiply(y_pred, y_true)), axis=-1)
        loss_1, loss_0 = ops.softplus(ops.negative(y_pred)), ops.softplus(y_pred)
    else:
        hint = "logits need from_logits=True, or a sigmoid at the end of the model"
        check_probabilities(where, "y_pred", y_pred, hint)
        loss_1 = ops.negative(ops.log(ops.maximum(y_pred, LEAST)))
        loss_0 = ops.negative(ops.log(ops.maximum(ops.subtract(1.0, y_pred), LEAST)))
    weight_0, weight_1 = (1.0, 1.0) if class_weight is None else class_weights(where, class_weight, 2)
    ones = ops.multiply(ops.multiply(y_true, float(weight_1)), loss_1)
    zeros = ops.multiply(ops.multiply(ops.subtract(1.0, y_true), float(weight_0)), loss_0)
    return ops.mean(ops.add(ones, zeros), axis=-1)


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str = "none",
) -> Tensor:
    """``-sum(y_true * log(p))`` over the last axis: ``(..., classes)`` to ``(...)``.

    Parameters
    ----------
    y_true : the probability of each class: one-hot or soft.
    y_pred : probabilities p, or with `from_logits` their logits (more exact, and no softmax needed).
        Probabilities that do not sum to 1 are scaled to do so, as in Keras.
    label_smoothing : the labels become ``(1 - s) * y_true + s / classes``.
    class_weight : a weight for each class, a sequence or a dict; each term of the sum gets its own.
    sample_weight, reduction : as a `Loss` takes them, in one operation; default: the loss of each sample.

    Raises
    ------
    ValueError : shapes that differ (class numbers belong to `sparse_categorical_crossentropy`), values
        outside [0, 1], softmax outputs given as logits.
    """
    where = "categorical_crossentropy"
    y_pred = class_scores(where, y_pred)
    labels = as_array(y_true)
    if labels.shape != y_pred.shape:
        raise ValueError(
            f"{where}: expected y_true with a probability for each class, of y_pred's shape {y_pred.shape}, "
            f"got {labels.shape}; for class numbers use sparse_categorical_crossentropy"
        )
    check_probabilities(where, "y_true", as_tensor(labels), "labels are probabilities: one-hot or soft")
    return _softmax_cross_entropy(
        where,
        as_tensor(labels, y_pred.dtype),
        y_pred,
        from_logits,
        class_weight,
        sample_weight,
        reduction,
        label_smoothing=label_smoothing,
    )


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    label_smoothing: float = 0.0,
    class_weight: Any = None,
    sample_weight: Any = None,
    reduction: str = "none",
) -> Tensor:
    """``-log(p[y_true])``: labels ``(...)`` and predictions ``(..., classes)`` to ``(...)``.

    Parameters
    ----------
    y_true : integers from 0 to ``classes - 1``, ``(...)`` or ``(..., 1)``.
    y_pred, label_smoothing, class_weight, sample_weight, reduction : as in `categorical_crossentropy`.
    ignore_class : a label whose samples have loss 0 (padding); it may lie outside the range.

    Raises
    ------
    TypeError : labels that are not integers.
    ValueError : labels out of range or of another shape, and as in `categorical_crossentropy`.
    """
    where = "sparse_categorical_crossentropy"
    y_pred = class_scores(where, y_pred)
    labels = class_numbers(where, y_true, y_pred.shape)
    return _softmax_cross_entropy(
        where,
        labels,
        y_pred,
        from_logits,
        class_weight,
        sample_weight,
        reduction,
        label_smoothing=label_smoothing,
        ignore_index=ignore_class,
    )


def _softmax_cross_entropy(
    where: str, labels: Any, y_pred: Tensor, from_logits: bool, class_weight: Any, sample_weight: Any,
    reduction: str, **options: Any,
) -> Tensor:  # fmt: skip
    """`ops.softmax_cross_entropy` of checked labels and predictions; weights are checked here."""
    if class_weight is not None:
        class_weight = class_weights(where, class_weight, y_pred.shape[-1])
    if sample_weight is not None:
        sample_weight = sample_weights(where, sample_weight, y_pred.shape[:-1], y_pred.dtype)
    return ops.softmax_cross_entropy(
        _logits(where, y_pred, from_logits),
        labels,
        class_weight,
        sample_weight=sample_weight,
        reduction="mean" if reduction == "sum_over_batch_size" else reduction,
        where=where,
        **options,
    )


class Loss:
    """Base class: `call` gives the loss of each sample, which is weighted and reduced to one number.

    Parameters
    ----------
    reduction : ``"sum_over_batch_size"`` or ``"mean"`` (the sum over the number of samples, whatever their
        weights, as in Keras), ``"sum"``, or ``"none"``: the loss of each sample.
    name : shown in messages and logs.

    Raises
    ------
    ValueError : an empty batch; a sample_weight that does not fit.
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None) -> None:
        self.reduction = reduction or "none"
        naming.resolve("reduction", self.reduction, dict.fromkeys(REDUCTIONS))
        self.name = name or naming.snake_case(type(self).__name__)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        raise NotImplementedError(f"{type(self).__name__}: define call(y_true, y_pred)")

    def counted(self, y_true: Any, losses: Tensor) -> int:
        """How many samples the mean is over."""
        return losses.size

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        losses = self.call(y_true, y_pred)
        if sample_weight is not None:
            weights = sample_weights(self.name, sample_weight, losses.shape, losses.dtype)
            losses = ops.multiply(losses, weights)
        if self.reduction == "none":
            return losses
        if not losses.size:
            raise ValueError(f"{self.name}: expected at least one sample, got an empty batch")
        if self.reduction == "sum":
            return ops.sum(losses)
        counted = self.counted(y_true, losses)
        return (
            ops.mean(losses) if counted == losses.size else ops.multiply(ops.sum(losses), 1 / max(counted, 1))
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return naming.config_of(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class _SoftmaxLoss(Loss):
    """A loss that one operation makes, weights and reduces."""

    def reduced(self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str) -> Tensor:
        """What calling the loss gives."""
        raise NotImplementedError(
            f"{type(self).__name__}: define reduced(y_true, y_pred, sample_weight, reduction)"
        )

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """``(..., classes)`` to ``(...)``."""
        return self.reduced(y_true, y_pred, None, "none")

    def counted(self, y_true: Any, losses: Tensor) -> int:
        """The samples whose label is not ignored."""
        ignored = getattr(self, "ignore_class", None)
        return losses.size if ignored is None else int((as_array(y_true) != ignored).sum())

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        cls = type(self)
        # Unless a subclass of the user's changes one of them.
        if cls.call is not _SoftmaxLoss.call or cls.counted is not _SoftmaxLoss.counted:
            return super().__call__(y_true, y_pred, sample_weight)
        return self.reduced(y_true, y_pred, sample_weight, self.reduction)


class FunctionLoss(Loss):
    """A function ``(y_true, y_pred) -> losses`` as a `Loss`."""

    def __init__(
        self,
        function: Callable[[Any, Any], Tensor],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name or getattr(function, "__name__", "loss"))
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """What the function returns."""
        return as_tensor(self.function(y_true, y_pred))


class MeanSquaredError(Loss):
    """See `mean_squared_error`."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """``(..., n)`` to ``(...)``."""
        return mean_squared_error(y_true, y_pred)


class MeanAbsoluteError(Loss):
    """See `mean_absolute_error`."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """``(..., n)`` to ``(...)``."""
        return mean_absolute_error(y_true, y_pred)


class BinaryCrossentropy(Loss):
    """See `binary_crossentropy`."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        check_smoothing(self.name, label_smoothing)
        self.from_logits, self.label_smoothing, self.class_weight = from_logits, label_smoothing, class_weight

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """``(..., n)`` to ``(...)``."""
        return binary_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.class_weight)


class CategoricalCrossentropy(_SoftmaxLoss, BinaryCrossentropy):
    """See `categorical_crossentropy`."""

    def reduced(self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str) -> Tensor:
        """``(..., classes)`` to one number, or to ``(...)``."""
        options = (self.from_logits, self.label_smoothing, self.class_weight)
        return categorical_crossentropy(y_true, y_pred, *options, sample_weight, reduction)


class SparseCategoricalCrossentropy(_SoftmaxLoss):
    """See `sparse_categorical_crossentropy`; the mean is over the samples that are not ignored."""

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        check_smoothing(self.name, label_smoothing)
        self.from_logits, self.ignore_class = from_logits, ignore_class
        self.label_smoothing, self.class_weight = label_smoothing, class_weight

    def reduced(self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str) -> Tensor:
        """``(...)`` and ``(..., classes)`` to one number, or to ``(...)``."""
        options = (self.from_logits, self.ignore_class, self.label_smoothing, self.class_weight)
        return sparse_categorical_crossentropy(y_true, y_pred, *options, sample_weight, reduction)


_CLASSES = (
    MeanSquaredError,
    MeanAbsoluteError,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
TABLE = {**naming.table_of(*_CLASSES), "mse": MeanSquaredError, "mae": MeanAbsoluteError}


def get(spec: Any) -> Loss:
    """The loss meant by a name, a `Loss`, or a function ``(y_true, y_pred) -> losses``."""
    loss = naming.get_object("loss", spec, TABLE)
    return loss if isinstance(loss, Loss) else FunctionLoss(loss)


def _pair(where: str, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Both as float Tensors ``(..., n)`` of one shape."""
    y_pred = floats(y_pred)
    y_true = as_tensor(y_true, y_pred.dtype)
    shape = common_shape(where, y_true.shape, y_pred.shape)
    if not shape[-1]:
        raise ValueError(f"{where}: expected at least one value a sample, got y_pred {y_pred.shape}")
    return ops.reshape(y_true, shape), ops.reshape(y_pred, shape)


def _logits(where: str, y_pred: Tensor, from_logits: bool) -> Tensor:
    """What softmax turns into the predicted probabilities."""
    if from_logits:
        check_logits(where, y_pred)
        return y_pred
    hint = "logits need from_logits=True, or a softmax at the end of the model"
    check_probabilities(where, "y_pred", y_pred, hint)
    return ops.log(ops.maximum(y_pred, LEAST))
