"""Columns that several raw columns make together, as they were before anything was done to them.

A feature of one raw column is told by the value of that column. One of several (a ratio, two texts
put together) has its value where the last operation that reads several columns wrote it: what is
done to it alone afterwards (scaled, encoded, filled) is the model's business, not the reader's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from local_stack.preparation.compiled import Compiled
from local_stack.preparation.operations import Operation
from local_stack.preparation.values import Values

_TYPES: Final = {
    "number": "double",
    "boolean": "boolean",
    "text": "string",
    "moment": "datetime",
}


@dataclass(frozen=True)
class Joined:
    """What several raw columns make: a column of a ``type`` in MLflow's words.

    ``made`` is the number of the operation that made it, and its name, which may be written
    again. ``is_spread`` says that the feature is one of several made of it, as by one-hot.
    """

    made: tuple[int, str]
    type: str
    is_spread: bool
    _compiled: Compiled

    def values(self, columns: Mapping[str, Values]) -> Values:
        """Return it of validated raw columns, (n_rows,)."""
        return self._compiled.values(columns)[0]


def joined_columns(
    inputs: Sequence[tuple[str, str]], operations: Sequence[Operation], features: Sequence[str]
) -> dict[str, Joined]:
    """Return what each feature is made of that an operation on several columns leads to.

    Parameters
    ----------
    inputs
        Name and type of each raw column.
    features
        Names of the columns that come out in the end; those of one raw column each are left out.
    """
    made: dict[str, tuple[tuple[int, str], bool]] = {}
    for place, operation in enumerate(operations):
        if len(operation.reads) > 1:
            made |= {name: ((place, name), False) for name in operation.writes}
            continue
        origin = made.get(operation.reads[0])
        for name in operation.writes:
            made.pop(name, None)
            if origin is not None:
                made[name] = origin[0], origin[1] or len(operation.writes) > 1
    compiled: dict[tuple[int, str], Compiled] = {}
    found = {}
    for feature in features:
        if feature not in made:
            continue
        by, is_spread = made[feature]
        if by not in compiled:
            compiled[by] = Compiled(inputs, operations[: by[0] + 1], [by[1]], any_kind=True)
        kind = _TYPES[compiled[by].kinds()[by[1]]]
        found[feature] = Joined(by, kind, is_spread, compiled[by])
    return found
