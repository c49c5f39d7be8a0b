"""How quernel does each kind of work: its differentiable operations, as people call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import quernel as qn
from quernel import backend as B
from quernel import losses, ops, optimizers
from quernel.kernels import threads as kernel_threads

from ..networks import NETWORKS
from ..work import Array, Run, Work, accuracy, slices

# Losses that both sides must agree on before a training step is timed, without dropout.
AGREEMENT_STEPS = 3


def _batch_norm(x: Any, gamma: Any, beta: Any, activation: str = "linear") -> Any:
    c = gamma.shape[0]
    mean, var = np.zeros(c, gamma.dtype), np.ones(c, gamma.dtype)
    return ops.batch_norm(x, gamma, beta, mean, var, training=True, activation=activation)


# kind -> function of the named inputs (tensors; integer arrays as they are) and of the spec
OPERATIONS: dict[str, Callable[..., Any]] = {
    "matmul": lambda a, b: ops.matmul(a, b),
    "dense": lambda x, kernel, bias, activation="linear": ops.dense(x, kernel, bias, activation=activation),
    "conv": lambda x, kernel, bias, **spec: ops.conv2d(x, kernel, bias, **spec),
    "max_pool": lambda x, **spec: ops.max_pool2d(x, **spec),
    "avg_pool": lambda x, **spec: ops.avg_pool2d(x, **spec),
    "global_pool": lambda x: ops.global_average_pool2d(x),
    "batch_norm": _batch_norm,
    "lstm": lambda x, kernel, recurrent_kernel, bias: ops.lstm(x, kernel, recurrent_kernel, bias)[0],
    "cross_entropy": lambda logits, target: ops.softmax_cross_entropy(logits, target, reduction="mean"),
    "activation": lambda x, activation: ops.activation(x, activation),
    "dropout": lambda x, rate: ops.dropout(x, rate, True),
    "add": lambda a, b: ops.add(a, b),
    "embedding": lambda table, indices: ops.embedding(indices, table),
    "reduce": lambda x, op, axis: getattr(ops, op)(x, axis=axis),
    "concatenate": lambda axis, **arrays: ops.concatenate(list(arrays.values()), axis=axis),
}
OPTIMIZERS = {
    "adam": lambda p: optimizers.Adam(1e-3, parameters=p, epsilon=1e-8),
    "adamw": lambda p: optimizers.AdamW(1e-3, parameters=p, epsilon=1e-8, weight_decay=0.01),
    "sgd": lambda p: optimizers.SGD(1e-3, parameters=p, momentum=0.9),
}


class Side:
    """quernel with its compiled kernels."""

    name = "quernel"

    def __init__(self, threads: int) -> None:
        kernel_threads.set_num_threads(threads)

    def runs(self, work: Work, inputs: dict[str, Array]) -> list[Run]:
        if work.kind == "transpose":  # a transposed view costs nothing; here it is laid out anew
            return [Run("", lambda: B.copy(inputs["x"].transpose(work.spec["axes"])), lambda y: [y])]
        if work.kind == "optimizer":
            return [self._optimizer(inputs, **work.spec)]
        if work.kind == "train_step":
            return [self._training(inputs, **work.spec)]
        if work.kind == "fit":
            return [self._fit(inputs, work.parts, **work.spec)]
        if work.kind == "predict":
            return [self._prediction(inputs, **work.spec)]
        return [self._operation(work, inputs)]

    def _operation(self, work: Work, inputs: dict[str, Array]) -> Run:
        function = OPERATIONS[work.kind]
        inputs = {name: B.copy(x) for name, x in inputs.items()}  # its own memory, as on the peer's side
        tensors = {
            name: qn.Tensor(x, requires_grad="dy" in inputs) if x.dtype.kind == "f" else x
            for name, x in inputs.items()
            if name != "dy"
        }
        real = [t for t in tensors.values() if isinstance(t, qn.Tensor)]

        def forward() -> Any:
            with qn.no_grad():
                return [function(**tensors, **work.spec)]

        def both() -> Any:
            for tensor in real:
                tensor.grad = None
            y = function(**tensors, **work.spec)
            y.backward(inputs["dy"])
            return [y, *(tensor.grad for tensor in real)]

        return Run("", both if "dy" in inputs else forward, lambda out: _read(work, out))

    def _optimizer(self, inputs: dict[str, Array], rule: str) -> Run:
        parameters = [qn.Parameter(x.copy()) for name, x in inputs.items() if name.startswith("p")]
        for parameter, name in zip(parameters, inputs, strict=False):
            parameter.grad = qn.Tensor(inputs["g" + name[1:]])
        optimizer = OPTIMIZERS[rule](parameters)
        return Run("", optimizer.step, lambda _: [p.numpy().copy() for p in parameters])

    def _training(self, inputs: dict[str, Array], network: str) -> Run:
        loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)

        def stepper(dropout: float) -> Callable[[], float]:
            model = _network(inputs, network, dropout)
            optimizer = optimizers.Adam(1e-3, parameters=model.parameters())

            def step() -> float:
                loss = loss_of(inputs["y"], model(inputs["x"]))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                return loss.item()

            return step

        same = stepper(0.0)
        return Run(
            "", stepper(NETWORKS[network].dropout),
            lambda _: [np.array([same() for _ in range(AGREEMENT_STEPS)])],
        )  # fmt: skip

    def _fit(self, inputs: dict[str, Array], parts: int, network: str, batch: int, epochs: int) -> Run:
        """`Model.fit` on all rows, or part by part; the first part starts anew."""
        model = _network(inputs, network, 0.0)
        turns = slices(len(inputs["x"]), parts)

        def call() -> None:
            nonlocal model
            part = next(turns)
            if part.start == 0:
                model = _network(inputs, network, NETWORKS[network].dropout)
                model.compile(
                    optimizers.Adam(1e-3), losses.SparseCategoricalCrossentropy(from_logits=True)
                )  # fmt: skip
            model.fit(inputs["x"][part], inputs["y"][part], batch_size=batch, epochs=epochs, verbose=0)

        def read(_: object) -> list[Array]:
            return accuracy(model.predict(inputs["x_test"], verbose=0), inputs["y_test"])

        return Run("", call, read)

    def _prediction(self, inputs: dict[str, Array], network: str) -> Run:
        model = _network(inputs, network, 0.0)
        model.eval()

        def call() -> Any:
            with qn.no_grad():
                return model(inputs["x"])

        return Run("", call, lambda y: [centred(y.numpy())])


def _network(inputs: dict[str, Array], name: str, dropout: float) -> qn.Model:
    """The network with the weights given, in training mode."""
    model = NETWORKS[name].build(dropout)
    model.eval()
    model(inputs["x"][:2])  # builds it; in training it would move running statistics
    model.train()
    for i, parameter in enumerate(model.parameters()):
        parameter.data[...] = inputs[f"w{i}"]
    return model


def _read(work: Work, outputs: list[Any]) -> list[Array]:
    return read_random(work, [y.numpy() for y in outputs])


def centred(scores: Array) -> Array:
    """Scores of classes up to a constant a row, which softmax does not see."""
    return scores - scores.mean(axis=-1, keepdims=True)


def read_random(work: Work, outputs: list[Array]) -> list[Array]:
    """Of random results only the share of zeros can agree."""
    if work.kind == "dropout":
        return [np.array([np.mean(y == 0)]) for y in outputs]
    return outputs
