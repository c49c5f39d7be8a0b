"""quernel: deep learning on a CPU.

    import quernel as qn
    from quernel import layers, losses, optimizers, datasets

This page is the public surface (``__init__.pyi`` gives its types). Nothing is loaded before its first
use, so that ``import quernel`` costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

# name -> the module it lives in
_HOME = {
    "Function": "function", "is_grad_enabled": "autograd", "no_grad": "autograd",
    "conv_algorithm": "ops.conv", "use_backend": "backend",
    "empty_cache": "runtime", "get_num_threads": "runtime", "info": "runtime", "memory_stats": "runtime",
    "num_threads": "runtime", "set_num_threads": "runtime",
    "Layer": "layers.base",
    "load_tensors": "saving", "save_tensors": "saving",
    # from ops, which gives tensors their operators
    "Parameter": "ops", "Tensor": "ops", "arange": "ops", "as_tensor": "ops", "full": "ops",
    "get_default_dtype": "ops", "ones": "ops", "ones_like": "ops", "set_default_dtype": "ops",
    "tensor": "ops", "zeros": "ops", "zeros_like": "ops",
    "History": "training.history", "Model": "training.model", "Sequential": "training.sequential",
}  # fmt: skip
_MODULES = (
    "activations", "backend", "callbacks", "constraints", "data", "datasets", "initializers", "layers",
    "losses", "metrics", "ops", "optimizers", "random", "regularizers", "saving", "schedules", "testing",
    "training",
)  # fmt: skip

__all__ = ["__version__", *_HOME, *_MODULES]


class _Package(ModuleType):
    """Importing the module ``quernel.tensor`` must not put it where the function of that name belongs."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = globals()[name] = getattr(importlib.import_module(f"quernel.{_HOME[name]}"), name)
        return value
    if name in _MODULES:
        return importlib.import_module(f"quernel.{name}")
    raise AttributeError(f"module 'quernel' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
