"""Seconds are the difference between a tool and a wait: what starting must not import."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "mlflow",
    "sklearn",
    "catboost",
    "lightgbm",
    "xgboost",
    "shap",
    "evidently",
    "pandas",
    "pyarrow",
    "matplotlib",
    "polars",
    "duckdb",
    "numpy",
    "fsspec",
    "textual",
}


def loaded_by(code: str) -> set[str]:
    words = [
        sys.executable,
        "-c",
        f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))",
    ]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", ["local_stack", "local_stack.catalog", "paceml_tui.cli"])
def test_a_fresh_interpreter_imports_nothing_heavy(module):
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert loaded & HEAVY == set()


def test_the_engine_brings_no_program_and_no_colour():
    loaded = loaded_by("import local_stack.catalog")
    assert loaded & {"paceml_tui", "textual", "rich", "click"} == set()


def test_what_is_not_there_is_named():
    ended = subprocess.run(
        [sys.executable, "-c", "import local_stack; local_stack.Wrkspace"],
        capture_output=True,
        text=True,
    )
    assert "no attribute 'Wrkspace'" in ended.stderr


def test_this_test_can_fail():
    assert loaded_by("import numpy") & HEAVY == {"numpy"}
