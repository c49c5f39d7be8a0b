"""Suite inference: predictions of whole networks, one sample at a time and in batches."""

from __future__ import annotations

from collections.abc import Iterator

from ..networks import NETWORKS
from ..work import Work


def works() -> Iterator[Work]:
    for name, network in NETWORKS.items():
        for batch in (1, 64):
            yield Work(
                "predict", f"prediction, {name}, batch {batch}", network.inputs(batch), {"network": name},
                flops=batch * network.flops, tolerance=1e-4,
            )  # fmt: skip
