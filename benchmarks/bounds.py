"""How much of its error bound each function uses: the largest error over all cases, as a share of what is allowed.

    python -m benchmarks.bounds

The bounds stand in tests/cases; docs/kernels.md explains them. A share near 1 is a bound without a margin, one far
below it a bound that would miss mistakes.
"""

from __future__ import annotations

import zlib
from collections import defaultdict

import numpy as np

from quernel import kernels, reference
from quernel.kernels import launch
from quernel.testing import arrays
from tests.cases import CASES, Case


def share(case: Case) -> float:
    """The largest error of one case in float32 over its bound; 0 where equality is asked for, and met."""
    given = case.arguments(np.random.default_rng(zlib.crc32(case.id.encode())), np.float32)
    wide = [arrays.mapped(arrays.cast(np.float32 if case.same_type else np.float64), v) for v in given]
    untouched = [arrays.mapped(np.copy, v) for v in wide]
    with np.errstate(all="ignore"):
        got = arrays.arrays_in(getattr(kernels, case.function)(*given))
        expected = arrays.arrays_in(getattr(reference, case.function)(*wide))
        got += arrays.arrays_in([given[i] for i in case.in_place])
        expected += arrays.arrays_in([wide[i] for i in case.in_place])
        worst = 0.0
        for g, e, allowed in zip(
            got, expected, case.bound(untouched, expected, np.finfo(np.float32).eps), strict=True
        ):
            e, allowed = np.asarray(e, float), np.broadcast_to(np.asarray(allowed, float), e.shape)
            counts = (
                (np.abs(e) > 1e-35) & (np.abs(e) < 3e38) & (allowed > 0)
            )  # neither flushed nor overflowing
            error = np.where(counts, np.abs(g - e) / np.where(counts, allowed, 1), 0)
            worst = max(worst, float(error.max(initial=0.0)))
    return worst


def main() -> None:
    largest: dict[str, float] = defaultdict(float)
    for case in CASES:
        largest[case.function] = max(largest[case.function], share(case))
    print(f"largest error of a float32 result over its bound, {launch.isa()}:")
    for function, value in largest.items():
        print(f"  {function:32} {value:6.1%}" if value else f"  {function:32}  exact")


if __name__ == "__main__":
    main()
