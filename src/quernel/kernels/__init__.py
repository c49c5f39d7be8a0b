"""The compiled backend: Cython drives the C tiles, owning memory, blocking, threads and the GIL.

Each stem (gemm, conv, pool ...) is an extension; this page joins their public functions. `launch`, `memory`,
`threads` and `kinds` are what they share and export no operation.
"""

from __future__ import annotations

import importlib
import pkgutil

__all__: list[str] = []

for _stem in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_stem.name}")
    for _function in getattr(_module, "__all__", ()):
        globals()[_function] = getattr(_module, _function)
        __all__.append(_function)
