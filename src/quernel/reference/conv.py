"""Convolution in two dimensions, channels last, one filter tap at a time.

N images, H x W inputs of C channels, OH x OW outputs of K channels, a filter of KH x KW taps, G groups.
Tap (i, j) meets output (p, q) at input (p * sh + i * dh - top, q * sw + j * dw - left); zero outside x.
`algorithm` is for the kernels: here there is one way.
"""

from __future__ import annotations

import numpy as np

from quernel.reference.activation import activation_forward

__all__ = ["col2im", "conv2d_backward_input", "conv2d_backward_kernel", "conv2d_forward", "im2col"]

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


def _output_size(size: Pair, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair) -> Pair:
    """(OH, OW) of an input of ``size`` (H, W); 0 where the filter does not fit."""
    out = [
        max((n + before + after - (k - 1) * d - 1) // s + 1, 0)
        for n, k, s, (before, after), d in zip(size, kernel_size, strides, padding, dilation, strict=True)
    ]
    return out[0], out[1]


def _tap(i: int, j: int, out: Pair, strides: Pair, dilation: Pair) -> tuple[slice, np.ndarray, np.ndarray]:
    """The index that picks from a padded image (N, H, W, C) what tap (i, j) meets: (N, OH, OW, C).

    It picks no element twice, so that ``+=`` through it adds everything.
    """
    rows = i * dilation[0] + strides[0] * np.arange(out[0])
    columns = j * dilation[1] + strides[1] * np.arange(out[1])
    return slice(None), rows[:, None], columns[None, :]


def _pad(x: np.ndarray, padding: Padding) -> np.ndarray:
    return np.pad(x, ((0, 0), *padding, (0, 0)))


def _unpad(x: np.ndarray, padding: Padding) -> np.ndarray:
    (top, bottom), (left, right) = padding
    return np.ascontiguousarray(x[:, top : x.shape[1] - bottom, left : x.shape[2] - right])


def _groups(channels: int, filters: int, groups: int) -> list[tuple[slice, slice]]:
    """The input channels and the filters of each group."""
    c, k = channels // groups, filters // groups
    return [(slice(g * c, (g + 1) * c), slice(g * k, (g + 1) * k)) for g in range(groups)]


def conv2d_forward(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    activation: str = "linear",
    alpha: float = 0.0,
    algorithm: str = "auto",
) -> np.ndarray:
    """x (N, H, W, C), kernel (KH, KW, C / G, K), bias (K,) or None, giving (N, OH, OW, K)."""
    kh, kw, _, filters = kernel.shape
    out = _output_size(x.shape[1:3], (kh, kw), strides, padding, dilation)
    padded = _pad(x, padding)
    y = np.zeros((x.shape[0], *out, filters), x.dtype)
    for i in range(kh):
        for j in range(kw):
            met = padded[_tap(i, j, out, strides, dilation)]
            for c, k in _groups(x.shape[3], filters, groups):
                y[..., k] += met[..., c] @ kernel[i, j, :, k]
    if bias is not None:
        y += bias
    return activation_forward(y, activation, alpha)


def conv2d_backward_input(
    dy: np.ndarray,
    kernel: np.ndarray,
    input_shape: tuple[int, ...],
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
) -> np.ndarray:
    """dy (N, OH, OW, K) back to dx (N, H, W, C): each tap's share goes where the tap met the input."""
    kh, kw, _, filters = kernel.shape
    dpadded = _pad(np.zeros(input_shape, dy.dtype), padding)
    for i in range(kh):
        for j in range(kw):
            dmet = np.zeros((*dy.shape[:3], input_shape[3]), dy.dtype)
            for c, k in _groups(input_shape[3], filters, groups):
                dmet[..., c] = dy[..., k] @ kernel[i, j, :, k].T
            dpadded[_tap(i, j, dy.shape[1:3], strides, dilation)] += dmet
    return _unpad(dpadded, padding)


def conv2d_backward_kernel(
    dy: np.ndarray,
    x: np.ndarray,
    kernel_shape: tuple[int, ...],
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    algorithm: str = "auto",
) -> np.ndarray:
    """dy (N, OH, OW, K) and x (N, H, W, C) to dkernel (KH, KW, C / G, K), a sum over all outputs."""
    kh, kw, _, filters = kernel_shape
    padded = _pad(x, padding)
    dkernel = np.zeros(kernel_shape, dy.dtype)
    for i in range(kh):
        for j in range(kw):
            met = padded[_tap(i, j, dy.shape[1:3], strides, dilation)]
            for c, k in _groups(x.shape[3], filters, groups):
                dkernel[i, j, :, k] = np.tensordot(met[..., c], dy[..., k], axes=((0, 1, 2), (0, 1, 2)))
    return dkernel


def im2col(x: np.ndarray, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair) -> np.ndarray:
    """x (N, H, W, C) to (N * OH * OW, KH * KW * C): a row holds everything one output meets."""
    n, height, width, channels = x.shape
    kh, kw = kernel_size
    out = _output_size((height, width), kernel_size, strides, padding, dilation)
    padded = _pad(x, padding)
    cols = np.zeros((n, *out, kh, kw, channels), x.dtype)
    for i in range(kh):
        for j in range(kw):
            cols[:, :, :, i, j] = padded[_tap(i, j, out, strides, dilation)]
    return cols.reshape(n * out[0] * out[1], kh * kw * channels)


def col2im(
    cols: np.ndarray,
    input_shape: tuple[int, ...],
    kernel_size: Pair,
    strides: Pair,
    padding: Padding,
    dilation: Pair,
) -> np.ndarray:
    """The adjoint of `im2col`: (N * OH * OW, KH * KW * C) to (N, H, W, C), adding what met the same input."""
    n, height, width, channels = input_shape
    kh, kw = kernel_size
    out = _output_size((height, width), kernel_size, strides, padding, dilation)
    taps = cols.reshape(n, *out, kh, kw, channels)
    padded = _pad(np.zeros(input_shape, cols.dtype), padding)
    for i in range(kh):
        for j in range(kw):
            padded[_tap(i, j, out, strides, dilation)] += taps[:, :, :, i, j]
    return _unpad(padded, padding)
