"""Names: looking things up by name with helpful errors, and numbering layers the way Keras does."""

from __future__ import annotations

import difflib
import inspect
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

_used: Counter[str] = Counter()


def suggest(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name nearest to `name` (if any is near) and the list of all.

    >>> suggest("rleu", ["relu", "tanh"])
    "did you mean 'relu'? Known: relu, tanh"
    """
    known = sorted(known)
    folded = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), list(folded), n=1)
    hint = f"did you mean {folded[near[0]]!r}? " if near else ""
    return f"{hint}Known: {', '.join(known)}"


def resolve(kind: str, name: str, table: Mapping[str, T]) -> T:
    """The entry called `name`; `kind` says what it is in the error ("activation", "optimizer" ...).

    Raises
    ------
    ValueError : no such entry; the message has the nearest name and the list of all.

    >>> resolve("activation", "relu", {"relu": 1})
    1
    >>> resolve("activation", "rleu", {"relu": 1})
    Traceback (most recent call last):
    ValueError: unknown activation 'rleu': did you mean 'relu'? Known: relu
    """
    if name not in table:
        raise ValueError(f"unknown {kind} {name!r}: {suggest(name, table)}")
    return table[name]


def get_object(kind: str, spec: Any, table: Mapping[str, Any]) -> Any:
    """What a user meant by `spec`: a name, a class, an object, a callable, or a dict made by `serialize`.

    Names and classes are called without arguments; anything else that can be called is returned as it is.

    Raises
    ------
    ValueError : unknown name.
    TypeError : not something that can be called.
    """
    if isinstance(spec, str):
        return resolve(kind, spec, table)()
    if isinstance(spec, Mapping) and "class_name" in spec:
        return resolve(kind, spec["class_name"], table)(**spec.get("config", {}))
    if inspect.isclass(spec):
        return spec()
    if callable(spec):
        return spec
    raise TypeError(
        f"expected the {kind} as a name, an object or a callable, got {spec!r}: {suggest('', table)}"
    )


def table_of(*classes: type) -> dict[str, Any]:
    """Each class under its own name and under the name in snake case."""
    return {name: cls for cls in classes for name in (cls.__name__, snake_case(cls.__name__))}


def config_of(thing: Any) -> dict[str, Any]:
    """The constructor arguments of an object that keeps each of them in an attribute of the same name."""
    return {name: getattr(thing, name) for name in inspect.signature(type(thing)).parameters}


def serialize(value: Any) -> Any:
    """`value` in a form that JSON can hold: objects with `get_config` become ``{"class_name", "config"}``."""
    if hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": serialize(value.get_config())}
    if isinstance(value, Mapping):
        return {str(key): serialize(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [serialize(entry) for entry in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return getattr(value, "__name__", value)


def snake_case(class_name: str) -> str:
    """``BatchNormalization`` -> ``batch_normalization``, ``Conv2D`` -> ``conv2d``, ``LSTM`` -> ``lstm``."""
    split = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", split).lower()


def unique_name(prefix: str) -> str:
    """`prefix` the first time, then ``prefix_1``, ``prefix_2`` ..."""
    _used[prefix] += 1
    return prefix if _used[prefix] == 1 else f"{prefix}_{_used[prefix] - 1}"


def reset_names() -> None:
    """Start numbering again, so that the next `Conv2D` is called ``conv2d``."""
    _used.clear()
