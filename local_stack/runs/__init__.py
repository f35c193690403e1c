"""Runs: train, search and show experiment runs."""

from local_stack.runs import records, syncing, train

__all__ = ["records", "syncing", "train"]
