"""Great Expectations suites in JSON, of 0.x (``expectation_type``) and 1.x (``type``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from local_stack.data.contracting.foreign import Draft, Taken, constant, named

_SEVERITIES = {"critical": "error", "warning": "warning", "info": "warning"}
_ASIDE = frozenset(("result_format", "catch_exceptions", "batch_id", "include_config", "auto"))
_TYPES = {
    "long": "int int8 int16 int32 int64 integer bigint smallint tinyint long integertype longtype",
    "double": "float float32 float64 double real numeric floattype doubletype",
    "string": "str string object varchar text char stringtype",
    "boolean": "bool boolean bool_ booleantype",
    "date": "date datetype",
    "datetime": "datetime datetime64 datetime64[ns] timestamp timestamptype",
}
_WORDS = {name: kind for kind, names in _TYPES.items() for name in names.split()}


@dataclass(frozen=True, slots=True)
class _Expectation:
    """One expectation: its type, its arguments, and how much it weighs."""

    kind: str
    given: Mapping[str, Any]
    severity: str
    mostly: float

    @property
    def column(self) -> str:
        return str(self.given["column"])

    @property
    def what(self) -> str:
        """Return the expectation in words, for a warning."""
        column = self.given.get("column")
        return f"{self.kind} of column '{column}'" if column is not None else self.kind


def taken(suite: Mapping[str, Any]) -> Taken:
    """Return the contract that a suite makes; each expectation without a word here is named."""
    draft = Draft()
    for item in suite["expectations"]:
        if not isinstance(item, Mapping):
            draft.warn("an expectation", "it is not an object")
            continue
        _take(draft, item)
    return draft.taken("great_expectations")


def _take(draft: Draft, item: Mapping[str, Any]) -> None:
    kind = str(item.get("expectation_type") or item.get("type") or "")
    given = item.get("kwargs")
    given = given if isinstance(given, Mapping) else {}
    severity = _SEVERITIES.get(str(item.get("severity", "critical")), "error")
    mostly = given.get("mostly", 1.0)
    expectation = _Expectation(kind, given, severity, 1.0)
    if isinstance(mostly, int | float) and not isinstance(mostly, bool) and 0 <= mostly <= 1:
        expectation = _Expectation(kind, given, severity, float(mostly))
    elif mostly is not None:
        draft.warn(f"mostly of {expectation.what}", "it is not a share")
    translate = _EXPECTATIONS.get(kind)
    if translate is None:
        draft.warn(
            expectation.what or "an expectation without a type", "there is no such rule here"
        )
    elif given.get("row_condition") or given.get("condition_parser"):
        draft.warn(expectation.what, "it holds for some rows only")
    elif any(isinstance(value, Mapping) for key, value in given.items() if key not in _ASIDE):
        draft.warn(expectation.what, "an argument is filled in when it runs")
    else:
        try:
            translate(draft, expectation)
        except (KeyError, TypeError, ValueError):
            draft.warn(expectation.what, "an argument is missing or of another kind")


def _rule(draft: Draft, it: _Expectation, word: str, value: Any, mostly: bool = True) -> None:
    draft.rule(
        it.column,
        word,
        value,
        severity=it.severity,
        mostly=it.mostly if mostly else 1.0,
        what=it.what,
    )


def _bounds(draft: Draft, it: _Expectation, low: str, high: str, *, mostly: bool = True) -> None:
    """Take ``min_value`` and ``max_value`` as the words ``low`` and ``high``."""
    for name, word in (("min", low), ("max", high)):
        value = it.given.get(f"{name}_value")
        if value is not None and word:
            strict = it.given.get(f"strict_{name}")
            _rule(draft, it, f"exclusive_{word}" if strict else word, value, mostly)


def _between(draft: Draft, it: _Expectation) -> None:
    _bounds(draft, it, "min", "max")


def _lengths(draft: Draft, it: _Expectation) -> None:
    for name, word, step in (("min", "min_length", 1), ("max", "max_length", -1)):
        value = it.given.get(f"{name}_value")
        if value is not None:
            _rule(draft, it, word, int(value) + (step if it.given.get(f"strict_{name}") else 0))


def _length(draft: Draft, it: _Expectation) -> None:
    _rule(draft, it, "min_length", int(it.given["value"]))
    _rule(draft, it, "max_length", int(it.given["value"]))


def _not_null(draft: Draft, it: _Expectation) -> None:
    if it.mostly < 1:
        _rule(draft, it, "max_missing", round(1 - it.mostly, 12), mostly=False)
    else:
        _rule(draft, it, "nullable", False)


def _null(draft: Draft, it: _Expectation) -> None:
    _condition(draft, it, f"{it.column} is missing", f"{named(it.column)} IS NULL", it.column)


def _condition(draft: Draft, it: _Expectation, name: str, expression: str, *columns: str) -> None:
    for column in columns:
        draft.column(column)
    draft.check(name, expression, severity=it.severity, mostly=it.mostly, what=it.what)


def _regexes(draft: Draft, it: _Expectation) -> None:
    patterns = [str(pattern) for pattern in it.given["regex_list"]]
    if it.given.get("match_on", "any") == "all":
        for pattern in patterns:
            _rule(draft, it, "pattern", pattern)
    else:
        _rule(draft, it, "pattern", "|".join(f"(?:{pattern})" for pattern in patterns))


def _no_regexes(draft: Draft, it: _Expectation) -> None:
    patterns = [str(pattern) for pattern in it.given["regex_list"]]
    _rule(draft, it, "forbidden_pattern", "|".join(f"(?:{pattern})" for pattern in patterns))


def _like(word: str) -> Callable[[Draft, _Expectation], None]:
    def take(draft: Draft, it: _Expectation) -> None:
        pattern = str(it.given["like_pattern"])
        expression = f"{named(it.column)} {word} {constant(pattern)}"
        _condition(draft, it, f"{it.column} {word} {pattern}", expression, it.column)

    return take


def _row_count(draft: Draft, it: _Expectation) -> None:
    rows = draft.values.setdefault("rows", {})
    exact = it.given.get("value")
    for word in ("min", "max"):
        value = exact if exact is not None else it.given.get(f"{word}_value")
        if value is None:
            continue
        step = {"min": 1, "max": -1}[word] if it.given.get(f"strict_{word}") else 0
        bound = int(value) + step
        is_warning = it.severity != "error"
        rows[word] = {"value": bound, "severity": it.severity} if is_warning else bound


def _ordered_list(draft: Draft, it: _Expectation) -> None:
    wanted = [str(name) for name in it.given["column_list"]]
    columns = draft.values.setdefault("columns", {})
    known = dict(columns)
    columns.clear()
    columns.update({name: known.get(name, {}) for name in [*wanted, *known]})
    draft.values["column_order"] = True
    draft.values["extra_columns"] = "forbid"


def _set(draft: Draft, it: _Expectation) -> None:
    for name in it.given["column_set"] or []:
        draft.column(str(name))
    if it.given.get("exact_match", True) is not False:
        draft.values["extra_columns"] = "forbid"


def _exists(draft: Draft, it: _Expectation) -> None:
    draft.column(it.column)
    if it.given.get("column_index") is not None:
        draft.warn(f"column_index of {it.what}", "only the order of all columns is a rule here")


def _compound(draft: Draft, it: _Expectation) -> None:
    columns = [str(name) for name in it.given["column_list"]]
    for name in columns:
        draft.column(name)
    draft.key(columns, severity=it.severity, what=it.what)


def _within_record(draft: Draft, it: _Expectation) -> None:
    columns = [str(name) for name in it.given["column_list"]]
    pairs = [f"{named(a)} <> {named(b)}" for a, b in combinations(columns, 2)]
    _condition(draft, it, "different within a row", " AND ".join(pairs), *columns)


def _greater(draft: Draft, it: _Expectation) -> None:
    a, b = str(it.given["column_A"]), str(it.given["column_B"])
    mark = ">=" if it.given.get("or_equal") else ">"
    _condition(draft, it, f"{a} {mark} {b}", f"{named(a)} {mark} {named(b)}", a, b)


def _equal(draft: Draft, it: _Expectation) -> None:
    a, b = str(it.given["column_A"]), str(it.given["column_B"])
    _condition(draft, it, f"{a} = {b}", f"{named(a)} = {named(b)}", a, b)


def _sum(draft: Draft, it: _Expectation) -> None:
    columns = [str(name) for name in it.given["column_list"]]
    total = it.given["sum_total"]
    expression = f"{' + '.join(map(named, columns))} = {constant(total)}"
    _condition(draft, it, f"sum is {total}", expression, *columns)


def _order(word: str) -> Callable[[Draft, _Expectation], None]:
    def take(draft: Draft, it: _Expectation) -> None:
        if it.mostly < 1:
            draft.warn(f"mostly of {it.what}", "an order is kept or not")
        strict = "strictly_" if it.given.get("strictly") else ""
        _rule(draft, it, "monotonic", f"{strict}{word}", mostly=False)

    return take


def _of_type(draft: Draft, it: _Expectation) -> None:
    names = it.given["type_list"] if "type_list" in it.given else [it.given["type_"]]
    kinds = {_WORDS.get(str(name).lower().rpartition(".")[2].partition("(")[0]) for name in names}
    if len(kinds) == 1 and None not in kinds:
        _rule(draft, it, "type", kinds.pop(), mostly=False)
    elif kinds == {"long", "double"}:
        _rule(draft, it, "type", "double", mostly=False)
    else:
        draft.warn(it.what, f"no one type here is {', '.join(map(str, names))}")


def _least(draft: Draft, it: _Expectation) -> None:
    _bounds(draft, it, "min", "", mostly=False)
    if it.given.get("max_value") is not None:
        draft.warn(f"max_value of {it.what}", "only the lower bound of all values is a rule here")


def _most(draft: Draft, it: _Expectation) -> None:
    _bounds(draft, it, "", "max", mostly=False)
    if it.given.get("min_value") is not None:
        draft.warn(f"min_value of {it.what}", "only the upper bound of all values is a rule here")


def _n_distinct(draft: Draft, it: _Expectation) -> None:
    for name in ("min", "max"):
        if (value := it.given.get(f"{name}_value")) is not None:
            _rule(draft, it, f"{name}_distinct", int(value), mostly=False)


def _equal_set(draft: Draft, it: _Expectation) -> None:
    values = list(it.given["value_set"])
    _rule(draft, it, "allowed", values, mostly=False)
    _rule(draft, it, "min_distinct", len(values), mostly=False)


def _single(word: str, argument: str) -> Callable[[Draft, _Expectation], None]:
    def take(draft: Draft, it: _Expectation) -> None:
        value = it.given[argument]
        _rule(draft, it, word, list(value) if argument == "value_set" else value)

    return take


_EXPECTATIONS: dict[str, Callable[[Draft, _Expectation], None]] = {
    "expect_column_to_exist": _exists,
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_values_to_be_null": _null,
    "expect_column_values_to_be_unique": lambda draft, it: _rule(draft, it, "unique", True),
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": _single("allowed", "value_set"),
    "expect_column_values_to_not_be_in_set": _single("forbidden", "value_set"),
    "expect_column_values_to_match_regex": _single("pattern", "regex"),
    "expect_column_values_to_not_match_regex": _single("forbidden_pattern", "regex"),
    "expect_column_values_to_match_regex_list": _regexes,
    "expect_column_values_to_not_match_regex_list": _no_regexes,
    "expect_column_values_to_match_like_pattern": _like("LIKE"),
    "expect_column_values_to_not_match_like_pattern": _like("NOT LIKE"),
    "expect_column_value_lengths_to_be_between": _lengths,
    "expect_column_value_lengths_to_equal": _length,
    "expect_column_values_to_be_increasing": _order("increasing"),
    "expect_column_values_to_be_decreasing": _order("decreasing"),
    "expect_column_values_to_be_of_type": _of_type,
    "expect_column_values_to_be_in_type_list": _of_type,
    "expect_column_min_to_be_between": _least,
    "expect_column_max_to_be_between": _most,
    "expect_column_unique_value_count_to_be_between": _n_distinct,
    "expect_column_distinct_values_to_be_in_set": _single("allowed", "value_set"),
    "expect_column_distinct_values_to_equal_set": _equal_set,
    "expect_table_row_count_to_be_between": _row_count,
    "expect_table_row_count_to_equal": _row_count,
    "expect_table_columns_to_match_ordered_list": _ordered_list,
    "expect_table_columns_to_match_set": _set,
    "expect_compound_columns_to_be_unique": _compound,
    "expect_multicolumn_values_to_be_unique": _compound,
    "expect_select_column_values_to_be_unique_within_record": _within_record,
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
    "expect_column_pair_values_to_be_equal": _equal,
    "expect_multicolumn_sum_to_equal": _sum,
}
"""Every expectation that is taken over."""
