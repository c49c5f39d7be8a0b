"""The vector functions of csrc/simd_math.inc.h over the whole range of float32."""

from __future__ import annotations

import pytest

from benchmarks import ulp


@pytest.mark.parametrize("name", ulp.FUNCTIONS)
def test_within_four_ulp(name: str) -> None:
    step = 2**17 + 29 if "erf" in name else 4099
    error, at = ulp.worst(name, ulp.floats(step))
    assert error <= 4.0, at
