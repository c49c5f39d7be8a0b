"""Threads, instruction sets, memory: what the run-time promises."""

from __future__ import annotations

import os
import subprocess
import sys
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
    assert "OpenMP" in info["openmp"]


def test_memory_goes_back_to_the_system() -> None:
    with backend.use_backend("kernels"):
        before = runtime.memory_stats()["in_use"]
        y = backend.matmul(np.ones((64, 64), np.float32), np.ones((64, 64), np.float32))
        assert runtime.memory_stats()["in_use"] >= before + y.nbytes
        del y
        assert runtime.memory_stats()["in_use"] == before
        runtime.empty_cache()
        assert runtime.memory_stats()["cached"] == 0
