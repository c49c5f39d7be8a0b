"""A small classifier and its data, for the tests of training."""

from __future__ import annotations

import numpy as np

import quernel as qn
from quernel import layers, losses, optimizers


def small_model(**options):
    return qn.Sequential([layers.Dense(8, activation="tanh", **options), layers.Dense(3)])


def compiled(model=None, optimizer=None, **options):
    model = model or small_model()
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or optimizers.SGD(0.1), loss, metrics=["accuracy"], **options)
    return model


def labelled(rng):
    x = rng.standard_normal((50, 4)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)


def weights(model):
    return {name: value.copy() for name, value in model.state_dict().items()}


def assert_same_weights(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)
