"""Layer: weights made at the first input, a mode, and one `call`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import EllipsisType
from typing import Any, TypedDict

import numpy as np

from quernel import constraints, initializers, naming, ops, regularizers
from quernel.autograd import no_grad
from quernel.layers.shapes import Shape, as_shape
from quernel.layers.state import Buffer, Tree
from quernel.tensor import Parameter, Tensor, as_tensor, get_default_dtype

# True while zeros run through a model to find a shape: layers that remember anything leave it alone then.
probing: ContextVar[bool] = ContextVar("probing", default=False)


class LayerOptions(TypedDict, total=False):
    """What every layer takes by keyword: see `Layer`."""

    name: str | None
    dtype: Any
    trainable: bool


class Layer(Tree):
    """A piece of a network. A subclass makes its weights in `build` (or ``__init__``) and computes in `call`.

    Layers, Parameters and Buffers given to attributes, also in lists and dicts, belong to the layer.

    Parameters
    ----------
    name : shown in messages and summaries; ``conv2d``, ``conv2d_1`` ... if not given.
    dtype : ``"float32"`` or ``"float64"``; by default the default dtype. A layer that holds others hands
        its dtype down to those that were given none.
    trainable : False freezes the weights (and makes batch normalisation use its running statistics).

    Attributes
    ----------
    training : the mode, True until `eval`. A `call` with an argument ``training`` is given it.
    keeps_integers : True if `call` wants integers (ids) as they are; others get them in the layer's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from quernel import layers, ops
    >>> class Scale(layers.Layer):
    ...     def build(self, input_shape):
    ...         self.scale = self.add_weight("scale", input_shape[-1:], "ones")
    ...     def call(self, x):
    ...         return ops.multiply(x, self.scale)
    >>> layer = Scale()
    >>> layer([[1, 2, 3]]).numpy()
    array([[1., 2., 3.]], dtype=float32)
    >>> [(name, p.shape) for name, p in layer.named_parameters()]
    [('scale', (3,))]
    """

    keeps_integers = False
    _takes_training = False
    _arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __new__(cls, *args: Any, **kwargs: Any) -> Layer:
        layer = super().__new__(cls)
        layer._arguments = (args, kwargs)
        return layer

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _once(vars(cls)["build"])  # type: ignore[method-assign, assignment]
        cls._takes_training = "training" in inspect.signature(cls.call).parameters

    def __init__(
        self, *, name: str | None = None, dtype: Any = None, trainable: bool = True, **unknown: Any
    ) -> None:
        if unknown:
            known = {*inspect.signature(type(self).__init__).parameters, "name", "dtype", "trainable"}
            wrong = next(iter(unknown))
            raise TypeError(
                f"{type(self).__name__}: unknown argument {wrong!r}: "
                + naming.suggest(wrong, known - {"self", "options", "args", "kwargs"})
            )
        self.name = naming.unique_name(naming.snake_case(type(self).__name__)) if name is None else str(name)
        self.dtype = np.dtype(get_default_dtype() if dtype is None else dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"{self.label}: expected dtype 'float32' or 'float64', got {self.dtype.name!r}")
        self.built = False
        self.training = True
        self._has_own_dtype = dtype is not None
        self._trainable = bool(trainable)

    # to be written by subclasses

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape (None: any size; a list of shapes for several inputs)."""

    def call(self, *inputs: Any, **kwargs: Any) -> Any:
        """The computation, on Tensors."""
        raise NotImplementedError(f"{self.label}: define call(self, x)")

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        """The shape that comes out for inputs of this shape; the first axis may be None (any batch).

        By default found by running zeros through the layer.
        """
        shape = as_shape(input_shape)
        if None in shape[1:]:
            raise ValueError(f"{self.label}: only the first axis may be None, got {shape}")
        before = probing.set(True)
        try:
            with no_grad(), self._mode(False):
                y = self(np.zeros([1 if n is None else n for n in shape], self.dtype))
        finally:
            probing.reset(before)
        return (shape[0], *y.shape[1:])

    # calling

    def __call__(self, *inputs: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Convert the inputs to Tensors of the layer's dtype, build if need be, and `call`.

        Inputs are Tensors, arrays, lists of numbers; for layers of several inputs, lists or dicts of those.
        """
        if "built" not in self.__dict__:
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__() first")
        if training is not None and training != self.training:
            with self._mode(training):
                return self(*inputs, **kwargs)
        try:
            inputs = tuple([x if isinstance(x, Tensor) else _map(_tensor, x) for x in inputs])
            if not self.built:
                if inputs and inputs[0] is None:
                    raise TypeError(
                        f"{self.label}: expected a tensor as input, got None. "
                        "Does the step before forget to return it?"
                    )
                self._share_dtype()
                self.build(_map(_batch_shape, inputs[0]) if inputs else ())
                self.built = True
            inputs = tuple([self._cast(x) if isinstance(x, Tensor) else _map(self._cast, x) for x in inputs])
            if self._takes_training:
                kwargs["training"] = self.training
            return self.call(*inputs, **kwargs)
        except Exception as error:
            error.add_note(
                f"in {self.label}, called with {', '.join(_shape_text(x) for x in inputs) or 'nothing'}"
            )
            raise

    def _cast(self, x: Any) -> Any:
        if x is None or x.data.dtype is self.dtype:
            return x
        if x.data.dtype.kind != "f" and (self.keeps_integers or self._is_container):
            return x
        return as_tensor(x, self.dtype)

    @functools.cached_property
    def _is_container(self) -> bool:
        """It has layers inside, and they decide what to do with integers."""
        return any(isinstance(value, Layer) for _, value in self.members())

    def _share_dtype(self) -> None:
        """One dtype for a layer and those inside: its own if it was given one, else what they agree on."""
        inside = [value for _, value in self.walk() if isinstance(value, Layer) and value is not self]
        if self._has_own_dtype:
            for layer in inside:
                if not (layer._has_own_dtype or layer.built):
                    layer.dtype, layer._has_own_dtype = self.dtype, True
        elif len(dtypes := {layer.dtype for layer in inside}) == 1:
            self.dtype = dtypes.pop()

    # weights

    @property
    def label(self) -> str:
        """How the layer is called in messages: ``Conv2D 'conv2d_3'``."""
        return f"{type(self).__name__} {self.name!r}"

    @property
    def awaits_build(self) -> bool:
        """True while weights of its own are still to be made (layers inside are asked by themselves)."""
        return not self.built and type(self).build is not Layer.build

    def members(self) -> Iterator[tuple[str, Tensor | Tree]]:
        """Layers, Parameters and Buffers held directly, by name."""
        return ((name, value) for name, value in super().members() if not name.startswith("_arguments."))

    def add_weight(
        self,
        name: str,
        shape: Sequence[int],
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Any:
        """A new weight of the layer's dtype, to be kept in an attribute.

        Returns a Parameter, or with ``trainable=False`` a Buffer.

        Raises
        ------
        ValueError : a size is not known or not positive, or the initializer gives another shape.
        """
        if not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
            raise ValueError(
                f"{self.label}: weight {name!r} would have shape {tuple(shape)}; "
                "every size must be known and positive"
            )
        shape = tuple(int(n) for n in shape)
        value = np.array(initializers.get(initializer)(shape, self.dtype), self.dtype, order="C")
        if value.shape != shape:
            raise ValueError(
                f"{self.label}: expected shape {shape} from the initializer of {name!r}, got {value.shape}"
            )
        if not trainable:
            return Buffer(value)
        return Parameter(
            value,
            name=f"{self.name}.{name}",
            trainable=self._trainable,
            regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
        )

    def regularization_loss(self) -> Tensor | float:
        """The sum of all regularizers' penalties; 0.0 if there are none."""
        total: Tensor | float = 0.0
        for parameter in self.trainable_parameters():
            if parameter.regularizer is not None:
                penalty = parameter.regularizer(parameter)
                total = ops.add(total, penalty) if isinstance(total, Tensor) else penalty
        return total

    # mode

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it sets it for all layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for _, entry in self.walk():
            if isinstance(entry, Layer):
                entry._trainable = bool(value)
            elif isinstance(entry, Parameter):
                entry.trainable = bool(value)

    def train(self, mode: bool = True) -> Layer:
        """Switch this layer and all inside to training (dropout, batch statistics), or to inference."""
        for _, entry in self.walk():
            if isinstance(entry, Layer):
                entry.training = bool(mode)
        return self

    def eval(self) -> Layer:
        """Switch to inference; the same as ``train(False)``."""
        return self.train(False)

    def reset_state(self) -> None:
        """Stateful layers in here start their next call from zeros."""
        for _, entry in self.walk():
            if isinstance(entry, Layer):
                entry.forget()

    def forget(self) -> None:
        """Drop what this layer alone carries from call to call; for stateful layers to define."""

    @contextmanager
    def _mode(self, training: bool) -> Iterator[None]:
        before = [(entry, entry.training) for _, entry in self.walk() if isinstance(entry, Layer)]
        self.train(training)
        try:
            yield
        finally:
            for layer, mode in before:
                layer.training = mode

    # description

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments that were given, and the name, in a form that JSON can hold."""
        args, kwargs = self._arguments
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        return naming.serialize({"name": self.name, **dict(zip(names, args, strict=False)), **kwargs})

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """A new layer, without its weights, from what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        config = {name: value for name, value in self.get_config().items() if name != "name"}
        return f"<{' '.join([self.label, *(f'{name}={value!r}' for name, value in config.items())])}>"

    def expect(self, x: Any, *axes: str | int | EllipsisType, hint: str = "") -> None:
        """Check the shape of one input against names (any size) and sizes; ``...`` stands for any more axes.

        Raises
        ------
        ValueError, TypeError : naming the layer, what was expected and what came; `hint` says what to do.
        """
        expected = "(" + ", ".join("..." if axis is ... else str(axis) for axis in axes) + ")"
        if not isinstance(x, Tensor):
            raise TypeError(f"{self.label}: expected one input {expected}, got {_shape_text(x)}")
        shape, wanted = x.shape, [axis for axis in axes if axis is not ...]
        if ... in axes and len(shape) >= len(wanted):
            cut = axes.index(...)
            shape = shape[:cut] + shape[len(shape) - (len(wanted) - cut) :]
        sizes = zip(wanted, shape, strict=False)
        if len(shape) != len(wanted) or any(isinstance(axis, int) and axis != n for axis, n in sizes):
            raise ValueError(f"{self.label}: expected input {expected}, got {x.shape}{hint and '; ' + hint}")


def _once(build: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """`build` that runs once, with a checked shape, and says afterwards that the layer is built."""

    @functools.wraps(build)
    def checked(self: Layer, input_shape: Any) -> None:
        if self.built:
            return
        nested = isinstance(input_shape, dict) or (input_shape and isinstance(input_shape[0], list | tuple))
        build(self, input_shape if nested else as_shape(input_shape))
        self.built = True

    return checked


def _map(f: Callable[[Any], Any], x: Any) -> Any:
    """`f` of an input, or of each of a list, tuple or dict of inputs. A list of numbers is one input."""
    if isinstance(x, Tensor):
        return f(x)
    if isinstance(x, dict):
        return {key: _map(f, entry) for key, entry in x.items()}
    if isinstance(x, list | tuple) and x and all(isinstance(entry, Tensor | np.ndarray) for entry in x):
        return [_map(f, entry) for entry in x]
    return f(x)


def _tensor(x: Any) -> Any:
    return x if x is None else as_tensor(x)


def _batch_shape(x: Tensor) -> Shape:
    return (None, *x.shape[1:])


def _shape_text(x: Any) -> str:
    if isinstance(x, Tensor | np.ndarray):
        return str(x.shape)
    if isinstance(x, list | tuple | dict):
        return f"a {type(x).__name__} of {len(x)}"
    return repr(x)
