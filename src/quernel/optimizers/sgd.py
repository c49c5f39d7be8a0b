"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quernel import backend as B
from quernel.optimizers.base import Arrays, LearningRate, Optimizer, Options, Parameters, checked


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    With ``g`` the gradient: ``g += weight_decay * p; v = momentum * v + g; p -= learning_rate * v``, and with
    Nesterov's correction ``p -= learning_rate * (g + momentum * v)``. Polyak 1964; Sutskever et al. 2013, "On
    the importance of initialization and momentum in deep learning".

    Parameters
    ----------
    learning_rate : number or schedule. Default 0.01.
    parameters, weight_decay, clipnorm, clipvalue, global_clipnorm : see `Optimizer`.
    momentum : from 0 (default: none) to below 1.
    nesterov : Nesterov's correction; needs a momentum. Default False.

    Raises
    ------
    ValueError : for a value out of range, or `nesterov` without momentum; else see `Optimizer`.

    Examples
    --------
    >>> import quernel as qn
    >>> model = qn.Sequential([qn.layers.Dense(3)])
    >>> _ = model.build((None, 2))
    >>> optimizer = SGD(0.1, model.parameters(), momentum=0.9)
    """

    SLOTS = ("velocity",)

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        parameters: Parameters | None = None,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        options = {
            "learning_rate": learning_rate,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
        }
        super().__init__(options, parameters, clipnorm, clipvalue, global_clipnorm)

    def check(self, options: Options) -> None:
        super().check(options)
        momentum = checked(self, "momentum", options["momentum"], 0, below=1)
        if options["nesterov"] and momentum == 0:
            raise ValueError(
                "SGD: nesterov=True corrects the momentum, so it needs one, such as momentum=0.9"
            )

    def slots(self, options: Options) -> tuple[str, ...]:
        return self.SLOTS if options["momentum"] else ()

    def hyper(self, options: Options, step: int) -> list[float]:
        names = ("learning_rate", "momentum", "nesterov", "weight_decay")
        return [float(options[name]) for name in names]

    def update(self, params: Arrays, grads: Arrays, slots: Mapping[str, Arrays], hyper: np.ndarray) -> None:
        B.sgd_update(params, grads, slots.get("velocity"), hyper)
