"""Batch normalisation over all axes but the last."""

from __future__ import annotations

from typing import Any

import numpy as np

from quernel import backend as B
from quernel.autograd import is_grad_enabled
from quernel.ops.activation import Activated, relu
from quernel.ops.checks import reals
from quernel.tensor import Tensor, wrap

__all__ = ["batch_norm"]


class BatchNormTrain(Activated):
    """y = activation(gamma (x - mean) / std + beta) with the batch's own mean and std."""

    __slots__ = ()

    @staticmethod
    def forward(
        ctx: BatchNormTrain,
        x: np.ndarray,
        gamma: np.ndarray | None,
        beta: np.ndarray | None,
        epsilon: float,
        activation: str,
        running: tuple[np.ndarray, np.ndarray] | None,
        momentum: float,
    ) -> np.ndarray:
        y, mean, var, inv_std = B.batch_norm_forward_train(x, gamma, beta, epsilon, activation)
        ctx.saved = x, y if activation == "relu" else x, gamma, mean, inv_std  # y matters for relu alone
        ctx.end_in(activation)
        if running is not None:
            B.batch_norm_update_running(*running, mean, var, momentum)
        return y

    @staticmethod
    def backward(ctx: BatchNormTrain, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y, gamma, mean, inv_std = ctx.saved
        return B.batch_norm_backward(dy, x, y, gamma, mean, inv_std, ctx.left(dy)[0])


def batch_norm(
    x: Any,
    gamma: Any,
    beta: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    activation: str = "linear",
    where: str = "batch_norm",
) -> Tensor:
    """Normalise each channel to mean 0 and variance 1, then scale by gamma and shift by beta.

    Ioffe and Szegedy 2015, arXiv:1502.03167.

    Parameters
    ----------
    x : (..., C).  gamma, beta : (C,) or None for 1 and 0.
    running_mean, running_var : (C,), tensors or arrays of the type of x: the statistics used when not
        training. In training they are moved in place a share of ``1 - momentum`` towards the batch's mean and
        (biased) variance; None, None leaves them out.
    training : use the batch's statistics.
    momentum, epsilon : defaults 0.99 and 1e-3, as in Keras (its momentum is one minus PyTorch's).
    activation : "linear" or "relu".
    where : the caller's name in messages.

    Raises
    ------
    ValueError : if shapes do not fit, or training has fewer than two values a channel.

    Examples
    --------
    >>> import numpy as np
    >>> from quernel import ops
    >>> y = ops.batch_norm([[1.0], [3.0]], None, None, None, None, training=True, epsilon=0.0)
    >>> y.tolist()
    [[-1.0], [1.0]]
    """
    x, gamma, beta = reals(where, x, gamma, beta)
    shape = x.data.shape
    if len(shape) < 2:
        raise ValueError(f"{where}: expected input (batch, ..., channels), got shape {shape}")
    for name, given in (("gamma", gamma), ("beta", beta)):
        if given is not None and given.data.shape != shape[-1:]:
            raise ValueError(f"{where}: expected input (..., {given.size}) as {name} has, got {shape}")
    running = _running(running_mean, running_var, x.data, where)
    if activation not in ("linear", "relu"):
        raise ValueError(f"{where}: expected activation 'linear' or 'relu', got {activation!r}")
    if not epsilon >= 0:
        raise ValueError(f"{where}: expected epsilon of 0 or more, got {epsilon}")
    if not training:
        if running is None:
            raise ValueError(f"{where}: running_mean and running_var are needed when not training")
        return _inference(x, gamma, beta, *running, float(epsilon), activation)
    if not 0 <= momentum <= 1:
        raise ValueError(f"{where}: expected momentum from 0 to 1, got {momentum}")
    count = x.data.size // shape[-1] if shape[-1] else 2
    if count < 2:
        raise ValueError(
            f"{where}: training needs at least two values a channel, got shape {shape}. Use a larger batch "
            "(drop the last short one), or model.eval() to predict."
        )
    return BatchNormTrain.apply(
        x, gamma, beta, epsilon=float(epsilon), activation=activation, running=running, momentum=momentum
    )


def _running(mean: Any, var: Any, x: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The arrays of the running statistics, which are written in place: they must be what they seem."""
    if mean is None and var is None:
        return None
    arrays = [t.data if isinstance(t, Tensor) else t for t in (mean, var)]
    for name, array in zip(("running_mean", "running_var"), arrays, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype != x.dtype or array.shape != x.shape[-1:]:
            got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else repr(array)
            raise ValueError(
                f"{where}: expected {name} to be {x.dtype} of shape {x.shape[-1:]}, one for each channel of "
                f"the input of shape {x.shape}, got {got}"
            )
        if not (array.flags.writeable and array.flags.c_contiguous):
            raise ValueError(f"{where}: expected {name} to be writable and contiguous")
    return arrays[0], arrays[1]


def _inference(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    mean: np.ndarray,
    var: np.ndarray,
    epsilon: float,
    activation: str,
) -> Tensor:
    """An affine map: one kernel, or, where gradients are wanted, the operations it consists of."""
    recorded = is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, gamma, beta))
    if not recorded:
        data = [None if t is None else t.data for t in (gamma, beta)]
        return wrap(B.batch_norm_forward_inference(x.data, *data, mean, var, epsilon, activation))
    y = (x - wrap(mean)) / wrap(B.unary("sqrt", B.binary("add", var, np.array(epsilon, x.dtype))))
    if gamma is not None:
        y = y * gamma
    if beta is not None:
        y = y + beta
    return relu(y) if activation == "relu" else y
