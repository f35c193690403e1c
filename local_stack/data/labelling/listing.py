"""The labellings of a workspace in short."""

from __future__ import annotations

from dataclasses import dataclass

from local_stack.results import Result
from local_stack.workspace import Workspace

_LISTED = (
    "WITH told AS (SELECT labelling, list(DISTINCT actor ORDER BY actor) AS annotators, "
    'count(DISTINCT "row") FILTER (NOT is_skipped) AS n_answered, max("at") AS last_at '
    "FROM labels GROUP BY labelling) "
    "SELECT g.*, v.n_rows, v.number, annotators, n_answered, last_at "
    "FROM labellings g JOIN data_versions v "
    "ON v.dataset = g.dataset AND v.version = g.version "
    "LEFT JOIN told t ON t.labelling = g.labelling "
    "WHERE ? IN ('', g.dataset) AND ? IN ('', g.version) "
    "ORDER BY greatest(coalesce(last_at, ''), g.updated_at) DESC"
)


@dataclass(frozen=True, slots=True)
class LabellingEntry(Result):
    """A labelling in short."""

    dataset: str
    version: str
    number: int
    column: str
    classes: tuple[str, ...]
    is_multi: bool
    annotators: tuple[str, ...]
    n_rows: int
    n_answered: int
    made: tuple[str, ...]
    updated_at: str


@dataclass(frozen=True, slots=True)
class LabellingList(Result):
    """The labellings of a workspace or of a data set, the last one worked on first."""

    labellings: tuple[LabellingEntry, ...]


def listed(workspace: Workspace, dataset: str = "", version: str = "") -> LabellingList:
    """Return the labellings of a data set or of one version of it; '' stands for all."""
    return LabellingList(
        tuple(
            LabellingEntry(
                dataset=it["dataset"],
                version=it["version"],
                number=it["number"],
                column=it["column"],
                classes=tuple(it["classes"]),
                is_multi=it["is_multi"],
                annotators=tuple(it["annotators"] or ()),
                n_rows=it["n_rows"],
                n_answered=it["n_answered"] or 0,
                made=tuple(f"{it['dataset']}@{made['version']}" for made in it["made"]),
                updated_at=it["last_at"] or it["updated_at"],
            )
            for it in workspace.query(_LISTED, dataset, version)
        )
    )
