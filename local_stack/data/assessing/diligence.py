"""The due diligence of a table for a target: every check in its order, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from local_stack.data.assessing import leakage, noise, quality, sensitive, timing
from local_stack.data.assessing.curve import LearningCurve, learning_curve
from local_stack.data.assessing.models import (
    BOOSTING,
    DUMMY,
    FOLDS,
    LINEAR,
    MODELS,
    NAMES,
    TREE,
    ModelScore,
    Score,
    Trial,
    corrected_interval,
    cross_validate,
    metric_of,
    splits,
    summary,
)
from local_stack.data.assessing.noise import LabelNoise
from local_stack.data.assessing.quality import ClassCount
from local_stack.data.assessing.rules import Docket, Finding, counted
from local_stack.data.assessing.sensitive import SensitiveColumn
from local_stack.data.assessing.single import ColumnScore
from local_stack.data.assessing.subject import Subject
from local_stack.data.assessing.timing import Timing
from local_stack.data.assessing.verdict import Verdict, verdict_of
from local_stack.errors import InputError
from local_stack.evaluation.split import Parts
from local_stack.progress import Progress, Step
from local_stack.results import Result

if TYPE_CHECKING:
    import polars as pl

ROWS = 25_000
"""Rows that models learn from unless somebody asks for another number."""
_LEAST_ROWS = 50
_CLASS_WORK = 60_000
_WORDS = {LINEAR: "A linear model", TREE: "A tree of depth 3", BOOSTING: "LightGBM"}
_REPEATS = 2
_MANY_ROWS = 8_000


@dataclass(frozen=True, slots=True)
class Baseline(Result):
    """What plain models reach on new rows, compared by ``metric`` (more is better).

    ``models`` begins with the baseline that looks at no column (the class shares, or the mean),
    ``best`` names the best of the others and ``gain`` is how far it is above the baseline.
    ``with_suspects`` is LightGBM with the columns of ``left_out_as_leaks``, None where nothing
    was left out as a leak. ``suspected_leaks`` are columns that the models still see, though a
    medium risk says that they may come after the target. ``method`` says how intervals were found.
    """

    metric: str
    method: str
    n_rows: int
    n_columns: int
    models: tuple[ModelScore, ...]
    best: str
    gain: Score | None
    left_out: tuple[str, ...]
    left_out_as_leaks: tuple[str, ...]
    suspected_leaks: tuple[str, ...]
    with_suspects: Score | None
    when_split_at_random: Score | None


@dataclass(frozen=True, slots=True)
class DatasetDiligence(Result):
    """Whether a version can carry a model of ``target``, and what would go wrong.

    ``risks`` are the findings that are not ok, the worst first. ``columns`` hold what each
    column alone says of the target. Statistics are of all rows; models learn from
    ``baseline.n_rows`` of them.
    """

    dataset: str
    version: str
    target: str
    task: str
    n_rows: int
    n_columns: int
    verdict: Verdict
    risks: tuple[Finding, ...]
    baseline: Baseline | None
    learning_curve: LearningCurve | None
    label_noise: LabelNoise | None
    classes: tuple[ClassCount, ...]
    columns: tuple[ColumnScore, ...]
    sensitive: tuple[SensitiveColumn, ...]
    timing: Timing | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    reproduction: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked besides the target; ``against`` is a hold-out table and its name."""

    sensitive: tuple[str, ...] = ()
    against: tuple[str, pl.DataFrame] | None = None
    rows: int = ROWS
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything that was found out, without the names of data set and version."""

    task: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    baseline: Baseline | None = None
    learning_curve: LearningCurve | None = None
    label_noise: LabelNoise | None = None
    classes: tuple[ClassCount, ...] = ()
    columns: tuple[ColumnScore, ...] = ()
    sensitive: tuple[SensitiveColumn, ...] = ()
    timing: Timing | None = None
    notes: tuple[str, ...] = ()


def assess(
    frame: pl.DataFrame,
    subject: Subject | None,
    target: str,
    question: Question,
    progress: Progress,
) -> Assessment:
    """Run every check on a table; ``subject`` is None when the target has fewer than two values."""
    if subject is None:
        return _without_target(frame, target)
    docket = Docket(subject.task)
    progress(Step("Looking at rows and columns"))
    quality.judge_target(docket, subject, frame.height - subject.n_rows)
    useless = quality.judge_columns(docket, subject)
    quality.judge_size(docket, subject, useless)
    progress(Step("Looking for duplicates"))
    alike = quality.judge_duplicates(docket, subject)
    _judge_against(docket, subject, question)
    columns = leakage.judge_leaks(docket, subject, useless, progress)
    when = timing.judge_time(docket, subject, frame, question.created_at)
    trait = sensitive.judge_sensitive(docket, subject, question.sensitive, useless, progress)
    if alike is not None and not subject.split_by:
        subject = replace(subject, alike=alike)
    work = _Modelling(docket, subject, useless, question.rows, progress)
    baseline, curve, doubts = work.run()
    return Assessment(
        task=subject.task,
        verdict=verdict_of(docket, has_scores=baseline is not None),
        findings=docket.ordered(),
        baseline=baseline,
        learning_curve=curve,
        label_noise=doubts,
        classes=quality.class_counts(subject),
        columns=columns,
        sensitive=trait,
        timing=when,
        notes=tuple(work.notes),
    )


def _without_target(frame: pl.DataFrame, target: str) -> Assessment:
    docket = Docket("classification")
    n_known = frame.height - frame[target].null_count()
    what = "has one value only" if n_known else "is missing everywhere"
    message = f"The target '{target}' {what}, so there is nothing to predict."
    docket.note("target_constant", 1, message, column=target)
    docket.note("rows", n_known, f"{counted(n_known, 'row', 'has', 'have')} a target.")
    return Assessment("", verdict_of(docket, has_scores=False), docket.ordered())


def _judge_against(docket: Docket, subject: Subject, question: Question) -> None:
    if question.against is None:
        return
    name, other = question.against
    quality.judge_against(docket, subject, other, name)
    if subject.target not in other.columns:
        return
    from local_stack.data.assessing.subject import subject_of

    try:
        theirs = subject_of(other.select(subject.target), subject.target, task=subject.task)
    except InputError:
        theirs = None
    if theirs is None:
        return
    import numpy as np

    places = {label: place for place, label in enumerate(subject.classes)}
    n_classes = len(places) + 1 if places else 0
    y = theirs.y
    if n_classes:  # a class that is not known here is a class of its own
        y = np.array([places.get(it, len(places)) for it in theirs.classes])[theirs.y]
    distance = timing.target_distance(subject.y, y, n_classes)
    message = f"The target of {name} is {distance:.3f} away from the target here."
    docket.note("against_target", distance, message, column=subject.target)


class _Modelling:
    """The models of one diligence: their rows, their columns, and what they found."""

    def __init__(
        self,
        docket: Docket,
        subject: Subject,
        useless: Sequence[str],
        n_rows: int,
        progress: Progress,
    ) -> None:
        self.docket = docket
        self.progress = progress
        self.notes: list[str] = []
        self.whole = subject
        self.leaks = leakage.left_out_as_leaks(docket)
        self.useless = tuple(useless)
        self.columns = [
            it for it in subject.features if it not in self.leaks and it not in self.useless
        ]
        self.suspects = leakage.suspects_among(docket, self.columns)
        self.subject = self._sampled(subject, n_rows)
        self.metric = metric_of(self.subject)
        self.repeats = 1 if self.subject.n_rows > _MANY_ROWS else _REPEATS

    def run(self) -> tuple[Baseline | None, LearningCurve | None, LabelNoise | None]:
        """Return scores, learning curve and doubtful labels, None where there are too few rows."""
        if len(self.whole.classes) > 2 and isinstance(self.whole.classes[0], int):
            self.notes.append(
                f"The {len(self.whole.classes)} whole numbers of '{self.whole.target}' were taken "
                "for classes; --task regression predicts a number."
            )
        if not self.columns:
            self.notes.append("No column is left for a model to learn from.")
            return None, None, None
        if self.subject.n_rows < _LEAST_ROWS or len(set(self.subject.y.tolist())) < 2:
            self.notes.append(f"No model was tried: it takes {_LEAST_ROWS} rows and two targets.")
            return None, None, None
        try:
            parts = splits(self.subject, self.repeats)
        except InputError as error:
            self.notes.append(f"No model was tried: {error.message}")
            return None, None, None
        trials = cross_validate(
            self.subject, self.columns, MODELS, parts, self.progress, "Cross-validating"
        )
        scores = tuple(summary(it, self.metric) for it in trials)
        best = self._best(scores)
        if not best:
            self.notes.append("No model could be scored: most test folds hold one class only.")
            return None, None, None
        baseline = self._baseline(parts, trials, scores, best)
        doubts = noise.judge_labels(
            self.docket, self.subject, _trial(trials, self._judge_of_labels(scores)), self.metric
        )
        curve = self._curve(parts[:FOLDS], _trial(trials, best))
        return baseline, curve, doubts

    def _sampled(self, subject: Subject, n_rows: int) -> Subject:
        """Return at most ``n_rows`` rows, classes of fewer than five left out."""
        import numpy as np

        places = np.arange(subject.n_rows)
        if not subject.is_regression:
            counts = np.bincount(subject.y, minlength=len(subject.classes))
            rare = np.flatnonzero(counts < FOLDS)
            if rare.size:
                names = ", ".join(repr(subject.classes[k]) for k in rare[:5].tolist())
                more = f" and {rare.size - 5} more" if rare.size > 5 else ""
                self.notes.append(
                    f"Models leave out classes of fewer than {FOLDS} rows: {names}{more}."
                )
            places = np.flatnonzero(counts[subject.y] >= FOLDS)
            if len(subject.classes) > 2:
                n_rows = min(n_rows, max(2_000, _CLASS_WORK // len(subject.classes)))
        if len(places) > n_rows:
            self.notes.append(
                f"Models learnt from a seeded sample of {n_rows:,} of {len(places):,} rows "
                "(--rows changes that); everything else is of all rows."
            )
            places = np.sort(np.random.default_rng(0).permutation(places)[:n_rows])
        chosen = subject.take(places)
        return _renumbered(chosen)

    def _best(self, scores: Sequence[ModelScore]) -> str:
        ranked = [it for it in scores if it.score is not None and it.model != DUMMY]
        ranked.sort(key=lambda it: -it.score.mean if it.score else 0)
        return ranked[0].model if ranked else ""

    def _judge_of_labels(self, scores: Sequence[ModelScore]) -> str:
        """Return the model with the best probabilities (or errors) to judge the targets by."""
        name = "rmse" if self.subject.is_regression else "log_loss"
        known = {it.model: it.metrics[name].mean for it in scores if name in it.metrics}
        return min((LINEAR, BOOSTING), key=lambda it: known.get(it, float("inf")))

    def _baseline(
        self,
        parts: Sequence[Parts],
        trials: Sequence[Trial],
        scores: tuple[ModelScore, ...],
        best: str,
    ) -> Baseline:
        gain = self._gain(_trial(trials, DUMMY), _trial(trials, best))
        self._judge_signal(scores, best, gain)
        return Baseline(
            metric=self.metric,
            method=self._method(len(parts)),
            n_rows=self.subject.n_rows,
            n_columns=len(self.columns),
            models=scores,
            best=best,
            gain=gain,
            left_out=self.useless,
            left_out_as_leaks=self.leaks,
            suspected_leaks=self.suspects,
            with_suspects=self._with_suspects(parts),
            when_split_at_random=self._at_random(scores),
        )

    def _method(self, n_folds: int) -> str:
        usual = "at random" if self.subject.is_regression else "stratified"
        how = {
            "time": "by time",
            "group": "by group",
            "equal rows": "with equal rows kept together",
        }.get(self.subject.split_by, usual)
        return (
            f"{n_folds} test folds, split {how}; 95% intervals by the corrected resampled t "
            "(Nadeau and Bengio 2003)"
        )

    def _gain(self, dummy: Trial, best: Trial) -> Score | None:
        """Return how far the best model is above the baseline, fold by fold."""
        pairs = [it.values(self.metric) for it in (best, dummy)]
        if pairs[0] is None or pairs[1] is None:
            return None
        gains = [a - b for a, b in zip(pairs[0], pairs[1], strict=True)]
        return corrected_interval(gains, best.n_train, best.n_test)

    def _judge_signal(self, scores: Sequence[ModelScore], best: str, gain: Score | None) -> None:
        name = NAMES[self.metric]
        found = {it.model: it.score for it in scores}
        top = found[best]
        if gain is None or top is None:
            return
        low = gain.low if gain.low is not None else gain.mean
        dummy = found[DUMMY]
        guess = 0.0 if dummy is None or abs(dummy.mean) < 5e-4 else dummy.mean
        tells = f"{_WORDS[best]} reaches {name} {_interval(top)}, the baseline {guess:.3f}"
        is_found = low > 0
        self.docket.note(
            "signal",
            low if is_found else min(low, -1e-12),
            f"{tells}: the columns tell of the target{self._still()}."
            if is_found
            else f"{tells}: no better than a guess as far as these rows show.",
        )
        if self.docket.rule("too_good").grade(top.mean)[0] != "ok":
            but = f" even without {', '.join(map(repr, self.leaks[:3]))}" if self.leaks else ""
            message = f"{_WORDS[best]} is all but perfect{but}: {name} {top.mean:.4f}."
            self.docket.note("too_good", top.mean, message)

    def _still(self) -> str:
        """Return what has to be said with a score: which suspected leaks it still rests on."""
        if not self.suspects:
            return ""
        more = f" and {len(self.suspects) - 3} more" if len(self.suspects) > 3 else ""
        names = ", ".join(map(repr, self.suspects[:3]))
        return f", still with suspected leaks ({names}{more})"

    def _with_suspects(self, parts: Sequence[Parts]) -> Score | None:
        if not self.leaks:
            return None
        columns = [*self.columns, *self.leaks]
        models = {BOOSTING: MODELS[BOOSTING]}
        label = "With the suspected leaks"
        found = cross_validate(self.subject, columns, models, parts[:FOLDS], self.progress, label)
        return summary(found[0], self.metric).score

    def _at_random(self, scores: Sequence[ModelScore]) -> Score | None:
        """Return what a random split would say of LightGBM, where rows are split otherwise."""
        by = self.subject.split_by
        if not by:
            return None
        models = {name: MODELS[name] for name in (DUMMY, BOOSTING)}
        parts = splits(self.subject, 1, is_plain=True)
        found = cross_validate(
            self.subject, self.columns, models, parts, self.progress, "Split at random"
        )
        guess, random = (summary(it, self.metric).score for it in found)
        honest = next(it.score for it in scores if it.model == BOOSTING)
        if guess is None or random is None or honest is None:
            return random
        above = random.mean - guess.mean
        lost = (random.mean - honest.mean) / above if above > 0.02 else 0.0
        name = NAMES[self.metric]
        how = "With equal rows kept together" if by == "equal rows" else f"Split by {by}"
        advice = f"Split by {by}" if by != "equal rows" else "Deduplicate before splitting"
        self.docket.note(
            "split_flatters",
            max(0.0, lost),
            f"{how}, LightGBM reaches {name} {honest.mean:.3f}; split at random {random.mean:.3f}.",
            column=self.subject.time or self.subject.group,
            advice=f"{advice}: a random split shows what will not come true.",
        )
        return random

    def _curve(self, parts: Sequence[Parts], trial: Trial) -> LearningCurve | None:
        whole = replace(trial, folds=trial.folds[: len(parts)])
        return learning_curve(
            self.docket,
            self.subject,
            self.columns,
            whole,
            parts,
            self.metric,
            self.progress,
            self._still(),
        )


def _trial(trials: Sequence[Trial], name: str) -> Trial:
    return next(it for it in trials if it.model == name)


def _interval(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.mean:.3f}"
    return f"{score.mean:.3f} ({score.low:.3f} to {score.high:.3f})"


def _renumbered(subject: Subject) -> Subject:
    """Return the subject with only the classes that its rows have."""
    import numpy as np

    if subject.is_regression:
        return subject
    present, y = np.unique(subject.y, return_inverse=True)
    classes = tuple(subject.classes[k] for k in present.tolist())
    return replace(subject, classes=classes, y=y.astype(np.int64))
