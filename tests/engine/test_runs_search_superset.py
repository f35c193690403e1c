"""What only the superset of the search grammar accepts, against a plain Python evaluation."""

from __future__ import annotations

import math
import time

import pytest
from filters_kit import UNHURRIED
from hypothesis import given, settings
from hypothesis import strategies as st
from search_kit import Run, in_order, load, matching, place_of
from superset_kit import logged_runs, superset_filter, superset_order

from local_stack.errors import InputError
from local_stack.runs.search import MAX_AGGREGATES, MAX_ORDER_CLAUSES, numbers, order, where


@settings(UNHURRIED, max_examples=60)
@given(runs=logged_runs(), case=superset_filter())
def test_every_filter_means_what_plain_python_makes_of_it(runs, case):
    text, holds = case
    load(runs)
    assert matching(text) == {run.run_id for run in runs if holds(run)}, text


@settings(UNHURRIED, max_examples=60)
@given(runs=logged_runs(), case=superset_order())
def test_every_order_is_that_of_plain_python(runs, case):
    clauses, sort = case
    load(runs)
    assert in_order(clauses) == sort(runs), clauses


@pytest.mark.slow
@settings(UNHURRIED, max_examples=800)
@given(runs=logged_runs(), case=superset_filter(), ordered=superset_order())
def test_thousands_of_filters_and_orders_mean_what_python_makes_of_them(runs, case, ordered):
    text, holds = case
    load(runs)
    assert matching(text) == {run.run_id for run in runs if holds(run)}, text
    assert in_order(ordered[0]) == ordered[1](runs), ordered[0]


CURVES = [
    Run(
        "1",
        metrics={"loss": 3.0, "rmse": 2.0},
        history={"loss": [(0, 5, 1.0), (1, 6, math.nan), (2, 7, 0.5), (3, 8, 0.5), (4, 9, 3.0)]},
    ),
    Run("2", metrics={"loss": math.nan}, history={"loss": [(7, 5, math.nan)]}),
    Run("3", metrics={"loss": 0.25}),
    Run("4", params={"n": "2.5"}),
]


@pytest.mark.parametrize(
    ("filter_text", "expected"),
    [
        ("min(metrics.loss) = 0.5", "1"),
        ("max(metrics.loss) = 3", "1"),
        ("mean(metrics.loss) = 1.25", "1"),
        ("first(metrics.loss) = 1", "1"),
        ("last(metrics.loss) = 3", "1"),
        ("count(metrics.loss) = 5", "1"),
        ("count(metrics.loss) = 1", "23"),
        ("count(metrics.loss) = 0", "4"),
        ("step(metrics.loss) = 4", "1"),
        ("step(min(metrics.loss)) = 2", "1"),
        ("step(first(metrics.loss)) = 0", "1"),
        ("step(last(metrics.loss)) = 7", "2"),
        ("min(metrics.loss) != 0.5", "23"),
        ("min(metrics.loss) < 1", "13"),
        ("NOT min(metrics.loss) < 1", "24"),
        ("last(metrics.loss) > min(metrics.loss)", "1"),
        ("metrics.loss - metrics.rmse = 1", "1"),
        ("metrics.loss - metrics.rmse - 1 = 0", "1"),
        ("metrics.rmse < 1 + metrics.loss", "1"),
        ("max(metrics.loss) - min(metrics.loss) BETWEEN 2 AND 3", "1"),
        ("params.n - 0.5 = 2", "4"),
        ("metrics.missing + 1 > 0", ""),
    ],
)
def test_what_was_logged_over_time_can_be_asked(filter_text, expected):
    load(CURVES)
    assert matching(filter_text) == set(expected)


def test_runs_are_ordered_by_several_keys_of_one_text_and_by_expressions():
    load(CURVES)
    assert in_order(["min(metrics.loss)"]) == ["3", "1", "2", "4"]
    assert in_order(["max(metrics.loss) DESC, metrics.rmse"]) == ["1", "3", "2", "4"]
    assert in_order(["count(metrics.loss) DESC, metrics.loss ASC"]) == ["1", "3", "2", "4"]
    assert in_order(["count(metrics.loss) desc", "metrics.loss"]) == ["1", "3", "2", "4"]
    assert in_order(["step(metrics.loss),metrics.loss"]) == ["1", "2", "3", "4"]
    load([Run("1", params={"a,b": "y"}), Run("2", params={"a,b": "x"})])
    assert in_order(["params.`a,b` ASC, run_id DESC"]) == ["2", "1"]


@pytest.mark.parametrize(
    ("filter_text", "place", "hint"),
    [
        ("mim(metrics.a) < 1", "mim", "Did you mean 'min'?"),
        ("avg(metrics.a) < 1", "avg", "Did you mean 'mean'?"),
        ("counts(metrics.a) < 1", "counts", "Did you mean 'count'?"),
        ("median(metrics.a) < 1", "median", "Did you mean 'mean'?"),
        ("status(metrics.a) < 1", "status", "Use one of min, max"),
        ("min metrics.a < 1", "min", "Write min(metrics.loss)"),
        ("min(params.a) < 1", "params.a", "Write min(metrics.loss)"),
        ("min(a) < 1", "a)", "Write min(metrics.loss)"),
        ("min() < 1", ")", "Write min(metrics.loss)"),
        ("min(min(metrics.a)) < 1", "min(metrics", "Write min(metrics.loss)"),
        ("min(metrics.a, metrics.b) < 1", ",", "Add ')'"),
        ("min(metrics.a < 1", "< 1", "Add ')'"),
        ("step(count(metrics.a)) < 1", "count", "Write one of min, max, first, last"),
        ("step(step(metrics.a)) < 1", "step(metrics", "Write one of min, max, first, last"),
        ("min(metrics.a) LIKE 'x'", "LIKE", "Use one of ="),
        ("min(metrics.a) == 1", "== 1", "Did you mean '='?"),
        ("min(metrics.a) IS NULL", "IS NULL", "Use one of ="),
        ("min(metrics.a) = 'x'", "'x'", "Leave the quotation marks out"),
        ("metrics.a -5 < 1", "-5", "Leave a blank behind the sign: - 5."),
        ("metrics.a -metrics.b < 1", "-metrics", "Leave a blank on both sides of -."),
        ("metrics.a * 2 < 1", "* 2", "only added and subtracted"),
        ("metrics.a - tags.b < 1", "tags.b", "Compare and add up metrics"),
        ("status - 1 < 1", "status", "Compare and add up metrics"),
        ("metrics.a - < 1", "< 1", "metrics.rmse"),
        ("metrics.a - 1 < ", "", "Write one"),
        ("params.a = params.b", "params.b", "params.a - params.b = 0"),
        ("metrics.a < datasets.name", "datasets.name", "Compare and add up metrics"),
        ("metrics.a < statu", "statu", "Did you mean 'status'?"),
    ],
)
def test_a_mistake_in_the_additions_is_shown_with_a_way_out(filter_text, place, hint):
    with pytest.raises(InputError) as caught:
        where(filter_text)
    assert place_of(caught.value).startswith(place)
    assert bool(place_of(caught.value)) == bool(place)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("clause", "place", "hint"),
    [
        ("metrics.a ASC,", "", "Name one"),
        ("metrics.a, foo", "foo", "metrics.foo"),
        ("metrics.a ASC metrics.b", "metrics.b", "write ',' before it"),
        ("min(metrics.a) dsc", "dsc", "Did you mean 'DESC'?"),
        ("min(metrics.a", "", "Add ')'"),
        ("metrics.a < 1", "< 1", "ASC or DESC"),
    ],
)
def test_a_mistake_in_an_order_is_shown_with_a_way_out(clause, place, hint):
    with pytest.raises(InputError) as caught:
        order([clause])
    assert place_of(caught.value).startswith(place)
    assert hint in caught.value.hint


def test_the_additions_are_bounded():
    with pytest.raises(InputError, match="at most 200"):
        where("metrics.a" + " + metrics.a" * 200 + " > 1")
    with pytest.raises(InputError, match="keys to order by"):
        order([", ".join(["metrics.a"] * (MAX_ORDER_CLAUSES + 1))])
    load(CURVES)
    assert matching("metrics.loss" + " + 1" * 199 + " > 201") == {"1"}
    for opening in ("step(", "min(", "metrics.a - ", "metrics.a + 1 "):
        with pytest.raises(InputError):
            where(opening * 2_000)


def test_questions_about_what_was_logged_are_bounded_for_they_take_long_to_plan():
    load(CURVES)
    asked = [f"min(metrics.m{i})" for i in range(MAX_AGGREGATES + 1)]
    start = time.thread_time()
    assert matching(" + ".join(asked[1:]) + " != 1 - metrics.loss") == set()
    assert in_order([", ".join(asked[1:])]) == ["1", "2", "3", "4"]
    assert time.thread_time() - start < 20
    refused = [
        lambda: where(" OR ".join(f"{number} < 1" for number in asked)),
        lambda: where(f"NOT metrics.a - {' - '.join(asked)} BETWEEN 1 AND 2"),
        lambda: order([" + ".join(asked[:9]), " + ".join(asked[9:])]),
        lambda: numbers([" + ".join(asked[:9]), " + ".join(asked[9:])]),
    ]
    for ask in refused:
        with pytest.raises(InputError, match="asks 21 times") as caught:
            ask()
        assert caught.value.hint


@settings(deadline=None)
@given(key=st.text(min_size=1).map(lambda text: text.replace("`", "")).filter(bool))
def test_nothing_of_a_key_in_an_aggregate_reaches_the_sql(key):
    texts = ["step(min(metrics.`{0}`)) < mean(metrics.`{0}`) - 1", "count(metric.`{0}`) = 0"]
    for text in texts:
        try:
            assert where(text.format(key)).sql == where(text.format("k")).sql
        except InputError:
            assert not key.isprintable()
