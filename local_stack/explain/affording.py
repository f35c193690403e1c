"""How many rows are worth their time: estimated from the size of a model, not by a clock.

So the same model is always explained by the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import InputError
from local_stack.explain.attributing.attributing import BACKGROUND_ROWS
from local_stack.explain.attributing.sampled import PERMUTATIONS, is_enumerated
from local_stack.explain.attributing.trees import ensemble_of
from local_stack.explain.attributing.units import spelled

if TYPE_CHECKING:
    from local_stack.explain.attributing.attributions import Attributions
    from local_stack.explain.subject import Subject
    from local_stack.stores.model import Model

MOST_ROWS: Final = 5_000
FEWEST_ROWS: Final = 20
SECONDS: Final = 60.0
"""What SHAP values may take when nobody says how many rows."""
TREE_COST: Final = 2e-9
"""Seconds for a row and a unit of :attr:`Ensemble.work`, on two busy cores."""


def rows_to_explain(
    subject: Subject, rows: int | None, unit: str | None, seconds: float | None = None
) -> int:
    """Return how many rows to explain: those asked for, else 5,000, or fewer of a slow model.

    A sampled explainer asks the model thousands of times for each row, and trees may be many and
    deep; both get about ``seconds``, by default :data:`SECONDS`.
    """
    if rows is not None:
        if rows < 1:
            raise InputError(f"--rows needs at least 1 row, not {rows}.")
        return rows
    explainer = subject.explainer
    if explainer.is_quick and spelled(unit or explainer.units[0], explainer.units) == (
        explainer.own_unit
    ):
        return tree_rows(subject.model, seconds)
    probe = explainer.attribute(subject.background[:1], unit)
    if not is_sampled(probe):
        return tree_rows(subject.model, seconds)
    n_columns = len(probe.columns)
    coalitions = 2**n_columns if is_enumerated(n_columns) else 2 * PERMUTATIONS * n_columns
    asked = affordable(subject.model, seconds or SECONDS) // (coalitions * BACKGROUND_ROWS)
    return max(FEWEST_ROWS, min(MOST_ROWS, asked))


def tree_rows(model: Model, seconds: float | None = None) -> int:
    """Return how many rows are worth the time of trees; 5,000 of another model."""
    ensemble = ensemble_of(model)
    if ensemble is None:
        return MOST_ROWS
    asked = (seconds or SECONDS) / (TREE_COST * max(1, ensemble.work))
    return max(FEWEST_ROWS, min(MOST_ROWS, int(asked)))


def is_sampled(found: Attributions) -> bool:
    """Return whether values come of asking the model with rows of the background."""
    return "background rows" in found.method


def affordable(model: Model, seconds: float) -> int:
    """Return how many rows a model predicts in about ``seconds``.

    The estimate is made of the size of the model, not of a clock, so that the same model is
    always asked for the same rows.
    """
    import numpy as np

    if model.is_booster:
        cost = 3e-11 * len(model.content)
    elif hasattr(model.estimator, "estimators_"):
        cost = 3e-7 * np.size(model.estimator.estimators_)
    else:  # neighbours, support vectors and weights: each number of theirs is looked at
        cost = 3e-10 * _held_bytes(vars(model.estimator).values())
    return int(seconds / (2e-6 + cost))


def _held_bytes(values: Iterable[Any]) -> int:
    """Return the size of the arrays among values, and in lists among them."""
    import numpy as np

    found = 0
    for value in values:
        if isinstance(value, np.ndarray):
            found += value.nbytes
        elif isinstance(value, list | tuple):
            found += _held_bytes(value)
    return found
