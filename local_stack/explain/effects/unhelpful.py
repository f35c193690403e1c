"""Columns that do not help a model, each with what was seen of it in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from local_stack.explain.attributing.attributions import column_groups
from local_stack.explain.effects.parts import FeatureImportance, Finding, Permutation
from local_stack.explain.effects.rows import Rows

if TYPE_CHECKING:
    from local_stack.explain.effects.parts import Permuted
    from local_stack.stores.model import Model

NEGLIGIBLE: Final = 0.01
"""Share of all mean |SHAP| up to which that of a column is negligible."""


def unhelpful(
    rows: Rows,
    importance: Sequence[FeatureImportance],
    permutation: Permutation | None,
    used: frozenset[int] | None = None,
) -> Iterator[Finding]:
    """Yield the raw columns that do not help.

    Parameters
    ----------
    used
        Places of the features that the trees of a model split by; None for another model.
    """
    model = rows.model
    means = {item.feature: item.mean_abs_shap for item in importance}
    total = sum(means.values())
    shuffled = {it.column: it for it in permutation.columns} if permutation else {}
    metric = permutation.metric.replace("_", " ") if permutation else ""
    for column in model.inputs:
        name = column.name
        places = _places(model, name)
        share = sum(means.get(it, 0.0) for it in _told_by(model, places)) / total if total else 0.0
        item = shuffled.get(name)
        if len(set(rows.described[name].values)) == 1:
            yield Finding(name, "constant", f"{name} has one value in all {len(rows):,} rows.")
        elif used is not None and used.isdisjoint(places):
            yield Finding(name, "unused", f"No split of the model asks for {name}.")
        elif item is not None and item.high < 0:
            message = f"Shuffling {name} makes the {metric} better {_by(item, -1)}."
            yield Finding(name, "harmful", message)
        elif item is not None and item.low <= 0 and share <= NEGLIGIBLE:
            message = (
                f"Shuffling {name} makes the {metric} {_turned(item)}, which may be nothing, "
                f"and its SHAP values are {share:.1%} of all."
            )
            yield Finding(name, "unhelpful", message)


def _turned(item: Permuted) -> str:
    """Return whether shuffling makes the metric worse or better, and by how much."""
    return f"better {_by(item, -1)}" if item.mean < 0 else f"worse {_by(item)}"


def _by(item: Permuted, sign: int = 1) -> str:
    low, high = sorted((sign * item.low, sign * item.high))
    return f"by {sign * item.mean:.3g} ({low:.3g} to {high:.3g})"


def _places(model: Model, column: str) -> list[int]:
    sources = model.preparation.sources
    return [place for place, it in enumerate(model.features) if column in sources[it.name]]


def _told_by(model: Model, places: Sequence[int]) -> list[str]:
    """Return the names under which SHAP values of features stand."""
    groups = column_groups(model.preparation)
    return [name for name, its in groups.items() if not set(its).isdisjoint(places)]
