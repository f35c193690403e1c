"""A shop's customers, and recipes of preparation for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from local_stack import catalog
from local_stack.workspace import Workspace

N = 400


def frame() -> pl.DataFrame:
    """Return a table with something to do for most steps."""
    rng = np.random.default_rng(3)
    colours = np.array(["red", "green", "blue"])[rng.integers(0, 3, N)]
    income = rng.lognormal(3, 1, N).round(2)
    return pl.DataFrame(
        {
            "key": [f"k{n:05d}" for n in range(N)],
            "same": ["x"] * N,
            "income": income,
            "age": [None if n % 10 == 0 else float(20 + n % 50) for n in range(N)],
            "rooms": [None if n == 7 else n % 9 + 1 for n in range(N)],
            "colour": [None if n == 5 else str(colours[n]) for n in range(N)],
            "town": [f"town {n % 60}" for n in range(N)],
            "sex": ["f" if n % 2 else "m" for n in range(N)],
            "since": pl.date_range(
                pl.date(2020, 1, 1),
                pl.date(2020, 1, 1) + pl.duration(days=3 * (N - 1)),
                "3d",
                eager=True,
            ),
            "bought": [n % 3 == 0 for n in range(N)],
        }
    )


@pytest.fixture
def shop(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace with the table as the data set ``shop``."""
    frame().write_parquet(tmp_path / "shop.parquet")
    given = {"name": "shop", "source": str(tmp_path / "shop.parquet"), "target": "bought"}
    catalog.call(workspace, "data.add", {**given, "key": ["key"], "sensitive": ["sex"]})
    return workspace


def recipe(workspace: Workspace, **given: Any) -> Any:
    """Call the verb ``data.recipe`` for the shop."""
    return catalog.call(workspace, "data.recipe", {"name": "shop", **given})


def prepare(workspace: Workspace, text: str | None = None, **given: Any) -> Any:
    """Call the verb ``data.prepare`` for the shop."""
    texts = {} if text is None else {"text": text}
    return catalog.call(workspace, "data.prepare", {"name": "shop", **texts, **given})


def features(*steps: str) -> str:
    """Return the text of a recipe with these steps."""
    return "features:\n" + "".join(f"  - {step}\n" for step in steps)
