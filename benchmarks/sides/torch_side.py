"""How PyTorch does each kind of work, in both layouts of images where there are two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..networks import NETWORKS
from ..work import Array, Run, Work, accuracy, slices
from . import torch_networks
from .quernel_side import AGREEMENT_STEPS, centred, read_random

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "linear": lambda x: x, "relu": F.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "silu": F.silu,
    "gelu": F.gelu, "softplus": F.softplus, "elu": F.elu,
}  # fmt: skip


def _conv(
    x: Any, kernel: Any, bias: Any, padding: Any, strides: int = 1, dilation: int = 1, groups: int = 1
) -> Any:
    (top, bottom), (left, right) = padding
    if (top, left) != (bottom, right):
        x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
    return F.conv2d(x, kernel, bias, strides, (top, left), dilation, groups)


def _max_pool(x: Any, pool_size: int, strides: int, padding: Any) -> Any:
    return F.max_pool2d(x, pool_size, strides, padding[0][0])


def _batch_norm(x: Any, gamma: Any, beta: Any, activation: str = "linear") -> Any:
    mean, var = torch.zeros_like(gamma), torch.ones_like(gamma)
    y = F.batch_norm(x, mean.detach(), var.detach(), gamma, beta, training=True, momentum=0.01, eps=1e-3)
    return F.relu(y) if activation == "relu" else y


def _lstm(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
    state = x.new_zeros(1, x.shape[0], recurrent_kernel.shape[1])
    weights = [kernel, recurrent_kernel, bias, torch.zeros_like(bias)]
    return torch._VF.lstm(x, (state, state), weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)[0]


def _dense(x: Any, kernel: Any, bias: Any, activation: str = "linear") -> Any:
    return ACTIVATIONS[activation](F.linear(x, kernel, bias))


OPERATIONS: dict[str, Callable[..., Any]] = {
    "matmul": lambda a, b: torch.matmul(a, b),
    "dense": _dense,
    "conv": _conv,
    "max_pool": _max_pool,
    "avg_pool": lambda x, pool_size, strides: F.avg_pool2d(x, pool_size, strides),
    "global_pool": lambda x: x.mean((2, 3)),
    "batch_norm": _batch_norm,
    "lstm": _lstm,
    "cross_entropy": lambda logits, target: F.cross_entropy(logits, target),
    "activation": lambda x, activation: ACTIVATIONS[activation](x),
    "dropout": lambda x, rate: F.dropout(x, rate, True),
    "add": lambda a, b: torch.add(a, b),
    "embedding": lambda table, indices: F.embedding(indices, table),
    "reduce": lambda x, op, axis: getattr(torch, op)(x) if axis is None else getattr(torch, op)(x, dim=axis),
    "concatenate": lambda axis, **arrays: torch.cat(list(arrays.values()), dim=axis),
    "transpose": lambda x, axes: x.permute(axes).contiguous(),
}
OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, 1e-3, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.01, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, 1e-3, momentum=0.9, fused=True),
}
NETWORK_KINDS = {"train_step": "_training", "fit": "_fit", "predict": "_prediction"}  # and the methods
IMAGES = ("conv", "max_pool", "avg_pool", "global_pool", "batch_norm")


def to_torch(name: str, x: Array, kind: str, memory_format: torch.memory_format) -> torch.Tensor:
    """Images to (N, C, H, W), filters to (K, C, KH, KW), kernels of layers to (out, in)."""
    if x.ndim == 4 and kind in IMAGES:
        axes = (3, 2, 0, 1) if name == "kernel" else (0, 3, 1, 2)
        return torch.tensor(x.transpose(axes)).contiguous(memory_format=memory_format)
    if name in ("kernel", "recurrent_kernel"):
        return torch.tensor(np.ascontiguousarray(x.T))
    return torch.tensor(x)


def from_torch(name: str, y: torch.Tensor, kind: str) -> Array:
    """The way back."""
    x = y.detach().numpy()
    if x.ndim == 4 and kind in IMAGES:
        return x.transpose((2, 3, 1, 0) if name == "kernel" else (0, 2, 3, 1))
    return x.T if name in ("kernel", "recurrent_kernel") else x


Function = Callable[[Any, Any], Any]


class Side:
    """PyTorch eager."""

    name = "torch"

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)

    @staticmethod
    def prepared(function: Function) -> Function:
        """The forward pass and loss of a training step as they are run: here as they are."""
        return function

    def runs(self, work: Work, inputs: dict[str, Array]) -> list[Run]:
        if work.kind == "optimizer":
            return [self._optimizer(inputs, **work.spec)]
        if (work.kind in IMAGES or work.kind in NETWORK_KINDS) and any(x.ndim == 4 for x in inputs.values()):
            layouts = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
        else:
            layouts = {"": torch.contiguous_format}
        make = getattr(self, NETWORK_KINDS.get(work.kind, "_operation"))
        return [make(work, inputs, variant, layout) for variant, layout in layouts.items()]

    def _operation(
        self, work: Work, inputs: dict[str, Array], variant: str, layout: torch.memory_format
    ) -> Run:
        function = OPERATIONS[work.kind]
        tensors = {name: to_torch(name, x, work.kind, layout) for name, x in inputs.items()}
        dy = tensors.pop("dy", None)
        real = {name: t for name, t in tensors.items() if t.is_floating_point()}
        if dy is not None:
            for tensor in real.values():
                tensor.requires_grad_()

        def forward() -> Any:
            with torch.inference_mode():
                return [function(**tensors, **work.spec)]

        def both() -> Any:
            for tensor in real.values():
                tensor.grad = None
            y = function(**tensors, **work.spec)
            y.backward(dy)
            return [y, *(tensor.grad for tensor in real.values())]

        def read(outputs: Any) -> list[Array]:
            names = ["y", *real]
            arrays = [from_torch(n, y, work.kind) for n, y in zip(names, outputs, strict=False)]
            return read_random(work, arrays)

        return Run(variant, forward if dy is None else both, read)

    def _optimizer(self, inputs: dict[str, Array], rule: str) -> Run:
        parameters = [
            torch.tensor(x, requires_grad=True) for name, x in inputs.items() if name.startswith("p")
        ]
        for parameter, name in zip(parameters, inputs, strict=False):
            parameter.grad = torch.tensor(inputs["g" + name[1:]])
        optimizer = OPTIMIZERS[rule](parameters)
        return Run("fused", optimizer.step, lambda _: [p.detach().numpy().copy() for p in parameters])

    def _stepper(
        self, inputs: dict[str, Array], name: str, dropout: float, layout: torch.memory_format
    ) -> tuple[torch.nn.Module, Callable[[Any, Any], float]]:
        """A network with the weights given, and the step that trains it on a batch and returns the loss."""
        network = _network(inputs, name, dropout, layout)
        optimizer = torch.optim.Adam(network.parameters(), 1e-3, eps=1e-7, fused=True)
        loss_of = self.prepared(lambda x, y: F.cross_entropy(network(x).reshape(len(y), -1), y))

        def step(x: Any, y: Any) -> float:
            optimizer.zero_grad()
            loss = loss_of(x, y)
            loss.backward()
            optimizer.step()
            return loss.item()

        return network, step

    def _training(
        self, work: Work, inputs: dict[str, Array], variant: str, layout: torch.memory_format
    ) -> Run:
        name = work.spec["network"]
        x, y = _batch(inputs["x"], layout), torch.tensor(inputs["y"]).reshape(-1)
        _, step = self._stepper(inputs, name, NETWORKS[name].dropout, layout)
        _, same = self._stepper(inputs, name, 0.0, layout)
        return Run(
            variant, lambda: step(x, y),
            lambda _: [np.array([same(x, y) for _ in range(AGREEMENT_STEPS)])],
        )  # fmt: skip

    def _fit(self, work: Work, inputs: dict[str, Array], variant: str, layout: torch.memory_format) -> Run:
        """Batches drawn anew each epoch; the first part starts anew."""
        name, batch, epochs = (work.spec[key] for key in ("network", "batch", "epochs"))
        x, y = _batch(inputs["x"], layout), torch.tensor(inputs["y"])
        network, step = self._stepper(inputs, name, NETWORKS[name].dropout, layout)
        turns = slices(len(x), work.parts)

        def call() -> None:
            nonlocal network, step
            part = next(turns)
            if part.start == 0:
                network, step = self._stepper(inputs, name, NETWORKS[name].dropout, layout)
            network.train()
            for _ in range(epochs):
                for rows in (part.start + torch.randperm(part.stop - part.start)).split(batch):
                    step(x.index_select(0, rows), y.index_select(0, rows))

        def read(_: object) -> list[Array]:
            network.eval()
            with torch.inference_mode():
                scores = [network(rows) for rows in _batch(inputs["x_test"], layout).split(batch)]
            return accuracy(torch.cat(scores).numpy(), inputs["y_test"])

        return Run(variant, call, read)

    def _prediction(
        self, work: Work, inputs: dict[str, Array], variant: str, layout: torch.memory_format
    ) -> Run:
        network, x = _network(inputs, work.spec["network"], 0.0, layout), _batch(inputs["x"], layout)
        network.eval()

        def call() -> torch.Tensor:
            with torch.inference_mode():
                return network(x)

        return Run(variant, call, lambda y: [centred(y.numpy())])


def _network(
    inputs: dict[str, Array], name: str, dropout: float, layout: torch.memory_format
) -> torch.nn.Module:
    weights = (array for key, array in inputs.items() if key.startswith("w"))
    network = torch_networks.build(name, dropout, weights)
    return network.to(memory_format=layout) if inputs["x"].ndim == 4 else network


def _batch(x: Array, layout: torch.memory_format) -> torch.Tensor:
    """Images to (N, C, H, W) in this layout, all else as it is."""
    tensor = torch.tensor(x)
    return tensor.permute(0, 3, 1, 2).contiguous(memory_format=layout) if x.ndim == 4 else tensor
