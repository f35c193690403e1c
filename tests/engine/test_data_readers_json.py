"""JSON becomes one table, compared with what was put in."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import polars
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from readers_kit import codes

from local_stack.data.rejects import Rejects
from local_stack.errors import InputError


@pytest.fixture
def rejects(tmp_path: Path):
    with Rejects(tmp_path) as found:
        yield found


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('[{"a":1,"b":"x"},{"a":2,"b":"y"}]', "json"),
        ('\n [ {"a" : 1, "b":"x"}\n,\r\n{"a":2,"b":"y"} ] \n', "json"),
        ('{"a":1,"b":"x"}\n\n{"a":2,"b":"y"}\r\n', "jsonl"),
        ('{"a":1,"b":"x"}\n{"a":2,"b":"y"}', "json"),
        ('{"a":[1,2],"b":["x","y"]}', "json"),
        ('{"a":{"0":1,"1":2},"b":{"0":"x","1":"y"}}', "json"),
        ('{"n": 2, "rows":[{"a":1,"b":"x"},{"a":2,"b":"y"}]}', "json"),
        ('\ufeff[{"a":1,"b":"x"},{"a":2,"b":"y"}]', "json"),
    ],
)
def test_every_shape_of_records_gives_the_same_table(stage, text, kind):
    _, frame = stage(text, kind)
    assert_frame_equal(frame, polars.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    if text.isascii() and kind == "jsonl":
        assert_frame_equal(stage(text.encode("utf-16"), kind)[1], frame)


def test_each_column_has_the_one_type_that_fits(stage):
    rows = [
        {"i": 1, "x": 1, "u": 2**63, "huge": 10**40, "mix": 1, "flag": True, "none": None},
        {"i": -(2**63), "x": 2.5, "u": 1, "huge": 1, "mix": "x", "flag": False, "none": None},
        {"i": None, "x": None, "mix": {"k": [1]}, "late": 7},
    ]
    staged, frame = stage(json.dumps(rows), "json")
    assert frame.schema == {
        "i": polars.Int64, "x": polars.Float64, "u": polars.String, "huge": polars.String,
        "mix": polars.String, "flag": polars.Boolean, "none": polars.String, "late": polars.Int64,
    }  # fmt: skip
    assert frame["i"].to_list() == [1, -(2**63), None]
    assert frame["u"].to_list() == [str(2**63), "1", None]
    assert frame["huge"].to_list() == [str(10**40), "1", None]
    assert frame["mix"].to_list() == ["1", "x", '{"k":[1]}']
    assert frame["late"].to_list() == [None, None, 7]
    assert staged.texts == ()
    assert sorted(codes(staged)) == [
        ("huge_integers", "huge"), ("huge_integers", "u"), ("mixed", "mix"),
    ]  # fmt: skip


def test_numbers_between_doubles_are_not_rounded(stage):
    _, frame = stage('[{"a":9007199254740993},{"a":0.5}]', "json")
    assert frame["a"].to_list() == ["9007199254740993", "0.5"]
    _, frame = stage('[{"a":9007199254740993}]', "json")
    assert frame["a"].to_list() == [9007199254740993]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.one_of(
            st.none(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(2**53), 2**53),
        ),
        min_size=1,
    )
)
def test_doubles_come_back_bit_for_bit(stage, values):
    rows = [{"a": value, "b": 0.5} for value in values]
    for text, kind in (
        (json.dumps(rows), "json"),
        ("\n".join(map(json.dumps, rows)), "jsonl"),
        ("\ufeff" + json.dumps(rows), "json"),
    ):
        _, frame = stage(text, kind)
        assert [None if v is None else float(v) for v in frame["a"]] == [
            None if v is None else float(v) for v in values
        ]


def test_dates_are_found_and_other_texts_stay(stage):
    lines = [
        {"d": "2024-02-29", "t": "2024-01-01T10:00:00", "z": "2024-01-01T10:00:00+02:00",
         "bad": "2024-02-30", "code": "007", "mixed": "2024-01-01", "clock": "10:00"},
        {"d": "2024-03-01", "t": "2024-01-01 10:00", "z": "2024-06-01T00:00:00.5Z",
         "bad": "2024-02-28", "code": "12", "mixed": "2024-01-01T00:00:00Z", "clock": "11:00"},
    ]  # fmt: skip
    for text, kind in (
        ("\n".join(map(json.dumps, lines)), "jsonl"),
        ("\ufeff" + json.dumps(lines), "json"),
    ):
        _, frame = stage(text, kind)
        assert frame["d"].to_list() == [dt.date(2024, 2, 29), dt.date(2024, 3, 1)]
        assert frame["t"].to_list() == [dt.datetime(2024, 1, 1, 10)] * 2
        assert frame["z"].to_list() == [
            dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC),
            dt.datetime(2024, 6, 1, 0, 0, 0, 500_000, tzinfo=dt.UTC),
        ]
        for name in ("bad", "code", "mixed", "clock"):
            assert frame[name].to_list() == [line[name] for line in lines]


def test_nested_values_are_json_text(stage):
    staged, frame = stage('[{"a":{"x":1,"y":[1,2]},"b":[]},{"a":null,"b":["é"]}]', "json")
    assert [None if v is None else json.loads(v) for v in frame["a"]] == [
        {"x": 1, "y": [1, 2]},
        None,
    ]
    assert [json.loads(v) for v in frame["b"]] == [[], ["é"]]
    assert codes(staged) == [("nested", "a"), ("nested", "b")]


def test_keys_that_repeat_differ_in_case_or_are_odd(stage):
    staged, frame = stage('[{"a":1,"a":2,"A":3,"a_1":4,"":5,"q\\"\\u0000":6}]', "json")
    assert staged.sources == ("a", "A", "a_1", "", 'q"\0')
    assert frame.row(0) == (2, 3, 4, 5, 6)
    assert len({name.lower() for name in frame.columns}) == 5
    assert codes(staged) == [("repeated_keys", None)]


def test_broken_lines_are_counted_named_and_left_out(stage, rejects):
    text = '{"a":1}\n{"a":2\n\n[3]\n{"a":"\udce9"}\n4 {"b":1}\n{"a":5}'
    _, frame = stage(text.encode("utf-8", "surrogateescape"), "jsonl", rejects=rejects)
    assert frame["a"].to_list() == ["1", "é", "5"]
    assert [(r.line, r.code, r.outcome) for r in rejects.first] == [
        (2, "broken_json", "left_out"),
        (4, "broken_json", "left_out"),
        (5, "encoding", "repaired"),
        (6, "broken_json", "left_out"),
    ]
    assert rejects.first[0].text == '{"a":2'
    assert rejects.n_lost == 3
    with pytest.raises(InputError, match="Line 2, column 7"):
        stage('{"a":1}\n{"a":2\n{"a":3}', "jsonl")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"a":1},\n {"a":2,,}]', "Line 2, column 9"),
        ('[{"a":1},\n {"a":2}', "Line 2, column 9"),
        ('[{"a":1},', "Line 1"),
        ('[{"a":1},]', "Line 1, column 10"),
        ('[{"a":1}] x', "text after the end"),
        ('[{"a":1} {"a":2}]', "comma"),
        ("[" + '{"a":1},' * 200_000 + '{"a":}]', "Line 1, column 1600007"),
        ("[\n" + '{"a":1},\n' * 200_000 + '{"a":}]', "Line 200002, column 6"),
        ("[1, 2, 3]", "not an object"),
        ("[[1], [2]]", "not an object"),
        ("[]", "no record"),
        ("{}", "empty object"),
        ("3", "one value"),
        ("", "is empty"),
        ("hello", "Line 1, column 1"),
        ('[{"a":' + "[" * 100_000 + "]" * 100_000 + "}]", "nested too deeply"),
        (b'[{"a":"\xff"}]', "UTF-8"),
        ('{"a": [1, 2], "b": ', "Line 1"),
    ],
)
def test_json_that_is_no_table_is_a_sentence(stage, text, words):
    with pytest.raises(InputError) as caught:
        stage(text, "json")
    assert words in str(caught.value)
    assert "\n" not in caught.value.message


def test_json_of_many_rows_keeps_their_order(stage):
    n = 120_000
    lines = "\n".join(f'{{"i":{i},"s":"r{i}"}}' for i in range(n))
    for text in (lines, lines + '\n{"i": 1, "i": 2}'):  # by DuckDB, then record by record
        _, frame = stage(text, "jsonl")
        assert frame["i"].head(n).to_list() == list(range(n))
        assert frame["s"][n - 1] == f"r{n - 1}"


RECORDS = st.lists(
    st.dictionaries(
        st.text(max_size=5),
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(),
            st.lists(st.integers(), max_size=2),
        ),
        max_size=4,
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS)
def test_no_value_of_any_json_is_lost(stage, records):
    if not any(records):
        return
    staged, frame = stage(
        json.dumps(records, ensure_ascii=False).encode("utf-8", "replace"), "json"
    )
    assert frame.height == len(records)
    for place, name in enumerate(staged.sources):
        for record, value in zip(records, frame[frame.columns[place]], strict=True):
            given_value = record.get(name)
            if given_value is None and name in record:
                assert value is None
            elif isinstance(given_value, str) and isinstance(value, str):
                assert value == given_value.encode("utf-8", "replace").decode()
