"""Cases of stem recurrent: N rows, T steps, C inputs, U units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quernel import reference as R

from .case import WIDTHS, Array, Case, Draw, gamma, size


def _bound(args: Sequence[Any], outputs: Sequence[Array], eps: float, terms: float, steps: int) -> list[Any]:
    """An error of one step is a sum of `terms` products and a few gates of slope <= 1; steps add theirs.

    Weights are drawn so that a step does not enlarge what it is given (|recurrent kernel| < 1), so T steps
    cost T times one, and every output of a kind is of the size of the largest.
    """
    return [2 * (steps + 1) * gamma(terms, eps) * (1 + np.abs(y).max(initial=0.0)) for y in outputs]


def _weights(d: Draw, c: int, u: int, bias: bool) -> list[Any]:
    kernel = d.normal(c, 4 * u, std=(c + 1) ** -0.5)
    return [kernel, d.normal(u, 4 * u, std=0.5 * (u + 1) ** -0.5), d.normal(4 * u) if bias else None]


def _lengths(d: Draw, n: int, t: int, lengths: str) -> Array | None:
    """ "all": None. "some": from 0 to T. "none": all 0."""
    if lengths == "all":
        return None
    return d.integers(t + 1, n) if lengths == "some" else np.zeros(n, np.int64)


def _name(n: int, t: int, c: int, u: int, bias: bool, lengths: str, reverse: bool) -> str:
    return f"{n}x{t}x{c}-{u}{'' if bias else '-nobias'}-{lengths}{'-reverse' * reverse}"


def forward(
    n: int, t: int, c: int, u: int, bias: bool = True, lengths: str = "all", reverse: bool = False
) -> Case:
    def make(d: Draw) -> list[Any]:
        weights, state = _weights(d, c, u, bias), [d.normal(n, u), d.normal(n, u)]
        return [d.normal(n, t, c), *weights, *state, _lengths(d, n, t, lengths), reverse]

    return Case(
        "lstm_forward", _name(n, t, c, u, bias, lengths, reverse), make,
        lambda args, outputs, eps: _bound(args, outputs, eps, c + u + 2, t),
        rows=(0, 4, 5, 6), flops=8.0 * n * t * u * (c + u), elements=size(n, t,
        c + 6 * u) + 4.0 * u * (c + u),
    )  # fmt: skip


def backward(
    n: int, t: int, c: int, u: int, bias: bool = True, lengths: str = "all", reverse: bool = False
) -> Case:
    def make(d: Draw) -> list[Any]:
        x, kernel, recurrent_kernel, b, h0, c0, ends, _ = forward(n, t, c, u, bias, lengths).make(d)
        h_seq, _, _, gates, c_seq = R.lstm_forward(x, kernel, recurrent_kernel, b, h0, c0, ends, reverse)
        gradients = [d.normal(n, t, u), d.normal(n, u), d.normal(n, u)]
        return [*gradients, x, kernel, recurrent_kernel, h0, c0, h_seq, gates, c_seq, ends, reverse]

    return Case(
        "lstm_backward", _name(n, t, c, u, bias, lengths, reverse), make,
        lambda args, outputs, eps: _bound(args, outputs, eps, max(4 * u, n * t, c), t),
        flops=16.0 * n * t * u * (c + u), elements=size(n, t, 2 * c + 7 * u) + 8.0 * u * (c + u),
    )  # fmt: skip


def cell_forward(n: int, c: int, u: int, bias: bool = True) -> Case:
    return Case(
        "lstm_cell_forward", f"{n}x{c}-{u}{'' if bias else '-nobias'}",
        lambda d: [d.normal(n, c), d.normal(n, u), d.normal(n, u), *_weights(d, c, u, bias)],
        lambda args, outputs, eps: _bound(args, outputs, eps, c + u + 2, 1),
        rows=(0, 1, 2), flops=8.0 * n * u * (c + u), elements=size(n, c + 8 * u) + 4.0 * u * (c + u),
    )  # fmt: skip


def cell_backward(n: int, c: int, u: int) -> Case:
    def make(d: Draw) -> list[Any]:
        x, h, old_c, kernel, recurrent_kernel, bias = cell_forward(n, c, u).make(d)
        _, c_new, gates = R.lstm_cell_forward(x, h, old_c, kernel, recurrent_kernel, bias)
        return [d.normal(n, u), d.normal(n, u), x, h, old_c, c_new, gates, kernel, recurrent_kernel]

    return Case(
        "lstm_cell_backward", f"{n}x{c}-{u}", make,
        lambda args, outputs, eps: _bound(args, outputs, eps, max(4 * u, n, c), 1),
        flops=16.0 * n * u * (c + u), elements=size(n, 2 * c + 10 * u) + 8.0 * u * (c + u),
    )  # fmt: skip


SIZES = (
    *((3, 4, 5, w) for w in WIDTHS),
    *((2, 3, w, 4) for w in WIDTHS),
    *((w, 3, 4, 5) for w in WIDTHS),
    (2, 1, 3, 4), (1, 1, 1, 1), (1, 40, 7, 16), (20, 12, 31, 33), (5, 2, 130, 67),
    (0, 3, 4, 5), (3, 0, 4, 5), (3, 4, 0, 5), (3, 4, 5, 0),
)  # fmt: skip
CELLS = tuple(dict.fromkeys((n, c, u) for n, _, c, u in SIZES))
VARIANTS = tuple(
    ((5, 6, 9, 17), bias, lengths, reverse)
    for bias in (True, False)
    for lengths in ("all", "some", "none")
    for reverse in (False, True)
)

CASES = [
    *(make(*s) for make in (forward, backward) for s in SIZES),
    *(make(*s, *rest) for s, *rest in VARIANTS[1:] for make in (forward, backward)),
    forward(33, 7, 8, 8, True, "some", True), backward(33, 7, 8, 8, True, "some", True),
    *(make(*s) for make in (cell_forward, cell_backward) for s in CELLS),
    cell_forward(5, 9, 17, bias=False),
]  # fmt: skip
