"""A piece of work that several libraries can do, and what one of them makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, pairwise
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Work:
    """One row of a benchmark.

    kind      the method of a side that does it ("conv", "lstm" ...)
    name      unique within the suite
    inputs    draws the named arrays from (rng, dtype), channels last, as quernel stores them
    spec      the rest of the arguments
    flops     operations of the textbook algorithm; elements: array elements read or written at least once
    tolerance for the check of agreement, relative to the norm of each result
    parts     calls that make up the whole that is timed; 0 if one call is short enough to be repeated
    """

    kind: str
    name: str
    inputs: Callable[[np.random.Generator, Any], dict[str, Array]]
    spec: dict[str, Any] = field(default_factory=dict)
    flops: float = 0.0
    elements: float = 0.0
    tolerance: float = 1e-4
    parts: int = 0


@dataclass(frozen=True)
class Run:
    """How one library does a piece of work: `call` does it (or the next part of it), `read` turns what it
    returned into NumPy arrays in quernel's layout."""

    variant: str
    call: Callable[[], Any]
    read: Callable[[Any], list[Array]]


def slices(rows: int, parts: int) -> Iterator[slice]:
    """Rows cut into so many parts, again and again."""
    edges = [rows * i // parts for i in range(parts + 1)]
    return cycle([slice(start, stop) for start, stop in pairwise(edges)])


def accuracy(scores: Array, y: Array) -> list[Array]:
    """The share of rows whose highest score is that of their class."""
    return [np.array([np.mean(scores.argmax(axis=-1) == y)])]


def disagreement(ours: list[Array], theirs: list[Array]) -> float:
    """The largest norm of a difference, relative to the norm of the result it is in.

    Norms, because one element at a kink (a sum that is 0 but for rounding, before a relu) may differ altogether.
    """
    if [a.shape for a in ours] != [a.shape for a in theirs]:
        return float("inf")
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        apart = float(np.linalg.norm((a.astype(np.float64) - b).ravel()))
        worst = max(worst, apart / max(float(np.linalg.norm(b.ravel())), 1e-30) if apart else 0.0)
        if not np.isfinite(apart):
            return float("inf")
    return worst
