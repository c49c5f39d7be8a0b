"""Dense, and the layers that only change shapes or single values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import numpy as np

from quernel import activations, ops
from quernel.layers.base import Layer, LayerOptions
from quernel.layers.shapes import Shape, as_shape, elements, known_size, positive
from quernel.layers.weights import weight_options
from quernel.tensor import Parameter, Tensor


class Dense(Layer):
    """``activation(x @ kernel + bias)`` over the last axis: ``(..., in)`` becomes ``(..., units)``.

    Parameters
    ----------
    units : size of the output's last axis.
    activation : name or callable (see `quernel.activations`); None is linear.
    use_bias : add a bias ``(units,)``; the kernel is ``(in, units)``.
    kernel_initializer, bias_initializer : see `quernel.initializers`.
    kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint : see those modules.

    Raises
    ------
    ValueError : units < 1, an unknown name, or an input whose last axis differs from that of the first input.

    Examples
    --------
    >>> from quernel import layers
    >>> layers.Dense(2, kernel_initializer="ones", activation="relu")([[1.0, 2.0], [-3.0, -4.0]]).numpy()
    array([[3., 3.],
           [0., 0.]], dtype=float32)
    """

    kernel: Parameter
    bias: Parameter | None

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.units = positive(self.label, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_options = weight_options(kernel_initializer, kernel_regularizer, kernel_constraint)
        self.bias_options = weight_options(bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for inputs ``(..., in)``."""
        channels = known_size(self.label, input_shape)
        self.kernel = self.add_weight("kernel", (channels, self.units), **self.kernel_options)
        self.bias = self.add_weight("bias", (self.units,), **self.bias_options) if self.use_bias else None

    def call(self, x: Tensor) -> Tensor:
        """``(..., in)`` to ``(..., units)``."""
        kind, alpha, rest = activations.fuse(self.activation)
        y = ops.dense(x, self.kernel, self.bias, kind, alpha, where=self.label)
        return y if rest is None else rest(y)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """The last axis becomes `units`."""
        return (*as_shape(input_shape)[:-1], self.units)


class Activation(Layer):
    """An activation function as a layer.

    >>> from quernel import layers
    >>> layers.Activation("relu")([-1.0, 2.0]).numpy()
    array([0., 2.], dtype=float32)
    """

    def __init__(self, activation: Any, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activation: Callable[[Any], Tensor] = activations.get(activation)

    def call(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.activation(x)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """The input's."""
        return as_shape(input_shape)


class Dropout(Layer):
    """In training sets each value to 0 with probability `rate` and divides the others by ``1 - rate``.

    In inference (`eval`, `predict`) nothing (Srivastava et al. 2014). `quernel.random.seed` repeats masks.

    Raises
    ------
    ValueError : rate is not in [0, 1].

    Examples
    --------
    >>> from quernel import layers
    >>> layers.Dropout(0.5).eval()([1.0, 2.0]).numpy()
    array([1., 2.], dtype=float32)
    """

    def __init__(self, rate: float, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not 0 <= rate <= 1:
            raise ValueError(
                f"{self.label}: expected rate, the share of values set to 0, in [0, 1], got {rate!r}"
            )
        self.rate = float(rate)

    def call(self, x: Tensor) -> Tensor:
        """The same shape."""
        return ops.dropout(x, self.rate, self.training, where=self.label)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """The input's."""
        return as_shape(input_shape)


class Flatten(Layer):
    """``(batch, ...)`` becomes ``(batch, product of the rest)``.

    >>> from quernel import layers
    >>> layers.Flatten().compute_output_shape((None, 4, 4, 3))
    (None, 48)
    """

    def call(self, x: Tensor) -> Tensor:
        """``(batch, ...)`` to ``(batch, features)``; a batch of numbers to ``(batch, 1)``."""
        self.expect(x, "batch", ...)
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """One axis after the batch."""
        shape = as_shape(input_shape)
        return (shape[0], elements(shape[1:]))


class Reshape(Layer):
    """``(batch, ...)`` becomes ``(batch, *target_shape)``; one size may be -1 and follows from the others.

    Raises
    ------
    ValueError : the sizes do not hold as many values as the input.

    Examples
    --------
    >>> from quernel import layers
    >>> layers.Reshape((2, -1)).compute_output_shape((None, 6))
    (None, 2, 3)
    """

    def __init__(self, target_shape: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        sizes = tuple(target_shape) if isinstance(target_shape, Sequence) else (target_shape,)
        if sizes.count(-1) > 1 or any(n != -1 and n < 0 for n in sizes):
            raise ValueError(f"{self.label}: expected sizes of which one may be -1, got target_shape {sizes}")
        self.target_shape = sizes

    def call(self, x: Tensor) -> Tensor:
        """``(batch, ...)`` to ``(batch, *target_shape)``."""
        self.expect(x, "batch", ...)
        return ops.reshape(x, (x.shape[0], *self._target(x.shape[1:])))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """The batch and the target."""
        shape = as_shape(input_shape)
        return (shape[0], *self._target(shape[1:]))

    def _target(self, shape: Shape) -> Shape:
        values, known = elements(shape), math.prod(n for n in self.target_shape if n != -1)
        if values is None:
            return tuple(None if n == -1 else n for n in self.target_shape)
        if (values != known) if -1 not in self.target_shape else (not known or values % known):
            raise ValueError(
                f"{self.label}: an input of {values} values a row, shape {('batch', *shape)}, cannot become "
                f"{('batch', *self.target_shape)}"
            )
        return tuple(values // known if n == -1 else n for n in self.target_shape)


class InputLayer(Layer):
    """States the shape of a model's input and checks it; computes nothing.

    Parameters
    ----------
    shape : sizes without the batch axis; None for any size.
    dtype : an integer type if ids will come; floats are expected otherwise.

    Examples
    --------
    >>> from quernel import layers
    >>> layers.Input((28, 28, 1)).batch_shape
    (None, 28, 28, 1)
    """

    keeps_integers = True

    def __init__(self, shape: Sequence[int | None], dtype: Any = None, name: str | None = None) -> None:
        self.expects_integers = dtype is not None and np.dtype(dtype).kind in "iu"
        super().__init__(name=name, dtype=None if self.expects_integers else dtype)
        self.batch_shape = (None, *as_shape(shape))

    def call(self, x: Tensor) -> Tensor:
        """The input itself."""
        self.expect(x, "batch", *("any" if n is None else n for n in self.batch_shape[1:]))
        if self.expects_integers and x.dtype.kind not in "iu":
            raise TypeError(
                f"{self.label}: expected integers, got {x.dtype}; convert them with astype('int64')"
            )
        return x

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """The input's."""
        return as_shape(input_shape)


Input = InputLayer  # Keras's name
