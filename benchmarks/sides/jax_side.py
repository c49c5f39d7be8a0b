"""How JAX does what networks are made of, and their training steps, each compiled by jit as one function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..networks import NETWORKS
from ..work import Array, Run, Work
from . import jax_networks
from .quernel_side import AGREEMENT_STEPS


def _cross_entropy(logits: Any, target: Any) -> Any:
    picked = jnp.take_along_axis(logits, target[:, None], axis=1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=1) - picked).mean()


LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7  # as on the other sides


def _adam(state: Any, gradients: Any) -> Any:
    """The next (count, weights, running means, running means of squares)."""
    t, weights, means, squares = state
    t = t + 1
    means = [BETA_1 * m + (1 - BETA_1) * g for m, g in zip(means, gradients, strict=True)]
    squares = [BETA_2 * v + (1 - BETA_2) * g * g for v, g in zip(squares, gradients, strict=True)]
    rate, scale = LEARNING_RATE / (1 - BETA_1**t), 1 / (1 - BETA_2**t)
    weights = [
        w - rate * m / (jnp.sqrt(v * scale) + EPSILON)
        for w, m, v in zip(weights, means, squares, strict=True)
    ]
    return t, weights, means, squares


OPERATIONS: dict[str, Callable[..., Any]] = {
    "matmul": jnp.matmul,
    "dense": lambda x, kernel, bias: x @ kernel + bias,
    "conv": lambda x, kernel, bias, **spec: jax_networks.conv(x, kernel, **spec) + bias,
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
        if work.kind == "train_step":
            return [self._training(inputs, **work.spec)]
        return self._operation(work, inputs)

    def _operation(self, work: Work, inputs: dict[str, Array]) -> list[Run]:
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

    def _training(self, inputs: dict[str, Array], network: str) -> Run:
        """The whole step is one function, which writes the new weights over the old."""
        x, y = jnp.asarray(inputs["x"]), jnp.asarray(inputs["y"]).reshape(-1)
        forward = jax_networks.FORWARD[network]

        def stepper(dropout: float) -> Callable[[], float]:
            weights = [jnp.array(w) for name, w in inputs.items() if name.startswith("w")]
            zeros = [[jnp.zeros_like(w) for w in weights] for _ in range(2)]
            state = (jnp.float32(0), weights, *zeros)
            key = jax.random.key(0, impl="rbg")  # the faster generator

            def loss_of(weights: Any, x: Any, y: Any, key: Any) -> Any:
                scores = forward(iter(weights), x, key, dropout)
                return _cross_entropy(scores.reshape(len(y), -1), y).mean()

            @partial(jax.jit, donate_argnums=0)
            def advance(state: Any, x: Any, y: Any, key: Any) -> Any:
                key, use = jax.random.split(key)
                loss, gradients = jax.value_and_grad(loss_of)(state[1], x, y, use)
                return _adam(state, gradients), key, loss

            def step() -> float:
                nonlocal state, key
                state, key, loss = advance(state, x, y, key)
                return float(loss)

            return step

        same = stepper(0.0)
        return Run(
            "jit", stepper(NETWORKS[network].dropout),
            lambda _: [np.array([same() for _ in range(AGREEMENT_STEPS)])],
        )  # fmt: skip
