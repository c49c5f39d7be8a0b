"""What all optimizers share: groups of parameters, clipping, schedules, state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import is_
from typing import Any, ClassVar

import numpy as np

from quernel import backend as B
from quernel.autograd import mark_changed
from quernel.optimizers import state
from quernel.tensor import Parameter, Tensor, as_tensor

LearningRate = float | Callable[[int], float]
Parameters = Iterable[Parameter] | Iterable[Mapping[str, Any]]
Arrays = list[np.ndarray]
Options = Mapping[str, Any]


def checked(where: object, name: str, value: Any, minimum: float, below: float = math.inf) -> float:
    """The value, if it is a number from `minimum` (included) to `below` (excluded)."""
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{type(where).__name__}: {name} must be a number, got {value!r}")
    if not minimum <= value < below:
        upper = f" and below {below:g}" if below < math.inf else ""
        raise ValueError(f"{type(where).__name__}: {name} must be at least {minimum:g}{upper}, got {value}")
    return float(value)


@dataclass(slots=True)
class _Batch:
    """What one kernel call updates: parameters of one group, one dtype and one number of updates."""

    options: Options
    step: int
    parameters: list[Parameter]
    grads: Arrays
    slots: dict[str, Arrays]


class Optimizer:
    """Base of the optimizers.

    A subclass hands its options to ``__init__``, names the arrays that it may keep beside a parameter in
    ``SLOTS``, and defines `check` (are the options in range), `slots` (which arrays it does keep), `hyper`
    (the numbers that its kernel reads) and `update` (the call of that kernel).

    Parameters
    ----------
    options : default values of the rule: at least ``learning_rate`` and ``weight_decay``.
    parameters : parameters, usually ``model.parameters()``; or groups, dicts with the parameters under
        ``"params"`` and the options in which the group differs, ``{"params": [...], "learning_rate": 1e-4}``.
        Default None: they come later, by `add_param_group` (``model.fit`` does it).
    clipnorm : largest norm of each gradient; a longer one is scaled. Default None: no limit. So the next two.
    clipvalue : largest absolute value of a gradient's element; a larger one is cut.
    global_clipnorm : largest norm of all gradients together; longer ones are scaled together. At most one of
        the three may be given.

    Raises
    ------
    ValueError : for an option out of range, no parameters (a model not built yet), a parameter given twice.
    TypeError : for something else than parameters.

    Notes
    -----
    The learning rate may be a schedule: a callable from the number of steps done to a rate (see
    `quernel.schedules`). Parameters without gradient, or with ``trainable`` False, are left alone. A
    parameter's constraint is applied after the step. Its regularizer is a part of the loss, not of the step.
    """

    SLOTS: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        options: Options,
        parameters: Parameters | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = {name: value for name, value in clips.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"{self.name}: one way of clipping at a time, got {' and '.join(given)}")
        for name, value in given.items():
            if checked(self, name, value, 0) == 0:
                raise ValueError(
                    f"{self.name}: {name}=0 would undo every gradient; give a positive limit or None"
                )
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.options = dict(options)
        self.iterations = 0  # steps done
        self.param_groups: list[dict[str, Any]] = []
        self.slots_of: dict[int, dict[str, np.ndarray]] = {}  # arrays of each parameter, by its id
        self._last_options: dict[int, tuple[Any, ...]] = {}  # of each group, as last checked
        self.updates_of: dict[int, int] = {}  # how often each parameter was updated, by its id
        self._hyper: dict[tuple[object, ...], np.ndarray] = {}  # stays where it is: programs point at it
        self.check(self.current({}))
        if parameters is not None:
            for group in self._groups(parameters):
                self.add_param_group(group)

    @property
    def name(self) -> str:
        return type(self).__name__

    # What a subclass defines.

    def check(self, options: Options) -> None:
        """Raise ValueError or TypeError for options out of range; the learning rate is a number here."""
        checked(self, "learning_rate", options["learning_rate"], 0)
        checked(self, "weight_decay", options["weight_decay"], 0)

    def slots(self, options: Options) -> tuple[str, ...]:
        """Names of the arrays kept for each parameter, of ``SLOTS``; they start at 0."""
        return self.SLOTS

    def hyper(self, options: Options, step: int) -> list[float]:
        """The numbers that the kernel reads, at update number `step` (from 1) of the parameters."""
        raise NotImplementedError(f"{self.name} must define hyper")

    def update(self, params: Arrays, grads: Arrays, slots: Mapping[str, Arrays], hyper: np.ndarray) -> None:
        """Change params and slots in place."""
        raise NotImplementedError(f"{self.name} must define update")

    # Groups and their options.

    def _entries(self, parameters: Any) -> list[Any]:
        if (
            isinstance(parameters, Tensor)
            or hasattr(parameters, "parameters")
            or not hasattr(parameters, "__iter__")
        ):
            hint = "model.parameters()" if hasattr(parameters, "parameters") else "[parameter]"
            raise TypeError(
                f"{self.name}: expected a list of parameters, got {type(parameters).__name__}; pass {hint}"
            )
        return list(parameters)

    def _groups(self, parameters: Parameters | Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The argument as a list of groups."""
        if isinstance(parameters, Mapping):
            return [parameters]
        entries = self._entries(parameters)
        if entries and all(isinstance(entry, Mapping) for entry in entries):
            return entries
        return [{"params": entries}]

    def add_param_group(self, group: Parameters | Mapping[str, Any]) -> None:
        """Add parameters: a list of them, or a dict with the list under "params" and options of their own.

        Raises
        ------
        ValueError, TypeError : as for the class. Nothing is added then.
        """
        (group,) = self._groups(group)
        if "params" not in group:
            raise ValueError(f"{self.name}: a group needs its parameters under 'params', got {sorted(group)}")
        unknown = sorted(set(group) - {"params"} - set(self.options))
        if unknown:
            raise ValueError(
                f"{self.name}: unknown option {unknown[0]!r} of a group; it takes {sorted(self.options)}"
            )
        params = self._entries(group["params"])
        if not params:
            raise ValueError(
                f"{self.name}: got no parameters. Build the model first: a model that has seen no input has "
                "none yet. Call model.build(input_shape), or the model on a batch, before model.parameters()"
            )
        seen = {id(p) for other in self.param_groups for p in other["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Parameter):
                raise TypeError(
                    f"{self.name}: parameters must be Parameters, got {type(p).__name__} at position {i}; "
                    "wrap it, qn.Parameter(x), or pass model.parameters()"
                )
            if id(p) in seen:
                raise ValueError(f"{self.name}: parameter {p.name!r} is given twice; once is enough")
            seen.add(id(p))
        self.check(self.current(group))
        self.param_groups.append({**group, "params": params})

    def current(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """A group's options, the learning rate being the number for the next step."""
        options = {name: group.get(name, default) for name, default in self.options.items()}
        if callable(options["learning_rate"]):
            options["learning_rate"] = float(options["learning_rate"](self.iterations))
        return options

    @property
    def learning_rate(self) -> float:
        """Rate of the next step. Settable, also to a schedule. Groups with a rate of their own keep it."""
        return self.current({})["learning_rate"]

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        self.check(self.current({"learning_rate": value}))
        self.options["learning_rate"] = value

    # The step.

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self) -> None:
        """Update every trainable parameter that has a gradient.

        Raises
        ------
        ValueError : if there are no parameters, or none has a gradient, or one does not fit its gradient or
            its state. Nothing is changed then.
        """
        if not self.param_groups:
            raise ValueError(
                f"{self.name}: no parameters to update; pass {self.name}(parameters=model.parameters())"
            )
        batches = self._batches()
        if not batches:
            raise ValueError(f"{self.name}: no parameter has a gradient; call loss.backward() before step()")
        self._clip([g for batch in batches.values() for g in batch.grads])
        for key, batch in batches.items():
            hyper = self.hyper(batch.options, batch.step)
            memory = self._hyper.get(key)
            if memory is None:
                memory = self._hyper[key] = np.empty(len(hyper))
            memory[:] = hyper
            self.update([p.data for p in batch.parameters], batch.grads, batch.slots, memory)
            for p in batch.parameters:
                self.updates_of[id(p)] = batch.step
        self.iterations += 1
        updated = [p for batch in batches.values() for p in batch.parameters]
        for p in updated:
            if p.constraint is not None:
                B.assign(p.data, self._projected(p))
        mark_changed(updated)

    def _projected(self, p: Parameter) -> np.ndarray:
        allowed = as_tensor(p.constraint(p.detach())).data
        if allowed.shape != p.shape:
            raise ValueError(
                f"{self.name}: the constraint of parameter {p.name!r} must keep its shape {p.shape}, "
                f"got {allowed.shape}"
            )
        return allowed

    def _batches(self) -> dict[tuple[object, ...], _Batch]:
        """What is to be updated, gathered so that one kernel call serves as many parameters as possible."""
        batches: dict[tuple[object, ...], _Batch] = {}
        for index, group in enumerate(self.param_groups):
            options = self._checked(index, self.current(group))
            names = self.slots(options)
            for p in group["params"]:
                if p.grad is None or not p._requires_grad:
                    continue
                number = id(p)
                step = self.updates_of.get(number, 0) + 1
                key = (index, p.data.dtype.char, step - self.iterations)
                batch = batches.get(key)
                if batch is None:
                    batch = batches[key] = _Batch(options, step, [], [], {slot: [] for slot in names})
                batch.parameters.append(p)
                batch.grads.append(self._gradient(p))
                kept = self.slots_of.get(number)
                if kept is None:
                    kept = self.slots_of[number] = {}
                for slot, arrays in batch.slots.items():
                    arrays.append(self._slot(p, kept, slot))
        return batches

    def _checked(self, index: int, options: dict[str, Any]) -> dict[str, Any]:
        """The options of a group, checked unless they are the very objects that were checked before."""
        last = self._last_options.get(index)
        if last is None or not all(map(is_, options.values(), last)):
            self.check(options)
            self._last_options[index] = tuple(options.values())
        return options

    def _gradient(self, p: Parameter) -> np.ndarray:
        if not isinstance(p.grad, Tensor):
            raise TypeError(
                f"{self.name}: the gradient of {p.name!r} must be a tensor, got {type(p.grad).__name__}"
            )
        grad, data = p.grad.data, p.data
        if grad.shape != data.shape or grad.dtype != data.dtype:
            raise ValueError(
                f"{self.name}: parameter {p.name!r} is {p.dtype} {p.shape}, but its gradient is "
                f"{grad.dtype} {grad.shape}"
            )
        return grad if grad.flags.carray else B.copy(grad)

    def _slot(self, p: Parameter, kept: dict[str, np.ndarray], slot: str) -> np.ndarray:
        array, data = kept.get(slot), p.data
        if array is None:
            array = kept[slot] = np.zeros(data.shape, data.dtype)
        if array.shape != data.shape or array.dtype != data.dtype:
            raise ValueError(
                f"{self.name}: parameter {p.name!r} is {p.dtype} {p.shape}, but was {array.dtype} "
                f"{array.shape} at the last step; make a new optimizer for it"
            )
        return array

    def _clip(self, grads: Arrays) -> None:
        if self.clipvalue is not None:
            B.clip_by_value(grads, -self.clipvalue, self.clipvalue)
        if self.clipnorm is not None:
            B.clip_by_norm(grads, self.clipnorm)
        if self.global_clipnorm is not None:
            B.clip_by_global_norm(grads, self.global_clipnorm)

    # State.

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that a later run needs to go on: arrays by name, copied.

        ``"iterations"``; ``"options.name"`` and ``"groups.0.name"`` (but schedules, which are code); and for
        parameter i, counted through all groups, ``"i.updates"`` and its slots, such as ``"i.velocity"``.
        """
        return state.save(self)

    def load_state_dict(self, entries: Mapping[str, np.ndarray]) -> None:
        """Go on from the `state_dict` of an optimizer of the same class with the same parameters and groups.

        Schedules stay those of this optimizer.

        Raises
        ------
        ValueError : if a name, a shape or a number does not fit. Nothing is changed then.
        """
        state.load(self, entries)
