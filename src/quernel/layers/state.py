"""Finding the weights in a tree of layers, and moving their values in and out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from quernel import backend as B
from quernel.autograd import mark_changed
from quernel.tensor import Parameter, Tensor

# How many names a message lists before it says "and n more".
SHOWN = 8


class Buffer(Tensor):
    """A tensor that belongs to a layer and is saved with it, but is not trained (a running mean, a table).

    >>> import numpy as np
    >>> from quernel import layers
    >>> class Counter(layers.Layer):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.seen = layers.Buffer(np.zeros(1, np.float32))
    >>> list(Counter().state_dict())
    ['seen']
    """

    __slots__ = ()


class Tree:
    """Something whose attributes hold Parameters, Buffers and other trees, also in lists, tuples and dicts.

    Attributes are looked through when asked for, so a list may grow after it was assigned. An entry's name is
    its path: ``encoder.blocks.0.kernel``. Whatever is reached twice counts once, under its first name.
    """

    @property
    def label(self) -> str:
        """How this tree is called in messages."""
        return type(self).__name__

    @property
    def awaits_build(self) -> bool:
        """True while weights of its own are still to be made."""
        return False

    def members(self) -> Iterator[tuple[str, Tensor | Tree]]:
        """What this tree holds directly, by name. A container may override it to shorten the names."""
        for name, value in vars(self).items():
            yield from _inside(name, value)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Tensor | Tree]]:
        """This tree and all that is below it by path, each once, parents first."""
        seen = {id(self)}
        yield prefix, self
        open_: list[tuple[str, Iterator[tuple[str, Tensor | Tree]]]] = [(prefix, self.members())]
        while open_:
            above, rest = open_[-1]
            name, value = next(rest, ("", None))
            if value is None:
                open_.pop()
            elif id(value) not in seen:
                seen.add(id(value))
                path = f"{above}.{name}" if above else name
                yield path, value
                if isinstance(value, Tree):
                    open_.append((path, value.members()))

    def named_weights(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and Buffers by path.

        Raises
        ------
        ValueError : a layer has not been built, so its weights do not exist yet.
        """
        for path, value in self.walk(prefix):
            if isinstance(value, Tensor):
                yield path, value
            elif value.awaits_build:
                raise ValueError(
                    f"{value.label} has no weights yet: their sizes follow from the first input. Call the "
                    "model once, or model.build(input_shape), before you ask for its parameters or give them "
                    "to an optimizer"
                )

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Parameters by path, trainable or not."""
        return ((path, value) for path, value in self.named_weights(prefix) if isinstance(value, Parameter))

    def parameters(self) -> list[Parameter]:
        """All Parameters, for an optimizer."""
        return [parameter for _, parameter in self.named_parameters()]

    def trainable_parameters(self) -> list[Parameter]:
        """The Parameters that training changes."""
        return [parameter for parameter in self.parameters() if parameter.trainable]

    @property
    def buffers(self) -> list[Buffer]:
        """The tensors that are saved but not trained."""
        return [weight for _, weight in self.named_weights() if isinstance(weight, Buffer)]

    def count_params(self) -> int:
        """Numbers held in Parameters and Buffers."""
        return sum(weight.size for _, weight in self.named_weights())

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for _, value in self.walk():
            if isinstance(value, Parameter):
                value.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every weight by path: later training does not change it."""
        return {path: B.copy(weight.data) for path, weight in self.named_weights()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Set the weights from what `state_dict` returned. All is checked before anything is changed.

        Parameters
        ----------
        state : arrays or Tensors by path; their dtype is converted.
        strict : refuse missing and unexpected names; False loads the names that both sides have.

        Raises
        ------
        ValueError : names or shapes that do not fit (all are listed), or weights that do not exist yet.
        """
        own = dict(self.named_weights())
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        values = {name: _array(state[name]) for name in own if name in state}
        wrong = [
            f"{name} (expected {own[name].shape}, got {value.shape})"
            if value.dtype.kind in "fiub"
            else f"{name} (expected numbers, got {value.dtype})"
            for name, value in values.items()
            if value.shape != own[name].shape or value.dtype.kind not in "fiub"
        ]
        if wrong or (strict and (missing or unexpected)):
            rows = {"missing": missing, "unexpected": unexpected, "of another kind": wrong}
            raise ValueError(
                f"{self.label}: the state does not fit, and nothing was loaded."
                + "".join(f"\n  {kind}: {_shown(names)}" for kind, names in rows.items() if names)
                + "\nBuild the model with the arguments it was saved with"
                + ("; strict=False loads only the names that both sides have" if strict and not wrong else "")
            )
        for name, value in values.items():
            B.assign(own[name].data, np.asarray(value, own[name].dtype))
        mark_changed(own[name] for name in values)


def _inside(path: str, value: Any) -> Iterator[tuple[str, Tensor | Tree]]:
    if isinstance(value, Parameter | Buffer | Tree):
        yield path, value
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _inside(f"{path}.{index}", entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _inside(f"{path}.{key}", entry)


def _array(value: Any) -> np.ndarray:
    return value.data if isinstance(value, Tensor) else np.asarray(value)


def _shown(names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
