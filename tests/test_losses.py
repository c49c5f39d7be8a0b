"""Losses: values against the formulas in NumPy, gradients, reductions, weights, wrong uses."""

from __future__ import annotations

import numpy as np
import pytest

import quernel as qn
from quernel import losses, ops
from quernel.testing import check_gradients


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_regression_losses(rng):
    y, p = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    np.testing.assert_allclose(
        losses.mean_squared_error(y, qn.tensor(p)).numpy(), ((y - p) ** 2).mean(axis=1)
    )
    np.testing.assert_allclose(
        losses.mean_absolute_error(y, qn.tensor(p)).numpy(), np.abs(y - p).mean(axis=1)
    )


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0], {1: 3.0}])
def test_binary_crossentropy(from_logits, smoothing, weights, rng):
    logits = rng.normal(size=(6, 4)) * 3
    y = (rng.random((6, 4)) < 0.5).astype(float)
    t, p = y * (1 - smoothing) + smoothing / 2, sigmoid(logits)
    w0, w1 = {None: (1, 1), 0.5: (0.5, 2.0), 3.0: (1.0, 3.0)}[
        None if weights is None else weights[0] if isinstance(weights, list) else weights[1]
    ]
    expected = -(w1 * t * np.log(p) + w0 * (1 - t) * np.log(1 - p)).mean(axis=1)
    given = qn.tensor(logits if from_logits else p)
    loss = losses.binary_crossentropy(y, given, from_logits, smoothing, weights)
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0]])
def test_categorical_crossentropies(from_logits, smoothing, weights, rng):
    logits = rng.normal(size=(6, 2, 3)) * 3
    labels = rng.integers(0, 3, size=(6, 2))
    p, onehot = softmax(logits), np.eye(3)[labels]
    target = onehot * (1 - smoothing) + smoothing / 3
    expected = -(np.asarray(weights or [1, 1, 1]) * target * np.log(p)).sum(axis=-1)
    given = qn.tensor(logits if from_logits else p)
    options = {"from_logits": from_logits, "label_smoothing": smoothing, "class_weight": weights}
    sparse = losses.sparse_categorical_crossentropy(labels, given, **options)
    dense = losses.categorical_crossentropy(onehot, given, **options)
    np.testing.assert_allclose(sparse.numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(dense.numpy(), expected, rtol=1e-10)
    with_axis = losses.sparse_categorical_crossentropy(labels[..., None], given, **options)
    np.testing.assert_array_equal(with_axis.numpy(), sparse.numpy())


def test_soft_labels(rng):
    logits, target = rng.normal(size=(5, 4)), softmax(rng.normal(size=(5, 4)))
    loss = losses.CategoricalCrossentropy(from_logits=True)(target, qn.tensor(logits))
    assert loss.item() == pytest.approx(-(target * np.log(softmax(logits))).sum(axis=1).mean())


@pytest.mark.parametrize("name", sorted(cls.__name__ for cls in losses._CLASSES))
@pytest.mark.parametrize("from_logits", [True, False])
def test_gradients(name, from_logits, rng):
    labels = rng.integers(0, 3, size=5)
    target = labels if name.startswith("Sparse") else np.eye(3)[labels]
    entropic = name.endswith("Crossentropy")
    loss = losses.TABLE[name](**({"from_logits": from_logits, "label_smoothing": 0.1} if entropic else {}))
    predictions = rng.normal(size=(5, 3))
    if entropic and not from_logits:
        predictions = (softmax(predictions) + 1) / 4  # a step may not carry them near 0
    check_gradients(lambda p: loss(target, p, sample_weight=[1.0, 2.0, 0.5, 0.0, 1.0]), predictions)


def test_reductions(rng):
    y, p = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    each = ((y - p) ** 2).mean(axis=1)
    for reduction, expected in {
        "sum_over_batch_size": each.mean(),
        "mean": each.mean(),
        "sum": each.sum(),
        "none": each,
        None: each,
    }.items():
        loss = losses.MeanSquaredError(reduction=reduction)(y, qn.tensor(p))
        np.testing.assert_allclose(loss.numpy(), expected)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_sample_weights_divide_by_the_number_of_samples(shape, rng):
    y, p, w = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.random(4)
    loss = losses.MeanSquaredError()(y, qn.tensor(p), sample_weight=w.reshape(shape))
    assert loss.item() == pytest.approx((((y - p) ** 2).mean(axis=1) * w).sum() / 4)


def test_sample_weights_of_sequences(rng):
    logits, labels, w = rng.normal(size=(3, 5, 4)), rng.integers(0, 4, size=(3, 5)), rng.random(3)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    each = loss(labels, qn.tensor(logits)).numpy()
    weighted = loss(labels, qn.tensor(logits), sample_weight=w).numpy()
    np.testing.assert_allclose(weighted, each * w[:, None])


def test_the_mean_leaves_ignored_samples_out(rng):
    logits, labels = rng.normal(size=(6, 4)), np.array([0, 1, -1, 2, -1, 3])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    kept = labels >= 0
    expected = losses.SparseCategoricalCrossentropy(from_logits=True)(labels[kept], qn.tensor(logits[kept]))
    assert loss(labels, qn.tensor(logits)).item() == pytest.approx(expected.item())
    assert loss(np.full(6, -1), qn.tensor(logits)).item() == 0.0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "options", [{}, {"ignore_class": 2}, {"label_smoothing": 0.1, "class_weight": [1, 2, 3]}]
)
def test_one_operation_gives_what_a_loss_gives_step_by_step(options, reduction, weighted, rng):
    p, labels = rng.normal(size=(6, 4, 3)), rng.integers(0, 3, (6, 4))
    weights = rng.uniform(0, 2, 6) if weighted else None

    class Steps(losses.SparseCategoricalCrossentropy):
        def call(self, y_true, y_pred):
            return ops.multiply(super().call(y_true, y_pred), 1.0)

    values, grads = [], []
    for kind in (losses.SparseCategoricalCrossentropy, Steps):
        x = qn.tensor(p, requires_grad=True)
        loss = kind(from_logits=True, reduction=reduction, **options)(labels, x, weights)
        loss.sum().backward()
        values.append(loss.numpy())
        grads.append(x.grad.numpy())
    np.testing.assert_allclose(*values, rtol=1e-12)
    np.testing.assert_allclose(*grads, rtol=1e-10, atol=1e-15)


def test_what_a_subclass_changes_counts(rng):
    class Doubled(losses.CategoricalCrossentropy):
        def call(self, y_true, y_pred):
            return ops.multiply(super().call(y_true, y_pred), 2.0)

    class OverTen(losses.SparseCategoricalCrossentropy):
        def counted(self, y_true, losses):
            return 10

    p, labels = rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    plain = losses.SparseCategoricalCrossentropy(from_logits=True)(labels, p).item()
    assert Doubled(from_logits=True)(np.eye(3)[labels], p).item() == pytest.approx(2 * plain)
    assert OverTen(from_logits=True)(labels, p).item() == pytest.approx(plain / 2)


def test_labels_of_one_column_do_not_broadcast(rng):
    y, p = rng.normal(size=8), rng.normal(size=(8, 1))
    expected = ((y - p[:, 0]) ** 2).mean()
    for true, predicted in [(y, p), (y[:, None], p), (y, p[:, 0]), (y[:, None], p[:, 0])]:
        assert losses.MeanSquaredError()(true, qn.tensor(predicted)).item() == pytest.approx(expected)


def test_predictions_that_are_wrong_and_certain_stay_finite_and_learn():
    probabilities = qn.tensor([[1.0, 1e-20], [1.0, 0.0]], requires_grad=True)
    loss = losses.SparseCategoricalCrossentropy()([1, 1], probabilities)
    loss.backward()
    assert 40 < loss.item() < 88
    assert probabilities.grad.numpy()[0, 1] < -1e18
    assert np.isfinite(probabilities.grad.numpy()).all()
    assert losses.BinaryCrossentropy()([1.0, 0.0], [0.0, 1.0]).item() == pytest.approx(87.336, rel=1e-4)


def test_integer_and_list_inputs_follow_the_predictions_dtype():
    assert losses.MeanSquaredError()([[1, 2]], [[1, 4]]).dtype == np.float32
    assert (
        losses.MeanSquaredError()(np.ones((2, 2)), qn.tensor(np.ones((2, 2), np.float32))).dtype == np.float32
    )
    assert losses.MeanSquaredError()([[1, 2]], np.zeros((1, 2))).dtype == np.float64


def test_by_name_object_and_function():
    assert isinstance(losses.get("mse"), losses.MeanSquaredError)
    assert isinstance(losses.get("sparse_categorical_crossentropy"), losses.SparseCategoricalCrossentropy)
    assert losses.get(losses.mean_absolute_error)([[1.0]], [[3.0]]).item() == 2.0

    def own(y_true, y_pred):
        return ops.mean(ops.subtract(y_pred, y_true), axis=-1)

    assert losses.get(own).name == "own"
    assert losses.get(own)([[1.0, 1.0]], [[3.0, 2.0]], sample_weight=[2.0]).item() == 3.0
    assert "from_logits=True" in repr(losses.BinaryCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=r"unknown loss 'crossentropy': "):
        losses.get("crossentropy")


LOGITS = np.array([[2.0, -1.0, 0.5], [0.1, 3.0, -2.0]])
PROBABILITIES = softmax(LOGITS)
SPARSE = losses.sparse_categorical_crossentropy
WRONG = {
    "labels from 1": (
        lambda: SPARSE([1, 3], LOGITS, True),
        ValueError,
        "label 3 is out of range for 3 classes",
    ),
    "negative label": (lambda: SPARSE([-1, 2], LOGITS, True), ValueError, "label -1 is out of range"),
    "float labels": (lambda: SPARSE(np.array([0.0, 1.0]), LOGITS, True), TypeError, "integer"),
    "one-hot for sparse": (
        lambda: SPARSE(np.eye(3)[:2], LOGITS, True),
        ValueError,
        "categorical_crossentropy",
    ),
    "numbers for one-hot": (
        lambda: losses.categorical_crossentropy([0, 1], LOGITS, True),
        ValueError,
        "sparse_categorical_crossentropy",
    ),
    "wrong number of labels": (lambda: SPARSE([0, 1, 2], LOGITS, True), ValueError, r"\(2,\)"),
    "logits as probabilities": (lambda: SPARSE([0, 1], LOGITS), ValueError, "from_logits=True"),
    "binary logits": (
        lambda: losses.binary_crossentropy([[1, 0, 1]] * 2, LOGITS),
        ValueError,
        "need from_logits=True",
    ),
    "binary labels 1, 2": (
        lambda: losses.binary_crossentropy([[1], [2]], [[0.5], [0.5]]),
        ValueError,
        r"y_true in \[0, 1\]",
    ),
    "softmax twice": (
        lambda: SPARSE([0, 1], ops.softmax(qn.tensor(LOGITS, requires_grad=True)), True),
        ValueError,
        "comes from a softmax; use from_logits=False",
    ),
    "one output": (lambda: SPARSE([0, 1], [[0.3], [0.2]]), ValueError, "use binary_crossentropy"),
    "empty batch": (
        lambda: losses.MeanSquaredError()(np.zeros((0, 2)), np.zeros((0, 2))),
        ValueError,
        "empty batch",
    ),
    "shapes": (
        lambda: losses.mean_squared_error([1, 2, 3], [[1], [2]]),
        ValueError,
        r"shape \(2, 1\), got \(3,\)",
    ),
    "smoothing": (
        lambda: losses.CategoricalCrossentropy(label_smoothing=2),
        ValueError,
        r"in \[0, 1\], got 2",
    ),
    "reduction": (lambda: losses.MeanSquaredError(reduction="avg"), ValueError, "unknown reduction 'avg'"),
    "class weights": (lambda: SPARSE([0, 1], LOGITS, True, class_weight=[1, 2]), ValueError, "as 3 numbers"),
    "negative weight": (lambda: SPARSE([0, 1], LOGITS, True, class_weight=[1, 2, -1]), ValueError, "from -1"),
    "weight of no class": (
        lambda: SPARSE([0, 1], LOGITS, True, class_weight={3: 1}),
        ValueError,
        "got class 3",
    ),
    "sample weights": (
        lambda: losses.MeanSquaredError()(LOGITS, LOGITS, sample_weight=[1.0]),
        ValueError,
        r"shape \(2,\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_uses(case):
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        call()


def test_probabilities_given_as_logits_are_noticed():
    with pytest.warns(UserWarning, match="sums to 1, as probabilities do; use from_logits=False"):
        SPARSE([0, 1], PROBABILITIES, from_logits=True)


def test_logits_are_not_taken_for_probabilities():
    SPARSE([0], [[0.25, 0.75]], from_logits=True)  # a single row may be chance
    SPARSE([0, 1], [[0.0, 0.0], [0.0, 0.0]], from_logits=True)
    SPARSE([0, 1], ops.log_softmax(qn.tensor(LOGITS, requires_grad=True)), from_logits=True)


def test_nan_predictions_give_a_nan_loss():
    assert np.isnan(SPARSE([0], [[np.nan, 0.5]]).numpy()).all()
