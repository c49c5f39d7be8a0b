"""The networks of `benchmarks.networks` in JAX: functions of quernel's weights, which come in quernel's order.

Each takes an iterator of the weights, a batch, a key and the share dropped in training, and gives scores. Batch
normalisation keeps no moving statistics, which costs less than it should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

Weights = Iterator[Any]


def conv(x: Any, kernel: Any, padding: Any, strides: int = 1, dilation: int = 1, groups: int = 1) -> Any:
    return jax.lax.conv_general_dilated(
        x, kernel, (strides, strides), padding, rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
    )  # fmt: skip


def _dense(x: Any, w: Weights) -> Any:
    return x @ next(w) + next(w)


def _max_pool(x: Any) -> Any:
    """2x2, what is over at the edge dropped. From four strided images: steps are faster than by `reduce_window`."""
    h, w = (size // 2 * 2 for size in x.shape[1:3])
    corners = [x[:, i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)]
    return jnp.maximum(jnp.maximum(*corners[:2]), jnp.maximum(*corners[2:]))


def _dropout(x: Any, rate: float, key: Any) -> Any:
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0.0) if rate else x


def mlp(w: Weights, x: Any, key: Any, rate: float) -> Any:
    return _dense(jax.nn.relu(_dense(x, w)), w)


def _stage(w: Weights, x: Any, padding: str) -> Any:
    """Convolution, relu, pooling."""
    return _max_pool(jax.nn.relu(conv(x, next(w), padding) + next(w)))


def cnn(w: Weights, x: Any, key: Any, rate: float) -> Any:
    x = _stage(w, _stage(w, x, "VALID"), "VALID").reshape(len(x), -1)
    return _dense(_dropout(jax.nn.relu(_dense(x, w)), rate, key), w)


def fashion(w: Weights, x: Any, key: Any, rate: float) -> Any:
    return _dense(_stage(w, _stage(w, x, "SAME"), "SAME").reshape(len(x), -1), w)


def _batch_norm(x: Any, w: Weights) -> Any:
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) * jax.lax.rsqrt(variance + 1e-3) * next(w) + next(w)


def _block(w: Weights, x: Any, stride: int) -> Any:
    pad = ((1, 1), (1, 1))
    y = jax.nn.relu(_batch_norm(conv(x, next(w), pad, stride), w))
    y = _batch_norm(conv(y, next(w), pad), w)
    return jax.nn.relu(y + (conv(x, next(w), "VALID", stride) if stride > 1 else x))


def resnet20(w: Weights, x: Any, key: Any, rate: float) -> Any:
    x = jax.nn.relu(_batch_norm(conv(x, next(w), ((1, 1), (1, 1))), w))
    for stride in (1, 1, 1, 2, 1, 1, 2, 1, 1):
        x = _block(w, x, stride)
    return _dense(x.mean((1, 2)), w)


def _lstm(w: Weights, x: Any) -> Any:
    """(N, T, C) to (N, T, U); the products of the inputs for all steps at once."""
    kernel, recurrent_kernel, bias = next(w), next(w), next(w)
    state = jnp.zeros((len(x), len(recurrent_kernel)), x.dtype)

    def step(carry: Any, z: Any) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(z + h @ recurrent_kernel, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return jax.lax.scan(step, (state, state), (x.swapaxes(0, 1) @ kernel + bias))[1].swapaxes(0, 1)


def characters(w: Weights, x: Any, key: Any, rate: float) -> Any:
    x = _dropout(_lstm(w, next(w)[x]), rate, key)
    return _dense(_lstm(w, x), w)


FORWARD: dict[str, Callable[[Weights, Any, Any, float], Any]] = {
    "mlp 784-128-10": mlp,
    "mlp 784-100-10": mlp,
    "cnn 28x28": cnn,
    "fashion 83,466": fashion,
    "resnet-20 32x32": resnet20,
    "lstm 2x256 of 64 characters": characters,
}
