"""Columns that hold the same as another one, or are computed from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from local_stack.data.profiling.coding import codes_of
from local_stack.data.profiling.columns import Column, narrowed
from local_stack.data.profiling.parts import MIN_ROWS
from local_stack.data.profiling.shape import Alert
from local_stack.data.profiling.table import Table
from local_stack.data.profiling.wordings import quote

MIN_FUNCTION = 10
"""Fewer distinct values than this lie in the same order by chance."""

_FEW = 2_000  # rows that tell most columns apart


def repeated_findings(table: Table, columns: Mapping[str, Column]) -> Iterator[Alert]:
    """Yield columns with the content of another, and those computed from it.

    Numbers and dates: another in the same or the reverse order in every row, so that it is a
    straight line ``k * x + c`` of it or another rising or falling function of it.
    """
    groups: dict[tuple[int, int, bytes], list[str]] = {}
    if table.n_rows < MIN_ROWS:
        return
    for name, column in columns.items():
        if column.profile.n_distinct > 1:
            groups.setdefault(_likeness(column), []).append(name)
    for names in groups.values():
        told: set[str] = set()
        for first, second in combinations(names, 2):
            if first in told or second in told:
                continue
            alert = _repetition(table, columns[first], columns[second])
            if alert is not None:
                told.add(second)
                yield alert


def _likeness(column: Column) -> tuple[int, int, bytes]:
    """Return what columns that repeat one another have in common: counts, and their first rows."""
    import numpy as np

    codes = codes_of(column)
    beginning = b"" if codes is None else codes[:_FEW].tobytes()
    if codes is not None and column.tally is not None:
        mirrored = np.where(codes[:_FEW] >= 0, column.tally.values.size - 1 - codes[:_FEW], -1)
        beginning = min(beginning, mirrored.astype(np.int32).tobytes())
    return column.profile.n_distinct, column.profile.n_missing, beginning


def _repetition(table: Table, first: Column, second: Column) -> Alert | None:
    one, other = first.profile.name, second.profile.name
    if _is_equal(table, first, second):
        message = f"It holds the same value as {quote(one)} in every row: one of them is enough."
        return Alert("equal_columns", other, 1.0, 1.0, message, one)
    how = _derivation(first, second)
    if how is None:
        return None
    return Alert("derived", other, 1.0, 1.0, f"In every row it is {how}.", one)


def _is_equal(table: Table, first: Column, second: Column) -> bool:
    import numpy as np

    a, b = first.profile, second.profile
    if a.type != b.type or a.top_values != b.top_values:
        return False
    if first.tally is not None and second.tally is not None:
        is_same = np.array_equal(first.tally.values, second.tally.values)
        return is_same and np.array_equal(first.tally.codes, second.tally.codes)
    one, other = codes_of(first), codes_of(second)
    if one is not None and other is not None and first.texts is None:
        return np.array_equal(one, other)
    if a.lengths != b.lengths:
        return False
    return narrowed(table.column(a.name)).equals(narrowed(table.column(b.name)))


def _derivation(first: Column, second: Column) -> str | None:
    import numpy as np

    if first.tally is None or second.tally is None or first.tally.values.size < 3:
        return None
    a, b, name = first.tally.codes, second.tally.codes, first.profile.name
    size = first.tally.values.size
    is_rising = np.array_equal(a, b)
    if not is_rising and not np.array_equal(a, np.where(b >= 0, size - 1 - b, -1)):
        return None
    line = _line(first, second, is_rising)
    if line is not None:
        return line
    if size < MIN_FUNCTION or np.all(np.diff(a) >= 0):  # they follow the order of the rows
        return None
    return f"a {'rising' if is_rising else 'falling'} function of {quote(name)}"


def _line(first: Column, second: Column, is_rising: bool) -> str | None:
    import numpy as np

    assert first.tally is not None
    assert second.tally is not None
    x = first.tally.values.astype(np.float64)
    y = second.tally.values.astype(np.float64)
    y = y if is_rising else y[::-1]
    with np.errstate(over="ignore", invalid="ignore"):
        slope = (y[-1] - y[0]) / (x[-1] - x[0])
        offset = y[0] - slope * x[0]
        scale = max(abs(y[0]), abs(y[-1]), abs(slope * x[0]), abs(slope * x[-1]))
        is_line = np.isfinite(scale) and np.abs(slope * x + offset - y).max() <= 1e-9 * scale
    if not is_line:
        return None
    name = first.profile.name
    if first.profile.dates is not None or second.profile.dates is not None:
        return f"a straight line of {quote(name)}"
    line = quote(name) if slope == 1 else f"{slope:.6g} times {quote(name)}"
    sign = "+" if offset > 0 else "-"
    return line if abs(offset) <= 1e-9 * scale else f"{line} {sign} {abs(offset):.6g}"
