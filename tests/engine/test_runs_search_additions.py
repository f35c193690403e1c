"""What the search grammar has beyond MLflow's means what it says."""

from __future__ import annotations

import operator

import pytest
from filters_kit import NUMBERS, NUMERALS, UNHURRIED
from hypothesis import given, settings
from hypothesis import strategies as st
from search_kit import SMALL, Run, connected, in_order, load, matching

COMPARISONS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@UNHURRIED
@given(
    metrics=st.lists(st.dictionaries(st.sampled_from("ab"), NUMBERS), max_size=6),
    comparator=st.sampled_from(sorted(COMPARISONS)),
)
def test_metric_against_metric_compares_as_python_does(metrics, comparator):
    runs = [Run(str(i), metrics=values) for i, values in enumerate(metrics)]
    load(runs)
    expected = {
        run.run_id
        for run in runs
        if {"a", "b"} <= run.metrics.keys()
        and COMPARISONS[comparator](run.metrics["a"], run.metrics["b"])
    }
    assert matching(f"metrics.a {comparator} metrics.b") == expected


@settings(deadline=None)
@given(
    values=st.lists(
        st.one_of(
            NUMBERS.map(repr), st.sampled_from(["", "x", "True", "0x1f", " 1 ", "1,5", "1e"])
        ),
        max_size=5,
    ),
    bound=NUMERALS,
    comparator=st.sampled_from(sorted(COMPARISONS)),
)
def test_params_compare_as_numbers_with_a_bare_number(values, bound, comparator):
    load([Run(str(i), params={"a": value}) for i, value in enumerate(values)])
    expected = set()
    for i, value in enumerate(values):
        try:
            number = float(value)
        except ValueError:
            continue
        if COMPARISONS[comparator](number, float(bound)):
            expected.add(str(i))
    assert matching(f"params.a {comparator} {bound}") == expected


@settings(deadline=None)
@given(values=st.lists(NUMBERS, max_size=5), low=NUMERALS, high=NUMERALS)
def test_between_includes_both_ends_and_not_between_is_the_rest_of_those_that_have_it(
    values, low, high
):
    load([Run(str(i), metrics={"a": value}) for i, value in enumerate(values)] + [Run("none")])
    inside = {str(i) for i, value in enumerate(values) if float(low) <= value <= float(high)}
    everyone = {str(i) for i in range(len(values))}
    assert matching(f"metrics.a BETWEEN {low} AND {high}") == inside
    assert matching(f"metrics.a not between {low} and {high}") == everyone - inside
    assert matching(f"NOT metrics.a BETWEEN {low} AND {high}") == everyone - inside | {"none"}


@pytest.mark.parametrize(
    ("filter_text", "expected"),
    [
        ("", "123"),
        ("  \n", "123"),
        ("params.n > 1", "2"),
        ("params.n = 10.0", "2"),
        ("params.n BETWEEN 0 AND 1", "1"),
        ("metrics.m < metrics.v", "1"),
        ("metrics.m != metrics.v", "12"),
        ("attributes.duration >= 2.5", "1"),
        ("attributes.duration < 2.5", "3"),
        ("duration BETWEEN 0 AND 0", "3"),
        ("status IN ('FAILED', 'KILLED')", "3"),
        ("status NOT IN ('FAILED')", "12"),
        ("params.p IN ('x', 'z',)", "1"),
        ("params.p LIKE 'X'", ""),
        ("params.p ILIKE 'X'", "1"),
        ("params.n LIKE '_._'", "1"),
        ("params.p NOT LIKE 'x%'", "2"),
        ("NOT params.p LIKE 'x%'", "23"),
        ("datasets.name NOT LIKE 'x%'", "3"),
        ("NOT NOT params.p = 'x'", "1"),
        ("params.p = 'x' OR params.p = 'y' AND params.n > 100", "1"),
        ("(params.p = 'x' OR params.p = 'y') AND params.n > 1", "2"),
        ("NOT params.p = 'x' AND params.n > 1", "2"),
        ("start_time BETWEEN 2000 AND 3000", "23"),
    ],
)
def test_the_additions_mean_what_they_say(filter_text, expected):
    load(SMALL)
    assert matching(filter_text) == set(expected)


def test_runs_can_be_ordered_by_duration():
    load(SMALL)
    assert in_order(["attributes.duration DESC"]) == ["1", "3", "2"]
    assert in_order(["duration"]) == ["3", "1", "2"]


def test_the_times_of_a_run_are_cut_to_milliseconds_not_rounded():
    load([Run("1")])
    connected().execute("UPDATE found_runs SET started_at = '1970-01-01T00:00:00.001999Z'")
    assert matching("start_time = 1") == {"1"}


def test_rows_without_json_match_nothing_but_is_null():
    load([Run("1")])
    connected().execute("UPDATE found_runs SET params=NULL, metrics=NULL, tags=NULL, datasets=NULL")
    tests = ["params.a != 'x'", "metrics.a != 1", "tags.a NOT IN ('x')", "datasets.name != 'x'"]
    for test in tests:
        assert matching(test) == set()
        assert matching(f"NOT {test}") == {"1"}
    assert matching("params.a IS NULL and tags.a IS NULL") == {"1"}
