"""Workbooks of Excel and of others become one table."""

from __future__ import annotations

import datetime as dt
import zipfile
from pathlib import Path

import polars
import pytest
import xlsxwriter
from polars.testing import assert_frame_equal
from readers_kit import codes, decided

from local_stack.errors import InputError


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
