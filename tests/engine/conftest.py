"""Fixtures of the kits that several files of tests share."""

from __future__ import annotations

from labels_kit import people, reviews, reviews_template
from mlflow_stores_kit import unprivileged
from readers_kit import scratch, stage
from recipes_kit import shop
from sharing_kit import other, remote

__all__ = [
    "other",
    "people",
    "remote",
    "reviews",
    "reviews_template",
    "scratch",
    "shop",
    "stage",
    "unprivileged",
]
