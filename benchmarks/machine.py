"""The machine's two ceilings, measured in the run that quotes them: floating-point operations and bytes a
second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quernel import backend as B

from .timing import interleaved

# Sizes of products that fill tiles, cores and no more than the second-level cache: the best of them is the
# peak.
PEAK_SIZES = (336, 672, 1008, 1344)
# Three arrays of this many bytes each: several times any cache.
TRIAD_BYTES = 1 << 28


@dataclass(frozen=True)
class Machine:
    """Peaks of all threads together."""

    flops: float  # operations a second, of the matrix tile on products it likes
    bandwidth: float  # bytes a second of c = a + b, two read and one written

    def seconds(self, flops: float, bytes_moved: float) -> float:
        """The least time that work can take under both ceilings."""
        return max(flops / self.flops, bytes_moved / self.bandwidth)


def measure(dtype: Any) -> Machine:
    """Both peaks, with the threads that are set, in one real type."""
    rng = np.random.default_rng(0)
    rates = []
    for n in PEAK_SIZES:
        a, b = (rng.standard_normal((n, n)).astype(dtype) for _ in range(2))
        rates.append(2 * n**3 / _best(lambda a=a, b=b: B.matmul(a, b)))
    count = TRIAD_BYTES // np.dtype(dtype).itemsize
    x, y = (np.full(count, value, dtype) for value in (1.0, 2.0))
    return Machine(max(rates), 3 * TRIAD_BYTES / _best(lambda: B.binary("add", x, y)))


def _best(call: Any) -> float:
    return interleaved({"peak": call}, bursts=3, burst_seconds=0.2)["peak"].minimum
