"""Batch normalisation over all axes but the last (Ioffe and Szegedy 2015, arXiv:1502.03167).

M values in each of C channels. Sums over M are made in float64 and rounded once: statistics must hold for
channels whose mean is thousands of times their deviation.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "batch_norm_backward",
    "batch_norm_forward_inference",
    "batch_norm_forward_train",
    "batch_norm_update_running",
]


def _mean(x: np.ndarray) -> np.ndarray:
    """The mean over all axes but the last, in float64; of nothing, 0."""
    rows = x.reshape(x.size // max(x.shape[-1], 1), x.shape[-1])
    return rows.sum(axis=0, dtype=np.float64) / max(len(rows), 1)


def _scale_and_shift(
    x_hat: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, activation: str
) -> np.ndarray:
    y = x_hat if gamma is None else x_hat * gamma
    y = y if beta is None else y + beta
    return np.ascontiguousarray(np.where(y < 0, y.dtype.type(0), y) if activation == "relu" else y)


def batch_norm_forward_train(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    epsilon: float,
    activation: str = "linear",
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x (..., C) to y (..., C) and the batch's mean, biased variance, 1 / sqrt(var + epsilon), each (C,).

    ``activation`` is "linear" or "relu". An empty batch has mean 0 and variance 0.
    """
    mean64 = _mean(x)
    var64 = _mean((x - mean64) ** 2)
    mean, var, inv_std = (s.astype(x.dtype) for s in (mean64, var64, 1 / np.sqrt(var64 + epsilon)))
    x_hat = ((x - mean64) * inv_std).astype(x.dtype)
    return _scale_and_shift(x_hat, gamma, beta, activation), mean, var, inv_std


def batch_norm_forward_inference(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    mean: np.ndarray,
    var: np.ndarray,
    epsilon: float,
    activation: str = "linear",
) -> np.ndarray:
    """x (..., C) to y (..., C) with the statistics given, each (C,)."""
    x_hat = (x - mean) / np.sqrt(var + x.dtype.type(epsilon))
    return _scale_and_shift(x_hat, gamma, beta, activation)


def batch_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    gamma: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    activation: str = "linear",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dy (..., C) to dx (..., C), dgamma (C,), dbeta (C,); with "relu", dy passes where y > 0 only.

    The mean and the deviation depend on x too; what remains of dy is what is orthogonal to 1 and to x_hat.
    """
    dz = np.where(y > 0, dy, dy.dtype.type(0)) if activation == "relu" else dy
    x_hat = (x - mean) * inv_std
    mean_dz, mean_dz_x_hat = _mean(dz), _mean(dz * x_hat)
    m = x.size // max(x.shape[-1], 1)
    scale = inv_std if gamma is None else inv_std * gamma
    dx = scale * (dz - mean_dz.astype(x.dtype) - x_hat * mean_dz_x_hat.astype(x.dtype))
    return np.ascontiguousarray(dx), (m * mean_dz_x_hat).astype(x.dtype), (m * mean_dz).astype(x.dtype)


def batch_norm_update_running(
    running_mean: np.ndarray, running_var: np.ndarray, mean: np.ndarray, var: np.ndarray, momentum: float
) -> None:
    """Moves the running statistics (C,) a share of ``1 - momentum`` towards the batch's, in place."""
    for running, batch in ((running_mean, mean), (running_var, var)):
        running *= momentum
        running += batch * (1 - momentum)
