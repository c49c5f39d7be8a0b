"""The networks of the suites training and inference, in quernel; `sides` builds the same for the peers.

Their weights are handed from quernel to the peers, so that both sides start from one point and must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import quernel as qn
from quernel import layers, ops
from tests.cases.conv import Shape

from .work import Array


@dataclass(frozen=True)
class Network:
    """How to build it (given the share dropped in training), what it eats, what its forward pass costs a
    sample."""

    build: Callable[[float], qn.Model]
    sample: tuple[int, ...]
    classes: int
    flops: float
    dropout: float = 0.0
    tokens: bool = False  # the input is integers, one class is predicted for each

    def inputs(self, batch: int) -> Callable[[np.random.Generator, Any], dict[str, Array]]:
        """x, y and the weights w0, w1 ... in the order of the model's parameters and buffers."""

        def make(rng: np.random.Generator, dtype: Any) -> dict[str, Array]:
            shape = (batch, *self.sample)
            x = rng.integers(0, self.classes, shape) if self.tokens else rng.normal(size=shape).astype(dtype)
            y = rng.integers(0, self.classes, shape if self.tokens else batch)
            return {"x": x, "y": y, **self.weights(x)}

        return make

    def weights(self, x: Array) -> dict[str, Array]:
        """w0, w1 ... as quernel draws them for inputs like x."""
        qn.random.seed(0)
        model = self.build(self.dropout)
        model(x[:2])
        return {f"w{i}": p.numpy().copy() for i, p in enumerate(model.parameters())}


def mlp(dropout: float, hidden: int = 128) -> qn.Model:
    return qn.Sequential([layers.Dense(hidden, activation="relu"), layers.Dense(10)])


def cnn(dropout: float) -> qn.Model:
    return qn.Sequential(
        [
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPool2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(10),
        ]
    )


def fashion(dropout: float) -> qn.Model:
    """83,466 parameters."""
    return qn.Sequential(
        [
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPool2D(2),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


class Block(qn.Model):
    """Two 3x3 convolutions and a shortcut (He et al. 2015); a stride of 2 takes a 1x1 convolution along."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = layers.Conv2D(channels, 3, strides=stride, padding=1, use_bias=False)
        self.norm1 = layers.BatchNormalization(activation="relu")
        self.conv2 = layers.Conv2D(channels, 3, padding=1, use_bias=False)
        self.norm2 = layers.BatchNormalization()
        self.shortcut = layers.Conv2D(channels, 1, strides=stride, use_bias=False) if stride > 1 else None

    def call(self, x: Any) -> Any:
        y = self.norm2(self.conv2(self.norm1(self.conv1(x))))
        return ops.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet20(qn.Model):
    """Three stages of three blocks on 32x32 images: 16, 32, 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = layers.Conv2D(16, 3, padding=1, use_bias=False)
        self.norm = layers.BatchNormalization(activation="relu")
        self.blocks = [Block(c, 2 if i == 0 and c > 16 else 1) for c in (16, 32, 64) for i in range(3)]
        self.pool = layers.GlobalAveragePool2D()
        self.scores = layers.Dense(10)

    def call(self, x: Any) -> Any:
        x = self.norm(self.conv(x))
        for block in self.blocks:
            x = block(x)
        return self.scores(self.pool(x))


def characters(dropout: float) -> qn.Model:
    return qn.Sequential(
        [
            layers.Embedding(65, 256),
            layers.LSTM(256, return_sequences=True),
            layers.Dropout(dropout),
            layers.LSTM(256, return_sequences=True),
            layers.Dense(65),
        ]
    )


def _resnet_flops() -> float:
    stages = ((32, 16, 16), (16, 32, 16), (8, 64, 32))
    flops = Shape(1, 32, 32, 3, 16).flops
    for hw, c, before in stages:
        flops += 5 * Shape(1, hw, hw, c, c).flops + Shape(1, hw, hw, before, c).flops
        flops += Shape(1, hw, hw, before, c, (1, 1)).flops if before != c else 0.0
    return flops


NETWORKS = {
    "mlp 784-128-10": Network(mlp, (784,), 10, 2.0 * (784 * 128 + 128 * 10)),
    "mlp 784-100-10": Network(lambda dropout: mlp(dropout, 100), (784,), 10, 2.0 * (784 * 100 + 100 * 10)),
    "cnn 28x28": Network(
        cnn, (28, 28, 1), 10,
        Shape(1, 28, 28, 1, 32, pad="valid").flops + Shape(1, 13, 13, 32, 64, pad="valid").flops
        + 2.0 * (1600 * 128 + 128 * 10), dropout=0.5,
    ),
    "fashion 83,466": Network(
        fashion, (28, 28, 1), 10,
        Shape(1, 28, 28, 1, 32, (5, 5)).flops + Shape(1, 14, 14, 32, 64, (5, 5)).flops + 2.0 * 3136 * 10,
    ),
    "resnet-20 32x32": Network(lambda dropout: ResNet20(), (32, 32, 3), 10, _resnet_flops()),
    "lstm 2x256 of 64 characters": Network(
        characters, (64,), 65, 64 * (2 * 8.0 * 256 * 512 + 2.0 * 256 * 65), dropout=0.2, tokens=True
    ),
}  # fmt: skip
