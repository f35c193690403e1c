"""A stored model as one scikit-learn pipeline. Only what uses scikit-learn itself imports this."""

# ruff: noqa: N803 - X is scikit-learn's name
from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from local_stack.preparation.transformer import FittedPreparation
from local_stack.stores.model import Model


class FittedModel(BaseEstimator):  # type: ignore[misc]
    """The estimator of a stored model: features in, labels or numbers out; it is fitted."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def classes_(self) -> np.ndarray:
        """The labels in the order of the probabilities, (n_classes,)."""
        return np.array(self.model.classes)

    def fit(self, X: Any, y: Any = None) -> FittedModel:
        """Return itself."""
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return a label or a number for each row of features, (n_rows,)."""
        return np.array(self.model.labels(self.model.outputs(np.asarray(X))))

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each class, float64 (n_rows, n_classes)."""
        return self.model.probabilities(np.asarray(X))

    def score(self, X: np.ndarray, y: Any) -> float:
        """Return the accuracy of a classification, or the R2 of a regression."""
        from sklearn.metrics import accuracy_score, r2_score

        measure = accuracy_score if self.model.task == "classification" else r2_score
        return float(measure(y, self.predict(X)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        is_classifier = self.model.task == "classification"
        tags.estimator_type = "classifier" if is_classifier else "regressor"
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> FittedModel:
        return self


def pipeline(model: Model) -> Pipeline:
    """Return ``preparation`` and ``model`` as one pipeline that predicts as the model does.

    It takes polars and pandas tables of raw columns.
    """
    preparation = FittedPreparation(model.preparation)
    return Pipeline([("preparation", preparation), ("model", FittedModel(model))])
