"""Sequential: a model that is a plain stack of layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from quernel.layers.base import Layer
from quernel.layers.core import InputLayer
from quernel.layers.shapes import as_shape
from quernel.layers.state import Tree
from quernel.tensor import Tensor
from quernel.training.model import Model


class Sequential(Model):
    """Layers one after the other, each with one input and one output.

    Parameters
    ----------
    layers : the layers, first to last. Default None: they come by `add`.
    name, dtype : see `Layer`.

    Raises
    ------
    TypeError : for something that is no layer.

    Examples
    --------
    >>> import quernel as qn
    >>> from quernel import layers
    >>> model = qn.Sequential([layers.Dense(8, activation="relu"), layers.Dense(2)])
    >>> model.build((None, 4))
    >>> model.count_params(), len(model), model[0].units
    (58, 2, 8)
    """

    def __init__(self, layers: Iterable[Layer] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.layers: list[Layer] = []
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Put a layer at the end. Its weights are made at once if the first layer is an `Input` that leaves no size
        but the batch's open, else at the next call or `build`."""
        if not isinstance(layer, Layer):
            hint = f"; write {layer.__name__}(...)" if isinstance(layer, type) else ""
            raise TypeError(f"{self.label}: expected a layer, got {layer!r}{hint}")
        self.layers.append(layer)
        self.built = False
        first = self.layers[0]
        if isinstance(first, InputLayer) and None not in first.batch_shape[1:]:
            self.build(first.batch_shape)

    def pop(self) -> Layer:
        """Take the last layer away and return it.

        Raises
        ------
        IndexError : there is none.
        """
        if not self.layers:
            raise IndexError(f"{self.label}: there is no layer to pop")
        return self.layers.pop()

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int | slice) -> Any:
        """One layer, or for a slice a Sequential of the same layers (they are shared, not copied)."""
        return Sequential(self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def members(self) -> Iterator[tuple[str, Tensor | Tree]]:
        """The layers by position: weights are called ``0.kernel``, ``0.bias``, ``2.kernel`` ..."""
        for name, value in super().members():
            yield name.removeprefix("layers."), value

    def _build_inside(self, input_shape: tuple[int | None, ...]) -> None:
        shape: Any = input_shape
        self._share_dtype()
        for layer in self.layers:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, x: Any) -> Any:
        """The layers in turn."""
        for layer in self.layers:
            x = layer(x)
        return x

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        """What the last layer makes of it."""
        shape: Any = as_shape(input_shape)
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return shape
