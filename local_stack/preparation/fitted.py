"""Preparation of features as data: what a model expects of its raw columns, and what it makes.

A :class:`Preparation` is plain JSON: the raw columns a model expects, the operations on them in
order (:mod:`local_stack.preparation.operations`), and the columns of the feature matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any

from local_stack.errors import DamagedError, InputError
from local_stack.preparation import categories, dates, expressions, numbers, texts
from local_stack.preparation.compiled import Compiled
from local_stack.preparation.formats import bounded, read_operations
from local_stack.preparation.joined import Joined, joined_columns
from local_stack.preparation.operations import Operation
from local_stack.preparation.values import KINDS, Values, as_moment, plain_of

__all__ = ["TYPES", "Column", "Compiled", "Feature", "Preparation", "Values"]

FAMILIES = (categories, dates, expressions, numbers, texts)
"""The modules that declare operations."""
TYPES = tuple(KINDS)
"""Types of raw columns, in MLflow's words (and ``date``, which MLflow calls ``datetime``)."""
MAX_INPUTS = 10_000
MAX_FEATURES = 50_000
MAX_CATEGORIES = 20_000
"""Most categories that a model takes natively."""
_FORMAT = 2
_MOST_TOLD = 10


@dataclass(frozen=True, slots=True)
class Column:
    """A raw column. ``nullable`` says that values were missing when the model was trained."""

    name: str
    type: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature matrix.

    ``column`` is the raw column it comes from, the first one if it comes from several;
    ``n_categories`` is 0 unless it is a native category.
    """

    name: str
    column: str
    n_categories: int = 0


@dataclass(frozen=True)
class Preparation:
    """The fitted state of a feature recipe.

    ``accepts_missing`` says whether the estimator behind it takes NaN; ``operations`` work on
    columns by name, from the raw columns to the features.
    """

    inputs: tuple[Column, ...]
    features: tuple[Feature, ...]
    accepts_missing: bool = False
    operations: tuple[Operation, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return Preparation, (self.inputs, self.features, self.accepts_missing, self.operations)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; :meth:`from_dict` is the inverse."""
        return {
            "format": _FORMAT,
            "accepts_missing": self.accepts_missing,
            "inputs": [
                {"name": c.name, "type": c.type, "nullable": c.nullable} for c in self.inputs
            ],
            "operations": [operation.to_dict() for operation in self.operations],
            "features": [
                {"name": f.name, "column": f.column, "n_categories": f.n_categories}
                for f in self.features
            ],
        }

    @staticmethod
    def from_dict(data: object) -> Preparation:
        """Return the preparation of :meth:`to_dict`'s values, checked member by member.

        Raises
        ------
        DamagedError
            Something is missing, of the wrong type, over a bound, or names an unknown column.
        """
        try:
            return _from_dict(data)
        except _ERRORS as error:
            raise DamagedError(
                "The stored preparation of the model is not valid.", details=str(error)[:200]
            ) from error

    def compile(self) -> Compiled:
        """Return the fast function (made once for each preparation)."""
        return self._compiled

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiled(
            [(column.name, column.type) for column in self.inputs],
            self.operations,
            [feature.name for feature in self.features],
        )

    @cached_property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """The raw columns that each feature depends on, in the order of the inputs."""
        found = {column.name: {column.name} for column in self.inputs}
        for operation in self.operations:
            read = set[str]().union(*(found[name] for name in operation.reads))
            found |= dict.fromkeys(operation.writes, read)
        order = {column.name: place for place, column in enumerate(self.inputs)}
        return {f.name: tuple(sorted(found[f.name], key=order.__getitem__)) for f in self.features}

    @cached_property
    def joined(self) -> dict[str, Joined]:
        """What features are made of that several columns lead to; see :func:`joined_columns`."""
        inputs = [(column.name, column.type) for column in self.inputs]
        return joined_columns(inputs, self.operations, [it.name for it in self.features])

    @cached_property
    def _needed(self) -> frozenset[str]:
        """Names of the columns whose absence would hand NaN to an estimator that refuses it.

        A feature of several columns is not counted: which of them must be there can depend on
        the row, and the model itself refuses NaN.
        """
        if self.accepts_missing:
            return frozenset()
        row = self.compile().row({})
        absent = [f.name for f, value in zip(self.features, row, strict=True) if value != value]
        return frozenset(self.sources[name][0] for name in absent if len(self.sources[name]) == 1)

    def validate(self, columns: Mapping[str, Values]) -> dict[str, list[Any]]:
        """Return the raw columns coerced to the types the model expects.

        Whole numbers become doubles, ISO 8601 texts become dates; a number in quotes is not a
        number, nor is true. None (or NaN) is missing. Columns the model does not use are left
        out; one that is absent counts as missing if it was nullable in training.

        Raises
        ------
        InputError
            With ``details`` row, column and expected type, and never the data itself.
        """
        n_rows = max((len(values) for values in columns.values()), default=0)
        checked: dict[str, list[Any]] = {}
        for column in self.inputs:
            values = columns.get(column.name)
            if values is None:
                if not column.nullable:
                    raise self._lacking(columns)
                values = [None] * n_rows
            if len(values) != n_rows:
                raise InputError("The columns have different numbers of rows.")
            checked[column.name] = self._validate(column, values)
        return checked

    def validate_row(self, row: Mapping[str, object]) -> dict[str, Any]:
        """Return one raw row coerced as :meth:`validate` does it."""
        checked = {}
        for column in self.inputs:
            if column.name not in row and not column.nullable:
                raise self._lacking(row)
            checked[column.name] = self._cell(column, None, row.get(column.name))
        return checked

    def _lacking(self, given: Collection[str]) -> InputError:
        """Return what says which columns are absent, all of them."""
        lacks = [it for it in self.inputs if it.name not in given and not it.nullable]
        first, more = lacks[0], lacks[1:]
        details: dict[str, Any] = {"row": None, "column": first.name, "expected": first.type}
        if not more:
            return InputError(
                f"Column '{first.name}' is absent; {_expected(first)}.", details=details
            )
        told = [f"'{it.name}' ({_NOUNS[it.type]})" for it in lacks[:_MOST_TOLD]]
        if len(lacks) > _MOST_TOLD:
            told.append(f"{len(lacks) - _MOST_TOLD:,} more")
        listed = f"{', '.join(told[:-1])} and {told[-1]}"
        details |= {"columns": [it.name for it in lacks]}
        return InputError(f"{len(lacks):,} columns are absent: {listed}.", details=details)

    def _validate(self, column: Column, values: Values) -> list[Any]:
        values = values if isinstance(values, list | tuple) else plain_of(values)
        kinds = set(map(type, values))
        if column.type == "string" and kinds <= {str}:
            return list(values)
        if column.type == "double" and kinds == {float} and all(map(math.isfinite, values)):
            return list(values)
        return [self._cell(column, row, value) for row, value in enumerate(values)]

    def _cell(self, column: Column, row: int | None, value: object) -> object:
        if value is None or value != value:
            if column.name in self._needed:
                raise _refusal(row, column)
            return None
        try:
            return _COERCIONS[column.type](value)
        except (TypeError, ValueError, OverflowError):
            raise _refusal(row, column) from None


def _refusal(row: int | None, column: Column) -> InputError:
    """Return what says that a value is none; ``row`` is None where there is only one."""
    where = "Column" if row is None else f"Row {row}, column"
    return InputError(
        f"{where} '{column.name}': {_expected(column)}.",
        details={"row": row, "column": column.name, "expected": column.type},
    )


def _expected(column: Column) -> str:
    return f"the model expects {_NOUNS[column.type]} ({column.type})"


_NOUNS = {
    "long": "a whole number",
    "double": "a number",
    "string": "a text",
    "boolean": "true or false",
    "date": "a date such as 2026-01-31",
    "datetime": "a time such as 2026-01-31T12:00:00Z",
}


def _double(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _long(value: object) -> int:
    number = _double(value)
    if not number.is_integer() or not -(2**63) <= value < 2**63:  # type: ignore[operator]
        raise ValueError
    return int(value)  # type: ignore[call-overload,no-any-return]


def _exactly(kind: type[Any]) -> Callable[[object], Any]:
    def check(value: object) -> object:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return check


def _datetime(value: object) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, date):
        raise TypeError
    return as_moment(value)


def _date(value: object) -> date:
    moment = _datetime(value)
    if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
        raise ValueError
    return moment.date()


_COERCIONS: dict[str, Callable[[object], Any]] = {
    "long": _long,
    "double": _double,
    "string": _exactly(str),
    "boolean": _exactly(bool),
    "date": _date,
    "datetime": _datetime,
}


_ERRORS = (
    ArithmeticError,
    AttributeError,
    KeyError,
    IndexError,
    RecursionError,
    TypeError,
    ValueError,
)


def _from_dict(data: Any) -> Preparation:
    inputs = tuple(_input(item) for item in bounded(data["inputs"], MAX_INPUTS))
    names = {column.name for column in inputs}
    features = tuple(_feature(item, names) for item in bounded(data["features"], MAX_FEATURES))
    if len(names) != len(inputs) or len({f.name for f in features}) != len(features):
        raise ValueError("a name stands twice")
    operations = read_operations(data, [column.name for column in inputs])
    found = Preparation(inputs, features, _is(bool, data["accepts_missing"]), operations)
    found.compile()
    return found


def _is(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"not {kind.__name__}")
    return value


def _input(item: Any) -> Column:
    if item["type"] not in TYPES:
        raise ValueError("type")
    return Column(_is(str, item["name"]), item["type"], _is(bool, item["nullable"]))


def _feature(item: Any, names: set[str]) -> Feature:
    if item["column"] not in names:
        raise ValueError("a feature of an unknown column")
    n_categories = _is(int, item["n_categories"])
    if not 0 <= n_categories <= MAX_CATEGORIES:
        raise ValueError("n_categories")
    return Feature(_is(str, item["name"]), item["column"], n_categories)
