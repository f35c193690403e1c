"""Fixtures of the kits that several files of tests share."""

from __future__ import annotations

from labels_kit import people, reviews, reviews_template

__all__ = ["people", "reviews", "reviews_template"]
