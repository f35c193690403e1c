"""What of a row may change, and to which values: what was asked for, the contract, the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from local_stack.data import contracts
from local_stack.data.contracting import checks
from local_stack.data.contracting.contract_file import Document, moment, of_values
from local_stack.errors import InputError, NotFoundError, nearest
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from local_stack.explain.deciding.columns import Axis, Space
    from local_stack.explain.subject import Subject

    Array = NDArray[np.float64]

INCREASE: Final = "increase"
DECREASE: Final = "decrease"
_FREE_TEXT: Final = 20
_FREE_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Limit:
    """What a column may become. ``fixed`` says why it may not change at all; '' when it may.

    Bounds are in the numbers of an :class:`Axis`; ``allowed`` None means any value.
    """

    fixed: str = ""
    direction: str | None = None
    low: float = float("-inf")
    high: float = float("inf")
    is_open_low: bool = False
    is_open_high: bool = False
    allowed: frozenset[float] | None = None
    forbidden: frozenset[float] = frozenset()

    def admits(self, codes: Array, code: float) -> NDArray[np.bool_]:
        """Return which of ``codes`` (n,) a column with the value ``code`` may become."""
        import numpy as np

        found: NDArray[np.bool_] = ~np.isnan(codes) & (codes != code)
        if self.fixed:
            return np.zeros(len(codes), dtype=bool)
        found &= (codes > self.low) if self.is_open_low else (codes >= self.low)
        found &= (codes < self.high) if self.is_open_high else (codes <= self.high)
        if self.direction:  # nothing says which way is up from a missing value
            found &= (codes > code) if self.direction == INCREASE else (codes < code)
        if self.allowed is not None:
            found &= np.isin(codes, list(self.allowed))
        if self.forbidden:
            found &= ~np.isin(codes, list(self.forbidden))
        return found


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody asks to stay as it is, or to move one way only: names of columns."""

    immutable: tuple[str, ...] = ()
    increase: tuple[str, ...] = ()
    decrease: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowRules:
    """The conditions between columns that a contract states, asked of single rows.

    Columns that a row does not have are missing, and what is unknown breaks nothing.
    """

    document: Document
    schema: pl.Schema

    def broken(self, row: Mapping[str, Any]) -> frozenset[str]:
        """Return the names of the conditions that a validated row breaks."""
        import polars as pl

        values = {name: [row.get(name)] for name in self.schema}
        frame = pl.DataFrame(values, schema=self.schema, strict=False)
        found = checks.verdicts(self.document, frame)
        return frozenset(it.code for it in found if not it.passed)


def rules_of(workspace: Workspace, subject: Subject) -> RowRules | None:
    """Return the conditions between columns of the data set's contract, None without any."""
    document = _document(workspace, subject.version.dataset)
    conditions = document.values.get("checks") if document else None
    if not conditions:
        return None
    return RowRules(of_values({"checks": conditions}), subject.frame.schema)


def limits_of(
    workspace: Workspace, subject: Subject, space: Space, wishes: Wishes
) -> tuple[Limit, ...]:
    """Return the limit of each column of a space.

    A column stays as it is when it is asked for, when the data set's record names it sensitive,
    when its contract says ``immutable: true``, or when its texts are free ones (most rows have
    one of their own). The contract's bounds, allowed and forbidden values and ``direction`` hold
    too, and an option narrows them further.

    Raises
    ------
    InputError
        There is no such column, or a direction is asked of texts.
    """
    _check(subject, space, wishes)
    dataset = workspace.get("datasets", subject.version.dataset) or {}
    sensitive = set(dataset.get("sensitive") or ())
    document = _document(workspace, subject.version.dataset)
    rules = document.columns if document else {}
    found = []
    for axis in space.axes:
        limit = _of_contract(axis, rules.get(axis.name) or {})
        if axis.name in wishes.increase:
            limit = _directed(axis, limit, INCREASE)
        if axis.name in wishes.decrease:
            limit = _directed(axis, limit, DECREASE)
        why = limit.fixed or ("sensitive" if axis.name in sensitive else _free_text(axis))
        if axis.name in wishes.immutable:
            why = "asked for"
        found.append(replace(limit, fixed=why))
    return tuple(found)


def candidates(axis: Axis, limit: Limit, code: float) -> Array:
    """Return the values of training rows that a column may become, ascending, (n,)."""
    return axis.values[limit.admits(axis.values, code)]


def _check(subject: Subject, space: Space, wishes: Wishes) -> None:
    known = {column.name for column in subject.version.schema} | set(space.names)
    for name in (*wishes.immutable, *wishes.increase, *wishes.decrease):
        if name not in known:
            raise InputError(
                f"{subject.version.reference} has no column '{name}'.", nearest(name, known)
            )
    ordered = {axis.name for axis in space.axes if axis.is_ordered}
    for name in (*wishes.increase, *wishes.decrease):
        if name in space.names and name not in ordered:
            raise InputError(
                f"Column '{name}' has no numbers or times, so it neither increases nor decreases.",
                f"Hold it: --immutable {name}",
            )
    if both := set(wishes.increase) & set(wishes.decrease):
        raise InputError(f"Column '{min(both)}' cannot only increase and only decrease.")


def _document(workspace: Workspace, dataset: str) -> Document | None:
    try:
        return contracts.document_of(contracts.current(workspace, dataset))
    except NotFoundError:
        return None


def _of_contract(axis: Axis, rules: Mapping[str, Any]) -> Limit:
    """Return what a contract says of a column; words in their long form too."""
    said = {word: _short(rule) for word, rule in rules.items()}
    if said.get("immutable"):
        return Limit(fixed="the contract")
    limit = Limit(
        direction=said.get("direction") if axis.is_ordered else None,
        allowed=_codes(axis, said.get("allowed")),
        forbidden=_codes(axis, said.get("forbidden")) or frozenset(),
    )
    if not axis.is_ordered:
        return limit
    for word, is_open in (("min", False), ("exclusive_min", True)):
        bound = _bound(axis, said.get(word))
        if bound is not None and (bound, is_open) > (limit.low, limit.is_open_low):
            limit = replace(limit, low=bound, is_open_low=is_open)
    for word, is_open in (("max", False), ("exclusive_max", True)):
        bound = _bound(axis, said.get(word))
        if bound is not None and (-bound, is_open) > (-limit.high, limit.is_open_high):
            limit = replace(limit, high=bound, is_open_high=is_open)
    return limit


def _short(rule: Any) -> Any:
    return rule.get("value") if isinstance(rule, dict) else rule


def _bound(axis: Axis, value: Any) -> float | None:
    if value is None:
        return None
    if axis.column.type in ("date", "datetime"):
        return axis.code_of(moment(str(value)))
    return float(value) if isinstance(value, int | float) else None


def _codes(axis: Axis, values: Sequence[Any] | None) -> frozenset[float] | None:
    """Return the numbers of listed values; those that no training row has are no candidates."""
    if values is None:
        return None
    if axis.is_ordered:
        return frozenset(it for it in (_bound(axis, value) for value in values) if it is not None)
    known = {(type(level), level): float(place) for place, level in enumerate(axis.levels)}
    found = (known.get((type(value), value)) for value in values)
    return frozenset(it for it in found if it is not None)


def _directed(axis: Axis, limit: Limit, direction: str) -> Limit:
    if limit.direction not in (None, direction):
        return Limit(fixed=f"the contract lets it only {limit.direction}")
    return replace(limit, direction=direction)


def _free_text(axis: Axis) -> str:
    """Return why a text column is no choice among categories: most rows have one of their own."""
    n_known, n_levels = int(axis.counts.sum()), len(axis.values)
    is_free = not axis.is_ordered and n_levels > max(_FREE_TEXT, _FREE_SHARE * n_known)
    return "free text" if is_free else ""
