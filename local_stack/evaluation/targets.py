"""What a target column asks for: classes or a number, and how its values are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from local_stack.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Label: TypeAlias = "str | int | float | bool"
"""A class of a target."""
MAX_CLASSES = 1_000
_DERIVE = "Derive a class or a number from it first: its month, the days since then, or bins."
_FINITE = "Leave those rows out, or replace the values: filter and clip are steps of a recipe."
FEW_CLASSES = 10
"""A target of this many different whole numbers, or fewer, is taken for classes."""


def task_of_values(series: pl.Series) -> str:
    """Return ``classification`` or ``regression`` as the values of a target suggest."""
    if not series.dtype.is_numeric():
        return "classification"
    n_values = series.n_unique()
    if series.dtype.is_integer():
        return "classification" if n_values <= FEW_CLASSES else "regression"
    is_binary = n_values == 2 and set(series.unique().to_list()) == {0, 1}
    return "classification" if is_binary else "regression"


def labels_of(series: pl.Series) -> list[Label]:
    """Return a target without missing values as labels: texts, booleans or whole numbers.

    Raises
    ------
    InputError
        The values are no classes, or fewer than two or more than ``MAX_CLASSES``.
    """
    import polars as pl

    if series.dtype.is_float() or series.dtype.is_decimal():
        series = series.cast(pl.Float64)
        if not (series == series.round()).all():
            raise InputError(
                f"'{series.name}' holds fractions, so its values are not classes.",
                "Set task: regression.",
            )
        series = series.cast(pl.Int64)
    elif series.dtype != pl.Boolean and not series.dtype.is_integer():
        if series.dtype not in (pl.String, pl.Categorical, pl.Enum):
            raise InputError(
                f"'{series.name}' holds {_kind(series)}, which are no classes.", _DERIVE
            )
        series = series.cast(pl.String)
    n_classes = series.n_unique()
    if not 2 <= n_classes <= MAX_CLASSES:
        raise InputError(
            f"'{series.name}' has {n_classes:,} classes; from 2 to {MAX_CLASSES:,} can be learnt.",
            "Choose another target, or put its values into fewer classes." if n_classes > 1 else "",
        )
    return list(series.to_list())


def _kind(series: pl.Series) -> str:
    if series.dtype.is_temporal():
        return "dates or times"
    return "lists" if series.dtype.is_nested() else "values of another kind"


def numbers_of(series: pl.Series) -> np.ndarray:
    """Return a target without missing values as float64 (n_rows,), for a regression.

    Raises
    ------
    InputError
        The values are no numbers, or infinite.
    """
    import numpy as np
    import polars as pl

    if not series.dtype.is_numeric() and not series.dtype.is_decimal():
        hint = _DERIVE if series.dtype.is_temporal() else "Set task: classification."
        raise InputError(f"'{series.name}' is not a number, so there is no regression on it.", hint)
    numbers = series.cast(pl.Float64).to_numpy()
    if not np.isfinite(numbers).all():
        raise InputError(f"'{series.name}' holds infinite values.", _FINITE)
    return numbers


def codes_of(labels: Sequence[Label], classes: Sequence[Label]) -> np.ndarray:
    """Return the place of each label in ``classes``, int64, -1 where it is not there."""
    import numpy as np

    places = {label: place for place, label in enumerate(classes)}
    return np.array([places.get(label, -1) for label in labels], dtype=np.int64)
