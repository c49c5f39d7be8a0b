"""Each layer: values against NumPy, gradients of inputs and weights, shapes known beforehand, wrong uses."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import layers, ops
from quernel.testing import check_gradients

L = layers
# name -> (how to make the layer, input shape)
CASES = {
    "dense": (lambda **o: L.Dense(4, **o), (5, 3)),
    "dense of three axes": (lambda **o: L.Dense(4, activation="tanh", use_bias=False, **o), (2, 5, 3)),
    "dense gelu": (lambda **o: L.Dense(4, activation="gelu", **o), (5, 3)),
    "dense softmax": (lambda **o: L.Dense(4, activation="softmax", **o), (5, 3)),
    "activation": (lambda **o: L.Activation("silu", **o), (5, 3)),
    "own activation": (lambda **o: L.Activation(ops.square, **o), (5, 3)),
    "flatten": (lambda **o: L.Flatten(**o), (2, 3, 4)),
    "reshape": (lambda **o: L.Reshape((2, -1), **o), (3, 4, 3)),
    "dropout in inference": (lambda **o: L.Dropout(0.5, **o), (3, 4)),
    "conv": (lambda **o: L.Conv2D(4, 3, **o), (2, 6, 5, 3)),
    "conv same": (lambda **o: L.Conv2D(4, (3, 2), 2, "same", activation="tanh", **o), (2, 6, 5, 3)),
    "conv groups": (lambda **o: L.Conv2D(4, 3, padding=((1, 0), (2, 1)), groups=2, **o), (2, 6, 5, 4)),
    "conv dilated": (
        lambda **o: L.Conv2D(2, 2, padding=1, dilation_rate=(2, 1), use_bias=False, **o),
        (1, 5, 5, 2),
    ),
    "max pool": (lambda **o: L.MaxPool2D(2, **o), (2, 5, 4, 3)),
    "max pool same": (lambda **o: L.MaxPooling2D((3, 2), 1, "same", **o), (2, 5, 4, 3)),
    "average pool": (lambda **o: L.AvgPool2D(2, padding="same", **o), (2, 5, 4, 3)),
    "global average": (lambda **o: L.GlobalAveragePool2D(**o), (2, 5, 4, 3)),
    "global average keepdims": (lambda **o: L.GlobalAveragePooling2D(keepdims=True, **o), (2, 5, 4, 3)),
    "batch normalisation": (lambda **o: L.BatchNormalization(**o), (6, 3)),
    "batch normalisation of images": (lambda **o: L.BatchNormalization(scale=False, **o), (2, 3, 3, 2)),
    "batch normalisation, relu": (lambda **o: L.BatchNormalization(activation="relu", **o), (6, 3)),
    "batch normalisation, tanh": (lambda **o: L.BatchNormalization(activation="tanh", **o), (6, 3)),
}


@pytest.fixture(autouse=True)
def seeded():
    qn.random.seed(1)


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_input_and_weights(case, rng):
    make, shape = CASES[case]
    layer = make(dtype="float64")
    layer.build((None, *shape[1:]))
    if "dropout" in case:
        layer.eval()
    weights = {name: rng.normal(size=parameter.shape) for name, parameter in layer.named_parameters()}

    def function(x, *values):
        for name, value in zip(weights, values, strict=True):
            setattr(layer, name, value)  # plain tensors in place of the parameters
        return layer(x)

    check_gradients(function, rng.normal(size=shape), *weights.values())


@pytest.mark.parametrize("case", CASES)
def test_output_shape_is_known_beforehand_and_inputs_are_left_alone(case, rng):
    make, shape = CASES[case]
    layer = make()
    x = rng.normal(size=shape)
    before = x.copy()
    y = layer(x)
    assert isinstance(y, qn.Tensor)
    assert y.dtype == np.float32
    assert layer.compute_output_shape(shape) == y.shape
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *y.shape[1:])
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("case", CASES)
def test_any_kind_of_input_gives_the_same(case, rng):
    make, shape = CASES[case]
    layer = make().eval()
    x = rng.integers(-3, 4, size=shape)
    expected = layer(x).numpy()
    for given in (x.astype(np.float32), x.astype(np.float64), x.tolist(), qn.tensor(x), x.astype(np.int16)):
        np.testing.assert_array_equal(layer(given).numpy(), expected)
    wide = np.zeros((*shape[:-1], 2 * shape[-1]))
    wide[..., ::2] = x
    read_only = wide[..., ::2]
    read_only.flags.writeable = False
    np.testing.assert_array_equal(layer(read_only).numpy(), expected)


@pytest.mark.parametrize("case", CASES)
def test_a_config_makes_the_same_layer_again(case):
    make, shape = CASES[case]
    if case == "own activation":
        return  # functions of users have no name to look up
    layer = make(name="mine")
    again = type(layer).from_config(layer.get_config())
    assert again.name == "mine"
    assert again.get_config() == layer.get_config()
    assert again.compute_output_shape(shape) == layer.compute_output_shape(shape)
    assert "mine" in repr(again)


def test_dense_values(rng):
    layer = L.Dense(3, activation="relu", bias_initializer="ones", dtype="float64")
    x = rng.normal(size=(4, 2, 5))
    y = layer(x).numpy()
    np.testing.assert_allclose(y, np.maximum(x @ layer.kernel.numpy() + 1, 0))


def test_conv_values(rng):
    layer = L.Conv2D(2, 2, strides=(1, 2), bias_initializer="ones", dtype="float64")
    x = rng.normal(size=(1, 3, 4, 3))
    y = layer(x).numpy()
    for row, column in np.ndindex(2, 2):
        window = x[0, row : row + 2, 2 * column : 2 * column + 2]
        expected = np.tensordot(window, layer.kernel.numpy(), 3) + 1
        np.testing.assert_allclose(y[0, row, column], expected)


def test_dropout_scales_what_it_keeps_and_repeats_with_the_seed():
    layer = L.Dropout(0.25)
    x = np.ones((100, 100))
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert not np.array_equal(layer(x).numpy(), y)
    qn.random.seed(1)
    np.testing.assert_array_equal(layer(x).numpy(), y)
    np.testing.assert_array_equal(layer(x, training=False).numpy(), x)
    assert layer.training
    np.testing.assert_array_equal(L.Dropout(0)(x).numpy(), x)
    np.testing.assert_array_equal(L.Dropout(1)(x).numpy(), 0 * x)


def test_batch_normalisation_moves_its_statistics_in_training_only(rng):
    layer = L.BatchNormalization(momentum=0.9, dtype="float64")
    x = rng.normal(3, 2, size=(8, 5, 4))
    mean, var = x.mean(axis=(0, 1)), x.var(axis=(0, 1))
    np.testing.assert_allclose(layer(x).numpy(), (x - mean) / np.sqrt(var + 1e-3))
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * var)
    layer.eval()
    expected = (x - 0.1 * mean) / np.sqrt(0.9 + 0.1 * var + 1e-3)
    np.testing.assert_allclose(layer(x).numpy(), expected)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean)
    layer.train().trainable = False
    np.testing.assert_allclose(layer(x).numpy(), expected)
    assert not any(parameter.requires_grad for parameter in layer.parameters())
    assert [name for name, _ in layer.named_weights()] == ["gamma", "beta", "moving_mean", "moving_variance"]


@pytest.mark.parametrize("training", [True, False])
def test_batch_normalisation_applies_its_activation(training, rng):
    x = rng.normal(size=(4, 5, 3))
    plain, with_relu = L.BatchNormalization(), L.BatchNormalization(activation="relu")
    y, expected = with_relu(x, training=training), ops.relu(plain(x, training=training))
    np.testing.assert_array_equal(y.numpy(), expected.numpy())
    assert (y.numpy() == 0).any()


def test_embedding_looks_rows_up_and_sums_their_gradients(rng):
    table = rng.normal(size=(5, 3))
    layer = L.Embedding(5, 3, embeddings_initializer=qn.initializers.Constant(table), dtype="float64")
    ids = np.array([[4, 0], [4, 4]])
    y = layer(ids)
    np.testing.assert_array_equal(y.numpy(), table[ids])
    y.sum().backward()
    np.testing.assert_array_equal(layer.embeddings.grad.numpy()[:, 0], [1, 0, 0, 0, 3])
    for given in (ids.astype(np.int32), ids.astype(np.uint8), ids.astype(np.float32), ids.tolist()):
        np.testing.assert_array_equal(layer(given).numpy(), table[ids])
    assert layer.compute_output_shape((None, 7)) == (None, 7, 3)


def test_merging(rng):
    a, b, c = (rng.normal(size=(2, 3)) for _ in range(3))
    np.testing.assert_allclose(L.Add(dtype="float64")([a, b, c]).numpy(), a + b + c)
    np.testing.assert_allclose(L.Concatenate(dtype="float64")((a, b)).numpy(), np.concatenate([a, b], -1))
    np.testing.assert_allclose(L.Concatenate(axis=0, dtype="float64")([a, b]).numpy(), np.concatenate([a, b]))
    assert L.Add().compute_output_shape([(None, 3), (None, 3)]) == (None, 3)
    assert L.Concatenate().compute_output_shape([(None, 3), (None, 4)]) == (None, 7)
    check_gradients(lambda x, y: L.Add(dtype="float64")([x, y]), a, b)
    check_gradients(lambda x, y: L.Concatenate(dtype="float64")([x, y]), a, b)


def test_regularizers_and_constraints_reach_the_weights():
    layer = L.Dense(
        2,
        kernel_initializer="ones",
        bias_initializer="ones",
        kernel_regularizer="l2",
        bias_regularizer=qn.regularizers.L1(1.0),
        kernel_constraint="non_neg",
    )
    layer.build((None, 3))
    assert layer.regularization_loss().item() == pytest.approx(0.01 * 6 + 2)
    assert layer.kernel.constraint is not None
    assert layer.bias.constraint is None
    plain = L.Dense(2)
    plain.build((None, 3))
    assert plain.regularization_loss() == 0.0


X = np.zeros((2, 8, 8, 3))
WRONG = {
    "no units": (
        lambda: L.Dense(0),
        ValueError,
        r"Dense 'dense.*expected units as an integer of at least 1, got 0",
    ),
    "units as float": (lambda: L.Dense(10.0), ValueError, "got 10.0"),
    "unknown activation": (lambda: L.Dense(3, activation="rleu"), ValueError, "did you mean 'relu'"),
    "unknown initializer": (
        lambda: L.Dense(3, kernel_initializer="he"),
        ValueError,
        "unknown initializer 'he'",
    ),
    "unknown regularizer": (
        lambda: L.Dense(3, kernel_regularizer="l3"),
        ValueError,
        "unknown regularizer 'l3'",
    ),
    "unknown argument": (
        lambda: L.Dense(3, actvation="relu"),
        TypeError,
        "'actvation': did you mean 'activation'",
    ),
    "activation as number": (lambda: L.Dense(3, activation=3), TypeError, "a name or a callable, got 3"),
    "dtype": (
        lambda: L.Dense(3, dtype="int32"),
        TypeError,
        "expected dtype 'float32' or 'float64', got 'int32'",
    ),
    "another last axis": (
        lambda: twice(L.Dense(3, name="d"), (2, 4), (2, 5)),
        ValueError,
        r"Dense 'd': .*\(2, 5\)",
    ),
    "a number": (lambda: L.Dense(3)(1.0), ValueError, "last axis has a known size"),
    "text": (lambda: L.Dense(3)(["a", "b"]), TypeError, "expected numbers"),
    "ragged": (lambda: L.Dense(3)([[1, 2], [3]]), ValueError, "equal lengths"),
    "no features": (lambda: L.Dense(3)(np.zeros((2, 0))), ValueError, "at least 1"),
    "several inputs": (lambda: L.Flatten()([X, X]), TypeError, "expected one input"),
    "rate": (lambda: L.Dropout(1.5), ValueError, r"in \[0, 1\], got 1.5"),
    "no filters": (
        lambda: L.Conv2D(-3, 3),
        ValueError,
        "expected filters as an integer of at least 1, got -3",
    ),
    "no kernel": (lambda: L.Conv2D(3, 0), ValueError, "kernel_size"),
    "three strides": (lambda: L.Conv2D(3, 3, (1, 1, 1)), ValueError, "strides"),
    "padding": (lambda: L.Conv2D(3, 3, padding="full"), ValueError, "expected padding 'valid', 'same'"),
    "groups of filters": (lambda: L.Conv2D(3, 3, groups=2), ValueError, "3 filters do not split into 2"),
    "groups of channels": (lambda: L.Conv2D(4, 3, groups=2)(X), ValueError, "3 channels do not split into 2"),
    "rank": (
        lambda: L.Conv2D(4, 3)(X[..., 0]),
        ValueError,
        r"\(batch, height, width, channels\), got .*x\[..., None\]",
    ),
    "channels": (
        lambda: twice(L.Conv2D(4, 3, name="conv2d_3"), (2, 8, 8, 3), (2, 8, 8, 1)),
        ValueError,
        r"Conv2D 'conv2d_3': expected input \(batch, height, width, 3\), got \(2, 8, 8, 1\)",
    ),
    "image too small": (lambda: L.Conv2D(4, 9)(X), ValueError, "images of at least 9 pixels"),
    "pool too large": (lambda: L.MaxPool2D(9)(X), ValueError, r"MaxPool2D 'max_pool2d.*at least 9 pixels"),
    "pool rank": (lambda: L.MaxPool2D()(X[0]), ValueError, "MaxPool2D 'max_pool2d"),
    "batch of 1": (
        lambda: L.BatchNormalization()(np.zeros((1, 3))),
        ValueError,
        "at least two values a channel",
    ),
    "momentum": (lambda: L.BatchNormalization(momentum=2), ValueError, r"momentum in \[0, 1\], got 2"),
    "epsilon": (lambda: L.BatchNormalization(epsilon=0), ValueError, "epsilon > 0"),
    "id too large": (lambda: L.Embedding(5, 2)([[5]]), (ValueError, IndexError), "Embedding 'embedding.*5"),
    "negative id": (lambda: L.Embedding(5, 2)([[-1]]), (ValueError, IndexError), "Embedding 'embedding.*-1"),
    "broken ids": (lambda: L.Embedding(5, 2)([[0.5]]), TypeError, "integer"),
    "reshape": (lambda: L.Reshape((5, 2))(X), ValueError, "192 values a row"),
    "two unknown sizes": (lambda: L.Reshape((-1, -1)), ValueError, "one may be -1"),
    "one input to add": (lambda: L.Add()(X), TypeError, "at least two inputs"),
    "shapes to add": (lambda: L.Add()([X, X[:, :3]]), ValueError, "inputs of one shape"),
    "shapes to join": (lambda: L.Concatenate()([X, X[:, :3]]), ValueError, "differ in axis 3 only"),
    "ranks to join": (lambda: L.Concatenate()([X, X[0]]), ValueError, "of one rank"),
    "input shape": (lambda: L.Input((8, 8, 1))(X), ValueError, r"\(batch, 8, 8, 1\), got \(2, 8, 8, 3\)"),
    "floats for ids": (
        lambda: L.Input((8, 8, 3), dtype="int32")(X),
        TypeError,
        "expected integers, got float",
    ),
}


def twice(layer, first, second):
    layer(np.zeros(first))
    layer(np.zeros(second))


@pytest.mark.parametrize("case", WRONG)
def test_wrong_uses(case):
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        call()


def test_input_states_the_shape():
    assert L.Input(shape=(None, 3)).batch_shape == (None, None, 3)
    ids = np.array([[1, 2]])
    assert L.Input((2,), dtype="int64")(ids).dtype == np.int64
    np.testing.assert_array_equal(L.InputLayer((8, 8, 3))(X).numpy(), X)


def test_a_sequential_that_starts_with_an_input_has_its_weights_at_once():
    model = qn.Sequential([L.Input((6, 6, 1)), L.Conv2D(2, 3), L.Flatten()])
    assert model.count_params() == 20
    model.add(L.Dense(3))
    assert model.count_params() == 20 + 32 * 3 + 3
    assert len(qn.optimizers.Adam(parameters=model.parameters()).param_groups[0]["params"]) == 4
    assert not qn.Sequential([L.Input((None, 5)), L.LSTM(4)]).built  # any length: the first call tells
    with pytest.raises(ValueError, match=r"Conv2D .* expected input \(batch, height, width, channels\)"):
        qn.Sequential([L.Input((4,)), L.Conv2D(3, 3)])
