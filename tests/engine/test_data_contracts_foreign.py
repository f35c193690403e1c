"""Contracts of other tools: pandera's own verdicts agree with ours, suites mean what they say."""

from __future__ import annotations

import json
import warnings

import pandas as pd
import pandera.pandas as pa
import polars as pl
import pytest

from local_stack.data.contracting import contract_file, foreign
from local_stack.data.contracting.checks import verdicts
from local_stack.errors import InputError

Check = pa.Check


def taken(tmp_path, schema, form):
    path = tmp_path / f"schema.{form}"
    path.write_text(schema.to_yaml() if form == "yaml" else schema.to_json())
    found = foreign.read(path)
    assert found.source == "pandera"
    assert contract_file.parse(contract_file.text_of(found.values)).values == found.values
    return found


def pandera_says(schema, frame):
    """Return the columns (None for the whole table) that pandera finds broken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            schema.validate(frame, lazy=True)
        except pa.errors.SchemaErrors as error:
            cases = error.failure_cases
            return {
                (case.failure_case if case.check == "column_in_dataframe" else case.column)
                if case.schema_context == "Column" or case.check == "column_in_dataframe"
                else None
                for case in cases.itertuples()
            }
    return set()


def we_say(values, frame):
    failed = [c for c in verdicts(values, pl.from_pandas(frame)) if not c.passed]
    return {c.column or (next(iter(c.values[0])) if c.values else None) for c in failed}


ORDERS = pa.DataFrameSchema(
    {
        "id": pa.Column(int, Check.ge(1), unique=True),
        "price": pa.Column(float, [Check.gt(0), Check.lt(100)]),
        "share": pa.Column(float, Check.in_range(0, 1, include_max=False), nullable=True),
        "kind": pa.Column(str, Check.isin(["new", "old"])),
        "code": pa.Column(str, [Check.str_matches("[A-Z]{2}"), Check.str_length(3, 5)]),
        "word": pa.Column(str, [Check.notin(["bad"]), Check.str_contains("o")], nullable=True),
        "tail": pa.Column(str, [Check.str_startswith("a."), Check.str_endswith("(z)")]),
        "n": pa.Column(int, [Check.le(5), Check.ne(3)]),
        "same": pa.Column(int, Check.eq(7)),
        "at": pa.Column("datetime64[ns]", Check.ge(pd.Timestamp("2024-01-01"))),
        "flag": pa.Column(bool),
        "maybe": pa.Column(float, required=False),
    }
)
GOOD = {
    "id": [1, 2, 3],
    "price": [0.1, 50.0, 99.9],
    "share": [0.0, None, 0.999],
    "kind": ["new", "old", "new"],
    "code": ["ABC", "XY12", "QQ123"],
    "word": ["good", None, "ok o"],
    "tail": ["a.(z)", "a.b(z)", "a.(z)(z)"],
    "n": [5, 1, -3],
    "same": [7, 7, 7],
    "at": pd.to_datetime(["2024-01-01", "2024-05-05", "2030-01-01"]),
    "flag": [True, False, True],
}
BAD = {
    "id": [[1, 1, 2], [0, 1, 2]],
    "price": [[0.0, 1, 2], [1, 2, 100.0], [1.0, None, 2]],
    "share": [[1.0, None, 0.5], [-0.1, 0, 0]],
    "kind": [["new", "mid", "old"], [None, "new", "old"]],
    "code": [["ABCDEF", "ABC", "ABC"], ["xAB1", "ABC", "ABC"], ["AB", "ABC", "ABC"]],
    "word": [["bad", "oo", "o"], ["none?", "x", "o"]],
    "tail": [["b.(z)", "a.(z)", "a.(z)"], ["a.z", "a.(z)", "a.(z)"], ["axx(z)", "a.(z)", "a.(z)"]],
    "n": [[6, 1, 1], [3, 1, 1]],
    "same": [[7, 8, 7]],
    "at": [pd.to_datetime(["2023-12-31", "2024-05-05", "2030-01-01"])],
    "flag": [["yes", "no", "yes"]],
}


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_pandera_and_the_contract_agree_on_every_column(tmp_path, form):
    found = taken(tmp_path, ORDERS, form)
    assert found.warnings == ()
    good = pd.DataFrame(GOOD)
    assert pandera_says(ORDERS, good) == we_say(found.values, good) == set()
    for column, versions in BAD.items():
        for values in versions:
            bad = good.assign(**{column: values})
            assert pandera_says(ORDERS, bad) == we_say(found.values, bad) == {column}, values
        gone = good.drop(columns=column)
        assert pandera_says(ORDERS, gone) == we_say(found.values, gone) - {None} == {column}


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_pandera_rules_of_the_whole_table_are_taken(tmp_path, form):
    schema = pa.DataFrameSchema(
        {"a": pa.Column(int), "b": pa.Column(int), "c": pa.Column(int, required=False)},
        unique=["a", "b"],
        ordered=True,
        strict=True,
    )
    found = taken(tmp_path, schema, form)
    assert found.values["keys"] == [{"columns": ["a", "b"], "nullable": True}]
    for frame in (
        {"a": [1, 1], "b": [1, 2]},
        {"a": [1, 1], "b": [1, 1]},
        {"b": [1, 2], "a": [1, 2]},
        {"a": [1, 2], "b": [1, 2], "z": [1, 2]},
    ):
        table = pd.DataFrame(frame)
        assert bool(pandera_says(schema, table)) is bool(we_say(found.values, table)), frame


def test_options_of_pandera_checks_are_kept_or_named(tmp_path):
    schema = pa.DataFrameSchema(
        {
            "a": pa.Column(int, [Check.gt(0), Check.gt(5, raise_warning=True, name="rich")]),
            "b": pa.Column(str, Check.unique_values_eq(["x", "y"]), description="letters"),
            "c": pa.Column(object, coerce=True),
            "d.*": pa.Column(float, regex=True),
        },
        index=pa.Index(int),
        strict="filter",
        coerce=True,
        checks=[Check.ge(0)],
    )
    found = taken(tmp_path, schema, "yaml")
    assert found.values["columns"]["a"]["exclusive_min"] == 0
    (check,) = found.values["checks"]
    assert check == {"name": "rich", "expression": '"a" > 5', "severity": "warning"}
    assert found.values["columns"]["b"] == {
        "type": "string",
        "nullable": False,
        "description": "letters",
        "allowed": ["x", "y"],
        "min_distinct": 2,
    }
    for words in (
        "dtype object of column 'c'",
        "coerce of column 'c'",
        "column 'd.*'",
        "strict: filter",
        "index",
        "greater_than_or_equal_to of the whole frame",
    ):
        assert any(words in warning for warning in found.warnings), words


def test_what_pandera_matches_with_more_than_re2_is_named(tmp_path):
    schema = pa.DataFrameSchema({"a": pa.Column(str, Check.str_matches(r"(?=x)x"))})
    found = taken(tmp_path, schema, "json")
    assert found.values["columns"]["a"] == {"type": "string", "nullable": False}
    (warning,) = found.warnings
    assert "str_matches of column 'a'" in warning
    assert "regular expression" in warning


SUITE = [
    ("expect_column_to_exist", {"column": "id"}),
    ("expect_column_values_to_be_of_type", {"column": "id", "type_": "INTEGER"}),
    ("expect_column_values_to_be_in_type_list", {"column": "x", "type_list": ["float", "FLOAT64"]}),
    ("expect_column_values_to_not_be_null", {"column": "id"}),
    ("expect_column_values_to_not_be_null", {"column": "x", "mostly": 0.9}),
    ("expect_column_values_to_be_null", {"column": "empty"}),
    ("expect_column_values_to_be_unique", {"column": "id"}),
    ("expect_column_values_to_be_between", {"column": "x", "min_value": 0, "max_value": 9}),
    (
        "expect_column_values_to_be_between",
        {"column": "x", "min_value": 0, "strict_min": True, "mostly": 0.5},
    ),
    ("expect_column_values_to_be_in_set", {"column": "kind", "value_set": ["a", "b"]}),
    ("expect_column_values_to_not_be_in_set", {"column": "kind", "value_set": ["z"]}),
    ("expect_column_values_to_match_regex", {"column": "code", "regex": "^[A-Z]+$"}),
    ("expect_column_values_to_not_match_regex", {"column": "code", "regex": "Q"}),
    ("expect_column_values_to_match_like_pattern", {"column": "code", "like_pattern": "A%"}),
    (
        "expect_column_value_lengths_to_be_between",
        {"column": "code", "min_value": 1, "max_value": 3},
    ),
    ("expect_column_value_lengths_to_equal", {"column": "kind", "value": 1}),
    ("expect_column_values_to_be_increasing", {"column": "id", "strictly": True}),
    ("expect_column_min_to_be_between", {"column": "y", "min_value": 1}),
    ("expect_column_max_to_be_between", {"column": "y", "max_value": 5, "strict_max": True}),
    (
        "expect_column_unique_value_count_to_be_between",
        {"column": "kind", "min_value": 2, "max_value": 3},
    ),
    ("expect_column_distinct_values_to_equal_set", {"column": "y", "value_set": [1, 2, 4]}),
    ("expect_table_row_count_to_be_between", {"min_value": 3, "max_value": 10}),
    (
        "expect_table_columns_to_match_set",
        {"column_set": ["id", "x", "y", "kind", "code", "empty"]},
    ),
    ("expect_compound_columns_to_be_unique", {"column_list": ["kind", "code"]}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "y", "column_B": "x"}),
    ("expect_column_pair_values_to_be_equal", {"column_A": "id", "column_B": "id"}),
    ("expect_multicolumn_sum_to_equal", {"column_list": ["one", "two"], "sum_total": 3}),
    ("expect_select_column_values_to_be_unique_within_record", {"column_list": ["kind", "code"]}),
]
FRAME = {
    "id": [1, 2, 3],
    "x": [0.5, 0.0, 3.5],
    "y": [1, 2, 4],
    "kind": ["a", "b", "a"],
    "code": ["AB", "A", "ACE"],
    "empty": [None, None, None],
}


def suite(tmp_path, expectations, word="expectation_type"):
    path = tmp_path / "suite.json"
    items = [{word: kind, "kwargs": kwargs, "meta": {}} for kind, kwargs in expectations]
    path.write_text(json.dumps({"expectation_suite_name": "s", "expectations": items, "meta": {}}))
    return foreign.read(path)


@pytest.mark.parametrize("word", ["expectation_type", "type"])
def test_a_suite_is_taken_in_both_formats(tmp_path, word):
    found = suite(tmp_path, SUITE, word)
    assert found.source == "great_expectations"
    assert found.warnings == ()
    values = found.values
    assert values["columns"]["id"] == {
        "type": "long",
        "nullable": False,
        "unique": True,
        "monotonic": "strictly_increasing",
    }
    assert values["columns"]["x"]["max_missing"] == 0.1
    assert values["columns"]["x"]["exclusive_min"] == {"value": 0, "mostly": 0.5}
    assert values["columns"]["y"] == {
        "min": 1,
        "exclusive_max": 5,
        "allowed": [1, 2, 4],
        "min_distinct": 3,
    }
    assert values["rows"] == {"min": 3, "max": 10}
    assert contract_file.parse(contract_file.text_of(values)).values == values


@pytest.mark.parametrize(
    ("expectation", "good", "bad"),
    [
        (("expect_column_values_to_be_null", {"column": "a"}), [None, None], [None, 1]),
        (("expect_column_values_to_be_decreasing", {"column": "a"}), [2, 2, 1], [1, 2]),
        (
            (
                "expect_column_values_to_be_between",
                {"column": "a", "max_value": 2, "strict_max": True},
            ),
            [1, None],
            [2],
        ),
        (("expect_column_value_lengths_to_equal", {"column": "a", "value": 2}), ["ab"], ["abc"]),
        (("expect_column_values_to_match_regex", {"column": "a", "regex": "b+"}), ["abc"], ["ac"]),
        (
            (
                "expect_column_values_to_match_regex_list",
                {"column": "a", "regex_list": ["^x", "y$"]},
            ),
            ["xa", "ay"],
            ["a"],
        ),
        (
            (
                "expect_column_values_to_match_regex_list",
                {"column": "a", "regex_list": ["^x", "y$"], "match_on": "all"},
            ),
            ["xay"],
            ["xa"],
        ),
        (("expect_table_row_count_to_equal", {"value": 2}), [1, 1], [1]),
        (
            ("expect_column_distinct_values_to_be_in_set", {"column": "a", "value_set": [1]}),
            [1],
            [2],
        ),
        (
            ("expect_column_values_to_be_between", {"column": "a", "min_value": "2024-01-02"}),
            [pd.Timestamp("2024-01-02")],
            [pd.Timestamp("2024-01-01")],
        ),
    ],
)
def test_an_expectation_judges_as_it_is_documented(tmp_path, expectation, good, bad):
    found = suite(tmp_path, [expectation])
    assert found.warnings == ()
    for values, passes in ((good, True), (bad, False)):
        frame = pl.DataFrame({"a": pl.Series(values, dtype=pl.Int64 if None in values else None)})
        assert all(check.passed for check in verdicts(found.values, frame)) is passes


def test_an_ordered_list_is_the_order_and_the_whole_of_the_columns(tmp_path):
    expectation = ("expect_table_columns_to_match_ordered_list", {"column_list": ["b", "a"]})
    values = suite(tmp_path, [("expect_column_to_exist", {"column": "a"}), expectation]).values
    judged = [
        [c.code for c in verdicts(values, pl.DataFrame(frame)) if not c.passed]
        for frame in ({"b": [1], "a": [1]}, {"a": [1], "b": [1]}, {"b": [1], "a": [1], "c": [1]})
    ]
    assert judged == [[], ["column_order"], ["extra_column"]]


def test_what_a_suite_says_beyond_our_words_is_named(tmp_path):
    found = suite(
        tmp_path,
        [
            ("expect_column_mean_to_be_between", {"column": "a", "min_value": 1}),
            (
                "expect_column_values_to_be_between",
                {"column": "a", "min_value": {"$PARAMETER": "x"}},
            ),
            (
                "expect_column_values_to_be_unique",
                {"column": "a", "row_condition": 'b == "x"', "condition_parser": "pandas"},
            ),
            ("expect_column_values_to_match_regex", {"column": "a", "regex": "(?=x)"}),
            ("expect_column_values_to_be_of_type", {"column": "a", "type_": "Decimal128"}),
            ("expect_column_values_to_be_in_set", {"column": "a"}),
            ("expect_column_min_to_be_between", {"column": "a", "min_value": 1, "max_value": 3}),
            ("expect_nonsense", {}),
        ],
    )
    assert found.values == {"columns": {"a": {"min": 1}}}
    reasons = [
        "expect_column_mean_to_be_between of column 'a'",
        "filled in when it runs",
        "some rows only",
        "regular expression",
        "no one type here",
        "missing or of another kind",
        "max_value of",
        "expect_nonsense",
    ]
    assert len(found.warnings) == len(reasons)
    for words, warning in zip(reasons, found.warnings, strict=True):
        assert words in warning


def test_severity_of_a_suite_is_kept(tmp_path):
    path = tmp_path / "suite.json"
    item = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "a", "min_value": 1},
        "severity": "warning",
    }
    path.write_text(json.dumps({"name": "s", "expectations": [item]}))
    values = foreign.read(path).values
    assert values == {"columns": {"a": {"min": {"value": 1, "severity": "warning"}}}}


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "rows: {min: 1}", '{"expectations": 5}', "\x00", "{" * 5_000]
)
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError):
        foreign.read(path)
