"""Pooling: gradients, ties, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.testing import check_gradients

SETTINGS = [
    {},
    {"pool_size": 3, "strides": 2, "padding": "same"},
    {"pool_size": (2, 3), "strides": 1, "padding": ((1, 0), (2, 1))},
    {"pool_size": 2, "strides": 3},
]


def distinct(rng, shape):
    return rng.permutation(int(np.prod(shape))).reshape(shape) * 0.1


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_gradients(rng, settings):
    x = distinct(rng, (2, 5, 6, 3))
    check_gradients(lambda t: ops.max_pool2d(t, **settings), x)
    check_gradients(lambda t: ops.avg_pool2d(t, **settings), x)
    check_gradients(lambda t: ops.avg_pool2d(t, **settings, count_include_pad=True), x)


def test_global_average(rng):
    x = rng.normal(size=(2, 3, 4, 5))
    check_gradients(ops.global_average_pool2d, x)
    np.testing.assert_allclose(ops.global_average_pool2d(x).data, x.mean((1, 2)))
    assert ops.global_average_pool2d(x, keepdims=True).shape == (2, 1, 1, 5)


def test_padding_does_not_count():
    ones = np.ones((1, 2, 2, 1))
    assert ops.avg_pool2d(-ones, 2, 1, "same").data.max() == -1.0
    assert ops.max_pool2d(-ones, 2, 1, "same").data.max() == -1.0
    assert ops.avg_pool2d(ones, 2, 1, "same", count_include_pad=True).data.min() == 0.25


def test_the_first_of_ties_gets_the_gradient():
    x = qn.tensor(np.ones((1, 2, 2, 1)), requires_grad=True)
    ops.max_pool2d(x).sum().backward()
    assert x.grad.data.ravel().tolist() == [1.0, 0.0, 0.0, 0.0]


def rectified(how, x, w, b):
    if how == "conv":
        return ops.conv2d(x, w, b, padding="same", activation="relu")
    if how == "norm":
        return ops.batch_norm(x, None, None, None, None, training=True, activation="relu")
    return ops.relu(x)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("how", ["conv", "norm", "relu"])
@pytest.mark.parametrize("use", ["once", "pooled twice", "elsewhere", "retained"])
def test_behind_relu_the_gradient_is_the_same(rng, settings, how, use):
    """Pooling takes it through relu before it hands it out, unless something stands between the two."""
    values, weights = rng.normal(size=(2, 5, 6, 3)), rng.normal(size=(3, 3, 3, 3))
    values[0, 2, 2, 1] = np.nan if how == "relu" else 0.0
    found = []
    for apart in (False, True):
        x, w = qn.tensor(values, requires_grad=True), qn.tensor(weights, requires_grad=True)
        b = qn.tensor(np.zeros(3), requires_grad=True)
        y = rectified(how, x, w, b)
        if use == "retained":
            y.retain_grad()
        pooled = ops.max_pool2d(y * 1.0 if apart else y, **settings)
        dy = np.random.default_rng(1).normal(size=pooled.shape)
        loss = (pooled * dy).sum()
        if use == "pooled twice":
            loss = loss + (ops.max_pool2d(y * 1.0 if apart else y) * 0.5).sum()
        if use == "elsewhere":
            loss = loss + (y * values).sum()
        loss.backward()
        found.append([t.grad.data for t in (x, w, b, y) if t.grad is not None])
    assert len(found[0]) == 1 + 2 * (how == "conv") + (use == "retained")
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", [ops.max_pool2d, ops.avg_pool2d])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones((4, 4, 1))}, "here: expected input"),
        ({"x": np.ones((1, 1, 4, 1))}, "at least 2 pixels in height"),
        ({"pool_size": 0}, "pool_size"),
        ({"strides": -1}, "strides"),
        ({"pool_size": 2**30, "padding": "same"}, r"less than 2\*\*31 positions"),
        ({"padding": 2}, "smaller than pool_size"),
        ({"padding": "full"}, "'full'"),
    ],
    ids=str,
)
def test_wrong_use(pool, arguments, message):
    with pytest.raises(ValueError, match=message):
        pool(**({"x": np.ones((1, 4, 4, 1))} | arguments), where="here")


def test_global_average_of_no_pixels():
    with pytest.raises(ValueError, match="at least one pixel"):
        ops.global_average_pool2d(np.ones((1, 0, 2, 3)))
