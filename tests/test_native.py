"""The C program that compares NEON with x86 (tests/native) keeps up with the kernels' structs; `.ci/run` runs it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("source", ["cases.c", "check.c"])
def test_it_compiles(source):
    flags = ["-std=gnu11", "-fsyntax-only", "-Wall", "-Werror", "-I", ROOT / "csrc"]
    run = subprocess.run(["cc", *flags, ROOT / "tests" / "native" / source], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]


def test_every_kernel_has_a_case():
    """Ids that cases reach by counting (kinds of activations, element sizes) are named by their first."""
    headers = "".join(
        path.read_text() for path in (ROOT / "csrc").glob("*.h") if not path.name.endswith(".inc.h")
    )
    kernels = set(re.findall(r"\bK\((\w+)\)", headers)) - {"name"}
    text = "".join(path.read_text() for path in (ROOT / "tests" / "native").glob("*.inc.h"))
    counted = (
        "activation_",
        "unary_",
        "binary_",
        "compare_",
        "move_",
        "fill_",
        "transpose_",
        "gather_",
        "clip",
    )
    missing = {k for k in kernels if f"K_{k}" not in text and not k.startswith(counted)}
    assert not missing, f"no case in tests/native runs {sorted(missing)}"
