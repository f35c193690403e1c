"""Searching runs: a filter or order in MLflow's grammar becomes SQL over the run index.

The SQL text is put together from this module's own fragments; keys and values of the filter
travel as parameters only.

The index is a relation with the columns ``run_id``, ``name``, ``status``, ``actor``,
``artifact_uri``, ``started_at``, ``ended_at`` (UTC ISO 8601 text), ``params``, ``metrics``,
``tags`` (JSON objects; ``"NaN"``, ``"Infinity"``, ``"-Infinity"`` stand for the non-finite
metrics) and ``datasets`` (a JSON array of objects with ``name``, ``digest``, ``context``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from local_stack.errors import InputError
from local_stack.runs.grammar import (
    And,
    Field,
    Kind,
    ListTest,
    MetricTest,
    Node,
    Not,
    NullTest,
    NumberTest,
    Or,
    RangeTest,
    TextTest,
    parse_filter,
    parse_order,
)

MAX_ORDER_CLAUSES: Final = 20


@dataclass(frozen=True, slots=True)
class Clause:
    """SQL with ``?`` placeholders, and the parameters in the order of the placeholders."""

    sql: str
    parameters: tuple[str | float, ...] = ()


_STARTED = "epoch_us(TRY_CAST(started_at AS TIMESTAMP))"
_ENDED = "epoch_us(TRY_CAST(ended_at AS TIMESTAMP))"
_ATTRIBUTES: Final = {
    "run_id": "run_id",
    "run_name": "name",
    "user_id": "actor",
    "status": "status",
    "artifact_uri": "artifact_uri",
    "start_time": f"({_STARTED} // 1000)",
    "end_time": f"({_ENDED} // 1000)",
    "duration": f"(({_ENDED} - {_STARTED}) / 1e6)",
}
_COLUMNS: Final = {Kind.METRIC: "metrics", Kind.PARAM: "params", Kind.TAG: "tags"}
_DATASET_VALUES: Final = {
    "name": "json_extract_string(datasets, '$[*].name')",
    "digest": "json_extract_string(datasets, '$[*].digest')",
    # A reader of a store leaves the context of a dataset that has none empty.
    "context": "list_filter(json_extract_string(datasets, '$[*].context'), lambda c: c <> '')",
}
_NAN = "'NaN'::DOUBLE"


def where(filter_text: str | None) -> Clause:
    """Return the condition of a WHERE for a filter; nothing to filter by lets every run pass.

    A comparison with something a run lacks is false, ``!=`` and ``NOT IN`` included, as in
    MLflow; ``NOT (...)`` is the plain opposite of what it encloses. A NaN metric differs from every
    number and is neither above nor below one.

    Raises
    ------
    InputError
        The text is no filter; the message shows the place.
    """
    node = parse_filter(filter_text or "")
    return Clause("TRUE") if node is None else _condition(node)


def order(clauses: Sequence[str]) -> Clause:
    """Return the expressions of an ORDER BY for clauses such as ``"metrics.rmse ASC"``.

    As in MLflow, either direction puts NaN after every number and a missing value after that;
    params sort as text; equal runs stand latest first, then by id.

    Raises
    ------
    InputError
        A clause is none, or there are too many.
    """
    if isinstance(clauses, str):
        clauses = [clauses]
    if len(clauses) > MAX_ORDER_CLAUSES:
        raise InputError(
            f"There are {len(clauses)} order clauses; at most {MAX_ORDER_CLAUSES} are read.",
            "Leave out the last ones.",
        )
    keys = [_sort_key(clause) for clause in clauses]
    last = Clause(f"{_ATTRIBUTES['start_time']} DESC NULLS LAST, run_id ASC")
    return _joined([*keys, last], ", ")


def _condition(node: Node) -> Clause:
    match node:
        case And(items):
            return _enclosed(_joined(map(_condition, items), " AND "))
        case Or(items):
            return _enclosed(_joined(map(_condition, items), " OR "))
        case Not(item):
            inner = _condition(item)
            return Clause(f"(NOT {inner.sql})", inner.parameters)
        case NullTest(field, negated):
            subject = _text(field)
            return Clause(f"({subject.sql} IS {'NOT ' if negated else ''}NULL)", subject.parameters)
        case MetricTest():
            return _known(_metric_against_metric(node))
        case NumberTest(field, operator, number):
            subject = _number(field) if operator == "!=" else _comparable(field)
            return _known(Clause(f"{subject.sql} {operator} ?", (*subject.parameters, number)))
        case RangeTest(field, low, high, negated):
            return _known(_within(field, low, high, negated))
        case TextTest(field, operator, text):
            return _text_condition(field, _text_operator(operator), (_operand(operator, text),))
        case ListTest(field, texts, negated):
            marks = ", ".join("?" * len(texts))
            return _text_condition(field, f"{{}} {'NOT ' if negated else ''}IN ({marks})", texts)
        case _:
            assert_never(node)


def _joined(clauses: Iterable[Clause], separator: str) -> Clause:
    parts = list(clauses)
    return Clause(
        separator.join(part.sql for part in parts),
        tuple(value for part in parts for value in part.parameters),
    )


def _enclosed(clause: Clause) -> Clause:
    return Clause(f"({clause.sql})", clause.parameters)


def _known(clause: Clause) -> Clause:
    """Make unknown false, so that NOT is the opposite also for a run that lacks the field."""
    return Clause(f"COALESCE({clause.sql}, FALSE)", clause.parameters)


def _text(field: Field) -> Clause:
    """Return the field as VARCHAR, NULL where the run lacks it."""
    if field.kind is Kind.ATTRIBUTE:
        return Clause(_ATTRIBUTES[field.key])
    return Clause(f"json_extract_string({_COLUMNS[field.kind]}, ?)", (_pointer(field.key),))


def _number(field: Field) -> Clause:
    """Return the field as a number, NULL where the run lacks it or a param is no number."""
    if field.kind is Kind.ATTRIBUTE:
        return Clause(f"CAST({_ATTRIBUTES[field.key]} AS DOUBLE)")
    text = _text(field)
    return Clause(f"TRY_CAST({text.sql} AS DOUBLE)", text.parameters)


def _comparable(field: Field) -> Clause:
    """Return the number with NaN as NULL: to DuckDB NaN is the greatest number, equal to itself."""
    number = _number(field)
    return Clause(f"NULLIF({number.sql}, {_NAN})", number.parameters)


def _metric_against_metric(node: MetricTest) -> Clause:
    left, right = _comparable(node.left), _comparable(node.right)
    plain = Clause(f"{left.sql} {node.operator} {right.sql}", (*left.parameters, *right.parameters))
    if node.operator != "!=":
        return plain
    raw_left, raw_right = _number(node.left), _number(node.right)
    with_nan = Clause(
        f"(isnan({raw_left.sql}) OR isnan({raw_right.sql}))"
        f" AND {raw_left.sql} IS NOT NULL AND {raw_right.sql} IS NOT NULL",
        (*raw_left.parameters, *raw_right.parameters) * 2,
    )
    return _joined([plain, with_nan], " OR ")


def _within(field: Field, low: float, high: float, negated: bool) -> Clause:
    """NaN lies outside of every range, so only the plain form has to take it out."""
    subject = _number(field) if negated else _comparable(field)
    word = "NOT BETWEEN" if negated else "BETWEEN"
    return Clause(f"{subject.sql} {word} ? AND ?", (*subject.parameters, low, high))


def _text_condition(field: Field, template: str, values: tuple[str, ...]) -> Clause:
    """Return the condition; of several datasets one that fulfils it is enough."""
    if field.kind is Kind.DATASET:
        test = template.format("item")
        names = _DATASET_VALUES[field.key]
        return _known(Clause(f"len(list_filter({names}, lambda item: {test})) > 0", values))
    subject = _text(field)
    return _known(Clause(template.format(subject.sql), (*subject.parameters, *values)))


def _text_operator(operator: str) -> str:
    if operator.endswith("LIKE"):
        return f"{'NOT ' if operator.startswith('NOT') else ''}regexp_matches({{}}, ?)"
    return f"{{}} {operator} ?"


def _operand(operator: str, text: str) -> str:
    if not operator.endswith("LIKE"):
        return text
    return ("(?i)" if operator.endswith("ILIKE") else "") + _like_pattern(text)


def _like_pattern(text: str) -> str:
    r"""Return the RE2 pattern that matches what MLflow's LIKE does.

    MLflow turns LIKE into a Python pattern, from which follows what SQL does differently: ``%`` and
    ``_`` stop at a line end, a final ``%`` leaves the rest open, an end may be followed by one
    ``\n``, and a backslash is a plain character.
    """
    wild = {"%": r"[^\n]*", "_": r"[^\n]"}
    body = "".join(wild.get(character) or _literal(character) for character in text)
    return rf"\A{body}" + ("" if text.endswith("%") else r"\n?\z")


def _literal(character: str) -> str:
    is_plain = character.isalnum() or not character.isascii() or not character.isprintable()
    return character if is_plain else f"\\{character}"


def _pointer(key: str) -> str:
    """Return the JSON pointer (RFC 6901) of a key."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _sort_key(text: str) -> Clause:
    ordering = parse_order(text)
    direction = "DESC NULLS LAST" if ordering.descending else "ASC NULLS LAST"
    field = ordering.field
    if field.kind is Kind.DATASET:
        raise InputError(
            "Runs cannot be ordered by a dataset, since a run may have several.",
            "Order by a metric, param, tag or attribute.",
        )
    if field.kind is not Kind.METRIC:
        value = _text(field)
        return Clause(f"{value.sql} {direction}", value.parameters)
    value = _number(field)
    return Clause(
        f"isnan({value.sql}) ASC NULLS LAST, {value.sql} {direction}", value.parameters * 2
    )
