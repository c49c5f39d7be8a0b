"""Every kernel gives the same bits for any number of threads and from run to run, on data that several threads share.

`tests/test_determinism.py` asks the same of whole networks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quernel as qn
from quernel import kernels
from quernel.testing import arrays

from .cases import CASES, Case
from .cases.large import LARGE

THREADS = (2, 3, 5, 8)


# A process starts without helpers and hires the first when a kernel has ranges for two threads. Each case has a child
# of its own, that ends with 1 if it hired nobody.
SHARED = """
    import os
    import numpy as np
    import quernel as qn
    from quernel import kernels
    from tests.cases.large import LARGE
    from tests.networks import NETWORKS, trained
    from tests.test_determinism import ROWS

    def call(case):
        args = case.arguments(np.random.default_rng(0), np.float32)
        return lambda: getattr(kernels, case.function)(*args)

    def hires(prepare, *what):
        pid = os.fork()
        if pid:
            return os.waitpid(pid, 0)[1] == 0
        run = prepare(*what)
        qn.set_num_threads(2)
        before = len(os.listdir("/proc/self/task"))
        run()
        os._exit(len(os.listdir("/proc/self/task")) == before)

    qn.set_num_threads(1)
    small = [case.id for case in LARGE if not hires(call, case)]
    small += [name for name in NETWORKS if not hires(lambda: lambda: trained(name, steps=1, rows=ROWS))]
    print(*small, sep="\\n")
    raise SystemExit(bool(small))
"""


def outputs(case: Case, drawn: list[Any]) -> list[np.ndarray]:
    """Results, then arrays updated in place."""
    args = [arrays.mapped(np.copy, v) if i in case.in_place else v for i, v in enumerate(drawn)]
    returned = arrays.arrays_in(getattr(kernels, case.function)(*args))
    return [*returned, *arrays.arrays_in([args[i] for i in case.in_place])]


def test_there_is_a_large_case_of_every_function():
    assert {case.function for case in LARGE} == {case.function for case in CASES}


def test_that_is_work_for_several_threads():
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SHARED)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert run.returncode == 0, f"make these larger (tests/cases/large.py): {run.stdout}{run.stderr}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("function", dict.fromkeys(case.function for case in LARGE))
def test_same_bits_for_any_number_of_threads(function, dtype):
    for case in (c for c in LARGE if c.function == function):
        drawn = case.arguments(np.random.default_rng(zlib.crc32(case.id.encode())), dtype)
        with qn.num_threads(1):
            expected = outputs(case, drawn)
            again = outputs(case, drawn)
        assert arrays.same_bits(expected, again), f"{case.id}: a second run gives other bits"
        for threads in THREADS:
            with qn.num_threads(threads):
                same = arrays.same_bits(expected, outputs(case, drawn))
            assert same, f"{case.id}: {threads} threads give other bits"


@pytest.mark.parametrize(
    "case", [c for c in LARGE if c.function == "conv2d_backward_input"], ids=lambda case: case.id
)
def test_gradients_of_an_image_do_not_depend_on_the_others(case):
    """The shape of all inputs is an argument: `check_kernel` cannot cut this batch."""
    dy, kernel, shape, *rest = case.arguments(np.random.default_rng(0), np.float32)
    whole = kernels.conv2d_backward_input(dy, kernel, shape, *rest)
    for part in (slice(0, 1), slice(1, len(dy)), slice(3, 5)):
        some = kernels.conv2d_backward_input(dy[part], kernel, (len(dy[part]), *shape[1:]), *rest)
        assert arrays.same_bits([whole[part]], [some])
