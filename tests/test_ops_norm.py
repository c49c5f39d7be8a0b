"""Batch normalisation: gradients in training and inference, running statistics, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.testing import check_gradients


def weights(rng, channels):
    return rng.uniform(0.5, 1.5, channels), rng.normal(size=channels)


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("shape", [(6, 4), (3, 2, 3, 4)])
def test_gradients_in_training(rng, shape, activation):
    gamma, beta = weights(rng, 4)
    x = rng.normal(size=shape)
    normalise = lambda x, g, b: ops.batch_norm(x, g, b, None, None, True, activation=activation)  # noqa: E731
    check_gradients(normalise, x, gamma, beta)
    check_gradients(lambda x: normalise(x, None, None), x)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_gradients_in_inference(rng, activation):
    gamma, beta = weights(rng, 4)
    mean, var = rng.normal(size=4), rng.uniform(0.5, 2.0, 4)
    x = rng.normal(size=(5, 4))
    normalise = lambda x, g, b: ops.batch_norm(x, g, b, mean, var, False, activation=activation)  # noqa: E731
    check_gradients(normalise, x, gamma, beta)
    check_gradients(lambda x: normalise(x, None, None), x)
    recorded = normalise(qn.tensor(x, requires_grad=True), gamma, beta)
    np.testing.assert_allclose(normalise(x, gamma, beta).data, recorded.data, rtol=1e-12, atol=1e-14)


def test_running_statistics_move_in_training_only(rng):
    x = rng.normal(2.0, 3.0, (50, 4))
    mean, var = qn.zeros(4, dtype="float64"), np.ones(4)
    ops.batch_norm(x, None, None, mean, var, True, momentum=0.9)
    np.testing.assert_allclose(mean.data, 0.1 * x.mean(0))
    np.testing.assert_allclose(var, 0.9 + 0.1 * x.var(0))
    before = mean.data.copy()
    ops.batch_norm(x, None, None, mean, var, False)
    np.testing.assert_array_equal(mean.data, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones(4)}, r"here: expected input \(batch, ..., channels\)"),
        ({"x": np.ones((3, 5))}, "as gamma has"),
        ({"x": np.ones((1, 4))}, "at least two values.*eval"),
        ({"x": np.ones((0, 4))}, "at least two values"),
        ({"activation": "tanh"}, "'relu', got 'tanh'"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"momentum": 1.5}, "momentum from 0 to 1"),
        ({"running_mean": None}, "running_mean"),
        ({"running_mean": np.zeros(3)}, r"shape \(4,\).*got float64 \(3,\)"),
        ({"running_var": np.zeros(4, np.float32)}, "float64 of shape"),
        ({"running_var": np.broadcast_to(1.0, 4)}, "writable"),
        ({"training": False, "running_mean": None, "running_var": None}, "needed when not training"),
    ],
    ids=str,
)
def test_wrong_use(arguments, message):
    given = {
        "x": np.ones((3, 4)),
        "gamma": np.ones(4),
        "beta": np.ones(4),
        "running_mean": np.zeros(4),
        "running_var": np.ones(4),
        "training": True,
    } | arguments
    with pytest.raises(ValueError, match=message):
        ops.batch_norm(**given, where="here")
