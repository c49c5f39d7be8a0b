"""Cases of stem norm: M values in each of C channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quernel import reference as R

from .case import WIDTHS, Array, Case, Draw, gamma, relative, size

# Of the variance's relative error half goes into 1 / sqrt; a handful of ulp for the roundings of one element.
FEW = 6.0


def _columns(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1]) if x.size else np.zeros((1, x.shape[-1]))


def _train_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    """Mean first, then deviations from it; all terms of a sum of M enter `gamma(M)`."""
    x, scale, shift, epsilon = args[:4]
    y, mean, var, inv_std = outputs
    g = gamma(_columns(x).shape[0] + 2, eps)
    d_mean = g * np.abs(_columns(x)).mean(axis=0) + eps * np.abs(mean)
    d_var = (g + FEW * eps) * var + d_mean**2
    d_relative = d_var / (var + epsilon) + FEW * eps  # of 1 / sqrt(var + epsilon)
    deviation = np.abs(x - mean) * inv_std
    d_x_hat = deviation * d_relative + (d_mean + FEW * eps * (np.abs(x) + np.abs(mean))) * inv_std
    d_y = d_x_hat * (1.0 if scale is None else np.abs(scale))
    d_y = d_y + FEW * eps * (np.abs(y) + (0.0 if shift is None else np.abs(shift)))
    return [d_y, d_mean, d_var, inv_std * d_relative]


def _values(d: Draw, shape: tuple[int, ...], data: str) -> Array:
    if data == "shifted":  # a mean of thousands of deviations
        return d.normal(*shape, mean=3000.0)
    if data == "constant":
        return np.full(shape, 1.7, d.dtype)
    return d.normal(*shape) * d.uniform(0.1, 3.0, shape[-1]) + d.normal(shape[-1])


def _affine(d: Draw, channels: int, affine: str) -> list[Any]:
    scale = d.normal(channels) if affine in ("both", "gamma") else None
    return [scale, d.normal(channels) if affine in ("both", "beta") else None]


def train(
    shape: tuple[int, ...], activation: str = "linear", affine: str = "both", data: str = "normal"
) -> Case:
    return Case(
        "batch_norm_forward_train", _name(shape, activation, affine, data),
        lambda d: [_values(d, shape, data), *_affine(d, shape[-1], affine), 1e-3, activation],
        _train_bound, flops=8 * size(*shape), elements=3 * size(*shape),
    )  # fmt: skip


def _inference_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    """Both (x - mean)·inv_std·gamma + beta and x·scale + shift with folded statistics are within this."""
    x, scale, shift, mean, var, epsilon = args[:6]
    size_y = (np.abs(x) + np.abs(mean)) / np.sqrt(var + epsilon) * (1.0 if scale is None else np.abs(scale))
    return [FEW * eps * (size_y + (0.0 if shift is None else np.abs(shift)))]


def inference(shape: tuple[int, ...], activation: str = "linear", affine: str = "both") -> Case:
    def make(d: Draw) -> list[Any]:
        c = shape[-1]
        statistics = [d.normal(c), d.uniform(0.1, 4.0, c)]
        return [d.normal(*shape), *_affine(d, c, affine), *statistics, 1e-3, activation]

    return Case(
        "batch_norm_forward_inference", _name(shape, activation, affine, "normal"), make, _inference_bound,
        rows=(0,), flops=2 * size(*shape), elements=2 * size(*shape),
    )  # fmt: skip


def _backward_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    dy, x, y, scale, mean, inv_std, activation = args
    dz = np.abs(np.where(y > 0, dy, 0) if activation == "relu" else dy)
    x_hat = np.abs(x - mean) * inv_std
    d_x_hat = FEW * eps * (np.abs(x) + np.abs(mean)) * inv_std
    m = max(x.size // max(x.shape[-1], 1), 1)
    g = gamma(m + 2, eps) + FEW * eps
    d_beta = g * _columns(dz).sum(axis=0)
    d_gamma = g * _columns(dz * x_hat).sum(axis=0) + _columns(dz * d_x_hat).sum(axis=0)
    _, dgamma, dbeta = (np.abs(v) for v in outputs)
    d_dx = (
        FEW * eps * (dz + dbeta / m + x_hat * dgamma / m) + (d_beta + x_hat * d_gamma + d_x_hat * dgamma) / m
    )
    return [inv_std * (1.0 if scale is None else np.abs(scale)) * d_dx, d_gamma, d_beta]


def backward(
    shape: tuple[int, ...], activation: str = "linear", affine: str = "both", data: str = "normal"
) -> Case:
    def make(d: Draw) -> list[Any]:
        x, (scale, shift) = _values(d, shape, data), _affine(d, shape[-1], affine)
        y, mean, _, inv_std = R.batch_norm_forward_train(x, scale, shift, 1e-3, activation)
        return [d.normal(*shape), x, y, scale, mean, inv_std, activation]

    return Case(
        "batch_norm_backward", _name(shape, activation, affine, data), make, _backward_bound,
        flops=11 * size(*shape), elements=5 * size(*shape),
    )  # fmt: skip


def running(channels: int, momentum: float) -> Case:
    def make(d: Draw) -> list[Any]:
        return [
            d.normal(channels),
            d.uniform(0, 2, channels),
            d.normal(channels),
            d.uniform(0, 2, channels),
            momentum,
        ]

    return Case(
        "batch_norm_update_running", f"{channels}-{momentum}", make, relative(FEW, floor=FEW),
        in_place=(0, 1),
        elements=6.0 * channels,
    )  # fmt: skip


def _name(shape: tuple[int, ...], activation: str, affine: str, data: str) -> str:
    return f"{'x'.join(map(str, shape))}-{activation}-{affine}-{data}"


SHAPES = (
    *((6, w) for w in WIDTHS),
    *((w, 5) for w in WIDTHS),
    (2, 5, 7, 16), (3, 4, 4, 33), (2, 9, 3), (1, 1, 1, 8), (311, 1), (700, 67), (4, 19, 23, 96),
    (2, 3, 1, 2, 5),
    (0, 4), (3, 0), (2, 0, 3, 4),
)  # fmt: skip
VARIANTS = (((5, 6, 7, 19), affine) for affine in ("gamma", "beta", "none"))

# Past the size from which outputs are written past the caches: lines of whole cache lines, and others.
LARGE = ((3, 70, 170, 64), (3, 70, 150, 70), (3, 70, 35, 301))

CASES = [
    *(make(s, "relu") for make in (train, inference, backward) for s in LARGE),
    *(make(s, activation) for make in (train, inference, backward) for s in SHAPES
      for activation in ("linear", "relu")),
    *(make(s, "relu", affine) for s, affine in VARIANTS for make in (train, inference, backward)),
    *(make((50, 9), "linear", "both", data) for make in (train, backward) for data in ("shifted",
      "constant")),
    train((4000, 3), "relu", "both", "shifted"),
    *(running(w, 0.99) for w in WIDTHS),
    running(0, 0.9), running(4, 0.0), running(4, 1.0),
]  # fmt: skip
