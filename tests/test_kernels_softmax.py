"""Softmax kernels against the reference, and what is special: infinities, huge logits, bad labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quernel import kernels, reference
from quernel.kernels.threads import get_num_threads, set_num_threads

SIZES = [1, 2, 7, 8, 9, 10, 15, 16, 17, 31, 33, 65, 1000, 5003]
REALS = [np.float32, np.float64]


def agree(name: str, *args: Any) -> None:
    """The kernel gives what the float64 reference gives, to some ulps; the same bits on 1 and 2 threads."""
    real = next(a.dtype for a in args if isinstance(a, np.ndarray) and a.dtype.kind == "f")
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args]
    expected = getattr(reference, name)(*wide)
    results, before = [], get_num_threads()
    for threads in (1, 2):
        set_num_threads(threads)
        results.append(getattr(kernels, name)(*args))
    set_num_threads(before)
    for one, two, true in zip(
        *(r if isinstance(r, tuple) else (r,) for r in (*results, expected)), strict=True
    ):
        assert one.dtype == real
        assert one.shape == true.shape
        np.testing.assert_array_equal(one, two)
        scale = np.max(np.abs(true[np.isfinite(true)]), initial=1)
        np.testing.assert_allclose(
            one, true, rtol=40 * np.finfo(real).eps, atol=10 * scale * np.finfo(real).eps
        )


def logits_of(rng: np.random.Generator, rows: int, classes: int, real: type) -> np.ndarray:
    return (3 * rng.standard_normal((rows, classes))).astype(real)


@pytest.mark.parametrize("classes", SIZES)
@pytest.mark.parametrize("real", REALS)
def test_softmax_and_log_softmax(rng: np.random.Generator, classes: int, real: type) -> None:
    x = logits_of(rng, 5, classes, real)
    dy = rng.standard_normal(x.shape).astype(real)
    agree("softmax_forward", x)
    agree("softmax_backward", dy, kernels.softmax_forward(x))
    agree("log_softmax_forward", x)
    agree("log_softmax_backward", dy, kernels.log_softmax_forward(x))


@pytest.mark.parametrize("classes", SIZES)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(
    rng: np.random.Generator, classes: int, real: type, weighted: bool, smoothing: float
) -> None:
    x = logits_of(rng, 6, classes, real)
    weight = rng.uniform(0.5, 2, classes).astype(real) if weighted else None
    rows = (rng.standard_normal(6).astype(real), 0.25) if weighted else (None, 1.0)
    label = rng.integers(0, classes, 6)
    label[2] = -100
    agree("softmax_xent_forward", x, label, weight, -100, smoothing, *rows)
    agree("softmax_xent_gradient", x, label.astype(np.int32), weight, -100, smoothing, *rows)
    soft = rng.uniform(0, 1, x.shape).astype(real)
    agree("softmax_xent_soft_forward", x, soft, weight, smoothing, *rows)
    agree("softmax_xent_soft_gradient", x, soft, weight, smoothing, *rows)


def test_many_rows_on_two_threads(rng: np.random.Generator) -> None:
    x = logits_of(rng, 20_000, 10, np.float32)
    label = rng.integers(0, 10, len(x))
    agree("softmax_forward", x)
    agree("softmax_xent_forward", x, label, None, None, 0.0, None, 1.0)
    agree("softmax_xent_gradient", x, label, None, None, 0.0, None, 1 / len(x))


def test_a_row_does_not_depend_on_its_neighbours(rng: np.random.Generator) -> None:
    for classes in (10, 40):
        x = logits_of(rng, 9, classes, np.float32)
        alone = np.concatenate([kernels.softmax_forward(x[i : i + 1]) for i in range(9)])
        np.testing.assert_array_equal(alone, kernels.softmax_forward(x))


@pytest.mark.parametrize("functions", [kernels, reference])
@pytest.mark.parametrize("classes", [4, 40])
@pytest.mark.parametrize("real", REALS)
def test_classes_ruled_out_by_minus_infinity(functions: Any, classes: int, real: type) -> None:
    x = np.full((2, classes), -np.inf, real)
    x[0, :2] = [0.0, np.log(3)]
    x[1, classes - 1] = 5.0
    y = functions.softmax_forward(x)
    np.testing.assert_allclose(y[0, :2], [0.25, 0.75], rtol=1e-6)
    assert y[1, classes - 1] == 1
    assert (y[1, :-1] == 0).all()
    assert np.isneginf(functions.log_softmax_forward(x)[0, 2:]).all()
    soft = np.zeros_like(x)
    soft[0, :2], soft[1, classes - 1] = 0.5, 1.0
    for loss, dx in (
        functions.softmax_xent_gradient(x, np.array([0, classes - 1]), None, None, 0.0, None, 1.0),
        functions.softmax_xent_soft_gradient(x, soft, None, 0.0, None, 1.0),
    ):
        assert np.isfinite(loss).all()
        assert loss[1] == 0
        assert np.isfinite(dx).all()
        assert (dx[1] == 0).all()
    ruled_out, dx = functions.softmax_xent_gradient(x, np.array([2, 0]), None, None, 0.0, None, 1.0)
    assert np.isposinf(ruled_out).all()
    assert np.isfinite(dx).all()


@pytest.mark.parametrize("functions", [kernels, reference])
@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("height", [1e4, 1e8, 1e30])
def test_huge_logits(functions: Any, classes: int, height: float) -> None:
    x = np.zeros((1, classes), np.float32)
    x[0, :2] = height
    label = np.array([1])
    np.testing.assert_allclose(functions.softmax_forward(x)[0, :3], [0.5, 0.5, 0])
    loss, dx = functions.softmax_xent_gradient(x, label, None, None, 0.0, None, 1.0)
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(dx[0, :3], [0.5, -0.5, 0], atol=1e-6)


@pytest.mark.parametrize("functions", [kernels, reference])
@pytest.mark.parametrize("classes", [3, 40])
def test_nan_reaches_its_whole_row_and_no_other(functions: Any, classes: int) -> None:
    x = np.zeros((3, classes), np.float32)
    x[1, 1] = np.nan
    x[2] = -np.inf
    for forward in (functions.softmax_forward, functions.log_softmax_forward):
        y = forward(x)
        assert np.isfinite(y[0]).all()
        assert np.isnan(y[1]).all()
        assert np.isnan(y[2]).all()
    loss, dx = functions.softmax_xent_gradient(x, np.array([0, 0, 0]), None, None, 0.0, None, 1.0)
    assert np.isnan(loss).tolist() == [False, True, True]
    assert np.isnan(dx).all(axis=1).tolist() == [False, True, True]
    assert np.isfinite(dx[0]).all()
    without = functions.softmax_xent_forward(x, np.array([0, 0, 0]), None, None, 0.0, None, 1.0)
    assert np.isnan(without).tolist() == [False, True, True]


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("place", [0, 700, 2500, 4999])
def test_special_values_in_any_piece_of_a_long_row(real: type, place: int) -> None:
    x = np.full((5, 5000), -np.inf, real)
    x[0, place] = 3.0
    x[1, place] = np.nan
    x[2:] = 1.0
    x[2, place], x[3, place], x[4, place] = np.nan, np.inf, 1e30
    label = np.full(5, place)
    with_gradient, dx = kernels.softmax_xent_gradient(x, label, None, None, 0.0, None, 1.0)
    for loss in (kernels.softmax_xent_forward(x, label, None, None, 0.0, None, 1.0), with_gradient):
        assert np.isnan(loss).tolist() == [False, True, True, True, False]
        assert loss[[0, 4]].tolist() == [0.0, 0.0]
    assert np.isnan(dx).all(axis=1).tolist() == [False, True, True, True, False]
    assert not dx[[0, 4]].any()
    y = kernels.log_softmax_forward(x)
    np.testing.assert_array_equal(y[[0, 4]], reference.log_softmax_forward(x[[0, 4]]))


@pytest.mark.parametrize("functions", [kernels, reference])
@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_that_are_no_class(functions: Any, classes: int, smoothing: float) -> None:
    x = np.zeros((4, classes), np.float32)
    weight = np.ones(classes, np.float32)
    label = np.array([0, classes, -1, np.iinfo(np.int64).max])
    loss, dx = functions.softmax_xent_gradient(x, label, weight, -1, smoothing, None, 1.0)
    assert np.isnan(loss).tolist() == [False, True, False, True]
    assert loss[2] == 0
    assert (dx[0] != 0).all()
    assert (dx[1:] == 0).all()


@pytest.mark.parametrize("shape", [(0, 3), (0, 0), (2, 0)])
def test_nothing(shape: tuple[int, int]) -> None:
    x = np.zeros(shape, np.float32)
    label = np.zeros(shape[0], np.int64)
    one: Callable[..., np.ndarray]
    for one in (kernels.softmax_forward, kernels.log_softmax_forward):
        assert one(x).shape == shape
    loss, dx = kernels.softmax_xent_gradient(x, label, None, None, 0.1, None, 1.0)
    assert (loss.shape, dx.shape) == (shape[:1], shape)
    loss, dx = kernels.softmax_xent_soft_gradient(x, x, None, 0.1, None, 1.0)
    assert (loss.shape, dx.shape) == (shape[:1], shape)


def test_inputs_stay_and_may_be_read_only(rng: np.random.Generator) -> None:
    x = logits_of(rng, 4, 20, np.float32)
    before = x.copy()
    x.flags.writeable = False
    label = np.array([0, 1, 2, 3])
    label.flags.writeable = False
    kernels.softmax_xent_forward(x, label, None, None, 0.0, None, 1.0)
    kernels.softmax_xent_gradient(x, label, None, None, 0.0, None, 1.0)
    kernels.softmax_forward(x)
    np.testing.assert_array_equal(x, before)
