"""Convolution layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from quernel import activations, ops
from quernel.layers import shapes
from quernel.layers.base import Layer, LayerOptions
from quernel.layers.shapes import Shape
from quernel.layers.weights import weight_options
from quernel.ops.checks import pair
from quernel.ops.conv import check_algorithm, padding_of
from quernel.tensor import Parameter, Tensor


class Conv2D(Layer):
    """Convolution of images ``(batch, height, width, C)`` to ``(batch, out height, out width, filters)``.

    Parameters
    ----------
    filters : channels that come out.
    kernel_size, strides, dilation_rate : one integer or (height, width).
    padding : ``"valid"`` (none), ``"same"`` (out = ceil(in / stride); an odd zero goes to the end), or
        explicit zeros: one number, (height, width) or ((top, bottom), (left, right)).
    groups : channels and filters are split into this many parts that do not see each other.
    activation : name or callable (see `quernel.activations`); None is linear.
    use_bias : add a bias ``(filters,)``; the kernel is ``(KH, KW, C / groups, filters)``.
    kernel_initializer, bias_initializer : see `quernel.initializers`.
    kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint : see those modules.
    algorithm : see `quernel.conv_algorithm`; None follows the global choice.

    Raises
    ------
    ValueError : sizes that are not positive, channels or filters that `groups` does not divide, an input of
        another rank or number of channels, or smaller than the window.

    Examples
    --------
    >>> import numpy as np
    >>> from quernel import layers
    >>> layer = layers.Conv2D(8, 3, padding="same", activation="relu")
    >>> layer(np.zeros((2, 28, 28, 1))).shape
    (2, 28, 28, 8)
    >>> layer.kernel.shape
    (3, 3, 1, 8)
    """

    kernel: Parameter
    bias: Parameter | None

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Any = "valid",
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        algorithm: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.filters = shapes.positive(self.label, "filters", filters)
        self.kernel_size = pair(kernel_size, self.label, "kernel_size")
        self.strides = pair(strides, self.label, "strides")
        self.padding = padding_of(padding, self.label)
        self.dilation_rate = pair(dilation_rate, self.label, "dilation_rate")
        self.groups = shapes.positive(self.label, "groups", groups)
        if self.filters % self.groups:
            raise ValueError(
                f"{self.label}: {self.filters} filters do not split into {self.groups} equal groups"
            )
        self.activation = activations.get(activation)
        self.algorithm = None if algorithm is None else check_algorithm(algorithm, self.label)
        self.use_bias = use_bias
        self.kernel_options = weight_options(kernel_initializer, kernel_regularizer, kernel_constraint)
        self.bias_options = weight_options(bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for inputs ``(batch, height, width, C)``."""
        self.compute_output_shape(input_shape)  # does the window fit?
        channels = shapes.known_size(self.label, input_shape)
        if channels % self.groups:
            raise ValueError(
                f"{self.label}: {channels} channels do not split into {self.groups} equal groups"
            )
        kernel_shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.add_weight("kernel", kernel_shape, **self.kernel_options)
        self.bias = self.add_weight("bias", (self.filters,), **self.bias_options) if self.use_bias else None

    def call(self, x: Tensor) -> Tensor:
        """``(batch, height, width, C)`` to ``(batch, out height, out width, filters)``."""
        kind, alpha, rest = activations.fuse(self.activation)
        y = ops.conv2d(
            x,
            self.kernel,
            self.bias,
            self.strides,
            self.padding,
            self.dilation_rate,
            self.groups,
            kind,
            alpha,
            self.algorithm,
            where=self.label,
        )
        return y if rest is None else rest(y)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """``(batch, out height, out width, filters)``."""
        shape = shapes.window_shape(
            self.label, input_shape, self.kernel_size, self.strides, self.padding, self.dilation_rate
        )
        return (*shape[:3], self.filters)
