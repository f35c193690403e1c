"""What plain models reach on the same features and rows: a dummy and a linear one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.evaluation.named import measured
from local_stack.evaluation.resampling import Held

if TYPE_CHECKING:
    import numpy as np

MOST_ROWS: Final = 50_000
"""Rows that the linear model learns from; of more a seeded sample is drawn."""
_MOST_LEVELS = 30
_MOST_CELLS = 20_000_000
_MOST_WEIGHTS = 1_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """A plain model: what it says of the held-out rows, and how many it learnt from."""

    name: str
    held: Held
    n_rows_train: int

    @property
    def metrics(self) -> Mapping[str, float]:
        """Return the metrics of the held-out rows."""
        return measured(self.held)


def baselines(
    train: np.ndarray,
    y: np.ndarray,
    test: np.ndarray,
    truth: np.ndarray,
    *,
    n_classes: int,
    categories: Sequence[int] = (),
    weights: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[Baseline, ...]:
    """Return what a dummy and a linear model reach on the held-out rows.

    ``dummy`` is scikit-learn's DummyClassifier (``prior``) or DummyRegressor (the mean);
    ``linear`` is its LogisticRegression or Ridge, both with their defaults, on features of which
    numbers are filled with the median and scaled, and categories are one-hot.

    Parameters
    ----------
    train, test
        Features, float64 (n_rows, n_features), NaN where missing.
    y, truth
        Numbers, or class numbers (in ``truth`` -1 for a class that is not among them).
    n_classes
        0 for a regression.
    categories
        The columns that hold codes of categories.
    weights
        Of the training rows.
    """
    import numpy as np

    found = [Baseline("dummy", _dummy(y, truth, n_classes, weights), len(y))]
    rows = np.arange(len(y))
    most = max(1_000, min(MOST_ROWS, _MOST_CELLS // max(1, train.shape[1])))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    if n_classes and len(np.unique(y[rows])) < n_classes:
        return tuple(found)  # a rare class that the sample has lost
    known, asked = linear_features(train[rows], test, categories)
    some = None if weights is None else weights[rows]
    linear = _linear(known, y[rows], asked, truth, n_classes, some)
    return (*found, Baseline("linear", linear, len(rows)))


def _dummy(y: np.ndarray, truth: np.ndarray, n_classes: int, weights: np.ndarray | None) -> Held:
    import numpy as np

    if not n_classes:
        mean = np.average(y, weights=weights)
        return Held(0, truth, np.full(len(truth), mean))
    shares = np.bincount(y, weights=weights, minlength=n_classes)
    probability = np.tile(shares / shares.sum(), (len(truth), 1))
    return Held(n_classes, truth, probability.argmax(axis=1), probability)


def _linear(
    train: np.ndarray,
    y: np.ndarray,
    test: np.ndarray,
    truth: np.ndarray,
    n_classes: int,
    weights: np.ndarray | None,
) -> Held:
    from sklearn.linear_model import LogisticRegression, Ridge
    from threadpoolctl import threadpool_limits

    # One thread adds up in one order, and for small products it is the faster one.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence: a baseline need not be the best
        if not n_classes:
            ridge = Ridge().fit(train, y, weights)
            return Held(0, truth, ridge.predict(test))
        n_weights = train.shape[1] * (1 if n_classes == 2 else n_classes)
        solver = "newton-cholesky" if n_weights <= _MOST_WEIGHTS else "lbfgs"
        model: Any = LogisticRegression(solver=solver).fit(train, y, weights)
        probability = model.predict_proba(test)
    return Held(n_classes, truth, probability.argmax(axis=1), probability)


def linear_features(
    train: np.ndarray, test: np.ndarray, categories: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Return both matrices as a linear model takes them, by what the training rows say.

    Numbers: the median for what is missing, then mean 0 and deviation 1 (a constant becomes 0).
    Categories: a column for each of the 30 most frequent codes; missing is none of them.
    """
    import numpy as np

    known, asked = [], []
    for place in range(train.shape[1]):
        learn, check = train[:, place], test[:, place]
        if place in categories:
            codes, counts = np.unique(learn[~np.isnan(learn)], return_counts=True)
            kept = codes[np.argsort(-counts, kind="stable")[:_MOST_LEVELS]]
            known.append((learn[:, None] == kept).astype(np.float64))
            asked.append((check[:, None] == kept).astype(np.float64))
            continue
        present = learn[np.isfinite(learn)]
        middle = float(np.median(present)) if present.size else 0.0
        learn, check = (np.where(np.isfinite(it), it, middle) for it in (learn, check))
        with np.errstate(over="ignore", invalid="ignore"):
            scale = float(learn.std())
        if not np.isfinite(scale) or scale <= 1e-12 * max(1.0, float(np.abs(learn).max())):
            continue
        mean = float(learn.mean())
        known.append(((learn - mean) / scale)[:, None])
        asked.append(((check - mean) / scale)[:, None])
    empty = [np.zeros((len(train), 1))], [np.zeros((len(test), 1))]
    return np.hstack(known or empty[0]), np.hstack(asked or empty[1])
