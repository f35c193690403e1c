"""The log of a data set, its tags, and versions given back as files."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.command import find
from local_stack.data import adding, checkout, history, versions
from local_stack.errors import (
    Cancelled,
    ConflictError,
    DamagedError,
    InputError,
    NotFoundError,
    ReadOnlyError,
)
from local_stack.progress import silent
from local_stack.stores.artifacts import Blob
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace

FRAME = pl.DataFrame(
    {
        "id": [2**63 - 1, -5, None],
        "x": [0.1, 1e300, None],
        "s": ['quo"te, and\nline', "  =1+1", None],
        "ok": [True, False, None],
        "day": [date(2024, 2, 29), date(1969, 1, 1), None],
        "at": [datetime(2024, 2, 29, 1, 2, 3, 4), datetime(1969, 1, 1), None],
    }
)


def add(workspace: Workspace, frame: pl.DataFrame, folder: Path, **more: object) -> str:
    file = folder / "frame.parquet"
    frame.write_parquet(file)
    return adding.add(workspace, "t", str(file), **more).reference  # type: ignore[arg-type]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def two(workspace: Workspace, tmp_path: Path) -> tuple[str, str]:
    before = pl.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [1, 2]})
    after = pl.DataFrame({"a": [1.5, 2.0, 3.0], "b": ["x", "y", "z"], "d": [1, 2, 3], "e": [0] * 3})
    return (
        add(workspace, before, tmp_path, tag="first", note="as it came"),
        add(workspace, after, tmp_path),
    )


# Log -------------------------------------------------------------------------------------------


def test_the_log_tells_what_each_version_changed_newest_first(workspace, two):
    found = history.log(workspace, "t")
    newest, first = found.versions
    assert [f"t@{entry.version}" for entry in found.versions] == [two[1], two[0]]
    assert (newest.number, newest.rows, newest.columns) == (2, 3, 4)
    assert newest.change == "+2 -1 ~1 columns, +1 rows"
    assert newest.change_details == {
        "rows": 1,
        "added": ["d", "e"],
        "removed": ["c"],
        "retyped": [{"column": "a", "before": "long", "after": "double"}],
    }
    assert (first.change, first.tags, first.note) == ("first", ("first",), "as it came")
    assert (first.actor, first.command, first.passed) == ("tester", "data.add", None)
    assert history.log(workspace, "t", limit=1).versions == (newest,)
    assert json.loads(json.dumps(found.to_dict()))["versions"][0]["runs"] == []


def test_the_log_tells_checks_runs_and_models(workspace, two):
    version = two[0].partition("@")[2]
    uses = [{"name": "t", "digest": version, "context": "training"}]
    other = [{"name": "u", "digest": version, "context": "training"}]
    rows = [
        ("runs", {"run_id": "r1", "started_at": "2024-01-01", "datasets": uses}),
        ("runs", {"run_id": "r2", "started_at": "2024-01-02", "datasets": [*other, *uses]}),
        ("runs", {"run_id": "r3", "started_at": "2024-01-03", "datasets": other}),
        ("runs", {"run_id": "r4", "started_at": "2024-01-04", "datasets": None}),
        ("model_versions", {"name": "m", "version": 1, "run_id": "r2"}),
        ("model_versions", {"name": "m", "version": 2, "run_id": "r3"}),
        ("checks", {"dataset": "t", "version": version, "contract": 1, "passed": False}),
        ("checks", {"dataset": "t", "version": version, "contract": 2, "passed": True}),
    ]
    workspace.append(lambda _: Draft("test", "test", {}, rows))
    newest, first = history.log(workspace, "t").versions
    assert (first.runs, first.models, first.passed) == (("r1", "r2"), ("m/1",), True)
    assert (newest.runs, newest.models, newest.passed) == ((), (), None)


def test_the_log_of_nothing_names_the_nearest(workspace, two):
    with pytest.raises(NotFoundError) as caught:
        history.log(workspace, "tt")
    assert caught.value.hint == "Did you mean 't'?"


def test_a_version_is_also_found_by_its_number(workspace, two):
    assert [versions.find(workspace, f"t@{n}").reference for n in (1, 2)] == list(two)
    for wrong in ("t@3", "t@0", "t@1234567890", "t@\N{ARABIC-INDIC DIGIT ONE}"):
        with pytest.raises(NotFoundError):
            versions.find(workspace, wrong)


# Tags ------------------------------------------------------------------------------------------


def test_a_tag_moves_and_the_journal_keeps_where_it_was(workspace, two):
    first, second = (reference.partition("@")[2] for reference in two)
    assert history.tag(workspace, "t@1", "golden").previous is None
    moved = history.tag(workspace, "t@2", "golden")
    assert (moved.version, moved.previous) == (second, first)
    history.tag(workspace, "t", "golden")  # where it is already: no event
    events = workspace.query("SELECT body FROM events WHERE kind = 'data.tagged' ORDER BY seq")
    assert [event["body"]["previous"] for event in events] == [None, first]
    assert versions.find(workspace, "t@golden").version == second


def test_a_tag_is_taken_away_and_the_version_stays(workspace, two):
    gone = history.tag(workspace, "t", "first", delete=True)
    assert (gone.version, gone.previous) == (None, two[0].partition("@")[2])
    with pytest.raises(NotFoundError, match="has no tag 'first'"):
        history.tag(workspace, "t", "first", delete=True)
    with pytest.raises(NotFoundError):
        versions.find(workspace, "t@first")
    assert len(history.log(workspace, "t").versions) == 2


def test_tags_that_could_be_something_else_are_refused(workspace, two):
    digits = two[0].partition("@")[2]
    for tag in (digits, digits[:6], "0123456789ab", "12", "a@b", "a/b", "../x", "", "-x", "a\x1bb"):
        with pytest.raises(InputError):
            history.tag(workspace, "t", tag)
    assert history.tag(workspace, "t", "2024-01-31").tag == "2024-01-31"
    with pytest.raises(NotFoundError):
        history.tag(workspace, "t@nope", "x")
    with pytest.raises(ReadOnlyError):
        history.tag(Workspace.open(workspace.root, readonly=True), "t", "x")


# Checkout --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.arrow", "t.parquet"])
def test_what_is_checked_out_is_added_as_the_same_values(workspace, tmp_path, name):
    add(workspace, FRAME, tmp_path)
    found = checkout.checkout(workspace, "t", tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert (found.bytes, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    if name == "t.arrow":
        assert pl.read_ipc(tmp_path / name).equals(FRAME)
        return
    adding.add(workspace, "back", str(tmp_path / name))
    assert versions.read(workspace, versions.find(workspace, "back")).equals(FRAME)


def test_json_lines_hold_every_value(workspace, tmp_path):
    add(workspace, FRAME, tmp_path)
    checkout.checkout(workspace, "t", tmp_path / "t.jsonl")
    found = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    times = [{**row, "at": row["at"] and datetime.fromisoformat(row["at"])} for row in found]
    days = [{**row, "day": row["day"] and date.fromisoformat(row["day"])} for row in times]
    assert days == FRAME.to_dicts()


def test_parquet_gives_the_stored_table_byte_for_byte(workspace, two, tmp_path):
    found = checkout.checkout(workspace, "t@1", tmp_path / "t.parquet")
    record = versions.record(workspace, versions.find(workspace, "t@1"))
    assert found.sha256 == record["table"]["sha256"]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(allow_nan=False), st.text(max_size=8) | st.none()), min_size=1),
    st.text(min_size=1, max_size=5).filter(
        lambda name: name != "x" and "\0" not in name  # no imported name holds NUL
    ),
)
def test_csv_keeps_every_number_and_text(tmp_path_factory, rows, name):
    folder = tmp_path_factory.mktemp("c")
    frame = pl.DataFrame(rows, {"x": pl.Float64, name: pl.String}, orient="row")
    frame.write_parquet(folder / "t.parquet")
    checkout._write(folder / "t.parquet", folder / "t.csv", "csv", False, len(rows), silent)
    with (folder / "t.csv").open(newline="", encoding="utf-8") as stream:
        head, *cells = csv.reader(stream)
    assert head == ["x", name]
    assert [(float(x), s) for x, s in cells] == [(x, s or "") for x, s in rows]


def test_a_missing_value_in_an_only_column_is_still_a_row(workspace, tmp_path):
    add(workspace, pl.DataFrame({"x": [1, None, 3]}), tmp_path)
    checkout.checkout(workspace, "t", tmp_path / "t.csv")
    adding.add(workspace, "back", str(tmp_path / "t.csv"))
    assert versions.show(workspace, "back").rows == ((1,), (None,), (3,))


def test_what_a_format_cannot_tell_is_named(workspace, tmp_path):
    add(workspace, pl.DataFrame({"x": [math.inf, 1.0], "s": ["NA", ""]}), tmp_path)
    (note,) = checkout.checkout(workspace, "t", tmp_path / "t.csv").warnings
    assert note.startswith("2 values of 's' read back as missing")
    (note,) = checkout.checkout(workspace, "t", tmp_path / "t.jsonl").warnings
    assert note.startswith("1 values of 'x' are infinite")
    assert checkout.checkout(workspace, "t", tmp_path / "t.parquet").warnings == ()


def test_a_spreadsheet_gets_no_formula_and_others_the_values_as_they_are(workspace, tmp_path):
    formulas = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "plain", "1-1", None]
    names = ["=cmd", "^.*$", "n"]
    frame = pl.DataFrame({names[0]: formulas, names[1]: formulas, "n": range(-5, 5)})
    add(workspace, frame, tmp_path)
    target = tmp_path / "t.csv"
    checkout.checkout(workspace, "t", target)
    with target.open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == names
    assert [row[0] for row in rows[1:]] == [text or "" for text in formulas]
    checkout.checkout(workspace, "t", target, spreadsheet=True, force=True)
    with target.open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["'=cmd", "^.*$", "n"]
    guarded = ["'" + text for text in formulas[:7]] + ["plain", "1-1", ""]  # type: ignore[operator]
    assert [row[0] for row in rows[1:]] == [row[1] for row in rows[1:]] == guarded
    assert [row[2] for row in rows[1:]] == [str(n) for n in range(-5, 5)]


def test_nothing_is_replaced_without_force(workspace, two, tmp_path):
    target = tmp_path / "there.csv"
    target.write_text("mine")
    with pytest.raises(ConflictError, match="exists already"):
        checkout.checkout(workspace, "t", target)
    assert target.read_text() == "mine"
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConflictError):
        checkout.checkout(workspace, "t", tmp_path / "dangling.csv")
    checkout.checkout(workspace, "t", target, force=True)
    assert target.read_text().startswith("a,b,d,e\n")


def test_what_came_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "t.csv"

    def race() -> None:
        with checkout.replacing(target, force=False) as scratch:
            scratch.write_text("ours")
            target.write_text("theirs")

    with pytest.raises(ConflictError):
        race()
    assert target.read_text() == "theirs"
    assert names_in(tmp_path) == ["t.csv"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://bucket/t.csv", "not on a disk"),
        ("no/such/folder/t.csv", "There is no folder"),
        ("t.xyz", "tells no format"),
        (".", "holds the workspace"),
        ("ws/journal/t.csv", "belongs to the workspace"),
        ("ws/paceml.toml", "belongs to the workspace"),
        ("ws", "holds the workspace"),
        ("t.csv/..", "names no file"),
    ],
)
def test_bad_places_are_one_sentence_and_leave_nothing(
    workspace, two, tmp_path, monkeypatch, place, message
):
    monkeypatch.chdir(tmp_path)
    before = names_in(tmp_path)
    with pytest.raises(InputError, match=message):
        checkout.checkout(workspace, "t", Path(place), force=True)
    assert names_in(tmp_path) == before


def test_options_that_contradict_each_other_are_refused(workspace, two, tmp_path):
    with pytest.raises(InputError, match="--original writes the bytes"):
        checkout.checkout(workspace, "t", tmp_path / "x", original=True, spreadsheet=True)
    with pytest.raises(InputError, match="guards CSV"):
        checkout.checkout(workspace, "t", tmp_path / "x.parquet", spreadsheet=True)
    with pytest.raises(InputError, match="format cannot be 'xml'"):
        find("data.checkout").coerce({"name": "t", "path": "x", "format": "xml"})


def test_a_cancelled_or_damaged_checkout_leaves_nothing(workspace, two, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()

    def stop(_):
        raise Cancelled

    with pytest.raises(Cancelled):
        checkout.checkout(workspace, "t", folder / "t.csv", progress=stop)
    path = versions.table_path(workspace, versions.find(workspace, "t"))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedError):
        checkout.checkout(workspace, "t", folder / "t.csv")
    assert names_in(folder) == []


def test_the_original_comes_back_byte_for_byte(workspace, tmp_path):
    source = tmp_path / "odd.csv"
    source.write_bytes("\ufeffa;b\r\n1,5;Stra\u00dfe\r\n".encode())
    adding.add(workspace, "t", str(source))
    found = checkout.checkout(workspace, "t", tmp_path / "again", original=True)
    assert (tmp_path / "again").read_bytes() == source.read_bytes()
    assert (found.format, found.files, found.bytes) == ("original", 1, source.stat().st_size)


@pytest.fixture
def many(workspace: Workspace, two: tuple[str, str], tmp_path: Path) -> Path:
    """A version that was made from a folder of files."""
    folder = tmp_path / "parts"
    (folder / "2024").mkdir(parents=True)
    (folder / "2024" / "a.csv").write_text("a\n1\n")
    (folder / "b.csv").write_text("a\n2\n")
    tree = workspace.artifacts.put_tree(folder)
    row = versions.record(workspace, versions.find(workspace, "t"))
    changed = {**row, "original": tree.to_dict()}
    workspace.append(lambda _: Draft("test", "test", {}, [("data_versions", changed)]))
    return folder


def test_the_original_of_several_files_is_a_folder(workspace, many, tmp_path):
    found = checkout.checkout(workspace, "t", tmp_path / "again", original=True)
    for name in ("2024/a.csv", "b.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (many / name).read_bytes()
    assert (found.files, found.bytes) == (2, 8)
    with pytest.raises(ConflictError):
        checkout.checkout(workspace, "t", tmp_path / "again", original=True)
    (tmp_path / "again" / "b.csv").write_text("edited")
    checkout.checkout(workspace, "t", tmp_path / "again", original=True, force=True)
    assert (tmp_path / "again" / "b.csv").read_text() == "a\n2\n"


def test_force_does_not_lose_other_files_of_a_folder(workspace, many, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match=r"holds thesis\.txt"):
        checkout.checkout(workspace, "t", home, original=True, force=True)
    assert names_in(home) == ["thesis.txt"]


def test_a_version_without_an_original_says_so(workspace, two, tmp_path):
    row = versions.record(workspace, versions.find(workspace, "t"))
    changed = {**row, "original": None}
    workspace.append(lambda _: Draft("test", "test", {}, [("data_versions", changed)]))
    with pytest.raises(NotFoundError, match="no original bytes"):
        checkout.checkout(workspace, "t", tmp_path / "x", original=True)
    assert Blob.of(row["table"]).size > 0
