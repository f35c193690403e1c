"""What each rule of a contract asks of a table: counts in SQL, and what they come to.

A rule is either settled by the schema alone (a :class:`Check`) or becomes a :class:`Question`,
whose aggregates :mod:`local_stack.data.contracting.checks` puts together with those of all other
rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local_stack.data import compute
from local_stack.data.contracting import contract_file, expressions, terms
from local_stack.data.contracting.contract_file import Document, Rule, is_expression
from local_stack.data.contracting.terms import Column, Table, UnfitError
from local_stack.errors import InputError, nearest
from local_stack.results import Result

if TYPE_CHECKING:
    from local_stack.data.compute import Connection

FIRST_ROWS = 5
"""So many failing rows are named."""

UNCOUNTED = -1
"""Stands for a number of failing rows, at least 1, that was not counted yet."""

_TOLERANCE = 1e-12

Counts = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Check(Result):
    """One condition and how it went.

    ``observed`` is what was measured (a bound, a count, a share) or the first value that breaks
    the rule. ``n_failed`` counts rows (1 when the table as a whole fails); ``rows`` are the
    first failing row numbers, from 0, and ``values`` what stands there. ``message`` says it in
    a sentence, '' when nothing failed.
    """

    code: str
    column: str | None
    severity: str
    passed: bool
    observed: Any
    expected: Any
    n_failed: int
    rows: tuple[int, ...]
    values: tuple[Any, ...] = ()
    name: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """The times that freshness is measured against: of the check, and of the import (UTC)."""

    now: datetime
    imported: datetime

    @classmethod
    def of(cls, imported: str | None = None) -> Moment:
        """Return the time of the call, and the import's from ISO 8601 text."""
        now = datetime.now(UTC).replace(tzinfo=None)
        return cls(now, contract_file.moment(imported) if imported else now)


@dataclass(frozen=True, slots=True)
class Finding:
    """What counts come to: how many rows fail, of how many that count, what was measured.

    ``n_failed`` is :data:`UNCOUNTED` when some do, and only a look at the rows tells how many.
    """

    n_failed: int
    n_counted: int = 0
    observed: Any = None


@dataclass(frozen=True, slots=True)
class Question:
    """A rule as SQL: ``counts`` are aggregates over ``source`` ('' is the table itself).

    ``bad`` is true in the rows that fail, ``shown`` is the value there, both over ``rows_of``;
    a question without ``bad`` is about the table as a whole. ``names`` are the columns whose
    values ``shown`` lists, when it lists several.
    """

    rule: Rule
    counts: tuple[str, ...]
    answer: Callable[[Counts], Finding]
    expected: Any
    source: str = ""
    bad: str = ""
    rows_of: str = ""
    shown: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """What a rule is asked about: the table, its contract, and the times."""

    connection: Connection
    document: Document
    table: Table
    moment: Moment


def unfit(document: Document, rule: Rule, reason: str) -> InputError:
    """Return the error of a rule that cannot be asked of its column."""
    return document.error(
        rule,
        f"the rule '{rule.code}' of column '{rule.column}' does not fit: {reason}.",
        "Mend the contract.",
    )


def asked(scene: Scene) -> list[Check | Question]:
    """Return what each rule of the contract asks, in order; a missing column asks once.

    Raises
    ------
    InputError
        A rule cannot be asked of the type of its column, or an expression of these columns.
    """
    found: list[Check | Question] = []
    silent: set[str | None] = set()  # columns that are missing or of another type
    for rule in scene.document.rules:
        if rule.code in _OF_TABLE or is_expression(rule):
            found.append(_OF_TABLE.get(rule.code, _expression)(scene, rule))
        elif rule.code in ("column_missing", "type"):
            check = _of_schema(scene, rule)
            if check is not None:
                found.append(check)
                silent |= {rule.column} if not check.passed else set()
            elif scene.table.column(str(rule.column)) is None:
                silent.add(rule.column)
        elif rule.column not in silent:
            column = scene.table.column(str(rule.column))
            assert column is not None
            found.append(_OF_COLUMN.get(rule.code, _value)(scene, rule, column))
    return found


def settled(
    rule: Rule, observed: Any, expected: Any, message: str = "", n_failed: int = 1
) -> Check:
    """Return the check of a rule that the schema answers; it failed when there is a message."""
    return Check(
        code=rule.code,
        column=rule.column,
        severity=rule.severity,
        passed=not message,
        observed=observed,
        expected=expected,
        n_failed=n_failed if message else 0,
        rows=(),
        name=rule.name,
        message=message,
    )


def _of_schema(scene: Scene, rule: Rule) -> Check | None:
    column = scene.table.column(str(rule.column))
    if column is None:
        if rule.code != "column_missing" or not rule.value:
            return None
        names = [each.name for each in scene.table.columns]
        hint = nearest(str(rule.column), names)
        return settled(rule, None, rule.column, f"There is no such column. {hint}".strip())
    if rule.code == "column_missing":
        return None
    keeps = column.type == rule.value or (column.type, rule.value) == ("long", "double")
    message = "" if keeps else f"The column is {column.type}, not {rule.value}."
    return settled(rule, column.type, rule.value, message)


def fitting(document: Document, rule: Rule, column: Column) -> str:
    """Return SQL that is true for a value that breaks ``rule``, or raise :class:`InputError`."""
    try:
        return terms.bad(rule, column)
    except UnfitError as error:
        raise unfit(document, rule, str(error)) from None


def _value(scene: Scene, rule: Rule, column: Column) -> Question:
    """Ask for the values that break a rule one by one."""
    bad = fitting(scene.document, rule, column)
    if rule.code in _MEASURES:
        return _bounded(rule, column, bad)
    return Question(
        rule,
        (f"count(*) FILTER (WHERE {bad})", f"count({column.sql})"),
        lambda found: Finding(found[0], found[1]),
        rule.value,
        bad=bad,
        shown=column.shown,
    )


_MEASURES = {
    "min": "min",
    "exclusive_min": "min",
    "max": "max",
    "exclusive_max": "max",
    "min_length": "min",
    "max_length": "max",
}
"""The aggregate that is the observed value of a bound."""


def _bounded(rule: Rule, column: Column, bad: str) -> Question:
    """Ask for the extreme value alone, which says whether any breaks the bound."""
    word = _MEASURES[rule.code]
    if rule.code in terms.BOUNDS:
        extreme = Column(column.name, column.type, f"{word}({column.sql})")
        breach, observed = terms.bad(rule, extreme), extreme.shown
    else:
        observed = f"{word}(length({column.sql}))"
        breach = f"{observed} {'<' if word == 'min' else '>'} {int(rule.value)}"
    return Question(
        rule,
        (f"coalesce({breach}, FALSE)", f"count({column.sql})", observed),
        lambda found: Finding(UNCOUNTED if found[0] else 0, found[1], found[2]),
        rule.value,
        bad=bad,
        shown=column.shown,
    )


def _null(scene: Scene, rule: Rule, column: Column) -> Question:
    return Question(
        rule,
        ("count(*)", f"count({column.sql})"),
        lambda found: Finding(found[0] - found[1], found[0]),
        "no missing value",
        bad=fitting(scene.document, rule, column),
        shown="NULL",
    )


def _max_missing(scene: Scene, rule: Rule, column: Column) -> Question:
    def answer(found: Counts) -> Finding:
        n_rows, n_values = found
        share = (n_rows - n_values) / n_rows if n_rows else 0.0
        is_broken = share > rule.value + _TOLERANCE
        return Finding(n_rows - n_values if is_broken else 0, n_rows, round(share, 6))

    bad = f"{column.sql} IS NULL"
    counts = ("count(*)", f"count({column.sql})")
    return Question(rule, counts, answer, rule.value, bad=bad, shown="NULL")


def _distinct(scene: Scene, rule: Rule, column: Column) -> Question:
    def answer(found: Counts) -> Finding:
        n = found[0]
        fails = n < rule.value if rule.code == "min_distinct" else n > rule.value
        return Finding(int(fails), 0, n)

    return Question(rule, _GROUP_COUNTS, answer, rule.value, source=_groups(scene.table, [column]))


def _unique(scene: Scene, rule: Rule, column: Column) -> Question:
    groups = _groups(scene.table, [column])
    return Question(
        rule,
        _GROUP_COUNTS,
        lambda found: Finding(found[1], found[2]),
        "every value once",
        source=groups,
        bad=f"{column.sql} IN (SELECT k0 FROM {groups} WHERE n > 1)",
        rows_of=scene.table.relation,
        shown=column.shown,
    )


def _key(scene: Scene, rule: Rule) -> Check | Question:
    names, is_nullable = rule.value["columns"], rule.value["nullable"]
    found = [column for name in names if (column := scene.table.column(name))]
    expected = names if len(names) > 1 else "every value once"
    if len(found) < len(names):
        there = {column.name for column in found}
        lost = next(name for name in names if name not in there)
        return settled(rule, None, expected, f"The key's column '{lost}' is not there.")
    groups = _groups(scene.table, found)
    together = ", ".join(column.sql for column in found)
    keys = ", ".join(f"k{i}" for i in range(len(found)))
    lacking = " OR ".join(f"{column.sql} IS NULL" for column in found)
    bad = f"({together}) IN (SELECT ({keys}) FROM {groups} WHERE n > 1)"
    n_rows = f"(SELECT count(*) FROM {scene.table.relation})"

    def answer(counts: Counts) -> Finding:
        _, n_repeated, n_whole, n_all = counts
        n_lacking = 0 if is_nullable else n_all - n_whole
        return Finding(n_repeated + n_lacking, n_all)

    return Question(
        rule,
        (*_GROUP_COUNTS, n_rows),
        answer,
        expected,
        source=groups,
        bad=bad if is_nullable else f"({lacking} OR {bad})",
        rows_of=scene.table.relation,
        shown=_listed(found) if len(found) > 1 else found[0].shown,
        names=tuple(names) if len(found) > 1 else (),
    )


_GROUP_COUNTS = (
    "count(*)",
    "CAST(coalesce(sum(n) FILTER (WHERE n > 1), 0) AS BIGINT)",
    "CAST(coalesce(sum(n), 0) AS BIGINT)",
)
"""How many different values there are, in how many rows those that repeat, in how many all."""


def _groups(table: Table, columns: Sequence[Column]) -> str:
    """Return the groups of equal values, ``k0, k1, ..., n``, of the rows that lack none."""
    keys = ", ".join(f"{column.sql} AS k{i}" for i, column in enumerate(columns))
    whole = " AND ".join(f"{column.sql} IS NOT NULL" for column in columns)
    return f"(SELECT {keys}, count(*) AS n FROM {table.relation} WHERE {whole} GROUP BY ALL)"


def _listed(columns: Sequence[Column]) -> str:
    return f"[{', '.join(f'CAST({column.shown} AS VARCHAR)' for column in columns)}]"


_BEHIND = {
    "increasing": "<",
    "decreasing": ">",
    "strictly_increasing": "<=",
    "strictly_decreasing": ">=",
}


def _monotonic(scene: Scene, rule: Rule, column: Column) -> Question:
    place = scene.table.columns.index(column)
    bad = f"({column.sql} {_BEHIND[rule.value]} p{place})"
    ordered = _ordered(scene)
    return Question(
        rule,
        (f"count(*) FILTER (WHERE {bad})", f"count({column.sql})"),
        lambda found: Finding(found[0], found[1]),
        rule.value,
        source=ordered,
        bad=bad,
        rows_of=ordered,
        shown=column.shown,
    )


def _ordered(scene: Scene) -> str:
    """Return the table with the value before (``p0``, ...) of every monotonic column."""
    wanted = {rule.column for rule in scene.document.rules if rule.code == "monotonic"}
    before = "".join(
        f", lag({column.sql} IGNORE NULLS) OVER (ORDER BY r) AS p{place}"
        for place, column in enumerate(scene.table.columns)
        if column.name in wanted
    )
    return f"(SELECT *{before} FROM {scene.table.relation})"


def _row_count(scene: Scene, rule: Rule) -> Question:
    def answer(found: Counts) -> Finding:
        n = found[0]
        fails = n < rule.value if rule.code == "row_count_min" else n > rule.value
        return Finding(int(fails), n, n)

    return Question(rule, ("count(*)",), answer, rule.value)


def _column_order(scene: Scene, rule: Rule) -> Check:
    there = [column.name for column in scene.table.columns if column.name in rule.value]
    wanted = [name for name in rule.value if name in there]
    places = [i for i, name in enumerate(there) if name != wanted[i]]
    message = ""
    if places:
        first = places[0]
        message = f"Column '{there[first]}' stands where '{wanted[first]}' should."
    return settled(rule, there, rule.value, message, len(places))


def _extra_columns(scene: Scene, rule: Rule) -> Check:
    extra = [column.name for column in scene.table.columns if column.name not in rule.value]
    names = ", ".join(f"'{name}'" for name in extra[:FIRST_ROWS])
    message = f"Columns that are not in the contract: {names}." if extra else ""
    return settled(rule, extra, [], message, len(extra))


def _freshness(scene: Scene, rule: Rule) -> Check | Question:
    moment, expected = scene.moment, rule.value["max_age"]
    limit = contract_file.seconds(expected)
    against = moment.now if rule.value["against"] == "now" else moment.imported
    if rule.column is None:
        age = (against - moment.imported).total_seconds()
        message = f"The import is {_span(age)} old." if age > limit else ""
        return settled(rule, _span(age), expected, message)
    column = scene.table.column(rule.column)
    if column is None:
        return settled(rule, None, expected, "There is no such column.")
    if column.type not in ("date", "datetime"):
        raise unfit(scene.document, rule, f"it has no age, its type is {column.type}")
    until = (against - datetime(1970, 1, 1)).total_seconds()  # UTC, as in the columns
    until -= 86_400 if column.type == "date" else 0  # a date ends a day later

    def answer(found: Counts) -> Finding:
        is_stale = found[0] is None or until - found[0] > limit
        return Finding(int(is_stale), 0, found[1])

    return Question(rule, (f"epoch(max({column.sql}))", column.extreme("max")), answer, expected)


def _span(seconds: float) -> str:
    """Return a duration in the largest unit that leaves a whole part, such as ``3.5d``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f}{unit}"
    return f"{seconds:.0f}s"


def _expression(scene: Scene, rule: Rule) -> Check | Question:
    reads = scene.table.reads()
    promised = dict.fromkeys(scene.document.columns, "NULL")
    condition = compiled(scene, rule, {**promised, **reads})
    lost = [name for name in condition.columns if name not in reads]
    if lost:  # the contract promises it, so the table is at fault and not the condition
        return settled(rule, None, rule.value, f"There is no column '{lost[0]}', which it reads.")
    check_is_condition(scene, rule, condition.sql)
    read = [column for column in scene.table.columns if column.name in condition.columns]
    bad = f"NOT {condition.sql}"
    return Question(
        rule,
        (f"count(*) FILTER (WHERE {bad})", f"count({condition.sql})"),
        lambda found: Finding(found[0], found[1], f"{found[0]} rows" if found[0] else None),
        rule.value,
        bad=bad,
        shown=_listed(read) if read else "NULL",
        names=tuple(column.name for column in read),
    )


def compiled(scene: Scene, rule: Rule, columns: Mapping[str, str]) -> expressions.Compiled:
    """Return the condition of ``rule`` as SQL over ``columns``, or raise :class:`InputError`."""
    try:
        return expressions.compiled(scene.connection, str(rule.value), columns)
    except expressions.ExpressionError as error:
        raise uncomputable(scene.document, rule, error.message, error.hint) from None


def check_is_condition(scene: Scene, rule: Rule, sql: str) -> None:
    """Raise :class:`InputError` unless ``sql`` is true, false or unknown for each row."""
    described = f"DESCRIBE SELECT {sql} AS kept FROM {scene.table.relation}"
    try:
        kind = compute.run(scene.connection, described)[0][1]
    except compute.errors() as error:
        raise uncomputable(scene.document, rule, first_line(error)) from None
    if kind not in ("BOOLEAN", '"NULL"'):
        raise uncomputable(scene.document, rule, "it is not a condition")


def uncomputable(document: Document, rule: Rule, reason: str, hint: str = "") -> InputError:
    """Return the error of a condition that cannot be computed, with its place."""
    return document.error(
        rule,
        f"The check '{rule.name}' cannot be evaluated: {reason}.",
        hint or "Write a condition on columns, such as: amount > 0",
    )


def first_line(error: Exception) -> str:
    """Return what an error of DuckDB says first, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


_OF_TABLE: dict[str, Callable[[Scene, Rule], Check | Question]] = {
    "row_count_min": _row_count,
    "row_count_max": _row_count,
    "key": _key,
    "freshness": _freshness,
    "column_order": _column_order,
    "extra_column": _extra_columns,
}

_OF_COLUMN: dict[str, Callable[[Scene, Rule, Column], Question]] = {
    "null": _null,
    "max_missing": _max_missing,
    "unique": _unique,
    "min_distinct": _distinct,
    "max_distinct": _distinct,
    "monotonic": _monotonic,
}
