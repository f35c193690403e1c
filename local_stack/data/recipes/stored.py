"""Stored recipes of data sets: each under a number, with its hash, who set it and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local_stack.data.recipes.document import Document
from local_stack.data.versions import DataVersion
from local_stack.errors import NotFoundError
from local_stack.results import Result, now
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Recipe(Result):
    """A stored recipe: its number, hash, document as plain values, and its text to edit.

    ``source`` is suggested, file or edited; ``made_from`` is the version it was suggested for
    or tried on; ``warnings`` name what of a run's recipe file was not taken over.
    """

    dataset: str
    number: int
    hash: str
    document: dict[str, Any]
    actor: str
    created_at: str
    source: str
    made_from: str | None
    warnings: tuple[str, ...]
    text: str


def stored(workspace: Workspace, dataset: str) -> list[Row]:
    """Return the records of the recipes of a data set, the newest last."""
    return workspace.query("SELECT * FROM recipes WHERE dataset = ? ORDER BY number", dataset)


def current(workspace: Workspace, dataset: str, number: int | None = None) -> Recipe:
    """Return the newest recipe of ``dataset``, or the one with ``number``.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    rows = stored(workspace, dataset)
    if not rows:
        raise NotFoundError(
            f"Data set '{dataset}' has no recipe.",
            f"Suggest one: paceml-tui data recipe {dataset} --suggest",
        )
    row = next((it for it in rows if it["number"] == number), None)
    if number is None:
        row = rows[-1]
    if row is None:
        raise NotFoundError(
            f"Data set '{dataset}' has no recipe {number}.", f"Its recipes are 1 to {len(rows)}."
        )
    return Recipe(
        dataset=dataset,
        number=row["number"],
        hash=row["hash"],
        document=row["document"],
        actor=row["actor"],
        created_at=row["created_at"],
        source=row["source"],
        made_from=row["made_from"],
        warnings=tuple(row["warnings"] or ()),
        text=row["text"],
    )


def store(workspace: Workspace, version: DataVersion, document: Document, source: str) -> None:
    """Make a recipe the newest one of a data set, unless the newest says the same."""
    at = now()
    warnings = []
    if document.left_out:
        keys = ", ".join(document.left_out)
        warnings.append(f"Not taken over, since preparation does not need it: {keys}.")

    def decide(state: Metadata) -> Draft | None:
        rows = state.find("recipes", dataset=version.dataset)
        newest = max(rows, key=lambda row: row["number"], default=None)
        if newest is not None and newest["text"] == document.text:
            return None
        row = {
            "dataset": version.dataset,
            "number": (newest["number"] if newest else 0) + 1,
            "hash": document.hash,
            "document": document.values,
            "text": document.text,
            "source": source,
            "made_from": version.version,
            "warnings": warnings,
            "actor": workspace.actor,
            "created_at": at,
        }
        body = {key: row[key] for key in ("number", "hash", "source", "made_from")}
        body["n_steps"] = len(document.steps)
        return Draft("data.recipe_set", f"data:{version.dataset}", body, [("recipes", row)])

    workspace.append(decide)
