"""What a case is, how its arguments are drawn, and how large its rounding error may be.

A case names one backend function, draws arguments for it and states the error bound that its arithmetic
implies. u = eps / 2 is the unit roundoff. A sum of n rounded terms is off by at most n·u·Σ|terms|, and with
random rounding errors by more than 10·sqrt(n)·u·Σ|terms| practically never (Higham & Mary, "A new approach to
probabilistic rounding error analysis", 2019): `gamma` takes the smaller of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray
# (arguments in float64, outputs of the reference in float64, eps of the type under test) -> error allowed
# per output
Bound = Callable[[Sequence[Any], Sequence[Array], float], Sequence[Any]]

# Sizes round the widths of the vectors (4, 8, 16 lanes, and the two or three vectors of a tile), and small
# primes.
WIDTHS = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)


class Draw:
    """Random arguments of one real type from one generator."""

    def __init__(self, rng: np.random.Generator, dtype: Any) -> None:
        self.rng, self.dtype = rng, np.dtype(dtype)

    def normal(self, *shape: int, mean: float = 0.0, std: float = 1.0) -> Array:
        return self.rng.normal(mean, std, shape).astype(self.dtype)

    def uniform(self, low: float, high: float, *shape: int) -> Array:
        return self.rng.uniform(low, high, shape).astype(self.dtype)

    def integers(self, high: int, *shape: int, dtype: Any = np.int64) -> Array:
        """From 0 to high - 1."""
        return self.rng.integers(0, high, shape).astype(dtype)

    def ties(self, *shape: int) -> Array:
        """A few different values only, so that maxima are shared."""
        return self.rng.integers(-2, 3, shape).astype(self.dtype)

    def state(self) -> Array:
        """State of the counter-based generator: seed and offset."""
        return self.rng.integers(0, 2**40, 2).astype(np.uint64)

    def special(self, *shape: int) -> Array:
        """Normal numbers with zeros of both signs, infinities, NaN and the ends of the range among them."""
        x = self.normal(*shape)
        limits = np.finfo(self.dtype)
        values = np.array(
            [0.0, -0.0, np.inf, -np.inf, np.nan, limits.max, limits.min, limits.tiny, 1.0, -1.0]
        )
        where = self.rng.random(shape) < 0.5
        return np.where(where, self.rng.choice(values, shape), x).astype(self.dtype)


@dataclass(frozen=True)
class Case:
    """One call of one backend function.

    function  name of the function, the same in `quernel.kernels` and `quernel.reference`
    name      what is special about this case; function and name together are unique
    make      draws the positional arguments
    bound     error allowed in each output, absolute
    in_place  positions of arguments that the function updates (they count as outputs, after the results)
    contiguous  positions of arguments that have to be contiguous
    rows      positions of arguments whose axis 0 is the batch, for functions used at inference: a row of the
              result must not depend on its neighbours
    same_type compare with the reference in the same real type (random numbers: the bits are the contract)
    flops     floating-point operations of the textbook algorithm
    elements  array elements that have to be read or written at least once
    """

    function: str
    name: str
    make: Callable[[Draw], list[Any]]
    bound: Bound
    in_place: tuple[int, ...] = ()
    contiguous: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    same_type: bool = False
    flops: float = 0.0
    elements: float = 0.0
    tags: frozenset[str] = field(default_factory=frozenset)

    @property
    def id(self) -> str:
        return f"{self.function}-{self.name}"

    def arguments(self, rng: np.random.Generator, dtype: Any) -> list[Any]:
        return self.make(Draw(rng, dtype))


def gamma(terms: float, eps: float) -> float:
    """Relative error of a sum of so many rounded terms."""
    n = max(terms, 1.0)
    return min(n, 10.0 * n**0.5) * eps / 2


def size(*shape: int) -> float:
    return float(np.prod(shape))


def exact(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
    """No arithmetic: the same bits."""
    return [0.0 for _ in outputs]


def relative(ulps: float, floor: float = 0.0) -> Bound:
    """So many units in the last place of each output, or `floor`·eps where outputs are small."""

    def bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
        return [eps * np.maximum(ulps * np.abs(y), floor) for y in outputs]

    return bound


def magnitudes(value: Any) -> Any:
    """The same arguments with every real array replaced by its absolute value."""
    if isinstance(value, list):
        return [magnitudes(v) for v in value]
    return np.abs(value) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def linear(function: Callable[..., Any], terms: float) -> Bound:
    """For functions linear in each argument: sums of products, so |error| <= gamma ·
    function(|arguments|)."""

    def bound(args: Sequence[Any], outputs: Sequence[Array], eps: float) -> list[Any]:
        largest = function(*magnitudes(list(args)))
        return [gamma(terms + 2, eps) * y for y in (largest if isinstance(largest, tuple) else (largest,))]

    return bound
