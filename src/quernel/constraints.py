"""Projections applied to weights after each update. A constraint is any callable ``Tensor -> Tensor``.

`axis` names the axes a norm is taken over: 0 for a dense kernel ``(in, out)`` (each unit's incoming weights),
``(0, 1, 2)`` for filters ``(KH, KW, C, K)``.

>>> from quernel import constraints
>>> constraints.NonNeg()([-1.0, 2.0]).numpy()
array([0., 2.], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from quernel import naming, ops
from quernel.tensor import Tensor, as_tensor

EPSILON = 1e-7  # keeps the quotient defined for a weight of norm 0; Keras uses the same


class Constraint:
    """Base class: `project` maps any weight to one that fulfils the constraint."""

    def project(self, weight: Tensor) -> Tensor:
        """The nearest allowed weight; same shape."""
        raise NotImplementedError(f"{type(self).__name__} must define project(weight)")

    def __call__(self, weight: Any) -> Tensor:
        return self.project(as_tensor(weight))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return naming.config_of(self)


class NonNeg(Constraint):
    """Negative weights become 0."""

    def project(self, weight: Tensor) -> Tensor:
        return ops.relu(weight)


class MaxNorm(Constraint):
    """Norms greater than `max_value` are scaled down to it (Srivastava et al. 2014)."""

    def __init__(self, max_value: float = 2.0, axis: int | Sequence[int] = 0) -> None:
        if not max_value > 0:
            raise ValueError(f"MaxNorm: expected max_value > 0, got {max_value}")
        self.max_value, self.axis = float(max_value), axis

    def project(self, weight: Tensor) -> Tensor:
        norm = _norm(weight, self.axis)
        return ops.multiply(weight, ops.divide(ops.minimum(norm, self.max_value), ops.add(norm, EPSILON)))


class UnitNorm(Constraint):
    """Every norm becomes 1."""

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = axis

    def project(self, weight: Tensor) -> Tensor:
        return ops.divide(weight, ops.add(_norm(weight, self.axis), EPSILON))


def _norm(weight: Tensor, axis: int | Sequence[int]) -> Tensor:
    axes = axis if isinstance(axis, int) else tuple(axis)
    return ops.sqrt(ops.sum(ops.square(weight), axis=axes, keepdims=True))


TABLE = naming.table_of(NonNeg, MaxNorm, UnitNorm)


def get(spec: Any) -> Callable[[Any], Tensor] | None:
    """The constraint meant by a name (``"max_norm"``), an object, a callable, or None."""
    return None if spec is None else naming.get_object("constraint", spec, TABLE)
