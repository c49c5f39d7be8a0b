"""Hangs the operations on `Tensor`: operators, indexing and methods."""

from __future__ import annotations

from typing import Any

import numpy as np

from quernel.ops import activation, binary, elementwise, gemm, indexing, reduce, shaping, softmax
from quernel.tensor import Tensor, as_tensor


def _swapped(function: Any) -> Any:
    def reflected(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    return reflected


def _equal(self: Tensor, other: Any) -> Any:
    return NotImplemented if other is None else binary.equal(self, other)


def _not_equal(self: Tensor, other: Any) -> Any:
    return NotImplemented if other is None else binary.not_equal(self, other)


def _clone(self: Tensor) -> Tensor:
    """A copy that gradients go through."""
    return (
        activation.Activation.apply(self, kind="linear", alpha=0.0)
        if self.dtype.kind == "f"
        else Tensor(self.data.copy())
    )


def _any(self: Tensor, axis: Any = None) -> Tensor:
    """Whether any element is true."""
    return Tensor(np.asarray(np.any(self.data, axis=axis)))


def _all(self: Tensor, axis: Any = None) -> Tensor:
    """Whether all elements are true."""
    return Tensor(np.asarray(np.all(self.data, axis=axis)))


def _invert(self: Tensor) -> Tensor:
    return Tensor(np.invert(self.data))


def _logical(ufunc: Any) -> Any:
    def method(self: Tensor, other: Any) -> Tensor:
        return Tensor(np.asarray(ufunc(self.data, as_tensor(other).data)))

    return method


_OPERATORS: dict[str, Any] = {
    "__add__": binary.add,
    "__sub__": binary.subtract,
    "__mul__": binary.multiply,
    "__truediv__": binary.divide,
    "__pow__": binary.power,
    "__matmul__": gemm.matmul,
}
_METHODS: dict[str, Any] = {
    **_OPERATORS,
    **{name.replace("__", "__r", 1): _swapped(function) for name, function in _OPERATORS.items()},
    "__radd__": binary.add,  # saves a call
    "__rmul__": binary.multiply,
    "__neg__": elementwise.negative,
    "__abs__": elementwise.abs,
    "__eq__": _equal,
    "__ne__": _not_equal,
    "__lt__": binary.less,
    "__le__": binary.less_equal,
    "__gt__": binary.greater,
    "__ge__": binary.greater_equal,
    "__invert__": _invert,
    "__and__": _logical(np.bitwise_and),
    "__or__": _logical(np.bitwise_or),
    "__xor__": _logical(np.bitwise_xor),
    "__getitem__": indexing.getitem,
    "T": property(shaping.transpose, doc="Its axes in reverse order (a view)."),
    "astype": elementwise.cast,
    "to": elementwise.cast,
    "clone": _clone,
    "any": _any,
    "all": _all,
    "pow": binary.power,
    "matmul": gemm.matmul,
}
_SAME_NAME: dict[Any, tuple[str, ...]] = {
    activation: ("relu", "sigmoid", "tanh"),
    binary: ("maximum", "minimum"),
    elementwise: ("abs", "clip", "cos", "exp", "log", "log1p", "reciprocal", "sign", "sin", "sqrt", "square"),
    indexing: ("flatten", "reshape", "take"),
    reduce: ("argmax", "argmin", "max", "mean", "min", "sum", "var"),
    shaping: ("broadcast_to", "expand_dims", "flip", "split", "squeeze", "transpose"),
    softmax: ("log_softmax", "softmax"),
}

for _name, _method in _METHODS.items():
    setattr(Tensor, _name, _method)
for _module, _names in _SAME_NAME.items():
    for _name in _names:
        setattr(Tensor, _name, getattr(_module, _name))
