"""An optimizer's state as arrays by name, and back. See `Optimizer.state_dict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quernel.tensor import Parameter

if TYPE_CHECKING:
    from quernel.optimizers.base import Optimizer


def _numbered(optimizer: Optimizer) -> list[Parameter]:
    """All parameters; their positions are their names in the state."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def _tables(optimizer: Optimizer) -> list[tuple[str, dict[str, Any]]]:
    """The options that all groups share and those of each group, with their prefix in the state."""
    groups = [(f"groups.{i}.", group) for i, group in enumerate(optimizer.param_groups)]
    return [("options.", optimizer.options), *groups]


def save(optimizer: Optimizer) -> dict[str, np.ndarray]:
    entries = {"iterations": np.array(optimizer.iterations)}
    for prefix, options in _tables(optimizer):
        for name, value in options.items():
            if name != "params" and not callable(value):
                entries[prefix + name] = np.array(float(value))
    for i, p in enumerate(_numbered(optimizer)):
        if id(p) in optimizer.updates_of:
            entries[f"{i}.updates"] = np.array(optimizer.updates_of[id(p)])
            entries |= {f"{i}.{slot}": x.copy() for slot, x in optimizer.slots_of.get(id(p), {}).items()}
    return entries


def load(optimizer: Optimizer, entries: Mapping[str, np.ndarray]) -> None:
    """Check everything, then change everything."""
    rest = dict(entries)
    if "iterations" not in rest:
        raise ValueError(f"{optimizer.name}: not the state of an optimizer: it has no entry 'iterations'")
    iterations = _count(optimizer, rest, "iterations")
    tables = [(options, _options(optimizer, rest, prefix, options)) for prefix, options in _tables(optimizer)]
    shared = tables[0][1]
    for _, options in tables:
        optimizer.check(optimizer.current({**shared, **options}))
    updates: dict[int, int] = {}
    slots: dict[int, dict[str, np.ndarray]] = {}
    for i, p in enumerate(_numbered(optimizer)):
        if f"{i}.updates" in rest:
            updates[id(p)] = _count(optimizer, rest, f"{i}.updates")
            slots[id(p)] = _slots(optimizer, rest, i, p)
    if rest:
        raise ValueError(
            f"{optimizer.name}: entry {min(rest)!r} of the state has no place here: this optimizer has "
            f"{len(_numbered(optimizer))} parameters in {len(optimizer.param_groups)} groups"
        )
    for options, new in tables:
        options.update(new)
    optimizer.iterations, optimizer.updates_of, optimizer.slots_of = iterations, updates, slots


def _number(optimizer: Optimizer, rest: dict[str, np.ndarray], key: str) -> float:
    """Take the number called key out of rest."""
    value = np.asarray(rest.pop(key))
    if value.size != 1 or value.dtype.kind not in "iuf":
        raise ValueError(f"{optimizer.name}: entry {key!r} of the state must be one number, got {value!r}")
    return float(value.reshape(()))


def _count(optimizer: Optimizer, rest: dict[str, np.ndarray], key: str) -> int:
    value = _number(optimizer, rest, key)
    if not (value >= 0 and value == int(value)):
        raise ValueError(f"{optimizer.name}: entry {key!r} of the state must be a count, got {value}")
    return int(value)


def _options(
    optimizer: Optimizer, rest: dict[str, np.ndarray], prefix: str, options: dict[str, Any]
) -> dict[str, Any]:
    """The options that rest has for this table, taken out of it; schedules stay."""
    new: dict[str, Any] = {}
    for name, value in options.items():
        if name != "params" and prefix + name in rest:
            number = _number(optimizer, rest, prefix + name)
            if not callable(value):
                new[name] = bool(number) if isinstance(value, bool) else number
    return new


def _slots(optimizer: Optimizer, rest: dict[str, np.ndarray], i: int, p: Parameter) -> dict[str, np.ndarray]:
    """Copies of the arrays that rest has for parameter number i, taken out of it."""
    slots = {}
    for key in [key for key in rest if key.startswith(f"{i}.")]:
        array, slot = np.array(rest.pop(key), order="C"), key.split(".", 1)[1]
        if slot not in optimizer.SLOTS:
            raise ValueError(
                f"{optimizer.name}: entry {key!r} of the state is none of {optimizer.SLOTS}; is the "
                "state that of another optimizer?"
            )
        if array.shape != p.shape or array.dtype != p.dtype:
            raise ValueError(
                f"{optimizer.name}: entry {key!r} of the state is {array.dtype} {array.shape}, but parameter "
                f"{p.name!r} is {p.dtype} {p.shape}; is the state that of another model?"
            )
        slots[slot] = array
    return slots
