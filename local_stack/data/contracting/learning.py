"""Learning a contract from a good version: what a next version may be expected to keep.

Bounds are those of the data (nothing is padded), but what grows from version to version has no
upper one: identifiers and times. The share of missing values may be three standard errors more
than was seen. Rules that need evidence (unique, keys, order, patterns, lengths, rules between
columns) are learnt from 20 values on; whole numbers are believed to be unique when chance would
have repeated some. Everything learnt was checked on the version itself.

One scan counts and bounds all columns, one looks for the classes of all texts, one for the order
of all columns, one for all rules between columns; different values cost a GROUP BY a column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from local_stack.data import compute
from local_stack.data.contracting import checks, contract_file, terms
from local_stack.data.contracting.evidence import EVIDENCE, Reader, Seen, is_identifier, words_of
from local_stack.data.contracting.foreign import named
from local_stack.data.contracting.questions import Moment
from local_stack.progress import Progress, Step, silent
from local_stack.results import plain

_MOST_TIMES = 12
_SHRINKS_BY = 2
_GROWS_BY = 10
_RECENT_DAYS = 7
_NICE = (1, 2, 5)

_UPPER = {
    "min": "max",
    "minimum": "maximum",
    "low": "high",
    "lower": "upper",
    "lowest": "highest",
    "start": "end",
    "started": "ended",
    "begin": "end",
    "from": "to",
    "first": "last",
    "earliest": "latest",
}


def inferred(
    path: Path,
    dataset: str,
    *,
    names: Sequence[str] | None = None,
    keys: Sequence[str] = (),
    imported: str | None = None,
    scratch: Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Return the contract that the Parquet file at ``path`` keeps, as plain values.

    ``keys`` are the columns that identify a row of the data set, ``imported`` the time of the
    import (ISO 8601); names and scratch as in
    :func:`local_stack.data.contracting.checks.verdicts_of_file`.
    """
    scratch = scratch or path.parent
    learnt = candidates(
        path, dataset, names=names, keys=keys, imported=imported, scratch=scratch, progress=progress
    )
    document = contract_file.of_values(learnt)
    progress(Step("Checking what was learnt"))
    broken = {
        (check.code, check.column)
        for check in checks.verdicts_of_file(
            document, path, names=names, moment=Moment.of(imported), scratch=scratch
        )
        if not check.passed
    }
    return _without(learnt, broken) if broken else learnt


def candidates(
    path: Path,
    dataset: str,
    *,
    names: Sequence[str] | None = None,
    keys: Sequence[str] = (),
    imported: str | None = None,
    scratch: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Return what was learnt, before it is checked on the file."""
    with compute.connect(path.parent, scratch=scratch) as connection:
        table = terms.table(connection, path, names)
        reader = Reader(connection, table, progress)
        seen = reader.seen()
        pairs = reader.pairs(_kin(seen))
    n_rows = next((each.n_rows for each in seen), 0)
    values: dict[str, Any] = {"dataset": dataset, "rows": _row_counts(n_rows)}
    values["columns"] = {each.column.name: _rules(each) for each in seen}
    if found := _keys(seen, keys):
        values["keys"] = found
    if fresh := _freshness(seen, imported):
        values["freshness"] = fresh
    if pairs:
        values["checks"] = [
            {"name": f"{a} <= {b}"[:100], "expression": f"{named(a)} <= {named(b)}"}
            for a, b in pairs
        ]
    return values


def _row_counts(n_rows: int) -> dict[str, int]:
    """Return bounds that a truncated file and a doubled join leave."""
    if n_rows == 0:
        return {"min": 0}
    return {"min": max(1, _tidy(n_rows // _SHRINKS_BY, down=True)), "max": n_rows * _GROWS_BY}


def _tidy(number: int, *, down: bool = False) -> int:
    """Return a number of two digits and zeros, at or below, else at or above ``number``."""
    size = int(10 ** max(0, len(str(abs(number))) - 2))
    return number // size * size if down else -(-number // size) * size


def _rules(each: Seen) -> dict[str, Any]:
    rules: dict[str, Any] = {"type": each.column.type, "nullable": not each.is_whole}
    if not each.is_whole and (share := _missing_limit(each)) < 1:
        rules["max_missing"] = share
    if each.is_text:
        return {**rules, **_text_rules(each)}
    if each.column.type == "boolean":
        return rules
    if each.low is not None:
        rules["min"] = plain(each.low)
    if each.high is not None and not _grows(each):
        rules["max"] = plain(each.high)
    if each.is_unique and each.column.type in ("long", "date", "datetime"):
        rules["unique"] = True
    if each.monotonic:
        rules["monotonic"] = each.monotonic
    return rules


def _grows(each: Seen) -> bool:
    """Return whether the next version goes beyond: times, and numbers that name rows."""
    return each.is_time or (each.column.type == "long" and each.is_unique and each.is_whole)


def _missing_limit(each: Seen) -> float:
    """Return the share of missing values plus three standard errors, rounded up to a percent."""
    share = 1 - each.n_values / each.n_rows if each.n_rows else 0.0
    error = math.sqrt(share * (1 - share) / each.n_rows) if each.n_rows else 0.0
    return min(1.0, math.ceil(100 * (share + 3 * error)) / 100)


def _text_rules(each: Seen) -> dict[str, Any]:
    if each.domain:
        return {"allowed": list(each.domain)}
    if each.n_values < EVIDENCE or each.shortest is None or each.longest is None:
        return {}
    rules: dict[str, Any] = {"unique": True} if each.is_unique else {}
    if each.pattern:
        rules["pattern"] = each.pattern
    is_exact = bool(each.pattern) or each.shortest == each.longest
    rules["min_length"] = each.shortest if is_exact else min(1, each.shortest)
    rules["max_length"] = each.longest if is_exact else _roomy(each.longest)
    return rules


def _roomy(length: int) -> int:
    """Return the next of 1, 2, 5, 10, 20, 50, ... at or above ``length``."""
    size = 1
    while size * _NICE[-1] < length:
        size *= 10
    return next((step * size for step in _NICE if step * size >= length), size * 10)


def _keys(seen: Sequence[Seen], declared: Sequence[str]) -> list[list[str]]:
    """Return the declared key, else the first unique column that nothing misses and is named so."""
    by_name = {each.column.name: each for each in seen}
    if declared:
        whole = all(name in by_name and by_name[name].is_whole for name in declared)
        return [list(declared)] if whole else []
    for each in seen:
        is_kind = each.column.type in ("long", "string")
        is_named = is_identifier(each.column.name) or bool(each.monotonic)
        if is_kind and each.is_unique and each.is_whole and is_named:
            return [[each.column.name]]
    return []


def _freshness(seen: Sequence[Seen], imported: str | None) -> dict[str, Any] | None:
    """Return a limit for the age of the newest time, when it was young at the import."""
    if imported is None:
        return None
    at = contract_file.moment(imported)
    ages: list[tuple[float, str]] = []
    for each in seen:
        if not each.is_time or each.high is None:
            continue
        try:
            newest = contract_file.moment(each.high)
        except (ValueError, OverflowError):
            continue
        age = (at - newest).total_seconds() / 86_400
        if -1 <= age <= _RECENT_DAYS:
            ages.append((age, each.column.name))
    if not ages:
        return None
    age, name = min(ages, key=lambda pair: abs(pair[0]))
    limit = next(days for days in (1, 2, 7, 14) if days >= 2 * max(0.0, age))
    return {"column": name, "max_age": f"{limit}d", "against": "import"}


def _kin(seen: Sequence[Seen]) -> list[tuple[Seen, Seen]]:
    """Return the ordered pairs that may hold a rule: times of one type, numbers of kin names."""
    times = [each for each in seen if each.is_time and each.n_values >= EVIDENCE][:_MOST_TIMES]
    pairs = [(a, b) for a, b in permutations(times, 2) if a.column.type == b.column.type]
    by_words: Mapping[tuple[str, ...], Seen] = {
        words_of(each.column.name): each
        for each in seen
        if each.column.type in ("long", "double") and each.n_values >= EVIDENCE
    }
    for words, each in by_words.items():
        for place, word in enumerate(words):
            kin = (*words[:place], _UPPER.get(word, ""), *words[place + 1 :])
            if kin in by_words:
                pairs.append((each, by_words[kin]))
    return pairs


def _without(values: dict[str, Any], broken: set[tuple[str, str | None]]) -> dict[str, Any]:
    """Return a contract without the rules that its own version breaks."""
    kept = dict(values)
    columns = {name: dict(rules) for name, rules in values["columns"].items()}
    for code, column in broken:
        if column in columns:
            columns[column].pop("nullable" if code == "null" else code, None)
        if code in ("key", "freshness"):
            kept.pop({"key": "keys"}.get(code, code), None)
    names = {code for code, column in broken if column is None}
    checks_kept = [each for each in values.get("checks", []) if each["name"] not in names]
    kept = {**kept, "columns": columns}
    if "checks" in kept:
        kept["checks"] = checks_kept
    return kept
