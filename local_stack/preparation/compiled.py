"""The compiled form of a preparation: one row (pure Python) or many (NumPy) in the same bits.

Every value has a slot of its own, so that a name may be written again and an operation that
nothing depends on costs nothing. What is not there has a defined outcome: a missing or unknown
category is NaN when the column is encoded natively, all zeros when one-hot, -1 when ordinal,
the overall value when a group is looked up; a missing number or date stays NaN unless the
recipe fills it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from local_stack.preparation.operations import Bound, Operation, Same
from local_stack.preparation.values import KINDS, LOADERS, NUMBERS, Values, column_of

if TYPE_CHECKING:
    import numpy as np

MAX_SLOTS = 500_000


@dataclass(frozen=True, slots=True)
class _Call:
    """A bound operation with the slots it reads and the first of those it writes."""

    bound: Bound
    reads: tuple[int, ...]
    first: int

    @property
    def writes(self) -> range:
        return range(self.first, self.first + len(self.bound.kinds))


class Compiled:
    """A preparation as a function of one row or of many.

    Parameters
    ----------
    inputs
        Name and type of each raw column.
    features
        Names of the columns that come out.
    any_kind
        Whether they may be other than numbers; there is no matrix of those.

    Raises
    ------
    ValueError
        An operation reads what is not there or cannot be read so, or a feature is no number.
    """

    def __init__(
        self,
        inputs: Sequence[tuple[str, str]],
        operations: Sequence[Operation],
        features: Sequence[str],
        *,
        any_kind: bool = False,
    ) -> None:
        self._inputs = [(name, KINDS[kind]) for name, kind in inputs]
        self._slots = {name: slot for slot, (name, _) in enumerate(self._inputs)}
        self._kinds = [kind for _, kind in self._inputs]
        calls = [call for operation in operations if (call := self._placed(operation))]
        try:
            self._outputs = [self._slots[name] for name in features]
        except KeyError as error:
            raise ValueError("a feature that nothing writes") from error
        if not any_kind and any(self._kinds[slot] not in NUMBERS for slot in self._outputs):
            raise ValueError("a feature that is no number")
        self.n_features = len(self._outputs)
        self._calls = _needed(calls, self._outputs)
        self.row = self._row_function()

    def kinds(self) -> dict[str, str]:
        """Return the kind of every column by its name, at the end."""
        return {name: self._kinds[slot] for name, slot in self._slots.items()}

    def _placed(self, operation: Operation) -> _Call | None:
        """Bind an operation and give its columns their slots."""
        try:
            reads = tuple(self._slots[name] for name in operation.reads)
        except KeyError as error:
            raise ValueError("an operation on a column that is not there") from error
        if isinstance(operation, Same):
            self._slots[operation.writes[0]] = reads[0]
            return None
        bound = operation.bind(tuple(self._kinds[slot] for slot in reads))
        if len(bound.kinds) != len(operation.writes):
            raise ValueError("an operation that writes another number of columns")
        first = len(self._kinds)
        self._kinds += bound.kinds
        if len(self._kinds) > MAX_SLOTS:
            raise ValueError("too many columns")
        self._slots |= {name: first + place for place, name in enumerate(operation.writes)}
        return _Call(bound, reads, first)

    def _row_function(self) -> Callable[[Mapping[str, Any]], list[float]]:
        """Return the function of one validated raw row (absent columns are missing)."""
        loads = [(name, LOADERS[kind]) for name, kind in self._inputs]
        steps = [_step(call) for call in self._calls]
        spare = [None] * (len(self._kinds) - len(loads))
        gather = _gathered(self._outputs)

        def row(values: Mapping[str, Any]) -> list[float]:
            get = values.get
            state = [load(get(name)) for name, load in loads]
            state += spare
            for step in steps:
                step(state)
            return gather(state)

        return row

    def matrix(self, columns: Mapping[str, Values]) -> np.ndarray:
        """Return the features of validated raw columns, float64 (n_rows, n_features)."""
        import numpy as np

        n_rows = max((len(values) for values in columns.values()), default=0)
        filled = np.empty((n_rows, self.n_features), dtype=np.float64)
        for place, values in enumerate(self.values(columns)):
            filled[:, place] = values
        return filled

    def values(self, columns: Mapping[str, Values]) -> list[Values]:
        """Return what comes out of validated raw columns, each (n_rows,)."""
        n_rows = max((len(values) for values in columns.values()), default=0)
        used = {*self._outputs, *itertools.chain.from_iterable(c.reads for c in self._calls)}
        state: dict[int, Values] = {}
        for slot, (name, kind) in enumerate(self._inputs):
            if slot in used:
                values = columns.get(name)
                state[slot] = column_of(kind, [None] * n_rows if values is None else values)
        last = _last_uses(self._calls, self._outputs)
        for place, call in enumerate(self._calls):
            found = call.bound.many(*(state[slot] for slot in call.reads))
            state |= zip(call.writes, found, strict=True)
            for slot in (*call.reads, *call.writes):
                if last.get(slot, -1) <= place:  # nothing needs it any more
                    state.pop(slot, None)
        return [state[slot] for slot in self._outputs]


def _needed(calls: Sequence[_Call], outputs: Sequence[int]) -> list[_Call]:
    """Return the calls on which an output depends."""
    wanted = set(outputs)
    kept = []
    for call in reversed(calls):
        if not wanted.isdisjoint(call.writes):
            kept.append(call)
            wanted.update(call.reads)
    return kept[::-1]


def _last_uses(calls: Sequence[_Call], outputs: Sequence[int]) -> dict[int, int]:
    """Return for each slot the number of the last call that reads it."""
    last = {slot: place for place, call in enumerate(calls) for slot in call.reads}
    return last | dict.fromkeys(outputs, len(calls))


def _step(call: _Call) -> Callable[[list[Any]], None]:
    """Return the function that runs a call on the values of one row."""
    function, reads, first, end = call.bound.row, call.reads, call.first, call.writes.stop

    if len(reads) == 1:
        (read,) = reads
        if end - first == 1:

            def one_to_one(state: list[Any]) -> None:
                state[first] = function(state[read])

            return one_to_one

        def one_to_many(state: list[Any]) -> None:
            state[first:end] = function(state[read])

        return one_to_many
    if end - first == 1:

        def many_to_one(state: list[Any]) -> None:
            state[first] = function(*[state[read] for read in reads])

        return many_to_one

    def many_to_many(state: list[Any]) -> None:
        state[first:end] = function(*[state[read] for read in reads])

    return many_to_many


def _gathered(outputs: Sequence[int]) -> Callable[[list[Any]], list[float]]:
    """Return the function that takes the features out of the values of one row."""
    if not outputs:
        return lambda state: []
    if list(outputs) == list(range(outputs[0], outputs[0] + len(outputs))):
        first, end = outputs[0], outputs[-1] + 1
        return lambda state: state[first:end]
    get = itemgetter(*outputs)
    return lambda state: list(get(state))
