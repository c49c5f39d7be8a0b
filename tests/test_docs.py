"""The examples in the docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import quernel

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(quernel.__path__, "quernel.")
    if not module.name.startswith("quernel.kernels.") and not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["quernel", *MODULES])
def test_examples(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # examples may write files
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
