"""A data set of twelve rows, and people who label it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from local_stack.catalog import call
from local_stack.data import versions
from local_stack.workspace import Workspace

Label = Callable[..., Any]

CSV = "id,text,tone,grade\n" + "".join(
    f"{n},text {n},{('good', '')[n % 2]},{n % 3}\n" for n in range(12)
)


@pytest.fixture(scope="session")
def reviews_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a workspace with one version of 12 rows, once."""
    folder = tmp_path_factory.mktemp("reviews")
    source = folder / "reviews.csv"
    source.write_text(CSV)
    with Workspace.create(folder / "ws", actor="tester") as made:
        call(made, "data.add", {"name": "reviews", "source": str(source), "target": "grade"})
    return folder / "ws"


@pytest.fixture
def reviews(reviews_template: Path, tmp_path: Path) -> Iterator[Workspace]:
    """Open a copy of that workspace."""
    root = Path(shutil.copytree(reviews_template, tmp_path / "ws"))
    with Workspace.open(root, actor="tester") as opened:
        yield opened


@pytest.fixture
def people(reviews: Workspace) -> Iterator[Callable[[str], Label]]:
    """Return, for a name, the verb as that person calls it."""
    with contextlib.ExitStack() as stack:
        places: dict[str, Workspace] = {}

        def person(actor: str) -> Label:
            if actor not in places:
                places[actor] = stack.enter_context(Workspace.open(reviews.root, actor=actor))

            def label(column: str = "mood", name: str = "reviews", **given: Any) -> Any:
                asked = {"name": name, "column": column, **given}
                return call(places[actor], "data.label", asked)

            return label

        yield person


def table_of(workspace: Workspace, reference: str) -> pl.DataFrame:
    """Return the table of a version."""
    return versions.read(workspace, versions.find(workspace, reference))
