"""Cases of stem random: the bits are the contract, so they are compared in the same real type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .case import WIDTHS, Array, Case, Draw, exact, relative, size

Shape = tuple[int, ...]


def dropout(shape: Shape, rate: float) -> Case:
    """Zeros must be the same; a kept element is multiplied by 1 / (1 - rate) or divided by 1 - rate."""
    return Case(
        "dropout", f"{_name(shape)}-{rate}", lambda d: [d.normal(*shape), rate, d.state()], relative(2),
        same_type=True, flops=size(*shape), elements=2 * size(*shape),
    )  # fmt: skip


def uniform(shape: Shape, low: float = 0.0, high: float = 1.0) -> Case:
    """(low, high) = (0, 1) has no rounding; else two, of numbers no larger than the bounds."""
    floor = 2 * max(abs(low), abs(high))
    return Case(
        "random_uniform", f"{_name(shape)}-{low}-{high}", lambda d: [shape, low, high, d.state(), d.dtype],
        exact if (low, high) == (0.0, 1.0) else relative(0, floor=floor), same_type=True,
        elements=size(*shape),
    )  # fmt: skip


def _normal_bound(std: float, mean: float) -> Any:
    def bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
        """Radius and cosine of a few ulp each; the angle's rounding is absolute."""
        return [eps * (8 * np.abs(y) + 40 * std + 2 * abs(mean)) for y in outputs]

    return bound


def normal(shape: Shape, mean: float = 0.0, std: float = 1.0) -> Case:
    return Case(
        "random_normal", f"{_name(shape)}-{mean}-{std}", lambda d: [shape, mean, std, d.state(), d.dtype],
        _normal_bound(std, mean), same_type=True, elements=size(*shape),
    )  # fmt: skip


def carried(d: Draw) -> list[Any]:
    """An offset whose lower 32 bits overflow inside the array, and a seed of more than 32 bits."""
    return [(4001,), 0.0, 1.0, np.array([2**63 + 12345, 2**32 - 500], np.uint64), d.dtype]


def wrapped(d: Draw) -> list[Any]:
    return [(401,), 0.0, 1.0, np.array([7, 2**64 - 50], np.uint64), d.dtype]


def _name(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


SHAPES = (*((w,) for w in WIDTHS), (), (3, 5, 7), (67, 301), (4, 0), (70001,))

CASES = [
    *(dropout(s, 0.3) for s in SHAPES),
    *(dropout((9, 113), rate) for rate in (0.0, 0.5, 0.9, 0.999, 1.0)),
    *(uniform(s) for s in SHAPES),
    *(uniform((9, 113), low, high) for low, high in ((-1.0, 1.0), (-0.05, 0.05), (3.0, 1000.0), (2.0, 2.0))),
    *(normal(s) for s in SHAPES),
    normal((9, 113), 3.0, 0.1), normal((9, 113), -2.0, 0.0),
    Case("random_uniform", "counter-carries", carried, exact, same_type=True),
    Case("random_uniform", "counter-wraps", wrapped, exact, same_type=True),
]  # fmt: skip
