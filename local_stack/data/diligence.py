"""The ``data diligence`` verb: whether a version can carry a model of a target."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from local_stack.command import command
from local_stack.data import versions
from local_stack.data.versions import DataVersion
from local_stack.errors import InputError, nearest
from local_stack.progress import Progress, Step, silent
from local_stack.results import now
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.data.assessing.diligence import DatasetDiligence, Question


def _reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    version = versions.find(workspace, str(arguments["name"]))
    against = arguments.get("against")
    other = versions.find(workspace, str(against)).reference if against else None
    dataset = workspace.get("datasets", version.dataset) or {}
    return [version.reference, version.target, dataset.get("sensitive"), other]


@command(
    "data.diligence",
    is_long=True,
    reads=_reads,
    example="paceml-tui data diligence credit --target default --sensitive sex",
)
def diligence(
    workspace: Workspace,
    name: str,
    *,
    target: str | None = None,
    task: Literal["classification", "regression"] | None = None,
    against: str | None = None,
    sensitive: tuple[str, ...] = (),
    time: str | None = None,
    group: str | None = None,
    rows: int | None = None,
    progress: Progress = silent,
) -> DatasetDiligence:
    """Judge whether a version can carry a model of a target, and what would go wrong.

    Looks at size, balance, leaks, duplicates, doubtful labels, what plain models reach, whether
    more rows would help, sensitive columns and their proxies, and age. Same rows, same answer.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    target
        Column to predict; the data set's target when left out.
    task
        What to learn; inferred from the target when left out.
    against
        Hold-out version, whose rows must not be in this one.
    sensitive
        Column about a protected trait; repeat it. The data set's own when left out.
    time
        Column to split by, so that models are tested on later rows.
    group
        Column to split by, so that rows of one group stay together.
    rows
        Most rows that models learn from; 25,000 when left out. Statistics take all rows.

    Raises
    ------
    InputError
        A named column is not there, or cannot be used as asked.
    """
    from local_stack.data.assessing.diligence import DatasetDiligence, assess
    from local_stack.data.assessing.subject import subject_of

    version = versions.find(workspace, name)
    chosen = _target(version, target)
    asked = _question(workspace, version, against, sensitive, rows)
    started = clock.monotonic()
    progress(Step("Reading the table"))
    frame = versions.read(workspace, version)
    subject = subject_of(frame, chosen, task=task, group=group, time=time)
    found = assess(frame, subject, chosen, asked, progress)
    return DatasetDiligence(
        dataset=version.dataset,
        version=version.version,
        target=chosen,
        task=found.task,
        n_rows=frame.height,
        n_columns=frame.width,
        verdict=found.verdict,
        risks=tuple(it for it in found.findings if it.severity != "ok"),
        baseline=found.baseline,
        learning_curve=found.learning_curve,
        label_noise=found.label_noise,
        classes=found.classes,
        columns=found.columns,
        sensitive=found.sensitive,
        timing=found.timing,
        findings=found.findings,
        notes=found.notes,
        reproduction={
            "dataset": version.dataset,
            "version": version.version,
            "against": asked.against[0] if asked.against else None,
            "sensitive": list(asked.sensitive),
            "time": time,
            "group": group,
            "rows": asked.rows,
            "seed": 0,
            "assessed_at": now(),
            "seconds": round(clock.monotonic() - started, 3),
        },
    )


def _target(version: DataVersion, target: str | None) -> str:
    columns = [column.name for column in version.schema]
    chosen = target or version.target
    if chosen is None:
        raise InputError(
            f"{version.dataset} has no target, so it must be said what to predict.",
            f"Name one of its columns: --target COLUMN ({', '.join(columns[:6])}, ...)",
        )
    if chosen not in columns:
        raise InputError(
            f"{version.reference} has no column '{chosen}' to predict.", nearest(chosen, columns)
        )
    return chosen


def _question(
    workspace: Workspace,
    version: DataVersion,
    against: str | None,
    sensitive: tuple[str, ...],
    rows: int | None,
) -> Question:
    from local_stack.data.assessing.diligence import ROWS, Question

    if rows is not None and rows < 100:
        raise InputError(f"--rows needs at least 100 rows, not {rows}.")
    dataset = workspace.get("datasets", version.dataset) or {}
    columns = [column.name for column in version.schema]
    declared = tuple(it for it in dataset.get("sensitive") or () if it in columns)
    for it in sensitive:
        if it not in columns:
            raise InputError(
                f"{version.reference} has no column '{it}' to be sensitive.", nearest(it, columns)
            )
    other = None
    if against is not None:
        found = versions.find(workspace, against)
        if found.reference == version.reference:
            raise InputError(
                f"--against names the same version, {found.reference}.", "Name the hold-out."
            )
        other = (found.reference, versions.read(workspace, found))
    return Question(
        sensitive=tuple(dict.fromkeys(sensitive or declared)),
        against=other,
        rows=rows or ROWS,
        created_at=version.created_at,
    )
