"""Regularizers and constraints against their formulas; gradients."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import constraints, regularizers


@pytest.mark.parametrize(
    ("regularizer", "penalty", "slope"),
    [
        (regularizers.L1(0.1), lambda w: 0.1 * np.abs(w).sum(), lambda w: 0.1 * np.sign(w)),
        (regularizers.L2(0.1), lambda w: 0.1 * (w**2).sum(), lambda w: 0.2 * w),
        (
            regularizers.L1L2(0.1, 0.3),
            lambda w: 0.1 * np.abs(w).sum() + 0.3 * (w**2).sum(),
            lambda w: 0.1 * np.sign(w) + 0.6 * w,
        ),
        (regularizers.L1L2(), lambda w: 0.0, lambda w: 0 * w),
    ],
)
def test_penalty_and_gradient(regularizer, penalty, slope, rng):
    values = rng.normal(size=(3, 4))
    weight = qn.tensor(values, requires_grad=True)
    loss = regularizer(weight)
    loss.backward()
    assert loss.item() == pytest.approx(penalty(values))
    np.testing.assert_allclose(weight.grad.numpy(), slope(values))


@pytest.mark.parametrize("name", ["l1", "l2", "l1_l2", "L1", "L2", "L1L2"])
def test_by_name(name):
    assert regularizers.get(name)([1.0]).shape == ()


def test_none_is_none():
    assert regularizers.get(None) is None
    assert constraints.get(None) is None


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_factor_must_be_a_number_from_0_on(value):
    with pytest.raises(ValueError, match="L2: expected l2 >= 0"):
        regularizers.L2(value)


def test_max_norm_scales_down_what_is_too_long_only(rng):
    weight = rng.normal(size=(5, 4)) * np.array([0.1, 1.0, 10.0, 0.0])
    projected = constraints.MaxNorm(1.5, axis=0)(weight).numpy()
    norms = np.linalg.norm(weight, axis=0)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=0), np.minimum(norms, 1.5), rtol=1e-5)
    np.testing.assert_allclose(projected[:, norms < 1.5], weight[:, norms < 1.5], rtol=1e-5, atol=1e-12)


def test_unit_norm_over_filters(rng):
    projected = constraints.UnitNorm(axis=(0, 1, 2))(rng.normal(size=(3, 3, 2, 4))).numpy()
    np.testing.assert_allclose(np.sqrt((projected**2).sum(axis=(0, 1, 2))), 1, rtol=1e-6)


def test_non_neg(rng):
    weight = rng.normal(size=(5, 4))
    np.testing.assert_array_equal(constraints.get("non_neg")(weight).numpy(), np.maximum(weight, 0))


def test_wrong_constraints():
    with pytest.raises(ValueError, match="expected max_value > 0"):
        constraints.MaxNorm(0)
    with pytest.raises(ValueError, match=r"unknown constraint 'maxnorm': did you mean"):
        constraints.get("maxnorm")
