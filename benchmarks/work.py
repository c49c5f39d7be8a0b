"""A piece of work that several libraries can do, and what one of them makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
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
    tolerance relative to the largest element of each result, for the check of agreement
    """

    kind: str
    name: str
    inputs: Callable[[np.random.Generator, Any], dict[str, Array]]
    spec: dict[str, Any] = field(default_factory=dict)
    flops: float = 0.0
    elements: float = 0.0
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Run:
    """How one library does a piece of work: `call` does it, `read` turns what it returned into NumPy arrays in
    quernel's layout."""

    variant: str
    call: Callable[[], Any]
    read: Callable[[Any], list[Array]]


def disagreement(ours: list[Array], theirs: list[Array]) -> float:
    """The largest difference, relative to the largest element of the result it is in."""
    if [a.shape for a in ours] != [a.shape for a in theirs]:
        return float("inf")
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.size:
            scale = max(float(np.abs(b).max()), 1e-30)
            difference = float(np.abs(a.astype(np.float64) - b).max()) / scale
            worst = max(worst, difference if np.isfinite(difference) else float("inf"))
    return worst
