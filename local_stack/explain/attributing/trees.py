"""SHAP values of trees, by the covers of their training rows (Lundberg and others 2020)."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.attributing import boosted, forests
from local_stack.explain.attributing.quadrature import tree_shap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.explain.attributing.ensembles import Ensemble
    from local_stack.stores.model import Model

    Floats = NDArray[np.float64]

METHOD = "tree SHAP (exact, path dependent)"
_LIBRARIES: Final[dict[str, tuple[Any, Any]]] = {
    "lightgbm": (boosted.read_lightgbm, boosted.lightgbm_scores),
    "xgboost": (boosted.read_xgboost, boosted.xgboost_scores),
    "catboost": (boosted.read_catboost, boosted.catboost_scores),
    "sklearn": (forests.read_forest, forests.forest_scores),
}
"""How the trees of each kind of model are read, and how it is asked for its raw scores."""
_read: weakref.WeakKeyDictionary[Model, Ensemble | None] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def has_trees(model: Model) -> bool:
    """Return whether :func:`tree_values` can answer for a model."""
    return ensemble_of(model) is not None or boosted.has_catboost_values(model)


def ensemble_of(model: Model) -> Ensemble | None:
    """Return the trees of a model, read once.

    None where it is not a sum of trees, or where these do not split by one feature at a time.
    """
    with _lock:
        if model not in _read:
            _read[model] = _LIBRARIES[model.kind][0](model)
        return _read[model]


def tree_values(model: Model, matrix: Floats) -> tuple[Floats, Floats, Floats]:
    """Return values (n_rows, n_features, n_outputs), base (n_outputs,), raw (n_rows, n_outputs).

    Raw scores are the model's own: margins of boosters (log-odds, logarithms of counts), means of
    forests (of numbers, or of the shares of classes). The values of a row are the same bits
    however many rows are asked for.
    """
    raw = scores(model, matrix)
    ensemble = ensemble_of(model)
    if ensemble is None:
        return *boosted.catboost_values(model, matrix), raw
    return tree_shap(ensemble, matrix), ensemble.base, raw


def scores(model: Model, matrix: Floats) -> Floats:
    """Return the raw scores of rows by the library that made the model, (n_rows, n_outputs)."""
    import numpy as np

    n_outputs = model.record.n_outputs
    if not len(matrix):
        return np.empty((0, n_outputs))
    found = _LIBRARIES[model.kind][1](model, matrix)
    return np.asarray(found, dtype=np.float64).reshape(len(matrix), n_outputs)
