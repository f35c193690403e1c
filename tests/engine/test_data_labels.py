"""Labelling: declaring, answering, undoing, versions that change, windows at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from labels_kit import CSV

from local_stack.catalog import call
from local_stack.data import versions
from local_stack.errors import ConflictError, InputError, NotFoundError, ReadOnlyError
from local_stack.workspace import Workspace


@pytest.fixture
def workspace(reviews: Workspace) -> Workspace:
    return reviews


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
