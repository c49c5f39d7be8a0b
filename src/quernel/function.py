"""Differentiable functions written by users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from quernel.autograd import Node
from quernel.tensor import Tensor

__all__ = ["Function"]


class Function:
    """A differentiable function of your own.

    Subclass it with two static methods on plain NumPy arrays and call it with ``MyFunction.apply(...)``:

    - ``forward(ctx, *arrays, **static)`` returns an array or a tuple of arrays. Positional arguments that
      were tensors arrive as arrays, others as they are; keyword arguments are passed through.
    - ``backward(ctx, *douts)`` gets one gradient per output (zeros for an output nobody used) and returns one
      gradient (or None) per positional argument of forward: a tuple if there are several.

    `ctx` carries what backward needs: ``ctx.save(*arrays)`` and ``ctx.saved``, ``ctx.needs`` (per positional
    argument, whether its gradient is wanted), and any attribute you set. The arrays are read-only: make new
    ones.

    Raises
    ------
    TypeError, ValueError : if forward returns no array, or backward the wrong number, type or shape of
        gradients.

    Examples
    --------
    >>> import numpy as np, quernel as qn
    >>> class Cube(qn.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save(x)
    ...         return x ** 3
    ...     @staticmethod
    ...     def backward(ctx, dy):
    ...         (x,) = ctx.saved
    ...         return 3 * x ** 2 * dy
    >>> x = qn.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad.item()
    12.0
    """

    forward: ClassVar[Callable[..., Any]]
    backward: ClassVar[Callable[..., Any]]

    saved: tuple[Any, ...] = ()
    needs: tuple[bool, ...] = ()

    def save(self, *arrays: Any) -> None:
        """Keep arrays for backward, where they are ``ctx.saved``; freed with the graph."""
        self.saved = arrays

    @classmethod
    def apply(cls, *inputs: Any, **static: Any) -> Any:
        """Call the function on tensors (or values): a tensor or a tuple of tensors, recorded for backward."""
        for name, value in static.items():
            if isinstance(value, Tensor) and value.requires_grad:
                raise TypeError(
                    f"{cls.__qualname__}.apply: {name} is a tensor that requires a gradient; keyword "
                    "arguments get none. Pass it as a positional argument, or detach() it."
                )
        return _Custom.apply(cls, *inputs, **static)


class _Custom(Node):
    """Runs a user's `Function`, and checks what it returns."""

    __slots__ = ()
    hands_over = False

    @staticmethod
    def forward(ctx: _Custom, cls: type[Function], *arrays: Any, **static: Any) -> Any:
        user = cls()
        user.needs = ctx.needs[1:]
        shapes = [(x.shape, x.dtype) if isinstance(x, np.ndarray) else None for x in arrays]
        ctx.saved = (user, shapes)
        name = cls.__qualname__
        y = cls.forward(user, *[_read_only(x) if isinstance(x, np.ndarray) else x for x in arrays], **static)
        for out in y if type(y) is tuple else (y,):
            if not isinstance(out, np.ndarray | np.generic):
                raise TypeError(
                    f"{name}.forward: expected an array or a tuple of arrays to be returned, got "
                    f"{type(out).__name__}. Work on the NumPy arrays that forward receives and return them "
                    "unwrapped."
                )
        return y

    @staticmethod
    def backward(ctx: _Custom, *douts: np.ndarray) -> tuple[Any, ...]:
        user, shapes = ctx.saved
        name = type(user).__qualname__
        grads = type(user).backward(user, *[_read_only(dout) for dout in douts])
        if type(grads) is not tuple:
            grads = (grads,)
        if len(grads) != len(shapes):
            raise ValueError(
                f"{name}.backward: expected {len(shapes)} gradients, one per positional argument of forward "
                f"(None where there is none), got {len(grads)}."
            )
        checked: list[Any] = [None]
        for index, (grad, like, needed) in enumerate(zip(grads, shapes, user.needs, strict=True)):
            if grad is None or not needed:
                checked.append(None)
                continue
            shape, dtype = like
            if not isinstance(grad, np.ndarray | np.generic) or grad.dtype.kind != "f":
                raise TypeError(
                    f"{name}.backward: expected the gradient of argument {index} to be a {dtype} array, got "
                    f"{getattr(grad, 'dtype', type(grad).__name__)}."
                )
            if grad.shape != shape:
                raise ValueError(
                    f"{name}.backward: expected the gradient of argument {index} to have that argument's "
                    f"shape {shape}, got {grad.shape}. Sum it over the axes that were broadcast, or reshape "
                    "it."
                )
            checked.append(np.asarray(grad, dtype))
        return tuple(checked)


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
