"""Parquet, Arrow, JSON and Excel become one table, compared with what was put in."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import functools
import json
import math
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from local_stack.data.importing import cells, readers
from local_stack.data.rejects import Rejects
from local_stack.errors import Cancelled, InputError, UnavailableError

DATA = polars.DataFrame(
    {
        "n": [1, None, 2**63 - 1],
        "x": [0.1, math.inf, None],
        "s": ["a", "é\0\n", None],
        "d": [dt.date(2024, 2, 29), None, dt.date(1900, 1, 1)],
        "t": [dt.datetime(2024, 1, 1, 12, 0, 0, 123456), None, dt.datetime(1, 1, 1)],
        "b": [True, False, None],
        "y": [b"\xff", None, b""],
        "p": [{"a": 1, "b": ["x"]}, None, {"a": None, "b": []}],
    }
)


@pytest.fixture
def stage(tmp_path: Path):
    """Return a function that stages bytes or a file as a kind and gives (staged, frame)."""
    count = iter(range(10_000))

    def run(content: bytes | str | Path, kind: str, **options):
        folder = tmp_path / f"stage-{next(count)}"
        folder.mkdir()
        path = folder / "source [x]*?"
        if isinstance(content, Path):
            path = content
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        staged = readers.stage(path, kind, folder / "table.parquet", scratch=folder, **options)
        return staged, polars.read_parquet(staged.table)

    return run


@pytest.fixture
def rejects(tmp_path: Path):
    with Rejects(tmp_path) as found:
        yield found


def codes(staged) -> list[tuple[str, str | None]]:
    return [(warning.code, warning.column) for warning in staged.warnings]


def decided(staged) -> dict[str, object]:
    return {decision.what: decision.value for decision in staged.decisions}


# ---------------------------------------------------------------- Parquet and Arrow


def test_parquet_comes_as_it_is_in_order(stage, tmp_path):
    path = tmp_path / "t.parquet"
    DATA.write_parquet(path)
    staged, frame = stage(path, "parquet")
    assert_frame_equal(frame, DATA)
    assert staged.sources == tuple(DATA.columns)
    assert (staged.texts, staged.warnings, staged.decisions) == ((), (), ())
    big = polars.DataFrame({"i": range(400_000)})
    big.write_parquet(path, row_group_size=10_000)
    assert_frame_equal(stage(path, "parquet")[1], big)


def test_names_that_repeat_or_are_odd(stage, tmp_path):
    path = tmp_path / "t.parquet"
    names = ["a", "a", "A", "q\"';--", " ", "a_1"]
    pq.write_table(pa.Table.from_arrays([pa.array([n]) for n in range(6)], names=names), path)
    staged, frame = stage(path, "parquet")
    assert staged.sources == tuple(names)
    assert frame.row(0) == tuple(range(6))
    assert len({name.lower() for name in frame.columns}) == 6
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as out:
        table = pq.ParquetFile(path).read().rename_columns(["a", "a", "A", "q\"';--", "", "a_1"])
        with pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)
    staged, frame = stage(tmp_path / "t.arrow", "arrow")
    assert frame.columns == ["a", "a_1", "A_2", "q\"';--", "column_5", "a_1_1"]
    assert frame.row(0) == tuple(range(6))


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_arrow_files_streams_and_feather(stage, tmp_path, compression, is_stream):
    path = tmp_path / "t"
    if is_stream:
        DATA.write_ipc_stream(path, compression=compression)
    else:
        DATA.write_ipc(path, compression=compression)
    assert_frame_equal(stage(path, "arrow")[1], DATA)


def test_arrow_types_that_duckdb_does_not_know(stage, tmp_path):
    table = pa.table(
        {
            "half": pa.array([0.5, None], pa.float16()),
            "wide": pa.array([decimal.Decimal("1.5"), None], pa.decimal256(50, 2)),
            "level": pa.array(["a", "b"]).dictionary_encode(),
            "none": pa.nulls(2),
            "zoned": pa.array([dt.datetime(2024, 1, 1)] * 2, pa.timestamp("us", "Europe/Paris")),
            "span": pa.array([dt.timedelta(days=-1), None]),
            "view": pa.array(["x", "y"], pa.string_view()),
        }
    )
    with (
        pa.OSFile(str(tmp_path / "t"), "wb") as out,
        pa.ipc.new_stream(out, table.schema) as writer,
    ):
        writer.write_table(table)
    staged, frame = stage(tmp_path / "t", "arrow")
    row = frame.row(0, named=True)
    assert (row["half"], row["wide"], row["level"], row["none"], row["view"]) == (
        0.5, "1.50", "a", None, "x",
    )  # fmt: skip
    assert row["zoned"] == dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    assert codes(staged) == [("narrowed", "span")]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_damaged_tables_are_a_sentence(stage, tmp_path, kind):
    path = tmp_path / "t"
    frame = polars.DataFrame({"i": range(20_000), "s": [str(i) for i in range(20_000)]})
    frame.write_parquet(path) if kind == "parquet" else frame.write_ipc(path)
    data = path.read_bytes()
    cases = [b"", b"PAR1", data[: len(data) // 2], data[:-1], data[:-6] + b"\xff\xff" + data[-4:]]
    cases += [data[:8] + bytes(400) + data[408:], b"hello, world"]
    for place, case in enumerate(cases):
        with pytest.raises(InputError) as caught:
            pytest.fail(f"case {place}: {stage(case, kind)}")
        assert "\n" not in caught.value.message
        assert caught.value.message.endswith(".")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_spoilt_bytes_of_parquet_and_arrow_never_crash(stage, tmp_path, data):
    path = tmp_path / "t"
    DATA.write_parquet(path, statistics=False)
    kind = data.draw(st.sampled_from(["parquet", "arrow"]))
    if kind == "arrow":
        DATA.write_ipc(path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(InputError, UnavailableError):
        stage(bytes(raw), kind)


def test_a_table_without_columns_and_one_with_too_many(stage, tmp_path):
    path = tmp_path / "t"
    pq.write_table(pa.table({}), path)
    with pytest.raises(InputError, match=r"no column|damaged"):
        stage(path, "parquet")
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, pa.schema([])):
        pass
    with pytest.raises(InputError, match="no column"):
        stage(path, "arrow")
    pq.write_table(pa.table({f"c{n}": [n] for n in range(cells.MAX_COLUMNS + 1)}), path)
    with pytest.raises(InputError, match=f"{cells.MAX_COLUMNS + 1} columns"):
        stage(path, "parquet")


MEASURED = """
    import re, sys
    from pathlib import Path
    from local_stack import environment

    environment.prepare()
    from local_stack.data.importing import readers
    from local_stack.errors import StackError

    path, kind, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    try:
        readers.stage(path, kind, folder / "table.parquet", scratch=folder)
        print("done", end=" ")
    except StackError as error:
        print(type(error).__name__, end=" ")
    peak = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())
    print(int(peak[1]) // 1024)
"""


def measured(path: Path, kind: str, folder: Path) -> tuple[str, int]:
    """Stage in a process of its own; return what came of it and the peak in MB."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, "-c", textwrap.dedent(MEASURED), str(path), kind, str(folder)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=200, check=True)
    word, megabytes = ended.stdout.split()
    return word, int(megabytes)


def test_a_dictionary_bomb_and_a_giant_cell_stay_within_the_limit(tmp_path):
    path = tmp_path / "t.parquet"
    codes_of = pa.array([0] * 5000, pa.int32())
    texts = pa.DictionaryArray.from_arrays(codes_of, pa.array(["a" * 1_000_000]))
    pq.write_table(pa.table({"x": texts}), path, compression="zstd")
    assert path.stat().st_size < 1_000_000
    word, megabytes = measured(path, "parquet", tmp_path / "one")
    assert word in ("done", "UnavailableError", "InputError")
    assert megabytes < 1024 + 256


@pytest.mark.slow
def test_a_million_columns_and_a_gigabyte_in_a_cell_are_typed_errors(tmp_path):
    path = tmp_path / "t.parquet"
    schema = pa.schema([(f"c{n}", pa.bool_()) for n in range(1_000_000)])
    pq.write_table(schema.empty_table(), path)
    word, megabytes = measured(path, "parquet", tmp_path / "one")
    assert (word, megabytes < 1280) == ("InputError", True)
    pq.write_table(pa.table({"x": ["a" * 1_000_000_000]}), path, compression="zstd")
    word, megabytes = measured(path, "parquet", tmp_path / "two")
    assert (word, megabytes < 1280) == ("UnavailableError", True)


def test_reading_can_be_cancelled(stage, tmp_path):
    path = tmp_path / "t.arrow"
    polars.DataFrame({"i": range(300_000)}).write_ipc(path, record_batch_size=1000)

    def stop(n_rows, step):
        if step.done > n_rows:
            raise Cancelled()

    lines = '{"a": 1, "a": 2}\n' * 40_000  # record by record, as keys repeat
    for content, kind, n_rows in ((path, "arrow", 100_000), (lines, "jsonl", 15_000)):
        with pytest.raises(Cancelled):
            stage(content, kind, progress=functools.partial(stop, n_rows))


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


# ---------------------------------------------------------------- Excel


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        stamp = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for row, values in enumerate(rows):
                for column, value in enumerate(values):
                    if value is None:
                        continue
                    if type(value) is dt.datetime:
                        sheet.write_datetime(row, column, value, stamp)
                    elif isinstance(value, str) and value.startswith("#"):
                        sheet.write_formula(row, column, "=1/0", None, value)
                    elif isinstance(value, str):
                        sheet.write_string(row, column, value)
                    else:
                        sheet.write(row, column, value)
    return path


def test_a_plain_sheet_has_typed_columns(stage, tmp_path):
    path = workbook(
        tmp_path / "t.xlsx",
        Data=[
            ["n", "x", "s", "day", "at", "flag", "mix", "code"],
            [1, 1.5, "a", dt.date(2024, 2, 29), dt.datetime(2024, 1, 1, 12, 30), True, "1", "007"],
            [2, 2.0, "é", dt.date(1999, 1, 1), dt.datetime(2024, 1, 2), False, 2, "12"],
            [3, None, None, None, None, None, True, "x"],
        ],
    )
    staged, frame = stage(path, "excel")
    assert_frame_equal(
        frame,
        polars.DataFrame(
            {
                "n": [1, 2, 3],
                "x": [1.5, 2.0, None],
                "s": ["a", "é", None],
                "day": [dt.date(2024, 2, 29), dt.date(1999, 1, 1), None],
                "at": [dt.datetime(2024, 1, 1, 12, 30), dt.datetime(2024, 1, 2), None],
                "flag": [True, False, None],
                "mix": ["1", "2", "true"],
                "code": ["007", "12", "x"],
            }
        ),
    )
    assert staged.texts == ("s", "mix", "code")
    assert codes(staged) == [("mixed", "mix")]
    assert decided(staged) == {"sheet": "Data", "skip": 0, "header": 1}


def test_titles_blank_rows_odd_headers_and_error_cells(stage, tmp_path):
    path = workbook(
        tmp_path / "t.xlsx",
        Cover=[],
        Sales=[
            [],
            [None, "Sales of the year"],
            [None, "in euros"],
            [],
            [None, "id", "price", "price", None, 2023],
            [None, 1, 2.5, "#N/A", "x", 7],
            [None, None, None, None, None, None],
            [None, 2, 3.5, 1.0, "y", 8],
            [],
            [],
        ],
        Other=[["a"], [1]],
    )
    staged, frame = stage(path, "excel")
    assert staged.sources == ("id", "price", "price", "", "2023")
    assert_frame_equal(
        frame,
        polars.DataFrame(
            {"id": [1, 2], "price": [2.5, 3.5], "price_1": [None, 1], "column_4": ["x", "y"],
             "2023": [7, 8]}
        ),
    )  # fmt: skip
    assert decided(staged) == {"sheet": "Sales", "skip": 4, "header": 1}
    assert codes(staged) == [("other_sheets", None), ("error_cells", None), ("blank_rows", None)]
    assert "'Other'" in staged.warnings[0].message
    assert staged.warnings[1].message.startswith("1 cells")


def test_the_sheet_can_be_named_or_numbered(stage, tmp_path):
    path = workbook(tmp_path / "t.xlsx", One=[["a"], [1]], Two=[["b"], [2]])
    for sheet, column in ((None, "a"), ("Two", "b"), ("two ", "b"), ("2", "b"), ("1", "a")):
        assert stage(path, "excel", sheet=sheet)[1].columns == [column]
    for sheet in ("3", "0", "Tow", "\x1b["):
        with pytest.raises(InputError, match="no sheet"):
            stage(path, "excel", sheet=sheet)


def test_header_and_skip_can_be_given(stage, tmp_path):
    path = workbook(tmp_path / "t.xlsx", S=[["x", "y"], ["a", "b"], ["c", "d"], [1, 2]])
    assert stage(path, "excel", skip=1, header=2)[1].to_dicts() == [{"a c": 1, "b d": 2}]
    assert stage(path, "excel", skip=3)[1].to_dicts() == [{"column_1": 1, "column_2": 2}]
    assert stage(path, "excel", header=0)[1].height == 4
    with pytest.raises(InputError, match="no row after"):
        stage(path, "excel", skip=9)


def test_a_sheet_with_a_late_wide_row_and_merged_cells(stage, tmp_path):
    path = tmp_path / "t.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["a", "b"])
        for row in range(1, 150):
            sheet.write_row(row, 0, [row, f"r{row}"])
        sheet.write(150, 4, "far")
        sheet.merge_range(151, 0, 151, 1, "total")
    staged, frame = stage(path, "excel")
    assert frame.columns == ["a", "b", "column_3", "column_4", "column_5"]
    assert frame["column_5"][149] == "far"
    assert frame["a"][150] == "total"
    assert frame["b"][150] is None
    assert "a" in staged.texts


def test_many_rows_of_a_sheet_come_in_blocks(stage, tmp_path):
    rows = [["i", "x"], *([i, i / 4] for i in range(25_000))]
    _, frame = stage(workbook(tmp_path / "t.xlsx", S=rows), "excel")
    assert frame["i"].to_list() == list(range(25_000))
    assert frame["x"].to_list() == [i / 4 for i in range(25_000)]
    assert frame.schema == {"i": polars.Int64, "x": polars.Float64}


ODS = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.2">
<office:body><office:spreadsheet><table:table table:name="S">
<table:table-row><table:table-cell office:value-type="string"><text:p>a</text:p></table:table-cell>
<table:table-cell office:value-type="string"><text:p>b</text:p></table:table-cell></table:table-row>
<table:table-row><table:table-cell office:value-type="float" office:value="3"/>
<table:table-cell office:value-type="date" office:date-value="2024-02-29"/></table:table-row>
</table:table></office:spreadsheet></office:body></office:document-content>""".replace(
    "\n", " "
).replace("> <", "><")


def test_an_opendocument_sheet(stage, tmp_path):
    path = tmp_path / "t.ods"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr(
            "META-INF/manifest.xml",
            '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        )
        archive.writestr("content.xml", ODS)
    _, frame = stage(path, "excel")
    assert frame["a"].to_list() == [3]
    assert str(frame["b"][0]).startswith("2024-02-29")


def test_an_old_binary_workbook_gives_what_its_csv_says(stage):
    statsmodels = pytest.importorskip("statsmodels")
    folder = Path(statsmodels.__file__).parent / "datasets" / "macrodata"
    found = [path for path in (folder / "src").rglob("macrodata.xls") if path.is_file()]
    if not found:
        pytest.skip("statsmodels came without its workbook")
    staged, frame = stage(found[0].read_bytes(), "excel", sheet="Quarterly")
    assert frame.columns == ["DATE", "DPIC96", "FGCEC96", "GDPC96", "GPDIC96", "PCECC96"]
    assert frame.dtypes == [polars.Date, *[polars.Float64] * 5]
    assert frame.height == 251
    expected = polars.read_csv(folder / "macrodata.csv", infer_schema_length=None)
    since = frame.filter(polars.col("DATE").dt.year() >= 1959).head(expected.height)
    assert since["DATE"].dt.year().to_list() == expected["year"].to_list()
    for name, published in (("GDPC96", "realgdp"), ("GPDIC96", "realinv"), ("PCECC96", "realcons")):
        assert (since[name] - expected[published]).abs().max() < 1e-6
    assert staged.texts == ()
    first, _ = stage(found[0].read_bytes(), "excel")
    assert codes(first)[0] == ("other_sheets", None)
    assert "'Monthly', 'Quarterly'" in first.warnings[0].message


def test_workbooks_are_told_by_content_not_by_the_ending(stage, tmp_path):
    path = workbook(tmp_path / "t.xlsx", S=[["a"], [1]])
    assert stage(path.read_bytes(), "excel")[1].to_dicts() == [{"a": 1}]


def test_what_is_no_workbook_is_a_sentence(stage, tmp_path):
    path = workbook(tmp_path / "t.xlsx", S=[["a"], [1]])
    data = path.read_bytes()
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    for case in (b"hello", data[:2000], data[:-100], ole + b"\0" * 600, b"PK\x03\x04junk"):
        with pytest.raises(InputError, match="workbook"):
            stage(case, "excel")
    with pytest.raises(InputError, match="encrypted"):
        stage(ole + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"), "excel")
    for sheets in ({"S": []}, {"S": [], "T": [[]]}):
        with pytest.raises(InputError, match="empty"):
            stage(workbook(tmp_path / "e.xlsx", **sheets), "excel")
    with pytest.raises(InputError, match="empty"):
        stage(workbook(tmp_path / "f.xlsx", S=[], T=[["a"]]), "excel", sheet="S")


def test_a_bomb_in_a_workbook_is_refused_before_it_is_read(stage, tmp_path, monkeypatch):
    from local_stack.data.importing import workbooks

    monkeypatch.setattr(workbooks, "MAX_BYTES", 1_000_000)
    path = workbook(tmp_path / "t.xlsx", S=[["a"]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/bomb.xml", b" " * 3_000_000)
    with pytest.raises(InputError, match="more than 1000000 bytes"):
        stage(path, "excel")


# ---------------------------------------------------------------- cells


def test_cells_of_several_types_find_one_that_holds_them(tmp_path):
    table = cells.Cells(
        tmp_path, ["i", "r", "ir", "dec", "zoned", "time", "span", "none", "dup", "dup"]
    )
    table.add(
        [
            [1, 1.0, 1, decimal.Decimal("1.50"), dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
             dt.time(1, 2, 3), dt.timedelta(hours=30, seconds=5), None, 1, "a"],
            [-(2**63), 2.5, 0.5, 7, None, None, None, None, 2, "b"],
        ]
    )  # fmt: skip
    typed = table.write(tmp_path / "t.parquet")
    assert typed.types == (
        "BIGINT", "DOUBLE", "DOUBLE", "DECIMAL(3, 2)", "TIMESTAMP WITH TIME ZONE", "TIME",
        "VARCHAR", "VARCHAR", "BIGINT", "VARCHAR",
    )  # fmt: skip
    frame = polars.read_parquet(tmp_path / "t.parquet")
    assert frame.columns[-2:] == ["dup", "dup_1"]
    assert frame.row(0, named=True)["span"] == "30:00:05"
    assert [str(value) for value in frame["dec"]] == ["1.50", "7.00"]
    assert frame["i"].to_list() == [1, -(2**63)]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=9),
            st.dates(), st.datetimes(), st.times(), st.timedeltas(), st.decimals(allow_nan=False),
            st.uuids(), st.lists(st.integers(), max_size=2),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_any_python_values_make_a_column(tmp_path, values):
    folder = tmp_path / os.urandom(8).hex()
    folder.mkdir()
    table = cells.Cells(folder, ["v"])
    table.add([[value] for value in values])
    typed = table.write(folder / "t.parquet", isos=[0], flags=[0])
    frame = polars.read_parquet(folder / "t.parquet")
    assert frame.height == len(values)
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) == 1 and kinds <= {bool, bytes, dt.date, dt.datetime}:
        assert frame["v"].to_list() == values
    assert len(typed.types) == 1
