"""LSTM over a sequence and for one step (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

N rows, T steps, C inputs, U units; gates stand side by side in the order i, f, g, o:

    z = x·kernel + h·recurrent_kernel + bias                     (N, 4U)
    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
    c_new = f*c + i*g;  h_new = o*tanh(c_new)
"""

from __future__ import annotations

import numpy as np

__all__ = ["lstm_backward", "lstm_cell_backward", "lstm_cell_forward", "lstm_forward"]

Array = np.ndarray


def _sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))  # at most 1: never overflows
    return np.where(z >= 0, 1, e) / (1 + e)


def _cell_step_backward(dh: Array, dc: Array, c: Array, c_new: Array, gates: Array) -> tuple[Array, Array]:
    """Gradients with respect to z (N, 4U) and to the old c, from those with respect to the new h and c."""
    i, f, g, o = np.split(gates, 4, axis=1)
    tanh_c = np.tanh(c_new)
    dc = dc + dh * o * (1 - tanh_c**2)  # h_new = o*tanh(c_new)
    dz_i = dc * g * i * (1 - i)  # c_new = f*c + i*g
    dz_f = dc * c * f * (1 - f)
    dz_g = dc * i * (1 - g**2)
    dz_o = dh * tanh_c * o * (1 - o)
    return np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1), dc * f


def lstm_cell_forward(
    x: Array, h: Array, c: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None
) -> tuple[Array, Array, Array]:
    """One step: x (N, C), h and c (N, U) -> the new h and c (N, U) and the activated gates (N, 4U)."""
    z = x @ kernel + h @ recurrent_kernel + (0 if bias is None else bias)
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
    i, f, g, o = _sigmoid(z_i), _sigmoid(z_f), np.tanh(z_g), _sigmoid(z_o)
    c_new = f * c + i * g
    return o * np.tanh(c_new), c_new, np.concatenate([i, f, g, o], axis=1)


def lstm_cell_backward(
    dh_new: Array,
    dc_new: Array,
    x: Array,
    h: Array,
    c: Array,
    c_new: Array,
    gates: Array,
    kernel: Array,
    recurrent_kernel: Array,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Gradients (dx, dh, dc, dkernel, drecurrent_kernel, dbias) of one step."""
    dz, dc = _cell_step_backward(dh_new, dc_new, c, c_new, gates)
    return dz @ kernel.T, dz @ recurrent_kernel.T, dc, x.T @ dz, h.T @ dz, dz.sum(axis=0)


def _steps(steps: int, h0: Array, lengths: Array | None, reverse: bool) -> list[tuple[int, int, Array]]:
    """In running order: (t, the step that ran before t, which rows take part in t as (N, 1) booleans)."""
    end = np.full(len(h0), steps) if lengths is None else lengths
    order = range(steps - 1, -1, -1) if reverse else range(steps)
    return [(t, t + 1 if reverse else t - 1, (t < end)[:, None]) for t in order]


def _before(sequence: Array, first: Array, t_before: int, lengths: Array | None) -> Array:
    """The state (N, U) before a step: that of step `t_before`, or `first` in rows where no such step ran."""
    steps = sequence.shape[1]
    if not 0 <= t_before < steps:
        return first
    ran = t_before < (np.full(len(first), steps) if lengths is None else lengths)
    return np.where(ran[:, None], sequence[:, t_before], first)


def lstm_forward(
    x: Array,
    kernel: Array,
    recurrent_kernel: Array,
    bias: Array | None,
    h0: Array,
    c0: Array,
    lengths: Array | None,
    reverse: bool,
) -> tuple[Array, Array, Array, Array, Array]:
    """x (N, T, C) -> (h_seq (N, T, U), h_n, c_n (N, U), gates (N, T, 4U), c_seq (N, T, U)).

    Row n takes part in steps t < lengths[n]; in the others its state is carried unchanged and everything
    stored is 0. With `reverse` the steps run from the last to the first; results stand at their own t.
    """
    rows, steps, _ = x.shape
    h, c = h0.copy(), c0.copy()
    h_seq, c_seq = (np.zeros((rows, steps, h.shape[1]), x.dtype) for _ in range(2))
    gates = np.zeros((rows, steps, 4 * h.shape[1]), x.dtype)
    for t, _, on in _steps(steps, h0, lengths, reverse):
        h_new, c_new, gates_new = lstm_cell_forward(x[:, t], h, c, kernel, recurrent_kernel, bias)
        h, c = np.where(on, h_new, h), np.where(on, c_new, c)
        h_seq[:, t], c_seq[:, t] = np.where(on, h, 0), np.where(on, c, 0)
        gates[:, t] = np.where(on, gates_new, 0)
    return h_seq, h, c, gates, c_seq


def lstm_backward(
    dh_seq: Array,
    dh_n: Array,
    dc_n: Array,
    x: Array,
    kernel: Array,
    recurrent_kernel: Array,
    h0: Array,
    c0: Array,
    h_seq: Array,
    gates: Array,
    c_seq: Array,
    lengths: Array | None,
    reverse: bool,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Gradients (dx, dkernel, drecurrent_kernel, dbias, dh0, dc0) from those of h_seq, h_n and c_n."""
    dx, dkernel, drecurrent = (np.zeros(v.shape, x.dtype) for v in (x, kernel, recurrent_kernel))
    dbias = np.zeros(kernel.shape[1], x.dtype)
    dh, dc = dh_n.copy(), dc_n.copy()
    for t, t_before, on in reversed(_steps(x.shape[1], h0, lengths, reverse)):
        h, c = _before(h_seq, h0, t_before, lengths), _before(c_seq, c0, t_before, lengths)
        dz, dc_step = _cell_step_backward(dh + dh_seq[:, t], dc, c, c_seq[:, t], gates[:, t])
        dz = np.where(on, dz, 0)
        dh, dc = np.where(on, dz @ recurrent_kernel.T, dh), np.where(on, dc_step, dc)
        dx[:, t] = dz @ kernel.T
        dkernel += np.where(on, x[:, t], 0).T @ dz  # whatever stands in the padding, it has no part
        drecurrent += h.T @ dz
        dbias += dz.sum(axis=0)
    return dx, dkernel, drecurrent, dbias, dh, dc
