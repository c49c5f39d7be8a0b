"""Model: a layer that can be compiled, trained, evaluated, saved and summarised."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from quernel import losses, metrics, optimizers, saving
from quernel.layers.base import Layer
from quernel.layers.shapes import as_shape
from quernel.training import loop
from quernel.training.feed import ArrayFeed, Feed, class_weighting, make_feed
from quernel.training.history import History
from quernel.training.progress import Progress
from quernel.training.summary import summarize

Path = str | os.PathLike[str]

# What the entries of an optimizer are called in a file, beside the weights, which are called by their paths.
OPTIMIZER = "optimizer."


class Model(Layer):
    """A network. Make its layers in ``__init__``, use them in ``call``; train it with `compile` and `fit`.

    It is a layer: it can be called, be part of another model, and be trained by a loop of your own.

    Attributes
    ----------
    history : the `History` of the last `fit`, or None.
    stop_training : set it to True in a callback to end `fit` after the epoch.

    Examples
    --------
    >>> import numpy as np
    >>> import quernel as qn
    >>> from quernel import layers
    >>> class Line(qn.Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.dense = layers.Dense(1, kernel_initializer="zeros")
    ...     def call(self, x):
    ...         return self.dense(x)
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = Line()
    >>> model.compile(qn.optimizers.SGD(0.5), "mean_squared_error")
    >>> history = model.fit(x, 2 * x + 1, epochs=20, verbose=0)
    >>> model.predict(np.array([[3.0]]), verbose=0).round(2)
    array([[7.]], dtype=float32)
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.history: History | None = None
        self.stop_training = False
        self.input_shape: tuple[int | None, ...] | None = None
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: Any = None
        self.compiled_metrics: list[Any] = []
        self._owns_binding = False

    # Weights

    def build(self, input_shape: Any) -> None:
        """Make all weights for inputs of this shape, such as ``(None, 28, 28, 1)``; None is any size.

        A model's layers are built as a row of zeros passes through it.
        """
        self.input_shape = as_shape(input_shape)
        self._build_inside(self.input_shape)

    def _build_inside(self, input_shape: tuple[int | None, ...]) -> None:
        self.compute_output_shape(input_shape)

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        """Apply the model; its layers are built as the first input reaches them. See `Layer.__call__`."""
        if vars(self).get("built", True) or type(self).build is not Model.build:
            return super().__call__(*inputs, **kwargs)
        self._share_dtype()
        self.built = True
        try:
            result = super().__call__(*inputs, **kwargs)
        except BaseException:
            self.built = False
            raise
        if len(inputs) == 1 and not isinstance(inputs[0], tuple | list | dict):
            self.input_shape = (None, *np.shape(inputs[0])[1:])
        return result

    # Training

    def compile(
        self,
        optimizer: str | optimizers.Optimizer = "rmsprop",
        loss: str | Callable[..., Any] | None = None,
        metrics: Any = None,
    ) -> None:
        """Choose how to train.

        Parameters
        ----------
        optimizer : a name ("adam", "sgd" ...) or an `Optimizer`; it gets the model's parameters unless it has
            some.
        loss : a name, an object of `quernel.losses`, or any ``loss(y_true, y_pred)`` that returns a Tensor.
        metrics : a list of names, objects of `quernel.metrics`, or ``metric(y_true, y_pred)``. "accuracy"
            becomes the accuracy that fits the loss. Default None: the loss alone.

        Raises
        ------
        ValueError, TypeError : a name that is not known, or no loss.
        """
        if loss is None:
            raise ValueError("compile needs a loss, for example loss='mean_squared_error'")
        chosen = optimizers.get(optimizer)
        self.loss = losses.get(loss)
        self.compiled_metrics = _metrics(metrics, self.loss)
        self.optimizer, self._owns_binding = chosen, not chosen.param_groups

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train for a number of epochs. Afterwards the model is in inference mode.

        Parameters
        ----------
        x : an array, Tensor or list of shape (count, ...), one row a sample; a tuple or dict of them for
            several inputs; or a `quernel.data.DataLoader` or other iterable of ``(x, y)`` or ``(x, y,
            sample_weight)``.
        y : targets of shape (count, ...), in the form that the loss wants.
        batch_size : samples in a step. Default 32.
        epochs : train until this many epochs are done, beginning with ``initial_epoch`` (default 0). Default
            1.
        verbose : 0 silent, 1 progress bar, 2 a line an epoch, "auto" (default) what suits the output.
        callbacks : a list of `quernel.callbacks.Callback`.
        validation_split : the last part of the data, taken before shuffling, to evaluate on after each epoch.
        validation_data : ``(x, y)`` or ``(x, y, sample_weight)`` or an iterable, instead of validation_split.
        shuffle : a new random order each epoch (`quernel.random.seed` repeats it). Default True.
        class_weight : ``{class: weight}`` for the loss; classes left out weigh 1.
        sample_weight : a weight for each sample's loss, of shape (count,).
        steps_per_epoch, validation_steps : end an epoch or the validation after this many batches.
        validation_batch_size : default as batch_size.
        validation_freq : validate after every so many epochs. Default 1.

        Returns
        -------
        The `History`: loss and metrics of each epoch.

        Raises
        ------
        ValueError, TypeError : the model is not compiled; data that are empty, of different lengths or not
            numbers; NaN or infinity in x, or in the loss; wrong batch size, epochs, labels ...
        """
        self._check_compiled("fit")
        for name, value in (("epochs", epochs), ("initial_epoch", initial_epoch)):
            if not isinstance(value, int | np.integer) or value < 0:
                raise ValueError(f"{name} must be an integer of at least 0, got {value!r}")
        if not isinstance(validation_freq, int) or validation_freq < 1:
            raise ValueError(f"validation_freq must be an integer of at least 1, got {validation_freq!r}")
        feed = make_feed(x, y, sample_weight, batch_size, steps_per_epoch, self.dtype)
        held_out = None
        if validation_data is not None:
            size = batch_size if validation_batch_size is None else validation_batch_size
            held_out = self._validation_feed(validation_data, size, validation_steps)
        elif validation_split:
            if not isinstance(feed, ArrayFeed):
                raise ValueError(
                    "validation_split needs x and y as arrays; pass validation_data with an iterable"
                )
            feed, held_out = feed.split(
                validation_split, steps_per_epoch, validation_batch_size, validation_steps
            )
        self._check_targets(feed, y)
        if isinstance(feed, ArrayFeed):
            feed.check_finite()
        if class_weight is not None:
            feed.class_weight = class_weighting(class_weight, self.dtype)
        validation = None if held_out is None else loop.Validation(held_out, validation_freq)
        return loop.fit(self, feed, validation, epochs, initial_epoch, shuffle, verbose, callbacks)

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on data, in inference mode. Parameters as for `fit`.

        Returns
        -------
        The loss, or a list of the loss and each metric; with return_dict a dict by name.
        """
        self._check_compiled("evaluate")
        feed = make_feed(x, y, sample_weight, batch_size, steps, self.dtype)
        self._check_targets(feed, y)
        with Progress(verbose) as progress:
            progress.begin("Evaluate", feed.samples)
            totals = loop.Totals(self)
            logs = loop.measure(self, feed, totals, progress)
            progress.end(logs, totals.rows)
        if return_dict:
            return logs
        return list(logs.values()) if len(logs) > 1 else logs["loss"]

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
    ) -> Any:
        """The outputs for all rows of x, in inference mode, as a NumPy array (or as many as `call` returns).

        Row i of the result does not depend on the batch size. Parameters as for `fit`.
        """
        feed = make_feed(x, None, None, batch_size, steps, self.dtype)
        with Progress(verbose) as progress:
            progress.begin("Predict", feed.samples)
            result = loop.predict(self, feed, progress)
            progress.end({}, feed.samples)
        return result

    # What the loops need

    @property
    def compiled_optimizer(self) -> optimizers.Optimizer:
        self._check_compiled("training")
        assert self.optimizer is not None
        return self.optimizer

    @property
    def compiled_loss(self) -> Callable[..., Any]:
        self._check_compiled("training")
        return self.loss

    def mode(self, training: bool) -> Any:
        """A context in which the model and all layers inside are in that mode."""
        return self._mode(training)

    def bind_optimizer(self) -> None:
        """Give the optimizer the parameters it has not got, unless it was made with some."""
        optimizer = self.compiled_optimizer
        if self._owns_binding:
            known = {id(p) for group in optimizer.param_groups for p in group["params"]}
            new = [parameter for parameter in self.parameters() if id(parameter) not in known]
            if new:
                optimizer.add_param_group({"params": new})

    def _check_compiled(self, what: str) -> None:
        if self.optimizer is None:
            raise ValueError(
                f"{self.label}: {what} needs a compiled model; first call model.compile(optimizer, loss)"
            )

    def _check_targets(self, feed: Feed, y: Any) -> None:
        if isinstance(feed, ArrayFeed) and y is None:
            raise ValueError(f"{self.label}: y is missing; pass the targets, or x as an iterable of (x, y)")

    def _validation_feed(self, data: Any, batch_size: int | None, steps: int | None) -> Feed:
        if not isinstance(data, tuple | list):
            return make_feed(data, None, None, batch_size, steps, self.dtype)
        if len(data) not in (2, 3):
            raise ValueError(
                f"validation_data must be (x, y) or (x, y, sample_weight), got {len(data)} entries"
            )
        x, y, weight = (*data, None)[:3]
        return make_feed(x, y, weight, batch_size, steps, self.dtype)

    # Files

    def save(self, path: Path) -> None:
        """Write weights and, if the model is compiled, the optimizer's state to a safetensors file,
        crash-safe.

        Raises
        ------
        ValueError : the model has no weights yet.
        OSError : the file cannot be written.
        """
        entries = self.state_dict()
        if self.optimizer is not None and self.optimizer.param_groups:
            entries |= {OPTIMIZER + name: value for name, value in self.optimizer.state_dict().items()}
        saving.save_tensors(path, entries, {"format": "quernel", "model": type(self).__name__})

    def load(self, path: Path) -> None:
        """Read what `save` wrote: the weights and, if the file and the model have one, the optimizer's state.

        Raises
        ------
        ValueError : the file is damaged or does not fit this model, or the model has not been built.
        OSError : the file cannot be read.
        """
        entries = saving.load_tensors(path)
        state = {
            name.removeprefix(OPTIMIZER): entries.pop(name) for name in list(entries) if _is_optimizers(name)
        }
        self._load(path, entries)
        if state and self.optimizer is not None:
            self.bind_optimizer()
            self.optimizer.load_state_dict(state)

    def save_weights(self, path: Path) -> None:
        """Write the weights alone; see `save`."""
        saving.save_tensors(path, self.state_dict(), {"format": "quernel", "model": type(self).__name__})

    def load_weights(self, path: Path) -> None:
        """Read the weights from a file of `save_weights` or `save`; raises as `load`."""
        entries = saving.load_tensors(path)
        self._load(path, {name: value for name, value in entries.items() if not _is_optimizers(name)})

    def _load(self, path: Path, weights: dict[str, np.ndarray]) -> None:
        try:
            self.load_state_dict(weights)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)!r} was not loaded: {error}") from None

    # Description

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print the layers, their output shapes and how many parameters they have."""
        print_fn(summarize(self))


def _is_optimizers(name: str) -> bool:
    return name.startswith(OPTIMIZER)


def _metrics(given: Any, loss: Any) -> list[Any]:
    if given is None:
        return []
    if not isinstance(given, list | tuple):
        raise TypeError(f"metrics must be a list, got {given!r}; write metrics=[{given!r}]")
    found = [metrics.get(entry, loss) for entry in given]
    names = [metric.name for metric in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"metrics: the name {twice.pop()!r} appears twice; give one of them another name=")
    return found
