"""Random tensors and dropout. All numbers come from `quernel.random`: set its seed to repeat a run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quernel import backend as B
from quernel import random
from quernel.arrays import as_dtype, as_shape, get_default_dtype
from quernel.autograd import Node
from quernel.ops.checks import real
from quernel.tensor import Tensor, wrap

__all__ = ["dropout", "random_normal", "random_uniform"]


class Dropout(Node):
    """Keeps the 16 bytes that the mask is made from, not the mask."""

    __slots__ = ()

    @staticmethod
    def forward(ctx: Dropout, x: np.ndarray, rate: float) -> np.ndarray:
        ctx.saved = rate, random.next_state(x.size)
        return B.dropout(x, *ctx.saved)

    @staticmethod
    def backward(ctx: Dropout, dy: np.ndarray) -> np.ndarray:
        return B.dropout(dy, *ctx.saved)


def dropout(x: Any, rate: float, training: bool = True, where: str = "dropout") -> Tensor:
    """In training each element becomes 0 with probability `rate`, the others are divided by ``1 - rate``.

    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".

    Raises
    ------
    ValueError : unless 0 <= rate <= 1.
    """
    x = real(x)
    if not 0 <= rate <= 1:
        raise ValueError(f"{where}: expected a rate from 0 to 1 (the share of elements dropped), got {rate}")
    return Dropout.apply(x, rate=float(rate)) if training and rate else x


def _reserved(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    count = math.prod(shape)
    count += count % 2  # normal numbers are made in pairs
    return random.next_state(count * dtype.itemsize // 4)  # 32-bit words: a float64 takes two


def _float_dtype(dtype: Any, where: str) -> np.dtype[Any]:
    chosen = get_default_dtype() if dtype is None else as_dtype(dtype)
    if chosen.kind != "f":
        raise TypeError(f"{where}: expected float32 or float64, got {chosen}")
    return chosen


def random_uniform(shape: Any, low: float = 0.0, high: float = 1.0, dtype: Any = None) -> Tensor:
    """Numbers spread evenly over [low, high).

    Raises
    ------
    ValueError : unless low <= high, both finite.

    Examples
    --------
    >>> import quernel as qn
    >>> qn.random.seed(0)
    >>> qn.ops.random_uniform((2, 3)).shape
    (2, 3)
    """
    sizes, chosen = as_shape(shape, "random_uniform"), _float_dtype(dtype, "random_uniform")
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"random_uniform: expected finite low <= high, got low = {low} and high = {high}")
    return wrap(B.random_uniform(sizes, float(low), float(high), _reserved(sizes, chosen), chosen))


def random_normal(shape: Any, mean: float = 0.0, std: float = 1.0, dtype: Any = None) -> Tensor:
    """Normally distributed numbers.

    Raises
    ------
    ValueError : if `std` is negative or one of them is not finite.
    """
    sizes, chosen = as_shape(shape, "random_normal"), _float_dtype(dtype, "random_normal")
    if not (math.isfinite(mean) and 0 <= std < math.inf):
        raise ValueError(
            f"random_normal: expected a finite mean and std >= 0, got mean = {mean} and std = {std}"
        )
    return wrap(B.random_normal(sizes, float(mean), float(std), _reserved(sizes, chosen), chosen))
