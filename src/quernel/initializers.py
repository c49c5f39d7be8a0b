"""First values of weights: any callable ``(shape, dtype) -> array``. Names and definitions are Keras's.

Fans: ``in`` and ``out`` of a matrix ``(in, out)``; ``KH·KW·C`` and ``KH·KW·K`` of filters ``(KH, KW, C, K)``.
All draws come from `quernel.random`, so `quernel.random.seed` repeats them, unless an initializer has a seed
of its own: then it gives the same values each time.

>>> import quernel as qn
>>> from quernel import initializers
>>> w = initializers.GlorotUniform(seed=0)((3, 5), "float32")
>>> w.shape, bool(abs(w).max() <= (6 / 8) ** 0.5)
((3, 5), True)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from quernel import naming, random

Shape = tuple[int, ...]


class Initializer:
    """Base class: a subclass says in `draw` which float64 values a shape gets."""

    seed: int | None = None

    def draw(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """Values of the given shape, in any real dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define draw(shape, generator)")

    def __call__(self, shape: Shape, dtype: Any = "float32") -> np.ndarray:
        generator = random.numpy_generator() if self.seed is None else np.random.default_rng(self.seed)
        return np.array(self.draw(tuple(shape), generator), dtype, order="C")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return naming.config_of(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class Constant(Initializer):
    """`value` everywhere: a number, or an array that broadcasts to the weight's shape."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def draw(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        value = np.asarray(self.value)
        try:
            return np.broadcast_to(value, shape)
        except ValueError:
            raise ValueError(
                f"Constant: an array of shape {value.shape} does not fit a weight of shape {shape}"
            ) from None


class Zeros(Initializer):
    """0 everywhere."""

    def draw(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        return np.zeros(shape)


class Ones(Initializer):
    """1 everywhere."""

    def draw(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        return np.ones(shape)


class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        return generator.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomNormal):
    """Normal whose values further than two standard deviations from the mean are drawn again."""

    def draw(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        return self.mean + self.stddev * _truncated(shape, generator)


class RandomUniform(Initializer):
    """Uniform in ``[minval, maxval)``."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def draw(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        return generator.uniform(self.minval, self.maxval, shape)


class VarianceScaling(Initializer):
    """Variance ``scale / fan``, fan being ``fan_in``, ``fan_out`` or their mean ``fan_avg``.

    distribution : ``"truncated_normal"``, ``"untruncated_normal"`` or ``"uniform"``.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        if not scale > 0:
            raise ValueError(f"VarianceScaling: expected scale > 0, got {scale}")
        naming.resolve("mode", mode, dict.fromkeys(("fan_in", "fan_out", "fan_avg")))
        naming.resolve("distribution", distribution, _DISTRIBUTIONS)
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

    def draw(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        deviation = math.sqrt(self.scale / max(1.0, fan))
        return deviation * _DISTRIBUTIONS[self.distribution](shape, generator)


class GlorotUniform(VarianceScaling):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal of variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform in ±sqrt(6 / fan_in) (He et al. 2015)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal of variance 2 / fan_in (He et al. 2015)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform in ±sqrt(3 / fan_in) (LeCun et al. 1998)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal of variance 1 / fan_in (LeCun et al. 1998)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


class Orthogonal(Initializer):
    """`gain` times a matrix with orthonormal rows or columns (Saxe et al. 2014).

    A weight of more than two axes is seen as a matrix ``(all but the last, last)``.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = gain, seed

    def draw(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal needs a weight of at least two axes, got shape {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(generator.normal(size=(max(rows, columns), min(rows, columns))))
        q = q * np.where(
            np.diag(r) < 0, -1.0, 1.0
        )  # makes the draw uniform over orthogonal matrices (Mezzadri 2007)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


def fans(shape: Shape) -> tuple[float, float]:
    """Inputs and outputs that a weight of this shape connects (see the head of this module)."""
    if len(shape) < 2:
        return (float(shape[0]), float(shape[0])) if shape else (1.0, 1.0)
    receptive = math.prod(shape[:-2])
    return float(receptive * shape[-2]), float(receptive * shape[-1])


# The standard deviation of a standard normal cut at ±2: sqrt(1 - 4 φ(2) / (2 Φ(2) - 1)).
_TRUNCATED_STDDEV = 0.8796256610342398


def _truncated(shape: Shape, generator: np.random.Generator) -> np.ndarray:
    values = generator.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = generator.standard_normal(int(outside.sum()))
    return values


# Draws of variance 1.
_DISTRIBUTIONS: dict[str, Callable[[Shape, np.random.Generator], np.ndarray]] = {
    "truncated_normal": lambda shape, generator: _truncated(shape, generator) / _TRUNCATED_STDDEV,
    "untruncated_normal": lambda shape, generator: generator.standard_normal(shape),
    "uniform": lambda shape, generator: generator.uniform(-math.sqrt(3), math.sqrt(3), shape),
}

_CLASSES = (
    Constant, Zeros, Ones, RandomNormal, TruncatedNormal, RandomUniform, VarianceScaling, GlorotUniform,
    GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal,
)  # fmt: skip
TABLE = {**naming.table_of(*_CLASSES), "uniform": RandomUniform, "normal": RandomNormal}


def get(spec: Any) -> Callable[[Shape, Any], np.ndarray]:
    """The initializer meant by a name (``"he_normal"`` or ``"HeNormal"``), an object or a callable."""
    return naming.get_object("initializer", spec, TABLE)
