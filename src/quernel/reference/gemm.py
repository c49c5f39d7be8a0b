"""Matrix products: the whole of linear algebra that networks here need."""

from __future__ import annotations

import numpy as np

from quernel.reference.activation import activation_forward

__all__ = ["dense_forward", "matmul"]


def matmul(a: np.ndarray, b: np.ndarray, transpose_a: bool = False, transpose_b: bool = False) -> np.ndarray:
    """``a @ b`` for a (..., M, K) and b (..., K, N), giving (..., M, N).

    Leading dimensions broadcast. ``transpose_a`` says that a comes as (..., K, M), ``transpose_b`` that
    b comes as (..., N, K).
    """
    a = np.swapaxes(a, -1, -2) if transpose_a else a
    b = np.swapaxes(b, -1, -2) if transpose_b else b
    return np.ascontiguousarray(np.matmul(a, b))


def dense_forward(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, activation: str = "linear", alpha: float = 0.0
) -> np.ndarray:
    """``activation(x @ kernel + bias)`` for x (M, I), kernel (I, O), bias (O,) or None, giving (M, O)."""
    z = matmul(x, kernel)
    if bias is not None:
        z += bias
    return activation_forward(z, activation, alpha)
