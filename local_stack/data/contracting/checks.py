"""Checks: a contract judged on a table, in as few scans as its rules need.

Every condition on single values, every count, share, bound and length is one aggregate of one
SELECT over the Parquet file. Each set of columns whose values must be different costs one
GROUP BY more, all monotonic columns together one window. Only what failed is looked at again,
for its first rows. Memory stays within :data:`local_stack.data.compute.MEMORY_LIMIT`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.data import compute
from local_stack.data.contracting import contract_file, questions, terms
from local_stack.data.contracting.contract_file import Document, Rule, is_expression
from local_stack.data.contracting.questions import (
    FIRST_ROWS,
    Check,
    Counts,
    Finding,
    Moment,
    Question,
    Scene,
)
from local_stack.data.contracting.terms import Column
from local_stack.progress import Progress, silent
from local_stack.results import plain

if TYPE_CHECKING:
    import polars

__all__ = ["Check", "Moment", "prove", "verdicts", "verdicts_of_file"]

_AGGREGATES_A_SCAN = 400
_ROWS_A_SCAN = 100
"""Planning a SELECT takes more than twice the time for twice the aggregates: more are parted."""
_TOLERANCE = 1e-12
_SHOWN = 80


def verdicts_of_file(
    document: Document | Mapping[str, Any],
    path: Path,
    *,
    names: Sequence[str] | None = None,
    moment: Moment | None = None,
    scratch: Path | None = None,
    progress: Progress = silent,
) -> tuple[Check, ...]:
    """Judge the Parquet file at ``path`` and return every check, in the order of the contract.

    ``names`` are the names of the columns when they are not those in the file; ``scratch`` is a
    folder for what does not fit into memory (the file's own when left out).

    Raises
    ------
    InputError
        A rule cannot be asked of the type of its column, or an expression of these columns.
    """
    if not isinstance(document, Document):
        document = contract_file.of_values(document)
    with compute.connect(path.parent, scratch=scratch or path.parent) as connection:
        table = terms.table(connection, path, names)
        scene = Scene(connection, document, table, moment or Moment.of())
        return _Judge(scene, progress).checks()


def verdicts(document: Document | Mapping[str, Any], frame: polars.DataFrame) -> tuple[Check, ...]:
    """Judge a frame and return every check, as for a file; NaN counts as missing."""
    import polars

    columns = [
        series.fill_nan(None) if series.dtype.is_float() else series
        for series in frame.iter_columns()
    ] or [polars.Series("", [], dtype=polars.Int64)]  # Parquet needs a column to be a table
    with tempfile.TemporaryDirectory(prefix="paceml-") as folder:
        path = Path(folder) / "frame.parquet"
        renamed = [series.alias(f"c{i}") for i, series in enumerate(columns)]
        polars.DataFrame(renamed).write_parquet(path)
        return verdicts_of_file(document, path, names=[series.name for series in columns])


def prove(document: Document, types: Mapping[str, str]) -> None:
    """Raise for what no table could be judged by: a pattern, a bound, an expression.

    Columns have the type that the contract declares, else the one in ``types``, else any;
    expressions may name the columns of both.

    Raises
    ------
    InputError
        Naming the line.
    """
    declared = {str(r.column): str(r.value) for r in document.rules if r.code == "type"}
    for rule in document.rules:
        if rule.column in declared and rule.code in _TYPED and not is_expression(rule):
            questions.fitting(document, rule, Column(rule.column, declared[rule.column], "c0"))
    parsed = [rule for rule in document.rules if is_expression(rule) or rule.code in _PATTERNS]
    if not parsed:
        return
    untyped = {name: "string" for name in document.columns if name not in {**types, **declared}}
    table = terms.empty_table({**types, **declared, **untyped})
    with compute.connect(scratch=Path(tempfile.gettempdir())) as connection:
        scene = Scene(connection, document, table, Moment.of())
        for rule in parsed:
            if not is_expression(rule):
                _prove_pattern(scene, rule)
                continue
            condition = questions.compiled(scene, rule, table.reads())
            if not set(condition.columns) & set(untyped):
                questions.check_is_condition(scene, rule, condition.sql)


_PATTERNS = ("pattern", "forbidden_pattern")
_TYPED = {*terms.BOUNDS, "allowed", "forbidden", "min_length", "max_length"}


def _prove_pattern(scene: Scene, rule: Rule) -> None:
    try:
        compute.run(scene.connection, "SELECT regexp_matches('', ?)", [rule.value])
    except compute.errors() as error:
        reason = questions.first_line(error)
        raise scene.document.error(
            rule,
            f"columns.{rule.column}.{rule.code} is not a regular expression ({reason}).",
            "The dialect is RE2: it has no look-around and no back-references.",
        ) from None


_Found = tuple[Question, int | None, list[tuple[int, Any]]]


class _Judge:
    """Asks the questions of one contract of one table."""

    def __init__(self, scene: Scene, progress: Progress) -> None:
        self._scene = scene
        self._progress = progress

    def checks(self) -> tuple[Check, ...]:
        """Return the check of each rule that has one, in the order of the contract."""
        asked = questions.asked(self._scene)
        open_ones = [item for item in asked if isinstance(item, Question)]
        counts = self._counts(open_ones)
        findings = {id(each): each.answer(counts[id(each)]) for each in open_ones}
        failed = [each for each in open_ones if each.bad and findings[id(each)].n_failed]
        rows: dict[int, list[tuple[int, Any]]] = {}
        for each, n_failed, first in self._rows(failed):
            rows[id(each)] = first
            if n_failed is not None:
                findings[id(each)] = replace(findings[id(each)], n_failed=n_failed)
        return tuple(
            _check(item, findings[id(item)], rows.get(id(item), ()))
            if isinstance(item, Question)
            else item
            for item in asked
        )

    def _counts(self, asked: Sequence[Question]) -> dict[int, Counts]:
        """Return the counts of each question by its id, asking each aggregate once."""
        wanted: dict[str, dict[str, Any]] = {}
        for question in asked:
            wanted.setdefault(question.source, {}).update(dict.fromkeys(question.counts))
        for source, values in wanted.items():
            aggregates = list(values)
            for start in range(0, len(aggregates), _AGGREGATES_A_SCAN):
                some = aggregates[start : start + _AGGREGATES_A_SCAN]
                values.update(zip(some, self._select(some, source, asked), strict=True))
        return {
            id(question): [wanted[question.source][each] for each in question.counts]
            for question in asked
        }

    def _select(
        self, aggregates: Sequence[str], source: str, asked: Sequence[Question]
    ) -> tuple[Any, ...]:
        try:
            return self._run(
                f"SELECT {', '.join(aggregates)} FROM {source or self._scene.table.relation}",
            )[0]
        except compute.errors() as error:
            self._blame(asked)
            raise error from None

    def _blame(self, asked: Sequence[Question]) -> None:
        """Raise the input error that names the expression which cannot be computed."""
        for question in asked:
            if not is_expression(question.rule):
                continue
            try:
                self._run(f"SELECT {question.counts[0]} FROM {self._scene.table.relation}")
            except compute.errors() as error:
                reason = questions.first_line(error)
                raise questions.uncomputable(self._scene.document, question.rule, reason) from error

    def _rows(self, failed: Sequence[Question]) -> Iterator[_Found]:
        """Yield how many rows fail each question, and the number and value of the first ones."""
        simple = [question for question in failed if not question.rows_of]
        for start in range(0, len(simple), _ROWS_A_SCAN):
            some = simple[start : start + _ROWS_A_SCAN]
            items = [
                f"count(*) FILTER (WHERE {each.bad}), "
                f"min({{r: r, v: {each.shown}}}, {FIRST_ROWS}) FILTER (WHERE {each.bad})"
                for each in some
            ]
            row = self._run(f"SELECT {', '.join(items)} FROM {self._scene.table.relation}")[0]
            for question, n_failed, first in zip(some, row[::2], row[1::2], strict=True):
                yield question, n_failed, [(item["r"], item["v"]) for item in first or ()]
        for question in failed:
            if question.rows_of:
                first = self._run(
                    f"SELECT r, {question.shown} FROM {question.rows_of} "
                    f"WHERE {question.bad} ORDER BY r LIMIT {FIRST_ROWS}"
                )
                yield question, None, [(row[0], row[1]) for row in first]

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        return compute.run(
            self._scene.connection, sql, progress=self._progress, label="Checking the contract"
        )


def _check(question: Question, finding: Finding, rows: Sequence[tuple[int, Any]]) -> Check:
    rule = question.rule
    n_kept = finding.n_counted - finding.n_failed
    passed = finding.n_failed == 0 or (
        rule.mostly < 1 and n_kept >= (rule.mostly - _TOLERANCE) * finding.n_counted
    )
    values = tuple(_value(question, value) for _, value in rows)
    observed = plain(finding.observed)
    if observed is None and values:
        observed = f"{finding.n_failed} missing" if rule.code == "null" else values[0]
    check = Check(
        code=rule.code,
        column=rule.column,
        severity=rule.severity,
        passed=passed,
        observed=observed,
        expected=plain(question.expected),
        n_failed=finding.n_failed,
        rows=tuple(int(row) for row, _ in rows),
        values=values,
        name=rule.name,
    )
    return _worded(check, finding.n_counted) if finding.n_failed else check


def _value(question: Question, value: Any) -> Any:
    """Return a value as JSON can hold it; of several columns, each by its name."""
    if question.names and isinstance(value, list | tuple):
        return dict(zip(question.names, value, strict=True))
    return plain(value)


def _worded(check: Check, n_counted: int) -> Check:
    if not check.rows:
        return replace(check, message=f"{check.observed} instead of {check.expected}.")
    first = f"the first is {check.values[0]!r} in row {check.rows[0]}"
    if check.code in ("null", "max_missing"):
        first = f"the first in row {check.rows[0]}"
    wanted = "" if check.code == "null" else f" (expected: {str(check.expected)[:_SHOWN]})"
    message = f"{check.n_failed:,} of {n_counted:,} fail{wanted}; {first}."
    return replace(check, message=message)
