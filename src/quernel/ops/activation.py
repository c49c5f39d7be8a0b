"""Activation functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from quernel import backend as B
from quernel.autograd import Node
from quernel.ops.checks import real
from quernel.tensor import Tensor

__all__ = ["activation", "elu", "gelu", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "tanh"]

KINDS = ("linear", "relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "softplus", "elu")


class Activated(Node):
    """An operation that ends in an activation, whose gradient may come through it already.

    Max pooling hands each gradient to one input, the one that became the output: relu's mask, which follows from its
    output, can be applied to the pooled gradients, a quarter of them, before they are handed out. `masked` is a
    gradient of which that is true, and the pooled one, which has the same sums by channel. One that another use of
    the output was added to is another array.
    """

    __slots__ = ("activation", "masked")
    activation: str
    masked: tuple[np.ndarray, np.ndarray] | None

    def end_in(self, activation: str) -> None:
        self.activation = activation
        self.masked = None

    def left(self, dy: np.ndarray) -> tuple[str, np.ndarray]:
        """The activation that dy has still to be taken through, and what to sum instead of it if there is none."""
        masked, self.masked = self.masked, None
        if masked is not None and dy is masked[0]:
            return "linear", masked[1]
        return self.activation, dy


class Activation(Activated):
    """y = f(x)."""

    __slots__ = ("alpha",)
    alpha: float

    @staticmethod
    def forward(ctx: Activation, x: np.ndarray, kind: str, alpha: float) -> np.ndarray:
        y = B.activation_forward(x, kind, alpha)
        ctx.saved = y if kind in B.SAVES_OUTPUT else x
        ctx.end_in(kind)
        ctx.alpha = alpha
        return y

    @staticmethod
    def backward(ctx: Activation, dy: np.ndarray) -> np.ndarray:
        left, _ = ctx.left(dy)
        return dy if left == "linear" else B.activation_backward(dy, ctx.saved, left, ctx.alpha)


def check_kind(kind: str, alpha: float, where: str) -> None:
    """Raise unless `kind` is known and `alpha` (slope, scale) is not negative."""
    if kind not in KINDS:
        raise ValueError(
            f"{where}: unknown activation {kind!r}: expected one of {', '.join(map(repr, KINDS))}"
        )
    if not alpha >= 0:  # a negative slope would hide the sign that backward reads from the output
        raise ValueError(f"{where}: expected the parameter of {kind!r} to be 0 or more, got {alpha}")


def activation(x: Any, kind: str, alpha: float = 0.0) -> Tensor:
    """f(x) elementwise.

    Parameters
    ----------
    x : any shape.
    kind : "linear", "relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "softplus" or
        "elu".
    alpha : slope of leaky_relu below 0, scale of elu; 0 or more, default 0.

    Raises
    ------
    ValueError : for another kind, or a negative alpha.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.activation([-2.0, 3.0], "leaky_relu", 0.5).tolist()
    [-1.0, 3.0]
    """
    x = real(x)
    check_kind(kind, alpha, "activation")
    if kind == "linear":
        return x
    return Activation.apply(x, kind=kind, alpha=alpha)


def relu(x: Any) -> Tensor:
    """max(x, 0)."""
    return Activation.apply(real(x), kind="relu", alpha=0.0)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """x above 0, ``negative_slope * x`` below."""
    return activation(x, "leaky_relu", negative_slope)


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x))."""
    return Activation.apply(real(x), kind="sigmoid", alpha=0.0)


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent."""
    return Activation.apply(real(x), kind="tanh", alpha=0.0)


def silu(x: Any) -> Tensor:
    """x sigmoid(x), also called swish (Elfwing et al. 2018, arXiv:1702.03118)."""
    return activation(x, "silu")


def gelu(x: Any, approximate: bool = False) -> Tensor:
    """x times the normal distribution's cumulative function (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    `approximate` uses their tanh formula instead of erf.
    """
    return activation(x, "gelu_tanh" if approximate else "gelu")


def softplus(x: Any) -> Tensor:
    """log(1 + exp(x))."""
    return activation(x, "softplus")


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x above 0, ``alpha * (exp(x) - 1)`` below (Clevert et al. 2016, arXiv:1511.07289)."""
    return activation(x, "elu", alpha)
