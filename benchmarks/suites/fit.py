"""Suite fit: whole epochs on real images, as people train: batches drawn anew each epoch, Adam.

    python -m benchmarks.versus --suite fit --peer torch|sklearn --threads N --bursts 3

The sides must end at the same accuracy on the test images, which the rows hold too. The files are looked for where
`quernel.datasets` looks (QUERNEL_DATA). A turn is one whole training; the long ones go part by part of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from quernel import datasets

from ..networks import NETWORKS
from ..work import Array, Work


def fit(
    name: str, title: str, load: Callable[[], Any], rows: int, batch: int, tolerance: float, epochs: int = 1,
    parts: int = 1,
) -> Work:  # fmt: skip
    """Parts of an epoch only: with several epochs a part would see its own rows again before the rest."""
    network = NETWORKS[name]

    def inputs(rng: np.random.Generator, dtype: Any) -> dict[str, Array]:
        (x, y), (x_test, y_test) = load()
        x, x_test = (np.asarray(a, dtype).reshape(-1, *network.sample) for a in (x, x_test))
        return {"x": x, "y": y, "x_test": x_test, "y_test": y_test, **network.weights(x)}

    case = f"fit, {name}, {title}, batch {batch}, {epochs} epoch{'s' * (epochs > 1)}"
    return Work(
        "fit", case, inputs, {"network": name, "batch": batch, "epochs": epochs},
        flops=3 * epochs * rows * network.flops, tolerance=tolerance, parts=parts,
    )  # fmt: skip


def works() -> Iterator[Work]:
    # Shuffles and starts differ: two runs were seen 0.8 % apart after five epochs of MNIST, 0.1 % after one of
    # Fashion-MNIST, and 1.8 % after one of a fifth of its images.
    for batch in (32, 200):  # 200 is scikit-learn's default
        yield fit("mlp 784-100-10", "MNIST", datasets.load_mnist, 60_000, batch, tolerance=0.02, epochs=5)
    yield fit("fashion 83,466", "Fashion-MNIST", datasets.load_fashion_mnist, 60_000, 1000, 0.05, parts=6)
