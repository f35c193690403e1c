"""Comparing: rows, cells and distributions of two tables."""
