"""RMSprop."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quernel import backend as B
from quernel.optimizers.base import Arrays, LearningRate, Optimizer, Options, Parameters, checked


class RMSprop(Optimizer):
    """Gradients divided by the root of a running mean of their squares.

    ``s = rho * s + (1 - rho) * g**2; p -= learning_rate * g / (sqrt(s) + epsilon)``; `centered` subtracts the
    square of the running mean of g from s; with momentum the quotient is accumulated as in SGD. Tieleman and
    Hinton 2012 (lecture 6.5); Graves 2013, "Generating sequences with recurrent neural networks" (centered).

    Parameters
    ----------
    learning_rate : number or schedule. Default 0.001.
    parameters, weight_decay, clipnorm, clipvalue, global_clipnorm : see `Optimizer`.
    rho : decay of the running means, from 0 to below 1. Default 0.9.
    momentum : from 0 (default: none) to below 1.
    epsilon : added to the root, at least 0. Default 1e-7.
    centered : whether the mean is subtracted. Default False.

    Raises
    ------
    ValueError : for a value out of range; else see `Optimizer`.

    Examples
    --------
    >>> RMSprop(1e-3, rho=0.99).learning_rate
    0.001
    """

    SLOTS = ("square", "momentum", "mean")

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        parameters: Parameters | None = None,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float = 0.0,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        options = {
            "learning_rate": learning_rate,
            "rho": rho,
            "momentum": momentum,
            "epsilon": epsilon,
            "centered": centered,
            "weight_decay": weight_decay,
        }
        super().__init__(options, parameters, clipnorm, clipvalue, global_clipnorm)

    def check(self, options: Options) -> None:
        super().check(options)
        checked(self, "rho", options["rho"], 0, below=1)
        checked(self, "momentum", options["momentum"], 0, below=1)
        checked(self, "epsilon", options["epsilon"], 0)

    def slots(self, options: Options) -> tuple[str, ...]:
        momentum = ("momentum",) if options["momentum"] else ()
        return ("square", *momentum, *(("mean",) if options["centered"] else ()))

    def hyper(self, options: Options, step: int) -> list[float]:
        names = ("learning_rate", "rho", "epsilon", "momentum", "weight_decay")
        return [float(options[name]) for name in names]

    def update(self, params: Arrays, grads: Arrays, slots: Mapping[str, Arrays], hyper: np.ndarray) -> None:
        B.rmsprop_update(params, grads, slots["square"], slots.get("momentum"), slots.get("mean"), hyper)
