"""Threads, instruction sets, memory: what the run-time promises."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from quernel import backend, runtime
from quernel.kernels import launch, threads


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("isa", launch.isas_supported())
def test_isa_can_be_forced(isa: str) -> None:
    run = python("from quernel.kernels import launch; print(launch.isa())", QUERNEL_ISA=isa)
    assert run.stdout.strip() == isa, run.stderr


def test_isa_that_is_not_there_is_refused() -> None:
    run = python("import quernel.kernels", QUERNEL_ISA="itanium")
    assert run.returncode != 0
    assert "QUERNEL_ISA=itanium" in run.stderr
    assert "This CPU runs: " in run.stderr


@pytest.mark.parametrize("variable", ["QUERNEL_NUM_THREADS", "OMP_NUM_THREADS"])
def test_environment_sets_threads(variable: str) -> None:
    run = python(
        "import quernel as qn; i = qn.info(); print(i['threads'], i['threads_reason'])", **{variable: "1"}
    )
    assert run.stdout.split()[0] == "1", run.stderr


def test_bad_environment_is_said_and_ignored() -> None:
    run = python("import quernel as qn; print(qn.get_num_threads())", QUERNEL_NUM_THREADS="many")
    assert "QUERNEL_NUM_THREADS='many' is ignored" in run.stderr
    assert int(run.stdout) >= 1


def test_num_threads_is_restored() -> None:
    before = runtime.get_num_threads()
    with runtime.num_threads(3):
        assert runtime.get_num_threads() == 3
    assert runtime.get_num_threads() == before


@pytest.mark.parametrize(
    ("n", "error"),
    [(0, ValueError), (-1, ValueError), (1025, ValueError), (1.5, TypeError), (True, TypeError)],
)
def test_wrong_thread_counts(n: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="set_num_threads: expected"):
        threads.set_num_threads(n)


@pytest.mark.parametrize(
    ("files", "lines", "quota"),
    [
        ({"cpu.max": "150000 100000"}, "0::/", 1.5),
        ({"cpu.max": "max 100000"}, "0::/", None),
        (
            {"cpu.max": "max 100000", "a/cpu.max": "400000 100000", "a/b/cpu.max": "200000 100000"},
            "0::/a/b",
            2.0,
        ),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/", 3.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/", None),
        ({}, "0::/gone", None),
        ({"cpu.max": "garbage"}, "0::/", None),
    ],
)
def test_cgroup_quota(tmp_path: Path, files: dict[str, str], lines: str, quota: float | None) -> None:
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (tmp_path / "cgroup").write_text(lines + "\n")
    assert threads.cgroup_quota(str(tmp_path / "cgroup"), str(tmp_path / "fs")) == quota


def test_info_is_complete() -> None:
    info = runtime.info()
    assert info["isa"] in info["isas"]
    assert info["threads"] >= 1
    assert info["threads_reason"]


def test_python_threads_may_launch_at_once() -> None:
    """Each thread's job is its own: right results, from more threads than there are jobs or cores."""
    rng = np.random.default_rng(5)
    inputs = [rng.standard_normal((160, 200)).astype(np.float32) for _ in range(24)]
    with runtime.num_threads(4):
        alone = [backend.matmul(x, x, False, True) for x in inputs]
        with ThreadPoolExecutor(24) as pool:
            for _ in range(20):
                together = pool.map(lambda x: backend.matmul(x, x, False, True), inputs)
                assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


SIGNALS = """
import os, signal, time
from pathlib import Path
import numpy as np, quernel as qn
from quernel import backend as B

qn.set_num_threads(8)
B.matmul(np.ones((512, 512), "f"), np.ones((512, 512), "f"))
helpers, patience = [], time.monotonic() + 60
while len(helpers) < 7 and time.monotonic() < patience:  # a helper gives itself its name when it first runs
    status = [Path(f"/proc/self/task/{task}/status").read_text() for task in os.listdir("/proc/self/task")]
    helpers = [text for text in status if text.startswith("Name:\\tquernel")]
blocked = [int(text.split("SigBlk:")[1].split()[0], 16) >> (signal.SIGINT - 1) & 1 for text in helpers]
print(blocked)
"""


def test_helpers_leave_signals_to_the_program() -> None:
    run = python(SIGNALS)
    assert run.stdout.strip() == "[1, 1, 1, 1, 1, 1, 1]", run.stderr + run.stdout


def test_memory_goes_back_to_the_system() -> None:
    with backend.use_backend("kernels"):
        before = runtime.memory_stats()["in_use"]
        y = backend.matmul(np.ones((64, 64), np.float32), np.ones((64, 64), np.float32))
        assert runtime.memory_stats()["in_use"] >= before + y.nbytes
        del y
        assert runtime.memory_stats()["in_use"] == before
        runtime.empty_cache()
        assert runtime.memory_stats()["cached"] == 0
