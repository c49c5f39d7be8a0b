"""Checks for people who write operations: is a backward right, is a kernel right?"""

from __future__ import annotations

from quernel.testing.gradients import check_gradients
from quernel.testing.kernels import check_kernel, check_result

__all__ = ["check_gradients", "check_kernel", "check_result"]
