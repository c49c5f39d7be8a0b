"""Kernels and reference are two bodies for one list of functions: same names, same signatures."""

from __future__ import annotations

import inspect

import pytest

from quernel import backend, kernels, reference


def test_same_names():
    assert sorted(kernels.__all__) == sorted(reference.__all__)
    for module in (kernels, reference):
        assert len(set(module.__all__)) == len(module.__all__), "a name is exported by two stems"


@pytest.mark.parametrize("function", sorted(reference.__all__))
def test_same_signature(function):
    shapes = [
        [
            (p.name, p.kind, p.default)
            for p in inspect.signature(getattr(module, function)).parameters.values()
        ]
        for module in (kernels, reference)
    ]
    assert shapes[0] == shapes[1]


def test_the_backend_switches_all_of_them():
    before = backend.name()
    for name, module in (("reference", reference), ("kernels", kernels)):
        with backend.use_backend(name):
            assert backend.name() == name
            assert all(getattr(backend, f) is getattr(module, f) for f in reference.__all__)
    assert backend.name() == before
