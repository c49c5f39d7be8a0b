"""The networks of `benchmarks.networks` in PyTorch, with quernel's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..work import Array


def mlp(dropout: float, hidden: int = 128) -> nn.Module:
    return nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def cnn(dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        FromImage(5, 5, 64, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, 10),
    )  # fmt: skip


def fashion(dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), FromImage(7, 7, 64, 10),
    )  # fmt: skip


class FromImage(nn.Linear):
    """A linear layer behind Flatten, which orders (C, H, W) here and (H, W, C) in quernel."""

    def __init__(self, height: int, width: int, channels: int, outputs: int) -> None:
        super().__init__(height * width * channels, outputs)
        self.image = (height, width, channels)


class Block(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels, 1e-3, 0.01)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels, 1e-3, 0.01)
        self.shortcut = nn.Conv2d(before, channels, 1, stride, bias=False) if stride > 1 else None

    def forward(self, x: Any) -> Any:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet20(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(16, 1e-3, 0.01)
        sizes = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        self.blocks = nn.Sequential(*(Block(*size) for size in sizes))
        self.scores = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        return self.scores(self.blocks(F.relu(self.norm(self.conv(x)))).mean((2, 3)))


class Characters(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(65, 256)
        self.lstm = nn.LSTM(256, 256, 2, batch_first=True, dropout=dropout)
        self.scores = nn.Linear(256, 65)

    def forward(self, x: Any) -> Any:
        return self.scores(self.lstm(self.embedding(x))[0])


BUILDERS: dict[str, Callable[[float], nn.Module]] = {
    "mlp 784-128-10": mlp,
    "mlp 784-100-10": lambda dropout: mlp(dropout, 100),
    "cnn 28x28": cnn,
    "fashion 83,466": fashion,
    "resnet-20 32x32": lambda dropout: ResNet20(),
    "lstm 2x256 of 64 characters": Characters,
}


def build(name: str, dropout: float, weights: Iterator[Array]) -> nn.Module:
    """The network with quernel's parameters, which come in the order of the modules."""
    network = BUILDERS[name](dropout)
    with torch.no_grad():
        for module in network.modules():
            for parameter, values in _converted(module, weights):
                parameter.copy_(torch.tensor(np.ascontiguousarray(values)))
    return network


def _converted(module: nn.Module, weights: Iterator[Array]) -> Iterator[tuple[Any, Array]]:
    if isinstance(module, nn.Conv2d):
        yield module.weight, next(weights).transpose(3, 2, 0, 1)
        if module.bias is not None:
            yield module.bias, next(weights)
    elif isinstance(module, FromImage):
        kernel = next(weights)
        yield (
            module.weight,
            kernel.reshape(*module.image, -1).transpose(3, 2, 0, 1).reshape(kernel.shape[::-1]),
        )
        yield module.bias, next(weights)
    elif isinstance(module, nn.Linear):
        yield module.weight, next(weights).T
        yield module.bias, next(weights)
    elif isinstance(module, nn.BatchNorm2d):
        yield module.weight, next(weights)
        yield module.bias, next(weights)
    elif isinstance(module, nn.Embedding):
        yield module.weight, next(weights)
    elif isinstance(module, nn.LSTM):
        for layer in range(module.num_layers):
            yield getattr(module, f"weight_ih_l{layer}"), next(weights).T
            yield getattr(module, f"weight_hh_l{layer}"), next(weights).T
            bias = getattr(module, f"bias_ih_l{layer}")
            yield bias, next(weights)
            yield getattr(module, f"bias_hh_l{layer}"), np.zeros(bias.shape, np.float32)
