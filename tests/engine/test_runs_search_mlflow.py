"""The search grammar against MLflow itself, on made-up runs."""

from __future__ import annotations

import contextlib
import re

import pytest
from filters_kit import ORDERS, TESTS, UNHURRIED, filters, some_runs
from hypothesis import given, settings
from hypothesis import strategies as st
from search_kit import Run, in_order, load, matching, mlflow_in_order, mlflow_matching, mlflow_run

from local_stack.errors import InputError


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


# ------------------------------------------------------------------ filters with a slip in them

SLIPS = ["", "AND", "and and", "(", ")", ",", "=", "==", "<", "LIKE", "IN", "NOT", "IS", "NULL"]
SLIPS += ["metrics.a", "params.a", "status", "metrics", "datasets.name", "'x'", '"x"', "`a`"]
SLIPS += ["1", "-1", "1.", "1e5", "0x1", "('x')", "('x', 'y')", "(1)", "--", "/* */", ";", "x"]


@st.composite
def _slipped(draw):
    """Return a filter of which one or two words are lost, doubled or mistaken for another."""
    words = draw(filters()).split(" ")
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(words) - 1))
        words[place : place + draw(st.integers(0, 1))] = draw(st.sampled_from(SLIPS)).split(" ")
        words = words or [""]
    return " ".join(words)


def _is_by_accident(text: str) -> bool:
    """Return whether MLflow passes over something: its parser only collects the comparisons."""
    import sqlparse
    from mlflow.utils.search_utils import _join_in_comparison_tokens
    from sqlparse.sql import Comparison

    if "--" in text or "/*" in text or re.search(r"""['"]\s+['"]""", text):
        return True  # a comment, or two texts that Python joins to one
    if re.search(r"dataset\S*\s*!?=\s*\(", text):
        return True  # a list where a text has to stand, which is equal to nothing
    parts = [
        part
        for part in _join_in_comparison_tokens(sqlparse.parse(text)[0].tokens)
        if not part.is_whitespace
    ]
    compared = [part for part in parts if isinstance(part, Comparison)]
    quoted = r"""`[^`]*`|"[^"]*"|'[^']*'"""
    if any(re.search(r"[\s(]", re.sub(quoted, "", str(part.tokens[0]))) for part in compared):
        return True  # something stands after the field, which counts as its alias
    is_chain = all(isinstance(part, Comparison) == (i % 2 == 0) for i, part in enumerate(parts))
    return not is_chain or len(parts) % 2 == 0


def _as_mlflow_or_refused(runs, text):
    from mlflow.exceptions import MlflowException
    from mlflow.utils.search_utils import SearchUtils

    load(runs)
    expected = found = None
    with contextlib.suppress(MlflowException, TypeError, ValueError):  # it crashes at some lists
        for clause in SearchUtils.parse_search_filter(text):  # each, where filtering stops early
            SearchUtils._does_run_match_clause(mlflow_run(Run("1")), clause)
        expected = mlflow_matching(runs, text)
    with contextlib.suppress(InputError):
        found = matching(text)
    if expected is not None and not (found is None and _is_by_accident(text)):
        assert found == expected, text


@UNHURRIED
@given(runs=some_runs(), text=_slipped())
def test_what_mlflow_makes_of_a_slip_is_the_same_here_or_refused(mlflow_loaded, runs, text):
    _as_mlflow_or_refused(runs, text)


ORDER_SLIPS = ["", "ASC", "desc", "metrics.a", "metrics", '"x"', "`a`", "'a'", "1", "(", ")"]
ORDER_SLIPS += ["metrics.'a'", 'params."a b"', "run.`Run name`", "datasets.name", "created"]


@st.composite
def _slipped_order(draw):
    """Return an order clause of which one or two words are lost or mistaken for another."""
    words = (draw(ORDERS.filter(bool))[0]).split(" ")
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(words) - 1))
        words[place : place + draw(st.integers(0, 1))] = [draw(st.sampled_from(ORDER_SLIPS))]
        words = words or [""]
    return " ".join(words)


@settings(UNHURRIED, max_examples=150)
@given(runs=some_runs(max_size=3), clause=_slipped_order())
def test_an_order_that_mlflow_accepts_in_spite_of_a_slip_is_its_order_here(
    mlflow_loaded, runs, clause
):
    from mlflow.exceptions import MlflowException

    load(runs)
    try:
        expected = mlflow_in_order(runs, [clause])
    except (MlflowException, ValueError):  # a quotation mark that is never closed
        return
    assert in_order([clause]) == expected, clause


@pytest.mark.slow
@settings(UNHURRIED, max_examples=1_200)
@given(runs=some_runs(), text=_slipped())
def test_many_slips_are_the_same_here_or_refused(mlflow_loaded, runs, text):
    _as_mlflow_or_refused(runs, text)
