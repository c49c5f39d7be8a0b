"""The progress line: in a terminal, a notebook, a log; and the History that remains of it."""

from __future__ import annotations

import io
import os
import re
import sys

import pytest

from quernel.training import progress as module
from quernel.training.history import History
from quernel.training.progress import REDRAW_SECONDS, Progress


class Terminal(io.StringIO):
    """Acts like a terminal of some width: replays what was written and remembers each screen line."""

    def __init__(self, columns=80):
        super().__init__()
        self.columns = columns
        self.writes = []

    def isatty(self):
        return True

    def write(self, text):
        self.writes.append(text)
        return super().write(text)

    def screen(self):
        lines, line = [], ""
        for character in self.getvalue():
            if character == "\r":
                column = 0
            elif character == "\n":
                lines.append(line.rstrip())
                line, column = "", 0
            else:
                assert column < self.columns - 1, "wrote into the last column"
                line = line[:column] + character + line[column + 1 :]
                column += 1
        return [*lines, line.rstrip()]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "_terminal_columns", lambda stream: stream.columns)
    return stream


def run_epoch(progress, clock, steps=1000, seconds=2.0):
    progress.begin("Epoch 1/3", samples=steps * 32)
    for step in range(1, steps + 1):
        clock.now += seconds / steps
        progress.update(step * 32, lambda: {"loss": 0.5, "accuracy": 0.875})
    progress.validate({"loss": 0.5, "accuracy": 0.875})
    clock.now += 1.0
    progress.end({"loss": 0.5, "accuracy": 0.875, "val_loss": 1e-5})


def test_terminal_one_line_redrawn_at_most_ten_times_a_second(terminal, clock):
    with Progress(1, terminal, clock) as progress:
        run_epoch(progress, clock)
    assert len(terminal.writes) <= 2 / REDRAW_SECONDS + 4
    assert terminal.screen() == [
        "Epoch 1/3 loss 0.5000 accuracy 0.8750 val_loss 1.000e-05 0:03 16,000 samples/s",
        "",
    ]
    assert terminal.getvalue().count("\n") == 1
    # Each redraw is one write that begins with a carriage return: never a moment with an empty line.
    assert all(text.startswith("\r") and len(text) > 10 for text in terminal.writes)


def test_terminal_shows_bar_rate_and_time_left(terminal, clock):
    terminal.columns = 120
    with Progress("auto", terminal, clock) as progress:
        progress.begin("Epoch 2/3", samples=1000)
        assert terminal.screen() == ["Epoch 2/3  [........................]    0%"]
        clock.now += 90
        progress.update(250, lambda: {"loss": 1234567.0, "accuracy": 0.0})
        assert terminal.screen() == [
            "Epoch 2/3  [=====>..................]   25%"
            "  loss 1.235e+06  accuracy 0.0000  4:30 left  3 samples/s"
        ]
        clock.now += 7110
        progress.update(500, dict)
        assert terminal.screen()[0].endswith("50%  2:00:00 left  0 samples/s")
        progress.update(1000, dict)  # too soon: not drawn, its numbers not even computed
        progress.update(1000, lambda: pytest.fail("computed"))
        assert "50%" in terminal.screen()[0]


@pytest.mark.parametrize("columns", [1, 2, 5, 20, 40, 60, 79, 80, 81, 200])
def test_never_wider_than_the_terminal(columns, terminal, clock):
    terminal.columns = columns
    with Progress(1, terminal, clock) as progress:
        run_epoch(progress, clock)
        terminal.columns = max(columns // 2, 1)  # the window is made smaller
        run_epoch(progress, clock)
    terminal.columns = columns
    terminal.screen()


def test_the_line_of_a_usual_training_has_a_bar_in_80_columns(terminal, clock):
    with Progress(1, terminal, clock) as progress:
        progress.begin("Epoch 3/10", samples=1000)
        clock.now += 1
        progress.update(500, lambda: {"loss": 0.5, "accuracy": 0.875})
        assert terminal.screen() == [
            "Epoch 3/10 [===>.....]  50% loss 0.5000 accuracy 0.8750 0:01 left 500 samples/s"
        ]
        terminal.columns = 50  # whole numbers are left out, never half of one
        progress.end({"loss": 0.5, "accuracy": 0.875})
        last = terminal.getvalue().rpartition("\r")[2]
        assert last.rstrip() == "Epoch 3/10 loss 0.5000 accuracy 0.8750 0:01"
        assert len(last) == 50  # blanks to the end of the line, and the line feed


def test_a_shorter_line_leaves_nothing_of_the_longer(terminal, clock):
    with Progress(1, terminal, clock) as progress:
        progress.begin("Evaluate", samples=None)
        clock.now += 1
        progress.update(10, lambda: {"a_metric_with_a_long_name": 1.0})
        clock.now += 1
        progress.update(20, dict)
        assert terminal.screen() == ["Evaluate  20 samples  10 samples/s"]


def test_an_error_ends_the_line(terminal, clock):
    def interrupted():
        with Progress(1, terminal, clock) as progress:
            progress.begin("Epoch 1/1", samples=10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.getvalue().endswith("\n")


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_log_file_gets_one_line_an_epoch(verbose, clock):
    stream = io.StringIO()
    with Progress(verbose, stream, clock) as progress:
        run_epoch(progress, clock)
        run_epoch(progress, clock)
    line = "Epoch 1/3  loss 0.5000  accuracy 0.8750  val_loss 1.000e-05  0:03  16,000 samples/s\n"
    assert stream.getvalue() == 2 * line


def test_verbose_2_in_a_terminal_and_dumb_terminals_are_logs(terminal, clock, monkeypatch):
    with Progress(2, terminal, clock) as progress:
        run_epoch(progress, clock)
    monkeypatch.setenv("TERM", "dumb")
    with Progress(1, terminal, clock) as progress:
        run_epoch(progress, clock)
    assert "\r" not in terminal.getvalue()
    assert terminal.getvalue().count("\n") == 2


def test_silent(terminal, clock, monkeypatch):
    with Progress(0, terminal, clock) as progress:
        run_epoch(progress, clock)
    assert terminal.getvalue() == ""
    monkeypatch.setattr(sys, "stdout", None)
    with Progress(1, clock=clock) as progress:
        run_epoch(progress, clock)


def test_notebook_redraws_without_a_terminal(clock):
    notebook_stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    stream = notebook_stream()
    with Progress("auto", stream, clock) as progress:
        run_epoch(progress, clock)
    assert stream.getvalue().count("\r") > 10
    assert stream.getvalue().count("\n") == 1
    assert max(map(len, re.split(r"[\r\n]", stream.getvalue()))) < module.NOTEBOOK_COLUMNS


def test_width_of_something_that_is_no_terminal():
    assert module._terminal_columns(io.StringIO()) == 80
    with open(os.devnull) as stream:
        assert module._terminal_columns(stream) == 80


def test_verbose_is_checked():
    with pytest.raises(ValueError, match="verbose must be 0, 1, 2 or 'auto', got 3"):
        Progress(3)


def test_history_plot(tmp_path):
    history = History()
    with pytest.raises(ValueError, match="nothing to draw"):
        history.plot(tmp_path / "curves.png")
    for epoch in range(3):
        history.record(
            epoch, {"loss": 1 / (epoch + 1), "accuracy": 0.5, "val_loss": 0.5, "val_accuracy": 0.25}
        )
    figure = history.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [panel.get_ylabel() for panel in figure.axes] == ["loss", "accuracy"]
    assert [line.get_label() for line in figure.axes[0].lines] == ["training", "validation"]
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1, 1], [2, 1 / 2], [3, 1 / 3]]
    assert (
        repr(history) == "History(3 epochs; last: loss 0.3333, accuracy 0.5, val_loss 0.5, val_accuracy 0.25)"
    )
    assert "pyplot" not in {name.rpartition(".")[2] for name in sys.modules if name.startswith("matplotlib")}


def test_history_plot_without_matplotlib(monkeypatch):
    history = History()
    history.record(0, {"loss": 1.0})
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install quernel\[plot\]"):
        history.plot()
