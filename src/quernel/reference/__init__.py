"""The same functions as `quernel.kernels`, in plain NumPy: slow, obvious, and what the kernels are checked against.

Each stem (gemm, conv, pool ...) is a module; this page joins their public functions.
"""

from __future__ import annotations

import importlib
import pkgutil

__all__: list[str] = []

for _stem in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_stem.name}")
    for _function in _module.__all__:
        globals()[_function] = getattr(_module, _function)
        __all__.append(_function)
