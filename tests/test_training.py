"""fit, evaluate, predict: they do what a loop by hand does, repeatably."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import quernel as qn
from quernel import layers, losses, optimizers, regularizers
from quernel.callbacks import Callback
from quernel.data import DataLoader, TensorDataset

from .classifier import assert_same_weights, compiled, labelled, small_model, weights


@pytest.fixture(autouse=True)
def seeded():
    qn.random.seed(11)


@pytest.fixture
def data(rng):
    return labelled(rng)


def assert_close_weights(a, b):
    """Equal but for rounding: NumPy's products (the reference backend) depend on the batch."""
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_allclose(value, b[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_fit_learns_and_reports(data):
    x, y = data
    model = compiled(optimizer=optimizers.Adam(0.05))
    history = model.fit(x, y, batch_size=8, epochs=30, validation_split=0.2, verbose=0)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.epoch == list(range(30))
    assert history.history["loss"][-1] < history.history["loss"][0] / 3
    assert history.history["accuracy"][-1] > 0.9
    assert all(type(value) is float for values in history.history.values() for value in values)
    assert model.history is history
    assert not model.training


def test_fit_is_the_loop_by_hand(data):
    x, y = data
    model, twin = compiled(), small_model()
    model.build((None, 4))
    twin.build((None, 4))
    twin.load_state_dict(model.state_dict())
    history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)

    optimizer = optimizers.SGD(0.1, parameters=twin.parameters())
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
    for epoch in range(2):
        total = 0.0
        for xb, yb in qn.data.batches(x, y, 16):
            loss = loss_of(yb, twin(xb))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(xb)
        assert history.history["loss"][epoch] == pytest.approx(total / len(x), rel=1e-12)
    assert_same_weights(model.state_dict(), twin.state_dict())


def test_same_seed_same_weights(data):
    x, y = data
    runs = []
    for seed in (1, 1, 2):
        qn.random.seed(seed)
        model = compiled(qn.Sequential([layers.Dense(8), layers.Dropout(0.5), layers.Dense(3)]))
        model.fit(x, y, epochs=3, batch_size=8, verbose=0)
        runs.append(weights(model))
    assert_same_weights(runs[0], runs[1])
    assert any((runs[0][name] != runs[2][name]).any() for name in runs[0])


def test_training_goes_on_where_it_stopped(data):
    x, y = data
    model = compiled(optimizer=optimizers.Adam(0.01))
    model.build((None, 4))
    start = weights(model)
    model.fit(x, y, epochs=4, shuffle=False, verbose=0)
    twice = compiled(optimizer=optimizers.Adam(0.01))
    twice.build((None, 4))
    twice.load_state_dict(start)
    twice.fit(x, y, epochs=2, shuffle=False, verbose=0)
    history = twice.fit(x, y, epochs=4, initial_epoch=2, shuffle=False, verbose=0)
    assert history.epoch == [2, 3]
    assert_same_weights(model.state_dict(), twice.state_dict())


def test_validation_split_is_the_last_part_and_not_trained_on(data):
    x, y = data
    model = compiled()
    model.build((None, 4))
    start = weights(model)
    history = model.fit(x, y, epochs=1, validation_split=0.2, shuffle=False, verbose=0)
    found = model.evaluate(x[40:], y[40:], verbose=0)
    assert [history.history["val_loss"][0], history.history["val_accuracy"][0]] == found
    twin = compiled()
    twin.build((None, 4))
    twin.load_state_dict(start)
    twin.fit(x[:40], y[:40], epochs=1, shuffle=False, validation_data=(x[40:], y[40:]), verbose=0)
    assert_same_weights(model.state_dict(), twin.state_dict())
    assert twin.history.history == history.history


def test_kinds_of_input_give_the_same_training(data):
    x, y = data
    x = (x * 50).astype(np.int8)
    results = []
    loader = DataLoader(TensorDataset(x, y), 32)
    for given_x, given_y in (
        (x, y),
        (x.astype(np.float32), y.astype(np.int32)),
        (x.astype(np.float64), y.tolist()),
        (x.tolist(), y[:, None]),
        (qn.tensor(x), qn.tensor(y)),
        (np.asfortranarray(x.astype(np.float32)), y),
        (loader, None),
        ([(x[:32], y[:32])], None),
    ):
        if isinstance(given_x, list) and isinstance(given_x[0], tuple):
            given_x = iter(itertools.cycle([(x[:32], y[:32]), (x[32:], y[32:])]))
        qn.random.seed(3)
        model = compiled()
        steps = 2 if given_y is None else None
        model.fit(given_x, given_y, epochs=2, shuffle=False, steps_per_epoch=steps, verbose=0)
        results.append(weights(model))
    for result in results[1:]:
        assert_close_weights(results[0], result)


def test_float64_model_trains_in_float64(data):
    x, y = data
    model = compiled(qn.Sequential([layers.Dense(3)], dtype="float64"))
    model.fit(x, y, verbose=0)
    assert model.predict(x, verbose=0).dtype == np.float64
    assert {value.dtype for value in model.state_dict().values()} == {np.dtype("float64")}


def test_weights_of_samples_and_classes(data):
    x, y = data
    start = None
    results = []
    by_class = {0: 0.5, 1: 2.0, 2: 3.0}
    for options in (
        {"class_weight": by_class},
        {"sample_weight": np.array([by_class[label] for label in y])},
        {"class_weight": {1: 4.0, 0: 1.0, 2: 6.0}, "sample_weight": np.full(50, 0.5)},
    ):
        model = compiled()
        model.build((None, 4))
        start = start or weights(model)
        model.load_state_dict(start)
        model.fit(x, y, epochs=2, shuffle=False, verbose=0, **options)
        results.append(weights(model))
    assert_same_weights(results[0], results[1])
    assert_same_weights(results[0], results[2])


def test_a_weight_of_zero_takes_a_sample_out(data):
    x, y = data
    wrong = np.where(np.arange(50) < 25, y, 0)
    model = compiled()
    model.build((None, 4))
    start = weights(model)
    model.fit(x, wrong, batch_size=50, sample_weight=(np.arange(50) < 25) * 2.0, verbose=0)
    twin = compiled()
    twin.build((None, 4))
    twin.load_state_dict(start)
    twin.fit(x[:25], y[:25], batch_size=50, shuffle=False, verbose=0)
    for name, value in twin.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_regularization_is_part_of_the_loss(data):
    x, y = data
    plain = compiled()
    plain.build((None, 4))
    heavy = compiled(small_model(kernel_regularizer=regularizers.L2(0.5)))
    heavy.build((None, 4))
    heavy.load_state_dict(plain.state_dict())
    penalty = 0.5 * (plain.state_dict()["0.kernel"].astype(np.float64) ** 2).sum()
    difference = heavy.evaluate(x, y, verbose=0)[0] - plain.evaluate(x, y, verbose=0)[0]
    assert difference == pytest.approx(penalty, rel=1e-5)
    heavy.fit(x, y, epochs=3, verbose=0)
    plain.fit(x, y, epochs=3, verbose=0)
    assert (heavy.state_dict()["0.kernel"] ** 2).sum() < (plain.state_dict()["0.kernel"] ** 2).sum()


def test_evaluate_and_predict_do_not_depend_on_the_batch_size(data):
    x, y = data
    model = compiled()
    all_at_once = model.predict(x, batch_size=50, verbose=0)
    assert all_at_once.shape == (50, 3)
    for batch_size in (1, 7, 32, 1000):
        got = model.predict(x, batch_size=batch_size, verbose=0)
        np.testing.assert_allclose(got, all_at_once, rtol=1e-4, atol=1e-5)
        loss, accuracy = model.evaluate(x, y, batch_size=batch_size, verbose=0)
        assert loss == pytest.approx(model.evaluate(x, y, batch_size=50, verbose=0)[0], rel=1e-6)
        assert accuracy == (all_at_once.argmax(1) == y).mean()
    assert model.evaluate(x, y, verbose=0, return_dict=True) == {
        "loss": pytest.approx(loss),
        "accuracy": accuracy,
    }
    assert model.predict(x, batch_size=10, steps=2, verbose=0).shape == (20, 3)
    assert model.predict(DataLoader(TensorDataset(x), 20), verbose=0).shape == (50, 3)


def test_modes(data):
    """Dropout works in fit alone; evaluate and predict leave the mode as they found it."""
    x, y = data
    model = compiled(qn.Sequential([layers.Dropout(0.5), layers.Dense(3)]))
    assert model.training
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))
    model.evaluate(x, y, verbose=0)
    assert model.training
    seen = []

    class Watch(Callback):
        def on_train_batch_end(self, batch, logs):
            seen.append(self.model.training)

        def on_test_begin(self, logs):
            self.model.eval()

    model.fit(x, y, epochs=2, validation_split=0.5, callbacks=[Watch()], verbose=0)
    assert seen == [True] * len(seen) != []
    assert not model.training


class TwoInputs(qn.Model):
    def __init__(self):
        super().__init__()
        self.first = layers.Dense(4)
        self.second = layers.Dense(4)

    def call(self, inputs):
        a, b = inputs
        return {"sum": self.first(a) + self.second(b), "parts": [a, b]}


def test_models_of_several_inputs_and_outputs(rng):
    a, b = rng.standard_normal((2, 9, 3)).astype(np.float32)
    model = TwoInputs()
    got = model.predict((a, b), batch_size=4, verbose=0)
    assert got["sum"].shape == (9, 4)
    np.testing.assert_array_equal(got["parts"][1], b)
    y = np.zeros((9, 4))
    model.compile("sgd", lambda y_true, y_pred: losses.mean_squared_error(y_true, y_pred["sum"]))
    losses_seen = model.fit((a, b), y, epochs=5, verbose=0).history["loss"]
    assert losses_seen[-1] < losses_seen[0]


def test_optimizer_with_parameters_of_its_own_trains_those_alone(data):
    x, y = data
    model = small_model()
    model.build((None, 4))
    start = weights(model)
    compiled(model, optimizers.SGD(0.1, parameters=model[1].parameters()))
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.state_dict()["0.kernel"], start["0.kernel"])
    assert (model.state_dict()["1.kernel"] != start["1.kernel"]).any()


def test_layers_added_later_are_trained(data):
    x, y = data
    model = qn.Sequential([layers.Dense(3)])
    compiled(model).fit(x, y, verbose=0)
    model.add(layers.Dense(3))
    model.build((None, 4))
    before = weights(model)
    model.fit(x, y, verbose=0)
    assert (model.state_dict()["1.kernel"] != before["1.kernel"]).any()


def test_sequential_is_a_list_of_layers():
    model = small_model()
    assert len(model) == 2
    assert model[0].units == 8
    assert [layer.units for layer in model] == [8, 3]
    assert isinstance(model[:1], qn.Sequential)
    assert model.pop().units == 3
    assert len(model) == 1
    model.pop()
    with pytest.raises(IndexError, match="no layer to pop"):
        model.pop()
    with pytest.raises(TypeError, match=r"expected a layer, got .*; write Dense\(\.\.\.\)"):
        model.add(layers.Dense)
    with pytest.raises(TypeError, match="expected a layer, got 'dense'"):
        qn.Sequential(["dense"])


def test_build_and_summary():
    model = small_model()
    lines = []
    model.summary(print_fn=lines.append)
    assert "not built yet" in lines[0]
    model.build((None, 4))
    assert list(model.state_dict()) == ["0.kernel", "0.bias", "1.kernel", "1.bias"]
    assert model.count_params() == 4 * 8 + 8 + 8 * 3 + 3
    lines.clear()
    model.summary(print_fn=lines.append)
    assert "(None, 8)" in lines[0]
    assert "Parameters: 67 (0.00 MB), trainable 67, fixed 0" in lines[0]
    assert max(map(len, lines[0].splitlines())) < 80


def test_a_model_is_built_by_its_first_call_and_not_by_a_failed_one(data):
    x, _ = data

    class Own(qn.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Own()
    with pytest.raises(ValueError, match="has no weights yet"):
        model.state_dict()
    with pytest.raises(TypeError):
        model(x, x)
    assert not model.built
    assert model(x).shape == (50, 2)
    assert model.input_shape == (None, 4)
    other = Own()
    other.build((None, 7))
    assert other.state_dict()["dense.kernel"].shape == (7, 2)
    assert other.compute_output_shape((None, 7)) == (None, 2)
    lines = []
    other.summary(print_fn=lines.append)
    assert lines[0].splitlines()[4].split()[1:] == ["(Dense)", "-", "16"]


def test_progress_is_printed(data, capsys):
    x, y = data
    compiled().fit(x, y, epochs=2, validation_split=0.2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Epoch 1/2  loss ")
    for part in ("accuracy", "val_loss", "val_accuracy", "samples/s"):
        assert part in lines[0]
    compiled().fit(x, y, verbose=0)
    assert capsys.readouterr() == ("", "")
