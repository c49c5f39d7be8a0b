"""The public surface: the tables of ``__init__.py``, their typed twin, and what stands behind each name."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import quernel as qn


def test_the_typed_twin_says_the_same():
    tree = ast.parse(Path(qn.__file__).with_suffix(".pyi").read_text())
    typed = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            typed |= {entry.asname: f"{node.module}.{entry.name}" for entry in node.names}
    assert set(typed) == set(qn.__all__) - {"__version__"}
    for name, path in typed.items():
        module, _, attribute = path.rpartition(".")
        assert getattr(importlib.import_module(module), attribute) is getattr(qn, name), name


@pytest.mark.parametrize("name", sorted(qn.__all__))
def test_every_public_name_is_there_and_documented(name):
    value = getattr(qn, name)
    assert name in dir(qn)
    if name != "__version__":
        assert value.__doc__


def test_public_names_of_modules_exist():
    for name in qn._MODULES:
        module = getattr(qn, name)
        for entry in getattr(module, "__all__", ()):
            assert hasattr(module, entry), f"quernel.{name}.{entry}"


def test_a_function_wins_over_the_module_of_its_name():
    """`qn.tensor` is the function, whatever was imported before, though a module has the same name."""
    code = "import quernel.tensor, quernel as qn; print(qn.tensor([1.0]).numpy(), quernel.ops.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == "[1.] quernel.ops\n", done.stderr
    assert not isinstance(qn.tensor, ModuleType)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'quernel' has no attribute 'tensr'"):
        qn.tensr  # noqa: B018
    with pytest.raises(ImportError):
        from quernel import tensr  # noqa: F401
