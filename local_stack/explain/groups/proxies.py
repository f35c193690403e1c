"""Columns that give a sensitive one away, and how much the model makes of them.

A model that is not shown a trait can still decide by it, through columns that tell of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.data.assessing.sensitive import given_away
from local_stack.data.assessing.subject import subject_of
from local_stack.errors import InputError
from local_stack.explain.attributing.attributions import Attributions, column_groups
from local_stack.progress import Progress
from local_stack.results import Result

if TYPE_CHECKING:
    import polars as pl

    from local_stack.preparation.fitted import Preparation

_MOST_COLUMNS = 30


@dataclass(frozen=True, slots=True)
class ProxyColumn(Result):
    """A column of the model: how well it alone tells of the trait, and what it counts.

    ``importance`` is the mean |SHAP value| of everything that is made of the column, in the unit
    of the gaps, and ``importance_share`` its part of all columns'; None where none was computed.
    """

    column: str
    score: float
    importance: float | None
    importance_share: float | None


@dataclass(frozen=True, slots=True)
class Proxies(Result):
    """How well the model's columns give a trait away, out of fold; values of a few rows left out.

    ``metric`` is ROC AUC (0.5: not at all) or R2 (0: not at all); ``together`` is of LightGBM on
    all of them, None where there are too few rows or too many values. ``is_input`` says that the
    model sees the trait itself, which counts ``importance_share``.
    """

    column: str
    metric: str
    together: float | None
    is_input: bool
    importance_share: float | None
    columns: tuple[ProxyColumn, ...]


def proxies_of(
    frame: pl.DataFrame,
    column: str,
    preparation: Preparation,
    target: str,
    shap: Attributions | None,
    progress: Progress,
) -> Proxies | None:
    """Return what gives ``column`` away among the columns that the model is made of.

    None where the column cannot be predicted: it holds dates, one value only, or nothing.
    """
    used = {source for names in preparation.sources.values() for source in names}
    inputs = [it.name for it in preparation.inputs if it.name in used and it.name in frame.columns]
    others = [name for name in inputs if name not in (column, target)]
    try:
        subject = subject_of(frame, target)
        found = None if subject is None else given_away(subject, column, others, progress)
    except InputError:
        return None
    if found is None:
        return None
    counted = _importances(preparation, shap, [*others, column])
    return Proxies(
        column=column,
        metric=found.metric,
        together=found.together,
        is_input=column in inputs,
        importance_share=counted.get(column, (None, None))[1] if column in inputs else None,
        columns=tuple(
            ProxyColumn(it.column, it.score, *counted.get(it.column, (None, None)))
            for it in found.proxies[:_MOST_COLUMNS]
        ),
    )


def _importances(
    preparation: Preparation, shap: Attributions | None, columns: Sequence[str]
) -> dict[str, tuple[float | None, float | None]]:
    """Return mean |SHAP| of what is made of each column, and its share of the whole."""
    if shap is None:
        return {}
    by_name = dict(zip(shap.columns, shap.importance.tolist(), strict=True))
    whole = sum(by_name.values())
    sources = {
        name: {
            it for place in places for it in preparation.sources[preparation.features[place].name]
        }
        for name, places in column_groups(preparation).items()
    }
    found: dict[str, tuple[float | None, float | None]] = {}
    for column in columns:
        total = sum(value for name, value in by_name.items() if column in sources.get(name, ()))
        found[column] = (total, total / whole if whole else 0.0)
    return found
