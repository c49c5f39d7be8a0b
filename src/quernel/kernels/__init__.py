"""The compiled backend: Cython drives the C tiles, owning memory, blocking, threads and the GIL.

Each stem (gemm, conv, pool ...) is an extension; this page joins their public functions. `launch`, `memory`,
`threads` and `kinds` are what they share and export no operation.
"""

from __future__ import annotations

import importlib
import os
import pkgutil

__all__: list[str] = []

# A thread that waits for the others at the end of a kernel sleeps at once. GNU OpenMP would have it spin for
# milliseconds, which is ruinous as soon as another process wants the core: see "Waiting" in docs/kernels.md
# for the numbers. It reads this when it is loaded, so the variable is set for that moment only, and only if
# the user has not chosen.
SPIN_COUNT = "0"
_choose = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
if _choose:
    os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
try:
    importlib.import_module(f"{__name__}.launch")
finally:
    if _choose:
        del os.environ["GOMP_SPINCOUNT"]

for _stem in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_stem.name}")
    for _function in getattr(_module, "__all__", ()):
        globals()[_function] = getattr(_module, _function)
        __all__.append(_function)
