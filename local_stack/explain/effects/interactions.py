"""What columns add to the predictions only together: mean absolute SHAP interaction values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from local_stack.explain.attributing.attributions import column_groups
from local_stack.explain.attributing.interactions import tree_interactions
from local_stack.explain.attributing.linear import is_linear
from local_stack.explain.attributing.sampled import evenly
from local_stack.explain.attributing.trees import ensemble_of
from local_stack.explain.effects.parts import Interactions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.stores.model import Model

MOST_ROWS: Final = 200
FEWEST_ROWS: Final = 10
MOST_COLUMNS: Final = 20
_WORK: Final = 5e8
"""About ten seconds, as :attr:`Ensemble.work` counts."""
_NUMBERS: Final = 2e7
_METHOD: Final = "tree SHAP interaction values (exact, path dependent)"


def interactions(
    model: Model, matrix: NDArray[np.float64], columns: Sequence[str], output: int, unit: str
) -> Interactions | str:
    """Return the mean |interaction| of columns, or a sentence that says why there is none.

    Parameters
    ----------
    matrix
        Features of the rows to choose from, (n_rows, n_features).
    columns
        Names, the most important first; the first 20 are told. What these add together with the
        others is then part of the diagonal.
    output
        Which of the model's outputs.
    unit
        That of the model's raw scores.
    """
    import numpy as np

    ensemble = ensemble_of(model)
    if ensemble is None:
        if is_linear(model):
            return "A weighted sum of features has no interactions."
        return "SHAP interaction values are told of trees that split by one feature at a time only."
    groups = column_groups(model.preparation)
    shown = list(columns[:MOST_COLUMNS])
    asked = [groups[name] for name in shown]
    n_features = sum(map(len, asked))
    by_work = _WORK / max(1, ensemble.work * 2 * n_features)
    by_size = _NUMBERS / (len(shown) ** 2 * ensemble.n_outputs)
    some = evenly(len(matrix), max(FEWEST_ROWS, int(min(MOST_ROWS, by_work, by_size))))
    found = tree_interactions(ensemble, matrix[some], asked)
    means = np.abs(found[..., output]).mean(axis=0)
    return Interactions(
        columns=tuple(shown),
        matrix=tuple(tuple(line) for line in means.tolist()),
        unit=unit,
        method=_METHOD,
        n_rows=len(some),
    )


def used_features(model: Model) -> frozenset[int] | None:
    """Return the places of the features that trees split by; None for a model of another kind."""
    import numpy as np

    ensemble = ensemble_of(model)
    if ensemble is None:
        return None
    return frozenset(
        int(it) for group in ensemble.groups for it in np.unique(group.feature).tolist()
    )
