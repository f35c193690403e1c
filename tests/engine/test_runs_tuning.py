"""Tuning: which trials a study makes, what they are worth, and what is recorded of them."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import polars as pl
import pytest
from records_kit import add_beans, table
from sklearn.metrics import balanced_accuracy_score
from tuning_kit import RECIPE, children, mirrored, outcomes, put_recipe, tune

from local_stack.errors import Cancelled, ConflictError, InputError
from local_stack.runs.fit import fit
from local_stack.runs.fitted import fold_histories
from local_stack.runs.recipe import parse_recipe
from local_stack.runs.tuning import study as study_module
from local_stack.runs.tuning import trials as trials_module
from local_stack.runs.tuning import tune as tune_module
from local_stack.runs.tuning.objective import objective
from local_stack.runs.tuning.pruning import STUDY, Reached, bracket, is_hopeless, rungs
from local_stack.runs.tuning.sampling import Seen, importance, suggest
from local_stack.runs.tuning.space import check_grid, grid_points, grid_values
from local_stack.stores.journal import Draft


@pytest.fixture
def beans(workspace, tmp_path):
    add_beans(workspace, tmp_path)
    return put_recipe(tmp_path)


def space_of(text: dict[str, Any]) -> Any:
    search = parse_recipe({"dataset": "beans", "search": {"space": text}}).search
    assert search is not None
    return search.space


SPACE = {"a": {"log": [0.01, 1.0]}, "b": [2, 12], "c": {"choice": ["x", True, 3]}}


def test_a_study_gives_trials_and_the_model_of_the_best(workspace, beans):
    steps = []
    tuned = tune(workspace, beans, steps.append)
    assert [trial.number for trial in tuned.trials] == list(range(6))
    assert (tuned.metric, tuned.direction, tuned.is_resumed) == ("rmse", "minimize", False)
    values = [trial.value for trial in tuned.trials]
    assert tuned.best["value"] == min(values)
    assert tuned.best["trial"] == values.index(min(values))
    assert [one["best"] for one in tuned.history] == np.minimum.accumulate(values).tolist()
    assert sum(tuned.importance.values()) == pytest.approx(1)
    assert tuned.importance.keys() == {"learning_rate", "num_leaves", "subsample"}

    # Each trial is worth what fit says of its recipe, and the run is the best one's training.
    for trial in tuned.trials:
        assert isinstance(trial.params["num_leaves"], int)
        row = workspace.get("runs", trial.run_id)
        fitted = fit(parse_recipe(row["recipe"]), table())
        assert trial.folds == tuple(score.metrics["rmse"] for score in fitted.folds)
        assert trial.value == fitted.metrics["cv_rmse_mean"]
        assert row["metrics"] == {k: v for k, v in fitted.metrics.items() if k.startswith("cv_")}
        if trial.number == tuned.best["trial"]:
            for key in ("rmse", "mae", "r2", "cv_rmse_mean"):
                assert tuned.metrics[key] == fitted.metrics[key]
    parent = workspace.get("runs", tuned.run_id)
    assert parent["status"] == "FINISHED"
    assert parent["recipe"]["params"].items() >= tuned.best["params"].items()
    assert parent["model"]
    assert "tuning.json" in tuned.artifacts

    found = mirrored(workspace, tuned.run_id)
    assert sorted(found) == [str(number) for number in range(6)]
    run = found["0"]
    assert run.info.status == "FINISHED"
    assert run.data.params["learning_rate"] == str(tuned.trials[0].params["learning_rate"])
    client = __import__("mlflow").MlflowClient(workspace.tracking.uri)
    points = client.get_metric_history(run.info.run_id, "cv_rmse_by_fold")
    assert [(point.step, point.value) for point in points] == list(
        enumerate(tuned.trials[0].folds, start=1)
    )
    shown = [step for step in steps if step.total == 18]
    assert [step.done for step in shown] == sorted(step.done for step in shown)
    assert any("5 of 6 trials, best rmse" in step.label for step in shown)


def test_several_workers_try_what_one_tries(workspace, beans):
    alone = tune(workspace, beans, sampler="random", trials=4)
    together = tune(workspace, beans, sampler="random", trials=4, workers=2)
    assert outcomes(alone) == outcomes(together)
    assert alone.metrics == together.metrics
    assert alone.run_id != together.run_id  # the first one had ended


def test_a_grid_tries_every_point_once(workspace, tmp_path, beans):
    small = "{num_leaves: {choice: [4, 8]}, subsample: {choice: [1.0, 0.5]}}"
    recipe = put_recipe(tmp_path, RECIPE[: RECIPE.index("  space:")] + f"  space: {small}\n")
    tuned = tune(workspace, recipe, sampler="grid")
    assert [tuple(trial.params.values()) for trial in tuned.trials] == [
        (4, 1.0),
        (4, 0.5),
        (8, 1.0),
        (8, 0.5),
    ]
    with pytest.raises(InputError, match="4 points, and 3 trials are allowed"):
        tune(workspace, recipe, sampler="grid", trials=3)


def before(trials: Any, number: int) -> list[Reached]:
    return [Reached(t.number, t.folds, t.status == "FINISHED") for t in trials[:number]]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_pruned_trials_are_killed_by_those_before(workspace, beans, pruner):
    tuned = tune(workspace, beans, pruner=pruner, sampler="random", trials=9)
    pruned = [trial for trial in tuned.trials if trial.is_pruned]
    assert pruned, "choose a seed that prunes"
    for trial in tuned.trials:
        known = before(tuned.trials, trial.number)
        for n in range(1, len(trial.folds) + 1):
            is_last = trial.is_pruned and n == len(trial.folds)
            reached = Reached(trial.number, trial.folds[:n])
            if n < 3:  # after the last fold there is nothing to give up
                found = is_hopeless(pruner, reached, known, n_folds=3, is_higher_better=False)
                assert found == is_last
    rows = {row["run_id"]: row for row in children(workspace, tuned.run_id)}
    for trial in pruned:
        assert (trial.status, trial.value) == ("KILLED", None)
        assert rows[trial.run_id]["tags"]["paceml.pruned"] == "true"
        assert rows[trial.run_id]["metrics"] == {}
        assert mirrored(workspace, tuned.run_id)[str(trial.number)].info.status == "KILLED"


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_median_rule_is_that_of_optuna(direction):
    rng = np.random.default_rng(0)
    n_hopeless = 0
    for n_before in (4, 5, 9):
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
        study = optuna.create_study(direction=direction, pruner=pruner)
        known = []
        for values in rng.normal(size=(n_before, 4)):
            trial = study.ask()
            for step, value in enumerate(values):
                trial.report(value, step)
            study.tell(trial, float(values.mean()))
            known.append(Reached(trial.number, tuple(values), is_finished=True))
        for values in rng.normal(size=(30, 4)):
            trial = study.ask()
            for step in range(4):
                trial.report(values[step], step)
                reached = Reached(trial.number, tuple(values[: step + 1]))
                higher = direction == "maximize"
                found = is_hopeless("median", reached, known, n_folds=4, is_higher_better=higher)
                assert found == trial.should_prune()
                n_hopeless += found
    assert n_hopeless > 10


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("n_folds", [2, 3, 5, 10, 30])
def test_hyperband_over_folds_is_that_of_optuna(direction, n_folds):
    """Optuna is told the mean of the folds so far after each of them; some trials fail midway."""
    rng = np.random.default_rng(n_folds)
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=n_folds)
    study = optuna.create_study(study_name=STUDY, direction=direction, pruner=pruner)
    known: list[Reached] = []
    counts = {"pruned": 0, "finished": 0}
    for number in range(60):
        values = tuple(rng.normal(size=n_folds).round(1))  # with ties
        ends_at = n_folds if number % 7 else 1 + number % n_folds
        trial = study.ask()
        for n in range(1, ends_at + 1):
            trial.report(math.fsum(values[:n]) / n, n)
            if n == n_folds:
                study.tell(trial, float(np.mean(values)))
                known.append(Reached(number, values, is_finished=True))
                counts["finished"] += 1
                break
            found = is_hopeless(
                "hyperband",
                Reached(number, values[:n]),
                known,
                n_folds=n_folds,
                is_higher_better=direction == "maximize",
            )
            assert found == trial.should_prune()
            if found or n == ends_at:
                state = optuna.trial.TrialState.PRUNED if found else optuna.trial.TrialState.FAIL
                study.tell(trial, state=state)
                known.append(Reached(number, values[:n]))
                counts["pruned"] += found
                break
    assert min(counts.values()) > 5
    brackets = {bracket(number, n_folds) for number in range(60)}
    assert brackets == set(range(len(pruner._pruners)))


def test_five_folds_give_hyperband_two_brackets():
    assert [rungs(number, 5) for number in (0, 1)] == [[1, 3], [3]]
    numbers = [bracket(number, 5) for number in range(1_000)]
    assert 0.5 < numbers.count(0) / 1_000 < 0.7


def test_a_study_pruned_by_hyperband_goes_on_as_if_it_had_not_been_stopped(workspace, beans):
    def stop(step: Any) -> None:
        if step.label.startswith("5 of"):
            raise Cancelled

    given = {"pruner": "hyperband", "sampler": "random", "trials": 9}
    with pytest.raises(Cancelled):
        tune(workspace, beans, stop, **given)
    resumed = tune(workspace, beans, **given)
    assert resumed.is_resumed
    assert any(trial.is_pruned for trial in resumed.trials[5:])
    assert outcomes(resumed) == outcomes(tune(workspace, beans, new=True, **given))


def test_trials_that_fail_are_recorded_and_the_study_goes_on(workspace, tmp_path, beans):
    some = RECIPE.replace("choice: [0.5, 1.0]", "choice: [0.5, -3.0]")
    tuned = tune(workspace, put_recipe(tmp_path, some), sampler="random", trials=8)
    failed = [trial for trial in tuned.trials if trial.status == "FAILED"]
    assert 0 < len(failed) < 8
    assert all("cannot be trained so" in trial.error for trial in failed)
    assert tuned.best["params"]["subsample"] == 0.5
    every = RECIPE.replace("choice: [0.5, 1.0]", "choice: [-1.0, -3.0]")
    with pytest.raises(InputError, match=r"The first 3 trials failed.*cannot be trained so"):
        tune(workspace, put_recipe(tmp_path, every))
    statuses = {row["status"] for row in workspace.query("SELECT status FROM runs")}
    assert statuses == {"FINISHED", "FAILED"}


def test_a_stopped_study_goes_on_and_a_finished_one_does_not(workspace, beans):
    def stop(step: Any) -> None:
        if step.label.startswith("3 of"):
            raise Cancelled

    with pytest.raises(Cancelled, match="goes on with the study"):
        tune(workspace, beans, stop)
    (row,) = workspace.query("SELECT * FROM runs WHERE contains(tags, 'paceml.study')")
    assert row["status"] == "KILLED"
    with pytest.raises(InputError, match="the sampler differs"):
        tune(workspace, beans, resume=row["run_id"], sampler="random")
    with pytest.raises(InputError, match="the recipe differs"):
        tune(workspace, beans, resume=row["run_id"], set=["params.max_depth=3"])
    resumed = tune(workspace, beans, resume=row["run_id"][:8])
    assert (resumed.run_id, resumed.is_resumed) == (row["run_id"], True)
    assert len(children(workspace, row["run_id"])) == 6
    with pytest.raises(InputError, match="has ended"):
        tune(workspace, beans, resume=row["run_id"])
    assert outcomes(tune(workspace, beans)) == outcomes(resumed)


def test_a_study_of_an_older_version_goes_on_as_it_was_begun(workspace, beans, monkeypatch):
    """Trials wrote their histories as cv_<metric>, and did not begin at the recipe's own values."""

    def old(scores: Any) -> Any:
        return {
            key.removesuffix("_by_fold"): points for key, points in fold_histories(scores).items()
        }

    def stop(step: Any) -> None:
        if step.label.startswith("2 of"):
            raise Cancelled

    with monkeypatch.context() as patched:
        patched.setattr(trials_module, "fold_histories", old)
        patched.setattr(tune_module, "grounded", lambda plan, *_: plan)
        patched.setattr(tune_module, "first", lambda *_: {})
        whole = tune(workspace, beans, trials=4)
        with pytest.raises(Cancelled):
            tune(workspace, beans, stop, trials=4, new=True)
    (row,) = workspace.query(
        "SELECT * FROM runs WHERE contains(tags, 'paceml.study') AND status = 'KILLED'"
    )
    parts = json.loads(row["tags"]["paceml.study"])
    del parts["rules"]
    row["tags"]["paceml.study"] = json.dumps(parts, sort_keys=True)
    workspace.append(lambda _: Draft("test", "test", {}, [("runs", row)]))
    resumed = tune(workspace, beans, trials=4)
    assert (resumed.run_id, resumed.is_resumed) == (row["run_id"], True)
    runs = [run for _, run in sorted(mirrored(workspace, resumed.run_id).items())]
    keys = [run.data.metrics.keys() for run in runs]
    assert ["cv_rmse" in it for it in keys] == [True] * 2 + [False] * 2
    assert ["cv_rmse_by_fold" in it for it in keys] == [False] * 2 + [True] * 2
    assert outcomes(resumed) == outcomes(whole)
    assert outcomes(resumed) != outcomes(tune(workspace, beans, trials=4))


def test_a_study_that_is_at_work_is_not_begun_again(workspace, beans):
    def again(step: Any) -> None:
        if step.label.startswith("1 of"):
            tune(workspace, beans)

    with pytest.raises(ConflictError, match="is at work"):
        tune(workspace, beans, again)


def test_a_budget_of_time_begins_no_more_trials(workspace, beans, monkeypatch):
    clock = SimpleNamespace(monotonic=map(float, range(0, 10**6, 20)).__next__)  # seconds
    monkeypatch.setattr(tune_module, "time", clock)
    monkeypatch.setattr(study_module, "time", clock)
    tuned = tune(workspace, beans, minutes=1.5)  # asked at 20, 40, 60 and 80 s, and at 100 s
    assert [trial.status for trial in tuned.trials] == ["FINISHED"] * 4


@pytest.mark.parametrize(
    ("sets", "given", "said"),
    [
        (["search=null"], {}, "has no search.space"),
        (["search.metric=f1"], {}, "search.metric cannot be 'f1'"),
        (["search.metric=rmsse"], {}, "Did you mean 'rmse'"),
        (["params.lambda_l1=1", "search.space={reg_alpha: [0, 1]}"], {}, "gives lambda_l1 twice"),
        (["slices=[wather]"], {}, "slices names column 'wather'"),
        ([], {"trials": 0}, "--trials needs"),
        ([], {"workers": 65}, "--workers needs"),
        ([], {"minutes": 0.0}, "--minutes needs"),
        ([], {"resume": "latest", "new": True}, "say the opposite"),
    ],
)
def test_what_cannot_be_searched_is_said_before_anything_begins(
    workspace, beans, sets, given, said
):
    with pytest.raises(InputError, match=said):
        tune(workspace, beans, set=sets, **given)
    assert workspace.query("SELECT * FROM runs") == []


def test_classes_are_searched_by_their_own_metrics(workspace, tmp_path):
    frame = table().with_columns(pl.col("height") > 0)
    add_beans(workspace, tmp_path, frame)
    text = RECIPE.replace("  trials: 6", "  trials: 3\n  metric: roc_auc")
    tuned = tune(workspace, put_recipe(tmp_path, text))
    assert (tuned.metric, tuned.direction) == ("roc_auc", "maximize")
    assert tuned.best["value"] == max(trial.value for trial in tuned.trials)


def test_a_metric_of_scikit_learn_is_searched_for_its_highest_value(workspace, tmp_path):
    frame = table().with_columns(pl.col("height") > 0)
    add_beans(workspace, tmp_path, frame)
    text = RECIPE.replace("  trials: 6", "  trials: 3\n  metric: balanced_accuracy")
    tuned = tune(workspace, put_recipe(tmp_path, text))
    assert (tuned.metric, tuned.direction) == ("balanced_accuracy", "maximize")
    values = [trial.value for trial in tuned.trials]
    assert len(set(values)) > 1
    assert tuned.best["value"] == max(values)
    assert [one["best"] for one in tuned.history] == np.maximum.accumulate(values).tolist()
    for trial in tuned.trials:
        plan = parse_recipe(workspace.get("runs", trial.run_id)["recipe"])
        held = fit(plan, frame).out_of_fold  # of three folds by turns
        assert trial.value == pytest.approx(np.mean(trial.folds), abs=1e-15)
        pooled = balanced_accuracy_score(held.truth, held.predicted)
        assert trial.value == pytest.approx(pooled, abs=0.05)
    assert 0 <= tuned.metrics["balanced_accuracy"] <= 1  # measured on the test rows too


def goal_of(frame: pl.DataFrame, metric: str | None, **more: Any) -> Any:
    named = {} if metric is None else {"metric": metric}
    search = {**named, "space": {"learning_rate": [0.1, 1]}}
    return objective(
        parse_recipe({"dataset": "beans", "target": "height", "search": search, **more}), frame
    )


def test_the_direction_of_a_metric_is_known():
    numbers = table().with_columns(w=pl.col("light").abs())
    classes = numbers.with_columns(pl.col("height") > 0)
    many = numbers.with_columns(pl.col("height").sign().cast(pl.Int64) + (pl.col("height") > 2))
    for frame, more, metric, is_higher, scorer in [
        (numbers, {}, None, False, None),
        (numbers, {}, "r2", True, None),
        (numbers, {}, "neg_mean_squared_log_error", True, "neg_mean_squared_log_error"),
        (numbers, {"weights": "w"}, "weighted_mae", False, None),
        (numbers, {"weights": "w"}, "weighted_r2", True, None),
        (classes, {}, "brier", False, None),
        (classes, {}, "roc_auc", True, None),
        (classes, {}, "neg_brier_score", True, "neg_brier_score"),
        (classes, {"weights": "w"}, "weighted_balanced_accuracy", True, "balanced_accuracy"),
        (many, {}, "roc_auc_ovo", True, "roc_auc_ovo"),
        (many, {}, "fowlkes_mallows_score", True, "fowlkes_mallows_score"),
    ]:
        goal = goal_of(frame, metric, **more)
        found = (goal.metric, goal.is_higher_better, goal.scorer)
        assert found == (metric or "rmse", is_higher, scorer)
    for params, metric in [({}, "accuracy"), ({"probability": True}, "log_loss")]:
        more = {"estimator": "sklearn.svm.SVC", "params": params}
        assert goal_of(classes, None, **more).metric == metric


def test_a_metric_that_is_not_there_or_does_not_fit_is_a_sentence():
    numbers = table().with_columns(w=pl.col("light").abs())
    classes = numbers.with_columns(pl.col("height") > 0)
    for frame, more, metric, said in [
        (numbers, {}, "neg_mean_squared_logerror", "mean 'neg_mean_squared_log_error'"),
        (numbers, {}, "balanced_accuracy", "measures a classification"),
        (numbers, {}, "weighted_rmse", "weighs no rows"),
        (numbers, {"weights": "w"}, "weighted_rmsse", "mean 'weighted_rmse'"),
        (numbers, {"weights": "w"}, "weighted_neg_max_error", "sample_weight"),
        (classes, {}, "balanced_acuracy", "mean 'balanced_accuracy'"),
        (classes, {}, "neg_max_error", "measures a regression"),
        (classes, {}, "f1_samples", "scikit-learn: "),
        (classes, {"estimator": "sklearn.linear_model.RidgeClassifier"}, "neg_log_loss", "proba"),
    ]:
        if "estimator" in more:
            more = {**more, "search": {"metric": metric, "space": {"alpha": [0.1, 1]}}}
        with pytest.raises(InputError) as caught:
            goal_of(frame, metric, **more)
        assert f"search.metric cannot be '{metric}'" in caught.value.message
        assert said in f"{caught.value.message} {caught.value.hint}"


# ------------------------------------------------------------------ the parts


def test_the_next_trial_follows_from_what_is_known_alone():
    space = space_of({"learning_rate": {"log": [0.01, 1]}, "num_leaves": [2, 60]})
    seen: list[Seen] = []
    for number in range(45):
        params = suggest(space, seen, sampler="tpe", seed=1, is_higher_better=False)
        assert params == suggest(space, seen, sampler="tpe", seed=1, is_higher_better=False)
        assert 0.01 <= params["learning_rate"] <= 1
        assert type(params["num_leaves"]) is int
        assert 2 <= params["num_leaves"] <= 60
        value = (np.log(params["learning_rate"]) + 2) ** 2
        state = "running" if number % 5 == 4 else "finished"
        seen.append(Seen(params, state, None if state == "running" else float(value)))
    late = [seen[at].value for at in range(25, 45) if seen[at].value is not None]
    early = [seen[at].value for at in range(10) if seen[at].value is not None]
    assert np.median(late) < np.median(early)
    finished = [one for one in seen if one.state == "finished"]
    shares = importance(space, finished, seed=0, is_higher_better=False)
    assert next(iter(shares)) == "learning_rate"
    assert shares["learning_rate"] > 0.8
    assert importance(space, finished[:1], seed=0, is_higher_better=False) == {}


def test_a_grid_has_the_ends_and_whole_numbers_where_the_ends_are_whole():
    a, b, c = space_of(SPACE)
    assert grid_values(a) == pytest.approx([0.01, 0.0316227766, 0.1, 0.316227766, 1.0])
    assert grid_values(b) == [2, 4, 7, 10, 12]
    assert grid_values(c) == ["x", True, 3]
    assert all(type(value) is int for value in grid_values(b))
    points = [json.dumps(point) for point in grid_points((a, b, c))]
    assert len(set(points)) == len(points) == check_grid((a, b, c), None) == 75
    with pytest.raises(InputError, match="or use random"):
        check_grid([a] * 8, None)
