"""Checks for your own operations."""

from quernel.testing.gradients import check_gradients

__all__ = ["check_gradients"]
