"""The runs of one generation as a plain table, for questions that follow each other.

The views unite and join with every question, and a key of params, metrics or tags is read from
JSON row by row. Once the questions to a generation have cost about as much as it takes, the runs
are kept as a temporary table, and every key that is asked for as a table of its own beside it, in
the same order of rows. A question needs not know: its SQL is spelled anew, which changes nothing
but where the values come from. What cannot be spelled so is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Protocol

_RUNS: Final = "found_runs"
_TABLE: Final = "warm_runs"
_SECONDS_A_RUN: Final = 2e-6
"""What it takes to keep a run, as measured."""
_MOST_KEYS: Final = 64
_TEXT: Final = r"json_extract_string\((params|metrics|tags), \?\)"
_MOMENT: Final = r"epoch_us\(TRY_CAST\((started_at|ended_at) AS TIMESTAMP\)\)"
_SPELLED: Final = re.compile(rf"TRY_CAST\({_TEXT} AS DOUBLE\)|{_TEXT}|{_MOMENT}|(\?)|\b({_RUNS})\b")
"""The fragments of our SQL that have a column where the runs are kept, and placeholders."""
_ONE_TABLE: Final = re.compile(rf"FROM {_RUNS}(?= WHERE | ORDER BY | LIMIT |$)")


class Connection(Protocol):
    """What is asked of DuckDB's connection here."""

    def execute(self, query: str, parameters: object = ...) -> Any:
        """Run a statement and return what its rows are fetched from."""


class Warm:
    """What is kept of the generation that ``connection`` has attached."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys: dict[tuple[str, str], str] = {}
        self._spent = 0.0
        self._is_given_up = False
        self.is_kept = False
        """Whether the runs are kept."""

    def forget(self) -> None:
        """Drop what is kept: the runs have changed."""
        self._spent = 0.0
        self._drop_keys()
        if self.is_kept:
            self._connection.execute(f"DROP TABLE {_TABLE}")
            self.is_kept = False

    def give_up(self) -> None:
        """Keep nothing any more."""
        self.forget()
        self._is_given_up = True

    def spend(self, sql: str, seconds: float) -> None:
        """Note what a question has cost, and keep the runs when it has become worth it."""
        if self.is_kept or self._is_given_up or not _ONE_TABLE.search(sql):
            return
        self._spent += seconds
        found = self._connection.execute("SELECT count(*) FROM stored_runs").fetchone()
        if found is not None and self._spent > _SECONDS_A_RUN * found[0]:
            self._connection.execute(
                f"CREATE TEMP TABLE {_TABLE} AS SELECT *, "
                "epoch_us(TRY_CAST(started_at AS TIMESTAMP)) AS started_at_us, "
                f"epoch_us(TRY_CAST(ended_at AS TIMESTAMP)) AS ended_at_us FROM {_RUNS}"
            )
            self.is_kept = True

    def spelled(self, sql: str, parameters: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        """Return the question as it is asked of what is kept, or as it was."""
        if not self.is_kept or not _ONE_TABLE.search(sql):
            return sql, parameters
        if sql.count(_RUNS) != 1 or "SELECT *" in sql or " JOIN " in sql:
            return sql, parameters
        given, left, used = iter(parameters), [], dict[str, str]()

        def spell(match: re.Match[str]) -> str:
            as_number, as_text, moment, mark, _ = match.groups()
            if moment:
                return f"{moment}_us"
            if mark:
                left.append(next(given))
                return "?"
            if as_number or as_text:
                table = self._key(as_number or as_text, next(given))
                alias = used.setdefault(table, f"k{len(used)}")
                return f"{alias}.{'number' if as_number else 'text'}"
            return _RUNS

        found = _SPELLED.sub(spell, sql)
        kept = " POSITIONAL JOIN ".join([_TABLE, *(f"{name} {at}" for name, at in used.items())])
        return _ONE_TABLE.sub(f"FROM {kept}", found), left

    def _key(self, group: str, pointer: str) -> str:
        """Return the table of a key: ``text`` and ``number`` of each run, in the runs' order."""
        known = self._keys.get((group, pointer))
        if known is not None:
            return known
        name = f"warm_key_{len(self._keys)}"
        text = f"json_extract_string({group}, ?)"
        self._connection.execute(
            f"CREATE TEMP TABLE {name} AS SELECT text, TRY_CAST(text AS DOUBLE) AS number "
            f"FROM (SELECT {text} AS text FROM {_TABLE})",
            [pointer],
        )
        self._keys[group, pointer] = name
        return name

    def make_room(self) -> None:
        """Drop the keys when they have become many; not while a question is being spelled."""
        if len(self._keys) > _MOST_KEYS:
            self._drop_keys()

    def _drop_keys(self) -> None:
        for name in self._keys.values():
            self._connection.execute(f"DROP TABLE {name}")
        self._keys.clear()
