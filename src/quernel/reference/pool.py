"""Pooling in two dimensions, channels last, one position of the window at a time.

Position (i, j) of output (p, q)'s window is input (p * sh + i - top, q * sw + j - left). Padding takes no
part: it never wins a maximum, and counts in a mean only if asked to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["avg_pool2d_backward", "avg_pool2d_forward", "max_pool2d_backward", "max_pool2d_forward"]

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
Shape = tuple[int, int, int, int]


def _output_size(size: Pair, pool_size: Pair, strides: Pair, padding: Padding) -> Pair:
    """(OH, OW) of an input of ``size`` (H, W); 0 where the window does not fit."""
    out = [
        max((n + before + after - k) // s + 1, 0)
        for n, k, s, (before, after) in zip(size, pool_size, strides, padding, strict=True)
    ]
    return out[0], out[1]


def _positions(
    size: Pair, out: Pair, pool_size: Pair, strides: Pair, padding: Padding
) -> Iterator[tuple[int, tuple[Any, ...], tuple[Any, ...]]]:
    """For each position of the window, row-major: its number, the outputs that have it inside the image, and
    the inputs that they meet there (both as indices of (N, H, W, C) arrays, no element twice)."""
    for number in range(pool_size[0] * pool_size[1]):
        inside, met = [], []
        for axis, offset in enumerate(divmod(number, pool_size[1])):
            source = np.arange(out[axis]) * strides[axis] + offset - padding[axis][0]
            valid = (source >= 0) & (source < size[axis])
            inside.append(np.flatnonzero(valid))
            met.append(source[valid])
        everything = slice(None)
        yield (
            number,
            (everything, inside[0][:, None], inside[1][None, :]),
            (everything, met[0][:, None], met[1][None, :]),
        )


def max_pool2d_forward(
    x: np.ndarray, pool_size: Pair, strides: Pair, padding: Padding
) -> tuple[np.ndarray, np.ndarray]:
    """x (N, H, W, C) to the maxima y (N, OH, OW, C) and the winners' numbers in their windows, row-major.

    The first of equals wins; NaN wins over any number. A window that lies wholly in the padding gives -inf.
    Numbers are uint8 for windows of up to 256 positions, else int32.
    """
    n, height, width, channels = x.shape
    out = _output_size((height, width), pool_size, strides, padding)
    y = np.full((n, *out, channels), -np.inf, x.dtype)
    index = np.zeros(y.shape, np.uint8 if pool_size[0] * pool_size[1] <= 256 else np.int32)
    seen = np.zeros(y.shape, bool)
    for number, inside, met in _positions((height, width), out, pool_size, strides, padding):
        candidate, best = x[met], y[inside]
        wins = ~seen[inside] | (candidate > best) | (np.isnan(candidate) & ~np.isnan(best))
        y[inside] = np.where(wins, candidate, best)
        index[inside] = np.where(wins, number, index[inside])
        seen[inside] = True
    return y, index


def max_pool2d_backward(
    dy: np.ndarray,
    index: np.ndarray,
    input_shape: Shape,
    pool_size: Pair,
    strides: Pair,
    padding: Padding,
) -> np.ndarray:
    """dy (N, OH, OW, C) to dx (N, H, W, C): each output's gradient goes to the winner of its window."""
    dx = np.zeros(input_shape, dy.dtype)
    for number, inside, met in _positions(input_shape[1:3], dy.shape[1:3], pool_size, strides, padding):
        dx[met] += np.where(index[inside] == number, dy[inside], dy.dtype.type(0))
    return dx


def _window_sizes(
    size: Pair, out: Pair, pool_size: Pair, strides: Pair, padding: Padding, count_include_pad: bool
) -> np.ndarray:
    """(OH, OW, 1): by what each window's sum is divided, at least 1."""
    if count_include_pad:
        return np.full((*out, 1), pool_size[0] * pool_size[1])
    count = np.zeros((1, *out, 1), int)
    for _, inside, _ in _positions(size, out, pool_size, strides, padding):
        count[inside] += 1
    return np.maximum(count[0], 1)


def avg_pool2d_forward(
    x: np.ndarray, pool_size: Pair, strides: Pair, padding: Padding, count_include_pad: bool
) -> np.ndarray:
    """x (N, H, W, C) to the means y (N, OH, OW, C) over the windows' positions inside the image.

    ``count_include_pad`` divides by the whole window's size instead (padding counts as zeros). A window that
    lies wholly in the padding gives 0.
    """
    n, height, width, channels = x.shape
    out = _output_size((height, width), pool_size, strides, padding)
    y = np.zeros((n, *out, channels), x.dtype)
    for _, inside, met in _positions((height, width), out, pool_size, strides, padding):
        y[inside] += x[met]
    sizes = _window_sizes((height, width), out, pool_size, strides, padding, count_include_pad)
    return y / sizes.astype(x.dtype)


def avg_pool2d_backward(
    dy: np.ndarray,
    input_shape: Shape,
    pool_size: Pair,
    strides: Pair,
    padding: Padding,
    count_include_pad: bool,
) -> np.ndarray:
    """dy (N, OH, OW, C) to dx (N, H, W, C): each output's gradient is shared equally over its window."""
    size, out = input_shape[1:3], dy.shape[1:3]
    sizes = _window_sizes(size, out, pool_size, strides, padding, count_include_pad)
    share = dy / sizes.astype(dy.dtype)
    dx = np.zeros(input_shape, dy.dtype)
    for _, inside, met in _positions(size, out, pool_size, strides, padding):
        dx[met] += share[inside]
    return dx
