"""Every backward function of both backends, in float64, against finite differences of its forward function.

On the shapes of `tests/cases`. (Operations and networks are checked through the tape in
`tests/test_gradients.py` and beside each operation; here nothing stands between the numbers and the kernel.)
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from quernel import kernels, reference
from quernel.backend import SAVES_OUTPUT

from .cases import Case, of

# Four points; the error is of the order of STEP^4, and of 2^-53 / STEP.
STEP = 1e-3
STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
TOLERANCE = 1e-6
LARGEST = 4000  # elements an argument of a case may have here


@dataclass(frozen=True)
class Pair:
    """A forward function and how its gradients are had from backward functions.

    gradients  (backend, arguments, outputs, gradients of the outputs) -> {position of the argument: its
    gradient} outputs    how many of the outputs are differentiable: the first ones
    away       moves the arguments away from kinks and ties
    """

    forward: str
    gradients: Callable[[Any, list[Any], list[Any], list[Any]], dict[int, Any]]
    outputs: int = 1
    suits: Callable[[list[Any]], bool] = lambda a: True
    away: Callable[[list[Any], np.random.Generator], None] = lambda a, rng: None


def spread(args: list[Any], rng: np.random.Generator) -> None:
    """No two elements are close to each other: a maximum stays where it is."""
    args[0] = 0.1 * rng.permutation(args[0].size).reshape(args[0].shape)


def off_zero(args: list[Any], rng: np.random.Generator) -> None:
    args[0] = np.where(args[0] < 0, args[0] - 0.05, args[0] + 0.05)


def conv(B: Any, a: list[Any], out: list[Any], d: list[Any]) -> dict[int, Any]:
    return {
        0: B.conv2d_backward_input(d[0], a[1], a[0].shape, *a[3:7], a[9]),
        1: B.conv2d_backward_kernel(d[0], a[0], a[1].shape, *a[3:7], a[9]),
    }


def batch_norm(B: Any, a: list[Any], out: list[Any], d: list[Any]) -> dict[int, Any]:
    gradients = B.batch_norm_backward(d[0], a[0], out[0], a[1], out[1], out[3], "linear")
    return {i: g for i, g in enumerate(gradients) if a[i] is not None}


def lstm(B: Any, a: list[Any], out: list[Any], d: list[Any]) -> dict[int, Any]:
    x, kernel, recurrent_kernel, _, h0, c0, lengths, reverse = a
    dx, dkernel, drecurrent, dbias, dh0, dc0 = B.lstm_backward(
        *d, x, kernel, recurrent_kernel, h0, c0, out[0], out[3], out[4], lengths, reverse
    )
    gradients = {0: dx, 1: dkernel, 2: drecurrent, 3: dbias, 4: dh0, 5: dc0}
    return {i: g for i, g in gradients.items() if a[i] is not None}


def lstm_cell(B: Any, a: list[Any], out: list[Any], d: list[Any]) -> dict[int, Any]:
    x, h, c, kernel, recurrent_kernel, _ = a
    dx, dh, dc, dkernel, drecurrent, dbias = B.lstm_cell_backward(
        *d, x, h, c, *out[1:], kernel, recurrent_kernel
    )
    gradients = {0: dx, 1: dh, 2: dc, 3: dkernel, 4: drecurrent, 5: dbias}
    return {i: g for i, g in gradients.items() if a[i] is not None}


def activation(B: Any, a: list[Any], out: list[Any], d: list[Any]) -> dict[int, Any]:
    saved = out[0] if a[1] in SAVES_OUTPUT else a[0]
    return {0: B.activation_backward(d[0], saved, *a[1:])}


def cross_entropy(gradient, args, dloss):
    """The gradient is made with weights of the rows: dloss is one more."""
    *others, row_weight, scale = args
    return {0: gradient(*others, dloss[0] if row_weight is None else dloss[0] * row_weight, scale)[1]}


PAIRS = [
    Pair("conv2d_forward", conv, suits=lambda a: a[7] == "linear"),
    Pair("max_pool2d_forward", lambda B, a, out, d: {0: B.max_pool2d_backward(d[0], out[1], a[0].shape, *a[1:])},
         away=spread, suits=lambda a: bool(np.isfinite(a[0]).all())),
    Pair("avg_pool2d_forward", lambda B, a, out, d: {0: B.avg_pool2d_backward(d[0], a[0].shape, *a[1:])}),
    Pair("batch_norm_forward_train", batch_norm, suits=lambda a: a[4] == "linear" and abs(a[0]).max(initial=0) < 1e3),
    Pair("lstm_forward", lstm, outputs=3),
    Pair("lstm_cell_forward", lstm_cell, outputs=2),
    Pair("softmax_forward", lambda B, a, out, d: {0: B.softmax_backward(d[0], out[0])}),
    Pair("log_softmax_forward", lambda B, a, out, d: {0: B.log_softmax_backward(d[0], out[0])}),
    Pair("softmax_xent_forward", lambda B, a, out, d: cross_entropy(B.softmax_xent_gradient, a, d)),
    Pair("softmax_xent_soft_forward", lambda B, a, out, d: cross_entropy(B.softmax_xent_soft_gradient, a, d)),
    Pair("activation_forward", activation, away=off_zero, suits=lambda a: bool((abs(a[0]) < 20).all())),
    Pair("im2col", lambda B, a, out, d: {0: B.col2im(d[0], a[0].shape, *a[1:])}),
    Pair("col2im", lambda B, a, out, d: {0: B.im2col(d[0], *a[2:])}),
    Pair("gather", lambda B, a, out, d: {0: B.scatter_add(d[0], a[1], a[0].shape[a[2]], a[2])},
         suits=lambda a: bool((abs(a[0]) < 1e3).all())),
]  # fmt: skip


def away_from_zero(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A direction, or weights, none of whose components is near 0: each element of a gradient counts."""
    return rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def outputs(result: Any) -> list[np.ndarray]:
    return list(result) if isinstance(result, tuple) else [result]


def check(pair: Pair, backend: Any, case: Case) -> None:
    rng = np.random.default_rng(zlib.crc32(case.id.encode()))
    args = case.arguments(rng, np.float64)
    real = [a for a in args if isinstance(a, np.ndarray)]
    finite = all(np.isfinite(a).all() for a in real)
    if max((a.size for a in real), default=0) > LARGEST or not finite or not pair.suits(args):
        return
    pair.away(args, rng)
    forward = getattr(backend, pair.forward)
    results = outputs(forward(*args))
    if not all(np.isfinite(y).all() for y in results):
        return  # windows that see padding only
    weights = [away_from_zero(y.shape, rng) for y in results[: pair.outputs]]
    for position, gradient in pair.gradients(backend, args, results, weights).items():
        x = args[position]
        assert gradient.shape == x.shape, (
            f"argument {position}: gradient of shape {gradient.shape}, not {x.shape}"
        )
        direction = away_from_zero(x.shape, rng)
        slope, scale = 0.0, 1.0
        for factor, share in STENCIL:
            moved = [*args[:position], x + factor * STEP * direction, *args[position + 1 :]]
            values = [w * y for w, y in zip(weights, outputs(forward(*moved)), strict=False)]
            slope += share * sum(v.sum() for v in values) / STEP
            scale = max(scale, sum(abs(v).sum() for v in values))
        product = gradient * direction
        error = abs(slope - product.sum()) / (abs(product).sum() + 1e-3 * scale)
        assert error < TOLERANCE, f"{case.id}, argument {position}: off by {error:.1e}"


@pytest.mark.parametrize("backend", [reference, kernels], ids=["reference", "kernels"])
@pytest.mark.parametrize("pair", PAIRS, ids=[pair.forward for pair in PAIRS])
def test_backward_against_finite_differences(pair, backend):
    for case in of(pair.forward):
        check(pair, backend, case)


def test_a_backward_wrong_by_a_thousandth_is_found():
    right = PAIRS[0]
    wrong = Pair(right.forward, lambda *a: {i: 1.001 * g for i, g in right.gradients(*a).items()})
    case = of(right.forward)[5]
    check(right, reference, case)
    with pytest.raises(AssertionError, match="off by"):
        check(wrong, reference, case)
