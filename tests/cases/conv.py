"""Cases of stem conv: N images of H x W x C, K filters of KH x KW, in G groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quernel import reference as R

from . import winograd
from .case import WIDTHS, Array, Bound, Case, Draw, gamma, linear, size

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


def same(sizes: Pair, window: Pair, strides: Pair = (1, 1), dilation: Pair = (1, 1)) -> Padding:
    """Padding that makes ceil(size / stride) outputs; an odd rest goes behind."""
    pads = []
    for n, k, s, d in zip(sizes, window, strides, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        pads.append((total // 2, total - total // 2))
    return pads[0], pads[1]


@dataclass(frozen=True)
class Shape:
    """One convolution; `pad` is "same", "valid" or explicit."""

    n: int
    h: int
    w: int
    c: int
    k: int
    window: Pair = (3, 3)
    strides: Pair = (1, 1)
    pad: str | Padding = "same"
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def padding(self) -> Padding:
        if self.pad == "same":
            return same((self.h, self.w), self.window, self.strides, self.dilation)
        return ((0, 0), (0, 0)) if isinstance(self.pad, str) else self.pad

    @property
    def name(self) -> str:
        parts = [f"{self.n}x{self.h}x{self.w}x{self.c}-{self.window[0]}x{self.window[1]}-{self.k}"]
        parts += [f"s{self.strides[0]}{self.strides[1]}"] * (self.strides != (1, 1))
        parts += [f"d{self.dilation[0]}{self.dilation[1]}"] * (self.dilation != (1, 1))
        parts += [f"g{self.groups}"] * (self.groups != 1)
        parts += [str(self.pad).translate(str.maketrans("", "", "(), "))] * (self.pad != "same")
        return "-".join(parts)

    def fast(self, how: str) -> bool:
        """Whether algorithm `how` may take Winograd's transforms."""
        plain = self.strides == (1, 1) and self.groups == 1
        return how in ("auto", "winograd") and plain and self.window in ((3, 3), (5, 5))

    @property
    def x(self) -> tuple[int, ...]:
        return self.n, self.h, self.w, self.c

    @property
    def kernel(self) -> tuple[int, ...]:
        return *self.window, self.c // self.groups, self.k

    @property
    def y(self) -> tuple[int, ...]:
        out = [
            max((n + sum(p) - (k - 1) * d - 1) // s + 1, 0)
            for n, k, s, p, d in zip(
                (self.h, self.w), self.window, self.strides, self.padding, self.dilation, strict=True
            )
        ]
        return self.n, out[0], out[1], self.k

    @property
    def terms(self) -> float:
        """Products in one output of the forward pass."""
        return size(*self.kernel[:3])

    @property
    def flops(self) -> float:
        return 2 * size(*self.y) * self.terms

    @property
    def elements(self) -> float:
        return size(*self.x) + size(*self.kernel) + size(*self.y)

    @property
    def geometry(self) -> list[Any]:
        return [self.strides, self.padding, self.dilation]

    def draw_kernel(self, d: Draw) -> Array:
        return d.normal(*self.kernel, std=max(self.terms, 1.0) ** -0.5)


def forward_bound(terms: float, alpha: float) -> Bound:
    """The sum's error, through an activation of slope at most max(1, alpha), and a few ulp of its own."""

    def bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
        x, kernel, bias = (None if v is None else np.abs(v) for v in args[:3])
        product = gamma(terms + 2, eps) * R.conv2d_forward(x, kernel, bias, *args[3:7])
        return [max(1.0, alpha) * (product + 4 * eps) + 8 * eps * np.abs(outputs[0])]

    return bound


def forward(
    s: Shape, activation: str = "linear", bias: bool = True, alpha: float = 0.0, how: str = "direct"
) -> Case:
    def make(d: Draw) -> list[Any]:
        b = d.normal(s.k) if bias else None
        return [d.normal(*s.x), s.draw_kernel(d), b, *s.geometry, s.groups, activation, alpha, how]

    return Case(
        "conv2d_forward", f"{s.name}-{activation}{alpha or ''}{'' if bias else '-nobias'}-{how}", make,
        winograd.forward_bound if s.fast(how) else forward_bound(s.terms, alpha),
        rows=(0,), flops=s.flops, elements=s.elements,
    )  # fmt: skip


def backward_input(s: Shape, how: str = "direct") -> Case:
    terms = size(*s.window) * s.k / s.groups
    return Case(
        "conv2d_backward_input", f"{s.name}-{how}",
        lambda d: [d.normal(*s.y), s.draw_kernel(d), s.x, *s.geometry, s.groups, how],
        winograd.backward_input_bound if s.fast(how) else linear(R.conv2d_backward_input, terms),
        flops=s.flops, elements=s.elements,
    )  # fmt: skip


def backward_kernel(s: Shape, how: str = "direct") -> Case:
    terms = size(*s.y[:3])
    return Case(
        "conv2d_backward_kernel", f"{s.name}-{how}",
        lambda d: [d.normal(*s.y), d.normal(*s.x), s.kernel, *s.geometry, s.groups, how],
        winograd.backward_kernel_bound if s.fast(how) else linear(R.conv2d_backward_kernel, terms),
        flops=s.flops, elements=s.elements,
    )  # fmt: skip


def im2col(s: Shape) -> Case:
    rows = size(*s.y[:3])
    return Case(
        "im2col", s.name, lambda d: [d.normal(*s.x), s.window, *s.geometry],
        linear(R.im2col, -2), elements=size(*s.x) + rows * size(*s.window) * s.c,
    )  # fmt: skip


def col2im(s: Shape) -> Case:
    rows, columns = int(size(*s.y[:3])), int(size(*s.window) * s.c)
    return Case(
        "col2im", s.name, lambda d: [d.normal(rows, columns), s.x, s.window, *s.geometry],
        linear(R.col2im, size(*s.window)), elements=size(*s.x) + float(rows) * columns,
    )  # fmt: skip


PLAIN = (
    *(Shape(2, 5, 6, w, 3) for w in WIDTHS),
    *(Shape(2, 5, 7, 3, w) for w in WIDTHS),
    *(Shape(1, 4, w, 4, 5) for w in WIDTHS),
    *(Shape(1, w, 4, 5, 4, pad="valid") for w in WIDTHS if w >= 3),
    *(Shape(3, 7, 7, w, w, window=(1, 1)) for w in (1, 8, 17, 33, 64)),
    *(Shape(2, 9, 9, w, w) for w in (16, 31, 32, 33)),
    Shape(1, 28, 28, 1, 32),
    Shape(2, 14, 14, 32, 65, window=(5, 5)),
    Shape(2, 12, 12, 3, 16, window=(5, 5), pad="valid"),
    Shape(1, 23, 23, 3, 17, window=(7, 7), strides=(2, 2)),
    Shape(1, 13, 11, 7, 9, window=(2, 3)),
    Shape(1, 6, 6, 2, 3, window=(4, 1)),
    Shape(1, 9, 9, 1, 1, window=(9, 9), pad="valid"),
    Shape(4, 1, 1, 5, 6),
    Shape(7, 3, 3, 13, 11, pad=((2, 2), (2, 2))),
)
STRIDED = (
    Shape(2, 9, 9, 8, 16, strides=(2, 2)),
    Shape(2, 8, 8, 16, 8, strides=(2, 2)),
    Shape(1, 10, 13, 3, 5, strides=(3, 2)),
    Shape(1, 10, 13, 3, 5, strides=(1, 2), pad="valid"),
    Shape(2, 7, 7, 5, 4, window=(1, 1), strides=(2, 2), pad="valid"),
    Shape(1, 11, 11, 3, 4, window=(2, 2), strides=(3, 3), pad="valid"),  # some inputs are met by no tap
    Shape(1, 12, 9, 2, 3, window=(2, 2), strides=(5, 4), pad="valid"),
    Shape(1, 17, 17, 33, 7, window=(5, 5), strides=(4, 4)),
)
PADDED = (
    Shape(1, 5, 5, 4, 4, pad=((2, 0), (0, 1))),
    Shape(2, 6, 5, 3, 8, pad=((0, 3), (4, 0)), strides=(2, 1)),
    Shape(1, 3, 3, 2, 2, window=(3, 3), pad=((5, 4), (3, 6))),  # outputs that see padding only
    Shape(1, 2, 2, 3, 4, window=(5, 5), pad=((2, 2), (2, 2))),  # filter larger than the image
    Shape(2, 4, 4, 17, 16, window=(4, 4)),  # "same" of an even window is asymmetric
)
DILATED = (
    Shape(1, 9, 9, 4, 8, dilation=(2, 2)),
    Shape(2, 11, 10, 3, 5, dilation=(3, 2), strides=(2, 1)),
    Shape(1, 12, 12, 16, 17, dilation=(1, 4), pad="valid"),
    Shape(1, 10, 10, 8, 8, dilation=(2, 2), strides=(2, 2), groups=4),
)
GROUPED = (
    *(Shape(2, 6, 7, w, w, groups=w) for w in (2, 7, 8, 16, 17, 33)),  # depthwise
    Shape(1, 7, 7, 32, 32, groups=32, strides=(2, 2)),
    Shape(1, 6, 6, 5, 15, groups=5),  # three filters a channel
    Shape(2, 5, 5, 12, 8, groups=4),
    Shape(1, 6, 6, 64, 64, groups=32),
    Shape(1, 5, 6, 34, 66, groups=2),
    Shape(1, 5, 5, 9, 6, groups=3, window=(1, 1)),
)
# Groups of 1, 2, 4 and 8 channels, whole ones in a vector.
SMALL_GROUPS = (
    *(Shape(2, 5, 6, g * n, g * n, groups=n) for g in (1, 2, 4, 8) for n in (2, 3, 5, 9, 17)),
    *(Shape(1, 4, w, 20, 20, groups=10) for w in (1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 17)),  # blocks of outputs
    *(Shape(1, w, 1, 24, 24, groups=3) for w in (1, 2, 4)),
    *(Shape(2, 7, 14, 32 * g, 32 * g, groups=32) for g in (1, 2, 4, 8)),
    *(Shape(2, 9, 10, 6 * g, 6 * g, groups=6, strides=(2, 2)) for g in (1, 2, 4, 8)),
    *(Shape(1, 9, 12, 6 * g, 6 * g, groups=6, dilation=(2, 2)) for g in (1, 4)),
    *(Shape(1, 9, 12, 18, 18, groups=18, window=w) for w in ((5, 5), (7, 7), (1, 3), (3, 1), (4, 6), (1, 1))),
    *(Shape(1, 9, 12, 36, 36, groups=9, window=w) for w in ((5, 5), (1, 3), (3, 1), (2, 4))),
    *(Shape(2, h, 9, 17, 17, groups=17) for h in (1, 2, 3, 4)),  # pairs of rows
    *(Shape(1, 9, 9, 17, 17, groups=17, pad=p) for p in ("valid", ((3, 0), (0, 1)), ((0, 4), (2, 1)))),
    *(Shape(2, 9, 11, 12, 12, groups=g, strides=(2, 2), dilation=(2, 2)) for g in (6, 12)),
    Shape(1, 10, 11, 12, 12, groups=6, strides=(3, 2), dilation=(2, 3)),
    Shape(1, 10, 11, 12, 12, groups=12, window=(2, 2), strides=(3, 3), pad="valid"),
    Shape(1, 5, 6, 20, 20, groups=5, pad=((0, 3), (4, 0))),
    Shape(1, 3, 3, 20, 20, groups=20, pad=((5, 4), (3, 6))),
    Shape(2, 6, 5, 16, 16, groups=8, pad="valid"),
    Shape(0, 6, 5, 16, 16, groups=8),
    Shape(1, 2, 2, 16, 16, groups=8, pad="valid"),
    Shape(40, 3, 3, 8, 8, groups=8),  # several images a chunk
    # Pixels 2048 bytes apart, which are copied first.
    Shape(2, 20, 9, 512, 512, groups=512),
    *(Shape(2, 9, 7, 512, 512, groups=512 // g, strides=(2, 1)) for g in (1, 8)),
    Shape(1, 10, 8, 512, 512, groups=256, window=(2, 5), dilation=(2, 1), pad=((0, 2), (3, 1))),
    Shape(1, 3, 3, 512, 512, groups=512, pad=((5, 4), (3, 6))),
    Shape(1, 9, 5, 1024, 1024, groups=1024, window=(2, 2), strides=(4, 3), pad="valid"),
)
# Few outputs of many terms, forward and as the input gradient: vectors along the sum.
FEW = (
    *(Shape(2, 5, 9, w, 1) for w in (15, 16, 17, 33)),
    *(Shape(2, 5, 9, 1, w) for w in (15, 16, 17, 33)),
    *(Shape(1, 4, 17, 40, w) for w in (2, 3, 4, 5, 9)),
    *(Shape(1, 4, 17, w, 40) for w in (2, 3, 4, 5, 9)),
    Shape(1, 9, 9, 3, 65, window=(7, 7), strides=(2, 2)),
    Shape(2, 1, 20, 3, 33, window=(1, 3)),
    Shape(2, 20, 1, 33, 3, window=(3, 1)),
    Shape(2, 7, 8, 2, 48, window=(5, 5), pad=((0, 3), (2, 0))),
    Shape(1, 9, 11, 3, 34, dilation=(2, 2)),
    Shape(1, 9, 11, 34, 3, dilation=(2, 2), strides=(1, 2)),
    Shape(1, 6, 8, 66, 4, groups=2),
    Shape(0, 5, 5, 1, 32),
)
# Filter gradients: dy read where it lies, to the last pixel, and in panels: many filters, many inputs.
FILTERS = (
    *(Shape(3, 3, 1, 1, w, window=(2, 1)) for w in WIDTHS),
    *(Shape(2, 5, 6, 2 * w, 6, groups=2) for w in (1, 3, 5)),
    Shape(2, 40, 30, 3, 20, strides=(2, 2)),  # several blocks of rows
    Shape(2, 70, 18, 1, 33, pad="valid"),
    Shape(1, 6, 7, 2, 129),
    Shape(1, 6, 7, 40, 33, window=(3, 4)),
    Shape(1, 6, 7, 80, 20, groups=2),
)
EMPTY = (
    Shape(0, 5, 5, 3, 4),
    Shape(2, 5, 5, 0, 4),
    Shape(2, 5, 5, 3, 0),
    Shape(2, 2, 2, 3, 4, pad="valid"),  # no output
    Shape(1, 0, 4, 3, 2, pad=((2, 2), (1, 1))),
)
# Large enough for every blocking decision: several threads, several column and channel blocks.
LARGE = (Shape(3, 33, 31, 67, 70), Shape(2, 40, 40, 24, 48, strides=(2, 2)), Shape(5, 19, 19, 130, 36))

# For Winograd's transforms: whole tiles, cropped ones, one tile, any padding, odd
# channels, blocks that several images share, gradients by overlapping tiles of dy in
# several units and in several blocks; pieces of 8 x 8; interleaved images, some of them
# without an output, or smaller than a tile, or with a tile less than the others.
SMALL_FILTERS = (
    Shape(2, 8, 8, 16, 16),
    Shape(3, 7, 9, 17, 33, pad="valid"),
    Shape(1, 1, 1, 4, 4),
    Shape(2, 5, 6, 3, 65, pad=((4, 5), (6, 3))),
    Shape(9, 7, 7, 64, 31),
    Shape(2, 28, 28, 20, 32),
    Shape(2, 14, 14, 32, 64, window=(5, 5)),
    Shape(1, 6, 5, 7, 9, window=(5, 5), pad="valid"),
    Shape(5, 9, 4, 33, 16, window=(5, 5), pad=((0, 3), (2, 0))),
    Shape(20, 13, 14, 19, 24, pad="valid"),
    Shape(3, 28, 26, 12, 20, window=(5, 5), pad=((1, 0), (0, 1))),
    Shape(3, 18, 17, 17, 32),
    Shape(2, 18, 20, 16, 15, pad="valid"),
    Shape(1, 20, 13, 9, 17, window=(5, 5), pad="valid"),
    Shape(2, 12, 13, 8, 17, dilation=(2, 2)),
    Shape(2, 11, 26, 16, 19, dilation=(3, 2), pad="valid"),
    Shape(1, 14, 9, 5, 16, dilation=(1, 3), pad=((0, 1), (7, 2))),
    Shape(2, 5, 4, 7, 8, dilation=(4, 5), pad=((4, 4), (6, 5))),
    Shape(1, 25, 24, 9, 8, window=(5, 5), dilation=(2, 3)),
    Shape(0, 8, 8, 16, 16),
    Shape(0, 13, 13, 8, 8, pad="valid"),
    Shape(2, 8, 8, 0, 4),
)
# What "winograd" does not admit falls back, and "im2col" too where there are groups.
FALL_BACK = (
    Shape(2, 9, 9, 8, 16, strides=(2, 2)),
    Shape(2, 6, 7, 16, 16, groups=4),
    Shape(2, 7, 7, 9, 8, window=(1, 1)),
)

ALL = (*PLAIN, *STRIDED, *PADDED, *DILATED, *GROUPED, *SMALL_GROUPS, *FEW, *EMPTY, *LARGE)
UNGROUPED = tuple(s for s in (*PLAIN[::4], *STRIDED, *PADDED, *DILATED[:3], *EMPTY))

ALL_THREE = (forward, backward_input, backward_kernel)

CASES = [
    *(forward(s) for s in ALL),
    *(forward(Shape(2, 7, 9, 6, 19), kind, True, alpha) for kind, alpha in (
        ("relu", 0.0), ("leaky_relu", 0.2), ("sigmoid", 0.0), ("tanh", 0.0), ("elu", 1.0),
        ("softplus", 0.0))),
    forward(Shape(2, 7, 9, 6, 19), "relu", bias=False),
    forward(Shape(2, 7, 9, 16, 16, groups=16), "relu"),
    forward(Shape(2, 7, 9, 40, 40, groups=10), "gelu_tanh"),
    forward(Shape(2, 7, 9, 33, 3), "relu"),
    forward(Shape(2, 7, 9, 33, 3), "tanh", bias=False),
    forward(Shape(2, 7, 9, 6, 19, strides=(2, 2)), "leaky_relu", False, 0.2),
    *(backward_input(s) for s in ALL),
    *(backward_kernel(s) for s in (*ALL, *FILTERS)),
    *(case(s, how=how) for case in ALL_THREE for s in SMALL_FILTERS for how in ("winograd", "auto")),
    *(case(s, how="im2col") for case in ALL_THREE for s in (*PLAIN[::6], *STRIDED)),
    *(case(s, how="winograd") for case in ALL_THREE for s in FALL_BACK),
    *(case(s, how="im2col") for case in ALL_THREE for s in FALL_BACK[1:]),
    forward(SMALL_FILTERS[5], "elu", True, 1.0, how="winograd"),
    *(im2col(s) for s in UNGROUPED),
    *(col2im(s) for s in UNGROUPED),
]  # fmt: skip
