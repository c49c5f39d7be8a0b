"""Train the published 83,466-parameter network on Fashion-MNIST.

Conv 5x5-32 same, ReLU, pool 2, conv 5x5-64 same, ReLU, pool 2, linear 10; Adam with rate 0.001, batches of
1,000, inputs (x/255 - 0.1307)/0.3081, 30 epochs. Published test accuracy: 0.925 (hardmaru/pytorch_notebooks,
pytorch_tiny_custom_mnist_adam).

    python examples/fashion_mnist.py --data FOLDER
    QUERNEL_BACKEND=reference python examples/fashion_mnist.py --data FOLDER --steps 20

Without --data the files are taken from QUERNEL_DATA, the cache, or the network.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import quernel as qn
from quernel import datasets, initializers, layers, losses, optimizers

BATCH_SIZE = 1000
LEARNING_RATE = 1e-3
MEAN, STD = 0.1307, 0.3081  # of MNIST, as published


def start(fan_in: int) -> dict[str, initializers.Initializer]:
    """Weights and biases start uniform within 1 / sqrt(fan in), as they do where the network was published."""
    limit = fan_in**-0.5
    return {
        "kernel_initializer": initializers.RandomUniform(-limit, limit),
        "bias_initializer": initializers.RandomUniform(-limit, limit),
    }


def network() -> qn.Sequential:
    return qn.Sequential(
        [
            layers.Conv2D(32, 5, padding="same", activation="relu", **start(5 * 5)),
            layers.MaxPool2D(2),
            layers.Conv2D(64, 5, padding="same", activation="relu", **start(5 * 5 * 32)),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dense(10, **start(7 * 7 * 64)),
        ]
    )


def first_steps(model: qn.Sequential, x: np.ndarray, y: np.ndarray, steps: int) -> None:
    """The loop by hand, printing the loss of every step: to compare one backend with another."""
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = optimizers.Adam(LEARNING_RATE, parameters=model.parameters())
    for step, (xb, yb) in enumerate(qn.data.batches(x, y, BATCH_SIZE, shuffle=True, seed=0)):
        if step == steps:
            return
        loss = loss_of(yb, model(xb))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step + 1}  loss {loss.item():.6f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", help="folder with the four .gz files of Fashion-MNIST")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="stop after this many steps, printing the loss of each")
    options = parser.parse_args()

    qn.random.seed(options.seed)
    (x, y), (x_test, y_test) = datasets.load_fashion_mnist(options.data)
    x, x_test = ((images - np.float32(MEAN)) / np.float32(STD) for images in (x, x_test))
    model = network()
    model.build((None, 28, 28, 1))
    if options.steps is not None:
        first_steps(model, x, y, options.steps)
        return
    model.summary()
    model.compile(
        optimizers.Adam(LEARNING_RATE), losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"]
    )
    start = time.perf_counter()
    history = model.fit(
        x, y, batch_size=BATCH_SIZE, epochs=options.epochs, validation_data=(x_test, y_test), verbose=2
    )
    accuracies = history.history["val_accuracy"]
    print(
        f"test accuracy {accuracies[-1]:.4f} after the last epoch, {max(accuracies):.4f} at best; "
        f"{time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
