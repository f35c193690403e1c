"""SHAP values of trees, by the covers of their training rows (Lundberg and others 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.stores.model import Model

METHOD = "tree SHAP (exact, path dependent)"


def has_trees(model: Model) -> bool:
    """Return whether :func:`tree_values` can answer for a model."""
    return model.kind == "lightgbm"


def tree_values(
    model: Model, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return values (n_rows, n_features, n_outputs), base (n_outputs,), raw (n_rows, n_outputs)."""
    import numpy as np

    booster: Any = model.estimator
    n_rows, n_features = matrix.shape
    found = np.asarray(booster.predict(matrix, pred_contrib=True))
    raw = np.asarray(booster.predict(matrix, raw_score=True)).reshape(n_rows, -1)
    split = found.reshape(n_rows, -1, n_features + 1)
    return split[:, :, :-1].transpose(0, 2, 1), split[0, :, -1], raw
