"""Elementwise operations of one tensor (two: `quernel.ops.binary`).

Integers and booleans are computed by NumPy and have no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quernel import backend as B
from quernel.arrays import as_dtype
from quernel.autograd import Node
from quernel.ops.checks import real
from quernel.tensor import Tensor, as_tensor, wrap

__all__ = [
    "abs",
    "cast",
    "clip",
    "cos",
    "exp",
    "log",
    "log1p",
    "negative",
    "reciprocal",
    "sign",
    "sin",
    "sqrt",
    "square",
]


def scalar(value: float, like: np.ndarray) -> np.ndarray:
    """A number as an array of the type of `like`."""
    return np.array(value, like.dtype)


def sum_to(dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of an input of `shape` that was broadcast to the shape of `dy`."""
    if dy.shape == shape:
        return dy
    added = dy.ndim - len(shape)
    axes = tuple(range(added)) + tuple(
        [added + i for i, n in enumerate(shape) if n == 1 and dy.shape[added + i] != 1]
    )
    return B.reduce("sum", dy, axes, keepdims=True).reshape(shape)


class Cast(Node):
    """Another float type."""

    __slots__ = ()

    @staticmethod
    def forward(ctx: Cast, x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        ctx.saved = x.dtype
        return x.astype(dtype)

    @staticmethod
    def backward(ctx: Cast, dy: np.ndarray) -> np.ndarray:
        return dy.astype(ctx.saved)


def cast(x: Any, dtype: Any) -> Tensor:
    """`x` in another type; between float types gradients go through. The same tensor if it has that type.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.cast([1.5, 2.5], "int64").tolist()
    [1, 2]
    """
    x, dtype = as_tensor(x), as_dtype(dtype)
    if x.data.dtype == dtype:
        return x
    if x.data.dtype.kind == "f" and dtype.kind == "f":
        return Cast.apply(x, dtype=dtype)
    return wrap(x.data.astype(dtype))


# op -> what its backward needs, and dx from dy and that
_BACKWARD: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "negative": ("", lambda dy, _: B.unary("negative", dy)),
    "exp": ("y", lambda dy, y: B.binary("multiply", dy, y)),
    "log": ("x", lambda dy, x: B.binary("divide", dy, x)),
    "log1p": ("x", lambda dy, x: B.binary("divide", dy, B.binary("add", x, scalar(1, x)))),
    "sqrt": ("y", lambda dy, y: B.binary("divide", dy, B.binary("multiply", y, scalar(2, y)))),
    "abs": ("x", lambda dy, x: B.binary("multiply", dy, B.unary("sign", x))),
    "square": ("x", lambda dy, x: B.binary("multiply", dy, B.binary("multiply", x, scalar(2, x)))),
    "reciprocal": ("y", lambda dy, y: B.unary("negative", B.binary("multiply", dy, B.unary("square", y)))),
    "sin": ("x", lambda dy, x: B.binary("multiply", dy, B.unary("cos", x))),
    "cos": ("x", lambda dy, x: B.unary("negative", B.binary("multiply", dy, B.unary("sin", x)))),
}


class Unary(Node):
    """y = op(x)."""

    __slots__ = ("op",)
    op: str

    @staticmethod
    def forward(ctx: Unary, x: np.ndarray, op: str) -> np.ndarray:
        ctx.op = op
        y = B.unary(op, x)
        needed, _ = _BACKWARD[op]
        ctx.saved = y if needed == "y" else x if needed else None
        return y

    @staticmethod
    def backward(ctx: Unary, dy: np.ndarray) -> np.ndarray:
        return _BACKWARD[ctx.op][1](dy, ctx.saved)


def by_numpy(function: Callable[..., Any], *inputs: Tensor) -> Tensor:
    """Integers and booleans: no gradient, no kernel."""
    with np.errstate(all="ignore"):
        try:
            return wrap(np.asarray(function(*[x.data for x in inputs])))
        except (TypeError, ValueError) as error:  # such as: bool - bool, integer to a negative power
            types = " and ".join(str(x.dtype) for x in inputs)
            raise type(error)(
                f"{function.__name__} of {types}: {error} Convert one with astype('float32')."
            ) from None


def exp(x: Any) -> Tensor:
    """e to the power of each element."""
    return Unary.apply(real(x), op="exp")


def log(x: Any) -> Tensor:
    """Natural logarithm: -inf at 0, nan below."""
    return Unary.apply(real(x), op="log")


def log1p(x: Any) -> Tensor:
    """log(1 + x), exact near 0."""
    return Unary.apply(real(x), op="log1p")


def sqrt(x: Any) -> Tensor:
    """Square root; the gradient at 0 is infinite."""
    return Unary.apply(real(x), op="sqrt")


def reciprocal(x: Any) -> Tensor:
    """1 / x."""
    return Unary.apply(real(x), op="reciprocal")


def sin(x: Any) -> Tensor:
    """Sine of radians."""
    return Unary.apply(real(x), op="sin")


def cos(x: Any) -> Tensor:
    """Cosine of radians."""
    return Unary.apply(real(x), op="cos")


def negative(x: Any) -> Tensor:
    """-x."""
    x = as_tensor(x)
    return Unary.apply(x, op="negative") if x.data.dtype.kind == "f" else by_numpy(np.negative, x)


def abs(x: Any) -> Tensor:
    """Absolute value; the gradient at 0 is 0."""
    x = as_tensor(x)
    return Unary.apply(x, op="abs") if x.data.dtype.kind == "f" else by_numpy(np.abs, x)


def square(x: Any) -> Tensor:
    """x times x."""
    x = as_tensor(x)
    return Unary.apply(x, op="square") if x.data.dtype.kind == "f" else by_numpy(np.square, x)


def sign(x: Any) -> Tensor:
    """-1, 0 or 1; its gradient is 0, so none is recorded."""
    x = as_tensor(x)
    return wrap(B.unary("sign", x.data)) if x.data.dtype.kind == "f" else by_numpy(np.sign, x)


class Clip(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Clip, x: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
        ctx.saved = x, low, high
        return B.clip(x, low, high)

    @staticmethod
    def backward(ctx: Clip, dy: np.ndarray) -> np.ndarray:  # the bounds themselves count as inside
        x, low, high = ctx.saved
        zero = scalar(0, dy)
        dx = dy
        if low is not None:
            dx = B.where(B.compare("less", x, scalar(low, x)), zero, dx)
        if high is not None:
            dx = B.where(B.compare("greater", x, scalar(high, x)), zero, dx)
        return dx


def clip(x: Any, low: float | None = None, high: float | None = None) -> Tensor:
    """x held between `low` and `high` (None: no bound); no gradient where it was cut.

    Raises
    ------
    ValueError : if `low` is above `high`.
    """
    low, high = None if low is None else float(low), None if high is None else float(high)
    if low is not None and high is not None and low > high:
        raise ValueError(f"clip: expected low <= high, got low = {low} and high = {high}")
    x = as_tensor(x)
    if x.data.dtype.kind != "f":
        return wrap(np.asarray(np.clip(x.data, low, high)))
    return Clip.apply(x, low=low, high=high)
