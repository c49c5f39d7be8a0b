"""How PyTorch takes a training step whose forward pass, loss and gradients `torch.compile` has turned into C++.

    python -m benchmarks.versus --suite training --peer torch_compile --threads N

Compiling takes seconds to minutes a network, and a C++ compiler. Nothing falls back to eager without a word: a graph
that breaks is an error, and so is one that was never made (TORCHDYNAMO_DISABLE). By default `torch.compile` leaves a
network with nn.LSTM as it is, altogether: that row is the eager one of `--peer torch`. Here it traces it
(`allow_rnn`), into products and gates of single steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch._dynamo import config
from torch._dynamo.utils import counters

from ..work import Array, Run, Work
from . import torch_side


class Side(torch_side.Side):
    """PyTorch compiled; training steps only."""

    name = "torch_compile"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        config.allow_rnn = True

    def runs(self, work: Work, inputs: dict[str, Array]) -> list[Run]:
        if work.kind != "train_step":
            return []
        torch._dynamo.reset()  # else the networks before count as recompilations
        counters.clear()
        return [replace(run, read=_checked(run.read)) for run in super().runs(work, inputs)]

    @staticmethod
    def prepared(function: torch_side.Function) -> torch_side.Function:
        return torch.compile(function, fullgraph=True)


def _checked(read: Callable[[Any], list[Array]]) -> Callable[[Any], list[Array]]:
    """It is called after a step at least."""

    def checked(output: Any) -> list[Array]:
        arrays = read(output)
        if not counters["stats"]["unique_graphs"]:
            raise SystemExit("torch.compile has compiled nothing: is TORCHDYNAMO_DISABLE set?")
        return arrays

    return checked
