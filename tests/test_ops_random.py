"""Dropout, random tensors and the state they come from."""

from __future__ import annotations

import json

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.testing import check_gradients


@pytest.fixture(autouse=True)
def _seeded():
    state = qn.random.get_state()
    qn.random.seed(7)
    yield
    qn.random.set_state(state)


def test_dropout_keeps_the_mean_and_uses_one_mask_both_ways():
    x = qn.ones(10_000, requires_grad=True)
    y = ops.dropout(x, 0.25)
    assert set(np.unique(y.data)) == {np.float32(0), np.float32(4 / 3)}
    assert abs((y.data == 0).mean() - 0.25) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, y.data)


def test_gradients_of_dropout(rng):
    def dropout(x):
        qn.random.seed(5)
        return ops.dropout(x, 0.3)

    check_gradients(dropout, rng.normal(size=(4, 9)))


def test_each_call_has_its_own_mask_and_the_seed_repeats_them():
    x = qn.ones(100)
    a, b = ops.dropout(x, 0.5), ops.dropout(x, 0.5)
    assert (a.data != b.data).any()
    qn.random.seed(7)
    np.testing.assert_array_equal(ops.dropout(x, 0.5).data, a.data)


def test_dropout_does_nothing_outside_training():
    x = qn.ones(3)
    assert ops.dropout(x, 0.5, training=False) is x
    assert ops.dropout(x, 0.0) is x
    assert not ops.dropout(x, 1.0).data.any()


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_wrong_rates(rate):
    with pytest.raises(ValueError, match="here: expected a rate from 0 to 1"):
        ops.dropout([1.0], rate, where="here")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_tensors(dtype):
    u = ops.random_uniform((100, 101), -2.0, 3.0, dtype=dtype)
    assert u.dtype == dtype and u.data.min() >= -2 and u.data.max() < 3 and abs(u.data.mean() - 0.5) < 0.1
    z = ops.random_normal((100, 101), 1.0, 2.0, dtype=dtype)
    assert z.dtype == dtype and abs(z.data.mean() - 1) < 0.1 and abs(z.data.std() - 2) < 0.1


def test_draws_do_not_overlap():
    for draw in (ops.random_uniform, ops.random_normal):
        for count in (1, 3, 4, 7):
            qn.random.seed(3)
            first = draw(count, dtype="float64").tolist()
            second = draw(count, dtype="float64").tolist()
            assert not set(first) & set(second)


def test_wrong_random_tensors():
    with pytest.raises(ValueError, match="0 or more"):
        ops.random_uniform((-1,))
    with pytest.raises(ValueError, match="low <= high"):
        ops.random_uniform(3, 1.0, 0.0)
    with pytest.raises(ValueError, match="std >= 0"):
        ops.random_normal(3, std=-1.0)
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        ops.random_normal(3, dtype="int64")


def test_the_state_survives_json():
    qn.random.numpy_generator().random(5)
    qn.random.next_state(9)
    state = json.loads(json.dumps(qn.random.get_state()))
    expected = qn.random.next_state(4).tolist(), qn.random.numpy_generator().random()
    qn.random.seed(1)
    qn.random.set_state(state)
    assert (qn.random.next_state(4).tolist(), qn.random.numpy_generator().random()) == expected


def test_states_reserve_blocks_of_four():
    assert [qn.random.next_state(n).tolist() for n in (1, 4, 5, 0, 1)] == [
        [7, 0],
        [7, 1],
        [7, 2],
        [7, 4],
        [7, 4],
    ]
    assert qn.random.initial_seed() == 7


@pytest.mark.parametrize("wrong", [-1, 2**64])
def test_wrong_seeds(wrong):
    with pytest.raises(ValueError, match="0 to 2"):
        qn.random.seed(wrong)
    with pytest.raises(TypeError, match="integer"):
        qn.random.seed(1.5)


@pytest.mark.parametrize(
    "wrong", [{}, None, {"seed": -1, "offset": 0, "generator": {}}, {"seed": 1, "offset": 0, "generator": {}}]
)
def test_a_wrong_state_changes_nothing(wrong):
    before = qn.random.get_state()
    with pytest.raises(ValueError, match=r"random\.set_state"):
        qn.random.set_state(wrong)
    assert qn.random.get_state() == before
