"""Matrix product and dense layer."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import backend as B
from quernel import ops
from quernel.testing import check_gradients


@pytest.mark.parametrize(
    ("shape_a", "shape_b"),
    [
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (6, 3, 4)),
        ((3,), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 2)),
    ],
)
def test_matmul(rng, shape_a, shape_b):
    a, b = rng.normal(size=shape_a), rng.normal(size=shape_b)
    y = ops.matmul(a, b)
    assert y.shape == np.matmul(a, b).shape
    np.testing.assert_allclose(y.data, np.matmul(a, b), rtol=1e-12)
    check_gradients(ops.matmul, a, b)


def test_matmul_of_transposed_views(rng):
    check_gradients(lambda a, b: a.T @ b.transpose(1, 0), rng.normal(size=(3, 2)), rng.normal(size=(4, 3)))


def test_matmul_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="3 is not 4"):
        ops.matmul(np.ones((2, 3)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="Use \\*"):
        qn.tensor([1.0]) @ 2.0
    with pytest.raises(ValueError, match="broadcast"):
        ops.matmul(np.ones((2, 3, 4)), np.ones((3, 4, 5)))


KINDS = ["linear", "relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "softplus", "elu"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4, 3), (2, 2, 3), (3,)])
def test_dense(rng, shape, kind, bias):
    inputs = [rng.normal(size=shape), rng.normal(size=(3, 5)), rng.normal(size=5)][: 3 if bias else 2]
    check_gradients(lambda *t: ops.dense(*t, activation=kind, alpha=0.3), *inputs)
    x, kernel, *rest = inputs
    expected = ops.activation(x @ kernel + (rest[0] if bias else 0), kind, 0.3)
    np.testing.assert_allclose(
        ops.dense(*inputs, activation=kind, alpha=0.3).data, expected.data, rtol=1e-12, atol=1e-12
    )


def test_dense_makes_only_the_gradients_that_are_wanted(rng, monkeypatch):
    calls = []
    matmul = B.matmul
    monkeypatch.setattr(B, "matmul", lambda *a, **k: calls.append(1) or matmul(*a, **k))
    kernel = qn.Parameter(rng.normal(size=(3, 2)))
    ops.dense(rng.normal(size=(4, 3)), kernel).sum().backward()
    assert len(calls) == 1  # dkernel, not dx


def test_dense_takes_the_type_of_the_kernel():
    kernel = qn.Parameter(np.ones((2, 1), np.float32))
    assert ops.dense(np.ones((1, 2)), kernel).dtype == np.float32
    assert ops.dense(qn.tensor([[1, 2]]), kernel).dtype == np.float32
    with pytest.raises(TypeError, match=r"float64 and float32.*astype\('float64'\)"):
        ops.dense(qn.tensor(np.ones((1, 2))), kernel)


def test_dense_of_an_empty_batch(rng):
    kernel = qn.Parameter(rng.normal(size=(3, 2)))
    y = ops.dense(np.zeros((0, 3)), kernel, np.zeros(2), activation="relu")
    assert y.shape == (0, 2)
    y.sum().backward()
    assert kernel.grad.data.tolist() == np.zeros((3, 2)).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones((2, 4))}, r"here: expected input \(batch, ..., 3\), got \(2, 4\)"),
        ({"x": 1.0}, r"got \(\)"),
        ({"kernel": np.ones(3)}, "kernel"),
        ({"bias": np.ones(3)}, r"bias of shape \(2,\), got \(3,\)"),
        ({"activation": "rleu"}, "unknown activation 'rleu'.*'relu'"),
        ({"activation": "leaky_relu", "alpha": -1.0}, "0 or more, got -1.0"),
    ],
)
def test_dense_refuses_what_does_not_fit(arguments, message):
    given = {"x": np.ones((2, 3)), "kernel": np.ones((3, 2)), "bias": np.ones(2)} | arguments
    with pytest.raises(ValueError, match=message):
        ops.dense(**given, where="here")


def test_dense_of_nothing():
    with pytest.raises(TypeError, match="here: expected a tensor as input, got None"):
        ops.dense(None, np.ones((3, 2)), where="here")
