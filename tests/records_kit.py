"""What the tests of a run's records share: a small table, a recipe in a repository, a run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from local_stack import catalog
from local_stack.runs import pictures
from local_stack.stores.artifacts import Blob
from local_stack.workspace import Workspace

RECIPE = """\
dataset: beans
experiment: growth
split: {seed: 3, folds: 3}
params: {n_estimators: 12, num_leaves: 5, min_child_samples: 5, num_threads: 1}
"""


def table(seed: int = 5) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    water, light = rng.normal(size=(2, 150))
    return pl.DataFrame(
        {"water": water, "light": light, "height": 2 * water - light + rng.normal(size=150)}
    )


def add_beans(workspace: Workspace, folder: Path, frame: pl.DataFrame | None = None) -> str:
    """Add a version of the table; return its reference."""
    (table() if frame is None else frame).write_parquet(folder / "beans.parquet")
    given = {"name": "beans", "source": str(folder / "beans.parquet"), "target": "height"}
    added = catalog.call(workspace, "data.add", given)
    return f"beans@{added.version}"


def lose_data(workspace: Workspace, reference: str) -> None:
    """Take the bytes of a data version away, as a lost disk does."""
    row = workspace.get("data_versions", *reference.split("@"))
    assert row is not None
    Path(workspace.artifacts.uri(Blob.of(row["table"]))).unlink()


def git(root: Path, *words: str) -> str:
    ended = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
    )
    return ended.stdout.strip()


def commit(root: Path) -> str:
    """Commit everything; return the commit."""
    git(root, "add", "-A")
    git(root, "commit", "-qm", "work")
    return git(root, "rev-parse", "HEAD")


def make_project(root: Path) -> Path:
    """Make a repository with the recipe in it, whatever git is told elsewhere; return its root."""
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.email", "ann@example.org")
    git(root, "config", "user.name", "Ann")
    (root / "recipe.yaml").write_text(RECIPE)
    (root / "notes.txt").write_text("one\n")
    commit(root)
    return root


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no pictures of runs, which takes longer than all the rest."""
    monkeypatch.setattr(pictures, "draw", lambda document, folder: [])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a recipe, and nobody's configuration around it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return make_project(tmp_path / "project")
