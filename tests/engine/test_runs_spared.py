"""A trained model outlives a defect in what is only told of it."""

from __future__ import annotations

import pytest

from local_stack.data import adding
from local_stack.errors import InputError
from local_stack.runs import evaluating, records, train


@pytest.fixture
def recipe(workspace, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "".join(f"{n},{n % 7}\n" for n in range(120)))
    adding.add(workspace, "table", str(table), target="b")
    path = tmp_path / "recipe.yaml"
    path.write_text("dataset: table\ntask: regression\nparams: {n_estimators: 3}\n")
    return path


@pytest.mark.parametrize("step", ["evaluate", "write"])
def test_a_defect_of_the_evaluation_costs_no_model(workspace, recipe, monkeypatch, step):
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("float division by zero\nin a picture")

    monkeypatch.setattr(evaluating, step, broken)
    run = train.train(workspace, recipe)
    assert any("ZeroDivisionError: float division by zero)" in it for it in run.warnings)
    assert run.metrics["rmse"] > 0
    (model,) = records.show(workspace, run.run_id).models
    assert model.is_loadable


def test_a_recipe_that_cannot_be_evaluated_is_still_refused(workspace, recipe, monkeypatch):
    def refused(*arguments: object) -> None:
        raise InputError("There is no metric 'x'.")

    monkeypatch.setattr(evaluating, "evaluate", refused)
    with pytest.raises(InputError, match="no metric"):
        train.train(workspace, recipe)
    assert records.search(workspace)[0].status == "FAILED"
