"""The table that a recipe is fitted to: columns on their way from raw values to features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from local_stack.errors import InputError, nearest
from local_stack.evaluation.split import Keys
from local_stack.preparation.fitted import Column
from local_stack.preparation.operations import Operation
from local_stack.preparation.values import NAN, Scalar, Values, take

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from local_stack.preparation.steps import Columns

STORED = {
    "numeric": "number",
    "encoded": "number",
    "native": "number",
    "boolean": "boolean",
    "categorical": "text",
    "date": "moment",
}
"""The kind of value that each kind of column holds."""
GROUPS = {
    "long": "numeric",
    "double": "numeric",
    "string": "categorical",
    "boolean": "boolean",
    "date": "date",
    "datetime": "date",
}
"""The kind of column that each type of raw column is."""
_READ = {"number": "numeric", "boolean": "boolean", "text": "categorical", "moment": "date"}
NOUNS = {
    "numeric": "a number",
    "boolean": "true or false",
    "encoded": "a code",
    "categorical": "a text",
    "date": "a date",
    "native": "encoded natively",
    "unsupported": "of a type no model can take",
}


@dataclass(frozen=True, slots=True)
class Labels:
    """The target of the rows, for steps that look at it.

    ``values`` are numbers, or places in ``classes``, float64 (n_rows,), NaN where unknown;
    ``keys`` and ``seed`` decide the folds.
    """

    values: np.ndarray
    classes: tuple[Scalar, ...] = ()
    keys: Keys | None = None
    seed: int = 0

    def take(self, rows: np.ndarray) -> Labels:
        """Return the labels of some rows."""
        keys = None if self.keys is None else self.keys.take(rows)
        return replace(self, values=self.values[rows], keys=keys)


@dataclass(frozen=True, slots=True)
class Learnt:
    """One thing that a step learnt of a column, in words: the name, and its value."""

    column: str
    name: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Draft:
    """One column on its way.

    ``kind`` is numeric, boolean, categorical, date, encoded, native or unsupported; ``column``
    is the raw column it comes from.
    """

    name: str
    column: str
    kind: str
    values: Values = field(repr=False, compare=False)
    n_categories: int = 0

    @property
    def stored(self) -> str:
        """Return the kind of its values, or raise for a type that no step can take."""
        if self.kind not in STORED:
            raise misfit(self)
        return STORED[self.kind]

    @property
    def numbers(self) -> np.ndarray:
        """Return the values as float64 (n_rows,); fails for kinds that hold no numbers."""
        if self.kind not in ("numeric", "boolean", "encoded"):
            raise misfit(self)
        return self.values  # type: ignore[return-value]

    @property
    def present(self) -> np.ndarray:
        """Return the numbers that are not missing, float64 (n_present,)."""
        import numpy as np

        numbers = self.numbers
        found: np.ndarray = numbers[~np.isnan(numbers)]
        return found


def misfit(draft: Draft) -> InputError:
    """Return the error of a step that cannot work on a column of this kind."""
    return InputError(
        f"The step cannot work on column '{draft.name}', which is {NOUNS[draft.kind]}.",
        "Name other columns, or change the order of the steps.",
    )


class Table:
    """The columns, rows and labels that steps change, and the operations that they fitted."""

    def __init__(
        self,
        frame: pl.DataFrame,
        hidden: Iterable[str],
        labels: Labels | None,
        *,
        takes_native: bool = True,
    ) -> None:
        import numpy as np

        self._hidden = frozenset(hidden)
        self.drafts = {n: _draft(frame, n) for n in frame.columns if n not in self._hidden}
        self.rows = np.arange(frame.height)
        self.labels = labels
        self.takes_native = takes_native
        self.operations: list[Operation] = []
        self.learnt: list[Learnt] = []
        self._replaced: dict[str, Sequence[Draft]] = {}

    @property
    def n_rows(self) -> int:
        """Return the number of rows that are left."""
        return len(self.rows)

    def _check_names(self) -> None:
        """Raise when a step made a column with the name of one that steps do not see."""
        for name in self.drafts:
            if name in self._hidden:
                raise InputError(
                    f"The recipe makes a column '{name}', which is the name of one that its "
                    "steps do not see.",
                    "Give the new column another name.",
                )

    def select(self, columns: Columns) -> list[Draft]:
        """Return the columns that a step works on, in the order of the table."""
        if isinstance(columns, str):
            return [d for d in self.drafts.values() if columns in ("all", d.kind)]
        chosen = {self.named(name).name for name in columns}
        return [draft for name, draft in self.drafts.items() if name in chosen]

    def named(self, name: str) -> Draft:
        """Return one column, or raise :class:`InputError`."""
        if name not in self.drafts:
            raise InputError(
                f"A step of the recipe names column '{name}', which is not there.",
                nearest(name, self.drafts)
                or "The target and columns dropped before cannot be named.",
            )
        return self.drafts[name]

    def note(self, draft: Draft, name: str, value: Scalar) -> None:
        """Record what a step learnt of a column."""
        self.learnt.append(Learnt(draft.name, name, value))

    def run(self, operation: Operation) -> list[Draft]:
        """Add an operation; return what it writes, as new columns that are not yet in place.

        The kind of what it writes follows from the values: numbers are ``numeric``.
        """
        reads = [self.drafts[name] for name in operation.reads]
        kinds = tuple(draft.stored for draft in reads)
        try:
            operation.check()
        except (ValueError, TypeError):
            raise InputError(
                f"The step finds nothing finite to fit to column '{reads[0].name}'.",
                "Its numbers are too large: clip them, or divide them, in a step before.",
            ) from None
        try:
            bound = operation.bind(kinds)
        except ValueError:
            odd = next((d for d in reads if d.kind not in ("numeric", "boolean")), reads[0])
            raise misfit(odd) from None
        found = bound.many(*(draft.values for draft in reads))
        self.operations.append(operation)
        return [
            Draft(name, reads[0].column, _READ[kind], values)
            for name, kind, values in zip(operation.writes, bound.kinds, found, strict=True)
        ]

    def change(self, draft: Draft, *operations: Operation, kind: str | None = None) -> Draft:
        """Put the result of operations on one column in its place; return it.

        It keeps its kind, or takes ``kind``; truth values that become other numbers are codes.
        """
        for operation in operations:
            (made,) = self.run(operation)
            kept = kind or _kept(draft, made)
            draft = replace(made, kind=kept, column=draft.column, name=draft.name)
            self.drafts[draft.name] = draft
        return draft

    def replace(self, draft: Draft, made: Sequence[Draft]) -> None:
        """Put columns in the place of one, when the step ends (:meth:`settle`)."""
        self._replaced[draft.name] = made

    @contextmanager
    def step(self) -> Iterator[None]:
        """Settle what a step did, or undo it all when it fails."""
        drafts, rows, labels = dict(self.drafts), self.rows, self.labels
        n_operations, n_learnt = len(self.operations), len(self.learnt)
        try:
            yield
            self.settle()
            self._check_names()
            check_any(self)
        except InputError:
            self.drafts, self.rows, self.labels = drafts, rows, labels
            self._replaced.clear()
            del self.operations[n_operations:], self.learnt[n_learnt:]
            raise

    def settle(self) -> None:
        """Put columns in the places that a step asked for."""
        if self._replaced:
            self.reorder(
                made
                for name, draft in self.drafts.items()
                for made in self._replaced.pop(name, (draft,))
            )

    def add(self, made: Iterable[Draft]) -> None:
        """Put columns behind the others; one of a name that is there takes its place."""
        for draft in made:
            self.drafts[draft.name] = draft

    def reorder(self, drafts: Iterable[Draft]) -> None:
        """Take these columns for all of the table."""
        self.drafts = _by_name(drafts)

    def keep(self, is_kept: np.ndarray) -> None:
        """Keep the rows where ``is_kept`` (bool, n_rows) is true."""
        import numpy as np

        if is_kept.all():
            return
        places = np.flatnonzero(is_kept)
        self.rows = self.rows[places]
        self.drafts = {
            name: draft
            if draft.kind == "unsupported"
            else replace(draft, values=take(draft.values, places))
            for name, draft in self.drafts.items()
        }
        self.labels = None if self.labels is None else self.labels.take(places)


def _kept(draft: Draft, made: Draft) -> str:
    if STORED[draft.kind] == STORED[made.kind]:
        return draft.kind
    return "encoded" if made.kind == "numeric" else made.kind


def _by_name(drafts: Iterable[Draft]) -> dict[str, Draft]:
    found: dict[str, Draft] = {}
    for draft in drafts:
        if draft.name in found:
            raise InputError(
                f"Two features would be called '{draft.name}'.", "Rename or drop one column."
            )
        found[draft.name] = draft
    return found


def check_new(table: Table, names: Iterable[str]) -> None:
    """Raise unless none of the names is taken."""
    for name in names:
        if name in table.drafts:
            raise InputError(
                f"Two features would be called '{name}'.", "Rename or drop one column."
            )


def check_any(table: Table) -> None:
    """Raise unless a column is left."""
    if not table.drafts:
        raise InputError("No column is left to learn from.", "Drop fewer columns in the recipe.")


def _draft(frame: pl.DataFrame, name: str) -> Draft:
    try:
        kind = column_type(frame, name)
    except InputError:
        return Draft(name, name, "unsupported", [])
    return Draft(name, name, GROUPS[kind], raw_values(frame, name, kind))


# ------------------------------------------------------------------ raw columns


def column_type(frame: pl.DataFrame, name: str) -> str:
    """Return the type of a column in MLflow's words, or raise :class:`InputError`."""
    import polars as pl

    kind = frame[name].dtype  # the whole schema would be built for each column
    if kind.is_integer():
        return "long"
    if kind.is_float() or kind.is_decimal() or kind == pl.Null:
        return "double"
    if kind in (pl.String, pl.Categorical, pl.Enum):
        return "string"
    words = {pl.Boolean: "boolean", pl.Date: "date", pl.Datetime: "datetime"}
    for base, word in words.items():
        if kind == base:
            return word
    raise InputError(
        f"Column '{name}' holds {kind} values, which no model here can take.",
        f"Leave it out with the step 'drop: {{columns: [{name}]}}'.",
    )


def raw_columns(frame: pl.DataFrame, inputs: Sequence[Column]) -> dict[str, Values]:
    """Return the columns of ``frame`` as ``Compiled.matrix`` takes them.

    Numbers and booleans become float64 arrays (NaN missing), dates datetime64[us] arrays (UTC,
    NaT missing), texts lists. A column that is absent counts as missing if it was nullable.

    Raises
    ------
    InputError
        A column is absent, or of a type that cannot be read as the one expected.
    """
    found: dict[str, Values] = {}
    present = set(frame.columns)
    for column in inputs:
        if column.name in present:
            _check_type(frame, column)
            found[column.name] = raw_values(frame, column.name, column.type)
        elif column.nullable:
            found[column.name] = [None] * frame.height
        else:
            raise InputError(
                f"The table has no column '{column.name}', which the model needs.",
                nearest(column.name, frame.columns),
            )
    return found


_READABLE = {
    "double": ("double", "long"),
    "long": ("long", "double"),
    "string": ("string",),
    "boolean": ("boolean",),
    "date": ("date", "datetime"),
    "datetime": ("date", "datetime"),
}


def _check_type(frame: pl.DataFrame, column: Column) -> None:
    is_empty = frame[column.name].null_count() == frame.height
    if not is_empty and column_type(frame, column.name) not in _READABLE[column.type]:
        raise InputError(
            f"Column '{column.name}' holds {frame[column.name].dtype} values; "
            f"the model expects {column.type}."
        )


def raw_values(frame: pl.DataFrame, name: str, kind: str) -> Values:
    """Return a column of ``frame`` read as ``kind``, a type in MLflow's words."""
    import polars as pl

    series = frame[name]
    if kind == "string":
        return list(series.cast(pl.String).to_list())
    if kind in ("date", "datetime"):
        if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return series.cast(pl.Datetime("us")).to_numpy()
    return series.cast(pl.Float64).to_numpy()


def raw_column(frame: pl.DataFrame, name: str) -> Column:
    """Return what a model must know of a raw column it was trained on."""
    series = frame[name]
    n_missing = series.null_count()
    if series.dtype.is_float():
        n_missing += int(series.is_nan().sum() or 0)
    return Column(name, column_type(frame, name), n_missing > 0)


# ------------------------------------------------------------------ groups


def grouped(
    drafts: Sequence[Draft],
) -> tuple[list[tuple[Scalar | None, ...]], np.ndarray]:
    """Return the different keys of columns, sorted with the missing first, and each row's place.

    The places are int64 (n_rows,).
    """
    import numpy as np

    rows = list(zip(*(key_values(draft) for draft in drafts), strict=True))
    groups = sorted(
        set(rows), key=lambda group: [(key is not None, 0 if key is None else key) for key in group]
    )
    places = {group: place for place, group in enumerate(groups)}
    return groups, np.array([places[row] for row in rows], dtype=np.int64)


def key_values(draft: Draft) -> list[Any]:
    """Return the values of a column as categories: texts, booleans, whole or other numbers."""
    if draft.kind == "categorical":
        return list(draft.values)
    found: list[Any] = []
    for number in draft.numbers.tolist():
        if number != number:
            found.append(None)
        elif draft.kind == "boolean":
            found.append(bool(number))
        else:
            found.append(int(number) if number.is_integer() else number)
    return found


def by_group(
    places: np.ndarray, values: np.ndarray, n_groups: int, statistic: Callable[..., float]
) -> list[float | None]:
    """Return a statistic of the present numbers of each group, None where it has none."""
    import numpy as np

    is_present = ~np.isnan(values)
    places, values = places[is_present], values[is_present]
    order = np.argsort(places, kind="stable")
    bounds = np.searchsorted(places[order], np.arange(n_groups + 1))
    ordered = values[order]
    found: list[float | None] = []
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        value = statistic(ordered[start:end]) if end > start else NAN
        found.append(None if value != value else float(value))
    return found
