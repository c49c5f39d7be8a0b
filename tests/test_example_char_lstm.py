"""examples/char_lstm.py in small: it reads every character, learns, writes, saves, and repeats itself."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from quernel.saving import load_tensors

EXAMPLE = Path(__file__).parents[1] / "examples" / "char_lstm.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("char_lstm", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in {"STREAMS": 4, "STEPS": 8, "EMBEDDING": 8, "UNITS": 16, "LEARNING_RATE": 0.02}.items():
        monkeypatch.setattr(module, name, value)
    return module


def run(example: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["char_lstm.py", *arguments])
    example.main()


@pytest.mark.parametrize("count", [41, 42, 44, 45])
def test_streams_hold_every_character_once(example: ModuleType, count: int) -> None:
    ids = np.arange(count)
    x, y = example.as_streams(ids, keep_all=True)
    used = y != example.IGNORED
    np.testing.assert_array_equal(x[used], ids[:-1])
    np.testing.assert_array_equal(y[used], ids[1:])
    x, y = example.as_streams(ids, keep_all=False)
    assert x.shape == (4, (count - 1) // 4)
    np.testing.assert_array_equal(x.ravel() + 1, y.ravel())


def test_learns_writes_and_repeats_itself(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.txt").write_text("to be or not to be\n" * 60)
    outputs, weights = [], []
    for repeat in range(2):
        file = tmp_path / f"{repeat}.safetensors"
        run(
            example,
            monkeypatch,
            "--data",
            str(tmp_path),
            "--epochs",
            "3",
            "--sample",
            "40",
            "--save-weights",
            str(file),
        )
        outputs.append(capsys.readouterr().out)
        weights.append(load_tensors(file))
    losses = [
        float(line.split("validation")[1].split()[0])
        for line in outputs[0].splitlines()
        if "validation" in line
    ]
    assert len(losses) == 3
    assert losses[-1] < losses[0] < np.log(10)
    assert len(outputs[0].split("\n\n", 1)[1]) >= 40
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name])


def test_evaluation_carries_the_state_and_ignores_the_filling(example: ModuleType) -> None:
    ids = np.random.default_rng(0).integers(0, 5, 50)
    model = example.CharModel(5)
    x, y = example.as_streams(ids, keep_all=True)
    logits = model.eval()(x).numpy().astype(np.float64)
    model.reset_state()
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    used = y != example.IGNORED
    assert example.evaluate(model, x, y) == pytest.approx(
        -log_p[used][np.arange(49), y[used]].mean(), rel=1e-5
    )


def test_missing_text(example: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="pass --data FILE"):
        run(example, monkeypatch, "--data", str(tmp_path / "nowhere"))
