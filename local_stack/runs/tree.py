"""What a filter or an order of runs says, as a typed tree; :mod:`grammar` reads it from text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a field belongs to, by MLflow's own word for it."""

    METRIC = "metric"
    PARAM = "parameter"
    TAG = "tag"
    ATTRIBUTE = "attribute"
    DATASET = "dataset"


KINDS: Final = {
    **dict.fromkeys(("metrics", "metric"), Kind.METRIC),
    **dict.fromkeys(("params", "param", "parameters", "parameter"), Kind.PARAM),
    **dict.fromkeys(("tags", "tag"), Kind.TAG),
    **dict.fromkeys(("attributes", "attribute", "attr", "run"), Kind.ATTRIBUTE),
    **dict.fromkeys(("datasets", "dataset"), Kind.DATASET),
}
"""Each word that may stand before the dot. Case matters, as in MLflow."""

ATTRIBUTES: Final = {
    **{name: name for name in ("run_id", "run_name", "user_id", "status", "artifact_uri")},
    **{name: name for name in ("start_time", "end_time", "duration")},
    **dict.fromkeys(("created", "Created"), "start_time"),
    **dict.fromkeys(("run name", "Run name", "Run Name"), "run_name"),
}
"""Each name of an attribute and the attribute it means."""

NUMERIC_ATTRIBUTES: Final = frozenset({"start_time", "end_time", "duration"})
"""Times are milliseconds since 1970 (MLflow's unit), the duration is seconds."""

DATASET_KEYS: Final = ("name", "digest", "context")

EQUALITY: Final = ("=", "!=")
NUMERIC: Final = (*EQUALITY, "<", "<=", ">", ">=", "BETWEEN")
TEXTUAL: Final = (*EQUALITY, "LIKE", "ILIKE", "IN")
NULL: Final = ("IS NULL", "IS NOT NULL")


@dataclass(frozen=True, slots=True)
class Field:
    """One thing of a run that can be compared; ``key`` of an attribute is its canonical name."""

    kind: Kind
    key: str

    @property
    def holds_numbers(self) -> bool:
        """Whether a number may stand on the other side."""
        if self.kind is Kind.ATTRIBUTE:
            return self.key in NUMERIC_ATTRIBUTES
        return self.kind in (Kind.METRIC, Kind.PARAM)

    @property
    def holds_text(self) -> bool:
        """Whether quoted text may stand on the other side."""
        return self.kind is Kind.PARAM or not self.holds_numbers

    @property
    def operators(self) -> tuple[str, ...]:
        """The comparators that fit, without the NOT that may precede a word."""
        fitting = (
            *(NUMERIC if self.holds_numbers else ()),
            *(TEXTUAL if self.holds_text else ()),
            *(NULL if self.kind in (Kind.PARAM, Kind.TAG) else ()),
        )
        return tuple(dict.fromkeys(fitting))


class Function(StrEnum):
    """What may be asked of everything that was logged of a metric.

    ``min``, ``max`` and ``mean`` leave NaN out unless nothing else was logged; ``first`` and
    ``last`` are the values of the smallest and the largest step (then time, then value, as
    MLflow takes the last one); ``count`` counts every logged value, NaN included.
    """

    MIN = "min"
    MAX = "max"
    MEAN = "mean"
    FIRST = "first"
    LAST = "last"
    COUNT = "count"


STEPPED: Final = (Function.MIN, Function.MAX, Function.FIRST, Function.LAST)
"""The functions that pick one logged value, so that it has a step."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """``function(metrics.key)``, or the step of that value: ``step(function(metrics.key))``."""

    function: Function
    key: str
    is_step: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """Numbers added up, each as often as its sign says (1 or -1)."""

    terms: tuple[tuple[int, Field | Aggregate | float], ...]


Operand = Field | Aggregate | Sum | float
"""What stands on a side of a comparison; a bare Field may hold text."""


@dataclass(frozen=True, slots=True)
class NumberTest:
    """``field operator number``, the operator one of ``= != < <= > >=``."""

    field: Operand
    operator: str
    number: float


@dataclass(frozen=True, slots=True)
class PairTest:
    """``left operator right``, both numbers of the run, the operator as in ``NumberTest``."""

    left: Operand
    operator: str
    right: Operand


@dataclass(frozen=True, slots=True)
class RangeTest:
    """``field [NOT] BETWEEN low AND high``, both ends included."""

    field: Operand
    low: float
    high: float
    negated: bool


@dataclass(frozen=True, slots=True)
class TextTest:
    """``field operator text``: ``=``, ``!=``, ``LIKE``, ``ILIKE``, ``NOT LIKE``, ``NOT ILIKE``."""

    field: Field
    operator: str
    text: str


@dataclass(frozen=True, slots=True)
class ListTest:
    """``field [NOT] IN (texts)``."""

    field: Field
    texts: tuple[str, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class NullTest:
    """``field IS [NOT] NULL``."""

    field: Field
    negated: bool


@dataclass(frozen=True, slots=True)
class And:
    """All of the items hold."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the items holds."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The item does not hold; a run that lacks the field counts as one where it does not."""

    item: Node


Test = NumberTest | PairTest | RangeTest | TextTest | ListTest | NullTest
Node = Test | And | Or | Not


@dataclass(frozen=True, slots=True)
class Ordering:
    """One key to sort by."""

    field: Operand
    descending: bool
