"""Rows whose raw columns are told in plain values, and changed one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.attributing.attributions import PROBABILITY, TARGET, column_groups
from local_stack.explain.attributing.units import calibrated
from local_stack.explain.column_values import joined_groups
from local_stack.explain.effects.parts import CATEGORICAL, DATE, NUMERIC, Value
from local_stack.preparation.compiled import Compiled
from local_stack.preparation.fitting import raw_columns
from local_stack.preparation.table import column_type, raw_values
from local_stack.preparation.values import Values, plain_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from local_stack.preparation.fitted import Column
    from local_stack.stores.model import Model

    Array = NDArray[np.float64]

GIVEN: Final = "label given (1 or 0)"
"""The unit of what a classifier without probabilities says."""
_KINDS: Final = {
    "long": NUMERIC,
    "double": NUMERIC,
    "string": CATEGORICAL,
    "boolean": CATEGORICAL,
    "date": DATE,
    "datetime": DATE,
}


@dataclass(frozen=True, slots=True)
class Described:
    """A column of rows under the name that its SHAP values have.

    ``numbers`` is float64 (n_rows,), NaN where missing: numbers as they are, dates in
    microseconds since 1970, categories as places, the most frequent first.
    """

    name: str
    kind: str
    values: tuple[Value, ...]
    numbers: Array
    _bins: dict[int, NDArray[np.int64]] = field(default_factory=dict, compare=False, repr=False)

    def bins(self, most: int) -> NDArray[np.int64]:
        """Return the bin of each row, int64 (n_rows,).

        Categories are bins of their own, the rarest together; other values where there are no more
        different ones than bins, else quantiles. Missing values are a bin.
        """
        if most not in self._bins:
            self._bins[most] = self._binned(most)
        return self._bins[most]

    def _binned(self, most: int) -> NDArray[np.int64]:
        import numpy as np

        numbers = self.numbers
        is_lost = np.isnan(numbers)
        found = np.zeros(len(numbers), dtype=np.int64)
        known = numbers[~is_lost]
        if self.kind == CATEGORICAL:
            found[~is_lost] = np.minimum(known.astype(np.int64), most - 1)
        elif known.size:
            different = np.unique(known)
            if len(different) <= most:
                edges = different[1:]
            else:
                edges = np.unique(np.quantile(known, np.linspace(0, 1, most + 1)[1:-1]))
            found[~is_lost] = np.searchsorted(edges, known, side="right")
        found[is_lost] = found.max(initial=0) + 1
        return np.asarray(np.unique(found, return_inverse=True)[1], dtype=np.int64)


class Rows:
    """Rows as a model prepares them.

    Raises
    ------
    InputError
        A column is absent, or a value is missing where the estimator takes none.
    """

    def __init__(self, model: Model, frame: pl.DataFrame) -> None:
        self.model = model
        self.frame = frame
        self.columns = raw_columns(frame, model.inputs)
        self.matrix: Array = model.matrix(self.columns)
        self._parts: dict[str, tuple[list[int], Compiled]] = {}

    def __len__(self) -> int:
        return len(self.matrix)

    @cached_property
    def described(self) -> dict[str, Described]:
        """Return every raw column and every feature of several, by name."""
        found = {
            column.name: _described(column.name, column.type, self.columns[column.name])
            for column in self.model.inputs
        }
        preparation = self.model.preparation
        joined = joined_groups(preparation)
        for name, places in column_groups(preparation).items():
            if name in joined:
                it = joined[name]
                found[name] = _described(name, it.type, it.values(self.columns))
            elif name not in found:
                numbers = self.matrix[:, places[0]]
                found[name] = Described(name, NUMERIC, _numbers(numbers), numbers)
        return found

    def column(self, name: str) -> Described:
        """Return a column by name, also one of the table that the model does not use.

        Raises
        ------
        InputError
            It is of a type that no model can take.
        """
        if name in self.described:
            return self.described[name]
        kind = column_type(self.frame, name)
        return _described(name, kind, raw_values(self.frame, name, kind))

    def changed(self, column: str, values: Values) -> Array:
        """Return the features when a raw column has other values, (n_rows, n_features).

        Every feature that is made of the column is made anew. A row of which an estimator that
        takes no missing values could then make nothing keeps its features.
        """
        import numpy as np

        places, compiled = self._part(column)
        found = self.matrix.copy()
        if places:
            made = compiled.matrix({**self.columns, column: values})
            if not self.model.preparation.accepts_missing:
                is_lost = np.isnan(made).any(axis=1)
                made[is_lost] = self.matrix[np.ix_(is_lost, places)]
            found[:, places] = made
        return found

    def takes_missing(self, column: Column) -> bool:
        """Return whether the model can be asked without a value of a raw column."""
        import numpy as np

        if self.model.preparation.accepts_missing:
            return True
        nothing: Values = [None] * len(self)
        if column.type != "string":
            is_date = kind_of(column.type) == DATE
            nothing = (
                np.full(len(self), "NaT", "datetime64[us]")
                if is_date
                else np.full(len(self), np.nan)
            )
        _, compiled = self._part(column.name)
        return not np.isnan(compiled.matrix({**self.columns, column.name: nothing})).any()

    def _part(self, column: str) -> tuple[list[int], Compiled]:
        """Return the places of the features that depend on a raw column, and what makes them."""
        if column not in self._parts:
            preparation = self.model.preparation
            names = [f.name for f in preparation.features]
            places = [n for n, it in enumerate(names) if column in preparation.sources[it]]
            inputs = [(it.name, it.type) for it in preparation.inputs]
            compiled = Compiled(inputs, preparation.operations, [names[it] for it in places])
            self._parts[column] = places, compiled
        return self._parts[column]


def said(model: Model, matrix: Array) -> Array:
    """Return what a model says of features, float64 (n_rows, n_outputs), in :func:`said_unit`."""
    import numpy as np

    if model.task == "regression" or model.has_probabilities:
        return calibrated(model, matrix)
    given = np.eye(len(model.classes))[model.outputs(matrix)]
    return np.asarray(given[:, 1:] if len(model.classes) == 2 else given)


def said_unit(model: Model) -> str:
    """Return the unit of :func:`said`."""
    if model.task == "regression":
        return TARGET
    return PROBABILITY if model.has_probabilities else GIVEN


def plain(kind: str, values: Values) -> tuple[Value, ...]:
    """Return raw values of a type in MLflow's words as plain ones."""
    if kind in ("long", "double"):
        return _numbers(values)
    if kind == "boolean":
        return tuple(
            None if it is None or it != it else _TRUTH[bool(it)] for it in plain_of(values)
        )
    if kind == "string":
        return tuple(None if it is None or it != it else str(it) for it in plain_of(values))
    return tuple(None if it is None else _moment(kind, it) for it in plain_of(values))


_TRUTH: Final = {True: "true", False: "false"}


def _moment(kind: str, value: Any) -> str:
    return str(value.date().isoformat() if kind == "date" else value.isoformat())


def _numbers(values: Values) -> tuple[Value, ...]:
    return tuple(None if it is None or it != it else float(it) for it in plain_of(values))


def _described(name: str, kind: str, values: Values) -> Described:
    import numpy as np

    told = plain(kind, values)
    if _KINDS[kind] == CATEGORICAL:
        return Described(name, CATEGORICAL, told, _places(told))
    if _KINDS[kind] == DATE:
        moments = np.array(values, dtype="datetime64[us]")
        numbers = np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))
        return Described(name, DATE, told, numbers)
    numbers = np.array([np.nan if it is None else it for it in told], dtype=np.float64)
    return Described(name, NUMERIC, told, numbers)


def _places(values: Sequence[Value]) -> Array:
    """Return the place of each category, the most frequent first, NaN where missing."""
    import numpy as np

    places = {value: float(place) for place, value in enumerate(frequent(values))}
    return np.array([places.get(str(it), np.nan) if it is not None else np.nan for it in values])


def frequent(values: Sequence[Value]) -> list[str]:
    """Return the different categories, the most frequent first, equal ones by name."""
    from collections import Counter

    counts = Counter(str(it) for it in values if it is not None)
    return [name for name, _ in sorted(counts.items(), key=lambda it: (-it[1], it[0]))]


def kind_of(column_type: str) -> str:
    """Return what the values of a raw column are, by its type in MLflow's words."""
    return _KINDS[column_type]
