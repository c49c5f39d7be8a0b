"""Embedding of ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from quernel import ops
from quernel.layers.base import Layer, LayerOptions
from quernel.layers.shapes import Shape, as_shape, positive
from quernel.layers.weights import weight_options
from quernel.tensor import Parameter, Tensor


class Embedding(Layer):
    """A table with a vector for each id: integers ``(...)`` become ``(..., output_dim)``.

    Parameters
    ----------
    input_dim : number of ids, which run from 0 to ``input_dim - 1``.
    output_dim : length of the vectors.
    embeddings_initializer, embeddings_regularizer, embeddings_constraint : see those modules.

    Raises
    ------
    ValueError, IndexError : an id outside the table.
    TypeError : ids that are not whole numbers.

    Examples
    --------
    >>> from quernel import layers
    >>> layers.Embedding(10, 4)([[1, 2, 3]]).shape
    (1, 3, 4)
    """

    keeps_integers = True
    embeddings: Parameter

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.input_dim = positive(self.label, "input_dim", input_dim)
        self.output_dim = positive(self.label, "output_dim", output_dim)
        self.options = weight_options(embeddings_initializer, embeddings_regularizer, embeddings_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make the table, whatever the shape of the ids."""
        self.embeddings = self.add_weight("embeddings", (self.input_dim, self.output_dim), **self.options)

    def call(self, ids: Tensor) -> Tensor:
        """``(...)`` to ``(..., output_dim)``."""
        self.expect(ids, ...)
        if ids.dtype.kind == "f" and bool((ids.data == np.trunc(ids.data)).all()):
            ids = ops.cast(ids, "int64")  # ids that were read as floats
        return ops.embedding(ids, self.embeddings, where=self.label)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """One more axis."""
        return (*as_shape(input_shape), self.output_dim)
