"""Imports point down only; the reference needs NumPy alone; importing quernel is light and starts no
thread."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import quernel

ROOT = Path(quernel.__file__).parent
# The floors, bottom first. A module may import from its own floor and from those below.
FLOORS = (
    ("naming",),
    ("kernels", "reference"),
    ("arrays", "backend", "random", "runtime"),
    ("tensor", "autograd", "function"),
    ("ops", "saving"),
    (
        "initializers",
        "regularizers",
        "constraints",
        "activations",
        "losses",
        "metrics",
        "optimizers",
        "schedules",
        "targets",
    ),
    ("layers", "testing"),
    ("data", "datasets"),
    ("callbacks", "training"),
    ("networks",),
    ("bench", "cli", "__main__"),
)
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
SOURCES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> list[tuple[str, int]]:
    """Modules of quernel that a source imports, with lines, wherever in the file the import stands."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                package = ".".join(["quernel", *path.relative_to(ROOT).parts[: -node.level]])
                module = f"{package}.{node.module}" if node.module else package
            else:
                module = node.module or ""
            whole = module in ("quernel", "")
            found += [(f"{module}.{a.name}" if whole else module, node.lineno) for a in node.names]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=[str(p.relative_to(ROOT)) for p in SOURCES])
def test_imports_point_down(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    assert own in LEVEL, f"{own} is on no floor: add it to FLOORS"
    up = [
        f"line {line}: {module}"
        for module, line in imported(path)
        if module.startswith("quernel.") and LEVEL.get(module.split(".")[1], 0) > LEVEL[own]
    ]
    assert not up, f"{path.name} imports from a floor above its own: {up}"


@pytest.mark.parametrize("path", sorted((ROOT / "reference").glob("*.py")), ids=lambda p: p.stem)
def test_the_reference_needs_numpy_alone(path):
    standard = sys.stdlib_module_names
    names = {module for module, _ in imported(path)}
    allowed = {
        n for n in names if n.split(".")[0] in standard | {"numpy"} or n.startswith("quernel.reference")
    }
    assert names == allowed


LIGHT = """
import sys, threading
import numpy
before = set(sys.modules)
import quernel
from quernel import kernels, layers, losses, optimizers, ops
tasks = len(__import__("os").listdir("/proc/self/task"))
print(sorted({m.split(".")[0] for m in set(sys.modules) - before}), tasks, threading.active_count())
"""
HEAVY = {"torch", "jax", "matplotlib", "pandas", "scipy", "sklearn", "tqdm", "rich", "IPython", "safetensors"}


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light_and_starts_no_thread():
    names, tasks, threads = run(LIGHT).rsplit(maxsplit=2)
    assert not HEAVY & set(ast.literal_eval(names))
    assert (int(tasks), int(threads)) == (1, 1)


def test_import_alone_loads_next_to_nothing():
    loaded = ast.literal_eval(
        run("import sys, quernel; print([m for m in sys.modules if m.startswith('quernel.')])")
    )
    assert loaded == []
