"""Cases of stem optim: lists of arrays of any shapes, changed in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .case import WIDTHS, Array, Case, Draw, relative, size

Shapes = tuple[tuple[int, ...], ...]

FEW = 8.0  # roundings of one element, in eps; every quantity here is of size 1


def _lists(d: Draw, shapes: Shapes, *kinds: str) -> list[Any]:
    """One list of arrays for each kind: "normal", "square" (not negative) or "none"."""
    lists: list[Any] = []
    for kind in kinds:
        square = kind == "square"
        lists.append(
            None if kind == "none" else [d.uniform(0.01, 2, *s) if square else d.normal(*s) for s in shapes]
        )
    return lists


def _hyper(*values: float) -> Array:
    return np.array(values, np.float64)


def _update(function: str, name: str, shapes: Shapes, kinds: Sequence[str], hyper: Array) -> Case:
    """Arguments: params, gradients, states..., hyper; all but the gradients and hyper are updated."""
    changed = tuple(i for i, kind in enumerate(kinds) if i != 1 and kind != "none")
    return Case(
        function, f"{name}-{_name(shapes)}", lambda d: [*_lists(d, shapes, *kinds), hyper.copy()],
        relative(FEW, floor=FEW), in_place=changed, contiguous=(1,), flops=10 * sum(size(*s) for s in shapes),
        elements=(2 * len(changed) + 1) * sum(size(*s) for s in shapes),
    )  # fmt: skip


def sgd(shapes: Shapes, momentum: float = 0.9, nesterov: bool = False, decay: float = 0.0) -> Case:
    kinds = ("normal", "normal", "normal" if momentum else "none")
    return _update(
        "sgd_update", f"m{momentum}{'-nesterov' * nesterov}-wd{decay}", shapes, kinds,
        _hyper(0.1, momentum, nesterov, decay),
    )  # fmt: skip


def rmsprop(shapes: Shapes, momentum: float = 0.0, centered: bool = False, decay: float = 0.0) -> Case:
    kinds = ("normal", "normal", "square", "normal" if momentum else "none", "mean" if centered else "none")

    def make(d: Draw) -> list[Any]:
        lists = _lists(d, shapes, *kinds[:4])
        # The mean of a square is at least the square of the mean; well above it, so that no digits cancel.
        means = [(0.3 * np.sqrt(s) * d.uniform(-1, 1, *s.shape)).astype(d.dtype) for s in lists[2]]
        return [*lists, means if centered else None, _hyper(0.01, 0.9, 1e-7, momentum, decay)]

    changed = tuple(i for i, kind in enumerate(kinds) if i != 1 and kind != "none")
    return Case(
        "rmsprop_update", f"m{momentum}{'-centered' * centered}-wd{decay}-{_name(shapes)}", make,
        relative(FEW, floor=2 * FEW), in_place=changed, contiguous=(1,),
        elements=5 * sum(size(*s) for s in shapes),
    )  # fmt: skip


def adam(
    shapes: Shapes, amsgrad: bool = False, decay: float = 0.0, decoupled: bool = False, step: int = 7
) -> Case:
    kinds = ("normal", "normal", "normal", "square", "square" if amsgrad else "none")
    name = f"{'amsgrad-' * amsgrad}wd{decay}{'-decoupled' * decoupled}-step{step}"
    return _update("adam_update", name, shapes, kinds, _hyper(0.01, 0.9, 0.999, 1e-7, decay, decoupled, step))


def clip_value(shapes: Shapes, low: float, high: float) -> Case:
    return Case(
        "clip_by_value", f"{low}-{high}-{_name(shapes)}", lambda d: [*_lists(d, shapes, "normal"), low, high],
        relative(1), in_place=(0,), elements=2 * sum(size(*s) for s in shapes),
    )  # fmt: skip


def clip_norm(function: str, shapes: Shapes, max_norm: float) -> Case:
    """The norm's sum of squares runs in double precision: a few roundings remain."""
    return Case(
        function, f"{max_norm}-{_name(shapes)}", lambda d: [*_lists(d, shapes, "normal"), max_norm],
        relative(FEW),
        in_place=(0,), flops=2 * sum(size(*s) for s in shapes), elements=3 * sum(size(*s) for s in shapes),
    )  # fmt: skip


def _name(shapes: Shapes) -> str:
    text = "+".join("x".join(map(str, s)) or "scalar" for s in shapes)
    return text if len(shapes) < 6 else f"{len(shapes)}-arrays"


LISTS: tuple[Shapes, ...] = (
    *(((w,),) for w in WIDTHS),
    ((3, 3, 5, 7), (7,), (), (129, 65), (1,)), ((70001,), (3,)), ((0, 3), (5,)), (),
    tuple((w,) for w in range(40)),
)  # fmt: skip
SOME: tuple[Shapes, ...] = (((33,), (5, 7)), ((1,), (2, 3, 4)))

CASES = [
    *(make(s) for make in (sgd, rmsprop, adam) for s in LISTS),
    *(sgd(s, m, n, wd) for s in SOME for m, n, wd in (
        (0.0, False, 0.0), (0.0, False, 0.1), (0.9, True, 0.0), (0.9, True, 0.1), (0.5, False, 0.1))),
    *(rmsprop(s, m, c, wd) for s in SOME for m, c, wd in (
        (0.9, False, 0.0), (0.0, True, 0.0), (0.9, True, 0.1), (0.0, False, 0.1))),
    *(adam(s, a, wd, dec, step) for s in SOME for a, wd, dec, step in (
        (False, 0.1, False, 1), (False, 0.1, True, 1), (True, 0.0, False, 3), (True, 0.1, True, 1000),
        (False, 0.0, False, 100000))),
    *(clip_value(s, -0.5, 0.75) for s in LISTS),
    *(clip_norm(f, s, max_norm) for f in ("clip_by_norm", "clip_by_global_norm") for s in LISTS
      for max_norm in (0.5, 1e6)),
]  # fmt: skip
