"""The ``runs compare`` verb: what tells any number of runs apart, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from local_stack.command import command
from local_stack.errors import InputError, NotFoundError
from local_stack.progress import Progress, Step, silent
from local_stack.runs.comparison import contents, exporting, origins, scoring
from local_stack.runs.comparison.curves import curves
from local_stack.runs.comparison.shape import ComparedRun, Difference, Omitted, RunComparison
from local_stack.runs.records import find_run, status
from local_stack.runs.relation import RUNS
from local_stack.runs.syncing import before_reading
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

_NOTE = "mlflow.note.content"
_MACHINE_TAGS = ("mlflow.", "paceml.")
_CPU, _MEMORY = "paceml.cpu_seconds", "paceml.peak_memory_bytes"


@command("runs.compare", example="paceml-tui runs compare latest RUN_ID --csv runs.csv")
def compare(
    workspace: Workspace,
    runs: tuple[str, ...] | str,
    *,
    baseline: str | None = None,
    all: bool = False,
    higher: tuple[str, ...] = (),
    lower: tuple[str, ...] = (),
    csv: Path | None = None,
    parquet: Path | None = None,
    md: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> RunComparison:
    """Compare runs: what differs in metrics, params, data, artefacts, code and environment.

    A metric's delta is its value minus the baseline's. Where both runs stored their predictions
    of the same held-out rows, its interval is a paired bootstrap of these rows (2,000 seeded
    resamples, 95 % percentiles), and an interval that holds 0 is no clear difference.

    Parameters
    ----------
    runs
        Two or more run ids, unambiguous beginnings of them, or latest.
    baseline
        The run that the others are measured against; the first one when left out.
    all
        Also what is the same in every run.
    higher
        Metric of which more is better, when its name does not tell; repeat it for more.
    lower
        Metric of which less is better, when its name does not tell; repeat it for more.
    csv
        Write every row to this file, runs side by side; texts that a spreadsheet would run as
        a formula get an apostrophe.
    parquet
        Write every row to this file, typed, one a run and key.
    md
        Print every row as Markdown.
    force
        Replace files that are there.
    """
    given = [runs] if isinstance(runs, str) else list(runs)
    before = before_reading(workspace, progress)
    rows = _rows(workspace, [*given, *([baseline] if baseline else [])])
    if len(rows) < 2:
        raise InputError(
            "A comparison needs two different runs.", "List them with: paceml-tui runs search"
        )
    base = len(rows) - 1 if baseline else 0
    if baseline:
        wanted = _rows(workspace, [baseline])[0]["run_id"]
        base = next(at for at, row in enumerate(rows) if row["run_id"] == wanted)
    whole = _compared(workspace, rows, base, higher, lower, progress)
    whole = replace(whole, warnings=(*before, *whole.warnings))
    shown = whole if all else whole.differing()
    written = exporting.write(workspace, whole, csv=csv, parquet=parquet, force=force)
    text = exporting.markdown(whole) if md else ""
    return replace(shown, written=written, markdown=text)


def _compared(
    workspace: Workspace,
    rows: Sequence[Row],
    base: int,
    higher: Sequence[str],
    lower: Sequence[str],
    progress: Progress,
) -> RunComparison:
    ids = [row["run_id"] for row in rows]
    progress(Step("Looking for stored files"))
    files = _files(workspace, ids)
    metrics = [{key: float(value) for key, value in (row["metrics"] or {}).items()} for row in rows]
    test = scoring.pairing(workspace, rows, files, base, progress)
    scored = scoring.compared(rows, metrics, base, test, higher=higher, lower=lower)
    known = {metric.key for metric in scored}
    unused = [key for key in (*higher, *lower) if key not in known]
    broken = [f"{row['run_id'][:8]}: {row['problem']}" for row in rows if row["problem"]]
    progress(Step("Comparing artefacts"))
    return RunComparison(
        baseline=ids[base],
        runs=tuple(_run(workspace, row) for row in rows),
        metrics=scored,
        params=differences([row["params"] or {} for row in rows]),
        tags=differences([_tags(row) for row in rows]),
        datasets=contents.datasets(workspace, rows),
        artifacts=contents.artifacts(workspace, rows, files),
        environment=differences(
            [
                origins.origin(workspace, row, stored)
                for row, stored in zip(rows, files, strict=True)
            ]
        ),
        curves=curves(workspace, ids, [metric.key for metric in scored]),
        omitted=Omitted(),
        warnings=(*broken, *(f"No run has a metric '{key}'." for key in unused)),
    )


def differences(found: Sequence[Mapping[str, Any]]) -> tuple[Difference, ...]:
    """Return the values of every key that one of the mappings has, by name."""
    keys = sorted({key for values in found for key in values})
    compared = []
    for key in keys:
        values = tuple(None if values.get(key) is None else str(values[key]) for values in found)
        compared.append(Difference(key, values, len(set(values)) > 1))
    return tuple(compared)


def _rows(workspace: Workspace, names: Sequence[str]) -> list[Row]:
    """Return the rows of the runs that are meant, each once, in the order they are named."""
    exact = workspace.query(
        f"SELECT * FROM {RUNS} WHERE list_contains(?, run_id)",  # noqa: S608 - our own name
        list(names),
    )
    known = {row["run_id"]: row for row in exact}
    found: dict[str, Row] = {}
    missing = []
    for name in names:
        try:
            row = known.get(name) or find_run(workspace, name)
        except NotFoundError as error:
            missing.append(error)
            continue
        found.setdefault(row["run_id"], row)
    if missing:
        raise missing[0]
    return list(found.values())


def _files(workspace: Workspace, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the stored blobs of each run by the path of the artefact."""
    rows = workspace.query(
        "SELECT run_id, files, model FROM runs WHERE list_contains(?, run_id)", list(ids)
    )
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        members = (row["model"] or {}).get("members") or {}
        model = {f"model/{path}": blob for path, blob in members.items()}
        found[row["run_id"]] = model | dict(row["files"] or {})
    return [found.get(run, {}) for run in ids]


def _run(workspace: Workspace, row: Row) -> ComparedRun:
    tags = row["tags"] or {}
    cost, memory = _number(tags.get(_CPU)), _number(tags.get(_MEMORY))
    return ComparedRun(
        run_id=row["run_id"],
        name=row["name"] or "",
        experiment=row["experiment"] or "",
        status=status(workspace, row),
        lifecycle=row["lifecycle"] or "",
        actor=row["actor"] or "",
        source=row["source"] or "",
        start_time=row["started_at"],
        end_time=row["ended_at"],
        seconds=_seconds(row["started_at"], row["ended_at"]),
        cpu_seconds=cost,
        peak_memory_bytes=None if memory is None else int(memory),
        parent=row["parent"],
        problem=row["problem"],
    )


def _tags(row: Row) -> dict[str, str]:
    """Return the tags that people wrote, and the note; what programs wrote is told elsewhere."""
    tags = row["tags"] or {}
    return {
        key: text for key, text in tags.items() if key == _NOTE or not key.startswith(_MACHINE_TAGS)
    }


def _seconds(start: str | None, end: str | None) -> float | None:
    if not start or not end:
        return None
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except ValueError:
        return None


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if abs(value) < 2**53 else None
