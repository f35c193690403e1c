"""Plain models and what they reach: cross-validated scores with intervals.

Everything that is learnt, the preparation included, is learnt from the training rows of a fold.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.data.assessing.single import LARGEST
from local_stack.data.assessing.subject import Subject
from local_stack.evaluation import measure
from local_stack.evaluation.split import Parts, folds
from local_stack.preparation.fitting import fit_preparation, raw_columns
from local_stack.preparation.steps import DatesStep, EncodeStep, FeatureStep, ImputeStep, ScaleStep
from local_stack.progress import Progress, Step
from local_stack.results import Result
from local_stack.stores.model_files import silence_lightgbm

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

FOLDS = 5
METRICS = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}
"""The metric that models are compared by; more is better for each."""
NAMES = {"roc_auc": "ROC AUC", "accuracy": "accuracy", "r2": "R2", "rmse": "RMSE"}
"""A metric as a person reads it."""
_MOST_LEVELS = 50
_LEAST_ROWS = 5
_OTHER = "(other)"
_CONFIDENCE = 0.95
_MOST_WEIGHTS = 1_000
_FEW_CELLS = 3_000_000

Fit = Callable[["Lesson", int], "np.ndarray"]
"""A model: from a lesson and a seed to its predictions for the test rows.

Class probabilities (n_test, n_classes) or numbers (n_test,).
"""


@dataclass(frozen=True, slots=True)
class Score(Result):
    """Mean of a metric over the folds and its 95 % interval (None where it is not defined)."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class ModelScore(Result):
    """What a model reaches out of fold. ``score`` is of the metric that models are compared by."""

    model: str
    score: Score | None
    metrics: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Lesson:
    """Matrices of one fold (float64, rows by features) and the training targets.

    ``native`` numbers the columns that hold category codes; ``told`` hears of each boosting
    round.
    """

    train: np.ndarray
    test: np.ndarray
    y: np.ndarray
    n_classes: int
    native: tuple[int, ...]
    told: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """Cross-validated predictions of one model: metrics of each fold, and the last of each row.

    ``predicted`` is the mean of a row's out-of-fold predictions, NaN for rows never tested.
    """

    model: str
    folds: tuple[Mapping[str, float], ...]
    n_train: float
    n_test: float
    predicted: np.ndarray

    def values(self, metric: str) -> list[float] | None:
        """Return the metric of each fold that defines it, or None when fewer than half do."""
        found = [fold[metric] for fold in self.folds if metric in fold]
        return found if len(found) >= max(2, len(self.folds) / 2) else None


def corrected_interval(
    values: Sequence[float], n_train: float, n_test: float, confidence: float = _CONFIDENCE
) -> Score:
    """Return mean and interval of a metric over resampled folds.

    The corrected resampled t interval of Nadeau and Bengio (2003, "Inference for the
    generalization error"): variance (1/J + n_test/n_train) s^2 with J - 1 degrees of freedom,
    which allows for training sets that overlap.
    """
    import numpy as np
    from scipy import stats

    mean = float(np.mean(values))
    if len(values) < 2:
        return Score(mean, None, None)
    spread = math.sqrt((1 / len(values) + n_test / n_train) * float(np.var(values, ddof=1)))
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * spread
    return Score(mean, mean - half, mean + half)


def metric_of(subject: Subject) -> str:
    """Return the metric that models of the subject are compared by."""
    if subject.is_regression:
        return METRICS["regression"]
    return METRICS["binary" if len(subject.classes) == 2 else "multiclass"]


def splits(subject: Subject, repeats: int, *, is_plain: bool = False, seed: int = 0) -> list[Parts]:
    """Return the (train, test) rows of every fold: by what the subject is split by."""
    keys = subject.keys(is_plain=is_plain)
    n_repeats = 1 if keys.times is not None else repeats
    return [part for each in range(n_repeats) for part in folds(keys, FOLDS, seed + each)]


def cross_validate(
    subject: Subject,
    columns: Sequence[str],
    models: Mapping[str, Fit],
    parts: Sequence[Parts],
    progress: Progress,
    label: str,
) -> list[Trial]:
    """Return a trial of each model; models of a fold share what was prepared for them."""
    import numpy as np

    frame = features_of(subject.frame, columns)
    shape = (subject.n_rows,) if subject.is_regression else (subject.n_rows, len(subject.classes))
    sums = {name: np.zeros(shape) for name in models}
    scores: dict[str, list[Mapping[str, float]]] = {name: [] for name in models}
    times = np.zeros(subject.n_rows)
    n_fits = len(parts) * len(models)
    for number, (train, test) in enumerate(parts):
        ready: dict[bool, Lesson] = {}
        times[test] += 1
        for place, (name, fit) in enumerate(models.items()):
            step = Step(label, number * len(models) + place, n_fits)

            def told(step: Step = step) -> None:
                progress(step)

            told()
            is_native = name == BOOSTING
            if is_native not in ready:
                ready[is_native] = lesson_of(subject, frame, train, test, is_native, told)
            predicted = fitted(fit, ready[is_native], number)
            sums[name][test] += predicted
            scores[name].append(measured(subject, subject.y[test], predicted))
    n_train = float(np.mean([len(train) for train, _ in parts]))
    n_test = float(np.mean([len(test) for _, test in parts]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return [
            Trial(name, tuple(scores[name]), n_train, n_test, (sums[name].T / times).T)
            for name in models
        ]


def measured(subject: Subject, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return the metrics of predictions by their usual names."""
    if subject.is_regression:
        return measure.regression_metrics(truth, predicted)
    found = predicted.argmax(axis=1)
    return measure.classification_metrics(truth, found, predicted, len(subject.classes))


def summary(trial: Trial, metric: str) -> ModelScore:
    """Return the scores of a trial with their intervals."""
    found = {}
    for name in dict.fromkeys((metric, *(it for fold in trial.folds for it in fold))):
        values = trial.values(name)
        if values is not None:
            found[name] = _within(name, corrected_interval(values, trial.n_train, trial.n_test))
    return ModelScore(trial.model, found.get(metric), found)


_UNIT = frozenset(
    ("accuracy", "precision", "recall", "f1", "f1_macro", "roc_auc", "roc_auc_ovr", "brier",
     "average_precision")
)  # fmt: skip


def _within(metric: str, score: Score) -> Score:
    """Return the score with an interval that stays where the metric can be."""
    if score.low is None or score.high is None:
        return score
    low = max(0.0, score.low) if metric in _UNIT | {"rmse", "mae", "log_loss"} else score.low
    high = min(1.0, score.high) if metric in _UNIT | {"r2"} else score.high
    return Score(score.mean, low, high)


# Features: names that cannot clash, and per fold what the rows to learn from allow.


def features_of(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the columns under plain names, boundless numbers as missing ones."""
    import polars as pl

    chosen = frame.select([pl.col(name).alias(f"c{i}") for i, name in enumerate(columns)])
    floats = [name for name, kind in chosen.schema.items() if kind.is_float()]
    return chosen.with_columns(
        [pl.when(pl.col(name).abs() <= LARGEST).then(pl.col(name)).alias(name) for name in floats]
    )


def lesson_of(
    subject: Subject,
    frame: pl.DataFrame,
    train: np.ndarray,
    test: np.ndarray,
    is_native: bool,
    told: Callable[[], None],
) -> Lesson:
    """Return the matrices of one fold; texts that are rare in its training rows are one."""
    learn, check = frame[train], frame[test]
    known = [name for name in learn.columns if learn[name].null_count() < learn.height]
    learn, check = _grouped(learn.select(known), check.select(known))
    preparation = fit_preparation(
        learn, "", _steps(learn, is_native), native_strings=is_native, accepts_missing=is_native
    )
    compiled = preparation.compile()
    return Lesson(
        train=compiled.matrix(raw_columns(learn, preparation.inputs)),
        test=compiled.matrix(raw_columns(check, preparation.inputs)),
        y=subject.y[train],
        n_classes=len(subject.classes),
        native=tuple(i for i, it in enumerate(preparation.features) if it.n_categories),
        told=told,
    )


def _grouped(learn: pl.DataFrame, check: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return both tables with texts that few training rows hold put together."""
    import polars as pl

    for name, kind in learn.schema.items():
        if kind != pl.String:
            continue
        counts = learn[name].drop_nulls().value_counts(name="n")
        counts = counts.filter(pl.col("n") >= _LEAST_ROWS).sort(["n", name], descending=True)
        kept = counts.head(_MOST_LEVELS)[name].to_list()
        if counts.height == learn[name].drop_nulls().n_unique() <= _MOST_LEVELS:
            continue
        column = pl.col(name)
        rest = pl.when(column.is_null()).then(None).otherwise(pl.lit(_OTHER))
        grouped = pl.when(column.is_in(kept)).then(column).otherwise(rest).alias(name)
        learn, check = learn.with_columns(grouped), check.with_columns(grouped)
    return learn, check


def _steps(frame: pl.DataFrame, is_native: bool) -> list[FeatureStep]:
    """Return the steps that turn the columns that are there into numbers."""
    import polars as pl

    kinds = list(frame.schema.values())
    has_dates = any(kind.is_temporal() for kind in kinds)
    steps: list[FeatureStep] = [DatesStep("date")] if has_dates else []
    if is_native:
        return steps
    if pl.Boolean in kinds:
        steps.append(ImputeStep("boolean", "most_frequent"))
    if has_dates or any(kind.is_numeric() for kind in kinds):
        steps += [ImputeStep("numeric", "median"), ScaleStep("numeric")]
    if pl.String in kinds:
        steps.append(EncodeStep("categorical", "onehot"))
    return steps


# Models.


def fitted(fit: Fit, lesson: Lesson, seed: int) -> np.ndarray:
    """Return the predictions of a model, for every class though some were not there to learn."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    # Threads that wait for each other cost small products more than they bring, and one thread
    # adds up in one order.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence; the scores say what came of it
        if not lesson.n_classes:
            return fit(lesson, seed)
        present = np.unique(lesson.y)
        narrow = Lesson(
            lesson.train,
            lesson.test,
            np.searchsorted(present, lesson.y),
            len(present),
            lesson.native,
            lesson.told,
        )
        probability = np.zeros((len(lesson.test), lesson.n_classes))
        probability[:, present] = _shares(narrow) if len(present) == 1 else fit(narrow, seed)
    return probability


def _shares(lesson: Lesson) -> np.ndarray:
    import numpy as np

    counts = np.bincount(lesson.y, minlength=lesson.n_classes) / len(lesson.y)
    return np.tile(counts, (len(lesson.test), 1))


def dummy(lesson: Lesson, seed: int) -> np.ndarray:
    """Predict what is most usual: the class shares, or the mean."""
    import numpy as np

    if lesson.n_classes:
        return _shares(lesson)
    return np.full(len(lesson.test), float(lesson.y.mean()))


def linear(lesson: Lesson, seed: int) -> np.ndarray:
    """Predict by a logistic or ridge regression of scikit-learn's defaults (scaled features)."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if lesson.n_classes:
        n_weights = lesson.train.shape[1] * (1 if lesson.n_classes == 2 else lesson.n_classes)
        solver = "newton-cholesky" if n_weights <= _MOST_WEIGHTS else "lbfgs"
        model = LogisticRegression(max_iter=500, solver=solver)
        return _numbers(model.fit(lesson.train, lesson.y).predict_proba(lesson.test))
    return _numbers(Ridge().fit(lesson.train, lesson.y).predict(lesson.test))


def tree(lesson: Lesson, seed: int) -> np.ndarray:
    """Predict by one tree of depth 3 with at least 5 rows in a leaf."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    shape = {"max_depth": 3, "min_samples_leaf": _LEAST_ROWS, "random_state": 0}
    if lesson.n_classes:
        model = DecisionTreeClassifier(**shape)
        return _numbers(model.fit(lesson.train, lesson.y).predict_proba(lesson.test))
    return _numbers(DecisionTreeRegressor(**shape).fit(lesson.train, lesson.y).predict(lesson.test))


def boosting(lesson: Lesson, seed: int) -> np.ndarray:
    """Predict by LightGBM as it comes: 100 rounds, 31 leaves, native categories."""
    import lightgbm

    silence_lightgbm()
    params: dict[str, Any] = {
        "objective": "regression",
        "deterministic": True,
        "force_row_wise": True,
        # Threads that wait for each other cost small tables more than they bring.
        "num_threads": len(os.sched_getaffinity(0)) if lesson.train.size > _FEW_CELLS else 1,
        "seed": 0,
        "verbosity": -1,
    }
    if lesson.n_classes == 2:
        params["objective"] = "binary"
    elif lesson.n_classes:
        params |= {"objective": "multiclass", "num_class": lesson.n_classes}
    data = lightgbm.Dataset(
        lesson.train,
        lesson.y,
        categorical_feature=list(lesson.native),
        params={"verbosity": -1},
    )
    booster = lightgbm.train(params, data, 100, callbacks=[lambda _: lesson.told()])
    predicted = _numbers(booster.predict(lesson.test))
    if lesson.n_classes == 2:
        import numpy as np

        return np.column_stack([1 - predicted, predicted])
    return predicted


def _numbers(values: Any) -> np.ndarray:
    import numpy as np

    return np.asarray(values, dtype=np.float64)


DUMMY = "baseline"
LINEAR = "linear"
TREE = "tree of depth 3"
BOOSTING = "LightGBM"
MODELS: dict[str, Fit] = {DUMMY: dummy, LINEAR: linear, TREE: tree, BOOSTING: boosting}
"""Name of a model: what fits it. The first one is the baseline."""
