"""The search grammar against MLflow itself, on made-up runs."""

from __future__ import annotations

import pytest
from filters_kit import ORDERS, TESTS, UNHURRIED, filters, some_runs
from hypothesis import given, settings
from hypothesis import strategies as st
from search_kit import Run, in_order, load, matching, mlflow_in_order, mlflow_matching


@pytest.fixture(scope="module")
def mlflow_loaded():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.utils.search_utils  # noqa: F401


@UNHURRIED
@given(runs=some_runs(), filter_text=filters())
def test_every_filter_finds_what_mlflow_finds(mlflow_loaded, runs, filter_text):
    load(runs)
    assert matching(filter_text) == mlflow_matching(runs, filter_text)


@pytest.mark.slow
@settings(UNHURRIED, max_examples=1_500)
@given(runs=some_runs(), filter_text=filters(), clauses=ORDERS)
def test_many_filters_and_orders_answer_as_mlflow_does(mlflow_loaded, runs, filter_text, clauses):
    load(runs)
    assert matching(filter_text) == mlflow_matching(runs, filter_text)
    assert in_order(clauses) == mlflow_in_order(runs, clauses)


LIKE_LETTERS = "aAbé.\\\n%_("


@st.composite
def _patterns(draw):
    """Return texts, and a pattern close enough to them to match often."""
    texts = draw(st.lists(st.text(LIKE_LETTERS, min_size=1, max_size=4), min_size=2, max_size=6))
    changes = [str.swapcase, lambda _: "%", lambda _: "_", lambda _: ""] + [str] * 4
    pattern = "".join(draw(st.sampled_from(changes))(letter) for letter in texts[0])
    ends = ["", "%"] if pattern.endswith("\\") else ["", "", "%", "\n", "b"]
    return texts, draw(st.sampled_from(["", "", "%"])) + pattern + draw(st.sampled_from(ends))


@settings(UNHURRIED, max_examples=250)
@given(case=_patterns(), word=st.sampled_from(["LIKE", "ILIKE"]))
def test_like_matches_what_mlflow_matches(mlflow_loaded, case, word):
    texts, pattern = case
    texts = [*texts, *(text + "\n" for text in texts), *(text.swapcase() for text in texts)]
    runs = [Run(str(i), params={"a": text}) for i, text in enumerate(texts)]
    load(runs)
    filter_text = f"params.a {word} '{pattern}'"
    assert matching(filter_text) == mlflow_matching(runs, filter_text)


@UNHURRIED
@given(runs=some_runs(), clauses=ORDERS)
def test_every_order_is_the_order_of_mlflow(mlflow_loaded, runs, clauses):
    load(runs)
    assert in_order(clauses) == mlflow_in_order(runs, clauses)


@st.composite
def _trees(draw, depth: int = 3):
    """Return a filter with OR, NOT and parentheses as (text, how to find its runs with MLflow)."""
    shape = draw(st.sampled_from(["test", "and", "or", "not"])) if depth else "test"
    if shape == "test":
        text = draw(TESTS)
        return text, lambda runs: mlflow_matching(runs, text)
    left_text, left = draw(_trees(depth=depth - 1))
    if shape == "not":
        return f"NOT ({left_text})", lambda runs: {run.run_id for run in runs} - left(runs)
    right_text, right = draw(_trees(depth=depth - 1))
    if shape == "and":
        return f"({left_text}) and ({right_text})", lambda runs: left(runs) & right(runs)
    return f"({left_text}) Or ({right_text})", lambda runs: left(runs) | right(runs)


@UNHURRIED
@given(runs=some_runs(), tree=_trees())
def test_or_not_and_parentheses_are_set_algebra_over_mlflow(mlflow_loaded, runs, tree):
    text, expected = tree
    load(runs)
    assert matching(text) == expected(runs)
