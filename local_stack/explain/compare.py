"""Why two models, two data versions, two windows of time or two groups are predicted otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from local_stack.command import command
from local_stack.data import versions
from local_stack.errors import InputError, nearest
from local_stack.explain.contrasting.choosing import AT
from local_stack.explain.contrasting.contrasts import contrast, rows_apart
from local_stack.explain.contrasting.parts import ComparedSide, Comparison
from local_stack.explain.contrasting.sentences import sentences
from local_stack.explain.contrasting.sides import (
    Explained,
    Side,
    attributed,
    log_side,
    most_rows,
    of_output,
    output_of,
    parted,
    units_of,
    version_side,
)
from local_stack.explain.subject import Subject, reads_target, subject_of
from local_stack.progress import Progress, Step, silent
from local_stack.results import now
from local_stack.workspace import Workspace

_WAYS = (
    "Name another model, or --against a data version, or rows by --time, --by or --log with "
    "--a and --b, or --since."
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which two parts of the rows are compared, as it was asked."""

    against: str | None
    time: str | None
    by: str | None
    log: str | None
    a: str | None
    b: str | None
    since: str | None
    until: str | None

    @property
    def has_parts(self) -> bool:
        return any(it is not None for it in (self.a, self.b, self.since, self.until))


_NOTHING = _Asked(None, None, None, None, None, None, None, None)


def _reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Return what a comparison depends on; a log grows, so that it is read every time."""
    targets = [arguments[it] for it in ("target", "other") if arguments.get(it)]
    data = [arguments[it] for it in ("data", "against") if arguments.get(it)]
    return [
        [reads_target(workspace, {"target": it}) for it in targets],
        [versions.find(workspace, str(it)).reference for it in data],
        now() if arguments.get("log") else None,
    ]


@command(
    "explain.compare",
    is_long=True,
    reads=_reads,
    example="paceml-tui explain compare loans@Production --time day --since 2026-05",
)
def compare(
    workspace: Workspace,
    target: str,
    other: str | None = None,
    *,
    data: str | None = None,
    against: str | None = None,
    time: str | None = None,
    by: str | None = None,
    log: str | None = None,
    a: str | None = None,
    b: str | None = None,
    since: str | None = None,
    until: str | None = None,
    rows: int | None = None,
    unit: str | None = None,
    output: str | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Compare two explanations: what the difference of the predictions comes from, by column.

    Parameters
    ----------
    target
        Run id (or latest), or MODEL, MODEL@STAGE, MODEL/VERSION.
    other
        Another model to explain on the same rows.
    data
        Data version whose rows are explained; by default the one that the model learnt from.
    against
        Another data version to compare its rows with.
    time
        Compare two windows of this column of times.
    by
        Compare two groups of this column.
    log
        Compare rows that this endpoint logged: two windows, or all with those of the data version.
    a, b
        The two parts: a value, or FROM..TO with both ends included (2026-05 lasts a month).
        Without --b all other rows that have a value.
    since
        Compare what was before this time with what came from it on.
    until
        The last time that belongs to the second part.
    rows
        Explain at most this many rows of each side, a seeded sample; by default 5,000, or fewer
        where each takes long.
    unit
        Measure in log-odds, probability or target; by default in that of the predictions.
    output
        The class that is compared; by default the second of two, of more the one that moved most.
    """
    asked = _Asked(against, time, by, log, a, b, since, until)
    if rows is not None and rows < 1:
        raise InputError("At least one row of each side is needed.", "Leave --rows out.")
    progress(Step("Loading the model and its rows"))
    subject = subject_of(workspace, target, data)
    if other is None:
        pair = _parts(workspace, subject, asked)
    else:
        pair = _models(workspace, subject, (target, other), asked)
    _check_columns(pair, (target, other or target))
    units = units_of(*pair.subjects, unit)
    most = [most_rows(it, units, rows) for it in pair.subjects]
    if pair.kind == "models":  # the same rows, also where one of them is slower
        most = [min(most)] * 2
    explained: list[Explained] = []
    for side, its, n_rows in zip(pair.sides, pair.subjects, most, strict=True):
        progress(Step(f"Explaining {side.label[:60]}"))
        explained.append(attributed(side, its, units, n_rows, progress))
    one, two = explained
    chosen = output_of(one, two, output)
    models = [it.model for it in pair.subjects]
    sides = of_output(one, chosen, models[1]), of_output(two, chosen, models[0])
    return _compared(pair, *sides, chosen)


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two sides, the model of each, what kind of comparison it is, and what is to note."""

    kind: str
    sides: tuple[Side, Side]
    subjects: tuple[Subject, Subject]
    notes: tuple[str, ...] = ()


def _models(workspace: Workspace, subject: Subject, names: tuple[str, str], asked: _Asked) -> _Pair:
    """Return two models on the same rows."""
    if asked != _NOTHING:
        raise InputError("Two models are compared on the same rows.", "Leave the options out.")
    second = subject_of(workspace, names[1], subject.version.reference)
    one, two = subject.model, second.model
    if (one.task, one.target) != (two.task, two.target):
        raise InputError(
            f"One model predicts {one.target}, the other {two.target} ({one.task}, {two.task}).",
            "Compare models of the same target.",
        )
    if list(map(str, one.classes)) != list(map(str, two.classes)):
        raise InputError("The models know different classes.", "Compare models of the same ones.")
    side = version_side(workspace, subject.version)
    subjects = (subject, second)
    if subject.run_id == second.run_id:
        raise InputError(
            f"{names[0]} and {names[1]} are the same model, which differs in nothing from itself.",
            "Name another one.",
        )
    a, b = (replace(side, label=name) for name in names)
    return _Pair("models", (a, b), subjects)


def _check_columns(pair: _Pair, names: tuple[str, str]) -> None:
    """Raise where the rows of a side lack a column that its model needs."""
    for side, subject, name in zip(pair.sides, pair.subjects, names, strict=True):
        lacking = [
            it.name
            for it in subject.model.inputs
            if it.name not in side.frame.columns and not it.nullable
        ]
        if not lacking:
            continue
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        hint = nearest(lacking[0], side.frame.columns) or "Name rows that have it."
        if pair.kind == "models":
            hint = f"Name data that has the columns of both: --data {_data_of(subject)}"
        raise InputError(
            f"{side.data} has no column '{lacking[0][:80]}'{more}, which {name[:60]} needs.",
            hint,
        )


def _data_of(subject: Subject) -> str:
    """Return the data version that a model learnt from."""
    data = subject.run["datasets"][0]
    return f"{data['name']}@{data['digest']}"


def _parts(workspace: Workspace, subject: Subject, asked: _Asked) -> _Pair:
    """Return two parts of the rows of one model."""
    ways = [it for it in ("against", "time", "by", "log") if getattr(asked, it) is not None]
    if len(ways) != 1:
        said = f"--{' and --'.join(ways)} exclude each other." if ways else "With what?"
        raise InputError(f"One thing is compared with one other. {said}", _WAYS)
    subjects = (subject, subject)
    whole = version_side(workspace, subject.version)
    if asked.against is not None:
        if asked.has_parts:
            raise InputError("Two data versions are compared as a whole.", "Leave --a, --b out.")
        later = versions.find(workspace, asked.against)
        sides = (whole, version_side(workspace, later))
        return _Pair("data", sides, subjects)
    ends = (asked.a, asked.b, asked.since, asked.until)
    if asked.log is not None:
        logged = log_side(workspace, asked.log, subject.model)
        sides = parted(logged, AT, *ends) if asked.has_parts else (whole, logged)
        kind = "windows" if asked.has_parts else "data"
        notes = (_others(subject, logged), *([logged.note] if logged.note else ()))
        return _Pair(kind, sides, subjects, notes)
    if asked.time is not None:
        return _Pair("windows", parted(whole, asked.time, *ends), subjects)
    return _Pair("groups", parted(whole, str(asked.by), *ends), subjects)


def _others(subject: Subject, logged: Side) -> str:
    """Return which versions the log tells of, and which one explains."""
    names = ["paceml.model", "paceml.version"]
    made = logged.frame.select(names).unique().sort(names).rows()
    said = ", ".join(f"{model}/{version}" for model, version in made[:10])
    return (
        f"The rows of the log were predicted by {said}; all are explained with the model of run "
        f"{subject.run_id}."
    )


def _compared(pair: _Pair, a: Explained, b: Explained, output: str) -> Comparison:
    is_paired = pair.kind == "models"
    found = contrast(a, b, is_paired=is_paired)
    sides = _told(a), _told(b)
    outcome = found.outcomes[0]
    notes = list(pair.notes)
    for side in sides[:1] if is_paired else sides:
        if side.n_rows < side.n_total:
            notes.append(f"{side.label}: a sample of {side.n_rows:,} of {side.n_total:,} rows.")
    shap = [it.found[found.unit] for it in (a, b)]
    if not all(it.is_exact for it in shap):
        notes.append("SHAP values were sampled; the intervals hold the chance of rows only.")
    notes += dict.fromkeys(
        it for it in (a.subject.explainer.chance, b.subject.explainer.chance) if it
    )
    return Comparison(
        kind=pair.kind,
        a=sides[0],
        b=sides[1],
        output=output,
        unit=found.unit,
        method=" and ".join(dict.fromkeys(it.method for it in shap)),
        outcome_a=outcome.a,
        outcome_b=outcome.b,
        difference=outcome.difference,
        low=outcome.low,
        high=outcome.high,
        base_difference=outcome.base_difference or 0.0,
        residual=outcome.residual or 0.0,
        outcomes=found.outcomes,
        columns=found.columns,
        rows=rows_apart(a, b) if is_paired else (),
        sentences=sentences(sides, output, found.outcomes, found.columns, is_paired=is_paired),
        notes=tuple(notes),
    )


def _told(side: Explained) -> ComparedSide:
    return ComparedSide(
        label=side.side.label,
        run_id=side.subject.run_id,
        data=side.side.data,
        n_rows=side.rows.height,
        n_total=side.side.frame.height,
    )
