"""Callbacks: when they are called, when training stops, which weights remain, what is written."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import quernel as qn
from quernel import layers, saving
from quernel.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint


@pytest.fixture
def model():
    qn.random.seed(3)
    model = qn.Sequential([layers.Dense(2)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


@pytest.fixture
def data(rng):
    x = rng.standard_normal((20, 3)).astype(np.float32)
    return x, x[:, :2] * 2


class Script(Callback):
    """Replaces what is reported by numbers of the test's choice: callbacks after it see those."""

    def __init__(self, name, values):
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs):
        logs[self.name] = self.values[epoch]


def run(model, data, callbacks, epochs, **options):
    return model.fit(*data, epochs=epochs, verbose=0, callbacks=callbacks, **options)


def test_order_of_calls(model, data):
    calls = []

    class Watch(Callback):
        def on_train_begin(self, logs):
            calls.append(("train begin", self.params["epochs"], self.params["steps"], self.params["metrics"]))

        def on_train_end(self, logs):
            calls.append(("train end", sorted(logs)))

        def on_epoch_begin(self, epoch, logs):
            calls.append(("epoch begin", epoch))

        def on_epoch_end(self, epoch, logs):
            calls.append(("epoch end", epoch, sorted(logs)))

        def on_train_batch_begin(self, batch, logs):
            calls.append(("batch begin", batch))

        def on_train_batch_end(self, batch, logs):
            calls.append(("batch end", batch, sorted(logs)))

        def on_test_begin(self, logs):
            calls.append(("test begin",))

        def on_test_end(self, logs):
            calls.append(("test end", sorted(logs)))

    run(model, data, [Watch()], 1, batch_size=8, validation_split=0.2)
    names = ["loss", "mae", "val_loss", "val_mae"]
    assert calls == [
        ("train begin", 1, 2, names),
        ("epoch begin", 0),
        ("batch begin", 0),
        ("batch end", 0, names[:2]),
        ("batch begin", 1),
        ("batch end", 1, names[:2]),
        ("test begin",),
        ("test end", names[:2]),
        ("epoch end", 0, names),
        ("train end", names),
    ]


def test_validation_every_second_epoch(model, data):
    history = run(model, data, None, 4, validation_data=data, validation_freq=2)
    assert len(history.history["loss"]) == 4
    assert len(history.history["val_loss"]) == 2


@pytest.mark.parametrize(
    ("options", "values", "epochs_run", "best"),
    [
        ({"patience": 0}, [3, 2, 2, 1], 3, 1),
        ({"patience": 1}, [3, 2, 2.5, 1], 3, 1),
        ({"patience": 2}, [3, 2, 2.5, 2.5, 1], 4, 1),
        ({"patience": 2}, [5, 4, 3, 2, 1], 7, 4),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.7, 1], 2, 0),
        ({"patience": 1, "mode": "max"}, [1, 2, 1.5, 9], 3, 1),
        ({"patience": 1, "monitor": "val_acc"}, [0.1, 0.5, 0.4, 0.9], 3, 1),
        ({"patience": 1, "baseline": 1.0}, [3, 2, 0.5], 1, None),
        ({"patience": 1, "start_from_epoch": 2}, [1, 2, 3, 4, 5], 4, 2),
        ({"patience": 1}, [float("nan"), float("nan")], 1, None),
    ],
)
def test_early_stopping(model, data, options, values, epochs_run, best):
    name = options.setdefault("monitor", "val_loss")
    stop = EarlyStopping(**options)

    class Known(Callback):
        def on_train_begin(self, logs):
            self.params["metrics"].append(name)

    values = [*values, *[values[-1]] * 3]
    history = run(model, data, [Known(), Script(name, values), stop], len(values), validation_data=data)
    assert len(history.epoch) == epochs_run
    assert stop.best_epoch == best


def test_early_stopping_restores_the_best_weights(model, data, capsys):
    seen = []

    class Keep(Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append(self.model.state_dict()["0.kernel"].copy())

    stop = EarlyStopping(patience=2, restore_best_weights=True, verbose=1)
    callbacks = [Script("val_loss", [3.0, 1.0, 2.0, 2.0, 2.0]), Keep(), stop]
    run(model, data, callbacks, 5, validation_data=data)
    assert len(seen) == 4
    np.testing.assert_array_equal(model.state_dict()["0.kernel"], seen[1])
    assert (seen[1] != seen[3]).any()
    assert "stopped after epoch 4, val_loss was best (1) at epoch 2" in capsys.readouterr().out
    # The same when training ends by itself; and a second fit starts afresh.
    seen.clear()
    run(model, data, [Script("val_loss", [1.0, 2.0]), Keep(), stop], 2, validation_data=data)
    np.testing.assert_array_equal(model.state_dict()["0.kernel"], seen[0])


def test_checkpoints(model, data, tmp_path):
    path = tmp_path / "model-{epoch:02d}-{val_loss:.2f}.safetensors"
    run(model, data, [Script("val_loss", [0.5, 0.25]), ModelCheckpoint(path)], 2, validation_data=data)
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["model-01-0.50.safetensors", "model-02-0.25.safetensors"]
    np.testing.assert_array_equal(
        saving.load_tensors(tmp_path / names[1])["0.kernel"], model.state_dict()["0.kernel"]
    )


def test_checkpoint_of_the_best_only(model, data, tmp_path, capsys):
    path = tmp_path / "best.safetensors"
    seen = []

    class Keep(Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append(self.model.state_dict()["0.kernel"].copy())

    best = ModelCheckpoint(path, save_best_only=True, save_weights_only=True, verbose=1)
    run(model, data, [Script("val_loss", [3.0, 1.0, 2.0]), Keep(), best], 3, validation_data=data)
    loaded = saving.load_tensors(path)
    assert sorted(loaded) == ["0.bias", "0.kernel"]
    np.testing.assert_array_equal(loaded["0.kernel"], seen[1])
    assert capsys.readouterr().out.count("ModelCheckpoint: epoch") == 2


def test_csv_log(model, data, tmp_path):
    path = tmp_path / "log.csv"
    history = run(model, data, [CSVLogger(path)], 2, validation_data=data)
    run(model, data, [CSVLogger(path, append=True)], 1, validation_data=data)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "0"]
    assert [float(row["val_mae"]) for row in rows[:2]] == history.history["val_mae"]
    run(model, data, [CSVLogger(path, separator=";")], 1)
    assert path.read_text().splitlines()[0] == "epoch;loss;mae"


def test_wrong_uses(model, data, tmp_path):
    with pytest.raises(
        ValueError, match="watches 'val_loss', but this training gives loss, mae; change monitor"
    ):
        run(model, data, [EarlyStopping()], 1)
    with pytest.raises(ValueError, match="ModelCheckpoint watches 'val_accuracy'"):
        run(model, data, [ModelCheckpoint("x", monitor="val_accuracy", save_best_only=True)], 1)
    with pytest.raises(
        ValueError, match=r"filepath 'm-\{acc\}' cannot be filled in .*; it may use epoch, loss"
    ):
        run(model, data, [ModelCheckpoint("m-{acc}")], 1)
    with pytest.raises(ValueError, match="mode must be 'auto', 'min' or 'max', got 'up'"):
        EarlyStopping(mode="up")
    with pytest.raises(ValueError, match="patience must be at least 0, got -1"):
        EarlyStopping(patience=-1)
    assert not model.history.epoch


def test_save_and_load_a_model(model, data, tmp_path):
    path = tmp_path / "model.safetensors"
    x, y = data
    with pytest.raises(ValueError, match="has no weights yet"):
        model.save(path)
    model.fit(x, y, epochs=3, shuffle=False, verbose=0)
    model.save(path)
    model.save_weights(tmp_path / "weights.safetensors")
    assert saving.load_metadata(path)["format"] == "quernel"

    twin = qn.Sequential([layers.Dense(2)])
    twin.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"model.safetensors' was not loaded: .*has no weights yet"):
        twin.load(path)
    twin.build((None, 3))
    twin.load(path)
    # The optimizer's memory came along: both go on alike.
    model.fit(x, y, epochs=3, shuffle=False, verbose=0)
    twin.fit(x, y, epochs=3, shuffle=False, verbose=0)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(twin.state_dict()[name], value)

    for file in ("model.safetensors", "weights.safetensors"):
        fresh = qn.Sequential([layers.Dense(2)])
        fresh.build((None, 3))
        fresh.load_weights(tmp_path / file)
        np.testing.assert_array_equal(fresh.state_dict()["0.kernel"], saving.load_tensors(path)["0.kernel"])

    other = qn.Sequential([layers.Dense(5)])
    other.build((None, 3))
    before = other.state_dict()["0.kernel"].copy()
    with pytest.raises(
        ValueError, match=r"(?s)weights.safetensors' was not loaded: .*0.kernel \(expected \(3, 5\)"
    ):
        other.load_weights(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(other.state_dict()["0.kernel"], before)
