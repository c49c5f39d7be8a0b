"""Parameter updates and gradient clipping: lists of arrays, changed in place.

``hyper`` is a float64 array, so that values that change between steps live in memory that a kernel reads; its
fields are named at each function. All arrays of a list may differ in shape; lists given together match one by
one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = [
    "adam_update",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "rmsprop_update",
    "sgd_update",
]

Arrays = Sequence[np.ndarray]


def sgd_update(params: Arrays, grads: Arrays, velocities: Arrays | None, hyper: np.ndarray) -> None:
    """Gradient descent with momentum; hyper = [learning rate, momentum, nesterov (0 or 1), weight decay].

    Sutskever et al. 2013, "On the importance of initialization and momentum", in PyTorch's form: g += decay *
    p; v = momentum * v + g; p -= rate * (g + momentum * v if nesterov else v). Without velocities, v is g.
    """
    rate, momentum, nesterov, decay = hyper.tolist()
    for i, (p, g) in enumerate(zip(params, grads, strict=True)):
        step = g + decay * p
        if velocities is not None:
            v = velocities[i]
            v[...] = momentum * v + step
            step = step + momentum * v if nesterov else v
        p[...] = p - rate * step


def rmsprop_update(
    params: Arrays,
    grads: Arrays,
    squares: Arrays,
    momenta: Arrays | None,
    means: Arrays | None,
    hyper: np.ndarray,
) -> None:
    """RMSprop; hyper = [learning rate, rho, epsilon, momentum, weight decay].

    Tieleman and Hinton 2012 (lecture 6.5), in PyTorch's form, epsilon added to the root. `means` makes it
    centered (Graves 2013, "Generating sequences with recurrent neural networks"): the variance replaces the
    mean square.
    """
    rate, rho, epsilon, momentum, decay = hyper.tolist()
    for i, (p, g, s) in enumerate(zip(params, grads, squares, strict=True)):
        g = g + decay * p
        s[...] = rho * s + (1 - rho) * g * g
        variance = s
        if means is not None:
            means[i][...] = rho * means[i] + (1 - rho) * g
            variance = np.maximum(s - means[i] * means[i], 0)  # rounding may take it below 0
        step = g / (np.sqrt(variance) + epsilon)
        if momenta is not None:
            momenta[i][...] = momentum * momenta[i] + step
            step = momenta[i]
        p[...] = p - rate * step


def adam_update(
    params: Arrays, grads: Arrays, m: Arrays, v: Arrays, vmax: Arrays | None, hyper: np.ndarray
) -> None:
    """Adam; hyper = [learning rate, beta 1, beta 2, epsilon, weight decay, decoupled (0 or 1), step].

    Kingma and Ba 2015, with epsilon added to the root of the bias-corrected second moment as in PyTorch. The
    step counts from 1. `vmax` makes it AMSGrad (Reddi et al. 2018). Decoupled weight decay is AdamW
    (Loshchilov and Hutter 2019).
    """
    rate, beta1, beta2, epsilon, decay, decoupled, step = hyper.tolist()
    for i, (p, g, m_i, v_i) in enumerate(zip(params, grads, m, v, strict=True)):
        if decoupled:
            p[...] = p * (1 - rate * decay)
        else:
            g = g + decay * p
        m_i[...] = beta1 * m_i + (1 - beta1) * g
        v_i[...] = beta2 * v_i + (1 - beta2) * g * g
        second = v_i
        if vmax is not None:
            vmax[i][...] = np.maximum(vmax[i], v_i)
            second = vmax[i]
        root = np.sqrt(second) / np.sqrt(1 - beta2**step) + epsilon
        p[...] = p - rate / (1 - beta1**step) * m_i / root


def clip_by_value(grads: Arrays, low: float, high: float) -> None:
    """Every element below low becomes low, above high becomes high; NaN stays."""
    for g in grads:
        np.clip(g, low, high, out=g)


def _norm(arrays: Arrays) -> float:
    """Euclidean norm of all elements together, in float64."""
    return float(np.sqrt(sum(np.sum(np.square(a, dtype=np.float64)) for a in arrays)))


def _scale(grads: Arrays, norm: float, max_norm: float) -> None:
    if norm > max_norm:
        for g in grads:
            g *= g.dtype.type(max_norm / norm)


def clip_by_norm(grads: Arrays, max_norm: float) -> None:
    """Each array whose Euclidean norm is above max_norm is scaled to max_norm."""
    for g in grads:
        _scale([g], _norm([g]), max_norm)


def clip_by_global_norm(grads: Arrays, max_norm: float) -> np.ndarray:
    """Scale all arrays so that their common Euclidean norm is max_norm, if it is above (Pascanu et al. 2013).

    The arrays may be of both real types. Returns the norm before scaling, float64 of shape ().
    """
    norm = _norm(grads)
    _scale(grads, norm, max_norm)
    return np.array(norm)
