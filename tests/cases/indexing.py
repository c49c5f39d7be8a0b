"""Cases of stem indexing: what is moved keeps its bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quernel import reference as R

from .case import WIDTHS, Case, exact, linear, size

Shape = tuple[int, ...]


def copy(shape: Shape, axes: Sequence[int], steps: Sequence[int]) -> Case:
    """Of a view: axes transposed, then steps (negative ones reverse)."""

    def view(x: np.ndarray) -> np.ndarray:
        return x.transpose(axes)[tuple(slice(None, None, step) for step in steps)]

    return Case(
        "copy", f"{_name(shape)}-{_name(tuple(axes))}-{_name(tuple(steps))}",
        lambda d: [view(d.special(*shape))], exact, elements=2 * size(*shape),
    )  # fmt: skip


def assign(target: Shape, x: Shape, step: int = 1) -> Case:
    """Into every step-th element of the last axis."""
    full = (*target[:-1], target[-1] * step) if target else target
    return Case(
        "assign", f"{_name(target)}-{_name(x)}-{step}",
        lambda d: [d.normal(*full)[..., ::step] if target else d.normal(), d.special(*x)], exact,
        in_place=(0,),
        elements=2 * size(*target),
    )  # fmt: skip


def concatenate(shapes: Sequence[Shape], axis: int) -> Case:
    return Case(
        "concatenate", f"{'-'.join(map(_name, shapes))}-{axis}",
        lambda d: [[d.special(*s) for s in shapes], axis],
        exact, elements=2 * sum(size(*s) for s in shapes),
    )  # fmt: skip


def pad(shape: Shape, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Case:
    total = size(*(n + b + a for n, (b, a) in zip(shape, widths, strict=True)))
    return Case(
        "pad", f"{_name(shape)}-{_name(sum(widths, ()))}-{value}",
        lambda d: [d.special(*shape), widths, value], exact,
        elements=size(*shape) + total,
    )  # fmt: skip


def gather(shape: Shape, count: int, axis: int = 0) -> Case:
    return Case(
        "gather", f"{_name(shape)}-{count}-{axis}",
        lambda d: [d.special(*shape), d.integers(max(shape[axis], 1), count), axis], exact,
        elements=2 * size(*shape) / max(shape[axis], 1) * count,
    )  # fmt: skip


def scatter_add(shape: Shape, length: int, axis: int = 0) -> Case:
    """`shape` is that of dy; few places for many slices, so that most are sums."""
    return Case(
        "scatter_add", f"{_name(shape)}-{length}-{axis}",
        lambda d: [d.normal(*shape), d.integers(max(length, 1), shape[axis]), length, axis],
        linear(R.scatter_add, 2 * shape[axis] / max(length, 1) + 8),
        elements=2 * size(*shape),
    )  # fmt: skip


def _name(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


# Past the size from which copies are written past the caches: rows of whole cache lines, and others.
LARGE = (((3, 700, 512), (3, 700, 513)), ((3, 700, 512), (3, 700, 528)))

CASES = [
    *(concatenate(shapes, 2) for shapes in LARGE), copy((3, 800, 1800), (0, 1, 2), (1, 1, 2)),
    copy((2, 1200007), (0, 1), (-1, 1)),
    *(copy((5, w), (1, 0), (1, 1)) for w in WIDTHS),
    copy((), (), ()), copy((7,), (0,), (-1,)), copy((9,), (0,), (3,)), copy((3, 5, 7), (2, 0, 1), (1, 2, 1)),
    copy((2, 3, 4, 5), (0, 3, 1, 2), (1, 1, 1, 1)), copy((2, 3, 4, 5), (3, 2, 1, 0), (-1, 1, -2, 1)),
    copy((67, 129), (1, 0), (1, 1)), copy((3, 0, 2), (2, 1, 0), (1, 1, 1)), copy((8, 9), (0, 1), (1, 2)),
    *(assign((3, w), (3, w), 2) for w in WIDTHS),
    assign((3, 4), (4,)), assign((3, 4), (3, 1)), assign((3, 4), ()), assign((), ()),
    assign((2, 3, 4), (3, 4), 3),
    assign((0, 4), (0, 4)), assign((4, 5), (1, 1), 2),
    *(concatenate(((3, w), (3, 2), (3, w)), 1) for w in WIDTHS),
    concatenate(((3, 4), (5, 4), (0, 4)), 0), concatenate(((2, 3, 4),), 1),
    concatenate(((2, 3, 4), (2, 1, 4)), 1),
    concatenate(((0, 4), (0, 4)), 0), concatenate(((5,), (9,)), 0), concatenate(((2, 3, 5), (2, 3, 17)), 2),
    *(pad((4, w), ((0, 0), (1, 2))) for w in WIDTHS),
    pad((3, 4), ((1, 0), (0, 0)), -1.5), pad((2, 3, 4, 5), ((0, 1), (2, 0), (1, 1), (0, 3))),
    pad((5,), ((0, 0),)),
    pad((2, 0), ((1, 1), (2, 2)), 0.25), pad((), ()), pad((1, 6, 6, 3), ((0, 0), (1, 1), (1, 1), (0, 0))),
    *(gather((9, w), 13) for w in WIDTHS),
    gather((3, 9, 4), 5, 1), gather((3, 4, 9), 7, 2), gather((5,), 8), gather((5, 3), 0), gather((0, 3), 0),
    gather((1, 1), 1), gather((4, 0), 3), gather((301, 33), 500),
    *(scatter_add((13, w), 4) for w in WIDTHS),
    scatter_add((3, 9, 4), 5, 1), scatter_add((3, 4, 9), 2, 2), scatter_add((8,), 5), scatter_add((0, 3), 4),
    scatter_add((3, 0), 4), scatter_add((0, 3), 0), scatter_add((500, 33), 301), scatter_add((500, 7), 1),
]  # fmt: skip
