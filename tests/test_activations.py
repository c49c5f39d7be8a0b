"""Activations by name, object and callable."""

from __future__ import annotations

import numpy as np
import pytest

from quernel import activations, initializers, layers, naming, ops


@pytest.mark.parametrize("name", sorted(activations.TABLE))
def test_every_name_is_applied_by_a_layer_as_by_itself(name, rng):
    x = rng.normal(size=(5, 4))
    expected = activations.get(name)(x).numpy()
    np.testing.assert_array_equal(layers.Activation(name, dtype="float64")(x).numpy(), expected)
    identity = initializers.Constant(np.eye(4))
    fused = layers.Dense(4, name, kernel_initializer=identity, dtype="float64")
    np.testing.assert_allclose(fused(x).numpy(), expected, rtol=1e-12)


def test_the_parameters_are_those_of_keras():
    assert activations.get("leaky_relu")([-1.0]).item() == pytest.approx(-0.2)
    assert activations.get("elu")([-1.0]).item() == pytest.approx(np.expm1(-1))
    assert activations.get("swish") is activations.get("silu")
    assert activations.get(None) is activations.linear


def test_callables_are_taken_as_they_are(rng):
    x = rng.normal(size=(5, 4))
    layer = layers.Dense(3, activation=lambda z: ops.leaky_relu(z, negative_slope=0.01), dtype="float64")
    y = layer(x).numpy()
    z = x @ layer.kernel.numpy()
    np.testing.assert_allclose(y, np.where(z > 0, z, 0.01 * z))


def test_names_survive_in_a_config():
    assert naming.serialize(activations.relu) == "relu"
    assert layers.Dense(3, activation=activations.gelu).get_config()["activation"] == "gelu"


def test_wrong_activations():
    with pytest.raises(ValueError, match=r"unknown activation 'Relu': did you mean 'relu'\?"):
        activations.get("Relu")
    with pytest.raises(TypeError, match="a name or a callable, got 3"):
        activations.get(3)
