"""SHAP interaction values of trees: what two columns add only together (Lundberg and others 2020).

What a feature adds to a pair is half of how much its SHAP value changes when the other one is in
every coalition instead of in none; what is left of the value is the feature's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_stack.explain.attributing.attributions import column_groups, summed
from local_stack.explain.attributing.quadrature import Rows, rules, with_fixed
from local_stack.explain.attributing.trees import ensemble_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from local_stack.explain.attributing.ensembles import Ensemble
    from local_stack.stores.model import Model

    Floats = NDArray[np.float64]


def interaction_values(model: Model, matrix: Floats) -> Floats | None:
    """Return interaction values, (n_rows, n_columns, n_columns, n_outputs); None without trees.

    They are symmetric, in the unit of the model's raw scores, and add up over a row's second axis
    to its SHAP values. Columns are those of :func:`column_groups`. It takes twice as long for
    each feature as the SHAP values, and 8 bytes for each number: some hundred rows are a
    good number.
    """
    ensemble = ensemble_of(model)
    if ensemble is None:
        return None
    return tree_interactions(ensemble, matrix, list(column_groups(model.preparation).values()))


def tree_interactions(
    ensemble: Ensemble, matrix: Floats, columns: Sequence[Sequence[int]]
) -> Floats:
    """Return the interaction values of features in columns, as :func:`interaction_values`."""
    import numpy as np

    rows = Rows(ensemble, matrix, n_times=2 * ensemble.n_features)
    groups = [(group, rules(group)) for group in ensemble.groups]
    found = np.zeros((len(matrix), len(columns), len(columns), ensemble.n_outputs))
    for place, features in enumerate(columns):
        for feature in features:
            some = [(group, given) for group, given in groups if (group.feature == feature).any()]
            if not some:
                continue
            present, absent = (
                rows.values(
                    (it, with_fixed(it, given, feature, is_present=which)) for it, given in some
                )
                for which in (True, False)
            )
            found[:, :, place] += summed((present - absent) / 2, columns)
    found = (found + found.transpose(0, 2, 1, 3)) / 2
    own = np.arange(len(columns))
    found[:, own, own] = 0.0
    found[:, own, own] = summed(rows.values(groups), columns) - found.sum(axis=2)
    return found
