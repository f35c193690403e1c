"""The values of the columns that SHAP values stand for: those of the table, never scaled ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from local_stack.explain.attributing.attributions import column_groups
from local_stack.preparation.values import Values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.preparation.fitted import Preparation
    from local_stack.preparation.joined import Joined


def joined_groups(preparation: Preparation) -> dict[str, Joined]:
    """Return what several raw columns make, by the name under which SHAP values of it stand.

    A name is left out whose features were not made of one such column, or only a part of them.
    """
    raw = {column.name for column in preparation.inputs}
    found = {}
    for name, places in column_groups(preparation).items():
        if name in raw:
            continue
        its = [preparation.joined.get(preparation.features[place].name) for place in places]
        first = its[0]
        if first is None or any(it is None or it.made != first.made for it in its):
            continue
        if len(its) > 1 or not first.is_spread:
            found[name] = first
    return found


class ColumnValues:
    """How the columns that SHAP values of a model stand for are told of single rows."""

    def __init__(self, preparation: Preparation) -> None:
        self._joined = joined_groups(preparation)
        self._places = {name: its[0] for name, its in column_groups(preparation).items()}

    def of_row(self, row: Mapping[str, Any], matrix: NDArray[np.float64]) -> dict[str, Any]:
        """Return the value of each column of a validated row and its features (1, n_features).

        None is missing.
        """
        columns = {name: [value] for name, value in row.items()} if self._joined else {}
        found = {}
        for name, place in self._places.items():
            if name in row:
                value = row[name]
            elif name in self._joined:
                joined = self._joined[name]
                value = plain_cell(joined.type, joined.values(columns)[0])
            else:
                value = float(matrix[0, place])
            found[name] = None if isinstance(value, float) and value != value else value
        return found


def joined_values(
    preparation: Preparation,
    columns: Mapping[str, Values],
    matrix: NDArray[np.float64],
    name: str,
) -> Values:
    """Return the values of a column that is made of several raw ones, (n_rows,)."""
    joined = joined_groups(preparation).get(name)
    if joined is not None:
        return joined.values(columns)
    return matrix[:, column_groups(preparation)[name][0]]


def plain_cell(kind: str, value: Any) -> Any:
    """Return a value between operations as a raw one of a type in MLflow's words."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or value != value:
        return None
    if kind == "boolean":
        return bool(value)
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    return value.isoformat() if isinstance(value, date) else value
