"""Learning rates that change with the step: callables from the number of updates done so far to a rate.

An optimizer takes one wherever it takes a learning rate:

>>> from quernel import optimizers, schedules
>>> optimizer = optimizers.SGD(schedules.CosineDecay(0.1, decay_steps=1000))
>>> optimizer.learning_rate
0.1

Any callable ``step -> float`` does as well; those here check their arguments and carry Keras's names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["CosineDecay", "ExponentialDecay", "LearningRateSchedule", "PiecewiseConstantDecay"]


def _checked(where: str, name: str, value: float, minimum: float, *, open_end: bool = False) -> float:
    """The value as a float, if it is a finite number not below (or, with an open end, above) the minimum."""
    if not math.isfinite(value) or value < minimum or (open_end and value == minimum):
        bound = "above" if open_end else "at least"
        raise ValueError(f"{where}: {name} must be a number {bound} {minimum:g}, got {value}")
    return float(value)


class LearningRateSchedule:
    """Base of the schedules: a subclass defines ``__call__(step) -> float``, step counting from 0."""

    def __call__(self, step: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step)")


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : rate at step 0, at least 0.
    decay_steps : steps in which the rate is multiplied by `decay_rate` once, above 0.
    decay_rate : factor, above 0.
    staircase : whether the exponent is rounded down: one drop every `decay_steps`. Default False.

    Raises
    ------
    ValueError : for a number out of these ranges.

    Examples
    --------
    >>> rate = ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)
    >>> rate(0), rate(200)
    (0.1, 0.025)
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = _checked(
            "ExponentialDecay", "initial_learning_rate", initial_learning_rate, 0
        )
        self.decay_steps = _checked("ExponentialDecay", "decay_steps", decay_steps, 0, open_end=True)
        self.decay_rate = _checked("ExponentialDecay", "decay_rate", decay_rate, 0, open_end=True)
        self.staircase = staircase

    def __call__(self, step: int) -> float:
        exponent = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (
            math.floor(exponent) if self.staircase else exponent
        )


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate down to ``alpha`` times it, after a linear warm-up if asked for.

    Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts" (without the restarts).

    Parameters
    ----------
    initial_learning_rate : rate at step 0, at least 0.
    decay_steps : steps that the decay takes, above 0; they begin after the warm-up. Then the rate stays.
    alpha : last rate as a fraction of the one that the decay starts from. Default 0.
    warmup_target : rate at the end of the warm-up, from which the decay starts. Default None: no warm-up.
    warmup_steps : steps of the linear way from `initial_learning_rate` to `warmup_target`. Default 0.

    Raises
    ------
    ValueError : for a number out of range, or `warmup_steps` without `warmup_target`.

    Examples
    --------
    >>> rate = CosineDecay(0.0, decay_steps=100, warmup_target=0.1, warmup_steps=10)
    >>> rate(0), rate(5), rate(10), round(rate(60), 6), rate(500)
    (0.0, 0.05, 0.1, 0.05, 0.0)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        where = "CosineDecay"
        self.initial_learning_rate = _checked(where, "initial_learning_rate", initial_learning_rate, 0)
        self.decay_steps = _checked(where, "decay_steps", decay_steps, 0, open_end=True)
        self.alpha = _checked(where, "alpha", alpha, 0)
        self.warmup_steps = int(_checked(where, "warmup_steps", warmup_steps, 0))
        if warmup_target is None and warmup_steps:
            raise ValueError(f"{where}: warmup_steps={warmup_steps} needs warmup_target, the rate it ends at")
        self.warmup_target = (
            None if warmup_target is None else _checked(where, "warmup_target", warmup_target, 0)
        )

    def __call__(self, step: int) -> float:
        top, steps = self.initial_learning_rate, 0
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, steps = self.warmup_target, self.warmup_steps
        done = min(step - steps, self.decay_steps) / self.decay_steps
        return top * (self.alpha + (1 - self.alpha) * 0.5 * (1 + math.cos(math.pi * done)))


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` up to and with step ``boundaries[0]``, ``values[1]`` up to ``boundaries[1]``, and so on.

    Parameters
    ----------
    boundaries : increasing step numbers.
    values : rates, one more than boundaries, each at least 0.

    Raises
    ------
    ValueError : for a wrong count of values, boundaries that do not increase, or a negative rate.

    Examples
    --------
    >>> rate = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> rate(100), rate(101), rate(1000)
    (0.1, 0.01, 0.001)
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        where = "PiecewiseConstantDecay"
        self.boundaries = list(boundaries)
        if len(values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{where}: {len(self.boundaries)} boundaries make {len(self.boundaries) + 1} intervals, "
                f"so values must have as many rates, got {len(values)}"
            )
        if any(right <= left for left, right in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"{where}: boundaries must increase, got {self.boundaries}")
        self.values = [_checked(where, f"values[{i}]", value, 0) for i, value in enumerate(values)]

    def __call__(self, step: int) -> float:
        passed = sum(step > boundary for boundary in self.boundaries)
        return self.values[passed]
