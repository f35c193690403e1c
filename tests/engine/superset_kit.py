"""Filters that only the superset accepts, each beside what it means in plain Python."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from search_kit import Run

Number = Callable[[Run], float | None]
Predicate = Callable[[Run], bool]

COMPARISONS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

QUARTERS = st.integers(-8, 8).map(lambda n: n / 4)
"""Numbers whose sums are exact in every order of adding them up."""

VALUES = st.one_of(QUARTERS, QUARTERS, QUARTERS, st.sampled_from([math.nan, math.inf, -math.inf]))
_ENTRIES = st.lists(
    st.tuples(st.integers(-2, 9), st.integers(0, 3), VALUES),
    min_size=1,
    max_size=5,
    unique_by=lambda entry: entry[0],
)
_PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "n": QUARTERS.map(str) | st.sampled_from(["", "x", "nan", "inf", " 1 ", "1e1", "True"]),
        "p": st.sampled_from(["", "a", "A", "b"]),
    },
)


@st.composite
def logged_runs(draw: Any) -> list[Run]:
    """Return runs whose metrics were logged over time, some of which have no history."""
    runs = []
    for run_id in draw(st.lists(st.sampled_from("vwxyz"), unique=True, max_size=5)):
        history = draw(st.dictionaries(st.sampled_from("ab"), _ENTRIES, max_size=2))
        lone = draw(st.dictionaries(st.sampled_from("bc"), VALUES, max_size=1))
        start = draw(st.integers(0, 3)) * 500
        runs.append(
            Run(
                run_id,
                start=start,
                end=draw(st.none() | st.integers(0, 4).map(lambda n, start=start: start + n * 250)),
                metrics=lone | {key: max(entries)[2] for key, entries in history.items()},
                params=draw(_PARAMS),
                history=history,
            )
        )
    return runs


# ------------------------------------------------------------------ numbers of a run


def _entries(run: Run, key: str) -> list[tuple[int | None, int, float]]:
    """Return what was logged; a metric without a history counts as logged once, at no step."""
    if key in run.history:
        return list(run.history[key])
    return [(None, 0, run.metrics[key])] if key in run.metrics else []


def _picked(function: str, key: str, *, is_step: bool = False) -> Number:
    def of(run: Run) -> float | None:
        entries = _entries(run, key)
        values = [value for _, _, value in entries]
        finite = [value for value in values if not math.isnan(value)]
        if function == "count":
            return len(values)
        if not values:
            return None
        if function == "mean":
            return sum(finite) / len(finite) if finite else math.nan
        if entries[0][0] is None:
            return None if is_step else values[0]
        if function in ("min", "max"):
            if not finite:
                return None if is_step else math.nan
            best = min(finite) if function == "min" else max(finite)
            return min(step for step, _, value in entries if value == best) if is_step else best
        chosen = min(entries) if function == "first" else max(entries)
        return chosen[0] if is_step else chosen[2]

    return of


def _param(run: Run) -> float | None:
    try:
        return float(run.params["n"])
    except (KeyError, ValueError):
        return None


def _duration(run: Run) -> float | None:
    return None if run.end is None else (run.end - run.start) / 1000


@st.composite
def _single(draw: Any) -> tuple[str, Number]:
    kind = draw(st.sampled_from(["metric", "param", "duration", "aggregate", "aggregate", "step"]))
    key = draw(st.sampled_from("abc"))
    if kind == "metric":
        return f"metrics.{key}", lambda run: run.metrics.get(key)
    if kind == "param":
        return "params.n", _param
    if kind == "duration":
        return draw(st.sampled_from(["duration", "attributes.duration"])), _duration
    named = draw(st.sampled_from([f"metrics.{key}", f"metric.`{key}`", f' metrics."{key}" ']))
    if kind == "step":
        function = draw(st.sampled_from(["", "min", "max", "first", "last"]))
        inner = f"{function}({named})" if function else named
        return f"step({inner})", _picked(function or "last", key, is_step=True)
    function = draw(st.sampled_from(["min", "max", "mean", "first", "last", "count"]))
    shown = draw(st.sampled_from([function, function.upper(), f"{function} "]))
    return f"{shown}({named})", _picked(function, key)


@st.composite
def numbers(draw: Any) -> tuple[str, Number]:
    """Return a number of a run, or a sum of several, as text and as a function."""
    text, first = draw(_single())
    terms = [(1, first)]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        sign = draw(st.sampled_from("+-"))
        literal = draw(QUARTERS)
        plain = (str(literal), lambda run, literal=literal: literal)
        shown, number = draw(_single() | st.just(plain))
        text += f" {sign} {shown}"
        terms.append((1 if sign == "+" else -1, number))

    def total(run: Run) -> float | None:
        parts = [(sign, number(run)) for sign, number in terms]
        known = [sign * part for sign, part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    return text, first if len(terms) == 1 else total


# ------------------------------------------------------------------ filters and orders


def _is_param(text: str) -> bool:
    return text == "params.n"


@st.composite
def _test(draw: Any) -> tuple[str, Predicate]:
    kind = draw(st.sampled_from(["number", "pair", "pair", "between", "text"]))
    if kind == "text":
        value = draw(st.sampled_from("aA"))
        word, match = draw(
            st.sampled_from(
                [
                    ("=", lambda text: text == value),
                    ("NOT LIKE", lambda text: text != value),
                    ("not ilike", lambda text: text.lower() != value.lower()),
                ]
            )
        )
        return (
            f"params.p {word} '{value}'",
            lambda run: "p" in run.params and match(run.params["p"]),
        )
    text, left = draw(numbers())
    low, high = draw(QUARTERS), draw(QUARTERS)
    if kind == "between":
        word = draw(st.sampled_from(["BETWEEN", "not between"]))

        def within(run: Run) -> bool:
            value = left(run)
            is_within = value is not None and low <= value <= high
            return is_within if word == "BETWEEN" else value is not None and not is_within

        return f"{text} {word} {low} AND {high}", within
    comparator = draw(st.sampled_from(sorted(COMPARISONS)))
    compare = COMPARISONS[comparator]
    other_text, right = draw(numbers()) if kind == "pair" else (str(low), lambda run: low)
    if _is_param(text) and _is_param(other_text) and comparator in ("=", "!="):
        comparator, compare = "<", operator.lt

    def compared(run: Run) -> bool:
        sides = left(run), right(run)
        return None not in sides and compare(*sides)

    return f"{text} {comparator} {other_text}", compared


@st.composite
def superset_filter(draw: Any, depth: int = 2) -> tuple[str, Predicate]:
    """Return a filter with OR, NOT and parentheses, and what it means."""
    groups = []
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        groups.append([draw(_factor(depth)) for _ in range(draw(st.sampled_from([1, 1, 2])))])
    text = " OR ".join(" and ".join(part for part, _ in group) for group in groups)
    return text, lambda run: any(all(holds(run) for _, holds in group) for group in groups)


@st.composite
def _factor(draw: Any, depth: int) -> tuple[str, Predicate]:
    shape = draw(st.sampled_from(["test", "test", "not", "group"])) if depth else "test"
    if shape == "test":
        return draw(_test())
    if shape == "not":
        text, holds = draw(_factor(depth - 1))
        return f"NOT {text}", lambda run: not holds(run)
    text, holds = draw(superset_filter(depth - 1))
    return f"({text})", holds


@st.composite
def superset_order(draw: Any) -> tuple[list[str], Callable[[list[Run]], list[str]]]:
    """Return order clauses with one or several keys each, and the function that sorts so."""
    clauses, keys = [], []
    for _ in range(draw(st.integers(1, 2))):
        parts = []
        for _ in range(draw(st.integers(1, 2))):
            text, number = draw(numbers())
            direction = draw(st.sampled_from(["", " ASC", " desc"]))
            parts.append(text.strip() + direction)
            if not _is_param(text):
                keys.append((_numeric_key(number), direction == " desc"))
            else:
                keys.append((lambda run: _rank(run.params.get("n")), direction == " desc"))
        clauses.append(draw(st.sampled_from([", ", ","])).join(parts))

    def sort(runs: list[Run]) -> list[str]:
        runs = sorted(runs, key=lambda run: (-run.start, run.run_id))
        for key, is_descending in reversed(keys):
            present = [run for run in runs if key(run)[0] == 0]
            ordered = sorted(present, key=lambda run: key(run)[1], reverse=is_descending)
            runs = ordered + [run for rank in (1, 2) for run in runs if key(run)[0] == rank]
        return [run.run_id for run in runs]

    return clauses, sort


def _rank(value: Any) -> tuple[int, Any]:
    """Numbers and texts first, then NaN, then what is missing."""
    if value is None:
        return 2, 0
    return (1, 0) if isinstance(value, float) and math.isnan(value) else (0, value)


def _numeric_key(number: Number) -> Callable[[Run], tuple[int, Any]]:
    return lambda run: _rank(number(run))
