"""Why a model predicts what it does for one row, what would change it, and what is like it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from local_stack.command import JsonText, command
from local_stack.errors import InputError, StackError
from local_stack.explain.deciding.answers import Answer, read_row
from local_stack.explain.deciding.constraints import Wishes
from local_stack.explain.deciding.counterfactuals import Counterfactual
from local_stack.explain.deciding.inquiry import Inquiry, Ways
from local_stack.explain.deciding.reasons import Contribution, Measure, ordered, reasons, shown
from local_stack.explain.deciding.similar import SimilarRows
from local_stack.explain.deciding.trace import Trace
from local_stack.explain.recalling import Recalled, recalled
from local_stack.explain.subject import reads_target, subject_of, target_run
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now
from local_stack.workspace import Workspace

_MOST_WAYS = 20
_MOST_SIMILAR = 1_000


@dataclass(frozen=True, slots=True)
class RowExplanation(Result):
    """One prediction, why it is so, what would change it, and what is like it.

    ``row`` holds the columns that the model uses; ``index`` is its number in the data version and
    ``outcome`` its target, None where it is not from there. ``output`` is what the contributions
    are about: the target, or a class; ``base_value`` plus them is ``score`` in ``unit``, up to
    ``additivity_error``. ``against`` is what lowers it; ``adverse`` are the principal reasons: what
    speaks against another outcome than the predicted one. The largest come first.

    ``counterfactual`` is the smallest of ``counterfactuals``, changes that lead to ``desired``;
    ``counterfactual_note`` says why there are not as many as asked for, and ``held`` which
    columns stayed as they are, and why. ``similar`` and ``trace`` are None unless asked for.

    Of a logged prediction ``is_equal`` and ``is_explanation_equal`` say whether the same bits came
    out again, None where there is nothing to compare. Where its model cannot be asked any more,
    everything is what was logged; what was not is None, or empty.
    """

    run_id: str
    data_version: str
    index: int | None
    prediction_id: str | None
    row: dict[str, Any]
    outcome: Any
    prediction: Any
    probabilities: dict[str, float]
    threshold: float | None
    output: str
    unit: str
    units: tuple[str, ...]
    method: str
    base_value: float
    score: float
    contributions: tuple[Contribution, ...]
    additivity_error: float
    summary: str
    reasons: tuple[str, ...]
    against: tuple[str, ...]
    adverse: tuple[str, ...]
    desired: str
    counterfactual: Counterfactual | None
    counterfactuals: tuple[Counterfactual, ...]
    counterfactual_note: str
    held: dict[str, str]
    similar: SimilarRows | None
    trace: Trace | None
    notes: tuple[str, ...] = ()
    is_equal: bool | None = None
    is_explanation_equal: bool | None = None


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked about a row besides its contributions."""

    unit: str | None = None
    output: str | None = None
    counterfactuals: int = 1
    desired: str = ""
    wishes: Wishes | None = None
    similar: int = 0
    by: str = "values"
    has_trace: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Where a row is from: its number in the data version, or the prediction that was logged."""

    index: int | None = None
    recalled: Recalled | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what is to be said of a logged prediction."""
        if self.recalled is None:
            return ()
        said = []
        if self.recalled.is_equal:
            said.append("The model says the same now as it did then, to the last bit.")
        if self.recalled.is_explanation_equal:
            said.append("Its explanation is the logged one, to the last bit.")
        return (*said, *self.recalled.notes)


_WITHOUT_ROWS = "counterfactuals and similar rows are not looked for."


def _reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Return what an answer depends on: also what the contract and the data set hold fixed.

    Of a logged prediction it is asked every time whether the same bits come out again.
    """
    if arguments.get("prediction"):
        return now()
    read = reads_target(workspace, arguments)
    dataset = workspace.get("datasets", read[2][0]["name"]) or {}
    return [*read, dataset.get("contract"), dataset.get("sensitive")]


@command(
    "explain.row",
    is_long=True,
    reads=_reads,
    example="paceml-tui explain row wine@Production --index 12 --counterfactuals 3",
)
def row(
    workspace: Workspace,
    target: str,
    *,
    row: JsonText | Mapping[str, Any] | None = None,
    index: int | None = None,
    prediction: str | None = None,
    unit: str | None = None,
    output: str | None = None,
    counterfactuals: int = 1,
    desired: str = "",
    immutable: tuple[str, ...] = (),
    increase: tuple[str, ...] = (),
    decrease: tuple[str, ...] = (),
    similar: int = 0,
    by: Literal["values", "profile"] = "values",
    trace: bool = False,
    progress: Progress = silent,
) -> RowExplanation:
    """Explain one prediction: contributions, reasons, what would change it, what is like it.

    Parameters
    ----------
    target
        Run id (or latest), or MODEL, MODEL@STAGE, MODEL/VERSION.
    row
        The row as a JSON object of raw columns, in a pipeline also as a mapping.
    index
        Number of a row of the data version that the model learnt from, counted from 0.
    prediction
        Id of a logged prediction.
    unit
        Measure in log-odds, probability or target; by default as the model itself adds up.
    output
        The class to explain; by default the second of two, or the predicted one of many.
    counterfactuals
        Look for so many ways to another outcome, each of other columns; 0 for none.
    desired
        The outcome they lead to: a class, or for a number >=6, <=6, 5..6.
    immutable
        A column that must stay as it is, repeatable. Sensitive columns and those that the
        contract calls immutable stay anyway.
    increase, decrease
        A column that may only grow, or only shrink, repeatable.
    similar
        Show so many of the most similar training rows.
    by
        Similar by the values of the columns, or by the profile of their SHAP values.
    trace
        Show each step from the raw row to the prediction.
    """
    given = [row is not None, index is not None, prediction is not None]
    if sum(given) != 1:
        raise InputError(
            "Exactly one of --row, --index and --prediction is needed.",
            "Example: paceml-tui explain row latest --index 0",
        )
    if not 0 <= counterfactuals <= _MOST_WAYS or not 0 <= similar <= _MOST_SIMILAR:
        raise InputError(
            f"At most {_MOST_WAYS} counterfactuals and {_MOST_SIMILAR:,} similar rows are looked "
            "for, and no fewer than 0."
        )
    progress(Step("Loading the model and its rows"))
    source = Source(index)
    if prediction is not None:
        target, source = _logged(workspace, target, prediction)
    try:
        subject = subject_of(workspace, target, needs_rows=index is not None)
    except StackError as error:
        if source.recalled is None:
            raise
        return _as_logged(workspace, source.recalled, source.notes, error)
    if source.recalled is not None and source.recalled.is_equal is None:
        return _as_logged(workspace, source.recalled, source.notes)
    if subject.lacks:
        counterfactuals = similar = 0
    inquiry = Inquiry(workspace, subject)
    asked = Questions(
        unit=unit,
        output=output,
        counterfactuals=counterfactuals,
        desired=desired,
        wishes=Wishes(immutable, increase, decrease),
        similar=similar,
        by=by,
        has_trace=trace,
    )
    if source.recalled is not None:
        values = source.recalled.logged.row
    else:
        values = inquiry.row(index) if index is not None else read_row(inquiry.model, row or "")
    return explained(inquiry, values, source, asked, progress)


def explained(
    inquiry: Inquiry,
    row: Mapping[str, Any],
    source: Source,
    asked: Questions,
    progress: Progress = silent,
) -> RowExplanation:
    """Return all that is asked about a row of JSON values."""
    checked = inquiry.check(row)
    found = inquiry.answer(checked, asked.unit, asked.output)
    ways = None
    if asked.counterfactuals:
        progress(Step("Looking for counterfactuals"))
        n, wanted = asked.counterfactuals, asked.desired
        ways = inquiry.counterfactuals(checked, n, wanted, asked.wishes, leave_out=source.index)
    alike = None
    if asked.similar:
        progress(Step("Looking for similar rows"))
        alike = inquiry.similar(
            checked, asked.similar, by=asked.by, unit=asked.unit, leave_out=source.index
        )
    steps = inquiry.trace(checked, found.output) if asked.has_trace else None
    names = {column.name for column in inquiry.model.inputs}
    values = {name: value for name, value in row.items() if name in names}
    return _result(inquiry, values, source, found, ways, alike, steps)


def _result(
    inquiry: Inquiry,
    values: dict[str, Any],
    source: Source,
    found: Answer,
    ways: Ways | None,
    alike: SimilarRows | None,
    steps: Trace | None,
) -> RowExplanation:
    subject, again = inquiry.subject, source.recalled
    best = ways.found.counterfactuals if ways else ()
    chance = subject.explainer.chance
    lacks = f"{subject.lacks}: {_WITHOUT_ROWS}" if subject.lacks else ""
    return RowExplanation(
        run_id=subject.run_id,
        data_version=subject.version.reference,
        index=source.index,
        prediction_id=again.logged.prediction_id if again else None,
        row=values,
        outcome=None if source.index is None else inquiry.outcome(source.index),
        prediction=found.prediction,
        probabilities=found.probabilities,
        threshold=found.threshold,
        output=found.output,
        unit=found.unit,
        units=found.units,
        method=found.method,
        base_value=found.base_value,
        score=found.score,
        contributions=found.contributions,
        additivity_error=found.additivity_error,
        summary=found.summary,
        reasons=found.reasons,
        against=found.against,
        adverse=found.adverse,
        desired=ways.desired if ways else "",
        counterfactual=best[0] if best else None,
        counterfactuals=best,
        counterfactual_note=ways.found.note if ways else "",
        held=ways.held if ways else {},
        similar=alike,
        trace=steps,
        notes=(*source.notes, *(it for it in (lacks, chance) if it)),
        is_equal=again.is_equal if again else None,
        is_explanation_equal=again.is_explanation_equal if again else None,
    )


def _logged(workspace: Workspace, target: str, prediction_id: str) -> tuple[str, Source]:
    """Return a logged prediction, and the version that made it: ``target`` must mean that one."""
    found = recalled(workspace, prediction_id)
    made_by = found.logged.target
    if target not in (found.logged.model, made_by):  # a bare name means the one that the log names
        run = target_run(workspace, target)
        if run["run_id"] != found.logged.run_id:
            name = target.partition("/")[0].partition("@")[0]
            other = f"another version of {name}" if name == found.logged.model else "another model"
            raise InputError(
                f"Prediction {prediction_id} was made by {made_by}, which is {other}.",
                f"Explain it with: paceml-tui explain row {made_by} --prediction {prediction_id}",
            )
    return made_by, Source(recalled=found)


def _as_logged(
    workspace: Workspace,
    again: Recalled,
    notes: tuple[str, ...],
    error: StackError | None = None,
) -> RowExplanation:
    """Return what the log keeps of a prediction that cannot be asked about any more."""
    logged = again.logged
    told = logged.explanation or {}
    output, unit = str(told.get("output", "")), str(told.get("unit", ""))
    values = told.get("contributions", {})
    parts = ordered(
        [Contribution(it, logged.row.get(it, "not logged"), shap) for it, shap in values.items()]
    )
    base = float(told.get("base_value", math.nan))
    measure = Measure(output, unit, is_odds=False)
    if error is not None and not any(error.message in it for it in notes):
        notes = (*notes, f"{logged.target} cannot be asked about it: {error.message}")
    run = workspace.get("runs", logged.run_id) or {}
    data = (run.get("datasets") or [{}])[0]
    return RowExplanation(
        run_id=logged.run_id,
        data_version=f"{data['name']}@{data['digest']}" if data else "",
        index=None,
        prediction_id=logged.prediction_id,
        row=dict(logged.row),
        outcome=None,
        prediction=logged.prediction,
        probabilities={},
        threshold=None,
        output=output,
        unit=unit,
        units=(unit,) if unit else (),
        method="as it was logged" if parts else "",
        base_value=base,
        score=base + math.fsum(it.shap for it in parts),
        contributions=tuple(parts),
        additivity_error=0.0,
        summary=f"{logged.target} said {_words(logged.prediction)}. This is what was logged.",
        reasons=reasons(parts, measure),
        against=reasons(parts, measure, sign=-1),
        adverse=(),
        desired="",
        counterfactual=None,
        counterfactuals=(),
        counterfactual_note="",
        held={},
        similar=None,
        trace=None,
        notes=notes,
        is_equal=again.is_equal,
        is_explanation_equal=again.is_explanation_equal,
    )


def _words(prediction: Any) -> str:
    """Return a prediction as sentences spell it: a class by its name."""
    return shown(str(prediction) if isinstance(prediction, bool) else prediction)
