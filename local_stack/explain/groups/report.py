"""What is told of a model's fairness, and how it is put together for each grouping and class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from local_stack.errors import InputError
from local_stack.explain.groups import disparities, gaps, metrics, thresholds
from local_stack.explain.groups.disparities import Disparity, FourFifths, Gap
from local_stack.explain.groups.gaps import ShapGaps
from local_stack.explain.groups.grouping import Grouping, group
from local_stack.explain.groups.metrics import Decisions, GroupMetrics
from local_stack.explain.groups.proxies import Proxies, proxies_of
from local_stack.explain.groups.rows import Rows
from local_stack.explain.groups.thresholds import Costs, Simulation
from local_stack.explain.subject import Subject
from local_stack.names import class_place
from local_stack.progress import Progress, Step
from local_stack.results import Result
from local_stack.runs.fairness import MOST_CLASSES, Fairness, Verdict, verdicts

if TYPE_CHECKING:
    import numpy as np

    from local_stack.explain.attributing.attributions import Attributions

FILE: Final = "explain/fairness.json"
"""The whole report, below the artefacts of a run."""
_RATES = {"true_positive_rate", "false_positive_rate"}


@dataclass(frozen=True, slots=True)
class FairnessTable(Result):
    """The groups of a column, or of a combination, and how far they lie apart.

    ``positive`` is the class that counts as a selection, None for a regression. ``limits`` are
    those of the recipe and of the call; ``thresholds`` is None for a regression and where the
    model gives no probabilities, ``proxies`` is there for single columns.
    """

    by: str
    columns: tuple[str, ...]
    positive: str | None
    overall: GroupMetrics
    groups: tuple[GroupMetrics, ...]
    gaps: tuple[Gap, ...]
    disparities: tuple[Disparity, ...]
    four_fifths: FourFifths | None
    limits: tuple[Verdict, ...]
    shap_gaps: ShapGaps | None
    proxies: Proxies | None
    thresholds: Simulation | None


@dataclass(frozen=True, slots=True)
class FairnessReport(Result):
    """How a model treats groups of rows.

    ``rows`` says which they are: ``test`` (held out from the training), ``all`` of the version that
    it learnt from, or ``other`` (all of another version). ``passed`` tells whether every limit is
    kept, None without limits; ``decision`` says in words what a selection is. ``weights`` is the
    column that says how much each row counts, None where all count the same.
    """

    run_id: str
    target: str
    task: str
    data_version: str
    rows: str
    n_rows: int
    decision: str
    threshold: float | None
    is_weighted: bool
    weights: str | None
    min_rows: int
    level: float
    intervals: str
    passed: bool | None
    tables: tuple[FairnessTable, ...]
    notes: tuple[str, ...]
    artifacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: the recipe's settings with those of the call in their place."""

    fairness: Fairness
    threshold: float | None
    costs: Costs
    limits: Mapping[str, float | bool]
    shap_rows: int


def places_of(subject: Subject, positive: str | None) -> list[int]:
    """Return the classes that are looked at as selections, by their place."""
    names = subject.model.classes
    if positive is not None:
        return [class_place(positive, names, f"'{subject.model.target}'")]
    if len(names) > MOST_CLASSES:
        raise InputError(
            f"'{subject.model.target}' has {len(names)} classes, too many to look at each.",
            "Name the class that counts as selected: --positive CLASS",
        )
    return [1] if len(names) == 2 else list(range(len(names)))


def measure(subject: Subject, plan: Plan, rows: Rows, progress: Progress) -> FairnessReport:
    """Return how the model treats the groups of the plan among these rows."""
    model = subject.model
    progress(Step("Predicting"))
    matrix = subject.matrix(rows.frame)
    probability = model.probabilities(matrix) if model.has_probabilities else None
    outputs = model.outputs(matrix)
    groupings = [
        group(rows.frame, columns, plan.fairness.bins) for columns in plan.fairness.groupings
    ]
    explained, shap = _explained(subject, plan, rows, progress)
    places = [0] if model.task == "regression" else places_of(subject, plan.fairness.positive)
    known_proxies = {
        grouping.by: _proxies(subject, grouping, rows, shap, progress) for grouping in groupings
    }
    tables = []
    for grouping in groupings:
        for place in places:
            progress(Step(f"Comparing groups by {grouping.title[:60]}"))
            decisions = _decisions(subject, plan, rows, outputs, probability, place)
            one = None if shap is None else gaps.of_class(shap, place, len(model.classes))
            table = _table(subject, plan, decisions, grouping, place)
            if one is not None:
                weights = None if rows.weights is None else rows.weights[explained]
                told = gaps.shap_gaps(
                    one,
                    grouping.take(explained),
                    weights,
                    min_rows=plan.fairness.min_rows,
                    n_total=len(grouping.codes),
                )
                table = replace(table, shap_gaps=told)
            tables.append(replace(table, proxies=known_proxies[grouping.by]))
    judged = [it.passed for table in tables for it in table.limits]
    return FairnessReport(
        run_id=subject.run_id,
        target=model.target,
        task=model.task,
        data_version=subject.version.reference,
        rows=rows.kind,
        n_rows=rows.frame.height,
        decision=_decision(subject, plan),
        threshold=plan.threshold,
        is_weighted=rows.weights is not None,
        weights=None if rows.weights is None else str(subject.run["recipe"]["weights"]),
        min_rows=plan.fairness.min_rows,
        level=metrics.LEVEL,
        intervals=f"{metrics.INTERVALS} {disparities.INTERVALS}",
        passed=all(judged) if judged else None,
        tables=tuple(tables),
        notes=(*rows.notes, *_notes(subject, plan, tables)),
        artifacts=(FILE,),
    )


def _decision(subject: Subject, plan: Plan) -> str:
    model, positive = subject.model, plan.fairness.positive
    if model.task == "regression":
        return f"the predicted {model.target}"
    names = [str(label) for label in model.classes]
    if positive is None and len(names) == 2:
        positive = names[1]
    shown = "each class against the rest" if positive is None else f"{model.target} = {positive}"
    if plan.threshold is not None:
        return f"{shown}, from a probability of {plan.threshold:g} on"
    return f"{shown}, as the model decides"


def _notes(subject: Subject, plan: Plan, tables: Sequence[FairnessTable]) -> list[str]:
    found = []
    if len(subject.model.classes) == 2 and plan.fairness.positive is None:
        found.append(
            f"A selection is '{subject.model.target}' = {subject.model.classes[1]}, the second "
            "class; where the other one is what people hope for, name it: --positive CLASS."
        )
    for table in tables:
        few = [it.group for it in table.groups if not it.is_enough]
        if few and table.positive in (None, tables[0].positive):
            found.append(
                f"By {table.by}, {len(few)} of {len(table.groups)} groups "
                f"{'has' if len(few) == 1 else 'have'} fewer than {plan.fairness.min_rows} rows "
                f"and {'is' if len(few) == 1 else 'are'} not compared."
            )
        bare = [
            it
            for it in table.groups
            if it.is_enough and table.positive and not set(it.metrics) >= _RATES
        ]
        if bare:
            about = f" for '{table.positive}'" if table.positive is not None else ""
            found.append(
                f"By {table.by}{about}, {len(bare)} of {len(table.groups)} groups "
                f"{'has' if len(bare) == 1 else 'have'} no row that is, or none that is not, what "
                "is selected; rates that are lacking are left out of the differences."
            )
    return found


def _decisions(
    subject: Subject,
    plan: Plan,
    rows: Rows,
    outputs: np.ndarray,
    probability: np.ndarray | None,
    place: int,
) -> Decisions:
    if subject.model.task == "regression":
        return Decisions(rows.truth, outputs, None, rows.weights, is_regression=True)
    score = None if probability is None else probability[:, place]
    selected = outputs == place
    if plan.threshold is not None and score is not None:
        selected = score >= plan.threshold
    return Decisions(rows.truth == place, selected, score, rows.weights)


def _table(
    subject: Subject, plan: Plan, decisions: Decisions, grouping: Grouping, place: int
) -> FairnessTable:
    overall, measured = metrics.measure_groups(decisions, grouping, plan.fairness.min_rows)
    large = [it for it in measured if it.shown.is_enough]
    apart = disparities.disparities_of(large)
    is_regression = decisions.is_regression
    rule = None if is_regression else disparities.four_fifths(large)
    present = plan.threshold
    if present is None and len(subject.model.classes) == 2:
        own = subject.model.record.threshold
        present = 0.5 if own is None else own if place == 1 else 1 - own
    return FairnessTable(
        by=grouping.title,
        columns=grouping.by,
        positive=None if is_regression else str(subject.model.classes[place]),
        overall=overall.shown,
        groups=tuple(it.shown for it in measured),
        gaps=disparities.gaps_of(large),
        disparities=apart,
        four_fifths=rule,
        limits=verdicts(plan.limits, disparities.measured_of(apart, rule)),
        shap_gaps=None,
        proxies=None,
        thresholds=thresholds.simulate(
            decisions, grouping, [it.shown.group for it in large], plan.costs, present
        ),
    )


def _explained(
    subject: Subject, plan: Plan, rows: Rows, progress: Progress
) -> tuple[np.ndarray, Attributions | None]:
    """Return places of a seeded sample of the rows, and their SHAP values."""
    import numpy as np

    n_rows = rows.frame.height
    places = np.arange(n_rows)
    if not plan.shap_rows:
        return places, None
    if n_rows > plan.shap_rows:
        drawn = np.random.default_rng(0).choice(n_rows, plan.shap_rows, replace=False)
        places = np.sort(drawn)
    return places, subject.attributions(rows.frame[places], progress=progress)


def _proxies(
    subject: Subject,
    grouping: Grouping,
    rows: Rows,
    shap: Attributions | None,
    progress: Progress,
) -> Proxies | None:
    if len(grouping.by) > 1:
        return None
    model = subject.model
    return proxies_of(rows.whole, grouping.by[0], model.preparation, model.target, shap, progress)
