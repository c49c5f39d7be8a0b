"""Elementwise operations: gradients, broadcasting, types."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.testing import check_gradients


def apart(rng, shape, least=0.2):
    """Numbers of either sign, none near 0."""
    return rng.uniform(least, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


@pytest.mark.parametrize("name", ["negative", "exp", "abs", "square", "reciprocal", "sin", "cos"])
def test_gradients_of_one_input(rng, name):
    check_gradients(getattr(ops, name), apart(rng, (3, 5)))


@pytest.mark.parametrize("name", ["log", "log1p", "sqrt"])
def test_gradients_where_the_input_is_positive(rng, name):
    check_gradients(getattr(ops, name), rng.uniform(0.5, 2.0, (3, 5)))


@pytest.mark.parametrize(
    ("shape_a", "shape_b"),
    [
        ((3, 4), (3, 4)),
        ((3, 4), (4,)),
        ((3, 1), (1, 4)),
        ((), (2, 3)),
        ((2, 3, 4), (3, 1)),
        ((1,), (2, 2)),
        ((0, 3), (3,)),
    ],
)
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum"])
def test_gradients_of_two_inputs(rng, name, shape_a, shape_b):
    a, b = rng.uniform(0.5, 1.5, shape_a), rng.uniform(2.0, 3.0, shape_b)
    check_gradients(getattr(ops, name), a, b)
    check_gradients(getattr(ops, name), b, a)


def test_operators_are_the_operations(rng):
    a, b = rng.uniform(1, 2, 4), rng.uniform(1, 2, 4)
    x, y = qn.tensor(a), qn.tensor(b)
    for got, expected in [
        (x + y, a + b), (x - y, a - b), (x * y, a * b), (x / y, a / b), (x**y, a**b), (-x, -a), (abs(-x), a),
        (x + 1, a + 1), (1 - x, 1 - a), (2 * x, 2 * a), (1 / x, 1 / a), (x**2, a**2), (2**x, 2**a),
        (x < y, a < b), (x <= y, a <= b), (x > y, a > b), (x >= y, a >= b), (x == y, a == b),
        (x != y, a != b), (x**0.5, a**0.5),
        (x > 1.5, a > 1.5), (x < 1.5, a < 1.5), ((x > 1.5) & (y > 1.5), (a > 1.5) & (b > 1.5)),
        ((x > 1.5) | (y > 1.5), (a > 1.5) | (b > 1.5)), (~(x > 1.5), a <= 1.5),
    ]:  # fmt: skip
        np.testing.assert_allclose(got.data, expected, rtol=1e-14)


def test_ties_share_the_gradient():
    x = qn.tensor([1.0, 2.0], requires_grad=True)
    ops.maximum(x, [1.0, 1.0]).sum().backward()
    assert x.grad.tolist() == [0.5, 1.0]


def test_powers_of_zero_have_finite_gradients():
    x = qn.tensor([0.0, 0.0, 0.0], requires_grad=True)
    n = qn.tensor([0.0, 1.0, 3.0], requires_grad=True)
    (x**n).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]
    assert n.grad.tolist() == [0.0, 0.0, 0.0]


def test_plain_values_take_the_type_of_the_tensor():
    x = qn.tensor([1.0, 2.0])
    for other in (1, 2.5, np.float64(2.5), np.ones(2), [1.0, 2.0], np.array([1, 2])):
        assert (x * other).dtype == (other * x).dtype == np.float32


def test_tensors_of_two_float_types_give_the_wider_one():
    a = qn.tensor([1.0], requires_grad=True)
    b = qn.tensor(np.array([2.0]), requires_grad=True)
    y = a * b
    assert y.dtype == np.float64
    y.backward()
    assert a.grad.dtype == np.float32 and a.grad.item() == 2.0
    assert b.grad.dtype == np.float64


def test_integers_stay_integers_and_fractions_make_floats():
    i = qn.tensor([7, -8])
    assert (i + 1).tolist() == [8, -7] and (i + 1).dtype == np.int64
    assert (-i).tolist() == [-7, 8] and abs(i).tolist() == [7, 8]
    assert (i * 0.5).tolist() == [3.5, -4.0]
    assert (i / 2).dtype == np.float32 and (i / 2).tolist() == [3.5, -4.0]
    assert (i * qn.tensor([0.5, 0.5])).tolist() == [3.5, -4.0]
    assert (qn.tensor(np.array([200], np.uint8)) / 255).dtype == np.float32
    assert ops.exp(qn.tensor([0])).tolist() == [1.0]
    assert (i == [7, 0]).tolist() == [True, False]
    with pytest.raises((TypeError, ValueError), match="astype"):
        i ** qn.tensor([-1, -1])
    with pytest.raises(TypeError, match="astype"):
        -qn.tensor([True])


def test_shapes_that_do_not_broadcast_are_named():
    for function in (ops.add, ops.less, lambda a, b: ops.where(True, a, b)):
        with pytest.raises(ValueError, match=r"\(2, 3\) and \(2,\)|\(2, 3\) and \(2,\)"):
            function(np.ones((2, 3)), np.ones(2))


def test_where(rng):
    condition = np.array([[True], [False], [True]])
    check_gradients(lambda a, b: ops.where(condition, a, b), rng.normal(size=(3, 4)), rng.normal(size=4))
    assert ops.where([True, False], [1, 2], [3, 4]).tolist() == [1, 4]
    assert ops.where([True, False], qn.tensor([1.0, 2.0]), 0).tolist() == [1.0, 0.0]
    with pytest.raises(TypeError, match="x > 0"):
        ops.where([1, 0], 1.0, 2.0)


def test_clip(rng):
    x = np.array([-3.0, -0.5, 0.5, 3.0])
    check_gradients(lambda t: ops.clip(t, -1.0, 1.0), x)
    check_gradients(lambda t: ops.clip(t, low=-1.0), x)
    check_gradients(lambda t: ops.clip(t, high=1.0), x)
    assert ops.clip([1, 5], 2, 3).tolist() == [2, 3]
    t = qn.tensor([1.0], requires_grad=True)
    ops.clip(t, 0.0, 1.0).backward()
    assert t.grad.tolist() == [1.0]
    with pytest.raises(ValueError, match="low <= high"):
        ops.clip(x, 2.0, 1.0)


def test_cast(rng):
    x = qn.tensor([1.5], requires_grad=True)
    x.astype("float64").backward()
    assert x.grad.dtype == np.float32
    assert x.astype("float32") is x
    assert not x.astype("int64").requires_grad
    assert x.to(np.float64).dtype == np.float64
    assert qn.as_tensor(x, "float64").requires_grad


def test_empty_tensors_work():
    x = qn.tensor(np.zeros((0, 3)), requires_grad=True)
    (x * 2 + 1).exp().sum().backward()
    assert x.grad.shape == (0, 3)
