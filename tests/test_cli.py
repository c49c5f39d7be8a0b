"""The command line: what it prints, and what it says to wrong uses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import quernel as qn
from quernel import bench, cli, kernels, saving


def test_demo_in_json_is_one_line(capsys):
    assert cli.main(["demo", "--json", "--epochs", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    result = json.loads(out)
    assert list(result) == ["accuracy", "seconds", "samples_per_s", "threads", "isa"]
    assert 0.5 < result["accuracy"] <= 1
    assert result["threads"] == qn.get_num_threads()
    assert result["isa"] == qn.info()["isa"]


def test_demo_shows_progress_accuracy_confusion_and_curves(capsys, tmp_path):
    assert cli.main(["demo", "--epochs", "1", "--out", str(tmp_path / "new")]) == 0
    out = capsys.readouterr().out
    for part in ("quernel 0.", "Parameters: 151,306", "Epoch 1/1", "Test accuracy 0.", "true \\ predicted"):
        assert part in out
    assert (tmp_path / "new" / "curves.png").stat().st_size > 1000


def test_demo_without_matplotlib(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["demo", "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert "pip install quernel[plot]" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_same_seed_same_demo(capsys):
    runs = []
    for seed in ("1", "1"):
        cli.main(["demo", "--epochs", "1", "--seed", seed])
        text = capsys.readouterr().out
        runs.append(text[text.index("true") : text.index("Learning")])
    assert runs[0] == runs[1]


def test_train_saves_a_model_that_can_be_loaded(capsys, tmp_path):
    path = tmp_path / "model.safetensors"
    arguments = ["train", "--dataset", "digits", "--model", "mlp", "--epochs", "2", "--save", str(path)]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    assert "Epoch 2/2" in out
    assert "Test loss" in out
    assert saving.load_tensors(path)["1.kernel"].shape == (64, 256)


def test_info(capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    for name in ("version", "isa", "threads", "threads_reason"):
        assert any(line.startswith(name) for line in text.splitlines())
    assert cli.main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == qn.__version__


def test_bench_agrees_and_fills_its_rows(capsys, monkeypatch):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)  # PyTorch takes seconds to load
    rows = bench.run(seconds=0.01, cases=bench.CASES[-1:])
    assert len(capsys.readouterr().out.splitlines()) == 4
    (row,) = rows
    assert row["quernel_ms"] > 0
    assert row["vs_numpy"] == pytest.approx(row["numpy_ms"] / row["quernel_ms"])
    assert row["torch_ms"] is row["vs_torch"] is None


def test_bench_refuses_to_time_a_wrong_result(monkeypatch):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)

    def wrong(side, generator):
        return lambda: np.full(3, 1.01 if side is kernels else 1.0)

    def torch(module, generator):
        return lambda: np.ones(3)

    with pytest.raises(RuntimeError, match=r"quernel and numpy differ by 0\.01"):
        bench.run(report=None, cases=(bench.Case("broken", wrong, torch),))


def test_confusion_table():
    table = cli.confusion_table(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 2])).splitlines()
    assert [line.split()[1:] for line in table[1:]] == [["1", ".", "1"], [".", "1", "."], [".", ".", "1"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--epochs", "0"], "quernel demo: --epochs must be at least 1, got 0"),
        (["demo", "--seed", "-1"], "quernel demo: .*from 0 to"),
        (["train", "--dataset", "digits", "--data", "x"], "quernel train: --data is for mnist"),
        (["train", "--data", "/nonexistent"], "quernel train: '/nonexistent' has no 'train-images"),
        (["train", "--dataset", "digits", "--batch-size", "0"], "batch_size must be at least 1"),
        (["train", "--dataset", "digits", "--learning-rate", "-1"], "learning_rate"),
        (["bench", "--threads", "0"], "quernel bench: "),
    ],
)
def test_errors_are_one_line_and_status_1(arguments, message, capsys):
    assert cli.main(arguments) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(message, err)


def test_unknown_commands_and_names_are_explained(capsys):
    for arguments in (["trian"], ["train", "--dataset", "cifar"], []):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 2
    assert "invalid choice: 'cifar'" in capsys.readouterr().err


def test_python_m_quernel():
    done = subprocess.run(
        [sys.executable, "-m", "quernel", "--version"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == f"quernel {qn.__version__}\n"
    assert done.returncode == 0
