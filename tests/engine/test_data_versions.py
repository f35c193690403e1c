"""Data versions: what is imported, what it is called, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from local_stack.data import adding, versions
from local_stack.errors import InputError, NotFoundError, ReadOnlyError, UnavailableError
from local_stack.workspace import Workspace


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("id,name,weight,when,ok\n1,a,0.5,2024-01-02,true\n2,,1.5,2024-01-03,false\n")
    return path


def test_add_infers_types_nullability_and_keeps_the_target(workspace: Workspace, table: Path):
    added = adding.add(workspace, "t", str(table), target="ok", key=("id",))
    kinds = {c.name: (c.type, c.nullable) for c in added.schema}
    assert kinds == {
        "id": ("long", False),
        "name": ("string", True),
        "weight": ("double", False),
        "when": ("date", False),
        "ok": ("boolean", False),
    }
    assert (added.rows, added.columns, added.target) == (2, 5, "ok")
    assert len(added.version) >= 12
    assert int(added.version, 16) >= 0


def test_same_bytes_and_options_are_the_same_version_and_make_no_event(workspace, table):
    first = adding.add(workspace, "t", str(table))
    n_added = len(workspace.query("SELECT * FROM events WHERE kind = 'data.added'"))
    again = adding.add(workspace, "t", str(table))
    assert again.version == first.version
    assert len(workspace.query("SELECT * FROM events WHERE kind = 'data.added'")) == n_added
    table.write_text(table.read_text() + "3,c,2.5,2024-01-04,true\n")
    changed = adding.add(workspace, "t", str(table))
    assert changed.version != first.version
    assert changed.number == 2
    assert versions.find(workspace, "t").version == changed.version


def test_versions_are_found_by_tag_version_and_beginning(workspace, table):
    added = adding.add(workspace, "t", str(table), tag="golden")
    for reference in ("t", "t@golden", f"t@{added.version}", f"t@{added.version[:6]}"):
        assert versions.find(workspace, reference).version == added.version
    with pytest.raises(NotFoundError, match="no version or tag 'nope'"):
        versions.find(workspace, "t@nope")
    with pytest.raises(NotFoundError) as caught:
        versions.find(workspace, "tt")
    assert caught.value.hint == "Did you mean 't'?"


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        ('{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n', "t.jsonl", "jsonl"),
        ("a;b\n1;x\n2;\n", "t.csv", "csv"),
        ("a\tb\n1\tx\n2\t\n", "t.tsv", "csv"),
    ],
)
def test_formats_give_the_same_table(workspace, tmp_path, content, name, kind):
    path = tmp_path / name
    path.write_text(content)
    added = adding.add(workspace, "t", str(path))
    assert [(c.name, c.type) for c in added.schema] == [("a", "long"), ("b", "string")]
    assert versions.show(workspace, "t").rows == ((1, "x"), (2, None))
    assert adding.add(workspace, "t", str(path), format=kind).version == added.version


def test_hostile_names_and_cells_are_kept_as_they_are(workspace, tmp_path):
    hostile = "[/nope]\x1b[2J"
    path = tmp_path / "hostile.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([[hostile, 'quo"te'], [hostile, "=1+1"]])
    added = adding.add(workspace, "t", str(path))
    assert [c.name for c in added.schema] == [hostile, 'quo"te']
    assert versions.show(workspace, "t").rows == ((hostile, "=1+1"),)


def test_names_that_could_be_paths_are_refused(workspace, table):
    for name in ("../x", "a/b", "", "x" * 121, "a\x1bb", ".", "a@b"):
        with pytest.raises(InputError):
            adding.add(workspace, name, str(table))


@pytest.mark.parametrize(
    ("content", "message"), [("", "empty"), (None, "There is no file"), ("a,b\n1,2\n", "'target'")]
)
def test_bad_input_is_one_sentence_and_leaves_nothing(workspace, tmp_path, content, message):
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        adding.add(workspace, "t", str(path), target="target")
    assert versions.listing(workspace).datasets == ()
    assert not workspace.leftovers()


def test_a_remote_place_without_its_package_or_server_is_unavailable(workspace):
    with pytest.raises((UnavailableError, InputError)):
        adding.add(workspace, "t", "nosuchscheme://host/file.csv")


def test_a_readonly_workspace_refuses_to_add(workspace, table):
    readonly = Workspace.open(workspace.root, readonly=True)
    with pytest.raises(ReadOnlyError):
        adding.add(readonly, "t", str(table))


def test_rejected_lines_are_counted_and_named(workspace, tmp_path):
    path = tmp_path / "ragged.csv"
    rows = [f"{i},{i}" for i in range(50)]
    rows[30] = "30,30,30,30"
    path.write_text("a,b\n" + "\n".join(rows) + "\n")
    added = adding.add(workspace, "t", str(path))
    assert added.rows == 49
    assert [w.code for w in added.warnings] == ["rejected_lines"]
    assert "32" in added.warnings[0].message


def test_result_is_plain_json(workspace, table):
    added = adding.add(workspace, "t", str(table))
    shown = versions.show(workspace, "t", limit=1).to_dict()
    assert json.loads(json.dumps(added.to_dict()))["schema"][0]["name"] == "id"
    assert shown["rows"] == [[1, "a", 0.5, "2024-01-02", True]]


def test_real_tables_have_the_types_that_a_person_would_choose(workspace, shared_data):
    wine = adding.add(workspace, "red", str(shared_data / "tabular/winequality-red.csv"))
    assert (wine.rows, wine.columns) == (1599, 12)
    assert {c.name: c.type for c in wine.schema}["quality"] == "long"
    assert {c.type for c in wine.schema if c.name != "quality"} == {"double"}
    titanic = adding.add(workspace, "titanic", str(shared_data / "tabular/titanic.csv"))
    kinds = {c.name: c.type for c in titanic.schema}
    assert (titanic.rows, kinds["name"], kinds["age"], kinds["pclass"]) == (
        891,
        "string",
        "double",
        "long",
    )
