"""How JAX does what networks are made of, each compiled by jit as one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..work import Array, Run, Work


def _conv(
    x: Any, kernel: Any, bias: Any, padding: Any, strides: int = 1, dilation: int = 1, groups: int = 1
) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(
        x, kernel, (strides, strides), padding, rhs_dilation=(dilation, dilation), dimension_numbers=numbers,
        feature_group_count=groups,
    )  # fmt: skip
    return y + bias


def _cross_entropy(logits: Any, target: Any) -> Any:
    picked = jnp.take_along_axis(logits, target[:, None], axis=1)[:, 0]
    return jax.nn.logsumexp(logits, axis=1) - picked


OPERATIONS: dict[str, Callable[..., Any]] = {
    "matmul": jnp.matmul,
    "dense": lambda x, kernel, bias: x @ kernel + bias,
    "conv": _conv,
    "global_pool": lambda x: x.mean((1, 2)),
    "cross_entropy": _cross_entropy,
    "activation": lambda x, activation: getattr(jax.nn, activation)(x),
    "add": lambda a, b: a + b,
    "embedding": lambda table, indices: table[indices],
}


class Side:
    """JAX on the CPU; it uses the cores that the process may use (`benchmarks.versus` sets the affinity)."""

    name = "jax"

    def __init__(self, threads: int) -> None:
        jax.config.update("jax_enable_x64", True)

    def runs(self, work: Work, inputs: dict[str, Array]) -> list[Run]:
        function = OPERATIONS.get(work.kind)
        if function is None or work.spec.get("activation") == "gelu":
            return []
        arrays = {name: jnp.asarray(x) for name, x in inputs.items()}
        dy = arrays.pop("dy", None)
        real = {name: x for name, x in arrays.items() if jnp.issubdtype(x.dtype, jnp.floating)}
        rest = {name: x for name, x in arrays.items() if name not in real}

        @jax.jit
        def forward(real: Any, rest: Any) -> Any:
            return [function(**real, **rest, **work.spec)]

        @jax.jit
        def both(real: Any, rest: Any, dy: Any) -> Any:
            y, back = jax.vjp(lambda real: function(**real, **rest, **work.spec), real)
            return [y, *back(dy)[0].values()]

        def call() -> Any:
            return jax.block_until_ready(forward(real, rest) if dy is None else both(real, rest, dy))

        names = ["y", *sorted(real)]  # JAX sorts the keys of a dict

        def read(outputs: Any) -> list[Array]:
            by_name = dict(zip(names, map(np.asarray, outputs), strict=False))
            return [by_name["y"], *(by_name[name] for name in real if name in by_name)]

        return [Run("jit", call, read)]
