"""The loops behind `Model.fit`, `evaluate` and `predict`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from quernel import backend as B
from quernel.autograd import no_grad
from quernel.tensor import Tensor, wrap
from quernel.training.callbacks import CallbackList
from quernel.training.feed import Batch, Feed, map_inputs, named_inputs, report_not_finite
from quernel.training.history import History
from quernel.training.progress import Progress

if TYPE_CHECKING:
    from quernel.training.model import Model

Logs = dict[str, float]


class Totals:
    """The mean loss and the metrics of the batches seen so far."""

    def __init__(self, model: Model) -> None:
        self.metrics = model.compiled_metrics
        self.loss = 0.0
        self.rows = 0

    def reset(self) -> None:
        self.loss, self.rows = 0.0, 0
        for metric in self.metrics:
            metric.reset_state()

    def add(self, loss: float, batch: Batch, prediction: Any) -> None:
        self.loss += loss * batch.rows
        self.rows += batch.rows
        if self.metrics:
            with no_grad():
                for metric in self.metrics:
                    metric.update_state(batch.y, prediction)

    def logs(self) -> Logs:
        mean = self.loss / self.rows if self.rows else 0.0
        return {"loss": mean, **{metric.name: float(metric.result()) for metric in self.metrics}}


@dataclass
class Validation:
    """What to evaluate on between epochs, and every how many of them."""

    feed: Feed
    frequency: int = 1


def fit(
    model: Model,
    feed: Feed,
    validation: Validation | None,
    epochs: int,
    initial_epoch: int,
    shuffle: bool,
    verbose: int | str,
    callbacks: Any,
) -> History:
    """Train on the feed for epochs ``initial_epoch`` to ``epochs - 1``; see `Model.fit`."""
    totals = Totals(model)
    names = ["loss", *(metric.name for metric in totals.metrics)]
    if validation:
        names += [f"val_{name}" for name in names]
    params = {"epochs": epochs, "steps": feed.steps, "metrics": names}
    hooks = CallbackList(callbacks, model, params)
    history = History()
    model.history = history
    model.stop_training = False
    logs: Logs = {}
    hooks.call("on_train_begin", {})
    try:
        with Progress(verbose) as progress:
            for epoch in range(initial_epoch, epochs):
                hooks.call("on_epoch_begin", epoch, {})
                progress.begin(f"Epoch {epoch + 1}/{epochs}", feed.samples)
                model.train()
                _train_epoch(model, feed, shuffle, epoch, totals, hooks, progress)
                rows, logs = totals.rows, totals.logs()
                _check_weights(model, epoch)
                if validation and (epoch + 1) % validation.frequency == 0:
                    progress.validate(logs)
                    hooks.call("on_test_begin", {})
                    found = measure(model, validation.feed, totals)
                    hooks.call("on_test_end", found)
                    logs |= {f"val_{name}": value for name, value in found.items()}
                progress.end(logs, rows)
                history.record(epoch, logs)
                hooks.call("on_epoch_end", epoch, logs)
                if model.stop_training:
                    break
        hooks.call("on_train_end", logs)
    finally:
        model.eval()
    return history


def _train_epoch(
    model: Model,
    feed: Feed,
    shuffle: bool,
    epoch: int,
    totals: Totals,
    hooks: CallbackList,
    progress: Progress,
) -> None:
    totals.reset()
    optimizer, loss_of = model.compiled_optimizer, model.compiled_loss
    step = 0
    penalty = _penalty(model) if model.built else None
    for step, batch in enumerate(feed.epoch(shuffle)):
        for hook in hooks.batch_begin:
            hook(step, {})
        prediction = model(map_inputs(wrap, batch.x))
        if step == 0:
            # The first batch of all may have made the weights, and the optimizer must know them.
            model.bind_optimizer()
            penalty = _penalty(model)
        loss = loss_of(batch.y, prediction, batch.weight)
        if penalty is not None:
            loss = loss + penalty()
        value = _number(loss)
        if not math.isfinite(value):
            _explain(model, batch, prediction, value, f"epoch {epoch + 1}, step {step + 1}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.add(value, batch, prediction)
        progress.update(totals.rows, totals.logs)
        if hooks.batch_end:
            logs = totals.logs()
            for hook in hooks.batch_end:
                hook(step, logs)


def measure(model: Model, feed: Feed, totals: Totals, progress: Progress | None = None) -> Logs:
    """Loss and metrics on the feed, in inference mode, which the model leaves as it found it."""
    totals.reset()
    loss_of = model.compiled_loss
    penalty = None
    with no_grad(), model.mode(False):
        for batch in feed.epoch(shuffle=False):
            prediction = model(map_inputs(wrap, batch.x))
            if penalty is None:
                found = _penalty(model)
                penalty = 0.0 if found is None else float(found())
            value = _number(loss_of(batch.y, prediction, batch.weight))
            totals.add(value + penalty, batch, prediction)
            if progress:
                progress.update(totals.rows, totals.logs)
    return totals.logs()


def predict(model: Model, feed: Feed, progress: Progress) -> Any:
    """The model's outputs for all rows, as NumPy arrays in the structure that `call` returns."""
    outputs: list[np.ndarray] = []
    pieces: list[list[np.ndarray]] = []
    structure: Any = None
    done = 0
    with no_grad(), model.mode(False):
        for batch in feed.epoch(shuffle=False):
            structure = model(map_inputs(wrap, batch.x))
            parts = _flat(structure)
            if feed.samples is not None and not outputs:
                # Room for all rows at once: joining pieces in the end would need the memory twice.
                outputs = [np.empty((feed.samples, *part.shape[1:]), part.dtype) for part in parts]
            if outputs:
                for output, part in zip(outputs, parts, strict=True):
                    output[done : done + batch.rows] = part.data
            else:
                pieces.append([part.data for part in parts])
            done += batch.rows
            progress.update(done, dict)
    arrays = outputs or [np.concatenate(column) for column in zip(*pieces, strict=True)]
    return _like(structure, iter(arrays))


def _flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for part in value.values() for tensor in _flat(part)]
    return [tensor for part in value for tensor in _flat(part)]


def _like(structure: Any, arrays: Any) -> Any:
    if isinstance(structure, Tensor):
        return next(arrays)
    if isinstance(structure, dict):
        return {name: _like(part, arrays) for name, part in structure.items()}
    return type(structure)(_like(part, arrays) for part in structure)


def _penalty(model: Model) -> Callable[[], Any] | None:
    """The model's regularization loss, or None if it has none: found out once, not each step."""
    if any(parameter.regularizer is not None for parameter in model.trainable_parameters()):
        return model.regularization_loss
    return None


def _number(loss: Tensor) -> float:
    if loss.size != 1:
        raise ValueError(
            f"a batch's loss must be one number, got shape {loss.shape}; use another reduction than 'none'"
        )
    return loss.item()


def _explain(model: Model, batch: Batch, prediction: Any, value: float, where: str) -> NoReturn:
    """ValueError for a loss that is not finite, blaming x, y, the weights or the training, in this order."""
    for name, array in [*named_inputs(batch.x), ("y", batch.y), ("sample_weight", batch.weight)]:
        if array is not None:
            report_not_finite(array, f"{where}: {name}")
    _check_weights(model, where)
    rate = model.compiled_optimizer.learning_rate
    advice = (
        f"training has probably diverged: try a smaller learning rate (now {rate:g}), clipnorm=1.0 in the "
        "optimizer, inputs scaled to about -1 to 1"
    )
    if all(np.isfinite(part.data).all() for part in _flat(prediction)):
        advice += (
            "; or the model's output, which is finite, does not suit the loss (logits need from_logits=True)"
        )
    raise ValueError(f"the loss became {value} at {where} (the weights are still those before it); {advice}")


def _check_weights(model: Model, where: int | str) -> None:
    """ValueError if a weight is not finite: gradients can be, where the loss is not."""
    for name, parameter in model.named_parameters():
        array = parameter.data
        total = B.reduce("sum", array, tuple(range(array.ndim)))
        if not np.isfinite(total) and not np.isfinite(array).all():
            place = f"epoch {where + 1}" if isinstance(where, int) else where
            raise ValueError(
                f"{place}: the weight {name!r} holds values that are not finite: training has diverged. "
                "Start again with a smaller learning rate, or with clipnorm=1.0 in the optimizer"
            )
