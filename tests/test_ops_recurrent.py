"""LSTM: gradients with every option; steps of the cell are the sequence."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.testing import check_gradients

N, T, C, U = 3, 4, 2, 3


def inputs(rng):
    """x, kernel, recurrent_kernel, bias, h0, c0."""
    shapes = [(N, T, C), (C, 4 * U), (U, 4 * U), (4 * U,), (N, U), (N, U)]
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [4, 2, 0]])
def test_gradients(rng, lengths, reverse):
    check_gradients(lambda *t: ops.lstm(*t, lengths=lengths, reverse=reverse), *inputs(rng))


@pytest.mark.parametrize("count", [3, 4])
def test_gradients_without_bias_and_state(rng, count):
    check_gradients(lambda *t: ops.lstm(*t), *inputs(rng)[:count])


@pytest.mark.parametrize("output", [0, 1, 2])
def test_gradients_of_one_output(rng, output):
    check_gradients(lambda *t: ops.lstm(*t)[output], *inputs(rng))


def test_the_cell_step_by_step_is_the_sequence(rng):
    x, kernel, recurrent, bias, h, c = inputs(rng)
    h_seq, h_n, c_n = ops.lstm(x, kernel, recurrent, bias, h, c)
    for t in range(T):
        h, c = ops.lstm_cell(x[:, t], h, c, kernel, recurrent, bias)
        np.testing.assert_allclose(h.data, h_seq.data[:, t], rtol=1e-12)
    np.testing.assert_allclose(h.data, h_n.data, rtol=1e-12)
    np.testing.assert_allclose(c.data, c_n.data, rtol=1e-12)


def test_gradients_of_the_cell(rng):
    x, kernel, recurrent, bias, h, c = inputs(rng)
    check_gradients(ops.lstm_cell, x[:, 0], h, c, kernel, recurrent, bias)
    check_gradients(ops.lstm_cell, x[:, 0], h, c, kernel, recurrent)


def test_types_follow_the_weights(rng):
    x, kernel, recurrent, *_ = inputs(rng)
    kernel, recurrent = qn.Parameter(kernel, dtype="float32"), qn.Parameter(recurrent, dtype="float32")
    assert {y.dtype for y in ops.lstm(x, kernel, recurrent)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones((N, C))}, r"here: expected input \(batch, time, features\)"),
        ({"x": np.ones((N, T, C + 1))}, "2 features in its last axis, got 3"),
        ({"x": np.ones((N, 0, C))}, "at least one step"),
        ({"kernel": np.ones((C, U))}, r"\(features, 12\) for 3 units"),
        ({"recurrent_kernel": np.ones((U, U))}, r"\(units, 4 units\), got \(3, 3\)"),
        ({"bias": np.ones(U)}, r"bias of shape \(12,\)"),
        ({"h0": np.ones((1, U))}, r"h0 of shape \(batch, units\) = \(3, 3\), got \(1, 3\)"),
        ({"c0": np.ones((N, 1))}, "c0 of shape"),
        ({"lengths": [1, 2]}, "one length for each of 3 rows"),
        ({"lengths": [1, 2, 5]}, "lengths from 0 to 4, got 1 to 5"),
        ({"lengths": [-1, 2, 3]}, "lengths from 0 to 4"),
    ],
    ids=str,
)
def test_wrong_use(rng, arguments, message):
    names = ["x", "kernel", "recurrent_kernel", "bias", "h0", "c0"]
    given = dict(zip(names, inputs(rng), strict=True)) | arguments
    with pytest.raises(ValueError, match=message):
        ops.lstm(**given, where="here")


def test_lengths_are_integers(rng):
    with pytest.raises(TypeError, match="integer lengths"):
        ops.lstm(*inputs(rng), lengths=[1.0, 2.0, 3.0])
    x, kernel, recurrent, bias, h, c = inputs(rng)
    with pytest.raises(ValueError, match="h of shape"):
        ops.lstm_cell(x[:, 0], h[:1], c, kernel, recurrent, bias)
