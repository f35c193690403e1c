"""A study as the command line prints it."""

from __future__ import annotations

import os
import subprocess
import sys

from records_kit import add_beans
from tuning_kit import RECIPE, put_recipe, tune

from local_stack.results import plain
from paceml_tui import printing_tuning


def test_the_command_line_prints_trials_importance_and_the_best_model(workspace, tmp_path):
    add_beans(workspace, tmp_path)
    recipe = put_recipe(tmp_path)
    words = ["runs", "tune", str(recipe), "--sampler", "random", "--pruner", "median"]
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "paceml_tui",
            "--workspace",
            str(workspace.root),
            *words,
            "--trials",
            "9",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert ended.returncode == 0, ended.stderr
    shown = ended.stdout.splitlines()
    assert "9 trials, 3 pruned (random, minimize rmse)" in shown[0]
    assert shown[1].startswith("Best  trial 4, rmse 1.1098: learning_rate=0.38932, num_leaves=")
    assert shown[3].split() == [
        *("trial", "status", "rmse", "folds"),
        *("learning_rate", "num_leaves", "subsample"),
    ]
    assert shown[4].split()[:4] == ["4", "FINISHED", "1.1098", "3"]
    assert [line.split()[1:3] for line in shown[10:13]] == [["PRUNED", "-"]] * 3
    assert "Importance of the parameters" in ended.stdout
    assert "Best so far: " in ended.stdout
    assert "8 of 9 trials, best rmse 1.1098" in ended.stderr
    assert max(map(len, shown)) <= 110


def test_hostile_values_are_harmless(workspace, tmp_path):
    add_beans(workspace, tmp_path)
    hostile = "\\e[31mred\\u202e"
    text = RECIPE.replace("[0.5, 1.0]", "[0.5]").replace("growth", f'"{hostile}"')
    tuned = tune(workspace, put_recipe(tmp_path, text), trials=2)
    values = plain(tuned)
    values["best"]["params"]["subsample"] = values["trials"][0]["params"]["subsample"] = (
        "\x1b[31mred\u202e" + "x" * 200
    )
    for line in printing_tuning.lines(values):
        assert "\x1b" not in line
        assert "\u202e" not in line
        assert len(line) <= 300
