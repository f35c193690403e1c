"""Where a search begins: at the model that the recipe gives without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from local_stack.runs.boosters import booster_of
from local_stack.runs.estimators import sklearn_class
from local_stack.runs.recipe import Dimension, Recipe
from local_stack.runs.tuning.space import Params, bounds, is_whole


def grounded(plan: Recipe, n_classes: int, n_rows: int) -> Recipe:
    """Return a recipe whose ``params`` say what is set where it sets nothing.

    Without it a trial, which sets some parameters, would have the library's defaults for the
    others instead of those that the recipe has without a search.

    Parameters
    ----------
    n_classes, n_rows
        Classes (0 for a regression) and number of the training rows.
    """
    library = booster_of(plan.estimator)
    if library is None or plan.search is None:
        return plan
    names = library.names()
    said = {names[it] for it in (*plan.params, *(d.param for d in plan.search.space))}
    usual = library.usual_of(plan, n_classes, n_rows)
    base = {name: value for name, value in usual.items() if names[name] not in said}
    return replace(plan, params={**base, **plan.params})


def first(plan: Recipe, n_classes: int, n_rows: int) -> Params:
    """Return the point of a search's space that is nearest to the recipe without the search.

    Parameters whose value there is none of the space's kind are left out. ``plan`` is the recipe
    before it was :func:`grounded`.
    """
    if plan.search is None:
        return {}
    known: Mapping[str, Any]
    library = booster_of(plan.estimator)
    if library is None:
        known = {**sklearn_class(plan.estimator)().get_params(deep=False), **plan.params}
        names = {name: name for name in known}
    else:
        names = dict(library.names())
        known = {
            names[name]: value
            for values in (library.defaults, library.usual_of(plan, n_classes, n_rows), plan.params)
            for name, value in values.items()
            if name in names
        }
    found = {d.param: _nearest(d, known.get(names[d.param])) for d in plan.search.space}
    return {name: value for name, value in found.items() if value is not None}


def _nearest(dimension: Dimension, value: Any) -> Any:
    """Return the value of a dimension that is nearest to one, None where there is none."""
    if dimension.kind == "choice":
        same = [it for it in dimension.values if type(it) is type(value) and it == value]
        return same[0] if same else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    low, high = bounds(dimension)
    inside = min(max(float(value), low), high)
    return round(inside) if is_whole(dimension) else inside
