"""Queues of labelling choose rows; conflicts are listed and adjudicated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.data.labelling.queues import Queue
from local_stack.errors import ConflictError


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
