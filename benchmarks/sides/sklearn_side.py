"""How scikit-learn trains and runs the one network it has: a perceptron of one hidden layer."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier

from ..work import Array, Run, Work, accuracy
from .quernel_side import AGREEMENT_STEPS, centred


class Side:
    """scikit-learn; its products run in NumPy's BLAS, whose threads the environment sets."""

    name = "sklearn"

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def runs(self, work: Work, inputs: dict[str, Array]) -> list[Run]:
        if not work.spec.get("network", "").startswith("mlp"):
            return []
        if work.kind == "fit":
            return [self._fit(inputs, **work.spec)] if work.parts == 1 else []
        x, y = inputs["x"], inputs["y"]

        def fresh() -> MLPClassifier:
            """With the same weights; one call of partial_fit on a batch is one step of Adam."""
            network = MLPClassifier(
                (inputs["w1"].size,), batch_size=len(x), alpha=0.0, epsilon=1e-7, shuffle=False
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                network.partial_fit(x, y, classes=np.arange(inputs["w3"].size))
            network._optimizer.ms = [np.zeros_like(m) for m in network._optimizer.ms]
            network._optimizer.vs = [np.zeros_like(v) for v in network._optimizer.vs]
            network._optimizer.t = 0
            for mine, name in zip(network.coefs_, ("w0", "w2"), strict=True):
                mine[...] = inputs[name]
            for mine, name in zip(network.intercepts_, ("w1", "w3"), strict=True):
                mine[...] = inputs[name]
            return network

        network = fresh()
        if work.kind == "predict":
            return [Run("", lambda: network.predict_proba(x), lambda p: [centred(np.log(p))])]
        losses = fresh()

        def read(_: object) -> list[Array]:
            values = []
            for _ in range(AGREEMENT_STEPS):
                losses.partial_fit(x, y)
                values.append(losses.loss_)
            return [np.array(values)]

        return [Run("", lambda: network.partial_fit(x, y), read)]

    def _fit(self, inputs: dict[str, Array], network: str, batch: int, epochs: int) -> Run:
        """`MLPClassifier.fit` for exactly so many epochs; it draws its own weights."""
        classifier = MLPClassifier(
            (inputs["w1"].size,), solver="adam", alpha=0.0, batch_size=batch, learning_rate_init=1e-3, epsilon=1e-7,
            max_iter=epochs, n_iter_no_change=epochs, shuffle=True, early_stopping=False,
        )  # fmt: skip

        def call() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it has not converged
                classifier.fit(inputs["x"], inputs["y"])

        def read(_: object) -> list[Array]:
            return accuracy(classifier.predict_proba(inputs["x_test"]), inputs["y_test"])

        return Run("", call, read)
