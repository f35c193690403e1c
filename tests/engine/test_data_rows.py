"""Rows by their number: the same as Polars reads, whatever the table holds."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_stack.catalog import call
from local_stack.data import adding, versions
from local_stack.data.rows import RowReader
from local_stack.errors import InputError
from local_stack.workspace import Workspace

N_ROWS = 300_000


@pytest.fixture(scope="module")
def long_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "long.parquet"
    number = pl.int_range(0, N_ROWS, eager=True)
    pl.DataFrame(
        {
            "id": number,
            "half": number / 2,
            "text": number.cast(pl.String).set(number % 7 == 0, None),
            "day": pl.Series([dt.date(2026, 1, 1)] * N_ROWS),
        }
    ).write_parquet(path, row_group_size=50_000)
    return path


@given(st.integers(0, N_ROWS + 5), st.integers(0, 300), st.lists(st.integers(0, 3), max_size=4))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_windows_are_what_polars_reads(
    long_table: Path, tmp_path: Path, start: int, n: int, places: list[int]
) -> None:
    frame = pl.scan_parquet(long_table).slice(start, n).collect()
    names = [frame.columns[place] for place in places]
    with RowReader(long_table, scratch=tmp_path) as reader:
        assert reader.n_rows == N_ROWS
        expected = list(zip(*(frame[name].to_list() for name in names), strict=True))
        assert list(reader.window(start, n, places)) == expected
        assert list(reader.window(start, n)) == frame.rows()


def test_columns_are_told_apart_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "odd [1]*.parquet"
    names = ['"; DROP', "A", "a", "file_row_number", "", "ü"]
    pl.DataFrame({name: [place, None] for place, name in enumerate(names)}).write_parquet(path)
    with RowReader(path, scratch=tmp_path) as reader:
        assert reader.n_columns == len(names)
        assert reader.window(0, 1) == (tuple(range(len(names))),)
        assert reader.window(0, 5, [2, 0]) == ((2, 0), (None, None))


def test_long_texts_are_cut_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"t": ["ü" * 5_000, None], "n": [1, 2]}).write_parquet(path)
    with RowReader(path, scratch=tmp_path) as reader:
        assert reader.window(0, 2, longest=10) == (("ü" * 10, 1), (None, 2))
        assert reader.cell(0, 0) == "ü" * 5_000
        assert reader.cell(1, 0) is None
        assert reader.cell(7, 0) is None


def test_show_starts_anywhere_and_picks_columns(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,name\n" + "".join(f"{n},name {n}\n" for n in range(40)))
    adding.add(workspace, "t", str(path))
    shown = call(workspace, "data.show", {"name": "t", "start": 30, "limit": 2})
    assert (shown.start, shown.rows) == (30, ((30, "name 30"), (31, "name 31")))
    shown = call(workspace, "data.show", {"name": "t", "limit": 1, "column": ["name", "id"]})
    assert (shown.columns, shown.rows) == (("name", "id"), (("name 0", 0),))
    assert call(workspace, "data.show", {"name": "t", "start": 40}).rows == ()
    assert call(workspace, "data.show", {"name": "t", "limit": 0}).rows == ()
    with pytest.raises(InputError, match="no column 'nam'") as caught:
        versions.show(workspace, "t", column=("nam",))
    assert caught.value.hint == "Did you mean 'name'?"
