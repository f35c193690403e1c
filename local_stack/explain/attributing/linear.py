"""SHAP values of linear models: a closed form (Lundberg and Lee 2017, corollary 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.stores.model import Model

METHOD = "linear SHAP (exact, independent features)"


def is_linear(model: Model) -> bool:
    """Return whether the raw scores of a model are a weighted sum of its features."""
    import numpy as np

    coefficients = getattr(model.estimator, "coef_", None)
    if model.is_booster or not isinstance(coefficients, np.ndarray):
        return False
    kernel = getattr(model.estimator, "kernel", None)
    if kernel is not None and (kernel != "linear" or len(model.classes) > 2):
        return False  # of more classes a support vector machine has the weights of their pairs
    n_outputs = len(model.classes) if len(model.classes) > 2 else 1
    return np.atleast_2d(coefficients).shape == (n_outputs, len(model.features))


def weights_of(model: Model) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients (n_outputs, n_features) and intercepts (n_outputs,) of a linear model."""
    import numpy as np

    estimator: Any = model.estimator
    coefficients = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))
    intercepts = np.atleast_1d(np.asarray(estimator.intercept_, dtype=np.float64))
    intercepts = np.broadcast_to(intercepts, len(coefficients))
    mean = getattr(estimator, "_x_mean", None)  # partial least squares weigh distances to it
    return coefficients, intercepts if mean is None else intercepts - coefficients @ mean


def linear_values(
    model: Model, matrix: NDArray[np.float64], background: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return values (n_rows, n_features, n_outputs), base (n_outputs,), raw (n_rows, n_outputs).

    A value is the coefficient times the distance to the mean of the background, as shap's
    ``LinearExplainer`` has it. Those of a row have the same bits however many rows there are.
    """
    import numpy as np

    coefficients, intercepts = weights_of(model)
    mean = background.mean(axis=0)
    values = (matrix - mean)[:, :, None] * coefficients.T[None]
    # One feature after the other: the sums of linear algebra depend on how many rows there are.
    raw = np.repeat(intercepts[None], len(matrix), axis=0)
    for column, weights in zip(matrix.T, coefficients.T, strict=True):
        raw += column[:, None] * weights
    return values, coefficients @ mean + intercepts, raw
