"""Penalties on weights that are added to the loss. A regularizer is any callable ``Tensor -> scalar Tensor``.

>>> from quernel import regularizers
>>> round(regularizers.L2(0.5)([1.0, 2.0]).item(), 6)
2.5
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quernel import naming, ops
from quernel.tensor import Tensor


class L1L2:
    """``l1 * sum(abs(w)) + l2 * sum(w**2)``.

    Raises
    ------
    ValueError : a factor is negative or not finite.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        for name, factor in (("l1", l1), ("l2", l2)):
            if not 0 <= factor < float("inf"):
                raise ValueError(f"{type(self).__name__}: expected {name} >= 0, got {factor}")
        self.l1, self.l2 = float(l1), float(l2)

    def __call__(self, weight: Any) -> Tensor:
        if not self.l2:
            return ops.multiply(ops.sum(ops.abs(weight)), self.l1)
        squares = ops.multiply(ops.sum(ops.square(weight)), self.l2)
        return ops.add(squares, ops.multiply(ops.sum(ops.abs(weight)), self.l1)) if self.l1 else squares

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return naming.config_of(self)


class L1(L1L2):
    """``l1 * sum(abs(w))``."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """``l2 * sum(w**2)`` (no factor 1/2, as in Keras)."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


TABLE = {**naming.table_of(L1, L2, L1L2), "l1_l2": lambda: L1L2(0.01, 0.01)}


def get(spec: Any) -> Callable[[Any], Tensor] | None:
    """The regularizer meant by a name (``"l2"``), an object, a callable, or None."""
    return None if spec is None else naming.get_object("regularizer", spec, TABLE)
