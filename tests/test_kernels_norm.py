"""Batch normalisation kernels: against the reference over every cut into lines, chunks and blocks, and the
accuracy of the statistics."""

from __future__ import annotations

import numpy as np
import pytest

from quernel.kernels import norm, threads
from quernel.reference import norm as reference

# Rows x channels: shorter than one line, with rows left over, several chunks, several blocks of columns.
SHAPES = [
    (1, 1),
    (1, 5),
    (2, 3),
    (33, 17),
    (255, 1),
    (256, 1),
    (70001, 1),
    (30011, 3),
    (4, 5, 6, 64),
    (2003, 33),
    (9, 256),
    (40, 512),
    (70, 513),
    (70, 1025),
    (3, 2100),
]


def _case(rng, shape, dtype, affine=True):
    channels = shape[-1]
    x = (rng.standard_normal(shape) * rng.uniform(0.5, 2, channels) + rng.uniform(-3, 3, channels)).astype(
        dtype
    )
    gamma = rng.uniform(0.5, 2, channels).astype(dtype) if affine else None
    beta = rng.standard_normal(channels).astype(dtype) if affine else None
    return x, gamma, beta


def _close(actual, expected, dtype, scale=1.0):
    """Within some tens of roundings of values of size `scale`."""
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    bound = 30 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(actual, expected, rtol=bound, atol=bound * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_reference(rng, dtype, activation, affine, shape):
    x, gamma, beta = _case(rng, shape, dtype, affine)
    # With 1 or 2 rows a variance may be tiny; a larger epsilon keeps inv_std from magnifying roundings.
    epsilon = 1e-3 if x.size // shape[-1] > 8 else 1.0
    exact = [None if a is None else a.astype(np.float64) for a in (x, gamma, beta)]
    expected = reference.batch_norm_forward_train(*exact, epsilon, activation)
    results = norm.batch_norm_forward_train(x, gamma, beta, epsilon, activation)
    for actual, reference_value in zip(results, expected, strict=True):
        _close(actual, reference_value, dtype, 8)
    y, mean, var, inv_std = results

    dy = rng.standard_normal(shape).astype(dtype)
    # The same y on both sides: where it is a rounding away from 0 the masks of two forwards may differ.
    saved = [a.astype(np.float64) for a in (dy, x, y)]
    statistics = [a.astype(np.float64) for a in (mean, inv_std)]
    expected = reference.batch_norm_backward(*saved, exact[1], *statistics, activation)
    dx, dgamma, dbeta = norm.batch_norm_backward(dy, x, y, gamma, mean, inv_std, activation)
    _close(dx, expected[0], dtype, 8)
    rows = x.size // shape[-1]
    _close(dgamma, expected[1], dtype, 4 + rows**0.5)
    _close(dbeta, expected[2], dtype, 4 + rows**0.5)

    expected = reference.batch_norm_forward_inference(
        *exact, *(s.astype(np.float64) for s in (mean, var)), epsilon, activation
    )
    _close(
        norm.batch_norm_forward_inference(x, gamma, beta, mean, var, epsilon, activation), expected, dtype, 8
    )


@pytest.mark.parametrize("channels", [1, 3, 17, 64, 1500])
def test_statistics_hold_for_a_mean_far_from_zero(rng, channels):
    x = (1e4 + rng.standard_normal((3000, channels))).astype(np.float32)
    y, mean, var, inv_std = norm.batch_norm_forward_train(x, None, None, 1e-3)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var(axis=0), rtol=3e-6)
    np.testing.assert_allclose(inv_std, 1 / np.sqrt(exact.var(axis=0) + 1e-3), rtol=3e-6)
    # x itself is exact; what the float mean cannot hold (up to 5e-4 here) must not be lost.
    np.testing.assert_allclose(y, (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0) + 1e-3), atol=2e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistics_hold_after_a_start_unlike_the_rest(rng, dtype):
    x = 1e4 + rng.standard_normal((50000, 3))
    x[:40] = 0
    x = x.astype(dtype)
    _, mean, var, _ = norm.batch_norm_forward_train(x, None, None, 1e-3)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(var, exact.var(axis=0), rtol=1e-4)


def test_constant_input_has_no_variance():
    x = np.full((999, 5), 7.1, np.float32)
    y, mean, var, _ = norm.batch_norm_forward_train(x, None, None, 1e-3)
    np.testing.assert_allclose(mean, np.float32(7.1), rtol=1e-7)
    np.testing.assert_allclose(var, 0, atol=1e-12)
    np.testing.assert_allclose(y, 0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (0, 4, 4, 5), (4, 0), (0, 0)])
def test_empty(dtype, shape):
    x = np.ones(shape, dtype)
    y, mean, var, inv_std = norm.batch_norm_forward_train(x, None, None, 0.25)
    assert y.shape == shape
    np.testing.assert_array_equal(mean, np.zeros(shape[-1], dtype), strict=True)
    np.testing.assert_array_equal(var, np.zeros(shape[-1], dtype), strict=True)
    np.testing.assert_array_equal(inv_std, np.full(shape[-1], 2, dtype), strict=True)
    dx, dgamma, dbeta = norm.batch_norm_backward(x, x, y, None, mean, inv_std, "relu")
    assert dx.shape == shape
    np.testing.assert_array_equal(dgamma, np.zeros(shape[-1], dtype), strict=True)
    np.testing.assert_array_equal(dbeta, np.zeros(shape[-1], dtype), strict=True)
    assert norm.batch_norm_forward_inference(x, None, None, mean, var, 0.25).shape == shape


def test_one_row_has_no_gradient(rng):
    """With one row y is beta whatever x is."""
    x, gamma, beta = _case(rng, (1, 17), np.float32)
    y, mean, _, inv_std = norm.batch_norm_forward_train(x, gamma, beta, 1e-3)
    np.testing.assert_allclose(y, beta[None], atol=2e-6)
    dx, _, _ = norm.batch_norm_backward(np.ones_like(x), x, y, gamma, mean, inv_std)
    np.testing.assert_array_equal(dx, np.zeros_like(x))


def test_relu_keeps_nan():
    x = np.array([[np.nan, 1.0], [0.0, -1.0]], np.float32)
    y = norm.batch_norm_forward_inference(
        x, None, None, np.zeros(2, np.float32), np.ones(2, np.float32), 0.0, "relu"
    )
    np.testing.assert_array_equal(y, [[np.nan, 1], [0, 0]])


def test_running_statistics_move(rng):
    for dtype in (np.float32, np.float64):
        mean, var = rng.standard_normal(19).astype(dtype), rng.random(19).astype(dtype)
        running, expected = [[np.zeros(19, dtype), np.ones(19, dtype)] for _ in range(2)]
        norm.batch_norm_update_running(*running, mean, var, 0.9)
        reference.batch_norm_update_running(*expected, mean, var, 0.9)
        _close(running[0], expected[0], dtype)
        _close(running[1], expected[1], dtype)


def test_inference_rows_do_not_depend_on_their_neighbours(rng):
    x, gamma, beta = _case(rng, (50, 3, 17), np.float32)
    args = gamma, beta, np.zeros(17, np.float32), np.ones(17, np.float32), 1e-3, "relu"
    whole = norm.batch_norm_forward_inference(x, *args)
    for i in range(len(x)):
        np.testing.assert_array_equal(norm.batch_norm_forward_inference(x[i : i + 1], *args)[0], whole[i])


@pytest.mark.parametrize("shape", [(200001, 3), (8, 60, 60, 17), (300, 2100)])
def test_same_bits_on_one_and_two_threads(rng, shape):
    x, gamma, beta = _case(rng, shape, np.float32)
    dy = rng.standard_normal(shape).astype(np.float32)
    results = []
    for count in (1, 2):
        threads.set_num_threads(count)
        y, mean, var, inv_std = norm.batch_norm_forward_train(x, gamma, beta, 1e-3, "relu")
        gradients = norm.batch_norm_backward(dy, x, y, gamma, mean, inv_std, "relu")
        results.append((y, mean, var, inv_std, *gradients))
    threads.set_num_threads(1)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_other_activations_are_refused():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="'linear' or 'relu', got 'tanh'"):
        norm.batch_norm_forward_train(x, None, None, 1e-3, "tanh")
