"""The parser of MLflow's scoring protocol: every format, every refusal, and hostile bodies."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.serving.protocol import MAX_DEPTH, Refusal, decode_json, parse


@dataclass(frozen=True)
class Column:
    name: str
    type: str = "double"
    nullable: bool = False


AB = (Column("a"), Column("b", nullable=True))
MIXED = (Column("i", "long"), Column("f"), Column("s", "string"), Column("t", "boolean"))
JSON = "application/json"


def parsed(value, inputs=AB, content_type=JSON, max_rows=1000):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse(body, content_type, inputs, max_rows)


def refusal(value, inputs=AB, content_type=JSON, max_rows=1000) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parsed(value, inputs, content_type, max_rows)
    return caught.value


EXPECTED = {"a": [1, 3], "b": [2.5, None]}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"a": 1, "b": 2.5}, {"a": 3}]},
        {"dataframe_records": [{"a": 1, "b": 2.5, "other": "x"}, {"a": 3, "b": None}]},
        {"dataframe_split": {"columns": ["b", "a"], "data": [[2.5, 1], [None, 3]]}},
        {
            "dataframe_split": {
                "columns": ["a", "b"],
                "index": [7, 9],
                "data": [[1, 2.5], [3, None]],
            }
        },
        {"dataframe_split": {"data": [[1, 2.5], [3, None]]}},
        {"instances": [[1, 2.5], [3, None]]},
        {"instances": [{"a": 1, "b": 2.5}, {"a": 3}], "params": {"threshold": 0.5}},
        {"inputs": {"a": [1, 3], "b": [2.5, None]}},
        {"inputs": [{"a": 1, "b": 2.5}, {"a": 3, "b": None}], "params": None},
    ],
)
def test_each_json_format_gives_the_same_columns(body):
    table = parsed(body)
    assert table.columns == EXPECTED
    assert table.n_rows == 2


def test_a_nullable_column_may_be_left_out_and_any_other_is_absent():
    assert parsed({"dataframe_records": [{"a": 1}, {"a": 2}]}).columns["b"] == [None, None]
    assert parsed({"dataframe_records": [{}, {}]}).columns == {"b": [None, None]}
    assert parsed({"dataframe_records": [{}, {}]}).n_rows == 2


def test_numbers_as_column_names_are_texts():
    inputs = (Column("0"), Column("1"))
    body = {"dataframe_split": {"columns": [0, 1], "data": [[5.1, 3.5]]}}
    assert parsed(body, inputs).columns == {"0": [5.1], "1": [3.5]}


def test_csv_is_read_by_the_types_of_the_model():
    body = (
        b"\xef\xbb\xbfi,f,s,t,extra\r\n1,2,NA,true,x\r\n\r\n,NaN,,FALSE,y\r\n"
        b'1.5,1e3,"a,""b",maybe,z\n'
    )
    table = parsed(body, MIXED, "text/csv")
    assert table.columns == {
        "i": [1, None, 1.5],
        "f": [2, None, 1000.0],
        "s": ["NA", None, 'a,"b'],
        "t": [True, False, "maybe"],
    }


def test_csv_numbers_are_ascii_and_bounded():
    body = "f\n1_000\n\uff11\uff12\n" + "9" * 5000 + "\n0x10\ninf\n"
    table = parsed(body.encode(), (Column("f"),), "text/csv")
    assert all(isinstance(value, str) for value in table.columns["f"])


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON ; charset=UTF-8"])
def test_content_types_that_are_read(content_type):
    assert parsed({"instances": [[1, 2]]}, content_type=content_type).n_rows == 1


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/vnd.apache.parquet",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application/json; profile=x",
    ],
)
def test_content_types_that_are_not(content_type):
    assert refusal({"instances": [[1, 2]]}, content_type=content_type).status == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"this is,,,, not json",
        b"\xff\xfe{\x00}\x00",
        b'"1"',
        b"[]",
        b"{}",
        {"not": "a known format"},
        {"instances": [[1, 2]], "inputs": [[1, 2]]},
        {"instances": []},
        {"instances": {"a": [1]}},
        {"instances": [5.1, 3.5]},
        {"instances": [[1, 2], {"a": 1}]},
        {"instances": [[1, 2]], "params": [1]},
        {"instances": [[1, 2]], "params": []},
        {"instances": [[1, 2]], "params": ""},
        {"inputs": {"a": [1, 2], "b": [1]}},
        {"inputs": {"a": 1}},
        {"inputs": {}},
        {"dataframe_records": [[1, 2]]},
        {"dataframe_records": {"a": 1}},
        {"dataframe_split": [{"a": 1}]},
        {"dataframe_split": {"columns": ["a", "b"]}},
        {"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["a", None], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}},
        {"dataframe_split": {"index": [1, 2], "data": [[1, 2], [1, 2], [1, 2]]}},
        {"dataframe_split": {"columns": ["a"], "data": [[1]], "evil": 1}},
        b'{"instances": [["\\ud800", 1]]}',
        b'{"instances": [["\\uDE00\\uD83D", 1]]}',
        b'{"instances": [[NaN, 1]]}',
        b'{"instances": [[-Infinity, 1]]}',
        b'{"instances": [[1e400, 1]]}',
        b'{"instances": [[-1E+309, 1]]}',
        b'{"instances": [[' + b"9" * 5000 + b", 1]]}",
        b'{"instances": ' + b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_malformed_json_is_400(body):
    assert refusal(body).status == 400


@pytest.mark.parametrize("body", [b"", b"\n", b"a,a\n1,2\n", b'a,b\n"1,2\n', b"a,b\n1\n", b"a,b\n"])
def test_malformed_csv_is_400(body):
    assert refusal(body, content_type="text/csv").status == 400


def test_a_csv_field_beyond_the_readers_limit_is_400():
    body = b"a,b\n" + b"x" * 200_000 + b",1\n"
    assert refusal(body, content_type="text/csv").status == 400


def test_unnamed_rows_of_another_width_are_422_and_name_the_row():
    found = refusal({"instances": [[1, 2], [1, 2, 3]]})
    assert found.status == 422
    assert found.details["row"] == 1


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ({"instances": [[1, 2]] * 11}, JSON),
        ({"dataframe_records": [{"a": 1}] * 11}, JSON),
        ({"inputs": {"a": [1] * 11}}, JSON),
        (b"a,b\n" + b"1,2\n" * 11, "text/csv"),
    ],
)
def test_too_many_rows_are_413(body, content_type):
    assert refusal(body, content_type=content_type, max_rows=10).status == 413
    assert parsed({"instances": [[1, 2]] * 10}, max_rows=10).n_rows == 10


def test_no_message_contains_the_data():
    secret = "tell-nobody"
    for body in (
        {secret: 1},
        {"instances": [secret]},
        {"dataframe_split": {secret: 1, "data": [[1, 2]]}},
        {"dataframe_split": {"columns": [secret, secret], "data": [[1, 2]]}},
        f'{{"instances": [{secret}]}}'.encode(),
    ):
        assert secret not in json.dumps(refusal(body).to_dict())


def test_whole_numbers_keep_their_digits_up_to_64_bits_and_become_floats_beyond():
    assert decode_json(b"[9007199254740993, 9223372036854775807, -9223372036854775808]") == [
        2**53 + 1,
        2**63 - 1,
        -(2**63),
    ]
    assert decode_json(b"[9223372036854775808, 1" + b"0" * 30 + b"]") == [float(2**63), 1e30]


def test_a_pair_of_surrogates_is_a_character():
    assert decode_json(b'["\\ud83d\\ude00"]') == ["\U0001f600"]


def test_brackets_inside_texts_are_not_depth():
    text = '[{"\\"' * 1000
    assert decode_json(json.dumps([text]).encode()) == [text]
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert decode_json(deep.encode())
    with pytest.raises(Refusal, match="deeper"):
        decode_json(f"[{deep}]".encode())


@pytest.mark.parametrize(
    "piece", [b'"', b'\\"', b'"\\', b"[", b'["', b'{"a":', b"\\", b'"[\\"', b"1e999", b"-"]
)
def test_a_hostile_megabyte_is_refused_in_linear_time(piece):
    body = b"[" * 40 + b'"x' + piece * (1_000_000 // len(piece))
    started = time.thread_time()
    with pytest.raises(Refusal):
        decode_json(body)
    assert time.thread_time() - started < 5


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_json_that_is_accepted_means_what_the_standard_library_says(value):
    def bounded(item):
        if isinstance(item, bool) or not isinstance(item, int | list | dict):
            return item
        if isinstance(item, list):
            return [bounded(part) for part in item]
        if isinstance(item, dict):
            return {key: bounded(part) for key, part in item.items()}
        return item if -(2**63) <= item < 2**63 else float(item)

    assert decode_json(json.dumps(value).encode()) == bounded(value)


def assert_table_or_refusal(parse: Callable[[], Any]) -> None:
    """Check that a body gives a table of whole columns, or a status from 400 below 500."""
    try:
        table = parse()
    except Refusal as found:
        status = found.status
    else:
        status = 400
        assert table.n_rows > 0
        assert all(len(values) == table.n_rows for values in table.columns.values())
    assert 400 <= status < 500


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([JSON, "text/csv"]))
def test_any_bytes_give_a_table_or_a_refusal_below_500(body, content_type):
    assert_table_or_refusal(lambda: parsed(body, MIXED, content_type))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["instances", "inputs", "dataframe_split", "dataframe_records"]),
    VALUES | st.dictionaries(st.sampled_from(["columns", "data", "index", "i", "f"]), VALUES),
)
def test_any_value_in_a_format_gives_a_table_or_a_refusal_below_500(name, value):
    assert_table_or_refusal(lambda: parsed({name: value}, MIXED))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_floats_survive_json_and_csv_exactly(values):
    by_json = parsed({"inputs": {"a": values}}).columns["a"]
    by_csv = parsed(
        ("a,b\n" + "".join(f"{value!r},1\n" for value in values)).encode(), content_type="text/csv"
    ).columns["a"]
    assert by_json == by_csv == values
    assert all(math.isfinite(value) for value in by_csv)
