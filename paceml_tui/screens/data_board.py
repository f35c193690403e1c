"""A contract as a board: its number, its text, and the verdict beside each of its checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from paceml_tui.charts import cell_text
from paceml_tui.render import (
    Block,
    Text,
    count,
    fields,
    glyph,
    grid,
    heading,
    join,
    moment,
    number,
    safe,
    stack,
    status,
    styled,
    value_text,
)
from paceml_tui.tasks import Desk, Row
from paceml_tui.widgets.table import Column


@dataclass(frozen=True, slots=True)
class Board:
    """A contract as it is shown: its text, its number, and the checks with their verdicts.

    ``number`` is 0 when there is no contract yet. ``passed`` is None when the version was not
    checked against this contract.
    """

    number: int
    n_numbers: int
    actor: str
    created_at: str
    text: str
    checks: tuple[Row, ...]
    passed: bool | None
    checked_at: str


def read(desk: Desk, dataset: str, version: str, wanted: int) -> Board:
    """Return contract ``wanted`` (0 for the newest) with the verdict on ``version``."""
    found = desk.query("SELECT * FROM contracts WHERE dataset = ? ORDER BY number", dataset)
    if not found:
        return Board(0, 0, "", "", "", (), None, "")
    row = next((it for it in found if it["number"] == wanted), found[-1])
    stored = desk.query(
        "SELECT * FROM checks WHERE dataset = ? AND version = ? AND contract = ?",
        dataset,
        version,
        row["number"],
    )
    newest = stored[0] if stored else {}
    checks = [dict(it) for it in newest.get("checks") or [] if isinstance(it, Mapping)]
    return Board(
        number=row["number"],
        n_numbers=found[-1]["number"],
        actor=str(row["actor"] or ""),
        created_at=str(row["created_at"] or ""),
        text=text_of(row),
        checks=tuple(_ordered(checks or promised(row["document"] or {}))),
        passed=newest.get("passed"),
        checked_at=str(newest.get("created_at") or ""),
    )


def text_of(row: Row) -> str:
    """Return the YAML of a stored contract, with escapes for what no editor can show."""
    import yaml

    from local_stack.data.contracting import contract_file

    text = row["text"] or contract_file.text_of(row["document"] or {})
    if safe(text, 0, is_block=True) == text:
        return str(text)
    return str(yaml.safe_dump(row["document"] or {}, allow_unicode=False, sort_keys=False))


def promised(contract: Mapping[str, Any]) -> list[Row]:
    """Return what a contract promises as checks that have not run yet."""
    found: list[Row] = []
    rows, columns = contract.get("rows"), contract.get("columns")
    for code, expected in (rows if isinstance(rows, Mapping) else {}).items():
        found.append(_unchecked(f"rows {code}", None, expected, "error"))
    for name, rules in (columns if isinstance(columns, Mapping) else {}).items():
        if not isinstance(rules, Mapping):
            continue
        severity = str(rules.get("severity", "error"))
        found += [
            _unchecked(code, name, expected, severity)
            for code, expected in rules.items()
            if code != "severity"
        ]
    for it in contract.get("checks") or []:
        if isinstance(it, Mapping):
            severity = str(it.get("severity", "error"))
            found.append(_unchecked(str(it.get("name")), None, it.get("expression"), severity))
    return found


def _unchecked(code: str, column: Any, expected: Any, severity: str) -> Row:
    row = {"code": code, "column": column, "severity": severity, "expected": expected}
    return {**row, "passed": None, "observed": None, "n_failed": None, "rows": []}


def _ordered(checks: Sequence[Row]) -> list[Row]:
    """Return the checks with those that failed first, errors before warnings."""
    return sorted(
        checks, key=lambda it: (it.get("passed") is not False, it.get("severity") != "error")
    )


def name_of(row: Row) -> str:
    """Return what tells a check from the others."""
    return f"{row.get('code')} {row.get('column')}"


def verdict(board: Board) -> Text:
    """Return the verdict on the version, and how many checks failed."""
    if board.passed is None:
        return styled("not checked", "quiet")
    if all(it.get("passed") is None for it in board.checks):  # an older program checked it
        return join(status("passed" if board.passed else "failed"), moment(board.checked_at))
    n_failed = sum(it.get("passed") is False for it in board.checks)
    failed = styled(f"{n_failed} of {len(board.checks)} checks failed", "quiet")
    passed = count(len(board.checks), "check")
    return join(
        status("passed" if board.passed else "failed"),
        failed if n_failed else passed,
        moment(board.checked_at),
    )


def word_of(row: Row) -> Text:
    """Return the verdict on one check as glyph, word and colour."""
    if row.get("passed") is None:
        return styled(f"{glyph('idle')} not run", "quiet")
    if row["passed"]:
        return status("passed")
    return (
        styled(f"{glyph('warning')} warning", "warning")
        if row.get("severity") == "warning"
        else status("failed")
    )


def check_block(row: Row) -> Block:
    """Return everything about one check: what was expected and seen, and the first bad rows."""
    shown = [
        ("column", value_text(row.get("column"))),
        ("severity", value_text(row.get("severity"))),
        ("expected", _expected(row, 400)),
        ("observed", cell_text(row.get("observed"), 400)),
        ("failed", _failed_rows(row.get("n_failed"))),
    ]
    if row.get("message"):
        shown.append(("says", styled(row["message"], limit=600)))
    rows = list(zip_longest(row.get("rows") or [], row.get("values") or []))
    bad = [(number(place), cell_text(value, 120)) for place, value in rows]
    listed: list[Block] = [styled(""), heading("First bad rows"), grid(("row", "value"), bad, (0,))]
    return stack(heading(row.get("code"), word_of(row)), fields(shown), *(listed if bad else []))


def _failed_rows(n: Any) -> Text:
    return count(n, "row") if isinstance(n, int) else number(n)


def _expected(row: Row, limit: int) -> Text:
    found = row.get("expected")
    if isinstance(found, list) and not any(isinstance(it, list | dict) for it in found):
        return styled(", ".join(map(str, found)), limit=limit)
    return cell_text(found, limit)


COLUMNS = (
    Column("verdict", word_of, rank=0, most=10),
    Column("check", lambda row: styled(row.get("code")), rank=1, most=22),
    Column("column", lambda row: styled(row.get("column")), is_wide=True, rank=2, most=30),
    Column("expected", lambda row: _expected(row, 40), rank=3, most=20),
    Column("observed", lambda row: cell_text(row.get("observed"), 40), rank=4, most=16),
    Column("failed", lambda row: number(row.get("n_failed")), is_number=True, rank=5, most=10),
    Column("severity", lambda row: styled(row.get("severity"), "quiet"), rank=6, most=8),
)
