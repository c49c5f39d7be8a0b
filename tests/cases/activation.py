"""Cases of stem activation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quernel import reference as R
from quernel.backend import SAVES_OUTPUT

from .case import WIDTHS, Array, Case, Draw, gamma, size

KINDS = ("linear", "relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "softplus", "elu")
ALPHA = {"leaky_relu": 0.2, "elu": 1.0}
ULPS = 8.0  # a function of 4 ulp inside, a few roundings round it


def _values(d: Draw, shape: tuple[int, ...], data: str, kind: str) -> Array:
    """ "normal"; "wide": both tails and what is near 0; "special": with infinities and NaN where f is
    defined."""
    if data == "normal":
        return d.normal(*shape)
    if data == "wide":
        x = d.normal(*shape, std=20.0)
        magnitude = np.exp(d.rng.uniform(-40.0, 6.0, shape))
        return np.where(d.rng.random(shape) < 0.5, x, np.sign(x) * magnitude).astype(d.dtype)
    x = d.special(*shape)
    if kind in ("silu", "gelu", "gelu_tanh"):  # 0 · inf on one side: only the tails' finite values
        x = np.where(np.isinf(x), d.dtype.type(30), x)
        x = np.clip(x, -1e4, 1e4).astype(d.dtype)
    return x


def _forward_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    """Relative, but gelu and silu add the rounding of 1 + erf or 1 + tanh, and exp's argument its own."""
    x, kind, alpha = args
    y = np.abs(outputs[0])
    x = np.where(np.isfinite(x), np.abs(x), 0)
    floor = {"gelu": x, "gelu_tanh": x, "elu": abs(alpha) * (x > 0), "silu": 0 * x}.get(kind, 0 * x)
    return [eps * (ULPS * np.where(np.isfinite(y), y, 0) + 2 * floor)]


def forward(shape: tuple[int, ...], kind: str, data: str = "normal", alpha: float | None = None) -> Case:
    slope = ALPHA.get(kind, 0.0) if alpha is None else alpha
    return Case(
        "activation_forward", f"{_name(shape, kind, data)}{'' if alpha is None else alpha}",
        lambda d: [_values(d, shape, data, kind), kind, slope], _forward_bound, rows=(0,),
        flops=size(*shape), elements=2 * size(*shape),
    )  # fmt: skip


def _derivative_error(saved: Array, kind: str, alpha: float, eps: float) -> Array:
    """f' is a sum of terms of size 1 (1 - y², y (1 - y), cdf + x·pdf ...), x entering squared where it is
    saved."""
    x = np.where(np.isfinite(saved), np.abs(saved), 0)
    growth = 0 if kind in SAVES_OUTPUT else np.minimum(x, 10.0) ** 2
    return ULPS * eps * (max(1.0, alpha) + growth)


def _backward_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    dy, saved, kind, alpha = args
    exact = kind in ("linear", "relu")
    return [0.0 if exact else np.abs(dy) * _derivative_error(saved, kind, alpha, eps)]


def _saved(d: Draw, shape: tuple[int, ...], kind: str, data: str, alpha: float) -> Array:
    x = _values(d, shape, data, kind)
    return R.activation_forward(x, kind, alpha) if kind in SAVES_OUTPUT else x


def backward(shape: tuple[int, ...], kind: str, data: str = "normal", alpha: float | None = None) -> Case:
    slope = ALPHA.get(kind, 0.0) if alpha is None else alpha
    return Case(
        "activation_backward", f"{_name(shape, kind, data)}{'' if alpha is None else alpha}",
        lambda d: [d.normal(*shape), _saved(d, shape, kind, data, slope), kind, slope],
        _backward_bound, flops=2 * size(*shape), elements=3 * size(*shape),
    )  # fmt: skip


def _bias_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    (d_dz,) = _backward_bound(args, outputs, eps)
    d_dz = np.broadcast_to(d_dz, outputs[0].shape)
    axes = tuple(range(outputs[0].ndim - 1))
    terms = outputs[0].size / max(outputs[1].size, 1)
    return [d_dz, d_dz.sum(axis=axes) + gamma(terms, eps) * np.abs(outputs[0]).sum(axis=axes)]


def bias_backward(shape: tuple[int, ...], kind: str, alpha: float | None = None) -> Case:
    slope = ALPHA.get(kind, 0.0) if alpha is None else alpha
    return Case(
        "bias_activation_backward", f"{_name(shape, kind, 'normal')}{'' if alpha is None else alpha}",
        lambda d: [d.normal(*shape), _saved(d, shape, kind, "normal", slope), kind, slope],
        _bias_bound, flops=3 * size(*shape), elements=3 * size(*shape),
    )  # fmt: skip


def _name(shape: tuple[int, ...], kind: str, data: str) -> str:
    return f"{'x'.join(map(str, shape))}-{kind}-{data}"


SHAPES = (*((w,) for w in WIDTHS), (3, 5, 7), (67, 301), (4, 0, 3), (1, 1, 1, 1))
BIAS_SHAPES = (*((6, w) for w in WIDTHS), *((w, 3) for w in WIDTHS), (2, 3, 5, 19), (700, 33), (0, 4), (3, 0))

# Past the size from which outputs are written past the caches: rows of whole cache lines, and others.
LARGE = ((3, 720, 1024), (3, 720, 1027))

CASES = [
    *(make(s, kind) for make in (forward, backward) for kind in ("relu", "gelu") for s in LARGE),
    *(bias_backward(s, "relu") for s in LARGE),
    *(make(s, kind) for make in (forward, backward) for kind in KINDS for s in SHAPES),
    *(make((9, 401), kind, "wide") for make in (forward, backward) for kind in KINDS),
    *(forward((7, 93), kind, "special") for kind in KINDS),
    *(
        make((5, 33), kind, alpha=a)
        for make in (forward, backward)
        for kind in ALPHA
        for a in (0.0, 0.01, 2.5)
    ),
    *(bias_backward(s, kind) for kind in ("relu", "tanh") for s in BIAS_SHAPES),
    *(bias_backward((9, 18), kind) for kind in sorted(SAVES_OUTPUT)),
    bias_backward((9, 17), "leaky_relu", 0.5),
]
