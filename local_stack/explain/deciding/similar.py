"""The training rows most like a row: by their values, or by what their values did to the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.attributing.sampled import evenly
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.explain.attributing.attributing import Explainer
    from local_stack.explain.deciding.columns import Space

    Array = NDArray[np.float64]

VALUES: Final = "values"
PROFILE: Final = "profile"
_MOST_PROFILES: Final = 1_000


@dataclass(frozen=True, slots=True)
class SimilarRow(Result):
    """A training row: its number in the data version, what it was and what the model says of it.

    ``distance`` is the mean over the columns, in [0, 1]; by profile the sum of the absolute
    differences of the SHAP values, in their unit. ``differs`` names the columns with other
    values.
    """

    index: int
    distance: float
    outcome: Any
    prediction: Any
    values: dict[str, Any]
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SimilarRows(Result):
    """The ``rows`` most like a row, the nearest first, out of ``n_looked_at``.

    ``n_agree`` of them had the outcome that the model predicts for the row; for a regression,
    where no outcome is another's equal, ``mean_outcome`` is what to compare with, and
    ``n_agree`` is None.
    """

    by: str
    rows: tuple[SimilarRow, ...]
    n_looked_at: int
    n_agree: int | None
    mean_outcome: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Past:
    """Training rows: ``outcomes`` and their ``numbers`` in the data version, (n_rows,)."""

    explainer: Explainer
    space: Space
    outcomes: list[Any]
    numbers: NDArray[np.int64]


def similar_rows(
    past: Past,
    row: Mapping[str, Any],
    n: int,
    *,
    by: str = VALUES,
    unit: str | None = None,
    leave_out: int | None = None,
) -> SimilarRows:
    """Return the ``n`` training rows that are most like a validated row.

    Parameters
    ----------
    by
        ``values``: by the distance of :class:`Space`; ``profile``: by the SHAP values, among at
        most 1,000 rows, evenly spread.
    leave_out
        Number of the row itself, where it is one of them.
    """
    import numpy as np

    space, model = past.space, past.explainer.model
    places = np.arange(space.n_rows)
    if leave_out is not None:
        places = places[past.numbers != leave_out]
    coded = space.code(row)
    if by == PROFILE:
        places = places[evenly(len(places), _MOST_PROFILES)]
        distances = _profiles(past, row, places, unit)
    else:
        distances = space.distances(space.coded[places], coded).mean(axis=1)
    order = np.lexsort((places, distances))[:n]
    chosen = places[order]
    predictions = model.predict(space.columns(space.coded[chosen])) if len(chosen) else []
    told = []
    for place, at, prediction in zip(chosen.tolist(), order.tolist(), predictions, strict=True):
        other = space.coded[place]
        is_same = (other == coded) | (np.isnan(other) & np.isnan(coded))
        told.append(
            SimilarRow(
                index=int(past.numbers[place]),
                distance=float(distances[at]),
                outcome=past.outcomes[place],
                prediction=prediction,
                values=space.row(other),
                differs=tuple(np.array(space.names, dtype=object)[~is_same].tolist()),
            )
        )
    return _told(by, told, len(places), model.predict_row(row), model.task == "regression")


def _profiles(
    past: Past, row: Mapping[str, Any], places: NDArray[np.int64], unit: str | None
) -> Array:
    import numpy as np

    model = past.explainer.model
    own = past.explainer.attribute(
        model.matrix({name: [value] for name, value in row.items()}), unit
    )
    theirs = past.explainer.attribute(
        model.matrix(past.space.columns(past.space.coded[places])), unit
    )
    return np.asarray(np.abs(theirs.values - own.values).sum(axis=(1, 2)))


def _told(
    by: str, rows: list[SimilarRow], n_looked_at: int, prediction: Any, is_regression: bool
) -> SimilarRows:
    if is_regression:
        known = [float(it.outcome) for it in rows if it.outcome is not None]
        mean = sum(known) / len(known) if known else None
        text = (
            f"The {len(rows)} most similar rows had {mean:,.4g} on average, "
            f"the model says {prediction:,.4g}."
            if mean is not None
            else "There is no row to compare with."
        )
        return SimilarRows(by, tuple(rows), n_looked_at, None, mean, text)
    n_agree = sum(it.outcome == prediction for it in rows)
    text = (
        f"Of the {len(rows)} most similar rows {n_agree} had the outcome that the model predicts."
        if rows
        else "There is no row to compare with."
    )
    return SimilarRows(by, tuple(rows), n_looked_at, n_agree, None, text)
