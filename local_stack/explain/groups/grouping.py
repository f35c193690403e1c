"""Groups of rows: the values of a column, named bins of a number, or combinations of columns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import InputError, nearest

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

MISSING: Final = "(missing)"
OTHERS: Final = "(others)"
BETWEEN: Final = " & "
"""Between the names of a combination."""
_FEW_NUMBERS = 10
_MOST_VALUES = 20
_MOST_GROUPS = 200
_MOST_LETTERS = 100
_MOST_WHOLE = 1e15


@dataclass(frozen=True, slots=True)
class Grouping:
    """Rows by group: ``codes`` (int64, n_rows) are places in ``names``, which all differ."""

    by: tuple[str, ...]
    names: tuple[str, ...]
    codes: np.ndarray

    @property
    def title(self) -> str:
        """Return the columns as one text."""
        return BETWEEN.join(self.by)

    def take(self, rows: np.ndarray) -> Grouping:
        """Return the groups of some rows."""
        return Grouping(self.by, self.names, self.codes[rows])


def bins_of(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return the edges of columns that are written as ``COLUMN:25,40,60``.

    Raises
    ------
    InputError
        A text is of another form, or a column has other edges before.
    """
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, mark, numbers = text.rpartition(":")
        try:
            edges = tuple(sorted(float(number) for number in numbers.split(",")))
        except ValueError:
            edges = ()
        is_good = edges and len(set(edges)) == len(edges) and all(abs(it) < 1e300 for it in edges)
        if not mark or not name or not is_good:
            raise InputError(
                f"--bins needs COLUMN:EDGE,EDGE,... with different numbers, not '{text[:60]}'.",
                "Example: --bins age:25,40,60",
            )
        if found.setdefault(name, edges) != edges:
            raise InputError(f"--bins gives '{name[:60]}' twice.", "Give all its edges at once.")
    return found


def group(
    frame: pl.DataFrame, by: Sequence[str], bins: Mapping[str, tuple[float, ...]]
) -> Grouping:
    """Return the groups of a column, or the combinations of several that occur.

    A number of more than ten values is parted at ``bins`` (a bin holds its upper edge), or else at
    its quartiles. Of other values the twenty most frequent are groups and the rest is one; missing
    values are a group of their own. Numbers and times stand in their order.

    Raises
    ------
    InputError
        A column is not there, bins are of a column without numbers, or there are too many groups.
    """
    import numpy as np

    parts = [_of_column(frame, name, bins.get(name)) for name in by]
    names, codes = parts[0]
    for more, places in parts[1:]:
        codes = codes * len(more) + places
        names = [f"{one}{BETWEEN}{other}" for one, other in itertools.product(names, more)]
    present, codes = np.unique(codes, return_inverse=True)
    if len(present) > _MOST_GROUPS:
        raise InputError(
            f"{BETWEEN.join(by)} makes {len(present)} groups; {_MOST_GROUPS} can be compared.",
            "Combine fewer columns, or part numbers into fewer bins.",
        )
    kept = _different([names[place] for place in present.tolist()])
    return Grouping(tuple(by), tuple(kept), codes.astype(np.int64))


def _different(names: Sequence[str]) -> list[str]:
    """Return the names with a number behind those that are there already."""
    found: list[str] = []
    for name in names:
        fresh = name
        for number in itertools.count(2):
            if fresh not in found:
                break
            fresh = f"{name} ({number})"
        found.append(fresh)
    return found


def _of_column(
    frame: pl.DataFrame, name: str, edges: tuple[float, ...] | None
) -> tuple[list[str], np.ndarray]:
    import polars as pl

    if name not in frame.columns:
        raise InputError(
            f"There is no column '{name[:100]}' to compare groups by.", nearest(name, frame.columns)
        )
    series = frame[name]
    if series.dtype.is_float():
        series = series.fill_nan(None)
    is_number = series.dtype.is_numeric() or series.dtype.is_decimal()
    if edges is not None and not is_number:
        raise InputError(f"'{name}' holds no numbers, so it has no bins.", "Leave out its --bins.")
    if series.dtype.is_nested():
        raise InputError(f"'{name}' holds lists, which are no groups.", "Name another column.")
    is_many = (is_number or series.dtype.is_temporal()) and series.n_unique() > _FEW_NUMBERS
    if edges is not None or is_many:
        return _by_size(series, edges)
    if is_number and series.dtype != pl.Boolean:
        values = series.cast(pl.Float64)
        present = sorted(values.drop_nulls().unique().to_list())
        names = [_whole(value) or f"{value:.6g}" for value in present]
        return _coded(values, present, names)
    texts = series.cast(pl.String, strict=False)
    counts = texts.drop_nulls().value_counts(name="n").sort(["n", name], descending=[True, False])
    kept = counts[name].head(_MOST_VALUES).to_list()
    if series.dtype.is_temporal():
        kept.sort()
        return _coded(texts, kept, [_moment(it) for it in kept])
    return _coded(texts, kept, [str(value)[:_MOST_LETTERS] for value in kept])


def _coded(series: pl.Series, values: list[Any], names: list[str]) -> tuple[list[str], np.ndarray]:
    """Return a place for each row: of its value, of the other values, or of the missing ones."""
    import numpy as np

    places = {value: place for place, value in enumerate(values)}
    codes = [
        len(values) + 1 if value is None else places.get(value, len(values))
        for value in series.to_list()
    ]
    return [*names, OTHERS, MISSING], np.array(codes, dtype=np.int64)


def _by_size(series: pl.Series, edges: tuple[float, ...] | None) -> tuple[list[str], np.ndarray]:
    """Return the bin of each row; one holds the numbers above an edge up to the next."""
    import numpy as np
    import polars as pl

    if series.dtype.is_temporal():
        if series.dtype in (pl.Time, pl.Duration):
            series = series.cast(pl.Int64)
        else:
            series = series.cast(pl.Datetime("us"), strict=False)
    numbers = series.cast(pl.Float64, strict=False).to_numpy()
    present = ~np.isnan(numbers)
    if edges is None:
        known = numbers[present]
        if not known.size:
            return [MISSING], np.zeros(len(series), dtype=np.int64)
        quarters = np.unique(np.quantile(known, [0.25, 0.5, 0.75], method="inverted_cdf"))
        cuts = quarters[quarters < known.max()]
    else:
        cuts = np.array(edges)
    names = [_told(it, series.dtype) for it in cuts.tolist()]
    shown = [f"up to {names[0]}"] if names else ["all"]
    shown += [f"over {low} to {high}" for low, high in itertools.pairwise(names)]
    if names:
        shown.append(f"over {names[-1]}")
    codes = np.where(present, np.searchsorted(cuts, numbers, side="left"), len(shown))
    return [*shown, MISSING], codes.astype(np.int64)


def _told(value: float, kind: pl.DataType) -> str:
    import numpy as np

    if kind.is_temporal():
        return _moment(str(np.datetime64(int(value), "us")).replace("T", " "))
    return _whole(value) or f"{value:.10g}"


def _whole(value: float) -> str:
    """Return a whole number with all its digits, else ''."""
    return str(int(value)) if float(value).is_integer() and abs(value) < _MOST_WHOLE else ""


def _moment(text: str) -> str:
    """Return a time as precise as it is: of a midnight the day."""
    return text.removesuffix(".000000").removesuffix(" 00:00:00")
