"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quernel import backend as B
from quernel.optimizers.base import Arrays, LearningRate, Optimizer, Options, Parameters, checked


class Adam(Optimizer):
    """Steps along the running mean of the gradient over the root of the running mean of its square.

    ``m = beta_1 * m + (1 - beta_1) * g; v = beta_2 * v + (1 - beta_2) * g**2; p -= learning_rate * m_hat /
    (sqrt(v_hat) + epsilon)``, the hats correcting for the start at 0. Weight decay is added to the gradient.
    Kingma and Ba 2015, "Adam: a method for stochastic optimization"; Reddi et al. 2018 (amsgrad).

    Parameters
    ----------
    learning_rate : number or schedule. Default 0.001.
    parameters, weight_decay, clipnorm, clipvalue, global_clipnorm : see `Optimizer`.
    beta_1, beta_2 : decay of the running means, from 0 to below 1. Default 0.9 and 0.999.
    epsilon : added to the root, at least 0. Default 1e-7.
    amsgrad : whether the largest v so far divides. Default False.

    Raises
    ------
    ValueError : for a value out of range; else see `Optimizer`.

    Examples
    --------
    >>> Adam(learning_rate=2e-3).learning_rate
    0.002
    """

    SLOTS = ("m", "v", "vmax")
    decoupled = False

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        parameters: Parameters | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float = 0.0,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        options = {
            "learning_rate": learning_rate,
            "beta_1": beta_1,
            "beta_2": beta_2,
            "epsilon": epsilon,
            "amsgrad": amsgrad,
            "weight_decay": weight_decay,
        }
        super().__init__(options, parameters, clipnorm, clipvalue, global_clipnorm)

    def check(self, options: Options) -> None:
        super().check(options)
        checked(self, "beta_1", options["beta_1"], 0, below=1)
        checked(self, "beta_2", options["beta_2"], 0, below=1)
        checked(self, "epsilon", options["epsilon"], 0)

    def slots(self, options: Options) -> tuple[str, ...]:
        return self.SLOTS if options["amsgrad"] else ("m", "v")

    def hyper(self, options: Options, step: int) -> list[float]:
        names = ("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay")
        return [*(float(options[name]) for name in names), float(self.decoupled), float(step)]

    def update(self, params: Arrays, grads: Arrays, slots: Mapping[str, Arrays], hyper: np.ndarray) -> None:
        B.adam_update(params, grads, slots["m"], slots["v"], slots.get("vmax"), hyper)


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters instead of entering the running means.

    ``p *= 1 - learning_rate * weight_decay`` before the step. Loshchilov and Hutter 2019, "Decoupled weight
    decay regularization". Arguments as for `Adam`, but `weight_decay` is 0.004 by default.

    Examples
    --------
    >>> AdamW(1e-3, weight_decay=0.01).learning_rate
    0.001
    """

    decoupled = True

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        parameters: Parameters | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            parameters,
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
        )
