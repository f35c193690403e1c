"""Delimited text: every kind of damage, every line accounted for, and refused when strict."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pollution_kit as kit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_stack.data import adding, previewing, sources, versions
from local_stack.data.importing import normalising
from local_stack.data.importing.kinds import SPACES
from local_stack.data.rejects import Rejects
from local_stack.data.tables import Imported, Options
from local_stack.errors import Cancelled, InputError

POLLUTED = {f"{n}-{file.name}": file for n in (12, 300) for file in kit.files(n)}


def imported(path: Path, folder: Path, **options) -> tuple[pl.DataFrame, Imported, Rejects]:
    scratch = folder / "scratch"
    scratch.mkdir()
    with Rejects(scratch) as rejects:
        (scratch / "between").mkdir()
        found = normalising.normalise(
            sources.gather(str(path), scratch),
            Options(**options),
            scratch / "table.parquet",
            rejects,
            scratch / "between",
        )
    return pl.read_parquet(scratch / "table.parquet"), found, rejects


def text_file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def moment(time: str) -> datetime:
    return datetime.fromisoformat(f"2024-01-31T{time}")


def plain(cell):
    return str(cell) if isinstance(cell, date) else cell


@pytest.mark.parametrize("name", POLLUTED)
def test_damaged_files_give_the_table_they_hold(tmp_path, name):
    file = POLLUTED[name]
    frame, found, rejects = imported(text_file(tmp_path, file.data), tmp_path)
    assert tuple(frame.columns) == file.names
    assert [tuple(map(plain, row)) for row in frame.iter_rows()] == list(file.rows)
    left_out = [it.line for it in rejects.first if it.outcome == "left_out"]
    assert tuple(left_out) == file.lost
    assert found.n_rejected == len(file.lost)


def test_lines_that_were_mended_left_out_or_set_aside_are_listed_with_their_numbers(
    workspace, tmp_path
):
    text = 'Title\n\na,b,c\n1,x,2\n3,y\n4,"open,5\n6,z,7,8\n9,w,10\n\nSource: none\n'
    added = adding.add(workspace, "t", str(text_file(tmp_path, text)))
    listed = versions.rejected(workspace, "t")
    found = {(it.line, it.code, it.outcome) for it in listed.rejects}
    assert found == {
        (1, "preamble", "aside"),
        (5, "short_row", "repaired"),
        (6, "unclosed_quote", "repaired"),
        (7, "too_many_fields", "left_out"),
        (10, "footer", "aside"),
    }
    assert (added.rows, added.rejects, listed.total) == (4, 1, 5)
    assert versions.rejected(workspace, "t", limit=2).total == 5
    assert {w.code for w in added.warnings} >= {"rejected_lines", "repaired_lines", "not_rows"}


@pytest.mark.parametrize(
    ("text", "line"),
    [("a,b\n1,2\n3\n", 3), ("a,b\n1,2\n\n3,4,5\n6,7\n", 4), ('a,b\n1,"x\n2,y\n', 2)],
)
def test_strict_refuses_with_the_line_and_leaves_nothing(workspace, tmp_path, text, line):
    path = text_file(tmp_path, text)
    with pytest.raises(InputError, match=f"line {line}"):
        adding.add(workspace, "t", str(path), strict=True)
    assert versions.listing(workspace).datasets == ()
    adding.add(workspace, "t", str(path))


def test_a_cell_that_does_not_fit_a_long_column_becomes_missing_and_is_listed(workspace, tmp_path):
    lines = [str(i) for i in range(1000)]
    lines[700] = "oops"
    path = text_file(tmp_path, "a\n" + "\n".join(lines) + "\n")
    added = adding.add(workspace, "t", str(path))
    assert (added.schema[0].type, added.schema[0].nullable, added.rejects) == ("long", True, 1)
    (reject,) = versions.rejected(workspace, "t").rejects
    assert (reject.line, reject.column, reject.text, reject.outcome) == (
        702,
        "a",
        "oops",
        "missing",
    )
    with pytest.raises(InputError, match="line 702"):
        adding.add(workspace, "u", str(path), strict=True)
    as_text = adding.add(workspace, "t", str(path), type=("a=string",))
    assert (as_text.schema[0].type, as_text.rejects) == ("string", 0)
    assert as_text.version != added.version


def test_the_line_of_a_cell_is_right_behind_cells_of_several_lines(workspace, tmp_path):
    rows = [f'{i},"one\ntwo"' if i % 10 == 0 else f"{i},one" for i in range(500)]
    rows[321] = "x,one"
    path = text_file(tmp_path, "a,b\n" + "\n".join(rows) + "\n")
    adding.add(workspace, "t", str(path))
    (reject,) = versions.rejected(workspace, "t").rejects
    assert path.read_text().split("\n")[reject.line - 1] == "x,one"


@pytest.mark.parametrize(
    ("texts", "kind", "first"),
    [
        (["1", "-2", "+3"], "long", 1),
        (["1.5", ".5", "2", "-3e2"], "double", 1.5),
        (["1,5", "2,25"], "double", 1.5),
        (["1,234", "12,345,678"], "long", 1234),
        (["1,234.5", "12"], "double", 1234.5),
        (["1.234,5", "12"], "double", 1234.5),
        (["1 234", "12 345"], "long", 1234),
        (["1\u00a0234,5", "12,25"], "double", 1234.5),
        (["1'234.5", "12.25"], "double", 1234.5),
        (["$1,234.50", "$3.00"], "double", 1234.5),
        (["12 €", "3 €"], "long", 12),
        (["true", "FALSE", "True"], "boolean", True),
        (["yes", "no"], "string", "yes"),
        (["007", "012"], "string", "007"),
        (["12345678901234567890", "1"], "string", "12345678901234567890"),
        (["9223372036854775807", "1"], "long", 9223372036854775807),
        (["2024-01-31", "2024-02-01"], "date", date(2024, 1, 31)),
        (["31/01/2024", "01/02/2024"], "date", date(2024, 1, 31)),
        (["01/31/2024", "02/01/2024"], "date", date(2024, 1, 31)),
        (["31.01.2024", "01.02.2024"], "date", date(2024, 1, 31)),
        (["31-Jan-2024", "1-Feb-2024"], "date", date(2024, 1, 31)),
        (["January 31, 2024", "March 1, 2024"], "date", date(2024, 1, 31)),
        (["2024-01-31 10:20:30", "2024-02-01 00:00:00"], "datetime", moment("10:20:30")),
        (["2024-01-31T10:20:30.25", "2024-02-01T00:00:00"], "datetime", moment("10:20:30.250")),
        (["2024-01-31T10:20:30+02:00", "2024-02-01T00:00:00Z"], "datetime", moment("08:20:30")),
        (["1/31/2024 1:05 PM", "2/1/2024 11:00 AM"], "datetime", moment("13:05")),
        (["2024-02-30", "2024-01-01"], "string", "2024-02-30"),
        (["1.2.10", "1.3.4"], "string", "1.2.10"),
        (["10:30", "11:45"], "string", "10:30"),
        (["1e400", "1"], "string", "1e400"),
        (["inf", "1.5"], "double", float("inf")),
        (["1", "x"], "string", "1"),
        (["-", "1", "2"], "long", None),
        (["NA", "1", "n/a", "2"], "long", None),
        ([" 7 ", "8"], "long", 7),
    ],
)  # fmt: skip
def test_types_are_those_that_a_person_would_choose(tmp_path, texts, kind, first):
    out = io.StringIO()
    csv.writer(out).writerows([["v", "w"], *([text, "x"] for text in texts)])
    frame, found, _ = imported(text_file(tmp_path, out.getvalue()), tmp_path)
    assert found.columns[0].type == kind, found.column_decisions[0].reason
    assert frame["v"][0] == first
    assert found.column_decisions[0].reason


def test_day_and_month_are_told_by_the_file_and_doubt_is_said(tmp_path):
    for place, (texts, day, is_doubted) in enumerate(
        [
            (["03/04/2024", "05/06/2024"], date(2024, 3, 4), True),
            (["03/04/2024", "13/06/2024"], date(2024, 4, 3), False),
            (["01/02/2024", "02/02/2024", "03/02/2024", "04/02/2024"], date(2024, 2, 1), False),
        ]
    ):
        folder = tmp_path / str(place)
        folder.mkdir()
        path = text_file(folder, "d,x\n" + "".join(f"{text},a\n" for text in texts))
        frame, found, _ = imported(path, folder)
        assert frame["d"][0] == day
        assert ("ambiguous_dates" in {w.code for w in found.warnings}) == is_doubted


def test_every_decision_can_be_corrected(workspace, tmp_path):
    text = "x\na;b\n1,5;01/02/2024\n2,5;03/04/2024\nend\n"
    path = text_file(tmp_path, text)
    shown = previewing.preview(workspace, str(path))
    assert {it.what for it in shown.decisions} >= {"format", "encoding", "delimiter", "header"}
    asked = {
        "delimiter": ";",
        "skip": 1,
        "footer": 1,
        "header": 1,
        "decimal": ",",
        "date_format": "%d/%m/%Y",
        "rename": ("a=first",),
        "null": ("2,5",),
    }
    given = previewing.preview(workspace, str(path), **asked)
    assert [(c.name, c.type) for c in given.columns] == [("first", "double"), ("b", "date")]
    assert given.rows == ((1.5, "2024-02-01"), (None, "2024-04-03"))
    added = adding.add(workspace, "t", str(path), **asked)
    assert versions.show(workspace, "t").rows == given.rows
    assert added.version == adding.add(workspace, "t", str(path), **asked).version


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": ("nope=long",)},
        {"type": ("a=lnog",)},
        {"type": ("a",)},
        {"rename": ("a=b",)},
        {"encoding": "utf-9"},
        {"encoding": "hex"},
        {"delimiter": ""},
        {"delimiter": "abcde"},
        {"quote": "ab"},
        {"skip": -1},
        {"skip": 99},
        {"header": 99},
        {"decimal": "x"},
        {"format": "cvs"},
        {"format": "parquet"},
    ],
)
def test_a_wrong_option_is_one_sentence(workspace, tmp_path, wrong):
    path = text_file(tmp_path, "a,b\n1,2\n")
    with pytest.raises(InputError) as caught:
        adding.add(workspace, "t", str(path), **wrong)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    assert versions.listing(workspace).datasets == ()


cells = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\n\t\0"),
    max_size=12,
)  # a carriage return ends a line, and what is full of control characters is no text


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=30),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_the_csv_module_writes_is_read_back_cell_by_cell(
    tmp_path_factory, rows, delimiter, quoting
):
    """With the dialect given and every column text, each cell comes back as it was written."""
    tmp_path = tmp_path_factory.mktemp("roundtrip")
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    writer.writerows([("a", "b", "c"), *rows])
    frame, _, _ = imported(
        text_file(tmp_path, out.getvalue()),
        tmp_path,
        delimiter=delimiter,
        quote='"',
        escape="",
        header=1,
        skip=0,
        footer=0,
        nulls=("\x00never",),
        types={"a": "string", "b": "string", "c": "string"},
    )
    read = [tuple(cell or "" for cell in row) for row in frame.iter_rows()]
    rows = [tuple(cell if cell.strip(SPACES) else "" for cell in row) for row in rows]
    assert [row for row in read if any(row)] == [row for row in rows if any(row)]


@settings(max_examples=100)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_a_table_or_a_sentence(tmp_path_factory, data):
    tmp_path = tmp_path_factory.mktemp("any")
    try:
        frame, found, _ = imported(text_file(tmp_path, data), tmp_path, format="csv")
    except InputError:
        return
    assert frame.shape == (found.n_rows, len(found.columns))


def test_an_import_can_be_cancelled_and_leaves_nothing(workspace, tmp_path):
    path = text_file(tmp_path, "a,b\n" + "".join(f"{i},{i}\n" for i in range(200_000)))
    seen: list[str] = []

    def host(step):
        seen.append(step.label)
        if step.label.startswith(("Proving", "Writing", "Reading")):
            raise Cancelled()

    with pytest.raises(Cancelled):
        adding.add(workspace, "t", str(path), progress=host)
    assert seen
    assert versions.listing(workspace).datasets == ()
    assert not [p for p in workspace.leftovers() if p.name != "jobs"]


def test_a_path_with_the_letters_of_a_glob_is_that_file_alone(workspace, tmp_path):
    (tmp_path / "x1.csv").write_text("a,b\n9,9\n9,9\n")
    (tmp_path / "x[1].csv").write_text("a,b\n1,2\n")
    assert adding.add(workspace, "t", str(tmp_path / "x[1].csv")).rows == 1


def test_several_files_are_one_table_matched_by_name(workspace, tmp_path):
    (tmp_path / "a.csv").write_text("id,x\n1,1.5\n2,2.5\n")
    (tmp_path / "b.csv").write_text("x;id\n3.5;3\n")
    (tmp_path / "c.csv").write_text("id\n4\n")
    added = adding.add(workspace, "t", str(tmp_path / "*.csv"))
    assert added.rows == 4
    assert [(c.name, c.type) for c in added.schema] == [("id", "long"), ("x", "double")]
    assert versions.show(workspace, "t").rows == ((1, 1.5), (2, 2.5), (3, 3.5), (4, None))
    assert [it["name"] for it in added.lineage["files"]] == ["a.csv", "b.csv", "c.csv"]


MESSY = {
    "csvkit__FY09_EDU_Recipients_by_State.csv": (53, 10, 0),
    "csvkit__ks_1033_data.csv": (1575, 14, 0),
    "csvkit__test_utf16_big.csv": (2, 3, 0),
    "duckdb__14177.csv": (5, 2, 0),
    "duckdb__comma_decimal_null.csv": (8, 28, 0),
    "duckdb__mixed_timestamps.csv": (5, 2, 0),
    "duckdb__quotednewlines.csv": (10100, 2, 0),
    "frictionless-py__duplicate-headers.csv": (2, 5, 0),
    "frictionless-py__structure-errors.csv": (3, 3, 1),
    "messytables__characters.csv": (382, 18, 0),
    "messytables__excel_pasting.csv": (14, 9, 0),
    "messytables__spanish_chars.csv": (114, 8, 0),
    "messytables__sparse_with_column_errors.csv": (2237, 4, 0),
    "messytables__utf-16le_encoded.csv": (327, 19, 0),
    "messytables__utf8bom.csv": (0, 2, 0),
    "messytables__weird_head_padding.csv": (60, 11, 0),
}


@pytest.mark.parametrize("name", MESSY)
def test_real_messy_files_have_their_rows_and_columns(shared_data, tmp_path, name):
    frame, found, _ = imported(shared_data / "messy" / name, tmp_path)
    assert (frame.height, frame.width, found.n_rejected) == MESSY[name]


def test_airlines_come_whole_with_every_line_named(workspace, shared_data):
    path = shared_data / "tabular" / "airlines_allyears2k.csv"
    added = adding.add(workspace, "airlines", str(path))
    bad = [
        number
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1)
        if not _is_utf8(line)
    ]
    listed = versions.rejected(workspace, "airlines", limit=10_000)
    assert (added.rows, added.columns, added.rejects, len(bad)) == (43_978, 31, 0, 3_998)
    assert [it.line for it in listed.rejects] == bad
    peer = pl.read_csv(path, encoding="latin-1", null_values="NA", infer_schema_length=None)
    frame = versions.read(workspace, added)
    assert frame.columns == peer.columns
    for name in frame.columns:
        assert frame[name].null_count() == peer[name].null_count(), name
    assert frame["ArrDelay"].to_list() == peer["ArrDelay"].to_list()


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.slow
def test_three_thousand_columns_are_read_part_by_part(tmp_path):
    cells = ("{n}", "{n}.5", "2024-01-{d:02d}", "word {n}", "0{n}")
    kinds = ("long", "double", "date", "string", "string")
    lines = [",".join(f"c{i}" for i in range(3_000))]
    for n in range(1, 21):
        lines.append(",".join(cells[i % 5].format(n=n, d=n) for i in range(3_000)))
    frame, found, _ = imported(text_file(tmp_path, "\n".join(lines) + "\n"), tmp_path)
    assert [c.type for c in found.columns] == [kinds[i % 5] for i in range(3_000)]
    assert frame.columns == [f"c{i}" for i in range(3_000)]
    assert frame["c2995"].to_list() == list(range(1, 21))
    assert frame["c2999"].to_list() == [f"0{n}" for n in range(1, 21)]


SALES = "DATE,TIME,Qty,ID,Text,Notes\n" + "".join(
    f'{i % 12 + 1}/{i % 28 + 1}/2020,{i % 24}:1{i % 6}:09,{i},P-{i},"Toy, ""good"" {i}",\n'
    for i in range(40)
)


@pytest.mark.parametrize(
    ("line", "change", "code"),
    [
        (21, lambda text: "," + text, "trailing_delimiters"),
        (21, lambda text: text + ",", "trailing_delimiters"),
        (21, lambda text: text[:-3], "unclosed_quote"),
        (21, lambda text: text.replace(",", ";"), "other_delimiter"),
        (2, lambda text: text.replace(",", "", 1), "short_row"),
        (6, lambda text: '"5/5"' + text[3:], "stray_quote"),
    ],
)
def test_a_damaged_row_takes_no_other_row_with_it(tmp_path, line, change, code):
    lines = SALES.split("\n")
    lines[line - 1] = change(lines[line - 1])
    frame, _, rejects = imported(text_file(tmp_path, "\n".join(lines)), tmp_path)
    assert [(it.line, it.code) for it in rejects.first] == [(line, code)]
    assert frame.columns == ["DATE", "TIME", "Qty", "ID", "Text", "Notes"]
    assert frame.height == 40
    assert frame["Text"].drop_nulls()[-1] == 'Toy, "good" 39'


@pytest.mark.parametrize(
    "header",
    ["DATE,TIME,,Qty,ID,Text,Notes", "DATE;TIME;Qty;ID;Text;Notes", "DATE,TIME,Qty,ID,Text,Notes,"],
)
def test_a_damaged_header_still_names_the_columns(tmp_path, header):
    text = SALES.replace("DATE,TIME,Qty,ID,Text,Notes", header)
    frame, _, _ = imported(text_file(tmp_path, text), tmp_path)
    assert frame.columns[:6] == ["DATE", "TIME", "Qty", "ID", "Text", "Notes"]
    assert frame.height == 40


def test_rows_keep_their_order_in_long_files_that_need_mending(tmp_path):
    text = "n,s\n" + "".join(f"{i},v{i}\n" for i in range(110_000)) + "7,8,9\n110000,x\n"
    frame, _, _ = imported(text_file(tmp_path, text), tmp_path)
    assert frame["n"].to_list() == list(range(110_001))


def test_one_value_among_many_words_does_not_decide_the_type(tmp_path):
    text = "n,t\n" + "".join(f"{i},z\n" for i in range(300)) + "300,3\n"
    frame, found, _ = imported(text_file(tmp_path, text), tmp_path)
    assert (found.columns[1].type, frame["t"].null_count()) == ("string", 0)


@pytest.mark.slow
def test_a_cell_of_many_quoted_lines_is_read_at_once(tmp_path):
    text = 'a,b\n1,"' + 'x, ""y""\n' * 20_000 + '"\n2,y\n3,z\n'
    frame, _, _ = imported(text_file(tmp_path, text), tmp_path)
    assert frame["a"].to_list() == [1, 2, 3]
    assert frame["b"][0] == 'x, "y"\n' * 20_000
