"""check_gradients finds what is wrong, and only that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.testing import check_gradients


def times(error: float, where: Any = Ellipsis) -> Any:
    """x * x whose gradient is wrong by the factor 1 + error in some places."""

    class Product(qn.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save(x)
            return x * x

        @staticmethod
        def backward(ctx, dy):
            dx = 2 * ctx.saved[0] * dy
            dx[where] *= 1 + error
            return dx

    return Product.apply


def test_a_right_gradient_passes(rng):
    check_gradients(times(0.0), rng.normal(size=(3, 4)))


@pytest.mark.parametrize("where", [Ellipsis, (2, 1)])
def test_a_gradient_wrong_by_a_thousandth_fails(rng, where):
    x = rng.uniform(0.5, 1.5, (3, 4))
    with pytest.raises(AssertionError, match="gradient of input 0"):
        check_gradients(times(1e-3, where), x)


def test_the_input_whose_gradient_is_wrong_is_named(rng):
    product = times(1e-3)
    with pytest.raises(AssertionError, match="gradient of input 1"):
        check_gradients(lambda a, b: a * product(b), rng.normal(size=3), rng.normal(size=3))


def test_a_missing_gradient_fails(rng):
    with pytest.raises(AssertionError, match="no gradient at all"):
        check_gradients(lambda a, b: a * b.detach(), rng.normal(size=3), rng.normal(size=3))


def test_changed_inputs_fail(rng):
    def changes(x):
        y = x * 2
        x.data[0] += 1
        return y

    with pytest.raises(AssertionError, match="changed input 0"):
        check_gradients(changes, rng.normal(size=3))


def test_every_output_counts(rng):
    product = times(1e-3)
    with pytest.raises(AssertionError, match="wrong"):
        check_gradients(lambda x: (x * 2, product(x)), rng.normal(size=3))


def test_a_function_that_is_not_the_same_each_time_is_refused():
    with pytest.raises(ValueError, match="seed"):
        check_gradients(lambda x: ops.dropout(x, 0.5), np.ones(100))


def test_wrong_use():
    with pytest.raises(ValueError, match="float input"):
        check_gradients(lambda x: x, np.array([1, 2]))
    with pytest.raises(TypeError, match="return tensors"):
        check_gradients(lambda x: x.data, np.ones(2))


def test_float32_inputs_are_checked_in_float64(rng):
    check_gradients(ops.exp, rng.normal(size=3).astype(np.float32))
