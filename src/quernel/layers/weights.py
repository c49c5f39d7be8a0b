"""What the weights of a layer are made with."""

from __future__ import annotations

from typing import Any

from quernel import constraints, initializers, regularizers


def weight_options(initializer: Any, regularizer: Any = None, constraint: Any = None) -> dict[str, Any]:
    """Arguments for `Layer.add_weight`; names are looked up here, so that a wrong one is told at once."""
    return {
        "initializer": initializers.get(initializer),
        "regularizer": regularizers.get(regularizer),
        "constraint": constraints.get(constraint),
    }
