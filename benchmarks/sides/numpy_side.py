"""How NumPy does what it can do: its OpenBLAS for products, its loops for the rest. No gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..work import Array, Run, Work

OPERATIONS: dict[str, Callable[..., Any]] = {
    "matmul": lambda a, b: a @ b,
    "dense": lambda x, kernel, bias: x @ kernel + bias,
    "add": lambda a, b: a + b,
    "reduce": lambda x, op, axis: getattr(np, op)(x, axis=axis),
    "concatenate": lambda axis, **arrays: np.concatenate(list(arrays.values()), axis=axis),
    "transpose": lambda x, axes: np.ascontiguousarray(x.transpose(axes)),
}


class Side:
    """NumPy; its threads are set by the environment before it is imported (`benchmarks.versus` sees to
    that)."""

    name = "numpy"

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def runs(self, work: Work, inputs: dict[str, Array]) -> list[Run]:
        function = OPERATIONS.get(work.kind)
        if function is None or "dy" in inputs or work.spec.get("activation", "linear") != "linear":
            return []
        return [Run("", lambda: function(**inputs, **work.spec), lambda y: [np.asarray(y)])]
