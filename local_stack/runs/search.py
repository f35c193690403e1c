"""Searching runs: a filter or order in MLflow's grammar becomes SQL over the run index.

The SQL text is put together from this module's own fragments; keys and values of the filter
travel as parameters only.

The index is a relation with the columns ``run_id``, ``name``, ``status``, ``actor``,
``artifact_uri``, ``started_at``, ``ended_at`` (UTC ISO 8601 text), ``params``, ``metrics``,
``tags`` (JSON objects; ``"NaN"``, ``"Infinity"``, ``"-Infinity"`` stand for the non-finite
metrics) and ``datasets`` (a JSON array of objects with ``name``, ``digest``, ``context``).
What a filter asks of a metric over time is read from the relation of logged values, with the
columns ``run_id``, ``key``, ``step``, ``at_ms`` and ``value``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from local_stack.errors import InputError
from local_stack.runs.grammar import parse_filter, parse_number, parse_order
from local_stack.runs.relation import HISTORY
from local_stack.runs.tree import (
    Aggregate,
    And,
    Field,
    Function,
    Kind,
    ListTest,
    Node,
    Not,
    NullTest,
    NumberTest,
    Operand,
    Or,
    Ordering,
    PairTest,
    RangeTest,
    Sum,
    TextTest,
)

MAX_ORDER_CLAUSES: Final = 20

MAX_AGGREGATES: Final = 20
"""Questions about what was logged of a metric over time: DuckDB plans many of them slowly."""


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
_NOT_EQUAL = "p.l != p.r OR isnan(p.l) OR isnan(p.r)"

# NaN is left out of what is picked unless nothing else was logged. ``logged_by`` instead of
# ``run_id``, so that the run_id of the outer relation can be named beside it.
_LOGGED = f"(SELECT run_id AS logged_by, key AS logged_key, step, at_ms, value FROM {HISTORY})"  # noqa: S608
_PICKED: Final = {
    Function.MIN: "min(value) FILTER (NOT isnan(value)), min(value)",
    Function.MAX: "max(value) FILTER (NOT isnan(value)), max(value)",
    Function.MEAN: "avg(value) FILTER (NOT isnan(value)), min(value)",
    Function.FIRST: "arg_min(value, (step, at_ms, value))",
}
_STEPS: Final = {
    Function.MIN: "arg_min(step, (value, step)) FILTER (NOT isnan(value))",
    Function.MAX: "arg_min(step, (-value, step)) FILTER (NOT isnan(value))",
    Function.FIRST: "min(step)",
    Function.LAST: "max(step)",
}


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
    _check_aggregates(node)
    return Clause("TRUE") if node is None else _condition(node)


def order(clauses: Sequence[str]) -> Clause:
    """Return the expressions of an ORDER BY for clauses such as ``"metrics.rmse ASC"``.

    A clause may hold several keys, as in ``"min(metrics.loss), params.model DESC"``. As in
    MLflow, either direction puts NaN after every number and a missing value after that; params
    sort as text; equal runs stand latest first, then by id.

    Raises
    ------
    InputError
        A clause is none, or there are too many keys.
    """
    if isinstance(clauses, str):
        clauses = [clauses]
    orderings = [key for clause in clauses for key in parse_order(clause)]
    if len(orderings) > MAX_ORDER_CLAUSES:
        raise InputError(
            f"There are {len(orderings)} keys to order by; at most {MAX_ORDER_CLAUSES} are read.",
            "Leave out the last ones.",
        )
    _check_aggregates(tuple(ordering.field for ordering in orderings))
    keys = [_sort_key(key) for key in orderings]
    last = Clause(f"{_ATTRIBUTES['start_time']} DESC NULLS LAST, run_id ASC")
    return _joined([*keys, last], ", ")


def numbers(texts: Iterable[str]) -> dict[str, Clause]:
    """Return for each text, such as ``min(metrics.loss)``, a DOUBLE of the run; NULL for none.

    Raises
    ------
    InputError
        A text is no number of a run, with the place of the mistake, or there are too many.
    """
    operands = {text: parse_number(text) for text in texts}
    _check_aggregates(tuple(operands.values()))
    return {text: _number(operand) for text, operand in operands.items()}


def keys(filter_text: str) -> tuple[tuple[str, str], ...]:
    """Return the (column, key) of each metric, param and tag that a filter needs to match."""
    return _keys(parse_filter(filter_text))


def order_keys(clauses: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the (column, key) of each metric, param and tag that runs are ordered by."""
    clauses = [clauses] if isinstance(clauses, str) else clauses
    orderings = [key for clause in clauses for key in parse_order(clause)]
    return _keys(tuple(ordering.field for ordering in orderings))


def _keys(part: object) -> tuple[tuple[str, str], ...]:
    kinds = [(getattr(leaf, "kind", Kind.METRIC), leaf.key) for leaf in _leaves(part)]
    return tuple(dict.fromkeys((_COLUMNS[kind], key) for kind, key in kinds if kind in _COLUMNS))


def _check_aggregates(part: object) -> None:
    n = sum(isinstance(leaf, Aggregate) for leaf in _leaves(part))
    if n > MAX_AGGREGATES:
        message = f"This asks {n} times for what was logged over time; {MAX_AGGREGATES} are read."
        raise InputError(message, "Search in several steps.")


def _leaves(part: object) -> Iterator[Field | Aggregate]:
    """Yield what a tree needs of a run; a test for NULL needs nothing."""
    match part:
        case Field() | Aggregate():
            yield part
        case And(parts) | Or(parts) | Sum(parts) | tuple(parts):
            for each in parts:
                yield from _leaves(each)
        case Not(inner) | NumberTest(inner) | RangeTest(inner) | TextTest(inner) | ListTest(inner):
            yield from _leaves(inner)
        case PairTest(left, _, right):
            yield from _leaves((left, right))


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
        case PairTest(left, operator, right):
            return _known(_pair(left, operator, right))
        case NumberTest(field, operator, number):
            return _known(_against_number(field, operator, number))
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


def _number(operand: Operand) -> Clause:
    """Return the number, NULL where the run lacks it or a param is no number."""
    if isinstance(operand, Sum):
        return _enclosed(_joined((_signed(*term) for term in operand.terms), " + "))
    if isinstance(operand, Aggregate):
        return _aggregate(operand)
    if isinstance(operand, float):
        return Clause("CAST(? AS DOUBLE)", (operand,))
    if operand.kind is Kind.ATTRIBUTE:
        return Clause(f"CAST({_ATTRIBUTES[operand.key]} AS DOUBLE)")
    text = _text(operand)
    return Clause(f"TRY_CAST({text.sql} AS DOUBLE)", text.parameters)


def _signed(sign: int, operand: Operand) -> Clause:
    number = _number(operand)
    return Clause(f"({sign} * {number.sql})", number.parameters)


def _aggregate(asked: Aggregate) -> Clause:
    """Return what was asked of a metric over time; a value logged elsewhere stands for itself.

    A run that only the journal knows has its metrics, but no history of them.
    """
    known = _number(Field(Kind.METRIC, asked.key))
    if asked.is_step:
        return _of_history(f"CAST({_STEPS[asked.function]} AS DOUBLE)", asked.key)
    if asked.function is Function.LAST:
        return known
    if asked.function is Function.COUNT:
        counted = _of_history("nullif(count(*), 0)", asked.key)
        other = Clause(f"({known.sql} IS NOT NULL)::INTEGER", known.parameters)
    else:
        counted, other = _of_history(f"coalesce({_PICKED[asked.function]})", asked.key), known
    both = _joined([counted, other], ", ")
    return Clause(f"CAST(coalesce({both.sql}) AS DOUBLE)", both.parameters)


def _of_history(sql: str, key: str) -> Clause:
    condition = "logged_by = run_id AND logged_key = ?"
    return Clause(f"(SELECT {sql} FROM {_LOGGED} WHERE {condition})", (key,))  # noqa: S608 - our own SQL


def _against_number(operand: Operand, operator: str, number: float) -> Clause:
    """Return the comparison; NaN, to DuckDB above every number, is kept from being so by a sign.

    It stays NaN with a minus before it, and is then below nothing.
    """
    subject = _number(operand)
    if not operator.startswith(">"):
        return Clause(f"{subject.sql} {operator} ?", (*subject.parameters, number))
    turned = operator.replace(">", "<")
    return Clause(f"-{subject.sql} {turned} ?", (*subject.parameters, -number))


def _pair(left: Operand, operator: str, right: Operand) -> Clause:
    """Return the comparison; a NaN on either side is different and nothing else.

    Both numbers go through a list of one pair, so that each is worked out once.
    """
    test = f"p.l {operator} p.r AND NOT isnan(p.l) AND NOT isnan(p.r)"
    if operator == "!=":
        test = f"p.l + p.r IS NOT NULL AND ({_NOT_EQUAL})"
    sides = _joined([_number(left), _number(right)], ", r := ")
    return Clause(
        f"list_transform([struct_pack(l := {sides.sql})], lambda p: {test})[1]", sides.parameters
    )


def _within(field: Operand, low: float, high: float, negated: bool) -> Clause:
    """NaN, to DuckDB above every number, lies outside of every range."""
    subject = _number(field)
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


def _sort_key(ordering: Ordering) -> Clause:
    direction = "DESC NULLS LAST" if ordering.descending else "ASC NULLS LAST"
    field = ordering.field
    if isinstance(field, Field) and field.kind is Kind.DATASET:
        raise InputError(
            "Runs cannot be ordered by a dataset, since a run may have several.",
            "Order by a metric, param, tag or attribute.",
        )
    if isinstance(field, Field) and field.kind is not Kind.METRIC:
        value = _text(field)
        return Clause(f"{value.sql} {direction}", value.parameters)
    value = _number(field)
    sign = "-" if ordering.descending else ""  # DESC would put NaN, the greatest, first
    return Clause(f"{sign}{value.sql} ASC NULLS LAST", value.parameters)
