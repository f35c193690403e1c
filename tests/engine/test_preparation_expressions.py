"""Expressions give what Polars gives, for one row and for many, and errors point at the place."""

from __future__ import annotations

import contextlib
import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.errors import InputError
from local_stack.preparation.expressions import (
    Expression,
    ExpressionError,
    columns_of,
    read_expression,
)
from local_stack.preparation.functions import UNARY
from local_stack.preparation.methods import FUNCTIONS, METHODS
from local_stack.preparation.values import column_of, datetimes_of

KINDS = {
    "a": "number",
    "b": "number",
    "s": "text",
    "r": "text",
    "t": "moment",
    "u": "moment",
    "f": "boolean",
}
TYPES = {
    "a": pl.Float64,
    "b": pl.Float64,
    "s": pl.String,
    "r": pl.String,
    "t": pl.Datetime("us"),
    "u": pl.Datetime("us"),
    "f": pl.Boolean,
}
NAMES = {"col": pl.col, "lit": pl.lit, "pl": pl, "when": pl.when, "__builtins__": {}}

_numbers = (
    st.none() | st.floats(-100, 100).map(lambda x: round(x, 3)) | st.integers(-9, 9).map(float)
)
_texts = st.none() | st.text("abcAB éß-1 .", max_size=8)
_moments = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
_rows = st.lists(
    st.fixed_dictionaries(
        {
            "a": _numbers,
            "b": _numbers,
            "s": _texts,
            "r": _texts,
            "t": _moments,
            "u": _moments,
            "f": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=6,
)
LATE = datetime(2024, 2, 29, 23, 59, 59, 999_999)
_FIXED: list[tuple[Any, ...]] = [
    (3.5, -2.0, "abc", "b", LATE, datetime(1969, 12, 31, 1), True),
    (0.0, 0.0, "", "", datetime(2021, 1, 3), datetime(2021, 1, 3), False),
    (-7.25, 4.0, " aBc éa ", "a", datetime(2020, 12, 31, 12, 30), datetime(1900, 1, 1), None),
    (None, None, None, None, None, None, None),
    (2.5, None, "ab", "abab", datetime(2016, 1, 1), None, True),
]
FIXED = [dict(zip(KINDS, values, strict=True)) for values in _FIXED]


def frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TYPES)


def by_polars(text: str, rows: list[dict[str, Any]]) -> list[Any]:
    """What Polars says, with numbers as doubles and what is not finite as missing."""
    found = frame_of(rows).select(
        found=eval(text, dict(NAMES, **{n: getattr(pl, n) for n in FUNCTIONS}))
    )["found"]
    if found.dtype == pl.String or found.dtype.is_temporal():
        return found.to_list()
    values = found.cast(pl.Float64).to_list()
    return [None if v is None or not math.isfinite(v) else v for v in values]


def ours(text: str, rows: list[dict[str, Any]]) -> tuple[list[Any], list[Any], str]:
    """What the expression is for each row and for all of them, and its kind."""
    _, names = read_expression(text, KINDS)
    bound = Expression(names, ("found",), text).bind(tuple(KINDS[n] for n in names))
    nan = {"number": math.nan, "boolean": math.nan}
    values = [
        tuple(
            nan.get(KINDS[n]) if row[n] is None else float(row[n]) if KINDS[n] in nan else row[n]
            for n in names
        )
        for row in rows
    ]
    one = [bound.row(*each) for each in values]
    many = bound.many(*(column_of(KINDS[n], [row[n] for row in rows]) for n in names))[0]
    (kind,) = bound.kinds
    return one, datetimes_of(many) if kind == "moment" else list(many), kind


def compare(text: str, rows: list[dict[str, Any]]) -> None:
    one, many, kind = ours(text, rows)
    if kind in ("number", "boolean"):
        assert np.array(one, dtype=float).tobytes() == np.array(many, dtype=float).tobytes() or (
            np.array_equal(one, many, equal_nan=True)
            and np.array_equal(np.signbit(one)[~np.isnan(one)], np.signbit(many)[~np.isnan(one)])
        )
        one = [None if value != value else value for value in one]
        assert one == [
            None if v is None else pytest.approx(v, rel=1e-9, abs=1e-9)
            for v in by_polars(text, rows)
        ]
    else:
        assert one == many == by_polars(text, rows)


CASES = [
    "col('a') / col('b')",
    "pl.col('a') // pl.col('b')",
    "col('a') % 3",
    "col('a') % -3",
    "col('a') ** 2",
    "(col('a').abs() + 1) ** -0.5",
    "-col('a') + +col('b') * 2 - 0.5",
    "1 / (1 + (-col('a')).exp())",
    "col('a').log1p()",
    "col('a').log()",
    "(col('a') + 10).log(2)",
    "(col('a') + 10).log(base=10)",
    "(col('a') + 10).log10()",
    "col('a').sqrt()",
    "col('a').sin() + col('a').cos() * col('b').tanh()",
    "(col('a') / 50).tan()",
    "col('a').floor() + col('b').ceil()",
    "col('a').round()",
    "(col('a') / 3).round(2)",
    "col('a').sign()",
    "col('a').clip(0, 1)",
    "col('a').clip(upper_bound=2)",
    "col('a').clip(lower_bound=-1.5)",
    "col('a').pow(3)",
    "col('a').pow(col('b'))",
    "col('a') > 1",
    "(col('a') >= col('b')) & (col('a') != 0)",
    "(col('a') < 1) | (col('b') == 0)",
    "~(col('a') <= 1)",
    "(col('a') < 1).not_()",
    "col('f') ^ (col('a') > 0)",
    "col('f') & (col('b') > 0)",
    "col('f') | (col('b') > 0)",
    "(col('a') > 0) * 2",
    "col('f') == True",
    "col('a').is_null()",
    "col('s').is_not_null()",
    "col('t').is_null()",
    "col('a').fill_null(7)",
    "col('a').fill_null(col('b'))",
    "col('s').fill_null('gone')",
    "col('a').is_in([0.0, 2.5, -7.25])",
    "col('s').is_in(['abc', ''])",
    "col('a').is_between(-1, 3.5)",
    "col('a').is_between(0, 'b', closed='left')",
    "col('a').is_between(0, col('b'), closed='none')",
    "col('a').cast(pl.Int64)",
    "col('a').cast(pl.Boolean)",
    "(col('a') > 1).cast(pl.Float64)",
    "pl.when(pl.col('a') > 3).then(1).otherwise(0)",
    "pl.when(col('a') > 3).then(1).when(col('a') > 0).then(col('b')).otherwise(None)",
    "pl.when(col('a') > 3).then('b')",
    "when(col('f')).then(pl.lit('yes')).otherwise(col('s'))",
    "when(col('a').is_null()).then(col('u')).otherwise('t')",
    "pl.max_horizontal('a', 'b')",
    "min_horizontal(col('a'), 'b', 1)",
    "pl.sum_horizontal('a', 'b')",
    "pl.mean_horizontal(['a', 'b'])",
    "coalesce('a', 'b', 0)",
    "pl.coalesce(col('s'), pl.lit('none'))",
    "pl.coalesce('t', 'u')",
    "pl.concat_str('s', 'r', separator='-')",
    "pl.concat_str([col('s'), pl.lit('x')])",
    "col('s') == 'abc'",
    "col('s') < col('r')",
    "col('s').str.len_chars() + 1",
    "col('s').str.to_lowercase()",
    "col('s').str.to_uppercase()",
    "col('s').str.strip_chars()",
    "col('s').str.strip_chars('a c')",
    "col('s').str.starts_with('ab')",
    "col('s').str.ends_with('c')",
    "col('s').str.strip_prefix('a')",
    "col('s').str.strip_suffix('b')",
    "col('s').str.contains('b', literal=True)",
    "col('s').str.count_matches('a', literal=True)",
    "col('s').str.replace('a', 'XY', literal=True)",
    "col('s').str.replace_all('a', '', literal=True)",
    "col('s').str.slice(1, 2)",
    "col('s').str.slice(1)",
    "col('s').str.slice(-2)",
    "col('s').str.slice(-4, 3)",
    "col('s').str.head(2)",
    "col('s').str.tail(2)",
    "col('s').str.tail(0)",
    "col('t').dt.year() * 100 + col('t').dt.month()",
    "col('t').dt.day()",
    "col('t').dt.weekday()",
    "col('t').dt.hour().cast(pl.Float64) * 60 + col('t').dt.minute()",
    "col('t').dt.second()",
    "col('t').dt.quarter()",
    "col('t').dt.week()",
    "col('t').dt.ordinal_day()",
    "(col('t') - col('u')).dt.total_days()",
    "(col('t') - col('u')).dt.total_hours()",
    "(col('t') - col('u')).dt.total_minutes()",
    "(col('t') - col('u')).dt.total_seconds()",
    "col('t') > col('u')",
    "col('s') + col('r')",
    "'<' + col('s').str.to_uppercase() + '>'",
    "pl.when((col('t') - col('u')).dt.total_days() > 365).then(col('a').abs().sqrt())"
    ".otherwise(col('b').fill_null(0))",
]


@pytest.mark.parametrize("text", CASES)
def test_an_expression_gives_what_polars_gives(text: str) -> None:
    compare(text, FIXED)


@settings(max_examples=300)
@given(text=st.sampled_from(CASES), rows=_rows)
def test_an_expression_gives_what_polars_gives_on_any_rows(
    text: str, rows: list[dict[str, Any]]
) -> None:
    compare(text, rows)


NUMERALS = [
    "1.5", "1e3", " 12 ", "12", "+12", "-0", "007", "+-1", "", "-", ".", ".5", "5.", "1_0", "0x10",
    "1e400", "inf", "nan", "12\n", "\x1f12", "\u0663", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "-9223372036854775809", "0" * 30 + "7", "9" * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("kind", ["Int64", "Float64"])
@given(drawn=st.text("0123456789+-.eE_ \x1f", max_size=22))
def test_texts_become_the_numbers_that_polars_reads(kind: str, drawn: str) -> None:
    rows = [{**dict.fromkeys(KINDS), "s": text} for text in [*NUMERALS, drawn]]
    compare(f"col('s').cast(pl.{kind}, strict=False)", rows)


def test_numbers_that_64_bits_cannot_hold_become_missing() -> None:
    numbers = [9.2e18, 9.3e18, -9.3e18, 2.0**63, -(2.0**63), 1e300, -0.5, 1.5, None]
    rows = [{**dict.fromkeys(KINDS), "a": number} for number in numbers]
    compare("col('a').cast(pl.Int64, strict=False)", rows)


def test_the_same_characters_are_stripped_as_by_polars() -> None:
    codes = [*range(0xD800), *range(0xE000, 0x10000)]
    rows = [{**dict.fromkeys(KINDS), "s": f"{chr(code)}a{chr(code)}"} for code in codes]
    compare("col('s').str.strip_chars()", rows)


def test_every_function_and_method_is_compared_with_polars() -> None:
    said = " ".join(CASES)
    for name in [*UNARY, *METHODS]:
        assert f".{name}(" in said, name
    for name in FUNCTIONS:
        assert f"{name}(" in said, name


_exact = st.integers(-8, 8).map(float) | st.none()
_leaves = st.sampled_from(["col('a')", "col('b')", "2", "0.5", "-3"])


def _case(parts: tuple[tuple[str, str, str], str, str]) -> str:
    (left, mark, right), value, other = parts
    condition = f"(col('a') * 0 + {left}) {mark} {right}"
    return f"pl.when({condition}).then(col('b') * 0 + {value}).otherwise({other})"


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    numbers = st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner)
    conditions = st.tuples(inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner)
    return st.one_of(
        numbers.map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
        st.tuples(
            inner, st.sampled_from(["abs()", "floor()", "sign()", "fill_null(1)", "clip(-9, 9)"])
        ).map(lambda x: f"(col('a') * 0 + {x[0]}).{x[1]}"),
        st.tuples(conditions, inner, inner).map(_case),
        st.tuples(inner, inner).map(lambda x: f"pl.max_horizontal(col('a') * 0 + {x[0]}, {x[1]})"),
    )


@settings(max_examples=150)
@given(
    st.recursive(_leaves, _grown, max_leaves=8),
    st.lists(st.tuples(_exact, _exact), min_size=1, max_size=4),
)
def test_nested_expressions_give_what_polars_gives(text: str, pairs: list[tuple[Any, Any]]) -> None:
    rows = [{**dict.fromkeys(KINDS), "a": a, "b": b} for a, b in pairs]
    compare(f"col('a') + {text}", rows)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("col('a').logg1p()", 10, "no method 'logg1p'.*Did you mean 'log1p'"),
        ("col('s').str.len_char()", 14, "no method 'len_char'.*Did you mean 'len_chars'"),
        ("1 + col('aa')", 9, "no column 'aa'.*Did you mean 'a'"),
        ("pl.colo('a')", 4, "no function 'colo'.*Did you mean 'col'"),
        ("a + 1", 1, r"'a' is a column.*Write col\('a'\)"),
        ("col('a') and col('b')", 1, "'and' is not part of.*Write & and brackets"),
        ("not col('f')", 1, "'not' is not part of.*Write ~"),
        ("0 < col('a') < 1", 1, "this comparison is not available"),
        ("col('a') + 's'", 1, "this takes a number, not a text"),
        ("col('s').log()", 1, "this takes a number, not a text"),
        ("col('a').str.len_chars()", 1, "this takes a text, not a number"),
        ("col('s').dt.year()", 1, "this takes a date, not a text"),
        ("col('a') & col('f')", 1, "this takes true or false, not a number"),
        ("when(col('a')).then(1)", 1, "a when needs a condition, not a number"),
        ("when(col('f'))", 1, "a when needs a then"),
        ("col('a').then(1)", 1, "belong behind a when"),
        ("when(col('f')).then(1).then(2)", 1, "a then needs a when"),
        ("when(col('f')).then(1).otherwise('s')", 1, "its values are a number and a text"),
        ("col('s').str.contains('a')", 1, "patterns are not available.*literal=True"),
        ("col('s').str.contains()", 1, "this takes a text"),
        ("col('s').str.replace('a', literal=True)", 1, "and its replacement"),
        ("col('a').round(1.5)", 16, "must be a whole number"),
        ("col('a').round(99)", 1, "from 0 to 15"),
        ("col('a').log(1)", 14, "above 0 and not 1"),
        ("col('a').clip(col('b'))", 15, "must be a number, written out"),
        ("col('a').is_in(col('b'))", 16, "takes a list"),
        ("col('a').is_in(['x'])", 17, "must be a number, written out"),
        ("col('a').cast(pl.String)", 15, "cast takes pl.Float64"),
        ("col('a').abs(1)", 1, "takes no arguments"),
        ("col('a').round(digits=1)", 23, "no argument 'digits'"),
        ("col(a)", 5, "name of a column in quotes"),
        ("col('a', 'b')", 1, "takes one argument"),
        ("col('t') - col('u')", 1, "its result is a length of time.*total_days"),
        ("1 + 1", 1, "it reads no column"),
        ("col('a').str", 1, "'str' is not called"),
        ("col('a') +", 1, "invalid syntax"),
        ("col('a'", 4, "was never closed"),
        ("", 1, "invalid syntax"),
        ("col('a') + 1j", 12, "no number and no text"),
        ("col('a') + 1e999", 12, "too large"),
        ("col('a') << 1", 1, "this operator is not available"),
        ("[col('a')]", 1, "not part of Polars' syntax"),
        ("lambda: col('a')", 1, "not part of Polars' syntax"),
        ("(x := col('a'))", 2, "not part of Polars' syntax"),
        ("col('a') if col('f') else 1", 1, "not part of Polars' syntax"),
        ("__import__('os').system('true')", 1, "no function '__import__'"),
        ("col('a').__class__.__bases__", 1, "'__bases__' is not called"),
        ("().__class__()", 1, "not part of Polars' syntax"),
        ("col('a').map_elements(print)", 10, "no method 'map_elements'"),
        ("f\"{col('a')}\" == 'a'", 1, "not part of Polars' syntax"),
        ("\n  col('é') + col('a').lg()", 8, "no column 'é'"),
    ],
)  # fmt: skip
def test_an_error_points_at_the_place_and_names_the_nearest_word(
    text: str, place: int, words: str
) -> None:
    import re

    with pytest.raises(ExpressionError) as caught:
        read_expression(text, KINDS)
    said = str(caught.value)
    assert re.search(words, said, re.DOTALL), said
    assert caught.value.details["character"] == place, said
    lines = caught.value.message.split("\n")
    assert lines[2].index("^") == place + 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", said)


def test_what_is_too_long_or_too_deep_is_refused() -> None:
    for text in (
        "col('a')" + " + 1" * 1_000,
        "-" * 200 + "col('a')",
        "(" * 500 + "col('a')" + ")" * 500,
        "col('a')" + ".abs()" * 100,
        "col('a') + " + "9" * 1_000,
        "col('a') == '\ud800'",
        "col('\x00')",
    ):
        with pytest.raises(InputError, match="The expression cannot be used"):
            read_expression(text, KINDS)


@given(st.text(max_size=60) | st.text("col('ab')+-*/.<>&|~[]{}: \n1e,=", max_size=60))
def test_no_text_does_harm(text: str) -> None:
    with contextlib.suppress(InputError):
        read_expression(text, KINDS)


def test_columns_of_an_expression_are_known_without_a_table() -> None:
    assert columns_of("pl.col('b') + col('a') * col('b').sqrt()") == ("b", "a")


def test_times_of_day_do_not_blur_differences() -> None:
    start = datetime(2020, 1, 1)
    ends = [start + timedelta(microseconds=us) for us in (86_399_999_999, 86_400_000_000, -1, 0)]
    rows = [{**dict.fromkeys(KINDS), "t": end, "u": start} for end in ends]
    compare("(col('t') - col('u')).dt.total_days()", rows)


def test_texts_do_not_grow_without_end() -> None:
    grown = "col('s')" + ".str.replace_all('a', 'aaaaaaaaaa', literal=True)" * 30
    doubled = "pl.concat_str(" + ", ".join(["col('s')"] * 100) + ")"
    rows = [{**dict.fromkeys(KINDS), "s": "a" * 20_000}, {**dict.fromkeys(KINDS), "s": "b"}]
    for text, kept in ((grown, "b"), (doubled, "b" * 100)):
        one, many, _ = ours(text, rows)
        assert one == many == [None, kept]
