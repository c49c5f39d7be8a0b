"""Every kernel, in both real types, against the reference: `tests/cases` says on what, `check_kernel` says
how.

The instruction set in use is tested here; each other one that this CPU runs, by the same tests in a process
of its own. The pool's guard mode frames what kernels allocate and poisons it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from quernel import kernels, reference
from quernel.kernels import launch, memory, threads
from quernel.testing import check_kernel

from .cases import CASES, of

FUNCTIONS = tuple(dict.fromkeys(case.function for case in CASES))
SHOWN = 12  # failures printed in full
# glibc keeps what large arrays give back: much of the time of these tests went into pages fresh from the system.
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}


def violations() -> int:
    return int(memory.memory_stats()["violations"])


@pytest.fixture
def restored_threads():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_kernel_against_reference(function, dtype, restored_threads):
    failures = []
    for case in of(function):
        seed = zlib.crc32(case.id.encode()) + int(os.environ.get("QUERNEL_TEST_SEED", "0"))
        try:
            check_kernel(
                getattr(kernels, function), getattr(reference, function),
                case.arguments(np.random.default_rng(seed), dtype), case.bound, in_place=case.in_place,
                contiguous=case.contiguous,
                rows=case.rows, same_type=case.same_type, dtype=dtype,
                set_num_threads=threads.set_num_threads,
                violations=violations,
            )  # fmt: skip
        except Exception as error:
            failures.append(f"{case.id} (seed {seed}): {type(error).__name__}: {error}")
    text = "\n".join(failures[:SHOWN])
    assert not failures, f"{len(failures)} of {len(of(function))} cases fail on {launch.isa()}:\n{text}"


OTHERS = (
    [isa for isa in launch.isas_supported() if isa != launch.isa()] if "QUERNEL_ISA" not in os.environ else []
)


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """These tests again, in a process for each other instruction set; all run at once."""
    folder = tmp_path_factory.mktemp("others")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__))]
    runs = {}
    for isa in OTHERS:
        log = folder / isa
        with log.open("wb") as file:
            environment = {**os.environ, **KEPT, "QUERNEL_ISA": isa}
            runs[isa] = subprocess.Popen(command, env=environment, stdout=file, stderr=file), log
    yield runs
    for process, _ in runs.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize("isa", OTHERS)
def test_other_instruction_sets(isa, others):
    process, log = others[isa]
    assert process.wait() == 0, log.read_text()[-8000:]


def test_memory_is_guarded():
    """`tests/conftest.py` sees to that: a stray write or a read of memory never written must not pass
    unseen."""
    assert memory.is_guarded()
