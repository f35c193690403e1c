"""Parquet and Arrow become one table, and so do rows of any values; bombs stay bounded."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import functools
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from readers_kit import codes

from local_stack.data.importing import cells
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
