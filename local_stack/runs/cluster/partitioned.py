"""Training on a table that is larger than memory: its parts lie with the workers of a cluster.

The table is read part by part and sent on; this process keeps the target, the weights, the columns
that the split looks at, and a sample of the rows. The rows that are held out are those of a
training on one machine. Features are fitted to the sample, which has at least one row of every
class, of every text, and with a missing value of every column that misses some. LightGBM's Dask
estimators do the learning, and add their sums in another order than one machine does: the model is
as good, but not the same in its last bits.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from local_stack.errors import InputError
from local_stack.evaluation.split import hold_out
from local_stack.preparation.fitting import raw_columns
from local_stack.preparation.steps import DeduplicateStep, FilterStep, fits_on
from local_stack.progress import Progress, Step
from local_stack.runs.cluster.boosting import boosted, forget_networks
from local_stack.runs.cluster.client import Cluster, Lost, Sent
from local_stack.runs.estimators import LIGHTGBM, check_estimator
from local_stack.runs.fit import effective_params
from local_stack.runs.fitted import Fitted, Predictions
from local_stack.runs.folding import joined, measured, outcome_of
from local_stack.runs.lessons import (
    Lesson,
    Table,
    check_slices,
    hidden_columns,
    labelled,
    prepared,
    weighted,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from local_stack.preparation.fitted import Preparation
    from local_stack.runs.recipe import Recipe
    from local_stack.stores.model import Model, ModelRecord

SAMPLE_ROWS: Final = 200_000
"""Rows that features are fitted to, and test rows that are looked at closely."""
_MOST_TEXTS = 10_000
"""Different texts of a column that the sample is made to have."""
_PART_BYTES = 64_000_000
_MOST_TRIES = 3
"""A training that loses a worker begins again with those that are left, so often in all."""
_NOT_HERE = {
    "early_stopping": "workers would stop at different rounds",
    "calibrate": "it needs folds",
    "quantiles": "each is a training of its own",
}


class Made(NamedTuple):
    """What a training in parts made.

    ``fitted`` has the predictions of all test rows. ``looked_at`` is the same with those of a
    sample, whose rows are numbered in ``sample``; ``targets`` is the column of the whole table.
    """

    fitted: Fitted
    looked_at: Fitted
    sample: pl.DataFrame
    targets: pl.Series


@dataclass(slots=True)
class _Part:
    """Rows that lie with one worker: their numbers among those with a target, and their data."""

    rows: np.ndarray
    matrix: Sent
    truth: Sent
    weights: Sent | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is known of the whole table before its rows are sent.

    ``rows`` are the numbers in the file of those with a target; what is learnt from and held out
    are places in them. ``truth`` are numbers or class numbers of ``rows``.
    """

    path: Path
    recipe: Recipe
    task: str
    n_rows: int
    rows: np.ndarray
    train: np.ndarray
    test: np.ndarray
    truth: np.ndarray
    weights: np.ndarray | None
    table: Table
    targets: pl.Series = field(repr=False)

    def parts(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yield the table in parts, each with the number of its first row."""
        import polars as pl

        scan = pl.scan_parquet(self.path)
        names = scan.collect_schema().names() if columns is None else list(columns)
        n = max(1_000, min(1_000_000, _PART_BYTES // (8 * max(1, len(names)))))
        for start in range(0, self.n_rows, n):
            yield start, scan.select(names).slice(start, n).collect()


def fit_in_parts(recipe: Recipe, path: Path, cluster: Cluster, progress: Progress) -> Made:
    """Train the model of ``recipe`` on the Parquet file at ``path``, in parts on a cluster.

    Raises
    ------
    InputError
        The recipe does not fit the table, or asks for what cannot be done in parts.
    UnavailableError
        Workers were lost, again and again.
    Cancelled
        When ``progress``, which is told of each part and each boosting round, raises it.
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    check_estimator(recipe)
    _check(recipe)
    progress(Step("Splitting the rows"))
    plan = _planned(recipe, path)
    frame, n_learnt, lesson = _sampled(plan, progress)
    for number in range(1, _MOST_TRIES + 1):
        try:
            if number > 1:
                progress(Step("A worker was lost: beginning again with the others"))
                cluster.reconnect()
                forget_networks(cluster)
            model, train, test = _trained(plan, lesson, cluster, progress)
            break
        except Lost:
            if number == _MOST_TRIES:
                raise
    progress(Step("Measuring"))
    if plan.weights is not None:
        train, test = (replace(it, weights=plan.weights[it.rows]) for it in (train, test))
    metrics = measured(test, model, recipe.metrics) if len(test.rows) else {}
    known = measured(train, model, recipe.metrics)
    metrics |= {f"train_{name}": value for name, value in known.items()}
    fitted = Fitted(
        model=model,
        metrics=metrics,
        params=effective_params(recipe, model, len(plan.train)),
        n_rows_train=len(plan.train),
        n_rows_test=len(plan.test),
        n_rows_dropped=plan.n_rows - len(plan.rows),
        test=replace(test, rows=plan.rows[test.rows]),
        warnings=_notes(plan, n_learnt),
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu_started,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        n_rows_purged=len(plan.rows) - len(plan.train) - len(plan.test),
        feature_importance=_gains(model),
        lesson=lesson,
    )
    looked_at = replace(
        fitted, test=_within(plan, frame, test), n_rows_test=frame.height - n_learnt
    )
    return Made(fitted, looked_at, frame.drop(_NUMBER), plan.targets)


_NUMBER = "\0row"
"""The column of a sample that has the number of a row in the file."""


def _check(recipe: Recipe) -> None:
    """Raise :class:`InputError` for what cannot be done in parts."""
    if recipe.estimator != LIGHTGBM:
        raise InputError(
            "Only lightgbm can be trained in parts.", "Leave --partitioned out, or estimator."
        )
    for key, why in _NOT_HERE.items():
        if getattr(recipe, key):
            raise InputError(f"{key} is not possible in parts: {why}.", f"Leave {key} out.")
    if recipe.threshold is not None and recipe.threshold.value is None:
        raise InputError(
            "A threshold cannot be chosen in parts: it needs folds.", "Give it as a number."
        )
    if recipe.split.folds:
        raise InputError("A training in parts has no cross-validation.", "Leave split.folds out.")
    for place, step in enumerate(recipe.features):
        if fits_on(step) == "target" or isinstance(step, FilterStep | DeduplicateStep):
            where = recipe.places[place] if place < len(recipe.places) else f"step {place + 1}"
            raise InputError(
                f"{where}: this step needs all rows at once, which a training in parts never has.",
                "Prepare the data with it first: paceml-tui data prepare --as NAME.",
            )


def _planned(recipe: Recipe, path: Path) -> _Plan:
    """Read what the split, the target and the weights need, and hold rows out."""
    import polars as pl

    scan = pl.scan_parquet(path)
    known = scan.collect_schema().names()
    wanted = {recipe.target, recipe.split.group, recipe.split.time, recipe.weights}
    narrow = scan.select([name for name in known if name in wanted]).collect()
    check_slices(recipe, known)
    rows, table, task = labelled(replace(recipe, features=(), slices=()), narrow)
    train, test = hold_out(table.keys, recipe.split.test, recipe.split.seed)
    classes: list[Any] = []
    if isinstance(table.target, list):
        classes = sorted({table.target[place] for place in train.tolist()})
    return _Plan(
        path=path,
        recipe=recipe,
        task=task,
        n_rows=narrow.height,
        rows=rows,
        train=train,
        test=test,
        truth=table.truth(classes),
        weights=table.weights,
        table=table,
        targets=narrow[recipe.target or ""],
    )


# ------------------------------------------------------------------ the sample


def _sampled(plan: _Plan, progress: Progress) -> tuple[pl.DataFrame, int, Lesson]:
    """Return rows to learn the features from, then test rows; how many the first are; a lesson."""
    import numpy as np
    import polars as pl

    dice = np.random.default_rng(plan.recipe.split.seed)
    is_train = np.zeros(plan.n_rows, dtype=bool)
    is_train[plan.rows[plan.train]] = True
    wanted = np.zeros(plan.n_rows, dtype=bool)
    for places in (plan.train, plan.test):
        some = dice.choice(places, min(SAMPLE_ROWS, len(places)), replace=False)
        wanted[plan.rows[some]] = True
    if plan.task == "classification":
        first = np.unique(plan.truth[plan.train], return_index=True)[1]
        wanted[plan.rows[plan.train[first]]] = True
    taken, seen = [], _Seen()
    for start, part in plan.parts():
        progress(Step("Reading a sample", start, plan.n_rows))
        numbers = np.arange(start, start + part.height)
        learnt = is_train[numbers]
        more = seen.new(part.filter(pl.Series(learnt)), numbers[learnt])
        chosen = wanted[numbers]
        chosen[more - start] = True
        taken.append(part.with_columns(pl.Series(_NUMBER, numbers)).filter(pl.Series(chosen)))
    sample = pl.concat(taken)
    is_learnt = pl.Series(is_train[sample[_NUMBER].to_numpy()])
    learnt_from, held = sample.filter(is_learnt), sample.filter(~is_learnt)
    hidden = hidden_columns(plan.recipe) | {_NUMBER}
    places = np.searchsorted(plan.rows, learnt_from[_NUMBER].to_numpy())
    target = plan.table.target
    some_rows = Table(
        learnt_from.select([name for name in learnt_from.columns if name not in hidden]),
        target[places] if isinstance(target, np.ndarray) else [target[i] for i in places.tolist()],
        plan.table.keys.take(places),
        None if plan.weights is None else plan.weights[places],
    )
    lesson = prepared(plan.recipe, some_rows, progress, "Preparing the features")
    return pl.concat([learnt_from, held]), learnt_from.height, lesson


class _Seen:
    """The texts that a sample has of each column, and whether it has a missing value."""

    def __init__(self) -> None:
        self._texts: dict[str, set[Any]] = {}

    def new(self, frame: pl.DataFrame, numbers: np.ndarray) -> np.ndarray:
        """Return the numbers of rows that have what was not seen before."""
        import numpy as np
        import polars as pl

        found = [np.zeros(0, dtype=np.int64)]
        for name in frame.columns:
            series, known = frame[name], self._texts.setdefault(name, set())
            if series.dtype in (pl.String, pl.Categorical, pl.Enum):
                if len(known) >= _MOST_TEXTS:
                    continue
                first = series.is_first_distinct().arg_true().to_numpy()
            elif None not in known and series.null_count():
                first = series.is_null().arg_true().to_numpy()[:1]
            else:
                continue
            values = series[first].to_list()
            places = [p for p, v in zip(first.tolist(), values, strict=True) if v not in known]
            known.update(values)
            found.append(numbers[places[:_MOST_TEXTS]])
        return np.unique(np.concatenate(found))


def _within(plan: _Plan, frame: pl.DataFrame, test: Predictions) -> Predictions:
    """Return the predictions of the test rows that are in a sample, with their places in it."""
    import numpy as np

    numbers = frame[_NUMBER].to_numpy()
    tested = plan.rows[test.rows]
    places = np.flatnonzero(np.isin(numbers, tested))
    among = np.searchsorted(tested, numbers[places])
    probability = None if test.probability is None else test.probability[among]
    weights = None if test.weights is None else test.weights[among]
    truth, predicted = test.truth[among], test.predicted[among]
    return Predictions(places, truth, predicted, probability, weights=weights)


def _notes(plan: _Plan, n_learnt: int) -> tuple[str, ...]:
    found = []
    if n_learnt < len(plan.train):
        found.append(
            f"The features were fitted to {n_learnt:,} of the {len(plan.train):,} training rows."
        )
    if len(plan.test) > SAMPLE_ROWS:
        found.append(
            f"Intervals, curves and segments are of {SAMPLE_ROWS:,} of the {len(plan.test):,} "
            "test rows."
        )
    return tuple(found)


# ------------------------------------------------------------------ on the cluster


def _trained(
    plan: _Plan, lesson: Lesson, cluster: Cluster, progress: Progress
) -> tuple[Model, Predictions, Predictions]:
    """Send the rows, train, and return the model with what it says of training and test rows."""
    import lightgbm

    from local_stack.runs.boosters import refused, safe_names
    from local_stack.runs.boosting import parameters
    from local_stack.stores.model_files import from_booster, silence_lightgbm

    silence_lightgbm()
    learnt, held = _sent(plan, lesson, cluster, progress)
    try:
        booster = boosted(
            cluster,
            [(part.matrix, part.truth, part.weights, len(part.rows)) for part in learnt],
            n_features=len(lesson.preparation.features),
            params=parameters(lesson, None, len(plan.train)),
            names=safe_names(lesson.preparation),
            categories=[i for i, f in enumerate(lesson.preparation.features) if f.n_categories],
            progress=progress,
        )
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise refused(plan.recipe, error) from error
    facts: dict[str, Any] = {"task": plan.task, "target": plan.recipe.target or ""}
    model = from_booster(booster, lesson.preparation, classes=lesson.classes, **facts)
    if plan.recipe.threshold is not None:
        model = model.deciding(None, plan.recipe.threshold.value)
    found = [_said_of(part, model, cluster, progress) for part in (learnt, held)]
    return model, found[0], found[1]


def _sent(
    plan: _Plan, lesson: Lesson, cluster: Cluster, progress: Progress
) -> tuple[list[_Part], list[_Part]]:
    """Send every part to one of the workers, which turns it into features."""
    import numpy as np

    purpose = np.zeros(plan.n_rows, dtype=np.int8)
    purpose[plan.rows[plan.train]] = 1
    purpose[plan.rows[plan.test]] = 2
    place_of = np.full(plan.n_rows, -1, dtype=np.int64)
    place_of[plan.rows] = np.arange(len(plan.rows))
    recipe, truth = plan.recipe, plan.truth
    of_rows = np.full(len(plan.rows), np.nan)
    weights = weighted(
        recipe,
        None if plan.weights is None else plan.weights[plan.train],
        truth[plan.train],
        lesson.classes,
    )
    if weights is not None:
        of_rows[plan.train] = weights
    columns = [column.name for column in lesson.preparation.inputs]
    workers = list(cluster.threads())
    parts: tuple[list[_Part], list[_Part]] = ([], [])
    for number, (start, part) in enumerate(plan.parts(columns)):
        progress(Step("Sending the rows to the workers", start, plan.n_rows))
        numbers = np.arange(start, start + part.height)
        worker = workers[number % len(workers)]
        for kind, found in enumerate(parts, start=1):
            inside = np.flatnonzero(purpose[numbers] == kind)
            if not len(inside):
                continue
            rows = place_of[numbers[inside]]
            frame = cluster.place(part[inside], worker)
            is_weighted = kind == 1 and weights is not None
            found.append(
                _Part(
                    rows,
                    cluster.derive(_matrix, frame, lesson.preparation, on=worker),
                    cluster.place(truth[rows], worker),
                    cluster.place(of_rows[rows], worker) if is_weighted else None,
                )
            )
            cluster.settle(found[-1].matrix)
    return parts


def _matrix(frame: pl.DataFrame, preparation: Preparation) -> np.ndarray:
    """Return the features of raw rows; done by a worker."""
    return preparation.compile().matrix(raw_columns(frame, preparation.inputs))


def _said_of(
    parts: Sequence[_Part], model: Model, cluster: Cluster, progress: Progress
) -> Predictions:
    """Return what a model says of rows that lie with the workers, in the order of the rows."""
    import numpy as np

    facts = (model.record, model.preparation, model.content)
    sent = [cluster.derive(_outcome, facts, part.matrix, part.truth, part.rows) for part in parts]
    found: list[Predictions] = []
    for one in sent:
        progress(Step("Predicting", len(found), len(sent)))
        found.append(cluster.fetch(one))
    if not found:
        shape = np.zeros((0, len(model.classes)))
        empty = np.zeros(0, dtype=np.int64)
        return Predictions(empty, empty, empty, shape if model.classes else None)
    return joined(found, np.arange(1 + max(int(part.rows.max()) for part in parts)))


def _outcome(
    facts: tuple[ModelRecord, Preparation, bytes],
    matrix: np.ndarray,
    truth: np.ndarray,
    rows: np.ndarray,
) -> Predictions:
    """Return what a model says of a part; done by a worker."""
    from local_stack.stores.model_files import built

    return outcome_of(built(*facts), matrix, truth, rows)


def _gains(model: Model) -> dict[str, float]:
    from local_stack.runs.boosting import BOOSTER

    names = [feature.name for feature in model.features]
    return dict(zip(names, BOOSTER.gains(model.estimator).tolist(), strict=True))
