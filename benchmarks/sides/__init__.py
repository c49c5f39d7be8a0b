"""One module per library: how it does each kind of work.

A side is a class with ``runs(work, inputs)``, which gives the ways (`benchmarks.work.Run`) in which this
library does that work, none if it cannot. If the inputs hold "dy", work is the forward pass and the
gradients of all real inputs.
"""

from __future__ import annotations

import importlib
from typing import Any

PEERS = ("numpy", "torch", "torch_compile", "jax", "sklearn")


def peer(name: str, threads: int) -> Any:
    """The side of a peer, with so many threads. ImportError if it is not installed."""
    return importlib.import_module(f"benchmarks.sides.{name}_side").Side(threads)
