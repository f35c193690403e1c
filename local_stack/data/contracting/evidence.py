"""What a table shows: counts, bounds, distinct values, patterns and order of every column.

The evidence from which :mod:`local_stack.data.contracting.learning` makes a contract.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.data import compute
from local_stack.data.contracting import contract_file, terms
from local_stack.data.contracting.terms import Column, Table
from local_stack.progress import Progress

if TYPE_CHECKING:
    from local_stack.data.compute import Connection

EVIDENCE = 20
"""From so many values on, a rule that could hold by chance is believed."""
LARGEST_DOMAIN = 20
"""A text with at most so many different values has a domain."""

_MANY = 1_000
_LONGEST_SHAPE = 40
_FIRST = 2_000
_WINDOWS_A_SCAN = 100
_AGGREGATES_A_SCAN = 400  # planning more at once takes longer than another scan
_BELIEVED_REPEATS = 3

_CLASSES = (
    r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
    r"^https?://\S+$",
    r"^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$",
    r"^[0-9]+$",
    r"^[A-Z]+$",
    r"^[a-z]+$",
    r"^[0-9a-f]+$",
    r"^[0-9A-Z]+$",
    r"^[0-9a-z]+$",
)
"""Classes of texts, the narrow ones first: UUID, mail, URL, IPv4, then alphabets."""

_MARKS = str.maketrans(
    string.ascii_uppercase + string.ascii_lowercase + string.digits,
    "A" * 26 + "a" * 26 + "9" * 10,
)
_IDENTIFIERS = frozenset(("id", "key", "uuid", "guid", "code", "number", "no", "nr", "index"))


@dataclass(slots=True)
class Seen:
    """What was seen of one column; ``about_distinct`` is within a few percent."""

    column: Column
    n_rows: int
    n_values: int = 0
    low: Any = None
    high: Any = None
    shortest: int | None = None
    longest: int | None = None
    about_distinct: int = 0
    distinct: int | None = None
    domain: tuple[str, ...] = ()
    monotonic: str = ""
    pattern: str = ""

    @property
    def is_unique(self) -> bool:
        """Return whether no value stands twice, and chance would have repeated some."""
        if self.distinct is None or not self.n_values == self.distinct >= EVIDENCE:
            return False
        if self.monotonic or self.is_time or is_identifier(self.column.name):
            return True
        if self.is_text:
            return bool(self.pattern) or self.n_values >= _MANY
        if self.column.type != "long":
            return False
        n_values = self.high - self.low + 1
        return bool(self.n_values**2 / 2 / n_values >= _BELIEVED_REPEATS)

    @property
    def is_whole(self) -> bool:
        """Return whether no value is missing."""
        return self.n_values == self.n_rows

    @property
    def is_text(self) -> bool:
        """Return whether the values are texts."""
        return self.column.type == "string"

    @property
    def is_time(self) -> bool:
        """Return whether the values are dates or times."""
        return self.column.type in ("date", "datetime")


class Reader:
    """Looks at one table, everything about all columns in as few scans as it takes."""

    def __init__(self, connection: Connection, table: Table, progress: Progress) -> None:
        self._connection = connection
        self._table = table
        self._progress = progress

    def seen(self) -> list[Seen]:
        """Return what each column shows."""
        found = self._counted()
        self._order([e for e in found if not e.is_text and _may_be_unique(e)])
        for each in found:
            self._count_exactly(each)
        self._shape([e for e in found if e.is_text and not e.domain and _is_evident(e)])
        return found

    def pairs(self, asked: Sequence[tuple[Seen, Seen]]) -> list[tuple[str, str]]:
        """Return the pairs of columns in which the first is never above the second."""
        if not asked:
            return []
        items: list[str] = []
        for a, b in asked:
            items += [
                f"count(*) FILTER (WHERE {a.column.sql} {mark} {b.column.sql})"
                for mark in (">", "<=", "<")
            ]
        row = self._select(items)
        held = [
            (a.column.name, b.column.name)
            for (a, b), above, kept, below in zip(
                asked, row[::3], row[1::3], row[2::3], strict=True
            )
            if above == 0 and kept >= EVIDENCE and below > 0
        ]
        return _reduced(held)

    def _counted(self) -> list[Seen]:
        items = ["count(*)"]
        for column in self._table.columns:
            text = f"length({column.sql})" if column.type == "string" else "NULL"
            items += [
                f"count({column.sql})",
                _finite(column, "min"),
                _finite(column, "max"),
                f"min({text})",
                f"max({text})",
                f"approx_count_distinct({column.sql})",
            ]
        row = self._select(items)
        found = [
            Seen(column, row[0], *row[1 + 6 * i : 7 + 6 * i])
            for i, column in enumerate(self._table.columns)
        ]
        for each in found:
            if each.is_time:
                each.low, each.high = _readable(each.low), _readable(each.high)
        return found

    def _count_exactly(self, each: Seen) -> None:
        """Count the different values where the answer can matter: domains and unique columns."""
        has_domain = each.is_text and each.about_distinct <= 2 * LARGEST_DOMAIN
        is_named = each.column.type in ("long", "string", "date", "datetime")
        if each.monotonic:
            each.distinct = each.n_values
        elif has_domain or (is_named and _may_be_unique(each)):
            self._count_groups(each, has_domain)

    def _count_groups(self, each: Seen, has_domain: bool) -> None:
        sql = each.column.sql
        relation = self._table.relation
        groups = f"(SELECT {sql} AS v FROM {relation} WHERE {sql} IS NOT NULL GROUP BY ALL)"
        each.distinct = self._run(f"SELECT count(*) FROM {groups}")[0][0]
        repeats = 0 < each.distinct <= LARGEST_DOMAIN and each.distinct < each.n_values
        if has_domain and repeats and (each.longest or 0) <= terms.SHOWN_CHARACTERS:
            rows = self._run(f"SELECT v FROM {groups} ORDER BY v")
            each.domain = tuple(str(row[0]) for row in rows)

    def _shape(self, texts: Sequence[Seen]) -> None:
        """Find the pattern of each text: a few values propose some, all values decide."""
        proposed = [(each, pattern) for each in texts for pattern in self._proposed(each)]
        if not proposed:
            return
        row = self._select(
            [
                f"bool_and(regexp_matches({each.column.sql}, {compute.literal(pattern)}))"
                for each, pattern in proposed
            ]
        )
        for (each, pattern), holds in zip(proposed, row, strict=True):
            each.pattern = each.pattern or (pattern if holds else "")

    def _proposed(self, each: Seen) -> list[str]:
        """Return the patterns that the first values have, the narrow ones first."""
        sql, relation = each.column.sql, self._table.relation
        rows = self._run(
            f"SELECT DISTINCT left({sql}, {_LONGEST_SHAPE + 1}) FROM "
            f"(SELECT {sql} FROM {relation} WHERE {sql} IS NOT NULL LIMIT {_FIRST})"
        )
        return patterns([str(row[0]) for row in rows])

    def _order(self, asked: Sequence[Seen]) -> None:
        """Find which columns only rise or only fall; most show in a few rows that they do not."""
        first = [
            each
            for each, direction in zip(asked, self._directions(asked, _FIRST), strict=True)
            if direction
        ]
        for each, direction in zip(first, self._directions(first), strict=True):
            each.monotonic = direction

    def _directions(self, asked: Sequence[Seen], limit: int = 0) -> list[str]:
        found: list[str] = []
        for start in range(0, len(asked), _WINDOWS_A_SCAN):
            found += self._direction([e.column.sql for e in asked[start:][:_WINDOWS_A_SCAN]], limit)
        return found

    def _direction(self, columns: Sequence[str], limit: int) -> list[str]:
        before = ", ".join(
            f"{sql} AS v{i}, lag({sql} IGNORE NULLS) OVER (ORDER BY r) AS p{i}"
            for i, sql in enumerate(columns)
        )
        items = [
            f"count(*) FILTER (WHERE v{i} {mark} p{i})"
            for i in range(len(columns))
            for mark in ("<=", ">=")
        ]
        some = f"WHERE r < {limit}" if limit else ""
        row = self._select(items, f"(SELECT {before} FROM {self._table.relation} {some})")
        return [
            "strictly_increasing" if not falls else "strictly_decreasing" if not rises else ""
            for falls, rises in zip(row[::2], row[1::2], strict=True)
        ]

    def _select(self, items: Sequence[str], relation: str = "") -> list[Any]:
        found: list[Any] = []
        for start in range(0, len(items), _AGGREGATES_A_SCAN):
            some = ", ".join(items[start : start + _AGGREGATES_A_SCAN])
            found += self._run(f"SELECT {some} FROM {relation or self._table.relation}")[0]
        return found

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        return compute.run(
            self._connection, sql, progress=self._progress, label="Learning the contract"
        )


def _finite(column: Column, word: str) -> str:
    """Return the smallest or largest value as a contract holds it; infinite ones are no bound."""
    if column.type in ("long", "boolean"):
        return f"{word}({column.sql})"
    if column.type == "string":
        return "NULL"
    if column.type == "double":
        return f"CASE WHEN isfinite({word}({column.sql})) THEN {word}({column.sql}) END"
    form = "%Y-%m-%d" if column.type == "date" else "%Y-%m-%dT%H:%M:%S.%f"
    value = f"{word}({column.sql})"
    return f"CASE WHEN isfinite({value}) THEN strftime({value}, '{form}') END"


def _readable(text: str | None) -> str | None:
    """Return a time as a contract can hold it: of the years 1 to 9999, without idle zeros."""
    try:
        contract_file.moment(text or "")
    except (ValueError, OverflowError):
        return None
    return str(text).removesuffix(".000000").removesuffix("T00:00:00")


def _may_be_unique(each: Seen) -> bool:
    return each.n_values >= EVIDENCE and each.about_distinct > 0.7 * each.n_values


def _is_evident(each: Seen) -> bool:
    return each.n_values >= EVIDENCE and each.about_distinct >= EVIDENCE


def patterns(values: Sequence[str]) -> list[str]:
    """Return the regular expressions of ours that every value has, the narrow ones first.

    One shape of fixed width (``AB-12`` is ``^[A-Z]{2}-[0-9]{2}$``), then the known classes,
    then one shape of runs that holds a digit (names and sentences are none).
    """
    found: list[str] = []
    shapes = {value.translate(_MARKS) for value in values}
    is_short = max(map(len, shapes), default=0) <= _LONGEST_SHAPE
    if is_short and len(shapes) == 1:
        found.append(_regex(*shapes, is_exact=True))
    found += [known for known in _CLASSES if all(re.search(known, value) for value in values)]
    runs = {re.sub(r"(A|a|9)\1+", r"\1", shape) for shape in shapes}
    if is_short and len(runs) == 1 and "9" in next(iter(runs)):
        found.append(_regex(*runs, is_exact=False))
    return [pattern for pattern in found if pattern]


def _has_class(shape: str) -> bool:
    return shape.isascii() and shape.isprintable() and any(mark in shape for mark in "Aa9")


def _regex(shape: str, *, is_exact: bool) -> str:
    """Return the regular expression of a shape, such as ``^[A-Z]{2}[0-9]+$``."""
    if not _has_class(shape):
        return ""
    letters = {"A": "[A-Z]", "a": "[a-z]", "9": "[0-9]"}
    parts: list[str] = []
    for found in re.finditer(r"A+|a+|9+|.", shape):
        text = found[0]
        if text[0] not in letters:
            parts.append(re.escape(text))
        elif is_exact:
            parts.append(letters[text[0]] + (f"{{{len(text)}}}" if len(text) > 1 else ""))
        else:
            parts.append(f"{letters[text[0]]}+")
    return f"^{''.join(parts)}$"


def is_identifier(name: str) -> bool:
    """Return whether a column is named like one that tells rows apart."""
    return bool(_IDENTIFIERS & {*words_of(name)})


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name in lower case: ``startDate`` and ``start_date`` have two."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return tuple(word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word)


def _reduced(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out a pair that two others say together."""
    known = set(pairs)
    middle = {name for pair in pairs for name in pair}
    return [
        (a, b) for a, b in pairs if not any((a, m) in known and (m, b) in known for m in middle)
    ]
