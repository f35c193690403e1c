"""What is assessed: the labelled rows of a version, the target and the columns beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from local_stack.data.assessing.rules import Evidence, Example
from local_stack.data.assessing.single import LARGEST
from local_stack.errors import InputError, nearest
from local_stack.evaluation.split import Keys, Split, keys_of
from local_stack.evaluation.targets import Label, codes_of, labels_of, numbers_of, task_of_values
from local_stack.results import plain

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

MOST_ROWS, MOST_EXAMPLES = 1_000, 10
_MOST_VALUES = 40
_MOST_LETTERS = 200
_NEARLY_ALL = 0.9


@dataclass(frozen=True, slots=True)
class Subject:
    """The rows that have a target, numbered as in the version.

    ``y`` holds class numbers (int64, places in ``classes``) or the target itself (float64),
    shape (n_rows,). ``features`` are the columns that a model may see: all but the target and
    the columns that split by group or time. ``alike`` numbers rows of equal features where they
    are to stay together (None: where nothing needs that).
    """

    frame: pl.DataFrame
    rows: np.ndarray
    target: str
    task: str
    classes: tuple[Label, ...]
    y: np.ndarray
    features: tuple[str, ...]
    group: str | None = None
    time: str | None = None
    alike: np.ndarray | None = None

    @property
    def n_rows(self) -> int:
        """Return how many rows have a target."""
        return len(self.rows)

    @property
    def is_regression(self) -> bool:
        """Return whether the target is a number rather than a class."""
        return self.task == "regression"

    @property
    def names_rows(self) -> bool:
        """Return whether (nearly) every row has a class of its own: an identifier, or free text."""
        return len(self.classes) >= _NEARLY_ALL * self.n_rows

    def take(self, places: np.ndarray) -> Subject:
        """Return the subject of some rows, by their place in this one."""
        return replace(
            self,
            frame=self.frame[places],
            rows=self.rows[places],
            y=self.y[places],
            alike=None if self.alike is None else self.alike[places],
        )

    @property
    def split_by(self) -> str:
        """Return by what rows are split: time, group, equal rows or nothing in particular."""
        if self.time or self.group:
            return "time" if self.time else "group"
        return "" if self.alike is None else "equal rows"

    def keys(self, *, is_plain: bool = False) -> Keys:
        """Return what splits look at: time, group, equal rows or (when plain) the classes."""
        if not is_plain and (self.group or self.time):
            return keys_of(self.frame, Split(group=self.group, time=self.time), None)
        if not is_plain and self.alike is not None:
            return Keys(self.n_rows, groups=self.alike)
        return Keys(self.n_rows, strata=None if self.is_regression else self.y)

    def outcome(self) -> tuple[str, np.ndarray]:
        """Return what is compared between groups and times, and it for each row.

        The rarer of two classes, the most frequent of several, or the number itself.
        """
        import numpy as np

        if self.is_regression:
            return f"mean of {self.target}"[:200], self.y
        counts = np.bincount(self.y, minlength=len(self.classes))
        chosen = int(counts.argmin() if len(counts) == 2 else counts.argmax())
        label = f"share of {self.target} = {self.classes[chosen]}"[:200]
        return label, (self.y == chosen).astype(np.float64)

    def _example(self, place: int, note: str, columns: Sequence[str]) -> Example:
        """Return a row as an example; ``columns`` come first, and the target before them."""
        chosen = dict.fromkeys((self.target, *columns, *self.frame.columns))
        names = [name for name in chosen if name in self.frame.columns][:_MOST_VALUES]
        values = self.frame.select(names).row(place, named=True)
        return Example(
            int(self.rows[place]), note, {name: _short(value) for name, value in values.items()}
        )

    def evidence(
        self,
        places: np.ndarray,
        note: Callable[[int], str] = lambda _: "",
        columns: Sequence[str] = (),
    ) -> Evidence:
        """Return rows, by their place in this subject, as what a finding rests on.

        ``note`` says of the n-th of ``places`` what is odd about it.
        """
        rows = tuple(int(it) for it in self.rows[places[:MOST_ROWS]])
        shown = places[:MOST_EXAMPLES].tolist()
        examples = [self._example(at, note(nth), columns) for nth, at in enumerate(shown)]
        return Evidence(rows, tuple(examples))


def _short(value: Any) -> Any:
    shown = plain(value)
    return shown[:_MOST_LETTERS] if isinstance(shown, str) else shown


def subject_of(
    frame: pl.DataFrame,
    target: str,
    *,
    task: str | None = None,
    group: str | None = None,
    time: str | None = None,
) -> Subject | None:
    """Return what is to be assessed, or None when the target has fewer than two values.

    Raises
    ------
    InputError
        A named column is not there, or the target cannot be read as the task asks.
    """
    import numpy as np

    for role, name in (("target", target), ("group", group), ("time", time)):
        if name is not None and name not in frame.columns:
            raise InputError(
                f"The table has no column '{name}' to be the {role}.", nearest(name, frame.columns)
            )
    if target in (group, time):
        raise InputError(f"'{target}' is the target, so it cannot split the rows as well.")
    if group is not None and time is not None:
        raise InputError("Rows are split by group or by time, not by both.", "Name one of them.")
    series = frame[target]
    if series.dtype.is_float():
        series = series.fill_nan(None)
    rows = np.flatnonzero(series.is_not_null().to_numpy())
    series = series[rows]
    if series.n_unique() < 2:
        return None
    found = task or task_of_values(series)
    classes: tuple[Label, ...] = ()
    if found == "regression":
        y = numbers_of(series)
        if np.abs(y).max() > LARGEST:
            raise InputError(
                f"'{target}' holds numbers beyond {LARGEST:g}, whose squares cannot be added up.",
                "Leave those rows out, or predict its logarithm: both are steps of a recipe.",
            )
    else:
        labels = labels_of(series)
        classes = tuple(sorted(set(labels)))
        y = codes_of(labels, classes)
    hidden = {target, group, time}
    features = tuple(name for name in frame.columns if name not in hidden)
    return Subject(frame[rows], rows, target, found, classes, y, features, group, time)


_STEM = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_ENDINGS = ("ing", "ed", "es", "s")
_WORDS_OF_ANYTHING = """
    is has the for and not num number count total sum mean median avg average min max std rate
    share flag value class label target type code index key name date time day month year
"""
_EMPTY_WORDS = frozenset(_WORDS_OF_ANYTHING.split())


def stems(name: str) -> frozenset[str]:
    """Return the words of a column's name without their endings: IsArrDelayed: arr, delay."""
    words = {word.lower() for word in _STEM.findall(name)}
    return frozenset(_stem(word) for word in words if len(word) > 2 and word not in _EMPTY_WORDS)


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
