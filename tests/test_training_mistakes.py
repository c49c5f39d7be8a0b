"""Training that goes wrong: the user's mistakes are named in time, and nothing is left half done."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest

import quernel as qn
from quernel import layers, losses, optimizers
from quernel.callbacks import Callback
from quernel.data import DataLoader

from .classifier import assert_same_weights, compiled, labelled, small_model, weights


@pytest.fixture(autouse=True)
def seeded():
    qn.random.seed(11)


@pytest.fixture
def data(rng):
    return labelled(rng)


def with_nan(x):
    x = x.copy()
    x[33, 2] = np.nan
    return x


WRONG = {
    "not compiled": (
        lambda x, y: small_model().fit(x, y),
        ValueError,
        "fit needs a compiled model; first call",
    ),
    "evaluate not compiled": (
        lambda x, y: small_model().evaluate(x, y),
        ValueError,
        "evaluate needs a compiled",
    ),
    "optimizer unknown": (
        lambda x, y: small_model().compile("adamm", "mse"),
        ValueError,
        "optimizer 'adamm'",
    ),
    "loss unknown": (lambda x, y: small_model().compile("adam", "msee"), ValueError, "unknown loss 'msee'"),
    "no loss": (lambda x, y: small_model().compile("adam"), ValueError, "compile needs a loss"),
    "metric unknown": (lambda x, y: small_model().compile("adam", "mse", ["acuracy"]), ValueError, "acuracy"),
    "metrics no list": (
        lambda x, y: small_model().compile("adam", "mse", "acc"),
        TypeError,
        r"metrics=\['acc'\]",
    ),
    "metric twice": (
        lambda x, y: small_model().compile("adam", "mse", ["mae", "mae"]),
        ValueError,
        "'mae' appears",
    ),
    "lengths": (lambda x, y: compiled().fit(x, y[:-1]), ValueError, "x has 50, y has 49"),
    "weight length": (
        lambda x, y: compiled().fit(x, y, sample_weight=[1.0]),
        ValueError,
        "sample_weight has 1",
    ),
    "empty": (
        lambda x, y: compiled().fit(x[:0], y[:0]),
        ValueError,
        r"x has no samples: its shape is \(0, 4\)",
    ),
    "no y": (lambda x, y: compiled().fit(x), ValueError, "y is missing"),
    "batch_size 0": (
        lambda x, y: compiled().fit(x, y, batch_size=0),
        ValueError,
        "batch_size must be at least 1",
    ),
    "batch_size float": (lambda x, y: compiled().fit(x, y, batch_size=8.0), TypeError, "must be an integer"),
    "epochs negative": (
        lambda x, y: compiled().fit(x, y, epochs=-1),
        ValueError,
        "epochs must be an integer",
    ),
    "epochs float": (lambda x, y: compiled().fit(x, y, epochs=2.5), ValueError, "epochs must be an integer"),
    "split too large": (
        lambda x, y: compiled().fit(x, y, validation_split=1.5),
        ValueError,
        "between 0 and 1",
    ),
    "split leaves nothing": (
        lambda x, y: compiled().fit(x[:1], y[:1], validation_split=0.5),
        ValueError,
        "leaves one part empty",
    ),
    "validation data alone": (
        lambda x, y: compiled().fit(x, y, validation_data=(x,)),
        ValueError,
        r"must be \(x, y\)",
    ),
    "verbose": (
        lambda x, y: compiled().fit(x, y, verbose=7),
        ValueError,
        "verbose must be 0, 1, 2 or 'auto'",
    ),
    "callbacks": (
        lambda x, y: compiled().fit(x, y, callbacks=["stop"]),
        TypeError,
        "Callback objects, got 'stop'",
    ),
    "callback class": (
        lambda x, y: compiled().fit(x, y, callbacks=[Callback]),
        TypeError,
        r"write Callback\(...\)",
    ),
    "texts": (lambda x, y: compiled().fit([["a"]], y[:1]), TypeError, "x: expected numbers"),
    "label out of range": (lambda x, y: compiled().fit(x, y + 1), ValueError, "3"),
    "labels of floats": (lambda x, y: compiled().fit(x, y.astype(np.float32)), TypeError, "float32"),
    "one-hot labels": (lambda x, y: compiled().fit(x, np.eye(3)[y]), ValueError, "categorical_crossentropy"),
    "wrong features": (lambda x, y: built().fit(x[:, :2], y), ValueError, "Dense 'dense.*expected input"),
    "NaN in x": (
        lambda x, y: compiled().fit(with_nan(x), y),
        ValueError,
        "x holds nan .first in row 33; 1 such",
    ),
    "inf in x": (lambda x, y: compiled().fit(x / 0 * np.sign(x), y), ValueError, "x holds inf"),
    "NaN in y": (
        lambda x, y: regression().fit(x, with_nan(x)[:, 2:], batch_size=8, shuffle=False),
        ValueError,
        "epoch 1, step 5: y holds nan",
    ),
    "diverging": (
        lambda x, y: regression(1e12).fit(x, x[:, 2:], epochs=50, batch_size=8),
        ValueError,
        "smaller learning rate",
    ),
    "loss not reduced": (
        lambda x, y: regression(reduction="none").fit(x, x[:, 2:]),
        ValueError,
        r"one number, got shape \(32,\)",
    ),
    "class_weight": (
        lambda x, y: compiled().fit(x, y, class_weight={"a": 1}),
        ValueError,
        "class_weight must map",
    ),
    "endless iterator": (lambda x, y: compiled().fit(itertools.repeat((x, y))), ValueError, "may never end"),
    "iterable with y": (lambda x, y: compiled().fit(iter([(x, y)]), y), ValueError, "must come with them"),
    "iterable of nothing": (
        lambda x, y: compiled().fit(DataLoader(Nothing(), 2)),
        ValueError,
        "yielded no batch",
    ),
    "steps": (
        lambda x, y: compiled().fit(x, y, steps_per_epoch=0),
        ValueError,
        "steps must be an integer of at",
    ),
}


class Nothing:
    def __len__(self):
        return 0

    def __getitem__(self, index):
        raise IndexError


def built():
    model = compiled()
    model.build((None, 4))
    return model


def regression(rate=0.1, reduction="sum_over_batch_size"):
    model = qn.Sequential([layers.Dense(2)])
    model.compile(optimizers.SGD(rate), losses.MeanSquaredError(reduction=reduction))
    return model


@pytest.mark.parametrize("case", WRONG)
def test_wrong_uses(case, data):
    use, error, message = WRONG[case]
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        use(*data)


def test_a_loss_that_is_not_finite_changes_no_weight(data):
    x, _ = data
    model = regression()
    model.build((None, 4))
    before = weights(model)
    y = np.full((50, 2), np.inf, np.float32)
    with pytest.raises(ValueError, match="epoch 1, step 1: y holds inf"):
        model.fit(x, y, verbose=0)
    assert_same_weights(model.state_dict(), before)


def test_an_interrupted_fit_leaves_a_clean_line(data, monkeypatch):
    x, y = data

    class Interrupt(Callback):
        def on_train_batch_begin(self, batch, logs):
            raise KeyboardInterrupt

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(KeyboardInterrupt):
        compiled().fit(x, y, callbacks=[Interrupt()])
    assert terminal.getvalue().endswith("\n")
