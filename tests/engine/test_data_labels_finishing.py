"""Finishing a labelling makes a version with its column."""

from __future__ import annotations

import polars as pl
import pytest
from labels_kit import table_of

from local_stack import jobs
from local_stack.catalog import call
from local_stack.data import versions
from local_stack.errors import ConflictError, InputError, RefusedError
from local_stack.workspace import Workspace


@pytest.fixture
def workspace(reviews: Workspace) -> Workspace:
    return reviews


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
