"""Small networks that exercise every kind of layer, for the tests of whole training runs."""

from __future__ import annotations

from typing import Any

import numpy as np

import quernel as qn
from quernel import layers, losses, ops, optimizers


class Chars(qn.Model):
    """Embedding, two LSTMs with dropout between, a dense layer: batch x steps integers to class scores."""

    def __init__(self, classes: int = 11) -> None:
        super().__init__()
        self.embedding = layers.Embedding(classes, 9)
        self.first = layers.LSTM(17, return_sequences=True)
        self.dropout = layers.Dropout(0.2)
        self.second = layers.LSTM(16, return_sequences=True)
        self.scores = layers.Dense(classes)

    def call(self, x: Any) -> Any:
        return self.scores(self.second(self.dropout(self.first(self.embedding(x)))))


class Residual(qn.Model):
    """Convolutions with batch normalisation, a stride, a shortcut, dropout, a mean over the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Conv2D(16, 3, padding="same", use_bias=False)
        self.normal = layers.BatchNormalization()
        self.second = layers.Conv2D(24, 3, strides=2, padding="same", activation="relu")
        self.shortcut = layers.Conv2D(24, 1, strides=2)
        self.dropout = layers.Dropout(0.2)
        self.pool = layers.GlobalAveragePool2D()
        self.scores = layers.Dense(10)

    def call(self, x: Any) -> Any:
        x = ops.relu(self.normal(self.first(x)))
        return self.scores(self.pool(self.dropout(self.second(x) + self.shortcut(x))))


def convolutional() -> qn.Model:
    """The network of the demo, smaller: convolutions, max-pooling, dropout, dense layers."""
    return qn.Sequential(
        [
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPool2D(2),
            layers.Conv2D(17, 3, padding="same", activation="relu"),
            layers.AvgPool2D(2),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(33, activation="tanh"),
            layers.Dense(10),
        ]
    )


def perceptron() -> qn.Model:
    return qn.Sequential([layers.Flatten(), layers.Dense(70, activation="relu"), layers.Dense(10)])


NETWORKS = {
    "perceptron": perceptron,
    "convolutional": convolutional,
    "residual": Residual,
    "characters": Chars,
}


def data(name: str, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if name == "characters":
        return rng.integers(0, 11, (rows, 13)), rng.integers(0, 11, (rows, 13))
    return rng.normal(size=(rows, 8, 8, 3)).astype(np.float32), rng.integers(0, 10, rows)


def trained(name: str, steps: int = 4, rows: int = 37, seed: int = 3) -> tuple[qn.Model, list[float]]:
    """A network after some steps of Adam with clipping, and the losses on the way."""
    qn.random.seed(seed)
    rng = np.random.default_rng(seed)
    model = NETWORKS[name]()
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
    history, optimizer = [], None
    for _ in range(steps):
        x, y = data(name, rows, rng)
        loss = loss_of(y, model(x))
        if optimizer is None:
            optimizer = optimizers.Adam(1e-2, parameters=model.parameters(), global_clipnorm=1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return model, history


def weights(model: qn.Model) -> bytes:
    """All of a model's state, as bytes."""
    return b"".join(np.ascontiguousarray(v).tobytes() for _, v in sorted(model.state_dict().items()))
