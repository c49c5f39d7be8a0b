"""Code that `fit` calls as it goes, and the callbacks that everybody needs, named as in Keras."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from quernel.training.model import Model

Logs = dict[str, float]


class Callback:
    """Base of callbacks: override what you need, and pass objects in ``fit(callbacks=[...])``.

    ``self.model`` is the model in training; set ``self.model.stop_training = True`` to end after this epoch.
    ``self.params`` has "epochs", "steps" (a epoch; None if not known) and "metrics" (the names in epoch
    logs).

    Examples
    --------
    >>> class Print(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, logs["loss"])
    >>> Print().on_epoch_end(0, {"loss": 0.5})
    0 0.5
    """

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs) -> None:
        """Before the first epoch; logs is empty."""

    def on_train_end(self, logs: Logs) -> None:
        """After the last epoch; logs are the last epoch's."""

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        """Before epoch number ``epoch``, counted from 0; logs is empty."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation; logs has "loss", the metrics, and each as "val_..."."""

    def on_train_batch_begin(self, batch: int, logs: Logs) -> None:
        """Before step number ``batch`` of the epoch, counted from 0; logs is empty."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """After a step; logs has the epoch's running loss and metrics."""

    def on_test_begin(self, logs: Logs) -> None:
        """Before an evaluation or validation; logs is empty."""

    def on_test_end(self, logs: Logs) -> None:
        """After an evaluation or validation; logs has "loss" and the metrics."""


class CallbackList:
    """Calls many callbacks as one; a step calls only those that override its hooks."""

    def __init__(
        self, callbacks: Iterable[Callback] | Callback | None, model: Model, params: dict[str, Any]
    ) -> None:
        if isinstance(callbacks, Callback):
            callbacks = [callbacks]
        self.callbacks = list(callbacks or ())
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                hint = f"; write {callback.__name__}(...)" if isinstance(callback, type) else ""
                raise TypeError(f"callbacks must be Callback objects, got {callback!r}{hint}")
            callback.set_params(params)
            callback.set_model(model)
        self.batch_begin = self._overriding("on_train_batch_begin")
        self.batch_end = self._overriding("on_train_batch_end")

    def _overriding(self, hook: str) -> list[Any]:
        return [
            getattr(callback, hook)
            for callback in self.callbacks
            if getattr(type(callback), hook) is not getattr(Callback, hook)
        ]

    def call(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)


class _Monitor(Callback):
    """What watching one number takes: its name, which way is better, the best so far."""

    def __init__(self, monitor: str, mode: str, min_delta: float, best: float | None) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{type(self).__name__}: mode must be 'auto', 'min' or 'max', got {mode!r}")
        if mode == "auto":
            grows = any(part in monitor for part in ("acc", "auc", "precision", "recall", "f1"))
            mode = "max" if grows else "min"
        self.monitor = monitor
        self.min_delta = abs(min_delta)
        self._sign = 1.0 if mode == "max" else -1.0
        self._worst = -self._sign * math.inf
        self.best = self._worst if best is None else best

    def on_train_begin(self, logs: Logs) -> None:
        if self.monitor not in self.params["metrics"]:
            raise ValueError(
                f"{type(self).__name__} watches {self.monitor!r}, but this training gives "
                f"{', '.join(self.params['metrics'])}; change monitor, or pass validation_split or "
                "validation_data for a 'val_' number"
            )

    def improved(self, value: float) -> bool:
        return self._sign * (value - self.best) > self.min_delta


class EarlyStopping(_Monitor):
    """Stop when a number has not become better for a while.

    Parameters
    ----------
    monitor : the number to watch. Default "val_loss".
    min_delta : how much better it must become to count. Default 0.
    patience : how many epochs without improvement are borne. Default 0.
    verbose : 1 prints why training stopped. Default 0.
    mode : "min", "max", or "auto" (default): "max" for accuracies and their like, else "min".
    baseline : a value the number must beat. Default None.
    restore_best_weights : whether the model gets the weights of its best epoch back in the end. Default
        False.
    start_from_epoch : epochs to wait before watching begins. Default 0.

    Raises
    ------
    ValueError : bad mode or patience; at the start of training, if it does not give the number watched.

    Examples
    --------
    >>> EarlyStopping(monitor="val_accuracy", patience=3, restore_best_weights=True).patience
    3
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, baseline)
        if patience < 0:
            raise ValueError(f"EarlyStopping: patience must be at least 0, got {patience}")
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.stopped_epoch: int | None = None
        self.best_epoch: int | None = None

    def on_train_begin(self, logs: Logs) -> None:
        super().on_train_begin(logs)
        self.best = self._worst if self.baseline is None else self.baseline
        self.wait = 0
        self.stopped_epoch = self.best_epoch = None
        self._weights: dict[str, np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if epoch < self.start_from_epoch:
            return
        value = logs[self.monitor]
        if self.improved(value):
            self.best, self.best_epoch, self.wait = value, epoch, 0
            if self.restore_best_weights:
                self._weights = {name: np.array(array) for name, array in self.model.state_dict().items()}
            return
        self.wait += 1
        if self.wait > self.patience or (self.wait == self.patience and self.patience > 0):
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs) -> None:
        if self.verbose and self.stopped_epoch is not None:
            print(
                f"EarlyStopping: stopped after epoch {self.stopped_epoch + 1}, {self.monitor} was best "
                f"({self.best:.4g}) "
                + ("before" if self.best_epoch is None else f"at epoch {self.best_epoch + 1}")
            )
        if self._weights is not None:
            self.model.load_state_dict(self._weights)


class ModelCheckpoint(_Monitor):
    """Save the model after epochs, each file written crash-safe.

    Parameters
    ----------
    filepath : where to; may contain ``{epoch}`` (from 1) and logs, as in
        ``"model-{epoch:02d}-{val_loss:.3f}.safetensors"``.
    monitor, mode : what "best" means, as for `EarlyStopping`. Default "val_loss", "auto".
    verbose : 1 prints each file written. Default 0.
    save_best_only : whether to save only when the number is the best so far. Default False.
    save_weights_only : `save_weights` instead of `save`. Default False.
    initial_value_threshold : a value to beat before the first save. Default None.

    Raises
    ------
    ValueError : bad mode or a name in filepath that logs lack; at the start of training, if save_best_only
        and training does not give the number watched.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0.0, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only

    def on_train_begin(self, logs: Logs) -> None:
        if self.save_best_only:
            super().on_train_begin(logs)
        self._path(0, dict.fromkeys(self.params["metrics"], 0.0))  # a wrong name now, not after an hour

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.save_best_only:
            if not self.improved(logs[self.monitor]):
                return
            self.best = logs[self.monitor]
        path = self._path(epoch, logs)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"ModelCheckpoint: epoch {epoch + 1} saved to {path!r}")

    def _path(self, epoch: int, logs: Logs) -> str:
        try:
            return self.filepath.format(epoch=epoch + 1, **logs)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} cannot be filled in ({error!r}); "
                f"it may use epoch, {', '.join(logs)}"
            ) from None


class CSVLogger(Callback):
    """Write the numbers of each epoch to a CSV file, readable while training runs.

    Parameters
    ----------
    filename : the file to write.
    separator : between columns. Default ",".
    append : whether to go on after what the file holds, instead of replacing it. Default False.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename = filename
        self.separator = separator
        self.append = append

    def on_train_begin(self, logs: Logs) -> None:
        going_on = self.append and os.path.exists(self.filename) and os.path.getsize(self.filename) > 0
        if not going_on:
            self._row(["epoch", *self.params["metrics"]], "w")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._row([epoch, *(logs.get(name, "") for name in self.params["metrics"])], "a")

    def _row(self, values: list[Any], mode: str) -> None:
        with open(self.filename, mode, newline="") as file:
            csv.writer(file, delimiter=self.separator).writerow(values)
