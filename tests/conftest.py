"""Shared fixtures."""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest

# Before quernel is imported: blocks of memory are framed by a pattern and filled with NaN in all tests.
os.environ.setdefault("QUERNEL_MEMORY_GUARD", "1")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator whose seed is printed (pytest shows it when the test fails).

    Each test has its own seed, the same in every run; ``QUERNEL_TEST_SEED=n`` shifts all of them.
    """
    seed = zlib.crc32(request.node.nodeid.encode()) + int(os.environ.get("QUERNEL_TEST_SEED", "0"))
    print(f"seed {seed}")
    return np.random.default_rng(seed)
