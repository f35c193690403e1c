"""The history of a data set: which versions there are, what each changed, and their tags."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_stack.command import command
from local_stack.data import versions
from local_stack.errors import InputError, NotFoundError, nearest
from local_stack.names import label, split_reference
from local_stack.progress import Progress, silent
from local_stack.results import Result
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.workspace import Workspace

_HASH = re.compile(r"[0-9a-f]{12,64}")
_NUMBER = re.compile(r"[0-9]{1,6}")

_RUNS = (
    "SELECT d.u.digest AS version, r.run_id, m.name AS model, m.version AS model_version "
    "FROM (SELECT run_id, unnest(from_json(datasets, "
    '\'[{"name": "VARCHAR", "digest": "VARCHAR"}]\')) AS u FROM runs) d '
    "JOIN runs r ON r.run_id = d.run_id "
    "LEFT JOIN model_versions m ON m.run_id = r.run_id "
    "WHERE d.u.name = ? ORDER BY r.started_at, r.run_id, m.name, m.version"
)


@dataclass(frozen=True, slots=True)
class LogEntry(Result):
    """A version in the history of its data set.

    ``change`` sums up what it has that the version before had not (``+`` new, ``-`` gone and
    ``~`` retyped columns, then rows); ``change_details`` names the columns. ``passed`` is how it
    went with the newest contract it was checked against, None when it never was. ``runs`` and
    ``models`` were made from it.
    """

    number: int
    version: str
    created_at: str
    actor: str
    rows: int
    columns: int
    change: str
    tags: tuple[str, ...]
    passed: bool | None
    rejects: int
    runs: tuple[str, ...]
    models: tuple[str, ...]
    note: str
    source: str
    command: str
    change_details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DataLog(Result):
    """Every version of a data set, the newest first."""

    dataset: str
    versions: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True)
class TagChange(Result):
    """Where a tag points now, and where it pointed before (None: nowhere)."""

    dataset: str
    tag: str
    version: str | None
    previous: str | None


@command("data.log", example="paceml-tui data log wine")
def log(
    workspace: Workspace, name: str, *, limit: int = 100, progress: Progress = silent
) -> DataLog:
    """List the versions of a data set, newest first: what changed, by whom, and who used it.

    Parameters
    ----------
    name
        Data set.
    limit
        How many versions to return.
    """
    dataset = _dataset(workspace, split_reference(name)[0])
    rows = workspace.query(
        "SELECT * FROM data_versions WHERE dataset = ? ORDER BY number DESC LIMIT ?",
        dataset,
        max(0, limit) + 1,  # the oldest one shown is told by the one before it
    )
    tags, passed = _tags(workspace, dataset), _passed(workspace, dataset)
    runs, models = _uses(workspace, dataset)
    entries = []
    for row, before in zip(rows, [*rows[1:], None], strict=True):
        version, details = row["version"], _details(before, row)
        entries.append(
            LogEntry(
                number=row["number"],
                version=version,
                created_at=row["created_at"],
                actor=row["actor"],
                rows=row["n_rows"],
                columns=row["n_columns"],
                change=_summary(details) if before else "first",
                tags=tuple(tags[version]),
                passed=passed.get(version),
                rejects=row["rejects"] or 0,
                runs=tuple(runs[version]),
                models=tuple(models[version]),
                note=row["note"] or "",
                source=row["source"],
                command=str((row["lineage"] or {}).get("command") or ""),
                change_details=details,
            )
        )
    return DataLog(dataset, tuple(entries[: max(0, limit)]))


@command("data.tag", writes=True, example="paceml-tui data tag wine@4f2a golden")
def tag(
    workspace: Workspace,
    name: str,
    tag: str,
    *,
    delete: bool = False,
    progress: Progress = silent,
) -> TagChange:
    """Name a version, or move a tag to it; the journal keeps where it pointed before.

    Parameters
    ----------
    name
        Version to be named, as NAME, NAME@VERSION or NAME@TAG; with --delete the data set.
    tag
        The name, such as golden.
    delete
        Take the tag away instead; the version stays.
    """
    if delete:
        return _untag(workspace, _dataset(workspace, split_reference(name)[0]), tag)
    tag = tag_label(tag)
    version = versions.find(workspace, name)
    before: list[str | None] = [None]

    def decide(state: Metadata) -> Draft | None:
        _refuse_ambiguous(state, version.dataset, tag)
        row = state.get("data_tags", version.dataset, tag)
        before[0] = row["version"] if row else None
        if before[0] == version.version:
            return None
        body = {"tag": tag, "version": version.version, "previous": before[0]}
        new = {"dataset": version.dataset, "tag": tag, "version": version.version}
        return Draft("data.tagged", f"data:{version.dataset}", body, [("data_tags", new)])

    workspace.append(decide)
    return TagChange(version.dataset, tag, version.version, before[0])


def tag_label(text: str) -> str:
    """Return ``text`` as a tag: a label that cannot be taken for a version.

    Raises
    ------
    InputError
        When it is no label, holds ``@``, or looks like a version's hash or number.
    """
    tag = label(text, "tag")
    if "@" in tag:
        raise InputError(f"The tag '{tag}' holds '@', which stands before a tag.", "Leave it out.")
    if _HASH.fullmatch(tag) or _NUMBER.fullmatch(tag):
        noun = "hash" if _HASH.fullmatch(tag) else "number"
        raise InputError(
            f"The tag '{tag}' looks like the {noun} of a version.",
            "Add a word to it, such as golden or release-1.",
        )
    return tag


def _untag(workspace: Workspace, dataset: str, tag: str) -> TagChange:
    before: list[str] = []

    def decide(state: Metadata) -> Draft:
        row = state.get("data_tags", dataset, tag)
        if row is None:
            found = state.find("data_tags", dataset=dataset)
            raise NotFoundError(
                f"Data set '{dataset}' has no tag '{tag}'.",
                nearest(tag, [each["tag"] for each in found])
                or f"Look at it with: paceml-tui data log {dataset}",
            )
        before.append(row["version"])
        body = {"tag": tag, "version": None, "previous": row["version"]}
        key = {"dataset": dataset, "tag": tag}
        return Draft("data.untagged", f"data:{dataset}", body, [("data_tags", key, None)])

    workspace.append(decide)
    return TagChange(dataset, tag, None, before[0])


def _refuse_ambiguous(state: Metadata, dataset: str, tag: str) -> None:
    """Raise for a tag with which some version begins: references may be shortened."""
    if len(tag) < versions.LEAST_PREFIX:
        return
    rows = state.query(
        "SELECT version FROM data_versions WHERE dataset = ? AND starts_with(version, ?)",
        dataset,
        tag,
    )
    if rows:
        raise InputError(
            f"The tag '{tag}' is how version {rows[0]['version']} begins.",
            "Take a name that is not the beginning of a version.",
        )


def _dataset(workspace: Workspace, name: str) -> str:
    """Return the name of an existing data set."""
    if workspace.get("datasets", name) is None:
        versions.find(workspace, name)  # raises, naming the nearest
    return name


def _tags(workspace: Workspace, dataset: str) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in workspace.metadata.find("data_tags", dataset=dataset):
        found[row["version"]].append(row["tag"])
    return found


def _passed(workspace: Workspace, dataset: str) -> Mapping[str, bool]:
    """Return for each checked version how its newest contract went."""
    rows = workspace.query(
        "SELECT version, passed FROM checks WHERE dataset = ? ORDER BY contract", dataset
    )
    return {row["version"]: row["passed"] for row in rows}


def _uses(
    workspace: Workspace, dataset: str
) -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    """Return the runs and the registered models that were made from each version."""
    runs: dict[str, dict[str, None]] = defaultdict(dict)
    models: dict[str, dict[str, None]] = defaultdict(dict)
    for row in workspace.query(_RUNS, dataset):
        runs[row["version"]][row["run_id"]] = None
        if row["model"] is not None:
            models[row["version"]][f"{row['model']}/{row['model_version']}"] = None
    return (
        defaultdict(list, {version: list(found) for version, found in runs.items()}),
        defaultdict(list, {version: list(found) for version, found in models.items()}),
    )


def _details(before: Row | None, after: Row) -> dict[str, Any]:
    """Return what the records of two versions tell of their difference, without their tables."""
    if before is None:
        return {}
    old = {column["name"]: column["type"] for column in before["columns"]}
    new = {column["name"]: column["type"] for column in after["columns"]}
    return {
        "rows": after["n_rows"] - before["n_rows"],
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "retyped": [
            {"column": name, "before": old[name], "after": kind}
            for name, kind in new.items()
            if name in old and old[name] != kind
        ],
    }


def _summary(details: Mapping[str, Any]) -> str:
    marks = {"added": "+", "removed": "-", "retyped": "~"}
    parts = [f"{mark}{len(details[word])}" for word, mark in marks.items() if details[word]]
    columns = f"{' '.join(parts)} columns" if parts else "same columns"
    rows = f"{details['rows']:+} rows" if details["rows"] else "as many rows"
    return f"{columns}, {rows}"
