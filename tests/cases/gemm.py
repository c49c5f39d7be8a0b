"""Cases of stem gemm: M rows, K terms a sum, N columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quernel import reference as R

from .case import WIDTHS, Array, Bound, Case, Draw, gamma, linear, size


def matmul(
    a: tuple[int, ...], b: tuple[int, ...], transpose_a: bool = False, transpose_b: bool = False
) -> Case:
    """Product of arrays of shapes a and b, given as they are stored."""
    rows, terms = (a[-1], a[-2]) if transpose_a else (a[-2], a[-1])
    columns = b[-2] if transpose_b else b[-1]
    batch = np.broadcast_shapes(a[:-2], b[:-2])
    name = f"{'x'.join(map(str, a))}{'T' * transpose_a}-{'x'.join(map(str, b))}{'T' * transpose_b}"
    return Case(
        "matmul", name, lambda d: [d.normal(*a), d.normal(*b), transpose_a, transpose_b],
        linear(R.matmul, terms),
        flops=2 * size(*batch) * rows * terms * columns,
        elements=size(*a) + size(*b) + size(*batch) * rows * columns,
    )  # fmt: skip


def dense_bound(terms: int, alpha: float) -> Bound:
    """The product's error goes through an activation of slope at most max(1, alpha); a few ulp of its own."""

    def bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
        x, kernel, bias = (None if v is None else np.abs(v) for v in args[:3])
        product = gamma(terms + 2, eps) * R.dense_forward(x, kernel, bias)
        return [max(1.0, alpha) * (product + 4 * eps) + 8 * eps * np.abs(outputs[0])]

    return bound


def dense(
    rows: int, inputs: int, outputs: int, activation: str = "linear", bias: bool = True, alpha: float = 0.0
) -> Case:
    def make(d: Draw) -> list[Any]:
        x, kernel = d.normal(rows, inputs), d.normal(inputs, outputs, std=max(inputs, 1) ** -0.5)
        return [x, kernel, d.normal(outputs) if bias else None, activation, alpha]

    return Case(
        "dense_forward", f"{rows}x{inputs}-{outputs}-{activation}{alpha or ''}{'' if bias else '-nobias'}",
        make,
        dense_bound(inputs, alpha), rows=(0,),
        flops=2.0 * rows * inputs * outputs,
        elements=size(rows, inputs) + size(inputs, outputs) + size(rows, outputs),
    )  # fmt: skip


def _transposed(m: int, k: int, n: int) -> list[Case]:
    return [
        matmul((k, m) if ta else (m, k), (n, k) if tb else (k, n), ta, tb)
        for ta in (False, True)
        for tb in (False, True)
    ]


CASES = [
    *(matmul((w, 5), (5, 3)) for w in WIDTHS),
    *(matmul((3, w), (w, 5)) for w in WIDTHS),
    *(matmul((4, 6), (6, w)) for w in WIDTHS),
    *(matmul((w, w), (w, w)) for w in WIDTHS[3:]),
    *_transposed(17, 31, 33),
    *_transposed(1, 65, 7),
    *_transposed(65, 1, 1),
    *_transposed(129, 257, 67),
    matmul((37, 1031), (1031, 41)),
    matmul((1, 2053), (2053, 9)),
    matmul((300, 40), (40, 1)),
    matmul((2, 3), (3, 701)),
    *(matmul((rows, 33), (33, columns)) for rows in (2, 3) for columns in (255, 263, 352)),
    matmul((0, 3), (3, 4)),
    matmul((3, 0), (0, 4)),
    matmul((3, 4), (4, 0)),
    matmul((0, 3, 4), (4, 5)),
    matmul((2, 3, 5, 7), (2, 3, 7, 9)),
    matmul((5, 9, 17), (17, 8)),
    matmul((9, 17), (4, 17, 8)),
    matmul((2, 1, 5, 7), (3, 7, 9)),
    matmul((2, 1, 7, 5), (3, 9, 7), True, True),
    matmul((6, 8, 16), (6, 31, 16), False, True),
    matmul((6, 16, 8), (6, 16, 31), True, False),
    matmul((1, 1, 1, 3, 2), (4, 2, 5)),
    *(dense(9, 33, w, "relu") for w in WIDTHS),
    *(dense(w, 13, 10) for w in WIDTHS),
    *(dense(6, 21, 18, kind, True, alpha) for kind, alpha in (
        ("linear", 0.0), ("relu", 0.0), ("leaky_relu", 0.2), ("leaky_relu", 2.0), ("sigmoid", 0.0),
        ("tanh", 0.0),
        ("elu", 1.0), ("elu", 0.3), ("softplus", 0.0))),
    dense(33, 785, 129, "tanh"),
    dense(4, 600, 337, "relu"),  # a row alone, and three, go by wider tiles
    dense(70, 300, 10, bias=False),
    dense(200, 5003, 6, "relu"),  # long sums, whose cutting must not depend on the rows
    dense(1500, 4200, 3),
    dense(1, 1, 1),
    dense(0, 4, 3, "relu"),
    dense(4, 0, 3, "sigmoid"),
    dense(4, 3, 0),
]  # fmt: skip
