"""Labelling: declaring, answering, undoing, queues, adjudicating, finishing."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack import jobs
from local_stack.catalog import call
from local_stack.data import versions
from local_stack.data.labelling import classes as naming
from local_stack.data.labelling import files as label_files
from local_stack.data.labelling.queues import Queue
from local_stack.errors import (
    ConflictError,
    InputError,
    NotFoundError,
    ReadOnlyError,
    RefusedError,
)
from local_stack.workspace import Workspace

Label = Callable[..., Any]

CSV = "id,text,tone,grade\n" + "".join(
    f"{n},text {n},{('good', '')[n % 2]},{n % 3}\n" for n in range(12)
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a workspace with one version of 12 rows, once."""
    folder = tmp_path_factory.mktemp("template")
    source = folder / "reviews.csv"
    source.write_text(CSV)
    with Workspace.create(folder / "ws", actor="tester") as made:
        call(made, "data.add", {"name": "reviews", "source": str(source), "target": "grade"})
    return folder / "ws"


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Iterator[Workspace]:
    root = Path(shutil.copytree(template, tmp_path / "ws"))
    with Workspace.open(root, actor="tester") as opened:
        yield opened


@pytest.fixture
def people(workspace: Workspace) -> Iterator[Callable[[str], Label]]:
    """Return, for a name, the verb as that person calls it."""
    with contextlib.ExitStack() as stack:
        places: dict[str, Workspace] = {}

        def person(actor: str) -> Label:
            if actor not in places:
                places[actor] = stack.enter_context(Workspace.open(workspace.root, actor=actor))

            def label(column: str = "mood", name: str = "reviews", **given: Any) -> Any:
                asked = {"name": name, "column": column, **given}
                return call(places[actor], "data.label", asked)

            return label

        yield person


def test_answers_lead_through_the_rows_and_are_events(people, workspace):
    ada = people("ada")
    begun = ada(classes=["good,bad", "so so"])
    assert (begun.did, begun.classes, begun.next.row) == ("declared", ("good", "bad", "so so"), 0)
    assert begun.next.values == {"id": 0, "text": "text 0", "tone": "good", "grade": 0}
    first = ada(value=["bad"], note="too long")
    assert (first.did, first.n_new, first.next.row) == ("answered", 1, 1)
    assert ada(skip=True).next.row == 2
    after = ada(row=7, value=["good"])
    assert (after.next.row, after.next.place, after.next.previous) == (8, 9, 7)
    assert ada().next.row == 2  # coming back, one goes on with the first open row
    assert (after.n_labelled, after.n_unlabelled, after.queue.n_left) == (2, 10, 9)
    (who,) = after.annotators
    assert (who.actor, who.n_answered, who.n_skipped) == ("ada", 2, 1)
    shown = ada(at=0).next
    assert (shown.opinion.classes, shown.opinion.note) == (("bad",), "too long")
    kinds = [row["kind"] for row in workspace.query("SELECT kind FROM events ORDER BY seq")]
    assert kinds[-4:] == ["data.label_declared", *["data.labelled"] * 3]
    (event,) = workspace.query("SELECT * FROM events WHERE json_extract_string(body, 'note') != ''")
    assert event["actor"] == "ada"
    assert event["body"]["classes"] == ["bad"]


def test_the_same_answer_again_is_no_event_and_another_one_counts(people, workspace):
    ada = people("ada")
    ada(classes=["a,b"])
    ada(row=3, value=["a"])
    seq = workspace.query("SELECT max(seq) AS n FROM events")[0]["n"]
    assert ada(row=3, value=["a"]).n_new == 0
    assert workspace.query("SELECT max(seq) AS n FROM events")[0]["n"] == seq
    ada(row=3, value=["b"])
    assert ada(at=3).next.opinion.classes == ("b",)
    ada(row=3, value=["b"], note="sure")
    assert ada(at=3).next.opinion.note == "sure"


def test_undo_goes_back_any_number_of_steps_and_only_over_ones_own(people):
    ada, bob = people("ada"), people("bob")
    ada(classes=["a,b"])
    ada(row=0, value=["a"])
    bob(row=0, value=["b"])
    ada(row=0, value=["b"])
    ada(row=1, skip=True)
    assert ada(undo=True).next.row == 1
    back = ada(undo=True)
    assert (back.did, back.next.row, back.next.opinion.classes) == ("undone", 0, ("a",))
    assert ada(undo=True).next.opinion is None
    with pytest.raises(ConflictError, match="nothing to undo"):
        ada(undo=True)
    assert bob(at=0).next.opinion.classes == ("b",)
    ada(row=0, value=["b"])  # turns are given again
    assert ada().n_labelled == 1


def test_sets_of_classes(people):
    ada = people("ada")
    ada(classes=["red,green,blue"], multi=True)
    ada(row=0, value=["blue", "red"])
    ada(row=1, none=True)
    assert ada(at=0).next.opinion.classes == ("red", "blue")  # in the order of the classes
    assert ada(at=1).next.opinion.classes == ()
    people("bob")(row=0, value=["red", "blue"])
    assert ada().n_conflicts == 0
    with pytest.raises(InputError, match="between classes"):
        ada(classes=["a|b"])


def test_a_set_cannot_become_one_class_after_an_answer(people):
    ada = people("ada")
    ada(classes=["a,b"])
    assert ada(classes=["c"], multi=True).is_multi
    ada(row=0, value=["a", "c"])
    ada("other", classes=["a"])
    ada("other", row=0, value=["a"])
    with pytest.raises(ConflictError, match="answers were given"):
        ada("other", classes=["b"], multi=True)
    assert ada(classes=["d"]).is_multi  # saying nothing keeps it


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"value": ["god"]}, "Did you mean 'good'"),
        ({"value": ["good", "bad"]}, "one class here, not 2"),
        ({"none": True}, "one class here, not 0"),
        ({"row": 12, "value": ["good"]}, "no row 12"),
        ({"row": -1, "skip": True}, "no row -1"),
        ({"at": 12}, "no row 12"),
        ({"row": 3}, "belong to an answer"),
        ({"note": "x"}, "belong to an answer"),
        ({"value": ["good"], "undo": True}, "do not go together"),
        ({"value": ["good"], "skip": True}, "--value and --skip do not go together"),
        ({"classes": ["a\x1bb"]}, "U\\+001B"),
        ({"classes": ["x" * 121]}, "121 characters"),
        ({"where": "nope=1"}, "no column 'nope'"),
        ({"where": "nope"}, "no condition"),
        ({"where": "id=x"}, "no long"),
        ({"rows": ["1,x"]}, "'x' is no number"),
        ({"rows": ["7-2"]}, "no range"),
        ({"rows": ["99"]}, "no row 99"),
        ({"value": ["good"], "note": "n" * 2001}, "2,001 characters"),
        ({"column": " "}, "empty name"),
        ({"column": "Tone"}, "differs from 'tone'"),
        ({"column": "x\x1b[2J"}, "U\\+001B"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(people, workspace, given, message):
    ada = people("ada")
    ada(classes=["good,bad"])
    before = workspace.query("SELECT max(seq) AS n FROM events")[0]["n"]
    with pytest.raises(InputError) as caught:
        ada(**given)
    assert re.search(message, f"{caught.value}"), f"{caught.value}"
    assert workspace.query("SELECT max(seq) AS n FROM events")[0]["n"] == before


def test_an_answer_needs_classes_and_a_writable_workspace(people, workspace):
    ada = people("ada")
    with pytest.raises(NotFoundError, match="no classes yet"):
        ada(row=0, value=["x"])
    ada(classes=["x"])
    with Workspace.open(workspace.root, readonly=True) as readonly:
        given = {"name": "reviews", "column": "mood"}
        assert call(readonly, "data.label", given).n_unlabelled == 12
        with pytest.raises(ReadOnlyError):
            call(readonly, "data.label", {**given, "row": 0, "value": ["x"]})


def test_values_of_an_existing_column_are_suggested_as_classes(people):
    ada = people("ada")
    assert ada("tone").suggested == ("good",)
    assert ada("grade").suggested == ("0", "1", "2")
    assert ada("mood").suggested == ()
    assert ada("tone").n_unlabelled == 6
    assert ada("tone").n_kept == 6


# Queues.


def test_queues_choose_rows(people, tmp_path):
    ada = people("ada")
    ada(classes=["a,b"])
    assert ada(where="grade=2").next.row == 2
    assert ada(where="grade=2").queue.n_rows == 4
    assert ada(where="tone=").queue.n_rows == 6
    assert ada(rows=["9,4", "6-7"]).next.row == 9
    assert ada(row=9, value=["a"], rows=["9,4", "6-7"]).next.row == 4
    assert ada(rows=["9,4", "6-7"], where="grade=0").next.row == 6
    for name, text in (
        ("a.txt", "5\n3\n"),
        ("b.csv", "score,row\n0.9,5\n0.8,3\n"),
        ("c.json", "[5, 3]"),
        ("d.json", '{"ok": true, "result": {"rows": 9, "suspects": [{"row": 5}, {"row": 3}]}}'),
    ):
        (tmp_path / name).write_text(text)
        queue = ada(rows_from=str(tmp_path / name))
        assert (queue.next.row, queue.next.following, queue.queue.n_rows) == (5, 3, 2)
    people("bob")(row=0, value=["a"])
    assert ada(unlabelled=True).next.row == 1
    ada(row=1, skip=True)
    assert ada(unlabelled=True).next.row == 2
    assert ada(skipped=True).next.row == 1
    assert ada("tone", classes=["good,bad"], unlabelled=True).queue.n_rows == 6


def test_the_random_order_is_seeded_and_stays_while_answers_come(people):
    ada, bob = people("ada"), people("bob")
    ada(classes=["a"])
    seen = [ada(order="random", seed=5).next.row]
    while len(seen) < 12:
        seen.append(
            ada(row=seen[-1], value=["a"], order="random", seed=5, unlabelled=True).next.row
        )
    expected = np.random.default_rng(5).permutation(12).tolist()
    assert seen == expected
    assert bob(order="random", seed=5).next.row == expected[0]
    assert bob(order="random", seed=6).next.row != expected[0]
    last = ada(row=seen[-1], value=["a"], order="random", seed=5)
    assert (last.next, last.queue.n_left) == (None, 0)
    with pytest.raises(ConflictError, match="Nothing is left"):
        ada(value=["a"])


@given(
    st.integers(1, 30).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(st.integers(0, n - 1), unique=True),
            st.lists(st.integers(0, n - 1), unique=True),
            st.none() | st.lists(st.integers(0, n - 1), unique=True, min_size=1),
            st.integers(0, n - 1),
            st.booleans(),
        )
    )
)
def test_a_queue_is_what_a_plain_list_says(it):
    n, only, done, rows, row, is_random = it
    queue = Queue(
        n,
        None if rows is None else np.array(rows),
        np.array(only, dtype=np.int64),
        done,
        order="random" if is_random else "given",
        seed=3,
    )
    base = list(range(n)) if rows is None else rows
    if is_random:
        base = [base[place] for place in np.random.default_rng(3).permutation(len(base))]
    members = [each for each in base if each in only]
    still = [each for each in members if each not in done]
    assert (queue.n_rows, queue.n_left) == (len(members), len(still))
    assert queue.after(None) == (still[0] if still else None)
    at = base.index(row) if row in base else -1
    later = [each for each in base[at + 1 :] if each in still] or still
    assert queue.after(row) == (later[0] if later else None)
    place = queue.place(row)
    assert place.place == (members.index(row) + 1 if row in members else None)
    earlier = [each for each in base[: max(at, 0)] if each in members]
    assert place.previous == (earlier[-1] if earlier else None)
    following = [each for each in base[at + 1 :] if each in members]
    assert place.following == (following[0] if following else None)


# Several people.


def test_conflicts_are_listed_and_adjudicated_by_anybody(people):
    ada, bob, eve = people("ada"), people("bob"), people("eve")
    ada(classes=["a,b,c"])
    for row, (x, y) in enumerate([("a", "a"), ("a", "b"), ("b", "c"), ("c", "c")]):
        ada(row=row, value=[x])
        state = bob(row=row, value=[y], note="hm" if row == 1 else "")
    assert (state.n_labelled, state.n_conflicts) == (2, 2)
    assert [(it.row, it.answers, it.notes, it.settled) for it in state.disagreements] == [
        (1, {"ada": ("a",), "bob": ("b",)}, {"bob": "hm"}, None),
        (2, {"ada": ("b",), "bob": ("c",)}, {}, None),
    ]
    assert bob(at=1).next.others == ()  # nobody is told before they ask
    assert [it.actor for it in bob(at=1, reveal=True).next.others] == ["ada"]
    first = eve(adjudicate=True)
    assert (first.next.row, first.queue.n_rows) == (1, 2)
    assert [(it.actor, it.classes) for it in first.next.others] == [
        ("ada", ("a",)),
        ("bob", ("b",)),
    ]
    settled = eve(adjudicate=True, row=1, value=["c"])
    assert (settled.did, settled.next.row, settled.n_conflicts) == ("adjudicated", 2, 1)
    assert ada(adjudicate=True, value=["b"]).next is None
    both = ada()
    assert (both.n_labelled, both.n_conflicts) == (4, 0)
    assert [(it.row, it.settled, it.judge) for it in both.disagreements] == [
        (1, ("c",), "eve"),
        (2, ("b",), "ada"),
    ]
    assert bob(adjudicate=True, row=1, value=["a"]).n_new == 1  # the newest judgement counts
    assert ada().disagreements[0].settled == ("a",)
    assert bob(undo=True).disagreements[0].settled == ("c",)
    assert eve(undo=True).n_conflicts == 1


def test_a_skipped_row_is_no_answer_and_no_conflict(people):
    ada, bob = people("ada"), people("bob")
    ada(classes=["a,b"])
    ada(row=0, value=["a"])
    assert bob(row=0, skip=True).n_labelled == 1
    judge = bob(row=0, value=["b"])
    assert judge.n_conflicts == 1
    assert bob(adjudicate=True, skip=True).next is None  # passed over, still in conflict
    assert bob().n_conflicts == 1


# Files.


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


# Finishing.


def table_of(workspace: Workspace, reference: str) -> pl.DataFrame:
    return versions.read(workspace, versions.find(workspace, reference))


def test_finishing_makes_a_version_with_the_column(people, workspace):
    ada, bob = people("ada"), people("bob")
    before = versions.find(workspace, "reviews")
    ada(classes=["good,bad"])
    for row in range(12):
        ada(row=row, value=[("good", "bad")[row % 2]])
        bob(row=row, value=["good"])
    with pytest.raises(RefusedError) as caught:
        ada(finish=True)
    assert caught.value.reason == "labelling_incomplete"
    assert caught.value.result.n_conflicts == 6
    assert versions.find(workspace, "reviews").version == before.version
    for row in range(1, 12, 2):
        people("eve")(adjudicate=True, row=row, value=["bad"])
    done = ada(finish=True)
    made = versions.find(workspace, "reviews")
    assert done.did == "finished"
    assert done.made == (made.reference,)
    assert made.number == 2
    frame = table_of(workspace, made.reference)
    assert frame["mood"].to_list() == ["good", "bad"] * 6
    assert frame.drop("mood").equals(table_of(workspace, before.reference))
    assert made.target == "grade"
    assert made.lineage["derived_from"] == before.reference
    assert made.lineage["labelling"]["annotators"] == ["ada", "bob"]
    assert made.lineage["labelling"]["judges"] == ["eve"]
    assert made.lineage["command"] == "data.label"
    again = ada(name=before.reference, finish=True)
    assert again.made == (made.reference,)  # the same labels are the same version
    assert versions.find(workspace, "reviews").number == 2
    (listed,) = call(workspace, "data.labels", {"name": "reviews"}).labellings
    assert (listed.n_answered, listed.annotators) == (12, ("ada", "bob", "eve"))


def test_finishing_is_a_job_of_its_own(people, workspace):
    ada = people("ada")
    ada(classes=["a,b"])
    ada(row=4, value=["b"])
    asked = {"name": "reviews", "column": "mood"}
    with pytest.raises(RefusedError) as caught:
        call(workspace, "data.finish-labels", asked)
    assert caught.value.result.n_unlabelled == 11
    made = call(workspace, "data.finish-labels", {**asked, "partial": True})
    assert table_of(workspace, made.reference)["mood"].to_list() == [None] * 4 + ["b"] + [None] * 7
    assert made.lineage["command"] == "data.finish-labels"
    assert ada(name="reviews@1").made == (made.reference,)
    assert {job.command for job in jobs.listed(workspace)} == {"data.add", "data.finish-labels"}


def test_finishing_in_part_keeps_values_and_types(people, workspace):
    ada = people("ada")
    ada("tone", classes=["good,bad"])
    ada("tone", row=1, value=["bad"])
    ada("tone", row=2, value=["bad"])
    made = ada("tone", finish=True, partial=True).made[-1]
    tone = [("good", None)[n % 2] for n in range(12)]
    tone[1] = tone[2] = "bad"
    assert table_of(workspace, made)["tone"].to_list() == tone
    ada("grade", name="reviews@1", classes=["0,1,2"])
    ada("grade", name="reviews@1", row=0, value=["2"])
    made = ada("grade", name="reviews@1", finish=True).made[-1]  # every row has a value
    grades = table_of(workspace, made)["grade"]
    assert grades.dtype == pl.Int64
    assert grades.to_list()[:3] == [2, 1, 2]
    ada("many", name="reviews@1", classes=["x,y"], multi=True)
    ada("many", name="reviews@1", row=0, value=["y", "x"])
    ada("many", name="reviews@1", row=1, none=True)
    made = ada("many", name="reviews@1", finish=True, partial=True).made[-1]
    assert table_of(workspace, made)["many"].to_list()[:3] == ["x|y", "", None]
    ada("flag", name="reviews@1", classes=["0,1"])
    ada("flag", name="reviews@1", row=3, value=["1"])
    made = ada("flag", name="reviews@1", finish=True, partial=True).made[-1]
    assert table_of(workspace, made)["flag"].dtype == pl.Int64


def test_what_came_of_an_older_version_is_not_answered_on_the_newest_unseen(people, workspace):
    ada = people("ada")
    ada(classes=["a"])
    ada(row=0, value=["a"])
    ada(finish=True, partial=True)
    assert ada().n_kept == 1  # it is shown as it is now
    with pytest.raises(ConflictError, match="is labelled on version 1"):
        ada(row=1, value=["a"])
    assert ada(name="reviews@1", row=1, value=["a"]).n_labelled == 2


def test_a_judge_comes_back_to_what_they_skipped(people):
    ada, bob = people("ada"), people("bob")
    ada(classes=["a,b"])
    for row in (2, 5):
        ada(row=row, value=["a"])
        bob(row=row, value=["b"])
    assert ada(adjudicate=True, skip=True).next.row == 5
    assert ada(adjudicate=True, skipped=True).next.row == 2
    assert ada(adjudicate=True, skipped=True, value=["b"]).next is None


@pytest.mark.parametrize("column", ["file_row_number", "line", "x.text", " a", 'we"ird []', "🦀"])
def test_a_column_may_be_called_almost_anything(people, workspace, column):
    ada = people("ada")
    ada(column, classes=["a"])
    ada(column, row=3, value=["a"])
    frame = table_of(workspace, ada(column, finish=True, partial=True).made[-1])
    assert frame[column.strip()].to_list() == [None] * 3 + ["a"] + [None] * 8


def test_nothing_to_finish(people):
    ada = people("ada")
    ada(classes=["a"])
    with pytest.raises(InputError, match="No row of reviews@"):
        ada(finish=True, partial=True)


# Versions that change or go.


def test_a_bare_name_does_not_move_on_to_a_newer_version_unseen(people, workspace, tmp_path):
    ada = people("ada")
    old = versions.find(workspace, "reviews").reference
    ada(classes=["a"])
    source = tmp_path / "more.csv"
    source.write_text(CSV + "12,text,good,1\n")
    call(workspace, "data.add", {"name": "reviews", "source": str(source)})
    with pytest.raises(ConflictError, match="is labelled on version 1") as caught:
        ada(row=0, value=["a"])
    assert old in caught.value.hint
    assert ada(name=old, row=0, value=["a"]).n_labelled == 1
    assert ada(classes=["a"]).n_rows == 13  # declared anew, it is the newest one's
    assert ada(row=12, value=["a"]).n_new == 1


def test_a_collected_version_takes_no_answer(people, workspace):
    from local_stack.stores.journal import Draft

    ada = people("ada")
    ada(classes=["a"])
    row = versions.record(workspace, versions.find(workspace, "reviews"))
    gone = {**row, "collected_at": "2026-11-24T00:00:00.000000Z"}
    workspace.append(lambda _: Draft("data.collected", "data", {}, [("data_versions", gone)]))
    with pytest.raises(NotFoundError, match="collected"):
        ada(row=0, value=["a"])


def test_a_labelled_version_is_kept_by_gc(people, workspace, tmp_path):
    ada = people("ada")
    old = versions.find(workspace, "reviews")
    ada(classes=["a"])
    source = tmp_path / "more.csv"
    source.write_text(CSV + "12,text,good,1\n")
    call(workspace, "data.add", {"name": "reviews", "source": str(source)})
    kept = call(workspace, "data.gc", {"keep": 1, "older_than": "0s"}).kept
    assert [(it.version, it.kept_by) for it in kept] == [(old.version, "a labelling")]
    assert ada(name=old.reference, row=0, value=["a"]).n_labelled == 1


def test_the_index_is_the_journal_again(people, workspace):
    ada, bob = people("ada"), people("bob")
    ada(classes=["a,b"])
    for row in range(6):
        ada(row=row, value=["a"])
        bob(row=row, value=["b"])
    ada(undo=True)
    bob(adjudicate=True, row=0, value=["a"])
    workspace.metadata.follow()
    before = workspace.metadata.state_hash()
    workspace.metadata.rebuild()
    assert workspace.metadata.state_hash() == before
    assert workspace.journal.verify().problem == ""


def test_results_are_plain_json(people):
    ada = people("ada")
    ada(classes=["a"])
    text = json.dumps(ada(row=0, value=["a"]).to_dict(), allow_nan=False)
    assert json.loads(text)["next"]["row"] == 1


# Several processes.

WINDOW = """
import sys
from local_stack import environment
environment.prepare()
from local_stack.catalog import call
from local_stack.workspace import Workspace

root, actor, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Workspace.open(root, actor=actor) as workspace:
    call(workspace, "data.label", {"name": "reviews", "column": "mood"})
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(30):
        given = {"row": (first + n) % 12, "value": ["abc"[n % 3]], "note": f"{first}-{n}"}
        call(workspace, "data.label", {"name": "reviews", "column": "mood", "brief": True, **given})
"""


def test_windows_that_answer_at_once_lose_nothing(people, workspace):
    people("ada")(classes=["a,b,c"])
    windows = [
        subprocess.Popen(
            [sys.executable, "-c", WINDOW, str(workspace.root), actor, str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for actor, first in (("ada", 0), ("bob", 0), ("bob", 6))
    ]
    for window in windows:
        assert window.stdout.readline() == "ready\n"
    for window in windows:
        window.stdin.write("go\n")
        window.stdin.flush()
    for window in windows:
        window.communicate(timeout=120)
        assert window.returncode == 0
    rows = workspace.query("SELECT * FROM labels ORDER BY turn")
    assert [it["turn"] for it in rows] == list(range(1, 91))
    assert sorted(it["note"] for it in rows) == sorted(
        f"{first}-{n}" for first in (0, 0, 6) for n in range(30)
    )
    state = people("eve")()
    assert [(it.actor, it.n_answered) for it in state.annotators] == [("ada", 12), ("bob", 12)]
    last = {it["row"]: it["classes"] for it in rows if it["actor"] == "bob"}
    for row, classes in last.items():
        (told,) = [it for it in people("eve")(at=row, reveal=True).next.others if it.actor == "bob"]
        assert list(told.classes) == classes  # the last one counts
    assert workspace.journal.verify().problem == ""
