"""What a recipe asks of fairness is checked against its data before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest

from local_stack.catalog import call
from local_stack.data import versions
from local_stack.errors import InputError
from local_stack.runs.recipe import load_recipe
from local_stack.runs.train import check_groups
from local_stack.workspace import Workspace

HEAD = "dataset: people\nfeatures: []\n"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("people")
    frame = pl.DataFrame(
        {
            "sex": ["f", "m"] * 30,
            "age": list(range(60)),
            "income": [it / 7 for it in range(60)],
            "is_old": [it > 30 for it in range(60)],
            "letter": [chr(ord("a") + it % 23) for it in range(60)],
            "outcome": ["good", "bad", "good", None] * 15,
        }
    )
    frame.write_csv(folder / "people.csv")
    with Workspace.create(folder / "ws", actor="tester") as workspace:
        source = {"name": "people", "source": str(folder / "people.csv"), "target": "outcome"}
        call(workspace, "data.add", source)
        yield workspace


def check(workspace: Workspace, text: str) -> None:
    plan = load_recipe(f"{HEAD}target: outcome\n{text}", check=False)
    check_groups(workspace, plan, versions.find(workspace, "people"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fairness:\n  by: [sex,\n   sexx]\n", "line 6: .*'sexx'.*Did you mean 'sex'"),
        ("fairness:\n  by: [outcome]\n", "line 5: .*is predicted"),
        (
            "fairness: {by: [sex], bins: {age: [1]}}",
            "line 4: .*no groups are compared.*fairness.by",
        ),
        ("fairness: {by: [sex], bins: {sx: [1]}}", "Did you mean 'sex'"),
        ("fairness: {by: [sex], bins: {sex: [1]}}", "'sex' holds no numbers"),
        ("fairness: {by: [is_old], bins: {is_old: [1]}}", "'is_old' holds no numbers"),
        ("fairness:\n  by: [sex]\n  positive: Good\n", "line 6: 'Good' is no.*mean 'good'"),
        ("fairness: {by: [sex], positive: maybe}", "'maybe' is no class.*bad, good"),
        ("fairness:\n  by: [sex]\n  limits:\n    mae_ratio: 0.5\n", "line 7: .*a regression"),
    ],
)
def test_what_can_never_be_measured_is_refused_with_its_line(
    people: Workspace, text: str, words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        check(people, text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("target", "asked", "words"),
    [
        ("income", "positive: good", "for a classification, and 'income' is a number"),
        ("income", "limits: {four_fifths: true}", "for a classification.*mae_ratio, rmse_ratio"),
        ("income", "limits: {demographic_parity_ratio: 0.5}", "for a classification"),
        ("letter", "intersect: true", "23 classes, too many.*positive: CLASS"),
        ("is_old", "positive: 'yes'", "no class of 'is_old'.*False, True"),
    ],
)
def test_the_task_is_that_of_the_target(
    people: Workspace, target: str, asked: str, words: str
) -> None:
    text = f"fairness: {{by: [sex], {asked}}}"
    plan = load_recipe(f"{HEAD}target: {target}\n{text}", check=False)
    with pytest.raises(InputError, match=words):
        check_groups(people, plan, versions.find(people, "people"))


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("outcome", "positive: bad, limits: {four_fifths: true, equalized_odds_ratio: 0.5}"),
        ("income", "bins: {age: [30]}, limits: {mae_ratio: 0.5, mean_error_difference: 2}"),
        ("is_old", "positive: true"),
        ("letter", "positive: b"),
    ],
)
def test_what_can_be_measured_is_let_through(people: Workspace, target: str, asked: str) -> None:
    text = f"fairness: {{by: [sex, age], {asked}}}"
    plan = load_recipe(f"{HEAD}target: {target}\n{text}", check=False)
    check_groups(people, plan, versions.find(people, "people"))


@pytest.mark.parametrize(
    ("verb", "more"),
    [("runs.train", {}), ("runs.tune", {"set": ("search.space.num_leaves=[3, 9]",)})],
)
def test_no_run_is_begun(people: Workspace, tmp_path: Path, verb: str, more: Any) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{HEAD}fairness: {{by: [sex, agee]}}\n")
    with pytest.raises(InputError, match=r"recipe.yaml, line 3: .*Did you mean 'age'"):
        call(people, verb, {"recipe": str(path), **more})
    assert people.query("SELECT count(*) AS n FROM runs") == [{"n": 0}]


@pytest.mark.slow
def test_a_run_that_held_nothing_out_learnt_from_all_rows(people: Workspace) -> None:
    path = people.root.parent / "all.yaml"
    ridge = "estimator: sklearn.linear_model.Ridge\nbootstrap: {resamples: 0}\n"
    kept = "features: [{select: {columns: [age]}}]\n"
    path.write_text(f"dataset: people\ntarget: income\nsplit: {{test: 0}}\n{kept}{ridge}")
    with mock.patch("local_stack.runs.pictures.draw"):
        run = call(people, "runs.train", {"recipe": str(path)}).run_id
    found = call(people, "explain.fairness", {"target": run, "by": ["sex"], "shap_rows": 0})
    assert (found.rows, found.n_rows) == ("all", 60)
    assert found.notes[0].endswith("the model learnt from them: the run held none out.")
