"""Tensors made from nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from quernel.arrays import as_array, as_dtype, as_shape, get_default_dtype
from quernel.tensor import Tensor

__all__ = ["arange", "full", "ones", "ones_like", "zeros", "zeros_like"]


def full(shape: Any, value: float, requires_grad: bool = False, dtype: Any = None) -> Tensor:
    """A tensor filled with `value`; float32 by default."""
    return Tensor(
        np.full(as_shape(shape, "full"), value, as_dtype(dtype or get_default_dtype())), requires_grad
    )


def zeros(shape: Any, requires_grad: bool = False, dtype: Any = None) -> Tensor:
    """A tensor of zeros; float32 by default."""
    return Tensor(np.zeros(as_shape(shape, "zeros"), as_dtype(dtype or get_default_dtype())), requires_grad)


def ones(shape: Any, requires_grad: bool = False, dtype: Any = None) -> Tensor:
    """A tensor of ones; float32 by default."""
    return Tensor(np.ones(as_shape(shape, "ones"), as_dtype(dtype or get_default_dtype())), requires_grad)


def zeros_like(x: Any, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape and type of `x`."""
    return Tensor(np.zeros_like(as_array(x)), requires_grad)


def ones_like(x: Any, requires_grad: bool = False) -> Tensor:
    """Ones with the shape and type of `x`."""
    return Tensor(np.ones_like(as_array(x)), requires_grad)


def arange(*limits: float, dtype: Any = None) -> Tensor:
    """``arange(stop)``, ``arange(start, stop)`` or ``arange(start, stop, step)`` as in NumPy.

    Integers by default if all limits are, else floats of the default type.

    Examples
    --------
    >>> import quernel as qn
    >>> qn.arange(3).tolist(), qn.arange(0, 1, 0.5).tolist()
    ([0, 1, 2], [0.0, 0.5])
    """
    array = np.arange(*limits)
    return Tensor(array, dtype=dtype or (get_default_dtype() if array.dtype.kind == "f" else None))
