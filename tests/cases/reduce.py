"""Cases of stem reduce: sums whose accuracy must not depend on their length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .case import WIDTHS, Array, Bound, Case, Draw, exact, size

Shape = tuple[int, ...]
Axes = tuple[int, ...]

# 10^8 float32 must be summed to 1e-6 of the sum of magnitudes: 8 eps = 9.5e-7, whatever the number of terms.
SUM_ULPS = 8.0


def _values(d: Draw, shape: Shape, data: str) -> Array:
    if data == "positive":
        return d.uniform(0.0, 1.0, *shape)
    if data == "shifted":
        return d.normal(*shape, mean=1000.0)
    return getattr(d, data)(*shape)


def _bound(op: str, axes: Axes, keepdims: bool) -> Bound:
    def over(value: Array, how: Any) -> Any:
        return how(value, axis=axes, keepdims=keepdims)

    def bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
        x = args[1]
        if op in ("max", "min") or not x.size:
            return [0.0]
        if op in ("sum", "mean"):
            return [SUM_ULPS * eps * over(np.abs(x), getattr(np, op))]
        d_mean = SUM_ULPS * eps * over(np.abs(x), np.mean)  # two passes: the mean's error enters squared
        return [2 * SUM_ULPS * eps * outputs[0] + d_mean**2]

    return bound


def reduce(op: str, shape: Shape, axes: Axes, keepdims: bool = False, data: str = "normal") -> Case:
    return Case(
        "reduce", f"{op}-{_name(shape)}-over{''.join(map(str, axes))}{'-keep' * keepdims}-{data}",
        lambda d: [op, _values(d, shape, data), axes, keepdims], _bound(op, axes, keepdims),
        flops=size(*shape), elements=size(*shape),
    )  # fmt: skip


def arg(function: str, shape: Shape, axis: int, data: str = "ties") -> Case:
    return Case(
        function, f"{_name(shape)}-{axis}-{data}", lambda d: [_values(d, shape, data), axis], exact,
        elements=size(*shape),
    )  # fmt: skip


def _name(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


OPS = ("sum", "mean", "max", "min", "var")
SHAPES: tuple[tuple[Shape, Axes], ...] = (
    *(((w,), (0,)) for w in WIDTHS), *(((5, w), (1,)) for w in WIDTHS), *(((5, w), (0,)) for w in WIDTHS),
    *(((w, 4), (0,)) for w in WIDTHS), ((3, 5, 7), (1,)), ((3, 5, 7), (0, 2)), ((3, 5, 7), (0, 1)),
    ((3, 5, 7), (1, 2)), ((3, 5, 7), (0, 1, 2)), ((2, 3, 4, 5), (1, 3)), ((2, 3, 4, 5), (0, 2)),
    ((2, 3, 4, 5, 6), (0, 3)), ((3, 4), ()), ((), ()), ((40, 1), (1,)), ((1, 40), (0,)), ((70001,), (0,)),
    ((300, 211), (0,)), ((211, 300), (1,)), ((7, 5003), (0, 1)), ((0, 3), (1,)), ((3, 1, 4), (1,)),
)  # fmt: skip
EMPTY: tuple[tuple[Shape, Axes], ...] = (((0,), (0,)), ((0, 3), (0,)), ((3, 0), (1,)))

CASES = [
    *(reduce(op, s, axes) for op in OPS for s, axes in SHAPES),
    *(reduce(op, s, axes, True) for op in OPS for s, axes in SHAPES[48:56]),
    *(reduce(op, (300, 501), axes, False, data) for op in ("sum", "mean", "var") for axes in ((0,), (1,),
      (0, 1))
      for data in ("positive", "shifted")),
    *(reduce(op, (9, 67), axes, False, "special") for op in ("max", "min") for axes in ((0,), (1,), (0, 1))),
    *(reduce(op, s, axes) for op in ("sum", "mean", "var") for s, axes in EMPTY),
    *(arg(f, s, axes[0]) for f in ("argmax", "argmin") for s, axes in SHAPES if len(axes) == 1 and s != (0,
      3)),
    *(arg(f, (5, 6, 7), axis) for f in ("argmax", "argmin") for axis in range(3)),
    *(arg(f, (9, 67), axis, data) for f in ("argmax", "argmin") for axis in (0, 1) for data in ("normal",
      "special")),
    *(arg(f, (0, 3), 1) for f in ("argmax", "argmin")),
]  # fmt: skip
