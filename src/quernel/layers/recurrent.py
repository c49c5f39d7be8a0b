"""Long short-term memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from quernel import ops
from quernel.layers.base import Layer, LayerOptions, probing
from quernel.layers.shapes import Shape, as_shape, known_size, positive
from quernel.layers.weights import weight_options
from quernel.tensor import Parameter, Tensor, as_tensor


class LSTM(Layer):
    """Long short-term memory over sequences (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    With z = x·kernel + h·recurrent_kernel + bias, its four parts side by side in the order i, f, g, o::

        c = sigmoid(z_f) * c + sigmoid(z_i) * tanh(z_g);  h = sigmoid(z_o) * tanh(c)

    Called as ``layer(x, initial_state=None, lengths=None, mask=None)``: x ``(batch, steps, columns)``;
    initial_state ``[h, c]``, ``(batch, units)`` each, zeros by default; where the rows have different lengths
    either these, integers ``(batch,)``, or a boolean mask ``(batch, steps)``, true in the first steps of each
    row. After its last step a row's state is carried unchanged and its output is 0.

    Parameters
    ----------
    units : size of the state.
    activation, recurrent_activation : ``"tanh"`` and ``"sigmoid"``, which are compiled into the step.
    use_bias : add a bias.
    kernel_initializer, recurrent_initializer, bias_initializer : see `quernel.initializers`; the kernel is
        ``(columns, 4 * units)``, the recurrent kernel ``(units, 4 * units)``, the bias ``(4 * units,)``.
    unit_forget_bias : the forget gate's bias starts at 1 (Jozefowicz et al. 2015).
    kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
        bias_constraint : see those modules.
    dropout : share of the input columns set to 0 in training, the same in all steps (Gal & Ghahramani 2016).
    return_sequences : the output is h after every step, ``(batch, steps, units)``, not only the last.
    return_state : return ``[output, h, c]`` with the last states.
    go_backwards : read from the last step to the first; a returned sequence is in that order too.
    stateful : start from the state that the last call ended with, until `reset_state`. No gradient flows back
        into that call.

    Raises
    ------
    ValueError : other activations; sizes, states, lengths or masks that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from quernel import layers
    >>> layers.LSTM(4, return_sequences=True)(np.ones((2, 5, 3)), lengths=[5, 2]).shape
    (2, 5, 4)
    """

    kernel: Parameter
    recurrent_kernel: Parameter
    bias: Parameter | None

    def __init__(
        self,
        units: int,
        activation: str = "tanh",
        recurrent_activation: str = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.units = positive(self.label, "units", units)
        if activation != "tanh" or recurrent_activation != "sigmoid":
            raise ValueError(
                f"{self.label}: the step is compiled with activation='tanh', recurrent_activation='sigmoid', "
                f"got {activation!r} and {recurrent_activation!r}; write another cell as a Layer of your own"
            )
        if not 0 <= dropout < 1:
            raise ValueError(
                f"{self.label}: expected dropout, the share of columns set to 0, in [0, 1), got {dropout!r}"
            )
        self.use_bias, self.unit_forget_bias, self.dropout = use_bias, unit_forget_bias, float(dropout)
        self.kernel_options = weight_options(kernel_initializer, kernel_regularizer, kernel_constraint)
        self.recurrent_options = weight_options(
            recurrent_initializer, recurrent_regularizer, recurrent_constraint
        )
        self.bias_options = weight_options(bias_initializer, bias_regularizer, bias_constraint)
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful = go_backwards, stateful
        self._carried: tuple[Tensor, Tensor] | None = None

    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs ``(batch, steps, columns)``."""
        columns, gates = known_size(self.label, input_shape), 4 * self.units
        self.kernel = self.add_weight("kernel", (columns, gates), **self.kernel_options)
        self.recurrent_kernel = self.add_weight(
            "recurrent_kernel", (self.units, gates), **self.recurrent_options
        )
        options = {**self.bias_options, "initializer": self._first_bias}
        self.bias = self.add_weight("bias", (gates,), **options) if self.use_bias else None

    def _first_bias(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        bias = np.array(self.bias_options["initializer"](shape, dtype))
        if self.unit_forget_bias:
            bias[self.units : 2 * self.units] = 1
        return bias

    def call(self, x: Tensor, initial_state: Any = None, *, lengths: Any = None, mask: Any = None) -> Any:
        """``(batch, steps, columns)`` to ``(batch, units)`` or ``(batch, steps, units)``, and the states."""
        h_seq, h, c = self.run(x, initial_state, lengths, mask, self.go_backwards)
        y = h
        if self.return_sequences:
            y = ops.flip(h_seq, 1) if self.go_backwards else h_seq
        return [y, h, c] if self.return_state else y

    def run(
        self, x: Tensor, initial_state: Any, lengths: Any, mask: Any, reverse: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """h after each step, standing at its own step also in reverse, and the last h and c."""
        self.expect(x, "batch", "steps", self.kernel.shape[0])
        if mask is not None:
            if lengths is not None:
                raise ValueError(f"{self.label}: expected lengths or mask, got both")
            lengths = mask_lengths(self.label, mask, *x.shape[:2])
        h, c = self._first_state(initial_state, x.shape[0])
        if self.dropout and self.training:
            kept = ops.dropout(np.ones((x.shape[0], 1, x.shape[2]), x.dtype), self.dropout, True)
            x = ops.multiply(x, kept)
        weights = self.kernel, self.recurrent_kernel, self.bias
        h_seq, h, c = ops.lstm(x, *weights, h, c, lengths, reverse, where=self.label)
        if self.stateful and not probing.get():
            self._carried = (h.detach(), c.detach())
        return h_seq, h, c

    def _first_state(self, state: Any, rows: int) -> tuple[Tensor | None, Tensor | None]:
        hint = "h and c"
        if state is None and not probing.get():
            state, hint = self._carried, "those carried over: call reset_state() before another batch size"
        if state is None:
            return None, None
        if not isinstance(state, Sequence) or len(state) != 2:
            raise ValueError(f"{self.label}: expected initial_state [h, c], got {type(state).__name__}")
        h, c = (as_tensor(part, self.dtype) for part in state)
        if not h.shape == c.shape == (rows, self.units):
            raise ValueError(
                f"{self.label}: expected states of shape ({rows}, {self.units}), "
                f"got {h.shape} and {c.shape} ({hint})"
            )
        return h, c

    def forget(self) -> None:
        """Drop the state carried over."""
        self._carried = None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        """Of the output; with `return_state` a list of it and of the states."""
        rows, steps, _ = as_shape(input_shape)
        y = (rows, steps, self.units) if self.return_sequences else (rows, self.units)
        return [y, (rows, self.units), (rows, self.units)] if self.return_state else y


def mask_lengths(label: str, mask: Any, rows: int, steps: int) -> np.ndarray:
    """The lengths (rows,) that a mask (rows, steps) stands for.

    Raises
    ------
    ValueError : the mask is not boolean, of another shape, or has holes.
    """
    on = np.asarray(mask.data if isinstance(mask, Tensor) else mask)
    if on.dtype != np.bool_ or on.shape != (rows, steps):
        raise ValueError(f"{label}: expected a boolean mask ({rows}, {steps}), got {on.dtype} {on.shape}")
    lengths = np.asarray(np.count_nonzero(on, axis=1), np.int64)
    if not np.array_equal(on, np.arange(steps) < lengths[:, None]):
        raise ValueError(
            f"{label}: expected a mask that is true in the first steps of each row and then false; "
            "move the padding behind the sequences"
        )
    return lengths
