"""Activations: values against their formulas, gradients on both sides of 0, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quernel import ops
from quernel.testing import check_gradients

FORMULAS = {
    "relu": (ops.relu, lambda x: max(x, 0.0)),
    "leaky_relu": (ops.leaky_relu, lambda x: x if x > 0 else 0.2 * x),
    "sigmoid": (ops.sigmoid, lambda x: 1 / (1 + math.exp(-x))),
    "tanh": (ops.tanh, math.tanh),
    "silu": (ops.silu, lambda x: x / (1 + math.exp(-x))),
    "gelu": (ops.gelu, lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2)))),
    "softplus": (ops.softplus, lambda x: math.log1p(math.exp(x))),
    "elu": (ops.elu, lambda x: x if x > 0 else math.expm1(x)),
    "elu 0.5": (lambda x: ops.elu(x, 0.5), lambda x: x if x > 0 else 0.5 * math.expm1(x)),
    "gelu approximate": (
        lambda x: ops.gelu(x, approximate=True),
        lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_gradients(rng, name):
    function, formula = FORMULAS[name]
    x = rng.uniform(0.1, 3.0, (4, 5)) * rng.choice([-1.0, 1.0], (4, 5))
    np.testing.assert_allclose(function(x).data, np.vectorize(formula)(x), rtol=1e-12)
    check_gradients(function, x)


def test_linear_is_the_tensor_itself():
    x = ops.zeros(3)
    assert ops.activation(x, "linear") is x


def test_integers_become_floats():
    assert ops.relu([-1, 2]).tolist() == [0.0, 2.0]


def test_wrong_use():
    with pytest.raises(ValueError, match=r"unknown activation 'relu6': expected one of 'linear'"):
        ops.activation([1.0], "relu6")
    with pytest.raises(ValueError, match=r"got -0\.1"):
        ops.leaky_relu([1.0], -0.1)
    with pytest.raises(ValueError, match="0 or more, got nan"):
        ops.elu([1.0], math.nan)
