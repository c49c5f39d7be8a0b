"""Layers of several inputs, given as a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from quernel import ops
from quernel.layers.base import Layer, LayerOptions
from quernel.layers.shapes import Shape, as_shape
from quernel.tensor import Tensor


class _Merge(Layer):
    def _several(self, xs: Any) -> list[Tensor]:
        if not isinstance(xs, list) or len(xs) < 2:
            received = f"one input {xs.shape}" if isinstance(xs, Tensor) else repr(xs)
            raise TypeError(f"{self.label}: expected a list of at least two inputs, got {received}")
        return xs


class Add(_Merge):
    """The sum of inputs of the same shape (axes of size 1 broadcast).

    Raises
    ------
    TypeError : not a list of at least two inputs.
    ValueError : shapes that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from quernel import layers
    >>> layers.Add()([np.ones((2, 3)), np.ones((2, 3))]).tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """

    def call(self, xs: list[Tensor]) -> Tensor:
        """Inputs of one shape to that shape."""
        first, *others = self._several(xs)
        for x in others:
            if len(x.shape) != len(first.shape) or any(
                m != n and 1 not in (m, n) for m, n in zip(first.shape, x.shape, strict=True)
            ):
                raise ValueError(f"{self.label}: expected inputs of one shape, got {[x.shape for x in xs]}")
            first = ops.add(first, x)
        return first

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Shape:
        """The shape that the inputs broadcast to."""
        shapes = [as_shape(shape) for shape in input_shape]
        return tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*shapes, strict=True))


class Concatenate(_Merge):
    """The inputs one after another along `axis` (default -1); their other axes are equal.

    >>> import numpy as np
    >>> from quernel import layers
    >>> layers.Concatenate()([np.ones((2, 3)), np.ones((2, 4))]).shape
    (2, 7)
    """

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, xs: list[Tensor]) -> Tensor:
        """Inputs that differ in one axis to their concatenation."""
        shapes = [x.shape for x in self._several(xs)]
        ranks = {len(shape) for shape in shapes}
        rank = ranks.pop()
        if ranks or not -rank <= self.axis < rank:
            raise ValueError(
                f"{self.label}: expected inputs of one rank that have axis {self.axis}, got {shapes}"
            )
        axis = self.axis % rank
        if len({shape[:axis] + shape[axis + 1 :] for shape in shapes}) > 1:
            raise ValueError(f"{self.label}: expected inputs that differ in axis {axis} only, got {shapes}")
        return ops.concatenate(xs, axis)

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Shape:
        """The sum of the sizes along the axis."""
        shapes = [as_shape(shape) for shape in input_shape]
        axis = self.axis % len(shapes[0])
        sizes = [shape[axis] for shape in shapes]
        total = None if None in sizes else sum(n or 0 for n in sizes)
        return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])
