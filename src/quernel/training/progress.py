"""How far training has come: a line redrawn in a terminal or notebook, a line an epoch anywhere else."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TextIO

Logs = Mapping[str, float]

# Faster than this nobody can read, and a slow terminal would hold up training.
REDRAW_SECONDS = 0.1
BAR_COLUMNS = 24
LEAST_BAR_COLUMNS = 5  # a shorter one says nothing
# A notebook's output area has no width to ask for; this fits the usual ones.
NOTEBOOK_COLUMNS = 100
VERBOSE = (0, 1, 2, "auto")


class Progress:
    """The progress of one call of fit, evaluate or predict.

    Parameters
    ----------
    verbose : 0 nothing; 1 or "auto" a bar if the output is a terminal or a notebook, else one line an epoch;
        2 one line an epoch.
    stream : where to write. Default None: ``sys.stdout`` as it is now.
    clock : seconds as a float; for tests.

    Raises
    ------
    ValueError : for another value of verbose.

    Examples
    --------
    >>> with Progress(2, clock=iter([0.0, 2.0]).__next__) as progress:
    ...     progress.begin("Epoch 1/1", samples=100)
    ...     progress.end({"loss": 0.25})
    Epoch 1/1  loss 0.2500  0:02  50 samples/s
    """

    def __init__(
        self,
        verbose: int | str = "auto",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if verbose not in VERBOSE:
            raise ValueError(f"verbose must be 0, 1, 2 or 'auto', got {verbose!r}")
        self._stream = sys.stdout if stream is None else stream
        self._silent = verbose == 0 or self._stream is None  # a windowed program has no stdout
        notebook = type(self._stream).__module__.startswith("ipykernel")
        self._bar = not self._silent and verbose != 2 and (notebook or _is_terminal(self._stream))
        self._notebook = notebook
        self._clock = clock
        self._drawn = 0  # columns of the unfinished line on the screen
        self._next_draw = math.inf

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:  # an error or Ctrl-C in the middle of a line: what follows starts on its own
            self._write("\n")
            self._drawn = 0

    def begin(self, title: str, samples: int | None) -> None:
        """Start a line; samples is how many there will be, None if that is not known."""
        self._title, self._samples = title, samples
        self._start = self._clock()
        self._trained: float | None = None
        # The first line at once, so that a long first step does not look like nothing.
        self._next_draw = self._start if self._bar else math.inf
        self.update(0, dict)

    def update(self, done: int, logs: Callable[[], Logs]) -> None:
        """``done`` samples are through; logs is called only if the line is due to be redrawn."""
        if self._next_draw == math.inf:
            return
        now = self._clock()
        if now < self._next_draw:
            return
        self._next_draw = now + REDRAW_SECONDS
        self._draw_running(done, now - self._start, logs())

    def validate(self, logs: Logs) -> None:
        """Training of this epoch is over, its validation begins."""
        if self._silent:
            return
        self._trained = self._clock() - self._start
        if self._bar:
            self._draw([self._title, *_numbers(logs), "validating"])

    def end(self, logs: Logs, done: int | None = None) -> None:
        """Finish the line with the final numbers; done counts the samples if that was not known before."""
        if self._silent:
            return
        elapsed = self._clock() - self._start
        count = done if done is not None else (self._samples or 0)
        rate = count / max(self._trained if self._trained is not None else elapsed, 1e-9)
        parts = [self._title, *_numbers(logs), _duration(elapsed), f"{rate:,.0f} samples/s"]
        if self._bar:
            self._draw(parts, end="\n")
            self._drawn = 0
        else:
            self._write("  ".join(parts) + "\n")
        self._next_draw = math.inf

    def _draw_running(self, done: int, elapsed: float, logs: Logs) -> None:
        parts = [self._title, *_numbers(logs)]
        share = None
        if self._samples:
            share = min(done / self._samples, 1.0)
            parts.insert(1, f"{share:4.0%}")
        else:
            parts.insert(1, f"{done:,} samples")
        if done and elapsed > 0:
            if self._samples:
                parts.append(_duration(elapsed * (self._samples - done) / done) + " left")
            parts.append(f"{done / elapsed:,.0f} samples/s")
        self._draw(parts, share)

    def _draw(self, parts: list[str], share: float | None = None, end: str = "") -> None:
        """Put the line in place of the one before, in one write: no moment without a line, so no flicker."""
        columns = self._columns() - 1  # a character in the last column makes some terminals wrap
        line = _layout(parts, columns, share)
        blank = " " * min(self._drawn - len(line), columns - len(line))
        self._write(f"\r{line}{blank}{end}")
        self._drawn = len(line)

    def _columns(self) -> int:
        return NOTEBOOK_COLUMNS if self._notebook else _terminal_columns(self._stream)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _terminal_columns(stream: TextIO) -> int:
    """The width now: it may change while training runs."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):  # no file behind it, or one that has no size
        return 80


def _layout(parts: list[str], columns: int, share: float | None) -> str:
    """The parts in one line of at most `columns`, after the first a bar if there is room for it.

    What does not fit is left out from the end, whole part by part: half a number would be a wrong number.
    """
    for gap in ("  ", " "):
        text = gap.join(parts)
        room = min(columns - len(text) - len(gap) - 2, BAR_COLUMNS)
        if share is None and len(text) <= columns:
            return text
        if share is not None and room >= LEAST_BAR_COLUMNS:
            return gap.join([parts[0], _bar(share, room), *parts[1:]])
    while len(parts) > 1 and len(" ".join(parts)) > columns:
        parts = parts[:-1]
    return " ".join(parts)[:columns]


def _bar(share: float, room: int) -> str:
    filled = round(share * room)
    head = ">" if 0 < filled < room else "=" * (filled == room)
    return f"[{'=' * (filled - 1) + head:.<{room}}]"


def _numbers(logs: Logs) -> list[str]:
    return [f"{name} {_number(value)}" for name, value in logs.items()]


def _number(value: Any) -> str:
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03 or 2:03."""
    minutes, second = divmod(round(min(seconds, 359_999)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
