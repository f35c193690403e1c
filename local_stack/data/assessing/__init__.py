"""Assessing: whether a table can carry a model of a target, and what would go wrong."""
