"""The small networks that the commands train."""

from __future__ import annotations

from quernel import layers
from quernel.training.sequential import Sequential


def digits_cnn() -> Sequential:
    """For 8 x 8 grey images: two convolutions, one pooling, two dense layers; 151,306 parameters."""
    return Sequential(
        [
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPool2D(2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10),
        ]
    )


def image_cnn() -> Sequential:
    """For 28 x 28 grey images: 83,466 parameters (hardmaru, pytorch_tiny_custom_mnist_adam)."""
    return Sequential(
        [
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPool2D(2),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def mlp() -> Sequential:
    """For images of any size: two hidden layers of 256 and 128, with dropout."""
    return Sequential(
        [
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10),
        ]
    )
