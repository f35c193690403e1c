"""Mistakes in a filter are shown at their place, and bounds and abuse are refused."""

from __future__ import annotations

from typing import Any

import pytest
from filters_kit import filters
from hypothesis import given, settings
from hypothesis import strategies as st
from search_kit import SMALL, Run, connected, in_order, load, matching, place_of

from local_stack.errors import InputError
from local_stack.runs import grammar, tokens
from local_stack.runs.search import MAX_ORDER_CLAUSES, Clause, order, where


@pytest.mark.parametrize(
    ("filter_text", "place", "hint"),
    [
        ("metrcs.rmse < 1", "metrcs.rmse", "Did you mean 'metrics'?"),
        ("METRICS.rmse < 1", "METRICS", "Use one of metrics, params, tags"),
        ("metrics.a < 1 AND statu = 'x'", "statu", "Did you mean 'status'?"),
        ("attributes.strt_time > 1", "strt_time", "Did you mean 'start_time'?"),
        ("name = 'x'", "name", "Did you mean 'run_name'?"),
        ("rmse < 1", "rmse", "write metrics.rmse, params.rmse or tags.rmse"),
        ("metrics < 1", "metrics", "metrics.key"),
        ("datasets.nme = 'x'", "nme", "Did you mean 'name'?"),
        ("metrics.a == 1", "== 1", "Did you mean '='?"),
        ("metrics.a <> 1", "<> 1", "Did you mean '!='?"),
        ("params.a ~ 'x'", "~ 'x'", "Did you mean 'LIKE'?"),
        ("params.a LKE 'x'", "LKE", "Did you mean 'LIKE'?"),
        ("tags.a < 'x'", "< 'x'", "Use one of =, !=, LIKE, ILIKE, IN, IS NULL, IS NOT NULL."),
        ("params.a > 'x'", "> 'x'", "compare as a number"),
        ("metrics.a < 1 adn metrics.b < 2", "adn", "Did you mean 'AND'?"),
        ("metrics.a < 1 metrics.b < 2", "metrics.b", "AND or OR"),
        ("metrics.a < 1 and", "", "metrics.rmse"),
        ("AND metrics.a < 1", "AND", "metrics.rmse"),
        ("metrics.a < 1 and and metrics.b < 1", "and metrics.b", "metrics.rmse"),
        ("metrics.a <", "", "Write one"),
        ("metrics.a", "", "Use one of"),
        ("metrics.a = 'x'", "'x'", "Leave the quotation marks out"),
        ("metrics.a > tags.b", "tags.b", "Compare and add up metrics"),
        ("params.a = LR", "LR", "Write 'LR' in single or double"),
        ("params.a = `LR`", "`LR`", "Write 'LR' in single or double"),
        ("tags.a = 5", "5", "Write '5' in single or double"),
        ("params.a = 'LR", "'LR", "Add ' at the end"),
        ("(metrics.a < 1 OR metrics.b < 2", "(metrics.a", "Add ')'"),
        ("metrics.a < 1) OR metrics.b < 2", ")", "Remove it"),
        ("metrics.f1-score > 1", "-score", "backticks"),
        ("metrics.a-5 > 1", "-5", "backticks"),
        ("metrics.train/loss > 1", "/loss", "backticks"),
        ("metrics.a > 1; metrics.b > 1", ";", "AND or OR"),
        ("metrics.a BETWEEN 1 OR 2", "OR 2", "BETWEEN 1 AND 2"),
        ("run_id IN 'a'", "'a'", "IN ('a', 'b')"),
        ("run_id IN ('a' 'b')", "'b'", "IN ('a', 'b')"),
        ("run_id IN ()", ")", "'text'"),
        ("run_id IN (1)", "1", "Write '1'"),
        ("status IS NULL", "IS NULL", "Use one of"),
        ("params.a IS 5", "5", "NULL"),
        ('metrics."" > 1', '""', "after the dot"),
        ("params.数据 = 'x' AND foo = 1", "foo", ""),
        ("params.a = '\ud800'", "\N{REPLACEMENT CHARACTER}'", "again"),
    ],
)
def test_a_mistake_is_shown_at_its_place_with_a_way_out(filter_text, place, hint):
    with pytest.raises(InputError) as caught:
        where(filter_text)
    error = caught.value
    assert hint in error.hint
    at = error.details["position"]
    if filter_text.isascii():
        assert filter_text[at:].startswith(place)
        assert place_of(error).startswith(place)
        assert bool(place_of(error)) == bool(place)


def test_the_caret_counts_columns_of_the_terminal_not_characters():
    with pytest.raises(InputError) as caught:
        where("params.数据 = 'x' AND foo = 1")
    _, line, caret = caught.value.message.splitlines()
    assert caret.index("^") == line.index("foo") + 2


def test_a_long_filter_is_shown_around_the_mistake():
    good = " AND ".join(f"metrics.m{i} > {i}" for i in range(60))
    with pytest.raises(InputError) as caught:
        where(f"{good} AND foo = 1 AND {good}")
    _, line, _ = caught.value.message.splitlines()
    assert len(line) <= 78
    assert line.startswith("  …")
    assert line.endswith("…")
    assert place_of(caught.value).startswith("foo = 1")


def test_a_message_holds_no_control_character_of_the_filter():
    with pytest.raises(InputError) as caught:
        where("params.`\x1b[31m\r\n\u202e` = 5 AND `\x1b]0;x\x07` = \x9b")
    shown = str(caught.value).replace("\n", "")
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("clause", "place"),
    [
        ("metric.a dsc", "dsc"),
        ("metrics.a DESC ASC", "ASC"),
        ("", ""),
        (" metrics.a", " metrics.a"),
        ("metrics.a ", " "),
        ("params.my-param", "-param"),
    ],
)
def test_a_mistake_in_an_order_is_shown_at_its_place(clause, place):
    with pytest.raises(InputError) as caught:
        order([clause])
    assert clause[caught.value.details["position"] :] == place
    assert caught.value.hint


# ------------------------------------------------------------------ bounds and abuse


@pytest.mark.parametrize("opening", ["(", "NOT ", "NOT("])
def test_depth_is_bounded(opening):
    per_level = opening.count("(") + opening.count("NOT")
    n = grammar.MAX_DEPTH // per_level
    test = "metrics.a > 1"
    load(SMALL)
    matching(opening * n + test + ")" * (n * opening.count("(")))
    with pytest.raises(InputError, match="deep"):
        where(opening * (n + 1) + test + ")" * ((n + 1) * opening.count("(")))


def test_the_count_of_comparisons_is_bounded():
    load(SMALL)
    tests = ["params.p = 'x'"] * grammar.MAX_TERMS
    assert matching(" OR ".join(tests)) == {"1"}
    with pytest.raises(InputError, match="at most 200 comparisons"):
        where(" OR ".join([*tests, "params.p = 'x'"]))


def test_length_is_bounded():
    load(SMALL)
    longest = "params.p LIKE '" + "_" * (tokens.MAX_LENGTH - 16) + "'"
    assert len(longest) == tokens.MAX_LENGTH
    assert matching(longest) == set()
    with pytest.raises(InputError, match=r"20,001 characters"):
        where(longest + " ")
    with pytest.raises(InputError, match="characters"):
        order(["metrics." + "a" * tokens.MAX_LENGTH])
    with pytest.raises(InputError, match="keys to order by"):
        order(["metrics.a"] * (MAX_ORDER_CLAUSES + 1))


@pytest.mark.parametrize(
    "opening", ["(", "NOT ", "'", "\\'", "metrics.a in (", "`", '"a', "1", "-"]
)
def test_the_worst_texts_are_read_in_no_time(opening):
    text = (opening * tokens.MAX_LENGTH)[: tokens.MAX_LENGTH]
    import time

    start = time.thread_time()
    with pytest.raises(InputError):
        where(text)
    assert time.thread_time() - start < 5


WORDS = r"""
metrics.a params.`b` tags."c" status duration start_time datasets.name run. . ( ) , ;
= != < >= ~ == AND OR NOT IN IS NULL LIKE ILIKE BETWEEN ASC 1 -1 .5 1e9 'x' "y" '%_'
` ' " \ -- /* */ ? $1 {} % é
"""
SOUP = st.lists(st.sampled_from([*WORDS.split(), "\ud800", "\0"]), max_size=14).map(" ".join)


@settings(deadline=None, max_examples=600)
@given(text=SOUP | st.text(max_size=40) | filters().flatmap(lambda f: st.sampled_from([f, f[1:]])))
def test_any_text_is_a_filter_that_runs_or_an_input_error(text):
    _check(where, text, "SELECT run_id FROM found_runs WHERE {}")
    _check(lambda clause: order([clause]), text, "SELECT run_id FROM found_runs ORDER BY {}")


def _check(compiled: Any, text: str, statement: str) -> None:
    try:
        clause: Clause = compiled(text)
    except InputError as refusal:
        error = refusal
    else:
        assert clause.sql.count("?") == len(clause.parameters)
        load(SMALL)
        connected().execute(statement.format(clause.sql), list(clause.parameters)).fetchall()
        return
    assert error.message
    assert error.hint


@settings(deadline=None)
@given(key=st.text(min_size=1), value=st.text(), pattern=st.text())
def test_nothing_of_a_filter_reaches_the_sql(key, value, pattern):
    for letter in "`'\"\\":
        key, value, pattern = (part.replace(letter, "") for part in (key, value, pattern))
    texts = [
        "params.`{0}` = '{1}' OR tags.`{0}` IN ('{1}') AND NOT params.`{0}` ILIKE '{2}'",
        "metrics.`{0}` > 1 OR datasets.name = '{1}' AND run_id LIKE '{2}'",
    ]
    for text in texts:
        plain = where(text.format("k", "v", "p"))
        try:
            assert where(text.format(key, value, pattern)).sql == plain.sql
        except InputError:
            assert not key or not (key + value + pattern).isprintable()


@pytest.mark.parametrize(
    "attack",
    [
        "'; DROP TABLE runs; --",
        "x' OR '1'='1",
        '$[*]"] OR 1=1 --',
        "/../..",
        "x) OR TRUE --",
        "?",
        "{}",
        "{0.__class__}",
        "%s",
        "\x00",
    ],
)
def test_an_attack_is_only_a_text(attack):
    mark = '"' if "'" in attack else "'"
    load([Run("1", params={attack: attack, "p": attack}, metrics={attack: 1}), Run("2")])
    assert matching(f"params.p = {mark}{attack}{mark}") == {"1"}
    assert matching(f"params.p IN ({mark}{attack}{mark})") == {"1"}
    assert matching(f"params.`{attack}` = {mark}{attack}{mark}") == {"1"}
    assert matching(f"metrics.`{attack}` >= 1") == {"1"}
    assert in_order([f"metrics.`{attack}` DESC"]) == ["1", "2"]
    assert connected().execute("SELECT count(*) FROM found_runs").fetchall() == [(2,)]
    for text in (attack, f"metrics.a > 1 {attack}", f"metrics.a > 1 AND {attack}"):
        with pytest.raises(InputError):
            where(text)
