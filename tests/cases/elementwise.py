"""Cases of stem elementwise: shapes that broadcast, values over the whole range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .case import WIDTHS, Array, Bound, Case, Draw, exact, relative, size

Shape = tuple[int, ...]

# In units of the last place; 0.5 for what IEEE 754 rounds correctly, 4 for functions made of polynomials.
UNARY = {
    "negative": 0, "abs": 0, "sign": 0, "square": 1, "reciprocal": 1, "sqrt": 1,
    "exp": 4, "log": 4, "log1p": 4, "sin": 4, "cos": 4,
}  # fmt: skip
BINARY = {"add": 1, "subtract": 1, "multiply": 1, "divide": 1, "maximum": 0, "minimum": 0, "power": 4}
COMPARE = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


def _domain(d: Draw, shape: Shape, op: str, data: str) -> Array:
    if data == "special":
        x = d.special(*shape)
        return np.clip(x, -1e4, 1e4).astype(d.dtype) if op in ("sin", "cos") else x
    x = d.normal(*shape, std=5.0)
    if op in ("log", "sqrt"):  # close to 1 too, where log is small
        return np.where(d.rng.random(shape) < 0.3, 1 + x / 1000, np.exp(x)).astype(d.dtype)
    if op == "log1p":
        return np.where(x < 0, np.expm1(x / 3), x / 1000).astype(d.dtype)
    return x


def _unary_bound(op: str) -> Bound:
    """sin and cos are small where they cross 0; there the argument's reduction costs an absolute eps."""
    return relative(UNARY[op], floor=4.0 if op in ("sin", "cos") else 0.0) if UNARY[op] else exact


def unary(op: str, shape: Shape, data: str = "normal") -> Case:
    return Case(
        "unary", f"{op}-{_name(shape)}-{data}", lambda d: [op, _domain(d, shape, op, data)], _unary_bound(op),
        flops=size(*shape), elements=2 * size(*shape),
    )  # fmt: skip


def _power_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    """a^b = exp(b·log a): the rounding of b·log a is enlarged by its size."""
    _, a, b = args
    with np.errstate(all="ignore"):
        exponent = np.nan_to_num(np.abs(b * np.log(np.abs(a))), posinf=0.0)
    return [eps * np.abs(outputs[0]) * (4 + exponent)]


def binary(op: str, a: Shape, b: Shape, data: str = "normal") -> Case:
    def make(d: Draw) -> list[Any]:
        if data == "special":
            return [op, d.special(*a), d.special(*b)]
        if data == "ends":  # whose powers are the same in both real types
            values = np.array([0, 0.5, 1, 1.5, 2, 3, np.inf, np.nan], d.dtype)
            return [
                op,
                *(d.rng.choice(values, s) * d.rng.choice(np.array([-1, 1], d.dtype), s) for s in (a, b)),
            ]
        if op == "power":
            return [op, d.uniform(0.05, 9.0, *a), d.normal(*b, std=3.0)]
        return [op, d.normal(*a), d.normal(*b)]

    bound = _power_bound if op == "power" else relative(BINARY[op]) if BINARY[op] else exact
    return Case(
        "binary", f"{op}-{_name(a)}-{_name(b)}-{data}", make, bound,
        flops=size(*np.broadcast_shapes(a, b)), elements=size(*np.broadcast_shapes(a,
        b)) + size(*a) + size(*b),
    )  # fmt: skip


def integer_power(base: str, exponent: float) -> Case:
    """Powers that people write: squares and cubes of negative numbers, square roots, 0 to the 0."""

    def make(d: Draw) -> list[Any]:
        x = d.ties(5, 9) if base == "small" else d.normal(5, 9)
        return ["power", x if base != "positive" else np.abs(x), np.array(exponent, d.dtype)]

    return Case("binary", f"power-{base}-{exponent}", make, relative(4))


def compare(op: str, a: Shape, b: Shape, data: str = "ties") -> Case:
    return Case(
        "compare", f"{op}-{_name(a)}-{_name(b)}-{data}",
        lambda d: [op, getattr(d, data)(*a), getattr(d, data)(*b)], exact,
        elements=2 * size(*np.broadcast_shapes(a, b)),
    )  # fmt: skip


def where(condition: Shape, a: Shape, b: Shape) -> Case:
    return Case(
        "where", f"{_name(condition)}-{_name(a)}-{_name(b)}",
        lambda d: [d.rng.random(condition) < 0.5, d.special(*a), d.special(*b)], exact,
        elements=3 * size(*np.broadcast_shapes(condition, a, b)),
    )  # fmt: skip


def clip(shape: Shape, low: float | None, high: float | None, data: str = "normal") -> Case:
    return Case(
        "clip", f"{_name(shape)}-{low}-{high}-{data}", lambda d: [getattr(d, data)(*shape), low, high], exact,
        elements=2 * size(*shape),
    )  # fmt: skip


def accumulate(shape: Shape) -> Case:
    return Case(
        "accumulate", _name(shape), lambda d: [d.normal(*shape), d.normal(*shape)], relative(1),
        in_place=(0,),
        flops=size(*shape), elements=3 * size(*shape),
    )  # fmt: skip


def scale(shape: Shape, x: Shape) -> Case:
    return Case(
        "scale", f"{_name(shape)}-{_name(x)}", lambda d: [d.normal(*shape), d.normal(*x)], relative(1),
        in_place=(0,),
        flops=size(*shape), elements=2 * size(*shape) + size(*x),
    )  # fmt: skip


def _name(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


SHAPES = (*((w,) for w in WIDTHS), (), (3, 5, 7), (67, 301), (2, 0, 3))
PAIRS: tuple[tuple[Shape, Shape], ...] = (
    *(((w,), (w,)) for w in WIDTHS), *(((4, w), (w,)) for w in WIDTHS), *(((4, w), (4, 1)) for w in WIDTHS),
    *(((w,), ()) for w in WIDTHS[::3]), ((), (5,)), ((), ()), ((1,), (1, 1)), ((3, 1, 5), (4, 1)),
    ((7, 1), (1, 9)),
    ((2, 3, 4, 5), (3, 1, 5)), ((2, 1, 4, 1), (1, 3, 1, 17)), ((1, 1, 9), (4, 5, 9)), ((65, 129), (65, 129)),
    ((300, 1), (1, 70)), ((2, 3, 2, 3, 2, 3), (3, 1, 3, 1, 3)), ((0, 3), (3,)), ((4, 0), (1, 0)),
    ((0, 1), (1, 5)),
    ((8, 8), (9, 8, 8)),
)  # fmt: skip

# Past the size from which outputs are written past the caches: rows of whole cache lines, and others.
LARGE = ((3, 720, 1024), (3, 720, 1027))

CASES = [
    *(unary("square", s) for s in LARGE),
    *(binary("add", s, b) for s in LARGE for b in (s, s[-1:], (1,))),
    accumulate(LARGE[1]),
    *(unary(op, s) for op in UNARY for s in SHAPES),
    *(unary(op, (11, 61), "special") for op in UNARY),
    *(binary(op, a, b) for op in ("add", "divide") for a, b in PAIRS),
    *(binary(op, a, b) for op in ("subtract", "multiply", "maximum", "minimum", "power") for a,
      b in PAIRS[3::5]),
    *(binary(op, (9, 67), (9, 67), "special") for op in BINARY if op != "power"),
    binary("power", (40, 17), (40, 17), "ends"), binary("power", (40, 17), (1,), "ends"),
    *(integer_power(base, e) for base, e in (
        ("any", 2.0), ("any", 3.0), ("any", -1.0), ("any", 0.0), ("positive", 0.5), ("positive", -0.5),
        ("any", 1.0),
        ("small", 2.0), ("small", 3.0), ("small", 0.0))),
    *(compare(op, a, b) for op in COMPARE for a, b in PAIRS[2::5]),
    *(compare(op, (9, 67), (67,), "special") for op in COMPARE),
    *(where(a, a, b) for a, b in PAIRS[1::4]),
    where((5, 1), (1, 7), ()), where((), (3,), (3,)), where((4, 3, 1), (3, 5), (4, 1, 1)),
    *(clip(s, -0.5, 0.75) for s in SHAPES),
    *(clip((13, 17), low, high, data) for low, high in ((None, 0.25), (0.0, None), (None, None), (0.5, -0.5),
      (-1, 1))
      for data in ("normal", "special")),
    *(accumulate(s) for s in SHAPES),
    *(scale(s, x) for s in SHAPES for x in dict.fromkeys((s, s[-1:], ()))),
    *(scale((r, c), (r, 1)) for r, c in ((5, 7), (65, 129), (0, 3), (3, 0))),
    scale(LARGE[1], (*LARGE[1][:2], 1)),
]  # fmt: skip
