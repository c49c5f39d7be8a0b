"""The benchmarks that nothing else runs: on tiny inputs, beside themselves instead of a peer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import quernel as qn
from benchmarks import company, memory, networks, roofline, sweep, tables, timing, tune
from benchmarks.sides.quernel_side import Side
from benchmarks.suites import fit
from benchmarks.versus import accuracies, compared
from benchmarks.work import Work


def test_sweep_measures_and_draws_every_grid(tmp_path):
    with qn.num_threads(1):
        rows = list(sweep.measure(Side(1), Side(1), (1, 3), (2,), bursts=1, seconds=1e-4))
    assert {row["grid"] for row in rows} == set(sweep.grids())
    assert len(rows) == 2 * len(sweep.grids()) - 1, "no pooling of one column by two"
    assert all(row["ratio"] > 0 for row in rows)
    sweep.plot(rows, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    rows[0]["ratio"] = 0.5
    assert "0.50" in sweep.summary(rows) and rows[0]["case"] in sweep.summary(rows)


def test_sides_that_differ_are_not_timed():
    class Wrong(Side):
        name = "wrong"

        def runs(self, work, inputs):
            return super().runs(work, {name: x + 1 for name, x in inputs.items()})

    work = Work("add", "a sum", lambda rng, dtype: {"a": np.ones(3, dtype), "b": np.ones(3, dtype)})
    with qn.num_threads(1), pytest.raises(SystemExit, match="a sum: quernel and wrong"):
        compared(work, Side(1), Wrong(1), "float32", 1, 1e-4)


def test_roofline_places_rows_under_both_ceilings(tmp_path):
    machine = {"peak_flops": 1e11, "peak_bandwidth": 1e10, "threads": 1, "dtype": "float32"}
    rows = [
        {
            "case": "matmul 8x8",
            "flops": 1e9,
            "bytes": 1e7,
            "quernel_ms": 20.0,
            "share_of_peak": 0.5,
            **machine,
        },
        {"case": "dropout", "flops": 1e6, "bytes": 1e7, "quernel_ms": 2.0, "share_of_peak": 0.5, **machine},
        {"case": "embedding", "flops": 0.0, "bytes": 1e7, "quernel_ms": 2.0, "share_of_peak": 0.5, **machine},
    ]
    product, dropped = roofline.points(rows)
    assert product == ("matmul 8x8", "matrix products", 100.0, 5e10, 0.5)
    assert dropped.group == roofline.OTHERS
    roofline.plot(rows, tmp_path / "roofline.png")
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", tune.CONSTANTS)
def test_constants_stand_in_the_sources_once(name, tmp_path):
    """And another value can be written there, and read again, without any other change."""
    value = eval(tune.value_of(name), {"__builtins__": {}})
    assert isinstance(value, int) and value > 0
    path = tune.CONSTANTS[name].path
    before = (tune.ROOT / path).read_text()
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(before)
    tune.patch(name, "3 << 20", tmp_path)
    assert tune.value_of(name, tmp_path) == "3 << 20"
    tune.patch(name, tune.value_of(name), tmp_path)
    assert (tmp_path / path).read_text() == before


@pytest.mark.parametrize("stem", ["gemm", "conv_core", "winograd", "recurrent"])
def test_every_constant_of_the_blocked_kernels_can_be_tuned(stem):
    text = (tune.ROOT / f"src/quernel/kernels/{stem}.pyx").read_text()
    named = re.findall(r"^    ([A-Z][A-Z_]+) = ", text, re.MULTILINE)
    known = {name.partition(".")[2] for name, c in tune.CONSTANTS.items() if c.path.endswith(f"/{stem}.pyx")}
    assert set(named) == known, "bring CONSTANTS of benchmarks/tune.py up to date"


def test_tune_prints_ratios_to_the_present_value():
    text = tune.table({"1 << 20": {"a case": 2e-3}, "1 << 21": {"a case": 1e-3}})
    assert re.search(r"a case +2\.000 +2\.000", text)


def test_tune_times_the_cases_that_a_word_picks(capsys, monkeypatch):
    monkeypatch.setenv("QUERNEL_NUM_THREADS", "1")
    monkeypatch.setattr("sys.stdin", ["\n"])
    monkeypatch.setattr(tune, "SECONDS", 0.0)
    with qn.num_threads(1):
        tune.child("matmul 128x128 @")
    assert '"matmul 128x128 @ 128x128"' in capsys.readouterr().out


def test_company_measures_every_kind():
    rows = list(company.measure(2, bursts=1, seconds=1e-3))
    assert {row["kind"] for row in rows} == {"small", "neighbour", "callers", "denormal"}
    assert all(row["ratio"] > 0 for row in rows)


def test_tables_put_runs_together():
    row = {"case": "a", "threads": 1, "quernel_ms": 1.0, "peer_ms": 2.0, "ratio": 2.0, "share_of_peak": 0.5}
    other = {**row, "quernel_ms": 3.0, "ratio": 1.0}
    lines = tables.table([row, other, {**row, "threads": 2}, {**row, "case": "b", "threads": 2}]).splitlines()
    assert lines[2] == "| a | 2 | 2 | 1.50 (1.00-2.00) | 50% | 1 | 2 | 2.00 | 50% |"
    assert lines[3] == "| b |  | | |  | 1 | 2 | 2.00 | 50% |"


def test_parts_of_a_whole_are_added_up_and_taken_in_turn(monkeypatch):
    monkeypatch.setattr(timing, "PAUSE_SECONDS", 0.0)
    order: list[str] = []
    sides = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    times = timing.by_parts(sides, parts=3, rounds=2)
    assert "".join(order) == "abbaab" + "baabba"
    assert times["a"].calls == 2 and 0 < times["a"].minimum <= times["a"].median


def _images(rng: np.random.Generator):
    """Two hundred for training, a hundred for the test; the class is the row that is bright."""

    def split(count: int):
        y = np.arange(count) % 10
        x = rng.random((count, 28, 28, 1), np.float32)
        x[np.arange(count), 2 * y] += 2
        return x, y

    return split(200), split(100)


@pytest.mark.parametrize("parts", [1, 2])
def test_fits_end_at_one_accuracy(rng, parts):
    data = _images(rng)
    work = fit.fit("mlp 784-100-10", "bars", lambda: data, 200, 20, 0.5, epochs=6, parts=parts)
    with qn.num_threads(1):
        ours, theirs, _, results = compared(work, Side(1), Side(1), "float32", 2, 0.0)
    assert ours.calls == theirs.calls == 2
    found = accuracies(*results)
    assert found["accuracy"] > 0.9 and found["peer_accuracy"] > 0.9


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux's /proc")
def test_peak_memory_holds_what_a_step_keeps():
    name = "mlp 784-128-10"
    work = Work("train_step", name, networks.NETWORKS[name].inputs(8), {"network": name})
    with qn.num_threads(1):
        variant, taken = memory.peak(Side(1), work, 0)
        assert memory.peak(Side(1), work, 1) is None
    means = 2 * 4 * (784 * 128 + 128 * 10)
    assert variant == "" and means <= taken < 100 * means


def test_peak_lines_compare_with_the_least():
    assert memory.peak_line("step", 2_000_000, {"a": 8_000_000, "b": 4_000_000}).split() == [
        "step", "2.0", "2.00", "a", "8.0,", "b", "4.0",
    ]  # fmt: skip
