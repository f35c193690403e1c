"""How good the default recipe is, and what a recorded training costs beside LightGBM alone.

Run it on an idle machine, with the real tables named by ``PACEML_SHARED_DATA``:
``python tests/benchmarks/bench_training.py [quality] [tuned] [cost] [--seeds N] [--trials N]``.

* quality: the default recipe (``estimator`` and ``features`` left out) against scikit-learn's
  HistGradientBoosting with its defaults, each cross-validated over the same five folds of the same
  rows, for several seeds. The peer gets texts as categories (those of more than 255 values are
  left out for it, which is all it can take). Told are the means of the folds' scores, and the
  difference with twice its standard error over the seeds.
* tuned: ``runs tune`` against Optuna's TPE sampler driving LightGBM by hand over the same space,
  folds and number of trials: the cross-validated score of the best trial, and that of its model on
  the test rows, which neither has seen.
* cost: ``runs train`` in an open workspace against ``lightgbm.train`` alone on the same matrix with
  the same parameters, and against that with predictions of the held-out rows, in turns; a line
  through the sizes gives what is added and its share.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from local_stack import environment

TABLES = {
    "wine quality": ("wine-quality.csv", "quality", "regression"),
    "California housing": ("california_housing.csv", "median_house_value", "regression"),
    "German credit": ("german_credit.csv", "default", "classification"),
    "titanic": ("titanic.csv", "survived", "classification"),
}
N_FOLDS = 5
SPACE = {
    "num_leaves": [4, 128],
    "learning_rate": {"log": [0.01, 0.3]},
    "min_child_samples": {"log": [5, 100]},
    "colsample_bytree": [0.4, 1.0],
    "reg_lambda": {"log": [0.001, 10.0]},
    "n_estimators": {"log": [50, 400]},
}


def table(file: str) -> pl.DataFrame:
    """Return a real table as an import gives it."""
    folder = os.environ.get("PACEML_SHARED_DATA")
    if not folder:
        sys.exit("Name the folder of the real tables: PACEML_SHARED_DATA=...")
    return pl.read_csv(Path(folder) / "tabular" / file, infer_schema_length=None)


def recipe_of(target: str, task: str, seed: int, **more: Any) -> Any:
    from local_stack.runs.recipe import parse_recipe

    split = {"test": 0, "seed": seed, "folds": N_FOLDS} | more.pop("split", {})
    return parse_recipe({"dataset": "t", "target": target, "task": task, "split": split, **more})


# ------------------------------------------------------------------ quality


def folds_of(recipe: Any, frame: pl.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rows of each fold, as the recipe divides them."""
    from local_stack.evaluation.split import folds
    from local_stack.runs.lessons import labelled

    _, found, _ = labelled(recipe, frame)
    return list(folds(found.keys, N_FOLDS, recipe.split.seed))


def ours(recipe: Any, frame: pl.DataFrame) -> list[dict[str, float]]:
    from local_stack.runs.fit import score_fold

    return [score_fold(recipe, frame, k + 1, N_FOLDS).metrics for k in range(N_FOLDS)]


def for_sklearn(frame: pl.DataFrame, target: str) -> tuple[Any, np.ndarray]:
    """Return features as a pandas table with categories, and the target as numbers."""
    kept = frame.filter(pl.col(target).is_not_null())
    texts = [name for name, kind in kept.schema.items() if kind == pl.String]
    many = [name for name in texts if kept[name].n_unique() > 255]
    features = kept.drop(target, *many).to_pandas()
    for name in set(texts) - set(many) - {target}:
        features[name] = features[name].astype("category")
    return features, kept[target].cast(pl.Float64).to_numpy()


def theirs(
    frame: pl.DataFrame, target: str, task: str, parts: list[tuple[np.ndarray, np.ndarray]]
) -> list[dict[str, float]]:
    from sklearn import ensemble, metrics

    features, truth = for_sklearn(frame, target)
    found = []
    for train, test in parts:
        if task == "regression":
            model = ensemble.HistGradientBoostingRegressor(random_state=0)
            predicted = model.fit(features.iloc[train], truth[train]).predict(features.iloc[test])
            found.append({"rmse": metrics.root_mean_squared_error(truth[test], predicted)})
        else:
            model = ensemble.HistGradientBoostingClassifier(random_state=0)
            model.fit(features.iloc[train], truth[train])
            chance = model.predict_proba(features.iloc[test])[:, 1]
            found.append(
                {
                    "log_loss": metrics.log_loss(truth[test], chance),
                    "roc_auc": metrics.roc_auc_score(truth[test], chance),
                }
            )
    return found


def quality(n_seeds: int) -> None:
    """Print the scores of the default recipe and of HistGradientBoosting."""
    title = f"{N_FOLDS}-fold cross-validation, {n_seeds} seeds"
    print(f"\n{title:<44}{'ours':>10}{'HistGB':>10}{'ours better by':>16}{'+-':>9}")
    for name, (file, target, task) in TABLES.items():
        frame = table(file)
        scores: dict[str, list[tuple[float, float]]] = {}
        for seed in range(n_seeds):
            recipe = recipe_of(target, task, seed)
            mine = ours(recipe, frame)
            others = theirs(frame, target, task, folds_of(recipe, frame))
            for metric in others[0]:
                pair = [statistics.fmean(one[metric] for one in them) for them in (mine, others)]
                scores.setdefault(metric, []).append((pair[0], pair[1]))
        for metric, pairs in scores.items():
            show(f"{name}, {metric}", metric, pairs)


def show(title: str, metric: str, pairs: list[tuple[float, float]]) -> None:
    """Print a line: both means, by how much ours is better in percent, and its uncertainty."""
    sign = -1 if metric in ("rmse", "log_loss", "mae") else 1
    gains = [sign * (a - b) / b * 100 for a, b in pairs]
    spread = 2 * statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    a, b = (statistics.fmean(pair[k] for pair in pairs) for k in (0, 1))
    print(f"{title:<44}{a:>10.4f}{b:>10.4f}{statistics.fmean(gains):>14.2f} %{spread:>8.2f}")


# ------------------------------------------------------------------ tuned


def tuned(n_seeds: int, n_trials: int) -> None:
    """Print the scores of ``runs tune`` and of Optuna that drives LightGBM by hand."""
    from local_stack.data import adding
    from local_stack.runs.tuning.tune import tune
    from local_stack.workspace import Workspace

    title = f"after {n_trials} trials, {n_seeds} seeds"
    print(f"\n{title:<44}{'ours':>10}{'by hand':>10}{'ours better by':>16}{'+-':>9}")
    for name, (file, target, task) in TABLES.items():
        metric = "rmse" if task == "regression" else "log_loss"
        crossed, tested, frame = [], [], table(file)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            with Workspace.create(folder / "ws") as workspace:
                frame.write_parquet(folder / "t.parquet")
                adding.add(workspace, "t", str(folder / "t.parquet"), target=target)
                for seed in range(n_seeds):
                    split = {"test": 0.25, "seed": seed, "folds": N_FOLDS}
                    search = {"trials": n_trials, "metric": metric, "space": SPACE}
                    words: dict[str, Any] = {"dataset": "t", "task": task, "split": split}
                    (folder / "recipe.yaml").write_text(json.dumps(words | {"search": search}))
                    mine = tune(workspace, folder / "recipe.yaml", new=True)
                    value, score = by_hand(frame, target, task, seed, n_trials)
                    crossed.append((mine.best["value"], value))
                    tested.append((mine.metrics[metric], score))
        show(f"{name}, {metric}, cross-validated", metric, crossed)
        show(f"{name}, {metric}, test rows", metric, tested)


def by_hand(
    frame: pl.DataFrame, target: str, task: str, seed: int, n_trials: int
) -> tuple[float, float]:
    """Return the scores of LightGBM's scikit-learn estimator as Optuna tunes it."""
    import lightgbm
    import optuna
    from sklearn import metrics

    from local_stack.evaluation.split import folds, hold_out
    from local_stack.runs.lessons import labelled

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    recipe = recipe_of(target, task, seed, split={"test": 0.25})
    _, labelled_rows, _ = labelled(recipe, frame)
    train, test = hold_out(labelled_rows.keys, 0.25, seed)
    parts = list(folds(labelled_rows.keys.take(train), N_FOLDS, seed))
    features, truth = for_sklearn(frame, target)
    is_number = task == "regression"
    kind = lightgbm.LGBMRegressor if is_number else lightgbm.LGBMClassifier

    def score(params: dict[str, Any], learn: np.ndarray, judge: np.ndarray) -> float:
        model = kind(verbosity=-1, random_state=seed, **params)
        model.fit(features.iloc[learn], truth[learn])
        if is_number:
            predicted = model.predict(features.iloc[judge])
            return float(metrics.root_mean_squared_error(truth[judge], predicted))
        chance = model.predict_proba(features.iloc[judge])[:, 1]
        return float(metrics.log_loss(truth[judge], chance))

    def objective(trial: optuna.Trial) -> float:
        params = {name: asked(trial, name, given) for name, given in SPACE.items()}
        return statistics.fmean(score(params, train[a], train[b]) for a, b in parts)

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=n_trials)
    return study.best_value, score(study.best_params, train, test)


def asked(trial: Any, name: str, given: Any) -> Any:
    """Ask Optuna for a value of the space as a recipe writes it."""
    low, high = given["log"] if isinstance(given, dict) else given
    is_whole = isinstance(low, int) and isinstance(high, int)
    ask = trial.suggest_int if is_whole else trial.suggest_float
    return ask(name, low, high, log=isinstance(given, dict))


# ------------------------------------------------------------------ cost

SIZES = ((100_000, 200), (200_000, 400), (400_000, 600))
"""Rows and rounds of boosting."""


def generated(n_rows: int) -> pl.DataFrame:
    draw = np.random.default_rng(5)
    columns = {f"x{k}": draw.normal(size=n_rows) for k in range(20)}
    noise = draw.normal(size=n_rows)
    columns["y"] = columns["x0"] * columns["x1"] + np.sin(columns["x2"] * 3) + noise
    return pl.DataFrame(columns)


def cost(n_rounds: int) -> None:
    """Print seconds of ``runs train`` and of ``lightgbm.train``, and the line through them."""
    from local_stack.data import adding
    from local_stack.runs import train
    from local_stack.workspace import Workspace

    print(
        f"\n{'rows x rounds of boosting':<30}{'ours s':>9}{'LightGBM s':>12}{'and predict s':>15}"
    )
    points = []
    with tempfile.TemporaryDirectory() as name, Workspace.create(Path(name) / "ws") as workspace:
        for n_rows, n_trees in SIZES:
            frame = generated(n_rows)
            frame.write_parquet(Path(name) / "t.parquet")
            adding.add(workspace, f"t{n_rows}", str(Path(name) / "t.parquet"), target="y")
            file = Path(name) / "recipe.yaml"
            file.write_text(
                f"dataset: t{n_rows}\ntask: regression\nsplit: {{test: 0.2, seed: 1}}\n"
                f"params: {{n_estimators: {n_trees}, learning_rate: 0.05}}\n"
            )
            pairs = []
            for _ in range(n_rounds):
                begun = time.perf_counter()
                run = train.train(workspace, file)
                pairs.append((time.perf_counter() - begun, *alone(frame, run.params)))
            a, b, c = (statistics.median(pair[k] for pair in pairs) for k in range(3))
            points.append((a, b, c))
            print(f"{f'{n_rows:,} x {n_trees}':<30}{a:>9.2f}{b:>12.2f}{c:>15.2f}")
    ours, *others = zip(*points, strict=True)
    for title, seconds in zip(("training", "training and predicting"), others, strict=True):
        slope, fixed = np.polyfit(seconds, ours, 1)
        print(f"ours = {fixed:.2f} s + {slope:.2f} x LightGBM alone, {title}")


def alone(frame: pl.DataFrame, params: dict[str, str]) -> tuple[float, float]:
    """Train LightGBM on four fifths of the rows, with every parameter of the run, and predict.

    Returns the seconds until it was trained, and until the others were predicted.
    """
    import lightgbm

    given: dict[str, Any] = {k: number(v) for k, v in params.items() if k != "model"}
    n_trees = int(given.pop("n_estimators"))
    given |= {"verbosity": -1, "deterministic": True, "force_row_wise": True}
    begun = time.perf_counter()
    matrix = frame.drop("y").to_numpy()
    n_learnt = frame.height * 4 // 5
    data = lightgbm.Dataset(matrix[:n_learnt], frame["y"].to_numpy()[:n_learnt])
    booster = lightgbm.train(given, data, n_trees)
    trained = time.perf_counter() - begun
    booster.predict(matrix[n_learnt:])
    return trained, time.perf_counter() - begun


def number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def chosen(given: list[str]) -> Iterator[str]:
    return (part for part in ("quality", "tuned", "cost") if part in given or not given)


if __name__ == "__main__":
    environment.prepare()
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("parts", nargs="*", choices=["quality", "tuned", "cost", []])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for part in chosen(given.parts):
        if part == "quality":
            quality(given.seeds)
        elif part == "tuned":
            tuned(min(given.seeds, 3), given.trials)
        else:
            cost(given.rounds)
