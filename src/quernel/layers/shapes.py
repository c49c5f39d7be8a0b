"""Checks and arithmetic on sizes. In a shape, None stands for any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from quernel.ops.conv import geometry

Shape = tuple[int | None, ...]
Pair = tuple[int, int]

IMAGE_HINT = "images are channels last; a grey image gets its channel axis with x[..., None]"


def is_integer(value: Any) -> bool:
    """A Python or NumPy integer; True and False are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def as_shape(shape: Any) -> Shape:
    """A shape as a tuple.

    Raises
    ------
    ValueError : something else than None and integers >= 0.
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    if not all(n is None or (is_integer(n) and n >= 0) for n in sizes):
        raise ValueError(f"expected a shape such as (None, 28, 28, 1), got {shape!r}")
    return tuple(None if n is None else int(n) for n in sizes)


def known_size(label: str, shape: Shape) -> int:
    """The size of the last axis, which weights depend on.

    Raises
    ------
    ValueError : there is no such axis, or its size is None or 0.
    """
    if not shape or not shape[-1]:
        raise ValueError(
            f"{label}: expected an input whose last axis has a known size of at least 1, got shape {shape}"
        )
    return shape[-1]


def positive(label: str, name: str, value: Any) -> int:
    """`value` as an integer of at least 1.

    Raises
    ------
    ValueError : anything else.
    """
    if not is_integer(value) or value < 1:
        raise ValueError(f"{label}: expected {name} as an integer of at least 1, got {value!r}")
    return int(value)


def elements(shape: Shape) -> int | None:
    """Product of the sizes; None if one of them is None."""
    return None if None in shape else math.prod(n or 0 for n in shape)


def window_shape(
    label: str, shape: Any, size: Pair, strides: Pair, padding: Any, dilation: Pair = (1, 1)
) -> Shape:
    """(batch, out height, out width, channels) of windows that move over (batch, height, width, channels).

    Raises
    ------
    ValueError : another number of axes, or a window that does not fit.
    """
    shape = as_shape(shape)
    if len(shape) != 4:
        raise ValueError(
            f"{label}: expected input (batch, height, width, channels), got {shape}; {IMAGE_HINT}"
        )
    batch, *image, channels = shape
    # Any size is stood in for by the smallest that the window fits into.
    known = [(size[i] - 1) * dilation[i] + 1 if n is None else n for i, n in enumerate(image)]
    _, out = geometry((known[0], known[1]), size, strides, padding, dilation, label)
    return (batch, *(None if n is None else m for n, m in zip(image, out, strict=True)), channels)
