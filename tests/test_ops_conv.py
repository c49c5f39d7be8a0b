"""Convolution: gradients over strides, paddings, dilations, groups, activations; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.testing import check_gradients

SETTINGS = [
    {},
    {"padding": "same"},
    {"strides": 2, "padding": "same"},
    {"strides": (1, 2), "padding": ((0, 2), (1, 0))},
    {"dilation": (2, 1), "padding": 1},
    {"padding": (1, 2), "groups": 2},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_gradients(rng, settings):
    groups = settings.get("groups", 1)
    x, kernel = rng.normal(size=(2, 5, 6, 4)), rng.normal(size=(3, 2, 4 // groups, 6))
    check_gradients(lambda *t: ops.conv2d(*t, **settings), x, kernel, rng.normal(size=6))
    check_gradients(lambda *t: ops.conv2d(*t, **settings), x, kernel)


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "softplus", "elu"])
def test_activations(rng, kind):
    inputs = rng.normal(size=(2, 4, 4, 2)), rng.normal(size=(3, 3, 2, 3)), rng.normal(size=3)
    check_gradients(lambda *t: ops.conv2d(*t, padding="same", activation=kind, alpha=0.3), *inputs)
    y = ops.activation(ops.conv2d(*inputs), kind, 0.3)
    np.testing.assert_allclose(
        ops.conv2d(*inputs, activation=kind, alpha=0.3).data, y.data, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(
    ("size", "window", "stride", "dilation", "before", "after", "out"),
    [
        (28, 5, 1, 1, 2, 2, 28),  # as tf.nn.conv2d pads
        (28, 3, 2, 1, 0, 1, 14),
        (7, 2, 2, 1, 0, 1, 4),
        (5, 2, 1, 1, 0, 1, 5),
        (5, 3, 1, 2, 2, 2, 5),
        (4, 1, 3, 1, 0, 0, 2),
    ],
)
def test_same_padding(size, window, stride, dilation, before, after, out):
    from quernel.ops.conv import geometry

    pads, positions = geometry(
        (size, size), (window, window), (stride, stride), "same", (dilation, dilation), ""
    )
    assert pads[0] == pads[1] == (before, after)
    assert positions == (out, out)


def test_an_empty_batch(rng):
    kernel = qn.Parameter(rng.normal(size=(3, 3, 2, 4)))
    y = ops.conv2d(np.zeros((0, 5, 5, 2)), kernel, activation="relu")
    assert y.shape == (0, 3, 3, 4)
    y.sum().backward()
    assert not kernel.grad.data.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones((5, 5, 4))}, r"here: .*4 axes, got shape \(5, 5, 4\).*batch of one"),
        ({"x": np.ones((2, 5, 5, 3))}, r"\(batch, height, width, 4\), got \(2, 5, 5, 3\)"),
        ({"x": np.ones((2, 4, 5, 5))}, "channels first"),
        ({"x": np.ones((2, 2, 5, 4))}, "at least 3 pixels in height"),
        ({"x": np.ones((2, 0, 5, 4)), "padding": "same"}, "got 0 x 5"),
        ({"kernel": np.ones((3, 3, 4))}, "expected a kernel"),
        ({"kernel": np.ones((0, 3, 4, 6))}, "without empty axes"),
        ({"groups": 0}, "groups"),
        ({"groups": 4, "kernel": np.ones((3, 3, 1, 6))}, "divisible by groups = 4, got 6"),
        ({"bias": np.ones(4)}, r"bias of shape \(6,\), got \(4,\)"),
        ({"strides": 0}, "strides to be one or two integers from 1 to 2.*got 0"),
        ({"strides": (1, 2, 3)}, "strides"),
        ({"dilation": -1}, "dilation"),
        ({"dilation": 3}, "dilation 3"),
        ({"padding": "sane"}, "'same'.*got 'sane'"),
        ({"padding": -1}, "0 or more, got -1"),
        ({"padding": 2**40}, r"less than 2\*\*31 pixels"),
        ({"strides": 2**31}, r"from 1 to 2\*\*31 - 1, got 2147483648"),
        ({"padding": ((1, 1), (1, -1))}, "0 or more"),
        ({"padding": 0.5}, "got 0.5"),
        ({"padding": (1, 2, 3)}, "padding"),
        ({"activation": "swosh"}, "unknown activation"),
    ],
    ids=str,
)
def test_wrong_use(arguments, message):
    given = {"x": np.ones((2, 5, 5, 4)), "kernel": np.ones((3, 3, 4, 6)), "bias": np.ones(6)} | arguments
    with pytest.raises(ValueError, match=message):
        ops.conv2d(**given, where="here")
