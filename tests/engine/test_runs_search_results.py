"""What ``runs search`` returns: tables, files of every matching run, and sentences about slips."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from run_store_kit import put_experiment, put_run, run_id

from local_stack.errors import ConflictError, InputError, NotFoundError
from local_stack.notebook import Workspace as Notebook
from local_stack.runs import exporting, records
from local_stack.runs.records import Run, RunList
from local_stack.workspace import Workspace

HOSTILE = "=cmd|'/c calc'!A1 | <script>alert(1)</script> \x1b[2J`x` [a](b)"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with five runs in two experiments, one of them deleted and one hostile."""
    with Workspace.create(tmp_path_factory.mktemp("runs") / "ws", actor="tester") as workspace:
        _fill(workspace)
        yield workspace


def _fill(workspace: Workspace) -> None:
    root = workspace.root / "mlruns"
    put_experiment(root, "1", "wine")
    put_experiment(root, "2", "beer")
    for number in range(3):
        folder = put_run(root, run_id(number), start_time=1_600_000_000_000 + number)
        (folder / "metrics" / "auc").write_text(f"1600000000000 {number / 4} 0\n")
    put_run(root, run_id(3), lifecycle_stage="deleted")
    folder = put_run(root, run_id(4), "2", end_time="null", status=1)
    (folder / "params" / "note").write_text(HOSTILE)
    (folder / "metrics" / "nan").write_text("1600000000000 nan 0\n")


def test_a_list_is_a_sequence_with_the_total(stored):
    found = records.search(stored, limit=2)
    assert (len(found), found.total) == (2, 4)
    assert [run.run_id for run in found] == [run_id(2), run_id(1)]
    assert found[0].duration == 59.998
    assert found[0] is found.runs[0]
    assert not records.search(stored, "run_id = 'x'")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"experiment": "wine"}, "210"),
        ({"experiment": "2"}, "4"),
        ({"experiment": ("wine", "2")}, "2104"),
        ({"experiment": ("wine",), "state": "deleted"}, "3"),
        ({"state": "all", "order_by": "run_id DESC"}, "43210"),
        ({"limit": 0, "order_by": ("metrics.auc, run_id DESC",)}, "0124"),
        ({"limit": 1, "order_by": ("metrics.auc DESC",)}, "2"),
    ],
)
def test_experiments_states_orders_and_limits_narrow_a_list(stored, options, expected):
    found = records.search(stored, **options)
    assert "".join(run.run_id[-1] for run in found) == expected
    assert found.total == (4 if options.get("limit") == 1 else len(expected))


def test_an_experiment_that_is_not_there_is_told_with_the_nearest(stored):
    with pytest.raises(NotFoundError, match="'win'") as caught:
        records.search(stored, experiment="win")
    assert caught.value.hint == "Did you mean 'wine'?"


def test_a_limit_below_zero_is_refused(stored):
    with pytest.raises(InputError, match="negative"):
        records.search(stored, limit=-1)


def test_a_key_that_no_run_has_is_told_with_the_nearest(stored):
    none = records.search(stored, "metrics.rmsee < 1 AND (tags.taem = 'x' OR params.model = 'x')")
    assert none.warnings == (
        "No run has metrics.rmsee. Did you mean 'rmse'?",
        "No run has tags.taem. Did you mean 'team'?",
    )
    assert records.search(stored, "params.model = 'x'").warnings == ()
    assert records.search(stored, "min(metrics.rmes) < 0").warnings == (
        "No run has metrics.rmes. Did you mean 'rmse'?",
    )


def test_an_order_by_what_no_run_has_is_told(stored):
    found = records.search(stored, order_by=("metrics.rmsee DESC, metrics.auc", "min(metrics.acu)"))
    assert found.warnings == (
        "No run has metrics.rmsee. Did you mean 'rmse'?",
        "No run has metrics.acu. Did you mean 'auc'?",
    )
    assert records.search(stored, "run_id = 'x'", order_by="metrics.auc").warnings == ()


# ------------------------------------------------------------------ tables


def test_a_table_has_the_columns_and_types_of_mlflow(stored):
    frame = records.search(stored, order_by="run_id").to_polars()
    assert frame.schema["metrics.rmse"] == pl.Float64
    assert frame.schema["params.model"] == pl.String
    assert frame.schema["start_time"] == pl.Datetime("us", "UTC")
    assert frame["metrics.auc"].to_list() == [0.0, 0.25, 0.5, None]
    assert frame["end_time"].to_list()[3] is None
    assert frame["start_time"].to_list()[1] == datetime.fromtimestamp(1_600_000_000.001, UTC)
    assert math.isnan(frame["metrics.nan"].to_list()[3])
    assert frame["params.note"].to_list()[3] == HOSTILE
    assert frame.columns[:3] == ["run_id", "name", "experiment"]
    assert frame.columns[6:] == [
        *("metrics.auc", "metrics.nan", "metrics.rmse", "params.model", "params.note", "tags.team")
    ]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("name,metrics.rmse,params.*",), ["name", "metrics.rmse", "params.model", "params.note"]),
        (("run.run_name", "metric.`rmse`"), ["name", "metrics.rmse"]),
        (("metrics.*c, duration",), ["metrics.auc", "duration"]),
        (('params."*"',), ["params.*"]),
        (("tags.`a,b`,name,name",), ["tags.a,b", "name"]),
    ],
)
def test_columns_are_chosen_by_name_and_star(stored, columns, expected):
    assert records.search(stored, columns=columns).to_polars().columns == expected


def test_a_chosen_column_that_no_run_has_is_told(stored):
    found = records.search(stored, columns="name,metrics.rmsee")
    assert found.warnings == ("None of the runs has metrics.rmsee. Did you mean 'rmse'?",)
    assert found.to_polars()["metrics.rmsee"].to_list() == [None] * 4


@pytest.mark.parametrize(
    "columns", ["nmae", "metrcs.rmse", "datasets.name", 'a"', "metrics.", "``"]
)
def test_what_is_no_column_is_refused_with_a_way_out(stored, columns):
    with pytest.raises(InputError) as caught:
        records.search(stored, columns=columns)
    assert caught.value.hint


def test_an_empty_list_is_an_empty_table(stored):
    found = records.search(stored, "run_id = 'x'")
    assert found.to_polars().shape == (0, 6)
    assert "0 of 0 runs" in found._repr_html_()


# ------------------------------------------------------------------ files


def test_files_hold_every_run_whatever_the_limit(stored, tmp_path):
    comma, parquet = tmp_path / "runs.csv", tmp_path / "runs.parquet"
    found = records.search(stored, order_by="run_id", limit=1, csv=comma, parquet=parquet)
    assert (len(found), found.total) == (1, 4)
    assert found.written == (str(comma), str(parquet))
    whole = records.search(stored, order_by="run_id", limit=0)
    assert pl.read_parquet(parquet).equals(whole.to_polars())
    rows = list(csv.DictReader(comma.read_text(encoding="utf-8").splitlines()))
    assert [row["run_id"] for row in rows] == [run_id(n) for n in (0, 1, 2, 4)]
    assert [row["metrics.auc"] for row in rows] == ["0.0", "0.25", "0.5", ""]
    assert rows[0]["start_time"] == "2020-09-13T12:26:40.000000Z"
    assert rows[3]["params.note"] == f"'{HOSTILE}"


def test_files_appear_whole_or_not_at_all(stored, tmp_path, monkeypatch):
    comma, parquet = tmp_path / "runs.csv", tmp_path / "runs.parquet"
    parquet.write_text("mine")
    with pytest.raises(ConflictError, match="exists already"):
        records.search(stored, csv=comma, parquet=parquet)
    assert not comma.exists()
    assert parquet.read_text() == "mine"

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "frame", fail)
    with pytest.raises(Exception, match="disk is full"):
        records.search(stored, csv=comma, parquet=parquet, force=True)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["runs.parquet"]
    assert parquet.read_text() == "mine"
    monkeypatch.undo()
    records.search(stored, csv=comma, parquet=parquet, force=True)
    assert pl.read_parquet(parquet).height == 4


def test_files_do_not_go_into_the_records_of_the_workspace(stored):
    with pytest.raises(InputError, match="own records"):
        records.search(stored, csv=stored.root / "journal" / "x.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((f"{mark}1+1", f"'{mark}1+1") for mark in "=@+-\t\r\n"),
        ("-1.5", "-1.5"),
        ("+1e3", "+1e3"),
        ("-1_0", "'-1_0"),
        ("a=b", "a=b"),
        ("\ud800", "?"),
        (None, ""),
        (-1.5, -1.5),
    ],
)
def test_a_spreadsheet_takes_no_cell_for_a_formula(text, expected):
    assert exporting.guarded(text) == expected


# ------------------------------------------------------------------ Markdown and notebooks


_MARKUP = st.text(
    st.sampled_from("ab1 _*`[]()<>|\\\\~$&;#!-+.:=\"'\t\n\u00a0\u5bbd")
) | st.sampled_from(
    [
        "&amp;",
        "&#35;",
        "<b>x</b>",
        "https://a.b/c_d_e",
        "![a](b)",
        "[a]: b",
        "---",
        ":-:",
        "1. x",
        "> q",
        "| a |",
    ]
)


def _hostile_list() -> RunList:
    run = Run(
        run_id="1",
        name=HOSTILE,
        experiment=HOSTILE,
        status="FINISHED",
        start_time=None,
        end_time=None,
        params={HOSTILE: HOSTILE, "long": "x" * 5_000, "bidi": "a\u202eb\nc"},
        metrics={HOSTILE: 1 / 3},
        tags={'"><img src=x onerror=alert(1)>': "'\" onmouseover='x"},
    )
    return RunList((run,), 1, warnings=(HOSTILE,))


def test_markdown_is_one_table_in_which_nothing_is_markup(stored):
    found = records.search(stored, md=True, order_by="run_id", columns="name,params.*")
    lines = found.markdown.splitlines()
    assert lines[0] == r"| name | params.model | params.note |"
    assert lines[2] == "| name-0000 | tree |  |"
    assert len(lines) == 2 + found.total
    assert "<script>" not in found.markdown
    assert r"\| &lt;script&gt;" in lines[-1]
    hostile = _hostile_list()
    text = exporting.markdown(hostile.runs, hostile.table_columns())
    assert len(text.splitlines()) == 3
    assert text.replace("\n", "").isprintable()


def _cells(text: str) -> list[list[str]]:
    """Return the plain text of each cell of the one table that a Markdown parser finds."""
    found = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    kinds = [token.type for token in found]
    assert (kinds[0], kinds[-1], kinds.count("table_open")) == ("table_open", "table_close", 1)
    rows: list[list[str]] = []
    for token in found:
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline":
            inside = token.children or []
            assert {child.type for child in inside} <= {"text", "text_special"}
            rows[-1].append("".join(child.content for child in inside))
    return rows


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(_MARKUP, _MARKUP), min_size=1, max_size=4))
def test_every_cell_of_markdown_renders_as_its_text(texts: list[tuple[str, str]]) -> None:
    runs = [
        Run(
            run_id="1",
            name=a,
            experiment=b,
            status="",
            start_time=None,
            end_time=None,
            params={},
            metrics={},
            tags={},
        )
        for a, b in texts
    ]
    columns = [exporting.Column("", "name"), exporting.Column("", "experiment")]
    expected = [[exporting.visible(text) for text in pair] for pair in texts]
    assert _cells(exporting.markdown(runs, columns)) == [["name", "experiment"], *expected]


def test_markdown_escapes_nothing_that_is_no_markup_in_a_cell() -> None:
    for text in ("max_depth", "run-1 (second) #2", "a + b! {x} 1. 5 > ", "-0.5", "# head", "R&D"):
        assert exporting.escaped(text.rstrip(" >")) == text.rstrip(" >")
    assert exporting.escaped("_a_b_|*[x]`") == r"\_a_b\_\|\*\[x\]\`"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, tuple[str, ...]]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add((tag, tuple(name for name, _ in attrs)))


def test_a_notebook_shows_a_table_in_which_nothing_is_markup():
    page = _hostile_list()._repr_html_()
    parser = _Tags()
    parser.feed(page)
    plain = {("table", ()), ("thead", ()), ("tbody", ()), ("tr", ()), ("div", ())}
    cells = {("th", ("style",)), ("td", ("style",)), ("td", ("style", "title"))}
    assert parser.seen == plain | cells
    assert "0.333333" in page
    assert "1 of 1 runs" in page
    assert len(page) < 12_000
    assert page.isprintable()


def test_a_notebook_searches_as_the_command_does(stored, tmp_path):
    with Notebook.open(stored.root) as ws:
        found = ws.runs.search("metrics.rmse < 1", order_by="metrics.auc desc")
        assert [run.run_id[-1] for run in found] == ["2", "1", "0", "4"]
        assert found.to_polars().height == 4


# ------------------------------------------------------------------ abuse


@pytest.mark.parametrize(
    "attack",
    [
        "'; DROP TABLE runs; --",
        "metrics.a > 1; ATTACH 'x.duckdb'",
        "params.`'); DELETE FROM runs; --` = 'x'",
        "metrics.rmse < 1 /* x */",
        "params.a = 'x' UNION SELECT 1",
        "count(*) > 0",
        "read_text(metrics.a) > 0",
        "min(metrics.`a') FROM runs; --`) < 1",
        "run_id IN (SELECT run_id FROM runs)",
        "metrics.\u0430 < 1",  # a Cyrillic letter
        "run_id \uff1d 'x'",  # a full-width equals sign
        "metrics.a < \u0661",  # an Arabic digit
        "params.a = '\0'",
        "\0",
        "(" * 19_000,
        "NOT " * 5_000 + "metrics.a > 1",
        "step(" * 4_000,
        "metrics.a" + " - 1" * 3_000 + " > 1",
        "params.a = '" + "x" * 30_000 + "'",
    ],
)
def test_a_hostile_filter_is_one_sentence_or_matches_nothing(stored, attack):
    records.search(stored)
    before = stored.metadata.state_hash()
    files = _files(stored.root)
    refused, total = _outcome(stored, filter=attack)
    assert refused is not None or total == 0
    assert _outcome(stored, order_by=attack)[1] in (None, 4)
    assert stored.metadata.state_hash() == before
    assert _files(stored.root) == files
    assert records.search(stored).total == 4


def _outcome(workspace: Workspace, **words: str) -> tuple[InputError | None, int | None]:
    """Return the refusal, which is one sentence with its place and a hint, or the total."""
    try:
        return None, records.search(workspace, **words).total
    except InputError as error:
        refusal = error
    assert refusal.message.count("\n") <= 2
    assert len(refusal.message) < 400
    assert refusal.hint
    return refusal, None


def _files(root: Path) -> dict[str, int]:
    kept = ("mlruns", "journal", "cache")
    return {
        str(path): path.stat().st_size
        for name in kept
        for path in (root / name).rglob("*")
        if path.is_file() and path.suffix in (".yaml", ".duckdb", ".jsonl", "")
    }
