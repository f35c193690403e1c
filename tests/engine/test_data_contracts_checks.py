"""Checks against an independent reference: every rule, on every type, with every hostile name."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_stack.data.contracting import checks, contract_file
from local_stack.data.contracting.checks import Moment, verdicts, verdicts_of_file
from local_stack.errors import InputError

HOSTILE = [
    'a"b',
    "a'b",
    "a.b",
    "[x]",
    "x); DROP TABLE t; --",
    "",
    " ",
    "\x1b[31mred",
    "naïve 👍",
    "file_row_number",
    "r",
    "c0",
    "Amount",
    "amount",
    "line\nbreak",
    "a,b",
    "NULL",
    "select",
]


def one(document, frame):
    """Return the only check that is not about the type."""
    (found,) = [check for check in verdicts(document, frame) if check.code != "type"]
    return found


def column(rules, values, **options):
    return one({"columns": {"x": rules}}, pl.DataFrame({"x": pl.Series("x", values, **options)}))


@pytest.mark.parametrize(
    ("rules", "values", "rows"),
    [
        ({"nullable": False}, [1, None, 3, None], [1, 3]),
        ({"max_missing": 0.25}, [1, None, 3, None], [1, 3]),
        ({"max_missing": 0.5}, [1, None, 3, None], []),
        ({"min": 2}, [1, None, 3], [0]),
        ({"max": 2}, [1, None, 3], [2]),
        ({"min": 1.5}, [1, 2, None], [0]),
        ({"max": 1.5}, [1, 2, None], [1]),
        ({"exclusive_min": 1}, [1, 2], [0]),
        ({"exclusive_max": 2}, [1, 2], [1]),
        ({"exclusive_min": 1.5}, [1, 2], [0]),
        ({"exclusive_max": 1.5}, [1, 2], [1]),
        ({"min": 0.1}, [0.1, 0.09, None], [1]),
        ({"max": 0.30000000000000004}, [0.1 + 0.2, 0.30000000000000009], [1]),
        ({"min": -1e300, "severity": "warning"}, [math.inf, -math.inf], [1]),
        ({"min": 9_007_199_254_740_993}, [9_007_199_254_740_992, 9_007_199_254_740_993], [0]),
        ({"min": 2**70}, [2**62], [0]),
        ({"max": -(2**70)}, [2**62], [0]),
        ({"allowed": [1, 2]}, [1, 3, None], [1]),
        ({"allowed": [1.0, 2.5, None]}, [1, 2], [1]),
        ({"allowed": list(range(500))}, [5, 500, None], [1]),
        ({"allowed": []}, [1, None], [0]),
        ({"forbidden": [1, 2]}, [1, 3, None], [0]),
        ({"forbidden": [str(i) for i in range(50)]}, ["7", "x", None], [0]),
        ({"allowed": ["a", "it's"]}, ["a", "it's", "b", ""], [2, 3]),
        ({"allowed": ["a\0b"]}, ["a\0b", "a"], [1]),
        ({"allowed": [True]}, [True, False, None], [1]),
        ({"allowed": [0.1, 3]}, [0.1, 3.0, 0.2], [2]),
        ({"unique": True}, [1, 2, 1, None, None], [0, 2]),
        ({"unique": True}, ["a", "A", None, None], []),
        ({"pattern": "^[ab]"}, ["a1", "xb", None, ""], [1, 3]),
        ({"pattern": "^[0-9]{2}$"}, [12, 123], [1]),
        ({"forbidden_pattern": r"\s"}, ["a b", "ab", None], [0]),
        ({"min_length": 2}, ["é", "éa", None, "👍👍"], [0]),
        ({"max_length": 1}, ["é", "éa", None, "👍"], [1]),
        ({"min_distinct": 3}, [1, 2, 2, None], None),
        ({"max_distinct": 1}, [1, 2, 2, None], None),
        ({"max_distinct": 2}, [1, 2, 2, None], []),
        ({"monotonic": "increasing"}, [1, 1, None, 2, 1], [4]),
        ({"monotonic": "strictly_increasing"}, [1, None, 1, 2], [2]),
        ({"monotonic": "decreasing"}, [3, 3, 4], [2]),
        ({"monotonic": "strictly_decreasing"}, ["b", "a", "a"], [2]),
        ({"min": "2024-02-01"}, [date(2024, 1, 31), date(2024, 2, 1)], [0]),
        ({"max": "2024-02-01T12:00"}, [date(2024, 2, 1), date(2024, 2, 2)], [1]),
        ({"max": "2024-02-01T02:00+02:00"}, [datetime(2024, 2, 1), datetime(2024, 2, 1, 1)], [1]),
        ({"allowed": ["2024-02-01"]}, [date(2024, 2, 1), date(2024, 2, 2)], [1]),
    ],
)
def test_each_rule_finds_the_rows_that_break_it(rules, values, rows):
    check = column(rules, values)
    assert check.passed is (rows == [])
    assert list(check.rows) == (rows or [])
    assert check.n_failed == (1 if rows is None else len(rows))
    assert bool(check.message) is (rows != [])


@pytest.mark.parametrize(
    ("rules", "values", "observed"),
    [
        ({"min": 2}, [5, 1, 0], 0),
        ({"max": 9}, [5, 1, None], 5),
        ({"nullable": False}, [1, None], "1 missing"),
        ({"max_missing": 0.1}, [1, None, None], 0.666667),
        ({"allowed": ["a"]}, ["a", "zz", "y"], "zz"),
        ({"max_length": 3}, ["abcd", "é"], 4),
        ({"min_distinct": 5}, [1, 2, None], 2),
        ({"min": "2024-01-02"}, [date(2024, 1, 1)], "2024-01-01"),
        ({"min": "2024-01-02"}, [datetime(2024, 1, 1, 5)], "2024-01-01T05:00:00.000000Z"),
        ({"forbidden_pattern": "x"}, ["x" * 10_000], "x" * 200),
    ],
)
def test_what_was_measured_is_told(rules, values, observed):
    assert column(rules, values).observed == observed


def test_a_long_satisfies_double_and_a_wrong_type_asks_nothing_more():
    frame = pl.DataFrame({"n": [1], "s": ["a"]})
    document = {"columns": {"n": {"type": "double"}, "s": {"type": "long", "min": 3}}}
    kept, broken = verdicts(document, frame)
    assert (kept.passed, kept.observed) == (True, "long")
    assert (broken.code, broken.passed, broken.observed) == ("type", False, "string")


def test_nan_counts_as_missing_and_every_width_of_number_has_its_type():
    frame = pl.DataFrame(
        {
            "f": pl.Series([1.0, math.nan], dtype=pl.Float32),
            "u": pl.Series([1, 2], dtype=pl.UInt8),
            "t": pl.Series([datetime(2024, 1, 1)] * 2, dtype=pl.Datetime("ms")),
            "c": pl.Series(["a", "b"], dtype=pl.Categorical),
        }
    )
    document = {
        "columns": {
            "f": {"type": "double", "nullable": False},
            "u": {"type": "long", "max": 2},
            "t": {"type": "datetime", "min": "2024-01-01"},
            "c": {"type": "string", "allowed": ["a", "b"]},
        }
    }
    found = {(c.code, c.column): c for c in verdicts(document, frame)}
    assert [key for key, check in found.items() if not check.passed] == [("null", "f")]
    assert found["null", "f"].rows == (1,)


def test_a_share_may_break_a_rule_that_says_mostly():
    values = [*range(98), -1, -2, None, None]
    rule = {"value": 0, "mostly": 0.98, "name": "no debts"}
    check = column({"min": rule}, values)
    assert (check.passed, check.n_failed, check.rows, check.name) == (
        True,
        2,
        (98, 99),
        "no debts",
    )
    assert not column({"min": {**rule, "mostly": 0.981}}, values).passed
    half = {"checks": [{"name": "even", "expression": "x % 2 = 0", "mostly": 0.5}]}
    assert one(half, pl.DataFrame({"x": [1, 2, None]})).passed
    assert not one(half, pl.DataFrame({"x": [1, 2, 3]})).passed


def test_each_rule_may_weigh_differently():
    document = {
        "rows": {"min": {"value": 9, "severity": "warning"}},
        "columns": {
            "x": {"severity": "warning", "min": 2, "max": {"value": 0, "severity": "error"}}
        },
        "keys": [{"columns": ["x"], "severity": "warning"}],
    }
    found = verdicts(document, pl.DataFrame({"x": [1, 1]}))
    assert [(c.code, c.severity, c.passed) for c in found] == [
        ("row_count_min", "warning", False),
        ("min", "warning", False),
        ("max", "error", False),
        ("key", "warning", False),
    ]


def test_keys_are_unique_together_and_miss_nothing():
    frame = pl.DataFrame({"a": [1, 1, 2, None, 1], "b": ["x", "y", "x", "x", "x"]})
    key, loose, gone = verdicts(
        {"keys": [["a", "b"], {"columns": ["a", "b"], "nullable": True}, ["a", "zz"]]}, frame
    )
    assert (key.passed, key.n_failed, key.rows) == (False, 3, (0, 3, 4))
    assert key.values[1] == {"a": None, "b": "x"}
    assert (loose.n_failed, loose.rows) == (2, (0, 4))
    assert (gone.passed, gone.message) == (False, "The key's column 'zz' is not there.")


def test_the_shape_of_the_table_is_a_rule_too():
    frame = pl.DataFrame({"b": [1], "a": [1], "extra": [1]})
    document = {
        "columns": {"a": {}, "b": {}, "c": {"required": False, "min": 1}, "d": {}},
        "column_order": True,
        "extra_columns": "forbid",
    }
    missing, order, extra = verdicts(document, frame)
    assert (missing.code, missing.column) == ("column_missing", "d")
    assert (order.code, order.passed, order.observed) == ("column_order", False, ["b", "a"])
    assert (extra.code, extra.observed, extra.n_failed) == ("extra_column", ["extra"], 1)
    good = verdicts({**document, "columns": {"b": {}, "a": {}, "extra": {}}}, frame)
    assert [(c.code, c.passed) for c in good] == [("column_order", True), ("extra_column", True)]


def test_freshness_is_measured_against_the_check_or_the_import(tmp_path):
    newest = datetime(2024, 5, 10, 12)
    pl.DataFrame({"t": [newest, None], "d": [newest.date()] * 2}).write_parquet(
        tmp_path / "t.parquet"
    )

    def judged(now, imported, **rule):
        document = {"freshness": rule}
        path = tmp_path / "t.parquet"
        (check,) = verdicts_of_file(document, path, moment=Moment(now, imported))
        return check.passed

    later = newest + timedelta(days=2)
    assert judged(later, newest, column="t", max_age="48h")
    assert not judged(later, newest, column="t", max_age="47.9h")
    assert judged(later, newest, column="t", max_age="1h", against="import")
    # The day of the newest date ends at midnight: 12 hours later than its noon.
    assert judged(later, newest, column="d", max_age="36h")
    assert not judged(later, newest, column="d", max_age="35h")
    assert judged(later, newest, max_age="2d")
    assert not judged(later, newest, max_age="1d")
    assert not judged(later, newest, column="gone", max_age="1d")
    empty = pl.DataFrame({"t": pl.Series([], dtype=pl.Datetime("us"))})
    assert not one({"freshness": {"column": "t", "max_age": "1d"}}, empty).passed


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_of_a_column_works(name):
    quoted = '"' + name.replace('"', '""') + '"'
    frame = pl.DataFrame({"other": [1, 2, 3], name: ["a", "b", "a"], "last": [3, 2, 1]})
    document = {
        "columns": {name: {"type": "string", "allowed": ["a"], "unique": True, "max_length": 1}},
        "keys": [[name, "other"]],
    }
    if name:  # SQL has no empty name
        document["checks"] = [{"name": "x", "expression": f"{quoted} <> 'b' AND other < 3"}]
    found = {check.code: check for check in verdicts(document, frame)}
    assert found["allowed"].rows == (1,)
    assert found["unique"].rows == (0, 2)
    assert found["key"].passed
    if name:
        assert found["x"].rows == (1, 2)
        assert found["x"].values[0][name] == "b"


def test_columns_that_differ_by_case_alone_are_two(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"A": [1, 2], "a": [3, 4]}).write_parquet(path)
    document = {"columns": {"A": {"max": 2}, "a": {"max": 2}}}
    upper, lower = verdicts_of_file(document, path)
    assert (upper.passed, lower.passed) == (True, False)
    with pytest.raises(InputError, match="no column 'B'"):
        verdicts_of_file({"checks": [{"name": "x", "expression": "B > 1"}]}, path)


def test_a_folder_with_brackets_in_its_name_is_no_pattern(tmp_path):
    folder = tmp_path / "data [1] * ?"
    folder.mkdir()
    pl.DataFrame({"x": [1]}).write_parquet(folder / "t.parquet")
    (check,) = verdicts_of_file({"rows": {"min": 2}}, folder / "t.parquet")
    assert check.observed == 1


def test_tables_without_rows_or_columns_are_judged():
    document = {
        "rows": {"min": 1},
        "columns": {"x": {"min": 1, "unique": True, "monotonic": "increasing", "max_missing": 0}},
        "keys": [["x"]],
    }
    empty = pl.DataFrame({"x": pl.Series([], dtype=pl.Int64)})
    assert [c.code for c in verdicts(document, empty) if not c.passed] == ["row_count_min"]
    codes = [c.code for c in verdicts(document, pl.DataFrame()) if not c.passed]
    assert codes == ["row_count_min", "column_missing", "key"]


def test_an_expression_over_promised_but_missing_columns_fails_the_table():
    document = {
        "columns": {"x": {}, "y": {}},
        "checks": [{"name": "order", "expression": "x <= y"}],
    }
    missing, order = verdicts(document, pl.DataFrame({"x": [1]}))
    assert (missing.code, order.code, order.passed) == ("column_missing", "order", False)
    assert "'y'" in order.message


@pytest.mark.parametrize(
    ("expression", "frame", "reason"),
    [
        ("CAST(s AS DOUBLE) > 1", {"s": ["1", "x"]}, "Could not convert"),
        ("n * 4 > 1", {"n": [2**62]}, "Overflow"),
        ("s LIKE 'a%' AND n // 0 > 1", {"s": ["ab"], "n": [1]}, "zero"),
    ],
)
def test_a_condition_that_fails_on_a_value_is_named(expression, frame, reason):
    document = {
        "checks": [
            {"name": "fine", "expression": "1 = 1"},
            {"name": "guilty", "expression": expression},
        ]
    }
    with pytest.raises(InputError, match=f"'guilty' cannot be evaluated: .*{reason}"):
        verdicts(document, pl.DataFrame(frame))


EXPRESSIONS = [
    "a < b * 2",
    "a + b > 10 OR NOT (a = b)",
    "a BETWEEN -5 AND b",
    "a IN (1, 2, 3) AND b IS NOT NULL",
    "a / 2 >= b",
    "s LIKE 'a%' OR s IS NULL",
    "s ~ '^[a-c]+$'",
    "CASE WHEN a > 0 THEN b > 0 ELSE TRUE END",
    "coalesce(a, 0) <= coalesce(b, 100)",
    "abs(a) < 50 AND length(s) < 4",
    "(a IS NULL) = (b IS NULL)",
    "upper(s) <> 'ABC' AND a % 3 <> 1",
]
small = st.one_of(st.none(), st.integers(-60, 60))
texts = st.one_of(st.none(), st.text("abcx", max_size=5))


@pytest.mark.parametrize("expression", EXPRESSIONS)
@given(rows=st.lists(st.tuples(small, small, texts), min_size=1, max_size=30))
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_expressions_mean_what_polars_means_by_them(expression, rows):
    schema = {"a": pl.Int64, "b": pl.Int64, "s": pl.String}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    kept = frame.select(pl.sql_expr(expression).alias("kept"))["kept"].fill_null(True)
    check = one({"checks": [{"name": "x", "expression": expression}]}, frame)
    assert check.n_failed == (~kept).sum()
    assert list(check.rows) == (~kept).arg_true().to_list()[:5]


numbers = st.lists(
    st.one_of(st.none(), st.floats(allow_nan=False, width=32), st.integers(-5, 5).map(float)),
    min_size=1,
    max_size=40,
)


@given(values=numbers, low=st.floats(-10, 10), high=st.floats(-10, 10), share=st.floats(0, 1))
@settings(max_examples=40)
def test_the_simple_rules_agree_with_polars_on_any_numbers(values, low, high, share):
    series = pl.Series("x", values, dtype=pl.Float64)
    rules = {
        "nullable": False,
        "max_missing": share,
        "min": low,
        "max": high,
        "exclusive_min": low,
        "allowed": [0.0, 1.0, -1.0],
        "unique": True,
        "max_distinct": 3,
        "monotonic": "increasing",
    }
    found = {c.code: c for c in verdicts({"columns": {"x": rules}}, series.to_frame())}
    there = series.drop_nulls()
    assert found["null"].n_failed == series.null_count()
    assert found["max_missing"].passed == (series.null_count() / len(series) <= share + 1e-9)
    assert found["min"].n_failed == (there < low).sum()
    assert found["max"].n_failed == (there > high).sum()
    assert found["exclusive_min"].n_failed == (there <= low).sum()
    assert found["allowed"].n_failed == (~there.is_in([0.0, 1.0, -1.0])).sum()
    assert found["unique"].n_failed == there.is_duplicated().sum()
    assert found["max_distinct"].observed == there.n_unique()
    assert found["monotonic"].n_failed == (there.diff() < 0).sum()
    least = there.min()
    if least is not None and math.isfinite(least):
        assert found["min"].observed == least


WORDS = {
    "rows: {min: 1, most: 2}": ("line 1", "most", "min"),
    "columns:\n  a: {minn: 1}": ("line 2", "minn", "min"),
    "columns:\n  a: {min: {valeu: 1}}": ("line 2", "valeu", "value"),
    "columns:\n  a: {min: {value: 1, severity: eror}}": ("line 2", "error", ""),
    "columns:\n  a: {type: {value: long, mostly: 0.5}}": ("line 2", "no 'mostly'", ""),
    "columns:\n  a: {monotonic: rising}": ("line 2", "cannot be 'rising'", ""),
    "columns:\n  a: {max_missing: 2}": ("line 2", "from 0 to 1", ""),
    "columns:\n  a: {min_length: -1}": ("line 2", "whole number", ""),
    "columns:\n  a: {type: date, min: 5}": ("line 2", "ISO 8601", ""),
    "columns:\n  a: {type: boolean, min: 1}": ("line 2", "no bounds", ""),
    "columns:\n  a: {type: long, allowed: [x]}": ("line 2", "long", ""),
    "columns:\n  a: {type: long, max_length: 3}": ("line 2", "only texts", ""),
    "columns:\n  a: {allowed: [[1]]}": ("line 2", "one value", ""),
    "columns:\n  a:\n    pattern: '(?=x)'": ("line 3", "regular expression", "look-around"),
    "keys: [[a, a]]": ("line 1", "different columns", ""),
    "keys:\n  - [a, 5]": ("line 2", "name of a column", ""),
    "freshness: {column: t, max_age: soon}": ("line 1", "'soon' is not an age", "7d"),
    "freshness: {max_age: 7d, against: import}": ("line 1", "Name a column", ""),
    "freshness: {column: t, max_age: 7d, against: never}": ("line 1", "now, import", ""),
    "extra_columns: forbidden": ("line 1", "forbid", ""),
    "column_order: [a]": ("line 1", "true or false", ""),
    "checks:\n  - {name: a, expression: x > 1}\n  - {name: a, expression: x > 1}": (
        "line 3",
        "stands twice",
        "",
    ),
    "checks:\n  - {name: a, expresion: x}": ("line 2", "expression", ""),
}


@pytest.mark.parametrize(
    "text", WORDS, ids=lambda text: text[:40].encode("unicode_escape").decode()
)
def test_a_fault_in_the_text_is_named_with_its_line(text):
    with pytest.raises(InputError) as caught:
        checks.prove(contract_file.parse(text, "c.yaml"), {"x": "long"})
    assert str(caught.value).startswith("c.yaml, ")
    for words in WORDS[text]:
        assert words in str(caught.value)


scalars = st.one_of(
    st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False), st.booleans(),
    st.text(max_size=8), st.sampled_from(["null", "~", "<<", "=", "1e5", "0x1", "yes", "- a", "#"]),
)  # fmt: skip


@given(
    st.dictionaries(
        st.one_of(st.text(max_size=6), st.sampled_from(["<<", "null", "1", "true", "~"])),
        st.fixed_dictionaries({"allowed": st.lists(scalars, max_size=4)}),
        max_size=4,
    )
)
@settings(max_examples=150)
def test_the_text_of_a_contract_reads_back_as_it_was(columns):
    values = {"dataset": "t", "columns": columns, "checks": []}
    try:
        text = contract_file.text_of(values)
        text.encode()
    except UnicodeEncodeError:  # half a character is in no YAML file
        return
    assert contract_file.parse(text).values == values


def test_hundreds_of_columns_are_judged_in_a_few_scans():
    frame = pl.DataFrame({f"x{i}": [i, i + 1] for i in range(500)})
    document = {
        "columns": {
            f"x{i}": {"type": "long", "min": i, "max": i, "nullable": False} for i in range(500)
        }
    }
    found = verdicts(document, frame)
    assert len(found) == 2_000
    assert [c.code for c in found if not c.passed] == ["max"] * 500


def test_progress_may_stop_a_check(tmp_path: Path):
    from local_stack.errors import Cancelled

    path = tmp_path / "t.parquet"
    pl.DataFrame({"x": pl.int_range(0, 3_000_000, eager=True)}).write_parquet(path)

    def stop(step):
        raise Cancelled()

    document = {"columns": {"x": {"unique": True, "pattern": "^.*(1|2|3)+.*(4|5|6)+.*$"}}}
    with pytest.raises(Cancelled):
        verdicts_of_file(document, path, progress=stop)
