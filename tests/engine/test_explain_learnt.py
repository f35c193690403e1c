"""Which rows count as those that a model learnt from: filters of its recipe leave some out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from explained_kit import add_model, loans

from local_stack.data import adding, versions
from local_stack.evaluation.split import hold_out
from local_stack.explain.deciding.inquiry import Inquiry
from local_stack.explain.learnt import training_rows, unseen, with_target
from local_stack.explain.single import background_columns
from local_stack.explain.subject import subject_of
from local_stack.preparation.fitting import raw_columns
from local_stack.progress import silent
from local_stack.runs.fit import fit
from local_stack.runs.lessons import labelled, prepared
from local_stack.runs.recipe import parse_recipe
from local_stack.workspace import Workspace

ADULT = {"filter": "col('children') < 3"}
FITTED = [
    {"impute": {"columns": ["debt"], "strategy": "mean"}},
    {"scale": {"columns": ["debt", "income"]}},
    {"filter": "col('debt') < 1"},
    {"encode": {"columns": ["kind"], "as": "target"}},
    {"filter": "col('kind') > 0.3"},
    {"dates": {"columns": ["day"], "parts": ["month"]}},
]


def recipe_of(*steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "dataset": "loans",
        "experiment": "t",
        "target": "repaid",
        "split": {"seed": 1},
        "features": [*steps],
        "estimator": "sklearn.linear_model.LogisticRegression",
        "task": "classification",
    }


def table() -> pl.DataFrame:
    """Return loans of which some have no outcome yet."""
    known = pl.int_range(pl.len()) % 7 != 2
    return loans().with_columns(repaid=pl.when(known).then("repaid"))


def test_rows_that_a_filter_leaves_out_are_not_those_that_were_learnt_from() -> None:
    frame = table()
    found = training_rows({"recipe": recipe_of(ADULT), "target": "repaid"}, frame)
    expected = frame.with_row_index().drop_nulls("repaid").filter(pl.col("children") < 3)["index"]
    assert found.tolist() == expected.to_list()
    run = {"recipe": recipe_of(), "target": "repaid"}
    assert training_rows(run, frame).tolist() == with_target(frame, "repaid").tolist()
    assert len(training_rows({"recipe": None, "target": "repaid"}, frame)) == len(
        with_target(frame, "repaid")
    )


def test_a_filter_of_what_was_fitted_lets_those_pass_that_the_run_learnt_from() -> None:
    frame, recipe = table(), parse_recipe(recipe_of(*FITTED))
    rows, whole, _ = labelled(recipe, frame)
    train, test = hold_out(whole.keys, recipe.split.test, recipe.split.seed)
    lesson = prepared(recipe, whole.take(train), silent, "")
    found = training_rows({"recipe": recipe_of(*FITTED), "target": "repaid"}, frame)
    assert found[np.isin(found, rows[train])].tolist() == np.sort(rows[train[lesson.rows]]).tolist()
    assert 0 < np.isin(found, rows[test]).sum() < len(test)


def test_nan_is_no_target() -> None:
    frame = pl.DataFrame({"y": [1.0, float("nan"), None, 2.0]})
    assert with_target(frame, "y").tolist() == [0, 3]
    assert with_target(frame, "z").tolist() == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("filtered")
    recipe = recipe_of(
        ADULT,
        {"drop": {"columns": ["day", "kind"]}},
        {"impute": {"columns": "numeric", "strategy": "median"}},
    )
    with Workspace.create(folder / "ws", actor="tester") as workspace:
        table().write_parquet(folder / "loans.parquet")
        adding.add(workspace, "loans", str(folder / "loans.parquet"), target="repaid")
        model = fit(parse_recipe(recipe), table()).model
        reference = versions.find(workspace, "loans").reference
        add_model(workspace, "adults", reference, model, recipe=recipe)
        yield workspace


def test_explanations_are_of_the_rows_that_filters_let_pass(filtered: Workspace) -> None:
    subject = subject_of(filtered, "adults")
    assert subject.frame["children"].max() == 2
    assert subject.numbers.tolist() == training_rows(subject.run, table()).tolist()
    frame = table()[subject.numbers]
    assert subject.frame.equals(frame)
    np.testing.assert_array_equal(subject.background, subject.matrix(frame))
    held = np.intersect1d(unseen(subject.run, table()), subject.numbers)
    assert 0 < len(held) < len(unseen(subject.run, table()))
    assert subject.held_out.equals(table()[held])
    known = background_columns(filtered, subject.run, subject.model.inputs)
    assert {name: list(it) for name, it in known.items()} == {
        name: [None if v != v else v for v in values.tolist()]
        for name, values in raw_columns(frame, subject.model.inputs).items()
    }
    inquiry = Inquiry(filtered, subject)
    assert inquiry.numbers.tolist() == subject.numbers.tolist()
    number = int(subject.numbers[5])
    found = inquiry.similar(inquiry.row(number), 3)
    assert found.rows[0].index == number
    assert found.n_looked_at == len(subject.numbers)


def test_another_version_is_explained_whole(filtered: Workspace, tmp_path: Path) -> None:
    more = loans(50, seed=4)
    more.write_parquet(tmp_path / "more.parquet")
    adding.add(filtered, "more", str(tmp_path / "more.parquet"), target="repaid")
    subject = subject_of(filtered, "adults", "more")
    assert (subject.frame.height, subject.frame["children"].max()) == (50, 3)
    assert subject_of(filtered, "adults", "loans").frame["children"].max() == 2
