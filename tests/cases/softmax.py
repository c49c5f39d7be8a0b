"""Cases of stem softmax: R rows of C classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quernel import reference as R

from .case import WIDTHS, Array, Case, Draw, gamma, size

FEW = 6.0  # roundings of one element, the logarithm's and the exponential's own 4 ulp included, in eps


def _logits(d: Draw, r: int, c: int, data: str) -> Array:
    if data == "huge":  # differences that overflow exp, sums that cancel
        return d.normal(r, c, mean=5000.0, std=300.0)
    if data == "rising":  # every piece of a row has a new maximum
        return np.sort(d.normal(r, c, std=3.0), axis=1)
    if data == "equal":
        return np.full((r, c), -3.25, d.dtype)
    x = d.normal(r, c, std=3.0)
    if data == "masked" and c:  # classes of probability 0, never the whole row
        x[(d.rng.random((r, c)) < 0.3) & (np.arange(c) != c - 1)] = -np.inf
    return x


def _relative(x: Array, eps: float) -> Array:
    """Relative error of exp(x - max) / sum: the subtraction's rounding is enlarged by |x - max|."""
    with np.errstate(all="ignore"):
        distance = np.abs(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    return gamma(x.shape[1], eps) + eps * (FEW + np.where(np.isfinite(distance), distance, 0))


def _softmax_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    return [outputs[0] * _relative(args[0], eps)]


def _log_softmax_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    x, y = args[0], outputs[0]
    return [gamma(x.shape[1], eps) + FEW * eps * (1 + _finite(y) + _largest(x))]


def _finite(x: Array) -> Array:
    return np.where(np.isfinite(x), np.abs(x), 0)


def _largest(x: Array) -> Array:
    return _finite(x).max(axis=1, keepdims=True, initial=0.0)


def _backward_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    dy, y = np.abs(args[0]), np.abs(args[1])
    return [
        FEW * eps * y * dy + y * (gamma(y.shape[1], eps) + FEW * eps) * (dy * y).sum(axis=1, keepdims=True)
    ]


def _log_backward_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    dy, p = np.abs(args[0]), np.exp(args[1])
    relative = gamma(p.shape[1], eps) + eps * (FEW + _finite(args[1]))
    return [FEW * eps * dy + p * relative * dy.sum(axis=1, keepdims=True)]


def rowwise(function: str, r: int, c: int, data: str = "normal") -> Case:
    """softmax and log-softmax, forward and backward."""
    forward = getattr(R, function.replace("backward", "forward"))
    bounds = {
        "softmax_forward": _softmax_bound, "log_softmax_forward": _log_softmax_bound,
        "softmax_backward": _backward_bound, "log_softmax_backward": _log_backward_bound,
    }  # fmt: skip

    def make(d: Draw) -> list[Any]:
        x = _logits(d, r, c, data)
        return [x] if function.endswith("forward") else [d.normal(r, c), forward(x)]

    backward = function.endswith("backward")
    return Case(
        function, f"{r}x{c}-{data}", make, bounds[function], rows=() if backward else (0,),
        flops=5 * size(r, c), elements=(3 if backward else 2) * size(r, c),
    )  # fmt: skip


def _target(d: Draw, r: int, c: int, target: str) -> Array:
    """ "int64", "int32" labels, "onehot", or "soft" distributions whose sum is not 1."""
    if target in ("int64", "int32"):
        return d.integers(max(c, 1), r, dtype=target)
    if target == "onehot":
        return np.eye(max(c, 1), c, dtype=d.dtype)[d.integers(max(c, 1), r)]
    return d.uniform(0.0, 2.0 / max(c, 1), r, c)


def _options(
    d: Draw, r: int, c: int, target: str, weighted: bool, ignore: int | None, smoothing: float
) -> list[Any]:
    """All arguments but the logits; `weighted` weights classes and rows."""
    soft = target in ("onehot", "soft")
    labels = _target(d, r, c, target)
    weights = [d.uniform(0.2, 2.0, c), d.uniform(0.0, 2.0, r)] if weighted else [None, None]
    scale = 1 / max(r, 1) if weighted else 1.0
    return [labels, weights[0], *([] if soft else [ignore]), smoothing, weights[1], scale]


def _weights(x: Array, options: Sequence[Any]) -> Array:
    """v q, (R, C): a row's loss is made of v q (lse - x)."""
    target, class_weight, (smoothing, row_weight, scale) = options[0], options[1], options[-3:]
    classes = x.shape[1]
    if target.ndim == 1:
        target = (target[:, None] == np.arange(classes)).astype(float)
    q = (1 - smoothing) * np.abs(target) + smoothing / max(classes, 1)
    v = scale if row_weight is None else scale * np.abs(row_weight[:, None])
    return v * (q if class_weight is None else q * class_weight)


def _xent_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    x, q = args[0], _weights(args[0], args[1:])
    with np.errstate(all="ignore"):
        lse = np.abs((x - R.log_softmax_forward(x)).max(axis=1, initial=-np.inf, where=np.isfinite(x)))
    d_lse = gamma(x.shape[1], eps) + FEW * eps * (1 + lse + _largest(x)[:, 0])
    return [(q * (d_lse[:, None] + FEW * eps * (_finite(x) + lse[:, None]))).sum(axis=1) * 2]


def _xent_gradient_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    x, q = args[0], _weights(args[0], args[1:])
    p, total = R.softmax_forward(x), q.sum(axis=1, keepdims=True)
    error = p * _relative(x, eps) * total + FEW * eps * (q + p * total)
    return [*_xent_bound(args, outputs, eps), error]


def xent(
    r: int, c: int, target: str = "int64", weighted: bool = False, ignore: int | None = None,
    smoothing: float = 0.0, data: str = "normal",
) -> list[Case]:  # fmt: skip
    """One cross-entropy: the loss alone, and with its gradient."""
    soft = target in ("onehot", "soft")
    stem = "softmax_xent_soft" if soft else "softmax_xent"
    parts = [f"{r}x{c}-{target}-{data}", "weighted" * weighted, f"ignore{ignore}" * (ignore is not None)]
    name = "-".join(filter(None, [*parts, f"smooth{smoothing}" * bool(smoothing)]))

    def make(d: Draw) -> list[Any]:
        return [_logits(d, r, c, data), *_options(d, r, c, target, weighted, ignore, smoothing)]

    rows = (0, 1, 4 if soft else 5)  # logits, targets, row weights
    return [
        Case(f"{stem}_forward", name, make, _xent_bound, rows=rows, flops=5 * size(r, c), elements=size(r, c)),
        Case(
            f"{stem}_gradient", name, make, _xent_gradient_bound, rows=rows,
            flops=7 * size(r, c), elements=2 * size(r, c),
        ),
    ]  # fmt: skip


FUNCTIONS = ("softmax_forward", "softmax_backward", "log_softmax_forward", "log_softmax_backward")
SIZES = (
    *((5, w) for w in WIDTHS), *((w, 10) for w in WIDTHS), (3, 1031), (301, 67), (1, 1), (0, 5),
)  # fmt: skip

CASES = [
    *(rowwise(f, r, c) for f in FUNCTIONS for r, c in SIZES),
    *(rowwise(f, 9, 37, data) for f in FUNCTIONS for data in ("huge", "equal", "masked")),
    *(case for r, c in SIZES for case in xent(r, c)),
    *(rowwise(f, 3, 5003, data) for f in FUNCTIONS for data in ("rising", "masked")),
    *(case for data in ("rising", "masked") for case in xent(3, 5003, data=data)),
    *xent(300, 7001), *xent(150, 14016), *xent(300, 7001, "soft", smoothing=0.1),  # dx written past the caches
    *(case for target in ("int32", "onehot", "soft") for case in xent(9, 19, target)),
    *(case for data in ("huge", "equal", "masked") for target in ("int64",) for case in xent(9, 37, target,
      data=data)),
    *(case for data in ("huge", "equal") for case in xent(9, 37, "soft", data=data)),
    *(case for target in ("int64", "soft") for weighted in (False, True) for smoothing in (0.0, 0.1, 1.0)
      for case in xent(11, 17, target, weighted, None, smoothing) if weighted or smoothing),
    *(case for ignore in (0, 3) for weighted in (False, True) for case in xent(40, 5, "int64", weighted,
      ignore, 0.1)),
    *(case for case in xent(40, 5, "int64", True, 2)),
    *(case for case in xent(40, 5, "int64", False, -1)),
]  # fmt: skip
