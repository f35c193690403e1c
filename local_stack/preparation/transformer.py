"""A recipe as a scikit-learn transformer. Only what uses scikit-learn itself imports this."""

# ruff: noqa: N803, N806 - X is scikit-learn's name
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from local_stack.marked_yaml import Lines, Node
from local_stack.preparation.fitted import Preparation
from local_stack.preparation.fitting import Training, fit_features, raw_columns
from local_stack.preparation.grammar import read_step
from local_stack.preparation.steps import FeatureStep, fits_on
from local_stack.preparation.table import Labels

if TYPE_CHECKING:
    import polars as pl

_NO_TARGET = "\N{NULL}"
"""No column has this name."""


class RecipeTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The steps of a recipe's ``features`` as a scikit-learn transformer.

    ``fit_transform`` returns what a model learns from, with encodings by the target out of
    fold; ``transform`` returns what is served. Filters and deduplication decide from which rows
    the steps after them learn; every row comes out.

    Parameters
    ----------
    steps
        Steps as in a recipe file, such as ``[{"scale": {"columns": "numeric"}}]``.
    native
        Whether texts may stay as codes for an estimator that takes categories natively.
    accepts_missing
        Whether NaN may come out; otherwise a column that has some is an error.
    random_state
        The seed of the folds of encodings by the target.
    """

    def __init__(
        self,
        steps: Sequence[Mapping[str, Any] | FeatureStep] = (),
        *,
        native: bool = False,
        accepts_missing: bool = True,
        random_state: int = 0,
    ) -> None:
        self.steps = steps
        self.native = native
        self.accepts_missing = accepts_missing
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> RecipeTransformer:
        """Fit the steps to a polars or pandas table, or to an array of numbers."""
        self._fit(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and return the features of the rows learnt from, float64 (n_rows, n_features)."""
        frame, training = self._fit(X, y)
        if len(training.rows) == frame.height:
            return training.matrix
        found = _matrix(self.preparation_, frame)
        found[training.rows] = training.matrix
        return found

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of rows, float64 (n_rows, n_features)."""
        check_is_fitted(self)
        return _matrix(self.preparation_, self._frame(X, reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features, (n_features,)."""
        check_is_fitted(self)
        names = [feature.name for feature in self.preparation_.features]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        tags.target_tags.required = any(fits_on(step) == "target" for step in self._steps())
        return tags

    def _steps(self) -> list[FeatureStep]:
        lines = Lines("steps")
        return [
            read_step(Node(dict(step), lines, (number,))) if isinstance(step, Mapping) else step
            for number, step in enumerate(self.steps, start=1)
        ]

    def _fit(self, X: Any, y: Any) -> tuple[pl.DataFrame, Training]:
        frame = self._frame(X, reset=True)
        training = fit_features(
            frame,
            _NO_TARGET,
            self._steps(),
            native_strings=self.native,
            accepts_missing=self.accepts_missing,
            labels=None if y is None else self._labels(y, frame.height),
        )
        self.preparation_: Preparation = training.preparation
        return frame, training

    def _frame(self, X: Any, *, reset: bool) -> pl.DataFrame:
        if not hasattr(X, "columns"):
            X = check_array(
                X,
                dtype=[np.float64, np.float32, np.int64, np.bool_],
                ensure_all_finite="allow-nan",
                estimator=self,
            )
        validate_data(self, X, reset=reset, skip_check_array=True)
        return as_frame(X)

    def _labels(self, y: Any, n_rows: int) -> Labels:
        y = column_or_1d(y, warn=True)
        check_consistent_length(y, np.empty(n_rows))
        if type_of_target(y) == "continuous":
            return Labels(y.astype(np.float64), seed=self.random_state)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        return Labels(codes.astype(np.float64), tuple(classes.tolist()), seed=self.random_state)


class FittedPreparation(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The preparation of a stored model as a scikit-learn transformer; it needs no fitting."""

    def __init__(self, preparation: Preparation) -> None:
        self.preparation = preparation

    def fit(self, X: Any, y: Any = None) -> FittedPreparation:
        """Return itself."""
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of raw rows, float64 (n_rows, n_features)."""
        return _matrix(self.preparation, as_frame(X))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features, (n_features,)."""
        return np.array([feature.name for feature in self.preparation.features], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> FittedPreparation:
        return self


def _matrix(preparation: Preparation, frame: pl.DataFrame) -> np.ndarray:
    return preparation.compile().matrix(raw_columns(frame, preparation.inputs))


def as_frame(X: Any) -> pl.DataFrame:
    """Return a polars or pandas table, or an array of numbers, as a polars table."""
    import polars as pl

    if isinstance(X, pl.DataFrame):
        return X
    if hasattr(X, "columns"):
        frame: pl.DataFrame = pl.from_pandas(X)
        return frame
    return pl.DataFrame(np.asarray(X), schema=[f"x{n}" for n in range(np.asarray(X).shape[1])])
