"""Metrics against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import metrics

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], np.float32)
LABELS = np.array([1, 0, 1, 2])  # the first two are right, the third is second best, the fourth is last


def test_sparse_and_one_hot_accuracy_agree():
    assert metrics.SparseCategoricalAccuracy()(LABELS, SCORES) == 0.5
    assert metrics.SparseCategoricalAccuracy()(LABELS[:, None], SCORES) == 0.5
    assert metrics.CategoricalAccuracy()(np.eye(3)[LABELS], SCORES) == 0.5


@pytest.mark.parametrize(("k", "expected"), [(1, 0.5), (2, 0.75), (3, 1.0), (5, 1.0)])
def test_top_k(k, expected):
    assert metrics.SparseTopKCategoricalAccuracy(k)(LABELS, SCORES) == expected
    assert metrics.TopKCategoricalAccuracy(k)(np.eye(3)[LABELS], SCORES) == expected


def test_binary_accuracy():
    assert metrics.BinaryAccuracy()([[1], [0], [1]], [[0.9], [0.6], [0.4]]) == pytest.approx(1 / 3)
    assert metrics.BinaryAccuracy()([1, 0, 1], [[0.9], [0.6], [0.4]]) == pytest.approx(1 / 3)
    assert metrics.BinaryAccuracy(threshold=0)([1, 0, 1], [0.3, 0.2, -0.1]) == pytest.approx(1 / 3)


def test_accuracy_is_chosen_by_the_shapes():
    assert metrics.get("accuracy")(LABELS, SCORES) == 0.5
    assert metrics.get("accuracy")(np.eye(3)[LABELS], SCORES) == 0.5
    assert metrics.get("acc")([[1], [0]], [[0.9], [0.6]]) == 0.5
    assert metrics.get("accuracy")([1, 2, 3, 4], [1, 2, 3, 0]) == 0.75


def test_binary_accuracy_knows_that_the_loss_takes_logits():
    for name in ("accuracy", "binary_accuracy"):
        assert metrics.get(name, from_logits=True)([1, 0], [[0.3], [-0.3]]) == 1.0
        assert metrics.get(name)([1, 0], [[0.3], [-0.3]]) == 0.5


def test_errors_of_regression(rng):
    y, p = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    assert metrics.MeanSquaredError()(y, p) == pytest.approx(((y - p) ** 2).mean())
    assert metrics.MeanAbsoluteError()(y, p) == pytest.approx(np.abs(y - p).mean())
    assert metrics.get("mse")(y[:, 0], p[:, :1]) == pytest.approx(((y - p)[:, 0] ** 2).mean())


def test_batches_add_up_and_reset_forgets():
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(LABELS[:3], qn.tensor(SCORES[:3]))
    metric.update_state(qn.tensor(LABELS[3:]), SCORES[3:])
    assert metric.result() == 0.5
    metric.reset_state()
    assert metric.result() == 0.0


def test_sample_weights():
    assert metrics.SparseCategoricalAccuracy()(LABELS, SCORES, sample_weight=[1, 0, 3, 0]) == 0.25
    assert metrics.Mean()([1.0, 3.0], sample_weight=[3.0, 1.0]) == 1.5
    assert metrics.Mean()([[1.0, 3.0], [5.0, 7.0]], sample_weight=[1.0, 0.0]) == 2.0


def test_nan_is_never_right():
    scores = SCORES.copy()
    scores[0, 1] = np.nan
    assert metrics.SparseCategoricalAccuracy()(LABELS[:2], scores[:2]) == 0.5
    assert metrics.SparseTopKCategoricalAccuracy(2)(LABELS[:1], scores[:1]) == 0.0


def test_any_function_can_be_a_metric():
    def largest_error(y_true, y_pred):
        return np.abs(y_true - y_pred).max(axis=-1)

    metric = metrics.get(largest_error)
    assert metric.name == "largest_error"
    assert metric([[1.0, 2.0]], [[1.0, 5.0]]) == 3.0


def test_names():
    assert metrics.get("SparseCategoricalAccuracy").name == "sparse_categorical_accuracy"
    assert metrics.get("acc").name == "acc"
    assert metrics.Mean(name="loss").name == "loss"
    assert repr(metrics.Mean(name="loss")) == "<Mean 'loss' 0>"


WRONG = {
    "unknown name": (lambda: metrics.get("acuracy"), ValueError, "did you mean 'accuracy'"),
    "label out of range": (
        lambda: metrics.SparseCategoricalAccuracy()([3], SCORES[:1]),
        ValueError,
        "labels from 0 to 2 for 3 classes",
    ),
    "float labels": (
        lambda: metrics.SparseCategoricalAccuracy()([1.0], SCORES[:1]),
        TypeError,
        "integers .class numbers., got float",
    ),
    "one-hot labels": (
        lambda: metrics.SparseCategoricalAccuracy()(np.eye(3), np.eye(3)),
        ValueError,
        "categorical_accuracy",
    ),
    "count": (
        lambda: metrics.CategoricalAccuracy()(np.eye(3), SCORES),
        ValueError,
        r"shape \(4, 3\), got \(3, 3\)",
    ),
    "k": (lambda: metrics.TopKCategoricalAccuracy(0), ValueError, "k as an integer of at least 1"),
    "weights": (
        lambda: metrics.Mean()([1.0, 2.0], sample_weight=[1.0]),
        ValueError,
        "sample_weight of shape",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_uses(case):
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        call()
