"""Runs as the workspace records them: finding, searching and showing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from local_stack import jobs
from local_stack.command import command
from local_stack.errors import InputError, NotFoundError, nearest
from local_stack.progress import Progress, silent
from local_stack.results import Result
from local_stack.runs import search as grammar
from local_stack.runs.relation import EXPERIMENTS, RUNS
from local_stack.runs.search import Clause
from local_stack.runs.syncing import before_reading, look_again
from local_stack.runs.tokens import brief
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars

    from local_stack.runs.exporting import Column
    from local_stack.runs.saved_models import SavedModel

_READ: Final = ", ".join(
    [
        *("run_id", "name", "experiment", "experiment_id", "status", "lifecycle", "actor"),
        *("artifact_uri", "started_at", "ended_at", "params", "metrics", "tags", "source", "job"),
    ]
)
_MOST_KEPT: Final = 10_000
"""As many rows of runs as are kept in memory, some KB each."""
_EVERYTHING: Final = 2**62
"""More rows than there are, for a LIMIT that is none."""


@dataclass(frozen=True, slots=True)
class Run(Result):
    """A run as a search returns it. Times are UTC ISO 8601, None where the store says none.

    ``computed`` holds the columns that were asked for and are none of the run's own, such as
    ``min(metrics.loss)``.
    """

    run_id: str
    name: str
    experiment: str
    status: str
    start_time: str | None
    end_time: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    experiment_id: str = ""
    lifecycle: str = "active"
    user_id: str | None = None
    artifact_uri: str | None = None
    computed: dict[str, float | None] = field(default_factory=dict)

    @property
    def duration(self) -> float | None:
        """Return how long the run took, in seconds; None while it has no end."""
        if not self.start_time or not self.end_time:
            return None
        began, ended = map(datetime.fromisoformat, (self.start_time, self.end_time))
        return (ended - began).total_seconds()


@dataclass(frozen=True, slots=True)
class RunList(Result):
    """The runs that match, in the order asked for, out of ``total``.

    It is a sequence of its runs, a table by :meth:`to_polars`, and shows itself in notebooks.
    ``columns`` are those that were asked for; ``written`` are the files with every matching run.
    """

    runs: tuple[Run, ...]
    total: int
    warnings: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    markdown: str = ""

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, place: int) -> Run:
        return self.runs[place]

    def to_polars(self) -> polars.DataFrame:
        """Return a row a run, with columns named as ``mlflow.search_runs`` names them.

        ``metrics.*`` are Float64, ``params.*`` and ``tags.*`` String, the times Datetime in UTC.
        """
        from local_stack.runs import exporting

        return exporting.frame(self.runs, self.table_columns())

    def table_columns(self) -> tuple[Column, ...]:
        """Return the columns of the table of these runs."""
        from local_stack.runs import exporting

        return exporting.columns_of(self.runs, _read_columns(self.columns))

    def _repr_html_(self) -> str:
        """Return the table, as notebooks show it."""
        from local_stack.runs import exporting

        return exporting.page(self)


@dataclass(frozen=True, slots=True)
class RunDetails(Result):
    """Everything that is known of one run; ``models`` are those that it saved, never loaded."""

    run_id: str
    name: str
    experiment: str
    experiment_id: str
    status: str
    lifecycle: str
    actor: str
    start_time: str
    end_time: str | None
    task: str | None
    target: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    datasets: tuple[dict[str, str], ...]
    recipe: dict[str, Any] | None
    artifact_uri: str
    artifacts: tuple[str, ...]
    model_versions: tuple[str, ...]
    error: str | None
    models: tuple[SavedModel, ...] = ()
    warnings: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """Return what is known of the run as tables, as notebooks show it."""
        from local_stack.runs.comparison import page

        return page.details(self)


@command(
    "runs.search",
    example="paceml-tui runs search 'metrics.rmse < 1 and params.model = \"lightgbm\"'",
)
def search(
    workspace: Workspace,
    filter: str = "",
    *,
    experiment: tuple[str, ...] | str = (),
    order_by: tuple[str, ...] | str = (),
    state: Literal["active", "deleted", "all"] = "active",
    columns: tuple[str, ...] | str = (),
    limit: int = 100,
    csv: Path | None = None,
    parquet: Path | None = None,
    md: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> RunList:
    """Search runs with MLflow's filter grammar, and more.

    The grammar adds OR, NOT, parentheses, BETWEEN, attributes.duration (seconds), numbers
    against each other and added up (metrics.a - metrics.b < 0.1), and what was logged over
    time: min, max, mean, first, last, count and step of a metric, such as
    step(min(metrics.loss)) > 10. --csv, --parquet and --md hold every matching run, whatever
    --limit says.

    Parameters
    ----------
    filter
        Such as: metrics.rmse < 1 and params.model = "lightgbm". Empty matches every run.
    experiment
        Only runs of this experiment, by name or id; repeat it for more.
    order_by
        Such as "metrics.rmse ASC, params.model DESC"; repeat it for further keys.
    state
        Which runs: active, deleted or all.
    columns
        Columns of the table, such as name,metrics.rmse,params.*,min(metrics.loss); all when
        left out.
    limit
        How many runs to return; 0 returns all.
    csv
        Write every matching run to this file; texts that a spreadsheet would run as a formula
        get an apostrophe.
    parquet
        Write every matching run to this file, typed.
    md
        Print every matching run as a table of Markdown.
    force
        Replace files that are there.
    """
    matched, ordered = grammar.where(filter), grammar.order(order_by)
    if limit < 0:
        raise InputError("--limit cannot be negative.", "Take 0 for all runs.")
    columns = (columns,) if isinstance(columns, str) else columns
    is_written = bool(csv or parquet or md)
    wanted = _read_columns(columns) if columns or is_written else ()
    numbers = grammar.numbers(each.key for each in wanted if each.is_computed)
    warnings = before_reading(workspace, progress)
    condition = _condition(workspace, matched, experiment, state)
    most = None if is_written or not limit else limit
    runs, total = _found(workspace, condition, ordered, numbers, most)
    needed = [] if runs else [*grammar.keys(filter)]
    needed += [key for key in grammar.order_keys(order_by) if not _has(runs, *key)]
    result = RunList(
        runs=runs[:limit] if limit else runs,
        total=total,
        warnings=(*warnings, *_unknown(workspace, dict.fromkeys(needed))),
        columns=tuple(columns),
    )
    if not columns and not is_written:
        return result
    from local_stack.runs import exporting

    table = exporting.columns_of(runs, wanted)
    result = replace(result, warnings=(*result.warnings, *exporting.unseen(runs, table)))
    if not is_written:
        return result
    written = exporting.write(workspace, runs, table, csv=csv, parquet=parquet, force=force)
    text = exporting.markdown(runs, table) if md else ""
    return replace(result, written=written, markdown=text)


def _read_columns(columns: tuple[str, ...]) -> Sequence[Any]:
    from local_stack.runs import exporting  # a search that shows no table needs it not

    return exporting.read_columns(columns)


def _condition(
    workspace: Workspace, matched: Clause, experiment: tuple[str, ...] | str, state: str
) -> Clause:
    """Return the whole condition of a search."""
    sql, values = f"({matched.sql})", matched.parameters
    if experiment:
        names = (experiment,) if isinstance(experiment, str) else tuple(experiment)
        _check_experiments(workspace, names)
        marks = ", ".join("?" * len(names))
        sql = f"{sql} AND (experiment IN ({marks}) OR experiment_id IN ({marks}))"
        values = (*values, *names, *names)
    if state != "all":
        sql, values = f"{sql} AND lifecycle = ?", (*values, state)
    return Clause(sql, values)


def _found(
    workspace: Workspace,
    condition: Clause,
    ordered: Clause,
    numbers: Mapping[str, Clause],
    most: int | None,
) -> tuple[tuple[Run, ...], int]:
    """Return the first ``most`` runs, or all of them, with ``numbers`` computed; and the total."""
    # To count in passing spares a second search, but costs more than to count all runs.
    is_counted = most is not None and not condition.sql.startswith("(TRUE)")
    kept = workspace.run_index.kept
    selected = [f"{number.sql} AS computed_{at}" for at, number in enumerate(numbers.values())]
    selected += ["count(*) OVER () AS n_match"] if is_counted else []
    rows = workspace.query(
        f"SELECT {', '.join([_READ if kept is None else 'run_id', *selected])} FROM {RUNS} "  # noqa: S608 - parameters only
        f"WHERE {condition.sql} ORDER BY {ordered.sql} LIMIT ?",
        *(value for number in numbers.values() for value in number.parameters),
        *condition.parameters,
        *ordered.parameters,
        _EVERYTHING if most is None else most,
    )
    total = len(rows)
    if is_counted and rows:
        total = rows[0]["n_match"]
    elif total == most:
        sql = f"SELECT count(*) AS n FROM {RUNS} WHERE {condition.sql}"  # noqa: S608 - parameters only
        total = workspace.query(sql, *condition.parameters)[0]["n"]
    whole = map(_decoded, rows) if kept is None else _whole(workspace, rows, kept)
    if not numbers:
        return tuple(_run(workspace, row) for row in whole), total
    computed = {row["run_id"]: row for row in rows}
    return tuple(
        _run(
            workspace,
            row,
            {text: computed[row["run_id"]][f"computed_{at}"] for at, text in enumerate(numbers)},
        )
        for row in whole
    ), total


def _whole(workspace: Workspace, found: Sequence[Row], kept: dict[str, Row]) -> Iterator[Row]:
    """Yield the rows of the runs that were found; what was read before is not read again.

    A run that is gone meanwhile is left out.
    """
    missing = [row["run_id"] for row in found if row["run_id"] not in kept]
    if missing:
        if len(kept) + len(missing) > _MOST_KEPT:
            kept.clear()
            missing = [row["run_id"] for row in found]
        sql = f"SELECT {_READ} FROM {RUNS} WHERE run_id IN (SELECT unnest(?))"  # noqa: S608 - our own names
        read = {row["run_id"]: _decoded(row) for row in workspace.query(sql, missing)}
        if len(read) <= _MOST_KEPT:
            kept.update(read)
        else:
            kept = read
    for row in found:
        if row["run_id"] in kept:
            yield kept[row["run_id"]]


def _check_experiments(workspace: Workspace, names: Sequence[str]) -> None:
    """Raise for an experiment that nobody knows, with the nearest name."""
    rows = workspace.query(f"SELECT name, experiment_id FROM {EXPERIMENTS}")  # noqa: S608 - our own name
    known = [str(row["name"]) for row in rows] + [str(row["experiment_id"]) for row in rows]
    for name in names:
        if name not in known:
            raise NotFoundError(
                f"There is no experiment '{brief(name)}'.",
                nearest(name[:60], known) or "List the runs of all: paceml-tui runs search",
            )


def _has(runs: Sequence[Run], group: str, key: str) -> bool:
    return any(key in getattr(run, group) for run in runs)


def _unknown(workspace: Workspace, asked: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a sentence for each (group, key) that no run has: it is likely a slip."""
    for group, key in asked:
        rows = workspace.query(
            f"SELECT DISTINCT unnest(json_keys({group})) AS key FROM {RUNS}"  # noqa: S608 - our own names
        )
        known = [row["key"] for row in rows]
        if known and key not in known:
            yield f"No run has {group}.{brief(key)}. {nearest(key[:60], known)}".strip()


@command("runs.show", example="paceml-tui runs show RUN_ID")
def show(workspace: Workspace, run: str, *, progress: Progress = silent) -> RunDetails:
    """Show everything that is known of a run.

    Parameters
    ----------
    run
        Run id, an unambiguous beginning of it, or latest.
    """
    from local_stack.runs.saved_models import models_of, refusals

    before_reading(workspace, progress)
    row = find_run(workspace, run)
    models = models_of(workspace, row)
    registered = workspace.query(
        "SELECT name, version FROM model_versions WHERE run_id = ? ORDER BY ALL", row["run_id"]
    )
    return RunDetails(
        run_id=row["run_id"],
        name=row["name"],
        experiment=row["experiment"],
        experiment_id=row["experiment_id"],
        status=status(workspace, row),
        lifecycle=row["lifecycle"],
        actor=row["actor"],
        start_time=row["started_at"],
        end_time=row["ended_at"],
        task=row["task"],
        target=row["target"],
        params=row["params"] or {},
        metrics=_numbers(row["metrics"]),
        tags=row["tags"] or {},
        datasets=tuple(row["datasets"] or ()),
        recipe=row["recipe"],
        artifact_uri=row["artifact_uri"],
        artifacts=tuple(sorted(row["artifacts"] or ())),
        model_versions=tuple(f"{item['name']}/{item['version']}" for item in registered),
        error=row["error"],
        models=models,
        warnings=refusals(models),
    )


def find_run(workspace: Workspace, run: str) -> Row:
    """Return the row of the run with this id, or with an id that begins so, or the ``latest``.

    Raises
    ------
    NotFoundError
        When none or more than one fits; ``details`` name two of these.
    """
    if run == "latest":
        newest = workspace.query(
            f"SELECT run_id FROM {RUNS} WHERE lifecycle = 'active' "  # noqa: S608 - our own name
            "ORDER BY started_at DESC NULLS LAST LIMIT 1"
        )
        run = newest[0]["run_id"] if newest else run
    rows = _beginning(workspace, run)
    if not rows and run:
        look_again(workspace)  # another client may just have made it
        rows = _beginning(workspace, run)
    if run and rows and rows[0]["run_id"] == run:
        return rows[0]
    if len(rows) != 1 or not run:
        what = "no run" if not rows else "more than one run"
        raise NotFoundError(
            f"There is {what} '{run}'.",
            "List them with: paceml-tui runs search",
            details={"runs": [row["run_id"] for row in rows]} if run and rows else None,
        )
    return rows[0]


def _beginning(workspace: Workspace, run: str) -> Sequence[Row]:
    """Return two runs at most whose ids begin so."""
    return workspace.query(
        f"SELECT * FROM {RUNS} WHERE starts_with(run_id, ?) "  # noqa: S608 - our own name
        "ORDER BY run_id LIMIT 2",
        run,
    )


def status(workspace: Workspace, row: Row) -> str:
    """Return the run's status; a RUNNING run of ours whose process is gone was KILLED."""
    recorded = str(row["status"])
    if row.get("source", "workspace") != "workspace":
        return recorded
    if recorded == "RUNNING" and not jobs.is_alive(workspace, row["job"] or ""):
        return "KILLED"
    return recorded


def _decoded(row: Row) -> Row:
    """Return a row of a run with what it lacks empty, and metrics as floats."""
    return {
        **row,
        "params": row["params"] or {},
        "metrics": _numbers(row["metrics"]),
        "tags": row["tags"] or {},
    }


def _run(workspace: Workspace, row: Row, computed: dict[str, float | None] | None = None) -> Run:
    """Return the run of a decoded row, which may be kept: nothing is shared with it."""
    return Run(
        run_id=row["run_id"],
        name=row["name"],
        experiment=row["experiment"],
        status=status(workspace, row),
        start_time=row["started_at"],
        end_time=row["ended_at"],
        params=row["params"].copy(),
        metrics=row["metrics"].copy(),
        tags=row["tags"].copy(),
        experiment_id=row["experiment_id"],
        lifecycle=row["lifecycle"],
        user_id=row["actor"],
        artifact_uri=row["artifact_uri"],
        computed=computed or {},
    )


def _numbers(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """Return metrics as floats; the journal holds NaN and the infinities as text."""
    return {key: float(value) for key, value in (metrics or {}).items()}
