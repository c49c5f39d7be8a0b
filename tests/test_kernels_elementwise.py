"""Elementwise kernels where they are special: strides, nan, exponents, aliasing, wrong types."""

from __future__ import annotations

import numpy as np
import pytest

from quernel import kernels, reference
from quernel.kernels.threads import get_num_threads, set_num_threads

REALS = [np.float32, np.float64]


def same(got, expected):
    assert got.dtype == expected.dtype
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected, strict=True)


def views(x):
    """One array seen through strides that are positive, negative, zero, long and swapped."""
    yield x
    yield x[::-1]
    yield x[:, ::-1]
    yield np.repeat(x, 3, axis=1)[:, ::3]
    yield np.ascontiguousarray(x.T).T
    yield np.broadcast_to(x[:1], x.shape)
    yield np.broadcast_to(x[:, :1], x.shape)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("shape", [(3, 5), (17, 33), (70, 129)])
def test_any_strides(rng, real, shape):
    a, b = rng.standard_normal((2, *shape)).astype(real)
    for left in views(a):
        same(kernels.unary("negative", left), -left)
        for right in views(b):
            same(kernels.binary("subtract", left, right), left - right)
            same(kernels.compare("less", left, right), left < right)
            same(kernels.where(right > 0, left, right), np.where(right > 0, left, right))


def test_more_dimensions_than_can_be_walked(rng):
    a = rng.standard_normal((2,) * 12).astype(np.float32).transpose(range(11, -1, -1))
    b = rng.standard_normal((2, 1) * 6).astype(np.float32)
    same(kernels.binary("add", a, b), np.ascontiguousarray(a + b))
    same(kernels.unary("abs", a), np.ascontiguousarray(np.abs(a)))


def test_misaligned_and_swapped_input(rng):
    x = rng.standard_normal(37).astype(np.float32)
    bytes_ = np.zeros(x.nbytes + 1, np.uint8)
    bytes_[1:] = x.view(np.uint8)
    same(kernels.binary("add", bytes_[1:].view(np.float32), x), x + x)
    same(kernels.unary("negative", x.astype(">f4")), -x)


@pytest.mark.parametrize("real", REALS)
def test_extremes_hand_nan_on(real):
    a = np.array([np.nan, 1, np.nan, -np.inf, 2], real)
    b = np.array([1, np.nan, np.nan, np.nan, -2], real)
    same(kernels.binary("maximum", a, b), np.array([np.nan] * 4 + [2], real))
    same(kernels.binary("minimum", a, b), np.array([np.nan] * 4 + [-2], real))
    same(kernels.clip(a, -1, 1.5), np.array([np.nan, 1, np.nan, -1, 1.5], real))
    same(kernels.unary("sign", a), np.array([np.nan, 1, np.nan, -1, 1], real))


def test_power_of_any_float(rng):
    n = 1 << 16
    for spread in (87.0, 1.0, 1e-3, 1e-6):  # from all floats to those next to 1, where the exponent is large
        a = np.exp(rng.uniform(-spread, spread, n)).astype(np.float32)
        b = (rng.uniform(-1, 1, n) * 10 ** rng.uniform(-3, 8, n)).astype(np.float32)
        with np.errstate(all="ignore"):
            exact = np.power(a.astype(np.float64), b.astype(np.float64))
        y = kernels.binary("power", a, b)
        least, most = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
        normal = (exact >= least) & (exact <= most)
        apart = np.abs(y[normal] - exact[normal]) / np.spacing(exact[normal].astype(np.float32))
        assert apart.max() < 1
        assert np.isinf(y[exact > 1.0001 * most]).all()
        assert (y[exact < 0.9999 * least] == 0).all()


@pytest.mark.parametrize("real", REALS)
def test_power_at_the_ends(real):
    values = [0, 0.5, 1, 1.5, 2, 3, 2.0**23 + 1, 2.0**24, 2.0**40, 1e-30, 1e30, np.inf]
    signed = np.array([*values, *(-v for v in values), np.nan], real)
    a, b = np.repeat(signed, len(signed)), np.tile(signed, len(signed))
    with np.errstate(all="ignore"):
        exact = np.power(a.astype(np.float64), b.astype(np.float64)).astype(real)
    exact = np.where(np.abs(exact) < np.finfo(real).tiny, np.copysign(0, exact), exact).astype(real)
    y = kernels.binary("power", a, b)
    np.testing.assert_allclose(y, exact, rtol=2 * np.finfo(real).eps)
    np.testing.assert_array_equal(np.signbit(y[~np.isnan(y)]), np.signbit(exact[~np.isnan(y)]))


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -1.0])
def test_common_exponents_are_exact(rng, real, exponent):
    x = np.abs(rng.standard_normal(1001)).astype(real)
    exact = {2.0: x * x, 3.0: x * x * x, 0.5: np.sqrt(x), -1.0: 1 / x}[exponent]
    same(kernels.binary("power", x, np.array(exponent, real)), exact)
    same(kernels.binary("power", x, np.full((1,), exponent, real)), exact)


@pytest.mark.parametrize("real", REALS)
def test_same_bits_for_any_number_of_threads(rng, real):
    x = rng.standard_normal((301, 777)).astype(real)
    before, results = get_num_threads(), []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        results.append(
            [kernels.unary(op, x).tobytes() for op in ("exp", "sin", "log1p")]
            + [kernels.binary(op, x.T, x.T[:1]).tobytes() for op in ("divide", "power")]
        )
    set_num_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("real", REALS)
def test_sine_and_cosine_far_out(rng, real):
    """Beyond the range of the vector code each lane goes its own way, whatever its neighbours do."""
    x = (rng.standard_normal(4096) * 10.0 ** rng.integers(-8, 12, 4096)).astype(real)
    x[::7] = (np.pi / 2 * rng.integers(-3000, 3000, len(x[::7]))).astype(real)
    x[[5, 50, 500]] = np.inf, -np.inf, np.nan
    with np.errstate(invalid="ignore"):
        for op, function in (("sin", np.sin), ("cos", np.cos)):
            y = kernels.unary(op, x)
            np.testing.assert_allclose(
                y, function(x.astype(np.longdouble)), rtol=0, atol=2 * np.finfo(real).eps
            )
            alone = np.concatenate([kernels.unary(op, x[i : i + 1]) for i in range(200)])
            np.testing.assert_array_equal(alone, y[:200])
    tiny = np.array([0.0, -0.0, 1e-30], real)
    assert kernels.unary("sin", tiny).tobytes() == tiny.tobytes()


def test_accumulate_into_anything_writable(rng):
    x = rng.standard_normal((6, 9)).astype(np.float32)
    for target in (x.copy(), x.copy().T.copy().T, np.repeat(x, 2, axis=0)[::2]):
        assert kernels.accumulate(target, x) is None
        same(kernels.copy(target), x + x)
    reversed_onto_itself = x.copy()
    kernels.accumulate(reversed_onto_itself, reversed_onto_itself[::-1])
    same(reversed_onto_itself, x + x[::-1])


def test_refusals():
    x = np.ones(3, np.float32)
    frozen = x.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        kernels.accumulate(frozen, x)
    with pytest.raises(ValueError, match="writable"):
        kernels.scale(frozen, x)
    with pytest.raises(TypeError, match="one type, got float32 and float64"):
        kernels.binary("add", x, np.ones(3))
    with pytest.raises(TypeError, match="float32 or float64"):
        kernels.unary("abs", np.arange(3))
    with pytest.raises(TypeError, match="boolean condition"):
        kernels.where(x, x, x)
    with pytest.raises(ValueError, match="broadcast"):
        kernels.binary("add", x, np.ones(4, np.float32))


def test_both_backends_agree_on_scalars():
    for value in (0.0, -1.5, np.inf):
        x = np.array(value, np.float64)
        for op in ("negative", "abs", "square", "sign"):
            same(kernels.unary(op, x), reference.unary(op, x))
