"""Suite training: one step (forward, loss, backward, Adam) of whole networks."""

from __future__ import annotations

from collections.abc import Iterator

from ..networks import NETWORKS
from ..work import Work

# Rounding differs, and Adam's first steps are signs of gradients: three losses agree to some digits only.
TOLERANCE = 2e-3


def works() -> Iterator[Work]:
    for name, batch in (
        ("mlp 784-128-10", 32),
        ("mlp 784-128-10", 128),
        ("cnn 28x28", 64),
        ("resnet-20 32x32", 64),
        ("lstm 2x256 of 64 characters", 32),
        ("fashion 83,466", 1000),
    ):
        network = NETWORKS[name]
        yield Work(
            "train_step", f"training step, {name}, batch {batch}", network.inputs(batch), {"network": name},
            flops=3 * batch * network.flops, tolerance=TOLERANCE,
        )  # fmt: skip
