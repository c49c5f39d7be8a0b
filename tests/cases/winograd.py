"""Error bounds of Winograd's convolution: its own arithmetic on absolute values.

Y = A' [(G g G') * (B' d B)] A is a chain of sums; with every matrix and operand replaced by its absolute value it
gives the sum of the magnitudes of everything that was added up, and the rounding error is at most `gamma` of that
for as many terms as a result passes through: the transforms' and the channels' (or tiles') sums. The bound is thus
not a fixed multiple of the direct path's: it is large where the transforms cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .case import Array, gamma

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)
SCALES = (1 / 4, -1 / 6, -1 / 6, 1 / 24, 1 / 24)
INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    float,
)
TRANSFORM_TERMS = 40  # additions and multiplications a value passes in the three two-dimensional transforms
OVERLAPS = 9  # tiles that are added to one pixel by the adjoint gradient of the input, at most (4 for 3 x 3)


def matrices(taps: int) -> tuple[Array, Array, Array]:
    """|B'| (6, 6), |G| (6, taps) and |A'| (7 - taps, 6)."""
    m = 7 - taps
    g = np.array([[scale * p**i for i in range(taps)] for p, scale in zip(POINTS, SCALES, strict=True)])
    a = np.array([[p**i for p in POINTS] + [float(i == m - 1)] for i in range(m)])
    return np.abs(INPUT), np.abs(np.vstack([g, np.eye(taps)[-1]])), np.abs(a)


def pieces(x: Array, rows: int, columns: int, top: int, left: int, step: int, size: int) -> Array:
    """(N, rows, columns, size, size, C): windows of x, `step` apart, the first at (-top, -left); zero outside."""
    n, channels = len(x), x.shape[3]
    low = max(top, left, 0)
    high = max((rows + columns) * step + size, 1)
    padded = np.pad(x, ((0, 0), (low, high), (low, high), (0, 0)))
    out = np.zeros((n, rows, columns, size, size, channels))
    for i in range(rows):
        for j in range(columns):
            h, w = low - top + i * step, low - left + j * step
            out[:, i, j] = padded[:, h : h + size, w : w + size]
    return out


def magnitude(x: Array, kernel: Array, out: tuple[int, int], top: int, left: int) -> Array:
    """The convolution (N, *out, K) of |x| and |kernel| by the transforms' absolute values."""
    taps = kernel.shape[0]
    b, g, a = matrices(taps)
    m = 7 - taps
    rows, columns = -(-out[0] // m), -(-out[1] // m)
    d = np.einsum(
        "ei,fj,nrsijc->nrsefc", b, b, pieces(np.abs(x), rows, columns, top, left, m, 6), optimize=True
    )
    u = np.einsum("ei,fj,ijck->efck", g, g, np.abs(kernel), optimize=True)
    y = np.einsum("ie,jf,nrsefc,efck->nrisjk", a, a, d, u, optimize=True)
    return y.reshape(len(x), rows * m, columns * m, kernel.shape[3])[:, : out[0], : out[1]]


def adjoint_magnitude(dy: Array, kernel: Array, image: tuple[int, int], top: int, left: int) -> Array:
    """The gradient of the input (N, *image, C) by tiles of |dy|, B [(G g G') * (A dY A')] B', that overlap."""
    taps = kernel.shape[0]
    b, g, a = matrices(taps)
    m = 7 - taps
    rows, columns = -(-dy.shape[1] // m), -(-dy.shape[2] // m)
    z = np.einsum("ie,jf,nrsijk->nrsefk", a, a, pieces(np.abs(dy), rows, columns, 0, 0, m, m), optimize=True)
    u = np.einsum("ei,fj,ijck->efck", g, g, np.abs(kernel), optimize=True)
    d = np.einsum("ei,fj,nrsefk,efck->nrsijc", b, b, z, u, optimize=True)
    dx = np.zeros((len(dy), rows * m + taps - 1, columns * m + taps - 1, kernel.shape[2]))
    for i in range(rows):
        for j in range(columns):
            dx[:, i * m : i * m + 6, j * m : j * m + 6] += d[:, i, j]
    return dx[:, top : top + image[0], left : left + image[1]]


def forward_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    x, kernel, bias, _, ((top, _), (left, _)), _, _, _, alpha, _ = args
    sums = magnitude(x, kernel, outputs[0].shape[1:3], top, left) + (0 if bias is None else np.abs(bias))
    error = gamma(kernel.shape[2] + TRANSFORM_TERMS, eps) * sums
    return [max(1.0, alpha) * (error + 4 * eps) + 8 * eps * np.abs(outputs[0])]


def backward_input_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    """The larger bound of the two ways, of which the kernel takes the one that costs less."""
    dy, kernel, shape, _, ((top, _), (left, _)), _, _, _ = args
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    reach = len(kernel) - 1
    forward = magnitude(dy, turned, shape[1:3], reach - top, reach - left)
    adjoint = adjoint_magnitude(dy, kernel, shape[1:3], top, left)
    terms = kernel.shape[3] + TRANSFORM_TERMS
    return [np.maximum(gamma(terms, eps) * forward, gamma(terms + OVERLAPS, eps) * adjoint)]


def backward_kernel_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    dy, x, shape, _, ((top, _), (left, _)), _, _, _ = args
    taps = shape[0]
    b, g, a = matrices(taps)
    m = 7 - taps
    rows, columns = -(-dy.shape[1] // m), -(-dy.shape[2] // m)
    d = np.einsum(
        "ei,fj,nrsijc->nrsefc", b, b, pieces(np.abs(x), rows, columns, top, left, m, 6), optimize=True
    )
    z = np.einsum("ie,jf,nrsijk->nrsefk", a, a, pieces(np.abs(dy), rows, columns, 0, 0, m, m), optimize=True)
    u = np.einsum("nrsefc,nrsefk->efck", d, z, optimize=True)
    sums = np.einsum("ei,fj,efck->ijck", g, g, u, optimize=True)
    return [gamma(len(x) * rows * columns + TRANSFORM_TERMS, eps) * sums]
