"""What `fit` returns: loss and metrics of every epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

PANEL_INCHES = (5.0, 3.6)


class History:
    """Loss and metrics by epoch.

    Attributes
    ----------
    epoch : the numbers of the epochs, from 0.
    history : name -> one float an epoch: ``"loss"``, the metrics, and with validation each again as
        ``"val_..."``.

    Examples
    --------
    >>> history = History()
    >>> history.record(0, {"loss": 0.5})
    >>> history.record(1, {"loss": 0.25})
    >>> history.history["loss"]
    [0.5, 0.25]
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def record(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Add the numbers of one epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self.epoch)} epochs; last: {last})" if self.epoch else "History(no epochs)"

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw a curve of every number over the epochs, training and validation in one panel.

        Parameters
        ----------
        path : the picture to write (.png, .pdf, .svg ...). Default None: none is written.

        Returns
        -------
        The matplotlib Figure; a notebook shows it.

        Raises
        ------
        ImportError : matplotlib is not installed.
        ValueError : there is no epoch to draw.
        """
        if not self.epoch:
            raise ValueError(
                "History.plot: nothing to draw, no epoch was finished; call fit with epochs >= 1"
            )
        try:
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator
        except ImportError as error:
            raise ImportError(
                "History.plot needs matplotlib, which is not installed: pip install quernel[plot]"
            ) from error
        names = [name for name in self.history if not name.startswith("val_")]
        width, height = PANEL_INCHES
        # A Figure of its own, not pyplot's: no window system is needed and no state is left behind.
        figure = Figure(figsize=(width * len(names), height), layout="constrained")
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for panel, name in zip(panels, names, strict=True):
            for key, label in ((name, "training"), (f"val_{name}", "validation")):
                values = self.history.get(key)
                if values:
                    # Validation may be there for some epochs only: the last of them.
                    panel.plot(
                        [epoch + 1 for epoch in self.epoch[-len(values) :]], values, label=label, marker="."
                    )
            panel.set(xlabel="epoch", ylabel=name)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.grid(alpha=0.3)
            panel.legend()
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure
