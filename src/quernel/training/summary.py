"""The table that `Model.summary` prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from quernel.layers.base import Layer

if TYPE_CHECKING:
    from quernel.training.model import Model

GAP = "  "


def summarize(model: Model) -> str:
    """Each layer with its output shape (of a stack whose input shape is known) and parameters; totals."""
    rows = [("Layer (type)", "Output shape", "Parameters")]
    # Only in a stack does the order of the layers say what shape each one gets.
    shape: Any = model.input_shape if isinstance(model, Iterable) else None
    for _, layer in model.members():
        if not isinstance(layer, Layer):
            continue
        if shape is not None:
            shape = layer.compute_output_shape(shape)
        built = not any(isinstance(part, Layer) and part.awaits_build for _, part in layer.walk())
        count = f"{layer.count_params():,}" if built else "not built yet"
        rows.append((f"{layer.name} ({type(layer).__name__})", "-" if shape is None else str(shape), count))
    return "\n".join([model.label, *_table(rows), *_totals(model)])


def _table(rows: list[tuple[str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        GAP.join((row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2].rjust(widths[2]))) for row in rows
    ]
    rule = "-" * len(lines[0])
    return [rule, lines[0], rule, *lines[1:], rule]


def _totals(model: Model) -> list[str]:
    if any(isinstance(part, Layer) and part.awaits_build for _, part in model.walk()):
        return ["Build the model for its totals: model.build(input_shape), or call it once."]
    total = model.count_params()
    trainable = sum(parameter.size for parameter in model.trainable_parameters())
    size = sum(weight.data.nbytes for _, weight in model.named_weights())
    return [
        f"Parameters: {total:,} ({size / 1e6:.2f} MB), trainable {trainable:,}, fixed {total - trainable:,}"
    ]
