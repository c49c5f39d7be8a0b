"""Cases of stem pool: windows of PH x PW over N images of H x W x C."""

from __future__ import annotations

from typing import Any

from quernel import reference as R

from .case import WIDTHS, Case, Draw, exact, linear, size
from .conv import Pair, Shape


def pooling(
    n: int, h: int, w: int, c: int, window: Pair = (2, 2), strides: Pair | None = None, pad: Any = "valid"
) -> Shape:
    """A pooling has the geometry of a convolution that keeps the channels."""
    return Shape(n, h, w, c, c, window, window if strides is None else strides, pad)


def _moved(s: Shape) -> float:
    return size(*s.x) + size(*s.y)


def max_forward(s: Shape, values: str = "normal") -> Case:
    """`values` is a method of Draw: "normal", "ties" or "special"."""
    return Case(
        "max_pool2d_forward", f"{s.name}-{values}",
        lambda d: [getattr(d, values)(*s.x), s.window, s.strides, s.padding],
        exact, rows=(0,), flops=size(*s.y) * size(*s.window), elements=_moved(s),
    )  # fmt: skip


def max_backward(s: Shape) -> Case:
    def make(d: Draw) -> list[Any]:
        _, index = R.max_pool2d_forward(d.normal(*s.x), s.window, s.strides, s.padding)
        return [d.normal(*s.y), index, s.x, s.window, s.strides, s.padding]

    overlap = size(*s.window) if s.strides != s.window else -2
    return Case(
        "max_pool2d_backward", s.name, make, linear(R.max_pool2d_backward, overlap), elements=_moved(s)
    )


def avg_forward(s: Shape, count_include_pad: bool = False) -> Case:
    return Case(
        "avg_pool2d_forward", f"{s.name}{'-counted' * count_include_pad}",
        lambda d: [d.normal(*s.x), s.window, s.strides, s.padding, count_include_pad],
        linear(R.avg_pool2d_forward, size(*s.window) + 2), rows=(0,),
        flops=size(*s.y) * size(*s.window), elements=_moved(s),
    )  # fmt: skip


def avg_backward(s: Shape, count_include_pad: bool = False) -> Case:
    return Case(
        "avg_pool2d_backward", f"{s.name}{'-counted' * count_include_pad}",
        lambda d: [d.normal(*s.y), s.x, s.window, s.strides, s.padding, count_include_pad],
        linear(R.avg_pool2d_backward, size(*s.window) + 2), elements=_moved(s),
    )  # fmt: skip


SHAPES = (
    *(pooling(2, 6, 4, w) for w in WIDTHS),
    *(pooling(1, 5, w, 3, (3, 3), (2, 2), "same") for w in WIDTHS),
    *(pooling(1, w, 4, 9, (3, 2), (1, 1), "same") for w in (1, 2, 3, 7, 16)),
    pooling(3, 9, 9, 17, (3, 3), (2, 2)),
    pooling(3, 9, 9, 16, (3, 3), (1, 1)),
    pooling(1, 8, 8, 5, (2, 2), (3, 3)),  # inputs that no window meets
    pooling(2, 7, 5, 33, (7, 5), (1, 1)),  # global
    pooling(1, 20, 20, 3, (17, 16), (2, 2)),  # more than 256 positions
    pooling(1, 16, 16, 2, (16, 16), (1, 1)),  # exactly 256
    pooling(2, 6, 6, 4, (3, 3), (2, 2), ((1, 0), (0, 2))),
    pooling(1, 3, 3, 5, (2, 2), (2, 2), ((3, 3), (2, 4))),  # windows wholly in the padding
    pooling(1, 1, 1, 1, (1, 1)),
    pooling(2, 7, 9, 31, (3, 3), (2, 2), "same"),  # the last channels that scatter backward
    pooling(2, 7, 9, 32, (3, 3), (2, 2), "same"),  # the first that do not
    pooling(1, 9, 40, 130, (3, 3), (2, 2), "same"),  # rows that are asked for ahead
    pooling(2, 9, 8, 3, (16, 16), (2, 2), "same"),  # 256 positions, every window across the border
    pooling(0, 4, 4, 3),
    pooling(2, 4, 4, 0),
    pooling(2, 1, 4, 3),  # no output
)

CASES = [
    *(max_forward(s, values) for s in SHAPES for values in ("normal", "ties")),
    *(max_forward(s, "special") for s in SHAPES[10:30]),
    *(max_backward(s) for s in SHAPES),
    # Gradients written past the caches.
    max_backward(pooling(2, 184, 184, 64, (3, 3), (2, 2), "same")),
    max_backward(pooling(2, 184, 184, 64, (3, 3), (1, 1), "same")),
    avg_backward(pooling(2, 184, 184, 64)),
    *(avg_forward(s) for s in SHAPES),
    *(avg_backward(s) for s in SHAPES),
    *(avg_forward(s, True) for s in SHAPES if s.pad != "valid"),
    *(avg_backward(s, True) for s in SHAPES if s.pad != "valid"),
]
