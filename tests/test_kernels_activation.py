"""Activations where they are special: far out, close to 0, nan; the bias's sum over many rows."""

from __future__ import annotations

import numpy as np
import pytest

from quernel import kernels, reference
from quernel.backend import SAVES_OUTPUT
from quernel.kernels.threads import get_num_threads, set_num_threads

KINDS = ["linear", "relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "softplus", "elu"]
REALS = [np.float32, np.float64]


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("kind", KINDS)
def test_far_out_forward_is_finite_and_nan_stays(real, kind):
    x = np.array([-1e4, -800, -90, -0.0, 0.0, 90, 800, 1e4, np.nan], real)
    y = kernels.activation_forward(x, kind, 0.25)
    assert np.isfinite(y[:-1]).all()
    assert np.isnan(y[-1])
    expected = reference.activation_forward(x.astype(np.float64), kind, 0.25)
    np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(real).eps, atol=1e3 * np.finfo(real).tiny)
    saved = y if kind in SAVES_OUTPUT else x
    dx = kernels.activation_backward(np.ones_like(x), saved, kind, 0.25)
    assert np.isfinite(dx[:-1]).all()


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("kind", ["tanh", "elu", "silu", "gelu"])
def test_close_to_zero_nothing_cancels(rng, real, kind):
    """These are straight lines through 0 there: what is small keeps its digits."""
    x = (rng.standard_normal(999) * 10.0 ** rng.integers(-12, -2, 999)).astype(real)
    y = kernels.activation_forward(x, kind, 1.0)
    expected = reference.activation_forward(x.astype(np.float64), kind, 1.0)
    np.testing.assert_allclose(y, expected, rtol=8 * np.finfo(real).eps)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("kind", sorted(SAVES_OUTPUT))
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (2, 9, 17), (4000, 10), (33, 4097), (0, 4), (3, 0), (12,)])
def test_bias_backward(rng, real, kind, shape):
    dy = rng.standard_normal(shape).astype(real)
    y = reference.activation_forward(rng.standard_normal(shape).astype(real), kind, 0.25)
    before, results = get_num_threads(), []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        results.append(kernels.bias_activation_backward(dy, y, kind, 0.25))
    set_num_threads(before)
    wide = dy.astype(np.float64), y.astype(np.float64)
    dz, dbias = reference.bias_activation_backward(*wide, kind, 0.25)
    for got in results:
        assert got[0].tobytes() == results[0][0].tobytes()
        assert got[1].tobytes() == results[0][1].tobytes()
    eps = np.finfo(real).eps
    np.testing.assert_allclose(results[0][0], dz, rtol=8 * eps, atol=8 * eps * np.abs(dy).max(initial=0))
    magnitude = np.abs(dy).sum(axis=tuple(range(dy.ndim - 1)))
    assert np.all(np.abs(results[0][1] - dbias) <= 16 * eps * magnitude)


def test_bias_of_very_many_rows():
    dy = np.full((3_000_000, 3), 0.1, np.float32)
    _, dbias = kernels.bias_activation_backward(dy, dy, "relu")
    np.testing.assert_allclose(dbias, np.float64(np.float32(0.1)) * 3_000_000, rtol=1e-6)


@pytest.mark.parametrize("real", REALS)
def test_strided_input(rng, real):
    x = rng.standard_normal((20, 31)).astype(real).T
    for kind in KINDS:
        y = kernels.activation_forward(x, kind, 0.25)
        assert y.flags.c_contiguous
        np.testing.assert_array_equal(y, kernels.activation_forward(np.ascontiguousarray(x), kind, 0.25))
        np.testing.assert_array_equal(
            kernels.activation_backward(x, x[::-1], kind, 0.25),
            kernels.activation_backward(np.ascontiguousarray(x), np.ascontiguousarray(x[::-1]), kind, 0.25),
        )


def test_refusals():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="unknown activation 'swoosh'"):
        kernels.activation_forward(x, "swoosh")
    with pytest.raises(ValueError, match="does not follow from its output"):
        kernels.bias_activation_backward(x, x, "gelu")
