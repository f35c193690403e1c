"""Compare two data versions: schema, rows, cells, and how far each distribution moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local_stack.command import command
from local_stack.data import compute, versions
from local_stack.data.comparing import matching
from local_stack.data.comparing.comparison import Comparison, DataDiff, Runs
from local_stack.data.comparing.matching import Side
from local_stack.data.versions import DataVersion
from local_stack.errors import InputError, nearest
from local_stack.progress import Progress, Step, silent
from local_stack.workspace import Workspace


def _reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    both = [versions.find(workspace, str(arguments[side])) for side in ("before", "after")]
    dataset = workspace.get("datasets", both[1].dataset) or {}
    return [*(version.reference for version in both), dataset.get("keys")]


@command(
    "data.diff",
    is_long=True,
    reads=_reads,
    example="paceml-tui data diff wine@1 wine@2 --key id",
)
def diff(
    workspace: Workspace,
    before: str,
    after: str,
    *,
    key: tuple[str, ...] = (),
    examples: int = 3,
    progress: Progress = silent,
) -> DataDiff:
    """Compare two versions: schema, rows and cells by key, and every column's distribution.

    Rows are matched by the key, which is the one that ``data add`` was given unless it is named
    here; without any, whole rows are compared as often as each occurs. Where a key repeats,
    identical rows are matched first and the rest in the order of the files.

    Parameters
    ----------
    before
        The older version, as NAME, NAME@VERSION or NAME@TAG.
    after
        The newer version.
    key
        Column that identifies a row; repeat it for a compound key.
    examples
        How many rows of each kind (added, removed, changed) to show.

    Raises
    ------
    InputError
        When a named key column is missing on a side, or has types that cannot be equal.
    """
    both = versions.find(workspace, before), versions.find(workspace, after)
    progress(Step("Checking the stored bytes", 0, 1))
    sides = tuple(
        Side(name, versions.table_path(workspace, version), version.schema)
        for name, version in zip(("before", "after"), both, strict=True)
    )
    chosen, notes = _key(workspace, both, key)
    with workspace.scratch() as folder:
        scratch = Path(folder)
        folders = {side.file.parent for side in sides}
        with compute.connect(*folders, scratch=scratch) as connection:
            work = Comparison(sides[0], sides[1], chosen, Runs(connection, progress))
            return work.result(both, notes, examples)


def _key(
    workspace: Workspace, both: tuple[DataVersion, DataVersion], given: tuple[str, ...]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the key to match by, and what is to be said about it."""
    kinds = [{column.name: column.type for column in version.schema} for version in both]
    if given:
        for name in given:
            for version, columns in zip(both, kinds, strict=True):
                if name not in columns:
                    raise InputError(
                        f"{version.reference} has no column '{name}' to match rows by.",
                        nearest(name, columns) or "Name a column that both versions have.",
                    )
        _refuse_other_types(given, kinds)
        return tuple(dict.fromkeys(given)), []
    dataset = workspace.get("datasets", both[1].dataset) or {}
    declared = tuple(dataset.get("keys") or ())
    usable = [
        name in kinds[0]
        and name in kinds[1]
        and matching.is_comparable(kinds[0][name], kinds[1][name])
        for name in declared
    ]
    if declared and all(usable):
        return declared, []
    if declared:
        lost = declared[usable.index(False)]
        note = (
            f"The key column '{lost}' is not the same in both versions; whole rows were compared."
        )
        return (), [note]
    return (), ["There is no key (--key COLUMN), so whole rows were compared."]


def _refuse_other_types(key: Sequence[str], kinds: Sequence[Mapping[str, str]]) -> None:
    for name in key:
        before, after = kinds[0][name], kinds[1][name]
        if not matching.is_comparable(before, after):
            raise InputError(
                f"The key column '{name}' is {before} before and {after} after, "
                "so no row can be matched by it.",
                "Name another key, or import one version with that column in the other's type.",
            )
