"""Checks and arithmetic on sizes. In a shape, None stands for any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Shape = tuple[int | None, ...]


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


def pair(label: str, name: str, value: Any) -> tuple[int, int]:
    """One positive integer for both axes, or one for each: (height, width).

    Raises
    ------
    ValueError : anything else.
    """
    both = (value, value) if is_integer(value) else tuple(value) if isinstance(value, Sequence) else ()
    if len(both) != 2 or not all(is_integer(n) and n >= 1 for n in both):
        raise ValueError(f"{label}: expected {name} as one or two integers of at least 1, got {value!r}")
    return int(both[0]), int(both[1])


def padding(label: str, value: Any) -> Any:
    """``"valid"``, ``"same"`` or zeros: one number, (height, width), or ((top, bottom), (left, right)).

    Raises
    ------
    ValueError : anything else.
    """
    if isinstance(value, str) and value.lower() in ("valid", "same"):
        return value.lower()
    sides = (value, value) if is_integer(value) else value
    if not isinstance(value, str) and isinstance(sides, Sequence) and len(sides) == 2:
        pairs = [(side, side) if is_integer(side) else side for side in sides]
        if all(
            isinstance(p, Sequence) and len(p) == 2 and all(is_integer(n) and n >= 0 for n in p)
            for p in pairs
        ):
            return tuple((int(p[0]), int(p[1])) for p in pairs)
    raise ValueError(
        f"{label}: expected padding 'valid', 'same', one number, (height, width) or "
        f"((top, bottom), (left, right)), got {value!r}"
    )


def elements(shape: Shape) -> int | None:
    """Product of the sizes; None if one of them is None."""
    return None if None in shape else math.prod(n or 0 for n in shape)


def windows(
    n: int | None, size: int, stride: int, pad: str | tuple[int, int], dilation: int = 1
) -> int | None:
    """How many windows fit along an axis of `n` positions; None if n is."""
    if n is None:
        return None
    if pad == "same":
        return -(-n // stride)
    before, after = (0, 0) if isinstance(pad, str) else pad
    return max((n + before + after - (size - 1) * dilation - 1) // stride + 1, 0)


def window_shape(
    shape: Any, size: tuple[int, int], strides: tuple[int, int], pad: Any, dilation: tuple[int, int] = (1, 1)
) -> Shape:
    """(batch, out height, out width, channels) of windows moved over (batch, height, width, channels)."""
    batch, height, width, channels = as_shape(shape)
    per_axis = (pad, pad) if isinstance(pad, str) else pad
    out = [windows(n, size[i], strides[i], per_axis[i], dilation[i]) for i, n in enumerate((height, width))]
    return (batch, *out, channels)
