"""The learning curve: what more rows have brought so far, and what twice as many would bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from local_stack.data.assessing.models import (
    MODELS,
    NAMES,
    Score,
    Trial,
    corrected_interval,
    cross_validate,
)
from local_stack.data.assessing.rules import Docket
from local_stack.data.assessing.subject import Subject
from local_stack.evaluation.split import Parts
from local_stack.progress import Progress
from local_stack.results import Result

SHARES = (0.1, 0.2, 0.4, 0.7)
"""Shares of the training rows that the curve is measured at, beside all of them."""
_LEAST_ROWS = 40
_LITTLE = 0.01
_SMALL_STEP = 0.003
_WHOLE = 1_000
_EXPONENTS = (0.05, 2.0, 196)


@dataclass(frozen=True, slots=True)
class CurvePoint(Result):
    """The out-of-fold score of a model trained on ``n_rows`` rows."""

    n_rows: int
    score: Score


@dataclass(frozen=True, slots=True)
class PowerLaw(Result):
    """error = floor + scale * n_rows ** -exponent, all at least 0."""

    floor: float
    scale: float
    exponent: float

    def error(self, n_rows: float) -> float:
        """Return the error that the law expects with ``n_rows`` training rows."""
        return float(self.floor + self.scale * n_rows**-self.exponent)


@dataclass(frozen=True, slots=True)
class LearningCurve(Result):
    """Scores of ``model`` by training rows, and what the fitted law expects of twice as many.

    ``metric`` is compared as ``error``: 1 - ROC AUC, 1 - accuracy, or RMSE. ``relative_gain`` is
    the share of the mean error measured with all rows that twice the rows would remove, by the
    law of the mean errors. ``gain_spread`` is its standard error over the folds, each with its own
    law and its own measured error, so that the doubt of both is in it. ``verdict`` is yes, maybe
    (the folds do not agree), a little or no.
    """

    model: str
    metric: str
    error: str
    points: tuple[CurvePoint, ...]
    law: PowerLaw
    score_at_double: float
    relative_gain: float
    gain_spread: float
    verdict: str


def fit_power_law(
    n_rows: Sequence[float], errors: Sequence[float], spreads: Sequence[float] | None = None
) -> PowerLaw:
    """Return the law that fits best by weighted least squares.

    For each exponent on a fine grid the other two follow exactly (non-negative least squares),
    so that there is no starting point to depend on. ``spreads`` are standard errors.
    """
    import numpy as np
    from scipy.optimize import nnls

    n = np.asarray(n_rows, dtype=np.float64)
    wanted = np.asarray(errors, dtype=np.float64)
    weights = np.ones(n.size)
    if spreads is not None:
        floor = max(float(np.median(spreads)), 1e-12)
        weights = 1 / np.maximum(np.asarray(spreads), floor / 2)
    best: tuple[float, PowerLaw] | None = None
    reference = float(n.max())
    for exponent in np.linspace(*_EXPONENTS[:2], _EXPONENTS[2]):
        basis = np.column_stack([np.ones(n.size), (n / reference) ** -exponent])
        found, residual = nnls(basis * weights[:, None], wanted * weights)
        if best is None or residual < best[0] - 1e-15:
            scale = float(found[1] * reference**exponent)
            best = (float(residual), PowerLaw(float(found[0]), scale, float(exponent)))
    assert best is not None
    return best[1]


def learning_curve(
    docket: Docket,
    subject: Subject,
    columns: Sequence[str],
    whole: Trial,
    parts: Sequence[Parts],
    metric: str,
    progress: Progress,
    still: str = "",
) -> LearningCurve | None:
    """Measure the curve of a model and judge whether more rows would help.

    ``whole`` is its trial on all training rows, ``parts`` the folds of one repeat. None when there
    are too few rows for three points. ``still`` ends the sentence: what the scores rest on.
    """
    measured = "rmse" if subject.is_regression else metric
    trials = []
    for share in SHARES:
        parts_of_share = _subsets(parts, share)
        if min(len(train) for train, _ in parts_of_share) < _LEAST_ROWS:
            continue
        models = {whole.model: MODELS[whole.model]}
        label = f"Learning curve: {share:.0%} of the rows"
        trials += cross_validate(subject, columns, models, parts_of_share, progress, label)
    trials.append(whole)
    values = [it.values(measured) for it in trials]
    kept = [(it, found) for it, found in zip(trials, values, strict=True) if found]
    if len(kept) < 3:
        return None
    return judged(docket, measured, kept, still)


def _subsets(parts: Sequence[Parts], share: float) -> list[Parts]:
    """Return the folds with a seeded share of their training rows; smaller ones are within."""
    import numpy as np

    found = []
    for number, (train, test) in enumerate(parts):
        order = np.random.default_rng(1_000 + number).permutation(len(train))
        found.append((np.sort(train[order[: int(share * len(train))]]), test))
    return found


def judged(
    docket: Docket,
    metric: str,
    kept: Sequence[tuple[Trial, list[float]]],
    still: str = "",
) -> LearningCurve:
    """Return the curve of trials, fewest rows first, each with its metric of every fold.

    What more rows bring is told from the error measured with all rows, in value, sentence and
    verdict alike.
    """
    import numpy as np

    is_loss = metric == "rmse"
    points = tuple(
        CurvePoint(round(it.n_train), corrected_interval(found, it.n_train, it.n_test))
        for it, found in kept
    )
    n_rows = [float(it.n_rows) for it in points]
    scores = np.array([found for _, found in kept])
    errors = scores if is_loss else 1 - scores
    means = errors.mean(axis=1)
    spreads = np.maximum(errors.std(axis=1, ddof=1) / np.sqrt(errors.shape[1]), 1e-9)
    law = fit_power_law(n_rows, means.tolist(), spreads.tolist())
    measured = float(means[-1])
    later = min(measured, law.error(2 * n_rows[-1])) if measured < means[0] else measured
    gain = _gain(measured, later)
    singles = [_gain(float(fold[-1]), _expected(n_rows, fold.tolist())) for fold in errors.T]
    spread = float(np.std(singles, ddof=1) / np.sqrt(len(singles)))
    now, at_double = (measured, later) if is_loss else (1 - measured, 1 - later)
    is_small = not is_loss and measured - later < _SMALL_STEP
    verdict = _verdict(docket.rule("more_data").low or 0.0, 0.0 if is_small else gain, spread)
    _say(docket, NAMES.get(metric, metric), verdict, now, at_double, gain, still)
    return LearningCurve(
        model=kept[0][0].model,
        metric=metric,
        error="rmse" if is_loss else f"1 - {metric}",
        points=points,
        law=law,
        score_at_double=at_double,
        relative_gain=gain,
        gain_spread=spread,
        verdict=verdict,
    )


def _gain(measured: float, later: float) -> float:
    return (measured - later) / measured if measured > 0 else 0.0


def _expected(n_rows: Sequence[float], errors: Sequence[float]) -> float:
    """Return the error of one fold that its own law expects of twice the rows."""
    return fit_power_law(n_rows, errors).error(2 * n_rows[-1])


def _verdict(limit: float, gain: float, spread: float) -> str:
    if gain >= limit:
        return "yes" if gain - 2 * spread > 0 else "maybe"
    return "a little" if gain >= _LITTLE else "no"


def _say(
    docket: Docket,
    name: str,
    verdict: str,
    now: float,
    at_double: float,
    gain: float,
    still: str,
) -> None:
    begin, end = (f"{it:,.0f}" if abs(it) >= _WHOLE else f"{it:.4g}" for it in (now, at_double))
    step = f"{name} from {begin} to about {end} with twice as many ({gain:.1%} less error)"
    words = {
        "yes": f"More rows would help: {step}.",
        "maybe": f"More rows may help: {step}, though the folds do not agree.",
        "a little": f"More rows would help a little: {step}.",
        "no": f"More rows of the same kind would hardly help: {step}."
        if gain >= _LITTLE
        else f"More rows of the same kind would hardly help: {name} stays near {begin}.",
    }
    at_most = "low" if verdict in ("yes", "maybe") else "ok"
    message = f"{words[verdict].removesuffix('.')}{still}."
    advice = (
        "Settle the suspected leaks first: the score may rise on them alone." if still else None
    )
    docket.note("more_data", gain, message, at_most=at_most, advice=advice)
