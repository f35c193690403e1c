"""Drift: how far data and predictions have moved."""

from local_stack.drift import check

__all__ = ["check"]
