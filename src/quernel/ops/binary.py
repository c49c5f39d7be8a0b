"""Elementwise operations of two tensors, with broadcasting.

Two tensors of different float types give the wider one; arrays, lists and numbers take the type of the tensor
they meet. Integers and booleans are computed by NumPy and have no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quernel import backend as B
from quernel.arrays import as_array
from quernel.autograd import Node
from quernel.ops.checks import broadcast, real
from quernel.ops.elementwise import by_numpy, cast, scalar, square, sum_to
from quernel.tensor import Tensor, as_tensor, wrap

__all__ = [
    "add",
    "divide",
    "equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "maximum",
    "minimum",
    "multiply",
    "not_equal",
    "power",
    "subtract",
    "where",
]


def operands(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors: of one float type, or both of integers or booleans."""
    if isinstance(a, Tensor):
        if not isinstance(b, Tensor):
            b = _beside(a.data.dtype, b)
    elif isinstance(b, Tensor):
        a = _beside(b.data.dtype, a)
    else:
        a, b = as_tensor(a), as_tensor(b)
    return (a, b) if a.data.dtype is b.data.dtype else _promoted(a, b)


def _beside(dtype: np.dtype[Any], other: Any) -> Tensor:
    """A plain value that meets a tensor takes the tensor's type, unless that would cut off its fraction."""
    if dtype.kind == "f":
        plain = type(other) is float or type(other) is int
        return wrap(np.array(other, dtype) if plain else as_array(other, dtype))
    return wrap(np.array(other, dtype) if type(other) is int and dtype.kind != "b" else as_array(other))


def _promoted(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    floats = [x.data.dtype for x in (a, b) if x.data.dtype.kind == "f"]
    if not floats:
        return a, b
    dtype = max(floats, key=lambda d: d.itemsize)
    return cast(a, dtype), cast(b, dtype)


class Add(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Add, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        ctx.saved = a.shape, b.shape
        return B.binary("add", a, b)

    @staticmethod
    def backward(ctx: Add, dy: np.ndarray) -> tuple[Any, Any]:
        shape_a, shape_b = ctx.saved
        need_a, need_b = ctx.needs
        return sum_to(dy, shape_a) if need_a else None, sum_to(dy, shape_b) if need_b else None


class Subtract(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Subtract, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        ctx.saved = a.shape, b.shape
        return B.binary("subtract", a, b)

    @staticmethod
    def backward(ctx: Subtract, dy: np.ndarray) -> tuple[Any, Any]:
        shape_a, shape_b = ctx.saved
        need_a, need_b = ctx.needs
        return (
            sum_to(dy, shape_a) if need_a else None,
            B.unary("negative", sum_to(dy, shape_b)) if need_b else None,
        )


class Multiply(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Multiply, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        ctx.saved = a, b
        return B.binary("multiply", a, b)

    @staticmethod
    def backward(ctx: Multiply, dy: np.ndarray) -> tuple[Any, Any]:
        a, b = ctx.saved
        need_a, need_b = ctx.needs
        return (
            sum_to(B.binary("multiply", dy, b), a.shape) if need_a else None,
            sum_to(B.binary("multiply", dy, a), b.shape) if need_b else None,
        )


class Divide(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Divide, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        y = B.binary("divide", a, b)
        ctx.saved = a.shape, b, y
        return y

    @staticmethod
    def backward(ctx: Divide, dy: np.ndarray) -> tuple[Any, Any]:  # da = dy/b, db = -(dy/b) y
        shape_a, b, y = ctx.saved
        need_a, need_b = ctx.needs
        da = B.binary("divide", dy, b)
        return (
            sum_to(da, shape_a) if need_a else None,
            sum_to(B.unary("negative", B.binary("multiply", da, y)), b.shape) if need_b else None,
        )


class Power(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Power, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        y = B.binary("power", a, b)
        ctx.saved = a, b, y
        return y

    @staticmethod
    def backward(ctx: Power, dy: np.ndarray) -> tuple[Any, Any]:
        a, b, y = ctx.saved
        need_a, need_b = ctx.needs
        zero = scalar(0, dy)
        da = db = None
        if need_a:  # b a^(b-1), and 0 for b = 0 also where a = 0
            slope = B.binary("multiply", b, B.binary("power", a, B.binary("subtract", b, scalar(1, dy))))
            slope = B.where(B.compare("equal", b, zero), zero, slope)
            da = sum_to(B.binary("multiply", dy, slope), a.shape)
        if need_b:  # y log a, and its limit 0 where a = 0
            slope = B.binary("multiply", y, B.unary("log", a))
            slope = B.where(B.compare("equal", a, zero), zero, slope)
            db = sum_to(B.binary("multiply", dy, slope), b.shape)
        return da, db


class Maximum(Node):
    """Equals share the gradient."""

    __slots__ = ()
    op = "maximum"
    wins = "greater"

    @staticmethod
    def forward(ctx: Maximum, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        ctx.saved = a, b
        return B.binary(ctx.op, a, b)

    @staticmethod
    def backward(ctx: Maximum, dy: np.ndarray) -> tuple[Any, Any]:
        a, b = ctx.saved
        need_a, need_b = ctx.needs
        half = B.where(B.compare("equal", a, b), B.binary("multiply", dy, scalar(0.5, dy)), scalar(0, dy))
        return (
            sum_to(B.where(B.compare(ctx.wins, a, b), dy, half), a.shape) if need_a else None,
            sum_to(B.where(B.compare(ctx.wins, b, a), dy, half), b.shape) if need_b else None,
        )


class Minimum(Maximum):
    __slots__ = ()
    op = "minimum"
    wins = "less"


def add(a: Any, b: Any) -> Tensor:
    """a + b."""
    return _binary(Add, np.add, a, b)


def subtract(a: Any, b: Any) -> Tensor:
    """a - b."""
    return _binary(Subtract, np.subtract, a, b)


def multiply(a: Any, b: Any) -> Tensor:
    """a times b."""
    return _binary(Multiply, np.multiply, a, b)


def divide(a: Any, b: Any) -> Tensor:
    """a / b; of integers in the default float type."""
    a, b = operands(a, b)
    return _binary(Divide, np.divide, real(a), real(b))


def power(a: Any, b: Any) -> Tensor:
    """a to the power b.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.power([1.0, 2.0, 3.0], 2).tolist()
    [1.0, 4.0, 9.0]
    """
    if type(b) is int and b == 2:
        return square(a)
    return _binary(Power, np.power, a, b)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b, nan if one is; where they are equal each gets half of the gradient."""
    return _binary(Maximum, np.maximum, a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b, nan if one is; where they are equal each gets half of the gradient."""
    return _binary(Minimum, np.minimum, a, b)


def _binary(node: type[Node], ufunc: Callable[..., Any], a: Any, b: Any) -> Tensor:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.data.dtype is b.data.dtype):
        a, b = operands(a, b)
    x, y = a.data, b.data
    if x.shape != y.shape and x.ndim and y.ndim:
        broadcast(ufunc.__name__, x.shape, y.shape)
    if x.dtype.kind != "f":  # then neither is
        return by_numpy(ufunc, a, b)
    return node.apply(a, b)


def _compare(op: str, a: Any, b: Any) -> Tensor:
    a, b = operands(a, b)
    if a.data.shape != b.data.shape and a.data.ndim and b.data.ndim:
        broadcast(op, a.data.shape, b.data.shape)
    if a.data.dtype.kind != "f":
        return by_numpy(getattr(np, op), a, b)
    return wrap(B.compare(op, a.data, b.data))


def equal(a: Any, b: Any) -> Tensor:
    """a == b, as booleans."""
    return _compare("equal", a, b)


def not_equal(a: Any, b: Any) -> Tensor:
    """a != b, as booleans."""
    return _compare("not_equal", a, b)


def less(a: Any, b: Any) -> Tensor:
    """a < b, as booleans."""
    return _compare("less", a, b)


def less_equal(a: Any, b: Any) -> Tensor:
    """a <= b, as booleans."""
    return _compare("less_equal", a, b)


def greater(a: Any, b: Any) -> Tensor:
    """a > b, as booleans."""
    return _compare("greater", a, b)


def greater_equal(a: Any, b: Any) -> Tensor:
    """a >= b, as booleans."""
    return _compare("greater_equal", a, b)


class Where(Node):
    __slots__ = ()

    @staticmethod
    def forward(ctx: Where, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        ctx.saved = condition, a.shape, b.shape
        return B.where(condition, a, b)

    @staticmethod
    def backward(ctx: Where, dy: np.ndarray) -> tuple[Any, Any, Any]:
        condition, shape_a, shape_b = ctx.saved
        _, need_a, need_b = ctx.needs
        zero = scalar(0, dy)
        return (
            None,
            sum_to(B.where(condition, dy, zero), shape_a) if need_a else None,
            sum_to(B.where(condition, zero, dy), shape_b) if need_b else None,
        )


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """`a` where the condition holds, else `b`; all three broadcast.

    Raises
    ------
    TypeError : if the condition is not boolean.

    Examples
    --------
    >>> from quernel import ops
    >>> ops.where([True, False], [1.0, 2.0], 0.0).tolist()
    [1.0, 0.0]
    """
    chosen = as_array(condition)
    if chosen.dtype.kind != "b":
        raise TypeError(
            f"where: expected a boolean condition, got {chosen.dtype}. Compare first, for example x > 0."
        )
    a, b = operands(a, b)
    broadcast("where", chosen.shape, a.shape, b.shape)
    if a.data.dtype.kind != "f":
        return wrap(np.asarray(np.where(chosen, a.data, b.data)))
    return Where.apply(chosen, a, b)
