"""Pooling layers over images ``(batch, height, width, channels)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from quernel import ops
from quernel.layers import shapes
from quernel.layers.base import Layer, LayerOptions
from quernel.layers.shapes import Shape
from quernel.ops.checks import pair
from quernel.ops.conv import padding_of
from quernel.tensor import Tensor


class _Pool2D(Layer):
    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: Any = "valid",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.pool_size = pair(pool_size, self.label, "pool_size")
        self.strides = self.pool_size if strides is None else pair(strides, self.label, "strides")
        self.padding = padding_of(padding, self.label)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """``(batch, out height, out width, channels)``."""
        return shapes.window_shape(self.label, input_shape, self.pool_size, self.strides, self.padding)


class MaxPool2D(_Pool2D):
    """The greatest value of each window; padding never wins, NaN always does.

    Parameters
    ----------
    pool_size : one integer or (height, width).
    strides : the same; None: the pool size, so that windows do not overlap.
    padding : as in `Conv2D`.

    Examples
    --------
    >>> import numpy as np
    >>> from quernel import layers
    >>> layers.MaxPool2D(2)(np.arange(16.0).reshape(1, 4, 4, 1)).numpy().ravel()
    array([ 5.,  7., 13., 15.], dtype=float32)
    """

    def call(self, x: Tensor) -> Tensor:
        """``(batch, height, width, C)`` to ``(batch, out height, out width, C)``."""
        return ops.max_pool2d(x, self.pool_size, self.strides, self.padding, where=self.label)


class AvgPool2D(_Pool2D):
    """The mean of each window, of the values inside the image only (arguments as in `MaxPool2D`).

    >>> import numpy as np
    >>> from quernel import layers
    >>> layers.AvgPool2D(2)(np.arange(16.0).reshape(1, 4, 4, 1)).numpy().ravel()
    array([ 2.5,  4.5, 10.5, 12.5], dtype=float32)
    """

    def call(self, x: Tensor) -> Tensor:
        """``(batch, height, width, C)`` to ``(batch, out height, out width, C)``."""
        return ops.avg_pool2d(x, self.pool_size, self.strides, self.padding, where=self.label)


class GlobalAveragePool2D(Layer):
    """The mean over each image: ``(batch, height, width, C)`` becomes ``(batch, C)``.

    keepdims : keep height and width as axes of size 1. Default False.

    >>> import numpy as np
    >>> from quernel import layers
    >>> layers.GlobalAveragePool2D()(np.ones((2, 4, 4, 3))).shape
    (2, 3)
    """

    def __init__(self, keepdims: bool = False, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.keepdims = keepdims

    def call(self, x: Tensor) -> Tensor:
        """``(batch, height, width, C)`` to ``(batch, C)`` or ``(batch, 1, 1, C)``."""
        return ops.global_average_pool2d(x, self.keepdims, where=self.label)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """``(batch, C)`` or ``(batch, 1, 1, C)``."""
        batch, _, _, channels = shapes.as_shape(input_shape)
        return (batch, 1, 1, channels) if self.keepdims else (batch, channels)


# Keras's other names.
MaxPooling2D = MaxPool2D
AveragePooling2D = AvgPool2D
GlobalAveragePooling2D = GlobalAveragePool2D
