"""The largest case of every backend function under pytest-benchmark: ``pytest
benchmarks/test_kernels_bench.py``.

For watching one kernel while working on it (``-k conv2d_forward --benchmark-compare``); what is quoted comes
from `benchmarks.versus`.
"""

from __future__ import annotations

import numpy as np
import pytest

from quernel import kernels
from tests.cases import CASES, of

FUNCTIONS = tuple(dict.fromkeys(case.function for case in CASES))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_largest_case(benchmark, function):
    case = max(of(function), key=lambda case: (case.flops, case.elements))
    arguments = case.arguments(np.random.default_rng(0), np.float32)
    kernel = getattr(kernels, function)
    kernel(*arguments)
    benchmark(kernel, *arguments)
    seconds = benchmark.stats.stats.median if benchmark.stats else float("nan")
    benchmark.extra_info.update(
        case=case.id, gflops=case.flops / seconds / 1e9, gigabytes=4 * case.elements / seconds / 1e9
    )
