"""The reference in each real type against itself in float64: it keeps its own contract, and the bounds of
the cases are no tighter than plain NumPy arithmetic is."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from quernel import reference
from quernel.testing import check_result

from .cases import STEMS, of


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("stem", STEMS)
def test_reference_keeps_its_contract(stem, dtype):
    failures = []
    for case in STEMS[stem].CASES:
        function = getattr(reference, case.function)
        arguments = case.arguments(np.random.default_rng(zlib.crc32(case.id.encode())), dtype)
        try:
            check_result(
                function, function, arguments, case.bound, in_place=case.in_place, same_type=case.same_type,
                dtype=dtype,
            )  # fmt: skip
        except Exception as error:
            failures.append(f"{case.id}: {type(error).__name__}: {error}")
    assert not failures, f"{len(failures)} cases fail:\n" + "\n".join(failures[:12])


def test_every_function_has_cases():
    assert {function for function in reference.__all__ if not of(function)} == set()


def test_cases_have_different_names():
    names = [case.id for stem in STEMS.values() for case in stem.CASES]
    assert len(names) == len(set(names))
