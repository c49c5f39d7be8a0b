"""Activation functions by name, and how a layer applies one.

A name stands for a kind of `ops.activation` and its parameter alpha (Keras's defaults: a slope of 0.2 for
``leaky_relu``, 1 for ``elu``); ``softmax`` and ``log_softmax`` work on the last axis. Anything that can be
called on a Tensor is an activation too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quernel import naming, ops
from quernel.tensor import Tensor


@dataclass(frozen=True)
class Elementwise:
    """A kind that `ops.activation` knows, with its parameter."""

    kind: str
    alpha: float = 0.0

    def __call__(self, x: Any) -> Tensor:
        return ops.activation(x, self.kind, self.alpha)

    @property
    def __name__(self) -> str:
        return self.kind


linear = Elementwise("linear")
relu = Elementwise("relu")
leaky_relu = Elementwise("leaky_relu", 0.2)
sigmoid = Elementwise("sigmoid")
tanh = Elementwise("tanh")
silu = Elementwise("silu")
gelu = Elementwise("gelu")
gelu_tanh = Elementwise("gelu_tanh")
softplus = Elementwise("softplus")
elu = Elementwise("elu", 1.0)


def softmax(x: Any) -> Tensor:
    """``exp(x) / sum(exp(x))`` over the last axis."""
    return ops.softmax(x, axis=-1)


def log_softmax(x: Any) -> Tensor:
    """The logarithm of `softmax`, without its overflow."""
    return ops.log_softmax(x, axis=-1)


TABLE: dict[str, Callable[[Any], Tensor]] = {
    **{f.kind: f for f in (linear, relu, leaky_relu, sigmoid, tanh, silu, gelu, gelu_tanh, softplus, elu)},
    "swish": silu,
    "softmax": softmax,
    "log_softmax": log_softmax,
}


def get(spec: Any) -> Callable[[Any], Tensor]:
    """The activation meant by a name, a callable, or None (linear).

    >>> from quernel import activations
    >>> activations.get("swish").kind
    'silu'
    """
    if spec is None:
        return linear
    if isinstance(spec, str):
        return naming.resolve("activation", spec, TABLE)
    if not callable(spec):
        raise TypeError(
            f"expected the activation as a name or a callable, got {spec!r}: {naming.suggest('', TABLE)}"
        )
    return spec


def fuse(activation: Callable[[Any], Tensor]) -> tuple[str, float, Callable[[Any], Tensor] | None]:
    """Kind and alpha for the operation that applies `activation`, and what is left to call after it."""
    if isinstance(activation, Elementwise):
        return activation.kind, activation.alpha, None
    return "linear", 0.0, activation
