"""Reading sequences in both directions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Unpack

from quernel import naming, ops
from quernel.layers.base import Layer, LayerOptions
from quernel.layers.recurrent import LSTM
from quernel.layers.shapes import Shape
from quernel.tensor import Tensor

MERGE_MODES = ("concat", "sum", "mul", "ave", None)


class Bidirectional(Layer):
    """Reads sequences in both directions with two layers of the same kind (Schuster & Paliwal 1997).

    Called like the layer inside; initial_state is ``[h, c]`` of the forward, then of the backward layer.

    Parameters
    ----------
    layer : an `LSTM` that has not been used yet; the backward layer is made like it.
    merge_mode : how the outputs are joined: ``"concat"`` (by columns), ``"sum"``, ``"mul"``, ``"ave"``; None
        gives a list of both.
    backward_layer : another layer for the way back, with the same `return_sequences` and `return_state`.

    Raises
    ------
    ValueError, TypeError : another merge mode; layers that are no LSTMs, in use, or unlike each other.

    Examples
    --------
    >>> import numpy as np
    >>> from quernel import layers
    >>> layers.Bidirectional(layers.LSTM(4, return_sequences=True))(np.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        backward_layer: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if merge_mode not in MERGE_MODES:
            raise ValueError(f"{self.label}: expected merge_mode as one of {MERGE_MODES}, got {merge_mode!r}")
        self.merge_mode = merge_mode
        self.forward_layer = self._checked("layer", layer)
        if backward_layer is None:
            self.backward_layer = copy.deepcopy(self.forward_layer)
            self.backward_layer.name = f"backward_{self.forward_layer.name}"
        else:
            self.backward_layer = self._checked("backward_layer", backward_layer)
        for name in ("return_sequences", "return_state"):
            if getattr(self.forward_layer, name) != getattr(self.backward_layer, name):
                raise ValueError(f"{self.label}: expected the same {name} in both layers")

    def _checked(self, argument: str, layer: Any) -> LSTM:
        layer = naming.get_object("layer", layer, {"LSTM": LSTM})
        if not isinstance(layer, LSTM):
            raise TypeError(f"{self.label}: expected {argument} as an LSTM, got {type(layer).__name__}")
        if layer.built or layer.go_backwards:
            state = "has been used" if layer.built else "has go_backwards=True"
            raise ValueError(f"{self.label}: {layer.label} {state}; give a new layer that reads forwards")
        return layer

    def build(self, input_shape: Shape) -> None:
        """Make the weights of both layers."""
        self.forward_layer.build(input_shape)
        self.backward_layer.build(input_shape)

    def call(self, x: Tensor, initial_state: Any = None, *, lengths: Any = None, mask: Any = None) -> Any:
        """The outputs joined; with `return_state` a list of them and of h, c, h, c."""
        if initial_state is not None and (not isinstance(initial_state, Sequence) or len(initial_state) != 4):
            raise ValueError(
                f"{self.label}: expected initial_state [h, c, h, c], of the forward and of the backward layer"
            )
        first = (None, None) if initial_state is None else (initial_state[:2], initial_state[2:])
        ways = [
            layer.run(x, first[way], lengths, mask, bool(way))
            for way, layer in enumerate((self.forward_layer, self.backward_layer))
        ]
        which = 0 if self.forward_layer.return_sequences else 1
        y = self._join(ways[0][which], ways[1][which])
        states = [state for way in ways for state in way[1:]]
        if not self.forward_layer.return_state:
            return y
        return [*y, *states] if isinstance(y, list) else [y, *states]

    def _join(self, forward: Tensor, backward: Tensor) -> Any:
        match self.merge_mode:
            case "concat":
                return ops.concatenate([forward, backward], -1)
            case "sum":
                return ops.add(forward, backward)
            case "mul":
                return ops.multiply(forward, backward)
            case "ave":
                return ops.multiply(ops.add(forward, backward), 0.5)
        return [forward, backward]

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        """As the layer inside; ``"concat"`` doubles the last axis."""
        forward, backward = (
            layer.compute_output_shape(input_shape) for layer in (self.forward_layer, self.backward_layer)
        )
        states = []
        if self.forward_layer.return_state:
            states = [*forward[1:], *backward[1:]]
            forward, backward = forward[0], backward[0]
        if self.merge_mode is None:
            return [forward, backward, *states]
        y = (*forward[:-1], forward[-1] + backward[-1]) if self.merge_mode == "concat" else forward
        return [y, *states] if states else y
