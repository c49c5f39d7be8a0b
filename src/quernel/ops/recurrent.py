"""LSTM over a sequence, and one step of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from quernel import backend as B
from quernel.autograd import Node
from quernel.ops.checks import integers, rank, reals
from quernel.tensor import Tensor, wrap

__all__ = ["lstm", "lstm_cell"]


class Lstm(Node):
    """Keeps the gates and states of all steps."""

    __slots__ = ("lengths", "reverse")
    lengths: np.ndarray | None
    reverse: bool

    @staticmethod
    def forward(
        ctx: Lstm,
        x: np.ndarray,
        kernel: np.ndarray,
        recurrent_kernel: np.ndarray,
        bias: np.ndarray | None,
        h0: np.ndarray,
        c0: np.ndarray,
        lengths: np.ndarray | None,
        reverse: bool,
    ) -> tuple[np.ndarray, ...]:
        h_seq, h_n, c_n, gates, c_seq = B.lstm_forward(
            x, kernel, recurrent_kernel, bias, h0, c0, lengths, reverse
        )
        ctx.saved = x, kernel, recurrent_kernel, h0, c0, h_seq, gates, c_seq
        ctx.lengths = lengths
        ctx.reverse = reverse
        return h_seq, h_n, c_n

    @staticmethod
    def backward(ctx: Lstm, dh_seq: np.ndarray, dh_n: np.ndarray, dc_n: np.ndarray) -> tuple[np.ndarray, ...]:
        dx, dkernel, drecurrent_kernel, dbias, dh0, dc0 = B.lstm_backward(
            dh_seq, dh_n, dc_n, *ctx.saved, ctx.lengths, ctx.reverse
        )
        return dx, dkernel, drecurrent_kernel, dbias, dh0, dc0


class LstmCell(Node):
    __slots__ = ()

    @staticmethod
    def forward(
        ctx: LstmCell,
        x: np.ndarray,
        h: np.ndarray,
        c: np.ndarray,
        kernel: np.ndarray,
        recurrent_kernel: np.ndarray,
        bias: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        h_new, c_new, gates = B.lstm_cell_forward(x, h, c, kernel, recurrent_kernel, bias)
        ctx.saved = x, h, c, c_new, gates, kernel, recurrent_kernel
        return h_new, c_new

    @staticmethod
    def backward(ctx: LstmCell, dh_new: np.ndarray, dc_new: np.ndarray) -> tuple[np.ndarray, ...]:
        return B.lstm_cell_backward(dh_new, dc_new, *ctx.saved)


def _check_weights(
    channels: int, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor | None, where: str
) -> int:
    """Raise unless the weights fit together and the input; the number of units."""
    shape = recurrent_kernel.data.shape
    if len(shape) != 2 or shape[1] != 4 * shape[0]:
        raise ValueError(f"{where}: expected a recurrent kernel (units, 4 units), got {shape}")
    units = shape[0]
    if kernel.data.ndim != 2 or kernel.data.shape[1] != 4 * units:
        raise ValueError(
            f"{where}: expected a kernel (features, {4 * units}) for {units} units, got {kernel.shape}"
        )
    if kernel.data.shape[0] != channels:
        raise ValueError(
            f"{where}: expected input with {kernel.shape[0]} features in its last axis, got {channels}"
        )
    if bias is not None and bias.data.shape != (4 * units,):
        raise ValueError(f"{where}: expected a bias of shape ({4 * units},), got {bias.shape}")
    return units


def _check_state(state: Tensor | None, shape: tuple[int, int], dtype: Any, name: str, where: str) -> Tensor:
    if state is None:
        return wrap(np.zeros(shape, dtype))
    if state.data.shape != shape:
        raise ValueError(f"{where}: expected {name} of shape (batch, units) = {shape}, got {state.shape}")
    return state


def lstm(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any = None,
    h0: Any = None,
    c0: Any = None,
    lengths: Any = None,
    reverse: bool = False,
    where: str = "lstm",
) -> tuple[Tensor, Tensor, Tensor]:
    """Long short-term memory over a whole sequence.

    Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000. Gates stand in the order i, f, g, o.

    Parameters
    ----------
    x : (N, T, C).  kernel : (C, 4U).  recurrent_kernel : (U, 4U).  bias : (4U,) or None.
    h0, c0 : state before the first step (N, U); zeros by default.
    lengths : integers (N,) from 0 to T; row n stops after lengths[n] steps: its later outputs are 0 and its
        state is that of its last step. Default: all rows run T steps.
    reverse : run from the last step to the first; outputs stand at their own steps. Default False.
    where : the caller's name in messages.

    Returns
    -------
    h_seq : (N, T, U), the outputs.  h_n, c_n : (N, U), the last state.

    Raises
    ------
    ValueError, TypeError : if shapes or lengths do not fit.
    """
    x, kernel, recurrent_kernel, bias, h0, c0 = reals(where, x, kernel, recurrent_kernel, bias, h0, c0)
    rank(x, 3, where, "(batch, time, features)")
    rows, steps, channels = x.data.shape
    units = _check_weights(channels, kernel, recurrent_kernel, bias, where)
    if not steps:
        raise ValueError(f"{where}: expected sequences of at least one step, got shape {x.shape}")
    h0 = _check_state(h0, (rows, units), x.dtype, "h0", where)
    c0 = _check_state(c0, (rows, units), x.dtype, "c0", where)
    if lengths is not None:
        lengths = integers(lengths, where, "lengths")
        if lengths.shape != (rows,):
            raise ValueError(
                f"{where}: expected one length for each of {rows} rows, got shape {lengths.shape}"
            )
        if rows and not (lengths.min() >= 0 and lengths.max() <= steps):
            raise ValueError(
                f"{where}: expected lengths from 0 to {steps}, got {lengths.min()} to {lengths.max()}"
            )
    return Lstm.apply(x, kernel, recurrent_kernel, bias, h0, c0, lengths=lengths, reverse=bool(reverse))


def lstm_cell(
    x: Any, h: Any, c: Any, kernel: Any, recurrent_kernel: Any, bias: Any = None, where: str = "lstm_cell"
) -> tuple[Tensor, Tensor]:
    """One step of `lstm`: x (N, C), h and c (N, U) to the new h and c (N, U).

    Raises
    ------
    ValueError : if shapes do not fit.
    """
    x, h, c, kernel, recurrent_kernel, bias = reals(where, x, h, c, kernel, recurrent_kernel, bias)
    rank(x, 2, where, "(batch, features)")
    units = _check_weights(x.data.shape[1], kernel, recurrent_kernel, bias, where)
    state = (x.data.shape[0], units)
    _check_state(h, state, x.dtype, "h", where)
    _check_state(c, state, x.dtype, "c", where)
    return LstmCell.apply(x, h, c, kernel, recurrent_kernel, bias)
