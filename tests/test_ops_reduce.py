"""Reductions: gradients, axes, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.testing import check_gradients

AXES = [None, 0, 1, -1, (0, 2), (1, -1), ()]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min"])
def test_values_and_gradients(rng, name, axis, keepdims):
    x = rng.permutation(24).reshape(2, 3, 4) + 0.1  # no ties, neighbours far apart
    function = getattr(ops, name)
    np.testing.assert_allclose(
        function(x, axis, keepdims).data, getattr(np, name)(x, axis=axis, keepdims=keepdims), rtol=1e-13
    )
    check_gradients(lambda t: function(t, axis, keepdims), x)


def test_methods(rng):
    x = rng.normal(size=(3, 4))
    t = qn.tensor(x)
    assert t.sum(1).shape == t.mean(axis=1).shape == (3,)
    assert t.max().item() == x.max() and t.min(0).tolist() == x.min(0).tolist()
    assert t.argmax(1).tolist() == x.argmax(1).tolist() and t.argmin().item() == x.argmin()
    assert t.argmax().dtype == np.int64
    assert (t > 0).any().item() and not (t > 9).all().item()


def test_ties_share_the_gradient():
    x = qn.tensor([[1.0, 3.0, 3.0]], requires_grad=True)
    x.max(axis=1).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.5, 0.5]]


def test_integers():
    i = qn.tensor([[1, 2], [3, 4]])
    assert i.sum().item() == 10 and i.sum().dtype == np.int64
    assert i.max(0).tolist() == [3, 4]
    assert i.mean().item() == 2.5 and i.mean().dtype == np.float32
    assert qn.tensor([True, True]).sum().item() == 2
    assert i.argmax(1).tolist() == [1, 1]


def test_of_a_number():
    x = qn.tensor(3.0, requires_grad=True)
    (x.sum() + x.mean() + x.max()).backward()
    assert x.grad.item() == 3.0


def test_empty():
    assert ops.sum(np.zeros((0, 3)), 0).tolist() == [0.0, 0.0, 0.0]
    assert ops.mean(np.zeros((0, 3)), 1).shape == (0,)
    for name in ("mean", "max", "min", "var"):
        with pytest.raises(ValueError, match="nothing to reduce"):
            getattr(ops, name)(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="empty"):
        ops.argmax(np.zeros((2, 0)), axis=1)


def test_wrong_axes():
    x = np.ones((2, 3))
    with pytest.raises(IndexError, match="axis 2 is out of range"):
        ops.sum(x, 2)
    with pytest.raises(ValueError, match="once"):
        ops.sum(x, (0, -2))
    with pytest.raises(TypeError, match="integer axis"):
        ops.mean(x, 0.5)
    with pytest.raises(IndexError, match="out of range"):
        ops.argmax(x, -3)
