"""The seam: every computation on tensor data goes through a function of this module.

`quernel.kernels` (compiled) and `quernel.reference` (NumPy) export the same functions with the same signatures.
This module's globals are the functions of the one in use, so that a call costs one attribute look-up:

    from quernel import backend as B
    y = B.matmul(a, b)

The reference is chosen by the environment variable ``QUERNEL_BACKEND=reference`` or by `use_backend`.
"""

from __future__ import annotations

import importlib
import os
from types import TracebackType
from typing import Any

BACKENDS = ("kernels", "reference")

# Activations whose derivative follows from the output alone. They may be fused into the kernel that makes the
# output; the others keep their input for the backward pass.
SAVES_OUTPUT = frozenset({"linear", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "softplus"})

_name = ""


def _bind(name: str) -> None:
    global _name
    if name not in BACKENDS:
        raise ValueError(f"unknown backend {name!r}: expected one of {', '.join(map(repr, BACKENDS))}")
    module = importlib.import_module(f"quernel.{name}")
    globals().update({function: getattr(module, function) for function in module.__all__})
    _name = name


def name() -> str:
    """The backend in use: ``"kernels"`` or ``"reference"``."""
    return _name


class use_backend:
    """Switch the backend, for good (as a call) or for a block (as a context manager).

    Parameters
    ----------
    name : ``"kernels"`` (compiled, the default) or ``"reference"`` (plain NumPy, slow and obvious).

    Raises
    ------
    ValueError : for any other name.

    Examples
    --------
    >>> import quernel as qn
    >>> with qn.use_backend("reference"):
    ...     qn.backend.name()
    'reference'
    """

    def __init__(self, name: str) -> None:
        self._before = _name
        _bind(name)

    def __enter__(self) -> use_backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _bind(self._before)


def __getattr__(attribute: str) -> Any:
    raise AttributeError(f"backend {_name!r} has no function {attribute!r}")


_bind(os.environ.get("QUERNEL_BACKEND", "kernels"))
