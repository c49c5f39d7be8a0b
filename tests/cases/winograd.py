"""Error bounds of Winograd's convolution: its own arithmetic on absolute values.

Y = A' [(G g G') * (B' d B)] A is a chain of sums; with every matrix and operand replaced by its absolute value it
gives the sum of the magnitudes of everything that was added up, and the rounding error is at most `gamma` of that
for as many terms as a result passes through: the transforms' and the channels' (or tiles') sums. The bound is thus
not a fixed multiple of the direct path's: it is large where the transforms cancel. Of the sizes of pieces (6 x 6 and
8 x 8), of which the kernel takes the one that costs less, the larger bound counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .case import Array, gamma

# What pieces of 6 x 6 and of 8 x 8 are interpolated at, besides infinity.
POINTS = {6: (0.0, 1.0, -1.0, 2.0, -2.0), 8: (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)}
# Additions and multiplications a value passes in the three two-dimensional transforms.
TRANSFORM_TERMS = {6: 40, 8: 56}
OVERLAPS = 9  # tiles that are added to one pixel by the adjoint gradient of the input, at most


@dataclass(frozen=True)
class Matrices:
    """|B'| (piece, piece), |G| (piece, taps) and |A'| (m, piece), of filters of taps x taps."""

    b: Array
    g: Array
    a: Array

    @property
    def piece(self) -> int:
        return len(self.b)

    @property
    def m(self) -> int:
        return len(self.a)


def matrices(piece: int, taps: int) -> Matrices:
    """Of Toom and Cook: row p of B' has the coefficients of the product of (x - q) over all points q but p."""
    points = POINTS[piece]
    m = piece + 1 - taps
    others = [[q for q in points if q != p] for p in points]
    b = np.array([np.append(np.poly(rest)[::-1], 0.0) for rest in others] + [np.poly(points)[::-1]])
    g = np.array(
        [
            [p**i / np.prod(p - np.array(rest)) for i in range(taps)]
            for p, rest in zip(points, others, strict=True)
        ]
    )
    a = np.array([[p**i for p in points] + [float(i == m - 1)] for i in range(m)])
    return Matrices(np.abs(b), np.abs(np.vstack([g, np.eye(taps)[-1]])), np.abs(a))


def shifted(x: Array, top: int, left: int) -> Array:
    """x with `top` rows and `left` columns of zeros before it; negative: without so many."""
    return np.pad(
        x[:, max(-top, 0) :, max(-left, 0) :], ((0, 0), (max(top, 0), 0), (max(left, 0), 0), (0, 0))
    )


Slices = tuple[slice, slice, slice]


def interleaved(dilation: tuple[int, int]) -> Iterator[Slices]:
    """A dilated convolution is one of each of these parts of the padded image."""
    for i in range(dilation[0]):
        for j in range(dilation[1]):
            yield slice(None), slice(i, None, dilation[0]), slice(j, None, dilation[1])


def pieces(x: Array, rows: int, columns: int, step: int, size: int) -> Array:
    """(N, rows, columns, size, size, C): windows of x, `step` apart, with zeros behind x."""
    end = [
        (0, max(0, (count - 1) * step + size - n))
        for count, n in zip((rows, columns), x.shape[1:3], strict=True)
    ]
    padded = np.pad(x, ((0, 0), *end, (0, 0)))
    out = np.zeros((len(x), rows, columns, size, size, x.shape[3]))
    for i in range(rows):
        for j in range(columns):
            out[:, i, j] = padded[:, i * step : i * step + size, j * step : j * step + size]
    return out


def grid(shape: Sequence[int], m: int) -> tuple[int, int]:
    """Tiles of m x m along both axes of images (N, H, W, C)."""
    return -(-shape[1] // m), -(-shape[2] // m)


def magnitude(t: Matrices, x: Array, kernel: Array, out: Array) -> None:
    """Puts the convolution of |x| and |kernel| by the transforms' absolute values into `out`; x begins at a tile."""
    rows, columns = grid(out.shape, t.m)
    d = np.einsum(
        "ei,fj,nrsijc->nrsefc", t.b, t.b, pieces(np.abs(x), rows, columns, t.m, t.piece), optimize=True
    )
    u = np.einsum("ei,fj,ijck->efck", t.g, t.g, np.abs(kernel), optimize=True)
    y = np.einsum("ie,jf,nrsefc,efck->nrisjk", t.a, t.a, d, u, optimize=True)
    out[...] = y.reshape(len(x), rows * t.m, columns * t.m, kernel.shape[3])[
        :, : out.shape[1], : out.shape[2]
    ]


def adjoint_magnitude(t: Matrices, dy: Array, kernel: Array, dx: Array) -> None:
    """Puts the gradient of the input by tiles of |dy|, B [(G g G') * (A dY A')] B', that overlap, into dx (padded)."""
    rows, columns = grid(dy.shape, t.m)
    z = np.einsum(
        "ie,jf,nrsijk->nrsefk", t.a, t.a, pieces(np.abs(dy), rows, columns, t.m, t.m), optimize=True
    )
    u = np.einsum("ei,fj,ijck->efck", t.g, t.g, np.abs(kernel), optimize=True)
    d = np.einsum("ei,fj,nrsefk,efck->nrsijc", t.b, t.b, z, u, optimize=True)
    whole = np.zeros((len(dy), rows * t.m + t.piece, columns * t.m + t.piece, kernel.shape[2]))
    for i in range(rows):
        for j in range(columns):
            whole[:, i * t.m : i * t.m + t.piece, j * t.m : j * t.m + t.piece] += d[:, i, j]
    dx[...] = whole[:, : dx.shape[1], : dx.shape[2]]


def filter_magnitude(t: Matrices, x: Array, dy: Array) -> Array:
    rows, columns = grid(dy.shape, t.m)
    d = np.einsum(
        "ei,fj,nrsijc->nrsefc", t.b, t.b, pieces(np.abs(x), rows, columns, t.m, t.piece), optimize=True
    )
    z = np.einsum(
        "ie,jf,nrsijk->nrsefk", t.a, t.a, pieces(np.abs(dy), rows, columns, t.m, t.m), optimize=True
    )
    u = np.einsum("nrsefc,nrsefk->efck", d, z, optimize=True)
    return np.einsum("ei,fj,efck->ijck", t.g, t.g, u, optimize=True)


def forward_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    x, kernel, bias, _, ((top, _), (left, _)), dilation, _, _, alpha, _ = args
    error = np.zeros(outputs[0].shape)
    for piece, terms in TRANSFORM_TERMS.items():
        sums, padded = np.zeros(error.shape), shifted(x, top, left)
        for part in interleaved(dilation):
            magnitude(matrices(piece, len(kernel)), padded[part], kernel, sums[part])
        sums += 0 if bias is None else np.abs(bias)
        error = np.maximum(error, gamma(kernel.shape[2] + terms, eps) * sums)
    return [max(1.0, alpha) * (error + 4 * eps) + 8 * eps * np.abs(outputs[0])]


def backward_input_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    """The larger bound of the two ways, of which the kernel takes the one that costs less."""
    dy, kernel, shape, _, ((top, _), (left, _)), dilation, _, _ = args
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    reach = [(len(kernel) - 1) * d for d in dilation]
    error = np.zeros(shape)
    for piece, terms in TRANSFORM_TERMS.items():
        t = matrices(piece, len(kernel))
        forward, padded = np.zeros(shape), shifted(dy, reach[0] - top, reach[1] - left)
        adjoint = np.zeros((shape[0], shape[1] + top, shape[2] + left, shape[3]))
        for part in interleaved(dilation):
            magnitude(t, padded[part], turned, forward[part])
            adjoint_magnitude(t, dy[part], kernel, adjoint[part])
        error = np.maximum(error, gamma(kernel.shape[3] + terms, eps) * forward)
        error = np.maximum(error, gamma(kernel.shape[3] + terms + OVERLAPS, eps) * adjoint[:, top:, left:])
    return [error]


def backward_kernel_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    dy, x, shape, _, ((top, _), (left, _)), dilation, _, _ = args
    error = np.zeros(shape)
    for piece, terms in TRANSFORM_TERMS.items():
        t = matrices(piece, shape[0])
        sums, tiles, padded = np.zeros(shape), 0, shifted(x, top, left)
        for part in interleaved(dilation):
            sums += filter_magnitude(t, padded[part], dy[part])
            tiles += int(np.prod(grid(dy[part].shape, t.m)))
        error = np.maximum(error, gamma(len(x) * tiles + terms, eps) * sums)
    return [error]
