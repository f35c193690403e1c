"""What is measured after a fit: intervals, baselines, curves, slices, checks; their pictures.

All of it is of the held-out rows (the test rows, or the out-of-fold ones where nothing is held
out), seeded, and small beside the fit; a learning curve is drawn for a small table and LightGBM
only, as it trains three times more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.evaluation import curves, resampling, segments
from local_stack.evaluation.baselines import Baseline, baselines
from local_stack.evaluation.named import measured, named_metric
from local_stack.evaluation.resampling import Held
from local_stack.preparation.fitting import raw_columns
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result
from local_stack.runs import checks
from local_stack.runs.boosters import booster_of
from local_stack.runs.estimators import is_booster
from local_stack.runs.folding import of_quantiles

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from local_stack.runs.fitted import Fitted, Predictions
    from local_stack.runs.recipe import Recipe

FOLDER: Final = "evaluation"
"""The folder of the evaluation below the artefacts of a run."""
FILE: Final = "evaluation.json"
MOST_DRAWS: Final = 10_000_000
"""Rows drawn for intervals; beyond it fewer resamples are taken, and 200 at least."""
LEARNING_CELLS: Final = 20_000
"""Training rows times features up to which a learning curve is drawn."""
_LEARNING_SHARES = (0.125, 0.25, 0.5)
_MOST_CURVES = 8
_MOST_SEGMENTS = 5


@dataclass(frozen=True, slots=True)
class Evaluation(Result):
    """What was measured beside the usual metrics, as plain values.

    ``metrics`` are further metrics by name (``baseline_dummy_<metric>`` and
    ``baseline_linear_<metric>`` among them), ``warnings`` are sentences. ``rows`` says which rows
    were held out: ``test``, ``out_of_fold`` or nothing. ``table`` has the metrics of the model
    and the baselines side by side, ``intervals`` the bootstrap interval of each metric, and
    ``details`` the curves, tables and checks by name.
    """

    task: str
    metrics: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    target: str = ""
    classes: tuple[str, ...] = ()
    rows: str = ""
    n_rows: int = 0
    level: float = 0.95
    table: dict[str, dict[str, float]] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def evaluate(
    recipe: Recipe, fitted: Fitted, frame: pl.DataFrame, progress: Progress = silent
) -> Evaluation:
    """Measure what a training made; ``frame`` is the table that it was given.

    The time that it takes is some tenths of a second and what the resamples take, at most
    ``MOST_DRAWS`` drawn rows.
    """
    model = fitted.model
    rows, found = _held_out(fitted)
    told = Evaluation(
        task=model.task,
        target=model.target,
        classes=tuple(str(it) for it in model.classes),
        rows=rows,
        n_rows=0 if found is None else len(found.rows),
        level=recipe.bootstrap.level,
    )
    details: dict[str, Any] = {"importance": importance_of(fitted, frame)}
    known = [checks.unused(fitted, details["importance"]), checks.leakage(recipe, fitted, frame)]
    if found is None or not len(found.rows):
        return _with_checks(told, details, known)
    held = Held(len(model.classes), found.truth, found.predicted, found.probability, found.weights)
    progress(Step("Evaluating: baselines", 0, 4))
    plain = _baselines(recipe, fitted, frame) if rows == "test" else ()
    progress(Step("Evaluating: intervals", 1, 4))
    intervals, gains = _resampled(recipe, held, plain)
    named = [
        named_metric(name, held, resamples=recipe.bootstrap.resamples, level=recipe.bootstrap.level)
        for name in recipe.metrics
    ]
    progress(Step("Evaluating: curves", 2, 4))
    details |= _drawn(held, found, told.classes)
    details |= {"named": named, "gain_over_linear": gains}
    progress(Step("Evaluating: segments", 3, 4))
    details |= _segments(recipe, fitted, found, held, frame)
    learning = _learning_curve(recipe, fitted, frame)
    if learning:
        details["learning_curve"] = learning
    own = measured(held, recipe.metrics)
    theirs = {it.name: measured(it.held, recipe.metrics) for it in plain}
    named_own = {name: own[name] for name in recipe.metrics if name in own}
    known += [
        checks.overfit(fitted, own, intervals),
        checks.no_better(own, theirs, gains),
        *(checks.undefined(it) for it in named if it.value is None),
    ]
    named_intervals = {
        it.name: (it.low, it.high) for it in named if it.low is not None and it.high is not None
    }
    told = replace(
        told,
        metrics=named_own | _further(theirs, details) | of_quantiles(found, model.record.quantiles),
        table={"model": own} | theirs,
        intervals=intervals | named_intervals,
    )
    return _with_checks(told, details, known)


def _with_checks(
    told: Evaluation, details: dict[str, Any], known: list[checks.Check | None]
) -> Evaluation:
    found = [it for it in known if it is not None]
    details["checks"] = found
    warnings = tuple(it.message for it in found if it.is_warning)
    return replace(told, warnings=warnings, details=details)


def _held_out(fitted: Fitted) -> tuple[str, Predictions | None]:
    if fitted.n_rows_test:
        return "test", fitted.test
    return ("out_of_fold", fitted.out_of_fold) if fitted.out_of_fold is not None else ("", None)


def _further(
    theirs: Mapping[str, Mapping[str, float]], details: dict[str, Any]
) -> dict[str, float]:
    """Return the metrics of the baselines, and those of calibration."""
    found = {
        f"baseline_{name}_{key}": value
        for name, metrics in theirs.items()
        for key, value in metrics.items()
    }
    if "calibration" in details:
        found["ece"] = details["calibration"].expected_error
    if "calibration_before" in details:
        found["uncalibrated_ece"] = details["calibration_before"].expected_error
    return found


# ------------------------------------------------------------------ baselines and intervals


def _baselines(recipe: Recipe, fitted: Fitted, frame: pl.DataFrame) -> tuple[Baseline, ...]:
    """Return the plain models on the features and rows that the model had."""
    lesson, model = fitted.lesson, fitted.model
    if lesson is None:
        return ()
    test = model.matrix(raw_columns(frame[fitted.test.rows], model.inputs))
    found = baselines(
        lesson.matrix,
        lesson.truth,
        test,
        fitted.test.truth,
        n_classes=len(model.classes),
        categories=[place for place, it in enumerate(model.features) if it.n_categories],
        weights=None if recipe.class_weight else lesson.weights,  # the dummy shows the real shares
        seed=recipe.split.seed,
    )
    weights = fitted.test.weights
    return tuple(replace(it, held=replace(it.held, weights=weights)) for it in found)


def _resampled(
    recipe: Recipe, held: Held, plain: tuple[Baseline, ...]
) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]]]:
    """Return the interval of each metric, and that of its difference to the linear baseline."""
    import numpy as np

    n_rows = len(held.truth)
    n = min(recipe.bootstrap.resamples, max(resampling.FEWEST_RESAMPLES, MOST_DRAWS // n_rows))
    if not n or n_rows < resampling.FEWEST_ROWS:
        return {}, {}
    linear = [it.held for it in plain if it.name == "linear"]
    scorers = [resampling.scorer(it) for it in (held, *linear)]
    parts = [
        [scored(counts) for scored in scorers]
        for counts in resampling.counts_of(n_rows, n, resampling.SEED)
    ]
    own, *others = (
        {key: np.concatenate([part[at][key] for part in parts]) for key in parts[0][at]}
        for at in range(len(scorers))
    )
    level = recipe.bootstrap.level
    found = {key: resampling.interval(values, level) for key, values in own.items()}
    gains = {
        key: resampling.interval(values - other[key], level)
        for other in others
        for key, values in own.items()
        if key in other
    }
    return _present(found), _present(gains)


def _present(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value is not None}


# ------------------------------------------------------------------ curves


def _drawn(held: Held, found: Predictions, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the curves of the predictions by name, those of the eight most frequent classes."""
    import numpy as np

    if not classes:
        return {"residuals": curves.residuals(held.truth, held.predicted)}
    details: dict[str, Any] = {
        "confusion": curves.confusion(held.truth, held.predicted, len(classes)).tolist()
    }
    if held.probability is None or (held.truth < 0).any():
        return details
    counts = np.bincount(held.truth, minlength=len(classes))
    frequent = np.argsort(-counts, kind="stable")[:_MOST_CURVES].tolist()
    places = [1] if len(classes) == 2 else sorted(frequent)
    for name, draw in (("roc", curves.roc), ("precision_recall", curves.precision_recall)):
        lines = {classes[k]: draw(held.truth == k, held.probability[:, k]) for k in places}
        details[name] = _present(lines)
    details["calibration"] = _reliability(held, held.probability)
    if found.uncalibrated is not None:
        details["calibration_before"] = _reliability(held, found.uncalibrated)
    return details


def _reliability(held: Held, probability: np.ndarray) -> curves.Reliability:
    """Return it of the second of two classes, or of whichever class is the likeliest."""
    if held.n_classes == 2:
        return curves.reliability(held.truth == 1, probability[:, 1])
    said = probability.argmax(axis=1)
    return curves.reliability(said == held.truth, probability.max(axis=1))


def importance_of(fitted: Fitted, frame: pl.DataFrame) -> dict[str, Any]:
    """Return what each feature brings, largest first: the estimator's own view, or permutation.

    Permutation is of at most 1,000 test rows and left out for more than 100 features.
    """
    found = dict(fitted.feature_importance)
    if not found and fitted.n_rows_test:
        kind, found = "permutation", checks.permuted(fitted, frame)
    else:
        library = booster_of(fitted.model.kind)
        kind = "impurity" if library is None else library.importance
    ordered = sorted(found.items(), key=lambda it: (-it[1], it[0]))
    return {"kind": kind, "values": dict(ordered)} if found else {}


# ------------------------------------------------------------------ segments


def _segments(
    recipe: Recipe, fitted: Fitted, found: Predictions, held: Held, frame: pl.DataFrame
) -> dict[str, Any]:
    """Return the declared slices and the weak segments that were found."""
    loss, kind = losses(held)
    part = frame[found.rows]
    slices = _slices(recipe, part, held, loss)
    inputs = [column.name for column in fitted.model.inputs if column.name in frame.columns]
    searched, judged = _searched(fitted, found, held, loss, len(part))
    conditions = segments.find(frame[searched[0]].select(inputs), searched[1], recipe.split.seed)
    groups = [(it, _all_hold(it, part)[judged]) for it in conditions]
    weak = []
    for condition, inside in groups:
        verdict = segments.judged(loss[judged], inside, recipe.bootstrap.level, len(groups))
        if verdict is not None and verdict.is_weak:
            name = " and ".join(it.text() for it in condition)
            weak.append({"segment": name, **verdict.to_dict()})
    weak.sort(key=lambda it: -it["difference"])
    return {
        "loss": kind,
        "slices": slices,
        "weak_segments": {"n_looked_at": len(groups), "found": weak[:_MOST_SEGMENTS]},
    }


def losses(held: Held) -> tuple[np.ndarray, str]:
    """Return a loss for each row, and what it is called."""
    import numpy as np

    if not held.n_classes:
        return np.abs(held.truth - held.predicted), "absolute error"
    if held.probability is None or (held.truth < 0).any():
        return (held.truth != held.predicted).astype(np.float64), "share of wrong rows"
    if held.n_classes == 2:
        return (held.probability[:, 1] - held.truth) ** 2, "Brier score"
    hot = np.eye(held.n_classes)[held.truth]
    return ((held.probability - hot) ** 2).sum(axis=1), "Brier score"


def _searched(
    fitted: Fitted, found: Predictions, held: Held, loss: np.ndarray, n_rows: int
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return rows of the table to look for segments in with their loss, and places to judge.

    Segments are looked for among the out-of-fold rows and judged on the test rows; where only one
    of the two is there, in one half of the rows and on the other.
    """
    import numpy as np

    other = fitted.out_of_fold
    if other is not None and other is not found:
        before = Held(held.n_classes, other.truth, other.predicted, other.probability)
        return (other.rows, losses(before)[0]), np.arange(n_rows)
    order = np.random.default_rng(resampling.SEED).permutation(n_rows)
    looked, judged = np.sort(order[: n_rows // 2]), np.sort(order[n_rows // 2 :])
    return (found.rows[looked], loss[looked]), judged


def _all_hold(conditions: tuple[segments.Condition, ...], frame: pl.DataFrame) -> np.ndarray:
    import numpy as np

    found = np.ones(frame.height, dtype=bool)
    for condition in conditions:
        found &= condition.holds(frame)
    return found


def _slices(
    recipe: Recipe, part: pl.DataFrame, held: Held, loss: np.ndarray
) -> list[dict[str, Any]]:
    """Return the metrics of each group of the declared columns, and how it fares."""
    groups = [(name, *group) for name in recipe.slices for group in segments.groups_of(part[name])]
    told = []
    for column, name, inside in groups:
        some = Held(
            held.n_classes,
            held.truth[inside],
            held.predicted[inside],
            None if held.probability is None else held.probability[inside],
            None if held.weights is None else held.weights[inside],
        )
        verdict = segments.judged(loss, inside, recipe.bootstrap.level, len(groups))
        shown = None if verdict is None else {**verdict.to_dict(), "is_weak": verdict.is_weak}
        n = int(inside.sum())
        told.append(
            {"column": column, "group": name, "n_rows": n, "metrics": measured(some)}
            | {"judged": shown}
        )
    return told


# ------------------------------------------------------------------ the learning curve


def _learning_curve(recipe: Recipe, fitted: Fitted, frame: pl.DataFrame) -> dict[str, Any]:
    """Return the main metric for an eighth, a quarter, half and all of the training rows."""
    import numpy as np

    lesson = fitted.lesson
    is_plain = not (recipe.calibrate or recipe.quantiles or recipe.split.gap is not None)
    if lesson is None or not is_booster(recipe.estimator) or not fitted.n_rows_test or not is_plain:
        return {}
    if lesson.matrix.size > LEARNING_CELLS:
        return {}
    metric = checks.main_metric(fitted.metrics)
    known = frame[fitted.model.target].is_not_null().to_numpy().copy()
    known[fitted.test.rows] = False
    order = np.random.default_rng(recipe.split.seed).permutation(np.flatnonzero(known))
    points = [
        point
        for share in _LEARNING_SHARES
        if (point := _point(recipe, fitted, frame, order[: int(share * len(order))], metric))
    ]
    whole = [fitted.n_rows_train, fitted.metrics[f"train_{metric}"], fitted.metrics[metric]]
    names = ("n_rows", "train", "held_out")
    columns = dict(zip(names, map(list, zip(*points, whole, strict=True)), strict=True))
    return {"metric": metric, **columns} if points else {}


def _point(
    recipe: Recipe, fitted: Fitted, frame: pl.DataFrame, rows: np.ndarray, metric: str
) -> list[float] | None:
    """Return rows, metric on them, and metric on the test rows of a training on some rows."""
    from local_stack.errors import InputError
    from local_stack.runs.fit import fit

    split = replace(recipe.split, test=0.0, folds=None)
    try:
        plan = replace(recipe, split=split, threshold=None)
        small = fit(plan, frame[rows], threads=1)  # few rows: more threads only wait
    except InputError:  # too few rows for it
        return None
    if small.model.classes != fitted.model.classes:
        return None
    columns = raw_columns(frame[fitted.test.rows], small.model.inputs)
    matrix = small.model.matrix(columns)
    probability = small.model.probabilities(matrix) if small.model.has_probabilities else None
    outputs = small.model.outputs(matrix)
    held = Held(len(small.model.classes), fitted.test.truth, outputs, probability)
    found, before = measured(held).get(metric), small.metrics.get(f"train_{metric}")
    return None if found is None or before is None else [len(rows), before, found]


# ------------------------------------------------------------------ writing


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write ``evaluation/evaluation.json`` and its pictures below ``folder``."""
    from local_stack.runs import pictures

    where = folder / FOLDER
    where.mkdir(exist_ok=True)
    document = evaluation.to_dict()
    (where / FILE).write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
    pictures.draw(document, where)


def read(folder: Path) -> dict[str, Any]:
    """Return what :func:`write` wrote below ``folder``, nothing where it did not."""
    path = folder / FOLDER / FILE
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found
