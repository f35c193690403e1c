"""Labelling: people tag rows of a version; their answers, their agreement, and what they settle."""
