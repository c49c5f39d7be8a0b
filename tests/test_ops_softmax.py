"""Softmax and cross-entropy: gradients with every option; labels are checked."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import ops
from quernel.kernels.memory import memory_stats
from quernel.testing import check_gradients


@pytest.mark.parametrize("function", [ops.softmax, ops.log_softmax])
@pytest.mark.parametrize(
    ("shape", "axis"), [((5,), -1), ((2, 5), -1), ((2, 3, 5), 2), ((2, 3, 5), 0), ((2, 3, 5), -2)]
)
def test_gradients(rng, function, shape, axis):
    x = rng.normal(size=shape)
    check_gradients(lambda t: function(t, axis), x)
    p = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
    expected = p if function is ops.softmax else np.log(p)
    np.testing.assert_allclose(function(x, axis).data, expected, rtol=1e-12)


def test_huge_logits_are_safe():
    x = qn.tensor([[1000.0, 0.0], [-1000.0, -1000.0]], requires_grad=True)
    assert ops.softmax(x).tolist() == [[1.0, 0.0], [0.5, 0.5]]
    ops.softmax_cross_entropy(x, [0, 1]).sum().backward()
    assert np.isfinite(x.grad.data).all()


OPTIONS = [
    {},
    {"label_smoothing": 0.1},
    {"class_weight": [1.0, 2.0, 0.5, 1.0]},
    {"class_weight": [1.0, 2.0, 0.5, 1.0], "label_smoothing": 0.2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(4,), (6, 4), (2, 3, 4)])
def test_gradients_of_cross_entropy(rng, shape, options):
    logits = rng.normal(size=shape)
    labels = rng.integers(0, 4, shape[:-1])
    soft = rng.uniform(0.1, 1.0, shape)
    one_hot = np.eye(4)[labels]
    for target in (labels, soft, one_hot, one_hot.astype(np.int64)):
        check_gradients(lambda t, target=target: ops.softmax_cross_entropy(t, target, **options), logits)
    loss = ops.softmax_cross_entropy(logits, labels, **options)
    assert loss.shape == shape[:-1]
    np.testing.assert_allclose(
        loss.data, ops.softmax_cross_entropy(logits, one_hot, **options).data, rtol=1e-12
    )


@pytest.mark.parametrize("ignore_index", [-100, 255, 2])
def test_ignored_rows_have_no_loss_and_no_gradient(rng, ignore_index):
    logits = qn.tensor(rng.normal(size=(4, 3)), requires_grad=True)
    labels = np.array([0, ignore_index, 1, ignore_index])
    loss = ops.softmax_cross_entropy(logits, labels, ignore_index=ignore_index)
    assert loss.data[1] == loss.data[3] == 0
    loss.sum().backward()
    assert not logits.grad.data[[1, 3]].any() and logits.grad.data[[0, 2]].all()


def test_ignored_rows_have_no_gradient_even_of_an_infinite_one():
    logits = qn.tensor(np.zeros((2, 3)), requires_grad=True)
    ops.softmax_cross_entropy(logits, [0, 7], ignore_index=7).backward([1.0, np.inf])
    assert logits.grad.data[0].all() and not logits.grad.data[1].any()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(4,), (6, 4), (2, 3, 4)])
def test_one_number_for_all_rows(rng, shape, weighted, options):
    logits, labels = rng.normal(size=shape), rng.integers(0, 4, shape[:-1])
    if weighted:
        options = {**options, "sample_weight": rng.uniform(0, 2, shape[:-1])}
    for target in (labels, np.eye(4)[labels], rng.uniform(0.1, 1.0, shape)):
        each = ops.softmax_cross_entropy(logits, target, **options).data
        for reduction in ("sum", "mean"):
            loss = ops.softmax_cross_entropy(logits, target, **options, reduction=reduction)
            assert loss.shape == ()
            np.testing.assert_allclose(loss.data, getattr(each, reduction)(), rtol=1e-12)
            check_gradients(
                lambda t, target=target, reduction=reduction: ops.softmax_cross_entropy(
                    t, target, **options, reduction=reduction
                ),
                logits,
            )
        check_gradients(lambda t, target=target: ops.softmax_cross_entropy(t, target, **options), logits)


def test_the_mean_is_over_rows_that_are_not_ignored(rng):
    logits, labels = rng.normal(size=(5, 3)), np.array([0, 9, 2, 9, 1])
    mean = ops.softmax_cross_entropy(logits, labels, ignore_index=9, reduction="mean").item()
    assert mean == pytest.approx(ops.softmax_cross_entropy(logits, labels, ignore_index=9).data.sum() / 3)
    nothing = ops.softmax_cross_entropy(logits, [9] * 5, ignore_index=9, reduction="mean")
    assert nothing.item() == 0


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("dloss", [1.0, 3.0])
def test_backward_twice_gives_twice_the_gradient(rng, reduction, dloss):
    x = qn.tensor(rng.normal(size=(5, 7)), requires_grad=True)
    grads = []
    for retained in (True, False, False):
        if len(grads) != 1:
            loss = ops.softmax_cross_entropy(x, np.arange(5), reduction=reduction)
            x.grad = None
        loss.backward(np.full(loss.shape, dloss), retain_graph=retained)
        grads.append(x.grad.data.copy())
    np.testing.assert_allclose(grads[1], 2 * grads[0], rtol=1e-14)
    np.testing.assert_allclose(grads[2], grads[0], rtol=1e-14)
    with pytest.raises(RuntimeError, match="walked back before"):
        loss.backward(np.full(loss.shape, dloss))


def test_a_gradient_handed_over_is_nobody_elses(rng):
    """Logits that two losses share: what one backward returned is not written to by the next."""
    x = qn.tensor(rng.normal(size=(5, 7)), requires_grad=True)
    one, two = (ops.softmax_cross_entropy(x, labels, reduction="sum") for labels in (np.arange(5), [0] * 5))
    one.backward(retain_graph=True)
    kept = x.grad.data.copy()
    x.grad = None
    (one + two).backward()
    x.grad = None
    ops.softmax_cross_entropy(x, np.arange(5), reduction="sum").backward()
    np.testing.assert_array_equal(x.grad.data, kept)


def test_nothing_is_kept_without_a_gradient():
    x = qn.tensor(np.zeros((2, 3)), requires_grad=True)
    with qn.no_grad():
        assert ops.softmax_cross_entropy(x, [0, 1])._node is None
    assert ops.softmax_cross_entropy(x.detach(), [0, 1])._node is None


def test_training_holds_no_more_than_logits_and_gradient():
    x = qn.tensor(np.zeros((512, 1024), np.float32), requires_grad=True)
    labels = np.zeros(512, np.int64)
    for reduction, dloss in (("mean", np.float32(2)), ("none", np.ones(512, np.float32))):
        x.grad = None
        before = memory_stats()["in_use"]
        loss = ops.softmax_cross_entropy(x, labels, reduction=reduction)
        loss.backward(dloss)
        assert x.grad.data.nbytes <= memory_stats()["in_use"] - before < 1.5 * x.grad.data.nbytes


def test_labels_of_any_integer_type():
    logits = np.zeros((2, 3))
    for dtype in (np.int8, np.uint8, np.int32, np.int64, np.uint64):
        assert ops.softmax_cross_entropy(logits, np.array([0, 2], dtype)).shape == (2,)


def test_an_empty_batch():
    assert ops.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, np.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        ([0, 3], {}, ValueError, "here: label 3 is out of range for 3 classes; labels run from 0 to 2"),
        ([0, -1], {}, ValueError, "label -1 is out of range"),
        ([0, -1], {"ignore_index": -100}, ValueError, "label -1"),
        ([1, 3], {}, ValueError, "count from 1: subtract 1"),
        ([0.0, 1.0], {}, TypeError, "expected integer labels, got float32.*astype"),
        ([True, False], {}, TypeError, "integer labels, got bool"),
        ([0], {}, ValueError, r"labels of shape \(2,\).*got \(1,\)"),
        ([[0], [1]], {}, ValueError, r"target\[..., 0\]"),
        ([[0.5, 0.5]] * 2, {}, ValueError, r"probabilities of shape \(2, 3\)"),
        ([[0.5, 0.5, 0.0]] * 2, {"ignore_index": 0}, ValueError, "ignore_index needs integer labels"),
        ([0, 1], {"label_smoothing": 1.5}, ValueError, "label_smoothing from 0 to 1"),
        ([0, 1], {"reduction": "average"}, ValueError, "reduction 'none', 'sum' or 'mean', got 'average'"),
        ([0, 1], {"sample_weight": [1.0] * 3}, ValueError, r"broadcasts to \(2,\), one for each row"),
        ([0, 1], {"class_weight": [1.0]}, ValueError, "one class weight for each of 3 classes"),
    ],
    ids=str,
)
def test_wrong_use(target, options, error, message):
    with pytest.raises(error, match=message):
        ops.softmax_cross_entropy(np.zeros((2, 3)), target, **options, where="here")


def test_other_wrong_use():
    with pytest.raises(ValueError, match="classes"):
        ops.softmax_cross_entropy(np.zeros((2, 0)), [0, 0])
    with pytest.raises(ValueError, match=r"detach"):
        ops.softmax_cross_entropy(np.zeros((2, 3)), qn.ones((2, 3), requires_grad=True))
    with pytest.raises(ValueError, match=r"sample weights.*detach"):
        ops.softmax_cross_entropy(np.zeros((2, 3)), [0, 0], sample_weight=qn.ones(2, requires_grad=True))
    with pytest.raises(ValueError, match="empty batch"):
        ops.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, np.int64), reduction="mean")
    with pytest.raises(ValueError, match="empty"):
        ops.softmax(np.zeros((2, 0)))
    with pytest.raises(ValueError, match="at least one axis"):
        ops.softmax(1.0)
    with pytest.raises(IndexError, match="axis 2"):
        ops.softmax(np.zeros((2, 3)), axis=2)
