"""One table of cases: tests, gradient checks and benchmarks read it.

Each stem of the backends has its module here; `CASES` joins them, `of(function)` picks those of one function.
"""

from __future__ import annotations

from . import (
    activation,
    conv,
    elementwise,
    gemm,
    indexing,
    norm,
    optim,
    pool,
    random,
    recurrent,
    reduce,
    softmax,
)
from .case import Case, Draw, gamma

__all__ = ["CASES", "STEMS", "Case", "Draw", "gamma", "of"]

STEMS = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        gemm, conv, pool, norm, recurrent, softmax, activation, elementwise, reduce, indexing, random, optim
    )
}  # fmt: skip
CASES: tuple[Case, ...] = tuple(case for module in STEMS.values() for case in module.CASES)


def of(function: str) -> tuple[Case, ...]:
    """The cases of one backend function, in order."""
    return tuple(case for case in CASES if case.function == function)
