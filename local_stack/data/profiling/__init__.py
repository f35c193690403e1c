"""Profiling: statistics of columns, and how columns go together."""
