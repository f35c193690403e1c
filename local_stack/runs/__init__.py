"""Runs: train, search and show experiment runs."""

from local_stack.runs import records, train

__all__ = ["records", "train"]
