"""Permutation importance of raw columns: how much worse a model fares without what they say.

Everything that is made of a column is made anew of its shuffled values (Breiman 2001; Fisher,
Rudin and Dominici 2019 call it model reliance, here a difference). The intervals are of the rows:
over 200 samples of 200 rows they held the value of 20,000 rows in 87 to 98 percent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local_stack.errors import InputError
from local_stack.evaluation.resampling import FEWEST_RESAMPLES, SEED, counts_of
from local_stack.evaluation.targets import codes_of, labels_of, numbers_of
from local_stack.explain.affording import affordable
from local_stack.explain.attributing.sampled import evenly
from local_stack.explain.effects.parts import Permutation, Permuted
from local_stack.explain.effects.rows import Rows
from local_stack.preparation.values import take
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from local_stack.stores.model import Model

    Array = NDArray[np.float64]

REPEATS: Final = 5
MOST_ROWS: Final = 2_000
FEWEST_ROWS: Final = 50
_SECONDS: Final = 6.0
_INTERVAL: Final = (
    "95 % percentile interval of {n} bootstrap samples of the rows, each of them with the mean of "
    "the {r} shuffles; the model itself is held fixed"
)


def truth_of(model: Model, series: pl.Series) -> Array:
    """Return the target of rows as a model counts: numbers, or places of classes (-1: unknown).

    Raises
    ------
    InputError
        The values cannot be those of the model's task.
    """
    import numpy as np

    if model.task == "regression":
        return numbers_of(series)
    try:
        labels = labels_of(series)
    except InputError:
        if series.n_unique() != 1:
            raise
        labels = series.to_list()
    return codes_of(labels, model.classes).astype(np.float64)


def permutation_importance(
    rows: Rows,
    truth: Array,
    *,
    source: str = "test",
    repeats: int = REPEATS,
    seed: int = 0,
    progress: Progress = silent,
) -> Permutation:
    """Return by how much the metric of a model gets worse when each raw column is shuffled.

    The metric is RMSE, else log loss where there are probabilities of known classes, else the
    accuracy. All columns are shuffled by the same ``repeats`` orders.

    Parameters
    ----------
    truth
        The target, as :func:`truth_of` gives it.
    source
        What the rows are: ``test`` or ``all``.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    orders = np.stack([generator.permutation(len(rows)) for _ in range(repeats)])
    return permuted_by(rows, truth, orders, source=source, progress=progress)


def permuted_by(
    rows: Rows,
    truth: Array,
    orders: NDArray[np.int64],
    *,
    source: str = "test",
    progress: Progress = silent,
) -> Permutation:
    """Return it for given orders, int64 (n_repeats, n_rows); see :func:`permutation_importance`."""
    import numpy as np

    model = rows.model
    metric = _metric(model, truth)
    before = _losses(model, metric, rows.matrix, truth)
    drawn = next(counts_of(len(rows), FEWEST_RESAMPLES, SEED)) / len(rows)
    whole, means = before.mean(), drawn @ before
    found = []
    columns = [column.name for column in model.inputs]
    for number, column in enumerate(columns):
        progress(Step("Permutation importance", number, len(columns)))
        values = rows.columns[column]
        shuffled = [rows.changed(column, take(values, order)) for order in orders]
        losses = _losses(model, metric, np.concatenate(shuffled), np.tile(truth, len(orders)))
        rise = losses.reshape(len(orders), len(rows)) - before  # 0 where nothing moves
        worse = _score(metric, whole + rise.mean(axis=1)) - _score(metric, whole)
        spread = _score(metric, means[:, None] + drawn @ rise.T) - _score(metric, means)[:, None]
        low, high = np.quantile(spread.mean(axis=1), [0.025, 0.975])
        found.append(Permuted(column, float(worse.mean()), float(low), float(high)))
    loss = float(_score(metric, whole))
    return Permutation(
        metric=metric,
        score=1 - loss if metric == "accuracy" else loss,
        rows=source,
        n_rows=len(rows),
        repeats=len(orders),
        interval=_INTERVAL.format(n=len(drawn), r=len(orders)),
        columns=tuple(sorted(found, key=lambda it: (-it.mean, it.column))),
    )


def some_rows(model: Model, n_rows: int) -> NDArray[np.int64]:
    """Return the numbers of the rows that are worth their time, evenly spread."""
    asked = affordable(model, _SECONDS) // (REPEATS * max(1, len(model.inputs)))
    return evenly(n_rows, max(FEWEST_ROWS, min(MOST_ROWS, asked)))


def _metric(model: Model, truth: Array) -> str:
    if model.task == "regression":
        return "rmse"
    return "log_loss" if model.has_probabilities and bool((truth >= 0).all()) else "accuracy"


def _losses(model: Model, metric: str, matrix: Array, truth: Array) -> Array:
    """Return a loss for each row, whose mean :func:`_score` makes the metric of."""
    import numpy as np

    if metric == "rmse":
        return np.asarray((model.outputs(matrix) - truth) ** 2)
    if metric == "accuracy":
        return np.asarray(model.outputs(matrix) != truth, dtype=np.float64)
    eps = np.finfo(np.float64).eps
    right = model.probabilities(matrix)[np.arange(len(truth)), truth.astype(np.int64)]
    return np.asarray(-np.log(np.clip(right, eps, 1 - eps)))


def _score(metric: str, mean_loss: Array) -> Array:
    import numpy as np

    return np.sqrt(mean_loss) if metric == "rmse" else np.asarray(mean_loss)
