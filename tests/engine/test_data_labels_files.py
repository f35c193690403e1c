"""Labels come from files, and are one act or refused whole; classes are clean or refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.catalog import call
from local_stack.data.labelling import classes as naming
from local_stack.data.labelling import files as label_files
from local_stack.errors import InputError
from local_stack.workspace import Workspace


@pytest.fixture
def workspace(reviews: Workspace) -> Workspace:
    return reviews


def test_labels_come_from_files_and_are_one_act(people, tmp_path):
    ada = people("ada")
    path = tmp_path / "labels.csv"
    path.write_text("\ufeffrow,label,annotator,note\n0,good,,\n1,bad,bob,so\n2,,,\n\n3,good,ada,\n")
    done = ada(**{"from": str(path)})
    assert (done.did, done.n_new, done.classes) == ("imported", 4, ("good", "bad"))
    assert [(it.actor, it.n_answered, it.n_skipped) for it in done.annotators] == [
        ("ada", 2, 1),
        ("bob", 1, 0),
    ]
    assert ada(**{"from": str(path)}).n_new == 0
    assert ada(undo=True).n_new == 4
    assert ada().annotators == ()
    ada("many", classes=["x,y"], multi=True)
    path.write_text("index,value\n0,x|y\n1,\n2,y\n")
    assert ada("many", **{"from": str(path)}).n_new == 3
    assert ada("many", at=0).next.opinion.classes == ("x", "y")
    assert ada("many", at=1).next.opinion.classes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'row'"),
        ("row,label\n", "holds no labels"),
        ("label\na\n", "no column 'row'"),
        ("row,tone\n1,a\n", "no column 'label'"),
        ("row,label\nx,a\n", "line 2: 'x' is no number"),
        ("row,label\n1,a\n1,b\n", "line 3: row 1 stands in line 2"),
        ("row,label\n1,a,b\n", "line 2: 3 cells"),
        ("row,label\n1,a\n99,a\n", "no row 99"),
        ("row,label,annotator\n1,a,b/c\n", "line 2: The annotator contains"),
        ("row,label\n1,\x1b[2J\n", "U\\+001B"),
    ],
)
def test_a_bad_file_is_refused_whole(people, tmp_path, text, message):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        people("ada")(**{"from": str(path)})
    assert people("ada")().annotators == ()


def test_labels_may_come_by_the_key_of_the_data_set(workspace, tmp_path):
    source, path = tmp_path / "keyed.csv", tmp_path / "labels.csv"
    source.write_text("id,day,x\n7,2026-01-01,a\n7,2026-01-02,b\n8,2026-01-01,c\n")
    call(workspace, "data.add", {"name": "keyed", "source": str(source), "key": ["id", "day"]})
    asked = {"name": "keyed", "column": "c", "from": str(path)}
    path.write_text("label,day,id\nyes,2026-01-01,8\nno,2026-01-02,7\n")
    assert call(workspace, "data.label", asked).n_new == 2
    rows = workspace.query('SELECT "row", classes FROM labels ORDER BY "row"')
    assert [(it["row"], it["classes"]) for it in rows] == [(1, ["no"]), (2, ["yes"])]
    for text, message in (
        ("9,2026-01-01,yes", "line 2: no row has the key 9, 2026-01-01"),
        ("x,2026-01-01,yes", "'x' is no long"),
        ("8,2026-01-01,yes\n8,2026-01-01,no", "line 3: row 2 stands in line 2"),
    ):
        path.write_text(f"id,day,label\n{text}\n")
        with pytest.raises(InputError, match=message):
            call(workspace, "data.label", asked)
    source.write_text("id,day,x\n7,2026-01-01,a\n7,2026-01-01,b\n")
    call(workspace, "data.add", {"name": "keyed", "source": str(source)})
    path.write_text("id,day,label\n7,2026-01-01,yes\n")
    with pytest.raises(InputError, match="have the same key"):
        call(workspace, "data.label", {**asked, "column": "d"})


@pytest.mark.parametrize("text", ["[1, -1]", "[true]", '{"a": 1}', "[1.5]", "[", '["x"]', "{}"])
def test_a_json_without_rows_is_refused(people, tmp_path, text):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"rows\.json"):
        people("ada")(rows_from=str(path))


def test_a_file_of_other_bytes_is_refused(people, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"row,label\n0,\xe9\n")
    with pytest.raises(InputError, match="no UTF-8"):
        people("ada")(**{"from": str(path)})


def test_a_fault_in_the_last_chunk_leaves_none_of_the_first(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("local_stack.data.labelling.answers.CHUNK", 10)
    source = tmp_path / "t.csv"
    source.write_text("x\n" + "1\n" * 50)
    call(workspace, "data.add", {"name": "t", "source": str(source)})
    asked = {"name": "t", "column": "c"}
    call(workspace, "data.label", {**asked, "classes": ["a,b"]})
    path = tmp_path / "labels.csv"
    path.write_text("row,label\n" + "".join(f"{n},a\n" for n in range(49)) + "49,z\n")
    with pytest.raises(InputError, match="'z' is not one"):
        call(workspace, "data.label", {**asked, "from": str(path)})
    assert workspace.query("SELECT * FROM labels") == []
    path.write_text("row,label\n" + "".join(f"{n},a\n" for n in range(50)))
    assert call(workspace, "data.label", {**asked, "from": str(path)}).n_new == 50
    events = workspace.query("SELECT body FROM events WHERE kind = 'data.labelled'")
    assert [it["body"]["n_rows"] for it in events] == [10] * 5
    assert call(workspace, "data.label", {**asked, "undo": True}).n_new == 50
    assert workspace.query("SELECT * FROM labels") == []


@settings(max_examples=60)
@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_file_of_labels_is_read_or_refused(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("labels") / "x.csv"
    path.write_text("row,label\n" + "\n".join(lines), encoding="utf-8", errors="replace")
    for reader in (lambda: label_files.labels(path, is_multi=True), lambda: label_files.rows(path)):
        with contextlib.suppress(InputError):
            assert reader() is not None


@given(st.lists(st.text(min_size=1, max_size=6), max_size=5))
def test_classes_are_clean_or_refused(texts):
    for text in texts:
        try:
            name = naming.cleaned(text, is_multi=True)
        except InputError:
            continue
        assert naming.cleaned(name, is_multi=True) == name
        assert naming.parted(naming.cell((name,)), is_multi=True) == (name,)
