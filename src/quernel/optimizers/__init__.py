"""Optimizers: each turns the gradients of parameters into their next values by one published rule.

>>> import numpy as np
>>> import quernel as qn
>>> w = qn.Parameter(np.array([1.0, 2.0]))
>>> optimizer = qn.optimizers.SGD(0.1, parameters=[w])
>>> (w * w).sum().backward()
>>> optimizer.step()
>>> w.numpy()
array([0.8, 1.6])
"""

from __future__ import annotations

from collections.abc import Callable

from quernel.optimizers.adam import Adam, AdamW
from quernel.optimizers.base import Optimizer
from quernel.optimizers.rmsprop import RMSprop
from quernel.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "get"]

_BY_NAME: dict[str, Callable[[], Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}


def get(identifier: str | Optimizer) -> Optimizer:
    """An optimizer by name ("sgd", "rmsprop", "adam", "adamw"; with its default values), or the one given.

    Raises
    ------
    ValueError : for a name that is none of these.
    TypeError : for anything that is neither a name nor an optimizer.

    Examples
    --------
    >>> get("adam").learning_rate
    0.001
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        if identifier.lower() in _BY_NAME:
            return _BY_NAME[identifier.lower()]()
        raise ValueError(
            f"unknown optimizer {identifier!r}: expected one of {', '.join(map(repr, _BY_NAME))}"
        )
    raise TypeError(
        f"optimizer must be a name or an optimizer, got {identifier!r}; for example optimizers.Adam(1e-3)"
    )
