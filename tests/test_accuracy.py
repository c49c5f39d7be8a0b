"""Kernels in float32 against the reference in float64 on data made to hurt, within the bounds of `tests/cases`.

A bound of sums is a multiple of the sum of magnitudes, whatever the data: cancelling, huge, tiny or far from 0. What
kernels do beside that is asked for here too: NaN and infinity come out where they must, denormal numbers count as 0.
`docs/kernels.md` has the table of the bounds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from quernel import kernels, reference
from quernel.testing import arrays, check_result

from .cases import (
    Case,
    activation,
    conv,
    elementwise,
    gemm,
    indexing,
    norm,
    optim,
    pool,
    recurrent,
    reduce,
    softmax,
)

Array = np.ndarray
Change = Callable[[np.random.Generator, Array], Array]


def _signs(x: Array) -> Array:
    """1, -1, 1, ... in the order of memory."""
    return 1.0 - 2.0 * (np.arange(x.size) % 2).reshape(x.shape)


def _scaled(size: float) -> Change:
    return lambda rng, x: size * rng.normal(size=x.shape)


def _put(x: Array, value: float) -> Array:
    """x with `value` in its middle."""
    x.reshape(-1)[x.size // 2] = value
    return x


# Two factors of `huge` or `tiny` make a product near the ends of the range, but of 64 terms and a transform within it.
HURTS: dict[str, Change] = {
    "far from 0": lambda rng, x: 1e4 + rng.normal(size=x.shape),
    "cancelling": lambda rng, x: 1e6 * _signs(x) + rng.normal(size=x.shape),
    "huge": _scaled(1e15),
    "tiny": _scaled(1e-15),
    "of all sizes": lambda rng, x: rng.normal(size=x.shape) * 10.0 ** rng.uniform(-12, 12, x.shape),
    "denormal": _scaled(1e-40),
    "one outlier": lambda rng, x: np.where(
        np.arange(x.size).reshape(x.shape) == x.size // 2, 1e12, rng.normal(size=x.shape)
    ),
}
LINEAR: tuple[Case, ...] = (
    gemm.matmul((37, 301), (301, 29)), gemm.matmul((5, 4001), (4001, 3)), gemm.dense(19, 257, 33),
    *(make(s) for make in conv.ALL_THREE for s in (
        conv.Shape(2, 9, 11, 19, 17), conv.Shape(2, 11, 9, 8, 9, strides=(2, 2)),
        conv.Shape(1, 17, 15, 33, 33, groups=33))),
    *(make(conv.Shape(2, 13, 12, 19, 35), how="winograd") for make in conv.ALL_THREE),
    conv.backward_input(conv.Shape(2, 13, 12, 19, 35, pad="valid"), how="winograd"),
    *(make(conv.Shape(2, 9, 10, 8, 17, window=(5, 5)), how="winograd") for make in conv.ALL_THREE),
    conv.col2im(conv.Shape(2, 8, 9, 5, 5)),
    pool.avg_forward(pool.pooling(2, 9, 11, 19, (3, 3), (2, 2), "same")),
    pool.avg_forward(pool.pooling(2, 17, 17, 70, (17, 17))),
    pool.avg_backward(pool.pooling(2, 9, 11, 19, (3, 3), (2, 2), "same")),
    pool.max_backward(pool.pooling(2, 9, 11, 19, (3, 3), (1, 1), "same")),
    *(reduce.reduce(op, (300, 501), axes) for op in ("sum", "mean", "var") for axes in ((0,), (1,), (0, 1))),
    indexing.scatter_add((301, 35), 7),
    activation.bias_backward((301, 35), "linear"),
    *(elementwise.binary(op, (9, 67), (9, 67)) for op in ("add", "subtract", "multiply")),
)  # fmt: skip


def drawn(case: Case, change: Change | None = None) -> list[Any]:
    """The arguments of a case in float32, its arrays of real numbers drawn anew by `change`."""
    rng = np.random.default_rng(zlib.crc32(case.id.encode()))
    args = case.arguments(rng, np.float32)
    if change is None:
        return args
    return [
        change(rng, v).astype(np.float32) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for v in args
    ]


def check(case: Case, args: Sequence[Any], bound: Any = None) -> None:
    with np.errstate(all="ignore"):
        check_result(
            getattr(kernels, case.function), getattr(reference, case.function), args, bound or case.bound,
            in_place=case.in_place,
        )  # fmt: skip


@pytest.mark.parametrize("hurt", HURTS)
@pytest.mark.parametrize("case", LINEAR, ids=lambda case: case.id)
def test_sums(case, hurt):
    check(case, drawn(case, HURTS[hurt]))


def test_the_bounds_are_tight_enough():
    """Sums in order in float32, and a variance in one pass, do not hold them."""
    total, variance = reduce.reduce("sum", (30000, 3), (0,)), reduce.reduce("var", (300, 501), (0,))
    args = drawn(total, HURTS["far from 0"])
    with pytest.raises(AssertionError, match="differ"):
        check_result(lambda op, x, *_: np.cumsum(x, axis=0)[-1].copy(), reference.reduce, args, total.bound)
    args = drawn(variance, HURTS["far from 0"])
    with pytest.raises(AssertionError, match="differ"):
        check_result(
            lambda op, x, *_: (x * x).mean(axis=0) - x.mean(axis=0) ** 2,
            reference.reduce,
            args,
            variance.bound,
        )


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("make", [norm.train, norm.backward])
@pytest.mark.parametrize("size", [1e-15, 1.0, 1e15])
@pytest.mark.parametrize("deviations", [0.0, 1e4])
def test_batch_norm_far_from_0(make, activation, size, deviations):
    """Channels of mean `deviations` · size and deviation size; backward gets what forward made of them."""
    case = make((3, 17, 19, 21), activation)
    args = drawn(case)
    rng = np.random.default_rng(1)
    x = (size * (deviations + rng.normal(size=(3, 17, 19, 21)))).astype(np.float32)
    if make is norm.train:
        args[0] = x
    else:
        y, mean, _, inv_std = reference.batch_norm_forward_train(
            x.astype(float), args[3], None, 1e-3, activation
        )
        args[1], args[2], args[4], args[5] = (v.astype(np.float32) for v in (x, y, mean, inv_std))
    check(case, args)


def _logits(kind: str, shape: tuple[int, int]) -> Array:
    rng = np.random.default_rng(2)
    if kind == "±1e4":
        return rng.choice([-1e4, 1e4], shape).astype(np.float32)
    if kind == "spread over ±1e4":
        return rng.uniform(-1e4, 1e4, shape).astype(np.float32)
    if kind == "1e30":
        return (1e30 * rng.normal(size=shape)).astype(np.float32)
    x = rng.normal(size=shape).astype(np.float32)
    x[0] = -np.inf
    x[1, :-1] = -np.inf
    x[2, 0] = np.inf
    x[3, 1] = np.nan
    return x


LOGITS = ("±1e4", "spread over ±1e4", "1e30", "infinite")


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize("function", ["softmax_forward", "log_softmax_forward"])
def test_softmax(function, kind):
    check(softmax.rowwise(function, 11, 37), [_logits(kind, (11, 37))])


@pytest.mark.parametrize("kind", LOGITS[:2])
@pytest.mark.parametrize("target", ["int64", "soft"])
def test_cross_entropy(target, kind):
    for case in softmax.xent(11, 37, target):
        check(case, [_logits(kind, (11, 37)), *drawn(case)[1:]])


@pytest.mark.parametrize("bias", [-200.0, -40.0, 40.0, 200.0, "both"])
def test_lstm_saturated_gates(bias):
    """Gates at 0 and 1: cells are kept, added up or forgotten exactly, gradients end without NaN."""
    forward, backward = recurrent.forward(5, 30, 9, 17), recurrent.backward(5, 30, 9, 17)
    args = drawn(forward)
    args[3] = (100 * _signs(args[3]) if bias == "both" else np.full_like(args[3], bias)).astype(np.float32)
    check(forward, args)
    wide = [v.astype(float) if isinstance(v, np.ndarray) else v for v in args]
    h_seq, _, _, gates, c_seq = (v.astype(np.float32) for v in reference.lstm_forward(*wide))
    gradients = drawn(backward)[:3]
    x, kernel, recurrent_kernel, _, h0, c0, lengths, reverse = args
    check(backward, [*gradients, x, kernel, recurrent_kernel, h0, c0, h_seq, gates, c_seq, lengths, reverse])


def _step_bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    """Of each state a few ulp of itself; of the parameter also of a step, which is at most some ten rates long."""
    rate = args[-1][0]
    p, *states = outputs
    return [6 * eps * (np.abs(p) + 10 * rate), *(6 * eps * np.abs(s) for s in states)]


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e-10, 1e10, 1e18])
@pytest.mark.parametrize("make", [optim.adam, optim.rmsprop])
def test_steps_of_tiny_and_huge_gradients(make, size):
    """Squares of gradients below 1e-19 are 0, beside epsilon no loss; of 1e18 they still are finite."""
    case = make(((67,),))
    args = drawn(case)
    args[1] = [(size * v).astype(np.float32) for v in args[1]]
    args[2:-1] = [None if v is None else [np.zeros_like(a) for a in v] for v in args[2:-1]]
    args[-1][2 if make is optim.rmsprop else 3] = 1e-7
    check(case, args, _step_bound)


@pytest.mark.parametrize("size", [1e-30, 1e-15, 1e15, 1e30])
@pytest.mark.parametrize("function", ["clip_by_norm", "clip_by_global_norm"])
def test_norms_of_tiny_and_huge_gradients(function, size):
    """Squares are summed in double precision: they neither overflow nor vanish."""
    case = optim.clip_norm(function, ((301,), (17, 5)), 1.0)
    args = drawn(case)
    args[0] = [(size * v).astype(np.float32) for v in args[0]]
    args[1] = 0.5 * size
    check(case, args)


def test_nan_wins_every_maximum():
    rng = np.random.default_rng(3)
    for case in (
        pool.max_forward(pool.pooling(2, 9, 11, 19)),
        pool.max_forward(pool.pooling(2, 9, 11, 3, (3, 3), (2, 2), "same")),
        *(reduce.reduce(op, (9, 67), axes) for op in ("max", "min") for axes in ((0,), (1,), (0, 1))),
        *(reduce.arg(f, (9, 67), axis) for f in ("argmax", "argmin") for axis in (0, 1)),
        *(elementwise.binary(op, (9, 67), (9, 67)) for op in ("maximum", "minimum")),
        elementwise.clip((9, 67), -1.0, 1.0), *(activation.forward((9, 67), kind) for kind in ("relu", "tanh", "elu")),
    ):  # fmt: skip
        args = drawn(case)
        for x in arrays.arrays_in(args):
            x[rng.random(x.shape) < 0.1] = np.nan
            x[rng.random(x.shape) < 0.1] = np.inf
            x[rng.random(x.shape) < 0.1] = -np.inf
        check(case, args)


def test_infinities_and_nan_go_through_sums():
    for case in LINEAR:
        if "winograd" in case.id or case.function in ("col2im", "scatter_add"):
            continue
        for value in (np.inf, np.nan):
            args = drawn(case)
            _put(next(v for v in args if isinstance(v, np.ndarray) and v.dtype.kind == "f"), value)
            check(case, args)


@pytest.mark.parametrize("op", elementwise.UNARY)
def test_denormal_numbers_count_as_0(op):
    x = np.array([1e-40, -1e-40, 1e-45, -1e-45, 1.1e-38], np.float32)
    if op in ("log", "sqrt"):
        x = np.abs(x)
    got, zero = kernels.unary(op, x), kernels.unary(op, np.copysign(np.float32(0), x))
    np.testing.assert_allclose(got, zero, rtol=0, atol=2e-38)
