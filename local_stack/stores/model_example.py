"""The input example of a stored model, as MLflow keeps one: a typical row, nobody's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from local_stack.preparation.fitted import Column

if TYPE_CHECKING:
    import polars as pl

_TABLE: Final = "input_example.json"
_REQUEST: Final = "serving_input_example.json"
FILES: Final = frozenset({_TABLE, _REQUEST})
INFO: Final[Mapping[str, str]] = {
    "artifact_path": _TABLE,
    "type": "dataframe",
    "pandas_orient": "split",
    "serving_input_path": _REQUEST,
}
"""What ``MLmodel`` says of the files, under ``saved_input_example_info``."""


def typical(frame: pl.DataFrame, columns: Sequence[Column]) -> dict[str, Any]:
    """Return for each column the middle of its numbers and times, or its most frequent value.

    The middle is the lower median, a value that occurs; of equally frequent values it is the
    first in order. A column without any value is None.
    """
    import polars as pl

    row: dict[str, Any] = {}
    for column in columns:
        values = frame[column.name].drop_nulls()
        if values.dtype.is_float():
            values = values.filter(values.is_finite())
        if not len(values):
            row[column.name] = None
        elif values.dtype.is_numeric() or values.dtype.is_temporal():
            row[column.name] = values.sort()[(len(values) - 1) // 2]
        else:
            counts = values.cast(pl.String).value_counts(sort=False)
            name = values.name
            top = counts.sort(["count", name], descending=[True, False])[name][0]
            row[column.name] = top == "true" if values.dtype == pl.Boolean else top
    return row


def files(row: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the content of the example's files by name."""
    split = {"columns": list(row), "data": [[_plain(value) for value in row.values()]]}
    return {_TABLE: _json(split), _REQUEST: _json({"dataframe_split": split})}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
