"""One comparison of two tables at work, and the results that it gives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_stack.data import compute
from local_stack.data.comparing import distributions, matching
from local_stack.data.comparing.distributions import Movement, Mover, Values
from local_stack.data.comparing.matching import Matched, Runner, Side
from local_stack.data.versions import DataVersion
from local_stack.errors import UnavailableError
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, plain

_SHOWN = 200  # characters of a text that is shown
_MOST_CANDIDATES = 10
_SAME_DRIFT = 0.01


@dataclass(frozen=True, slots=True)
class Retyped(Result):
    """A column whose type differs."""

    column: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Renamed(Result):
    """A column that went and one that came, of one type and (nearly) one distribution."""

    before: str
    after: str
    drift: float


@dataclass(frozen=True, slots=True)
class SchemaDiff(Result):
    """What became of the columns. ``renamed`` is a suspicion; both stand in the other lists."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    retyped: tuple[Retyped, ...]
    renamed: tuple[Renamed, ...]


@dataclass(frozen=True, slots=True)
class RowsDiff(Result):
    """What became of the rows, judged by the columns that both versions have."""

    added: int
    removed: int
    changed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class ColumnDiff(Result):
    """A column that both versions have.

    ``drift`` in [0, 1] is the score called ``method`` (None: a side holds no value); ``missing_*``
    are shares of rows; ``n_changed`` counts cells of matched rows, None without a key. ``before``
    and ``after`` hold mean, std (ddof 1; both of the finite values, to 12 digits), min and max of
    numbers, and min and max of times; ``movers`` are the values of texts whose share moved most.
    """

    column: str
    type: str
    drift: float | None
    method: str
    n_changed: int | None
    missing_before: float
    missing_after: float
    scores: dict[str, float | int | None]
    before: dict[str, Any]
    after: dict[str, Any]
    movers: tuple[Mover, ...]


@dataclass(frozen=True, slots=True)
class Example(Result):
    """A row that was added or removed (``before`` or ``after`` holds it), or a changed cell."""

    change: str
    key: dict[str, Any]
    column: str | None
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class DataDiff(Result):
    """What differs from ``before`` to ``after`` (NAME@VERSION).

    ``key`` is empty when rows were compared as wholes; ``cells_changed`` is then None, for a
    changed row cannot be told from one removed and one added. ``notes`` say what was decided.
    """

    before: str
    after: str
    key: tuple[str, ...]
    schema: SchemaDiff
    rows: RowsDiff
    cells_changed: int | None
    columns: tuple[ColumnDiff, ...]
    examples: tuple[Example, ...]
    notes: tuple[str, ...]


@dataclass
class Runs:
    """Runs statements, telling the host which part of the work they are."""

    connection: Any
    progress: Progress
    label: str = ""
    done: int = 0
    total: int = 1

    def part(self, label: str) -> None:
        """Begin the next part."""
        self.label, self.done = label, self.done + 1
        self._tell(Step(label))

    def _tell(self, _: Step) -> None:
        self.progress(Step(self.label, min(self.done, self.total), self.total))

    def __call__(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement; a lack of memory or disk becomes a sentence."""
        progress = silent if self.progress is silent else self._tell
        try:
            return compute.run(self.connection, sql, progress=progress, label=self.label)
        except compute.errors() as error:
            if type(error).__name__ not in ("OutOfMemoryException", "IOException"):
                raise
            raise UnavailableError(
                f"The comparison ran out of memory or disk: {str(error).splitlines()[0]}",
                "Free some space below the workspace, then call again.",
            ) from error


@dataclass
class Comparison:
    """One comparison at work. ``common`` are the columns of both sides, in the order after."""

    before: Side
    after: Side
    key: tuple[str, ...]
    run: Runs
    common: list[str] = field(default_factory=list)

    def result(
        self, both: tuple[DataVersion, DataVersion], notes: list[str], n_examples: int
    ) -> DataDiff:
        """Compute everything."""
        old = {column.name: column.type for column in self.before.columns}
        new = {column.name: column.type for column in self.after.columns}
        self.common = [name for name in new if name in old]
        self.run.total = 4 + len(self.common)
        matching.prepare(self.run, self.before, self.after, self.common)
        self.run.part("Matching rows")
        is_same = self.before.file == self.after.file and old == new
        matched = self._nothing_differs() if is_same else self._matched(both)
        self.run.part("Summing up columns")
        facts = summaries(self.run, self.before), summaries(self.run, self.after)
        columns = tuple(self._columns(facts, matched, both))
        self.run.part("Looking for examples")
        found = () if is_same else tuple(self._examples(max(0, n_examples)))
        return DataDiff(
            before=both[0].reference,
            after=both[1].reference,
            key=self.key,
            schema=SchemaDiff(
                added=tuple(name for name in new if name not in old),
                removed=tuple(name for name in old if name not in new),
                retyped=tuple(Retyped(n, old[n], new[n]) for n in self.common if old[n] != new[n]),
                renamed=tuple(self._renamed(facts)),
            ),
            rows=RowsDiff(
                matched.added,
                matched.removed,
                matched.changed,
                both[0].rows - matched.removed - matched.changed,
            ),
            cells_changed=None if matched.cells is None else sum(matched.cells),
            columns=columns,
            examples=found,
            notes=(*notes, *_remarks(matched, self.key, self.common)),
        )

    def _nothing_differs(self) -> Matched:
        return Matched(0, 0, 0, (0,) * len(self.common), None)

    def _matched(self, both: tuple[DataVersion, DataVersion]) -> Matched:
        if not self.common:
            self.run(
                "CREATE TEMP TABLE differing AS SELECT n AS an, NULL AS bn FROM before "
                "UNION ALL SELECT NULL, n FROM after"
            )
            return Matched(both[1].rows, both[0].rows, 0, None, None)
        if self.key:
            key = [self.common.index(name) for name in self.key]
            return matching.by_key(self.run, len(self.common), key)
        return matching.as_multisets(self.run, len(self.common))

    def _columns(
        self,
        facts: tuple[dict[str, _Facts], dict[str, _Facts]],
        matched: Matched,
        both: tuple[DataVersion, DataVersion],
    ) -> Iterator[ColumnDiff]:
        for i, name in enumerate(self.common):
            self.run.part(f"Comparing the column {name}")
            kinds = self.before.kinds[name], self.after.kinds[name]
            old, new = facts[0][name], facts[1][name]
            n_changed = None if matched.cells is None else matched.cells[i]
            is_same = not (matched.added or matched.removed or n_changed)
            moved = (
                distributions.unmoved(_common_kind(*kinds))
                if is_same
                else self._movement(name, name, old, new)
            )
            yield ColumnDiff(
                column=name,
                type=kinds[0] if kinds[0] == kinds[1] else " -> ".join(kinds),
                drift=moved.drift,
                method=moved.method,
                n_changed=n_changed,
                missing_before=_share(both[0].rows - old.n_values, both[0].rows),
                missing_after=_share(both[1].rows - new.n_values, both[1].rows),
                scores=moved.scores,
                before=old.shown,
                after=new.shown,
                movers=moved.movers,
            )

    def _movement(self, before: str, after: str, old: _Facts, new: _Facts) -> Movement:
        kind = _common_kind(self.before.kinds[before], self.after.kinds[after])
        cast = f"::{matching.STORED[kind]}"
        first, second = (
            Values(
                table=side.name,
                expression=side.values[name] + cast,
                kind=kind,
                n_values=facts.n_values,
                n_infinite=facts.n_infinite,
                std=facts.shown.get("std"),
            )
            for side, name, facts in ((self.before, before, old), (self.after, after, new))
        )
        return distributions.movement(self.run, first, second)

    def _renamed(self, facts: tuple[dict[str, _Facts], dict[str, _Facts]]) -> Iterator[Renamed]:
        gone = [c for c in self.before.columns if c.name not in self.common and _is_telling(c.type)]
        come = [c for c in self.after.columns if c.name not in self.common]
        taken: set[str] = set()
        for old in gone[:_MOST_CANDIDATES]:
            for new in come[:_MOST_CANDIDATES]:
                if old.type != new.type or new.name in taken:
                    continue
                first, second = facts[0][old.name], facts[1][new.name]
                if not first.n_values or not second.n_values:
                    continue
                drift = self._movement(old.name, new.name, first, second).drift
                if drift is not None and drift <= _SAME_DRIFT:
                    taken.add(new.name)
                    yield Renamed(old.name, new.name, drift)
                    break

    def _examples(self, limit: int) -> Iterator[Example]:
        for change, side, number in (
            ("removed", self.before, "an"),
            ("added", self.after, "bn"),
        ):
            for row in self._rows(side, self._numbers(change, number, limit)).values():
                key = {name: row[name] for name in self.key}
                rest = {name: cell for name, cell in row.items() if name not in self.key}
                is_added = change == "added"
                yield Example(
                    change, key, None, None if is_added else rest, rest if is_added else None
                )
        if self.key:
            yield from self._changed(limit)

    def _numbers(self, change: str, number: str, limit: int) -> list[int]:
        """Return the numbers of the first rows that were added or removed."""
        other = "bn" if number == "an" else "an"
        condition = f"{other} IS NULL"
        if not self.key and self.common:
            condition = "q > p" if change == "added" else "p > q"
            # every copy of a row looks the same; the first one on its side stands for them
        rows = self.run(
            f"SELECT {number} FROM differing WHERE {condition} ORDER BY {number} LIMIT {limit}"
        )
        return [row[0] for row in rows]

    def _changed(self, limit: int) -> Iterator[Example]:
        rest = [(i, name) for i, name in enumerate(self.common) if name not in self.key]
        marks = ", ".join(f"m{i}" for i, _ in rest)
        if not marks:
            return
        rows = self.run(
            f"SELECT an, bn, {marks} FROM differing WHERE an IS NOT NULL AND bn IS NOT NULL "
            f"ORDER BY an LIMIT {limit}"
        )
        old = self._rows(self.before, [row[0] for row in rows])
        new = self._rows(self.after, [row[1] for row in rows])
        for an, bn, *differs in rows:
            key = {name: old[an][name] for name in self.key}
            for (_, name), is_changed in zip(rest, differs, strict=True):
                if is_changed:
                    yield Example("changed", key, name, old[an][name], new[bn][name])

    def _rows(self, side: Side, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return rows of a side by their number, in that order; long texts are cut."""
        names = self.common or [column.name for column in side.columns]
        if not numbers:
            return {}
        values = ", ".join(
            f"left({side.values[name]}, {_SHOWN})"
            if side.kinds[name] == "string"
            else side.values[name]
            for name in names
        )
        wanted = ", ".join(map(str, numbers))
        rows = self.run(f"SELECT n, {values} FROM {side.name} WHERE n IN ({wanted}) ORDER BY n")
        return {n: dict(zip(names, map(plain, cells), strict=True)) for n, *cells in rows}


@dataclass(frozen=True, slots=True)
class _Facts:
    """What one scan tells of a column: how many values, and what is shown of them."""

    n_values: int
    n_infinite: int
    shown: dict[str, Any]


def summaries(run: Runner, side: Side) -> dict[str, _Facts]:
    """Return what is to be known of each column of ``side``, by its name."""
    found: dict[str, _Facts] = {}
    for start in range(0, len(side.columns), matching.PER_SCAN):
        columns = side.columns[start : start + matching.PER_SCAN]
        terms = [", ".join(_terms(side.values[column.name], column.type)) for column in columns]
        (row,) = run(f"SELECT {', '.join(terms)} FROM {side.name}")
        cells = iter(row)
        for column in columns:
            found[column.name] = _facts(column.type, cells)
    return found


def _terms(value: str, kind: str) -> list[str]:
    terms = [f"count({value})"]
    if distributions.is_ordered(kind):
        terms += [f"min({value})", f"max({value})", f"count(*) FILTER (NOT isfinite({value}))"]
    if kind in ("long", "double"):
        finite = f"({value}) FILTER (isfinite({value}))"
        terms += [f"favg{finite}", f"stddev_samp{finite}"]
    return terms


def _facts(kind: str, cells: Iterator[Any]) -> _Facts:
    n_values = int(next(cells))
    if not distributions.is_ordered(kind):
        return _Facts(n_values, 0, {})
    least, most, n_infinite = next(cells), next(cells), int(next(cells))
    shown: dict[str, Any] = {"min": plain(least), "max": plain(most)}
    if kind in ("long", "double"):
        shown = {"mean": _rounded(next(cells)), "std": _rounded(next(cells)), **shown}
    return _Facts(n_values, n_infinite, shown)


def _rounded(value: float | None) -> float | None:
    """Return what does not depend on the order in which the threads added up."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.12g}")


def _common_kind(before: str, after: str) -> str:
    """Return the type in which two columns' distributions can be compared."""
    if before == after:
        return before
    return {
        frozenset({"long", "double"}): "double",
        frozenset({"date", "datetime"}): "datetime",
    }.get(frozenset({before, after}), "string")


def _is_telling(kind: str) -> bool:
    """Return whether an equal distribution says that a column is the same one."""
    return kind != "boolean"


def _share(n: int, total: int) -> float:
    return n / total if total else 0.0


def _remarks(matched: Matched, key: Sequence[str], common: Sequence[str]) -> Iterator[str]:
    if not common:
        yield "The versions have no column in common, so no row could be matched."
    keys = matched.keys
    if keys is None:
        return
    if keys.repeated:
        yield (
            f"{keys.repeated} keys occur more than once ({keys.rows_repeated_before} rows before, "
            f"{keys.rows_repeated_after} after): identical rows were matched first, the others in "
            "the order of the files."
        )
    if keys.missing_before or keys.missing_after:
        yield (
            f"{keys.missing_before} rows before and {keys.missing_after} after lack "
            f"{'the key' if len(key) == 1 else 'a part of the key'}; a missing key was taken to "
            "equal a missing one."
        )
