"""Explanations of made-up models, as ``explain model`` stores them."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import workspaces
import workspaces_filled

from local_stack.workspace import Workspace

RUN = workspaces_filled.run_id(4)
"""A run with an explanation and everything that is drawn of it."""
FEATURES = ("income", "loan_amount", "purpose", "age", "term_months", "unused")
PURPOSES = ("car", "home", "study", "travel")
N_ROWS = 300


def document(run: str = RUN, *, unit: str = "log-odds", word: str = "") -> dict[str, Any]:
    """Return what ``explain/explanation.json`` holds; ``word`` is put into every text."""
    rows = _rows()
    names = [f"{word}{name}" for name in FEATURES]
    shap = {name: [_shap(name, row) for row in rows] for name in FEATURES}
    sizes = {name: sum(map(abs, shap[name])) / N_ROWS for name in FEATURES}
    ranked = sorted(FEATURES, key=lambda name: -sizes[name])
    explanation = {
        "run_id": run,
        "data_version": f"{word}loans@0c4e7a9b13f0",
        "n_rows": N_ROWS,
        "n_total": 4000,
        "is_sample": True,
        "unit": unit,
        "method": "tree SHAP (exact, path dependent)",
        "base_value": -1.25,
        "importance": [
            {"feature": f"{word}{name}", "mean_abs_shap": sizes[name], "by_class": []}
            for name in ranked
        ],
        "additivity_error": 4.4e-16,
        "artifacts": ["explain/explanation.json"],
        "target": f"{word}default",
        "estimator": "lightgbm",
        "outputs": [f"{word}yes"],
        "output": f"{word}yes",
        "base_values": [-1.25],
        "standard_error": None,
        "background": {
            "data_version": "loans@0c4e7a9b13f0",
            "n_rows": 1000,
            "how": f"{word}evenly spread over the rows",
        },
        "permutation": {
            "metric": "log_loss",
            "score": 0.41,
            "rows": "test",
            "n_rows": 800,
            "repeats": 10,
            "interval": f"{word}95 % of the repeats",
            "columns": [
                {
                    "column": f"{word}{name}",
                    "mean": sizes[name] / 3,
                    "low": sizes[name] / 3 - 0.02,
                    "high": sizes[name] / 3 + 0.02,
                }
                for name in ranked
            ],
        },
        "interactions": {
            "columns": names[:4],
            "matrix": [[0.3 if a == b else 0.02 * (a + b) for b in range(4)] for a in range(4)],
            "unit": unit,
            "method": "exact",
            "n_rows": 100,
        },
        "surrogate": {
            "rules": [f"{word}income <= 40,000", "  then yes, 61%", "otherwise", "  no, 8%"],
            "leaves": [
                {"conditions": [f"{word}income > 40,000"], "prediction": "no", "share": 0.7},
                {"conditions": [f"{word}income <= 40,000"], "prediction": "yes", "share": 0.3},
            ],
            "measure": "agreement",
            "fidelity": 0.91,
            "baseline": 0.7,
            "depth": 1,
            "n_rows_train": 200,
            "n_rows_test": 100,
        },
        "findings": [
            {
                "column": f"{word}unused",
                "code": "unused",
                "message": f"{word}No split of the model uses it; it can be left out.",
            }
        ],
        "notes": [],
    }
    return {
        "explanation": explanation,
        "beeswarm": {
            "columns": [f"{word}{name}" for name in ranked],
            "shap": [shap[name] for name in ranked],
            "scaled": [[_scaled(name, row) for row in rows] for name in ranked],
            "n_rows": N_ROWS,
        },
        "dependences": [_dependence(name, rows, shap[name], word) for name in ranked],
        "partials": [_partial(name, word) for name in FEATURES],
        "format": 1,
    }


def fill_explained(root: Path, *, word: str = "") -> None:
    """Store an explanation in the workspace at ``root``, of a run that is there."""
    with Workspace.open(root, actor="ada") as workspace:
        found = document(word=word)
        blob = workspace.artifacts.put_bytes(json.dumps(found).encode())
        told = found["explanation"]
        workspaces.append(
            workspace,
            "explain.computed",
            f"run:{RUN}",
            workspaces.row(
                "explanations",
                run_id=RUN,
                dataset="loans",
                version="0c4e7a9b13f0",
                n_rows=told["n_rows"],
                n_total=told["n_total"],
                unit=told["unit"],
                base_value=told["base_value"],
                importance=told["importance"],
                additivity_error=told["additivity_error"],
                artifacts={"explain/explanation.json": blob.to_dict()},
                created_at=workspaces.at(hours=1),
            ),
        )


def _rows() -> list[dict[str, Any]]:
    generator = random.Random(7)
    return [
        {
            "income": None if at % 25 == 0 else round(generator.lognormvariate(10.8, 0.4)),
            "loan_amount": round(generator.uniform(1_000, 30_000)),
            "purpose": generator.choice(PURPOSES),
            "age": generator.randrange(18, 80),
            "term_months": generator.choice((12, 24, 36, 60)),
            "unused": generator.random(),
        }
        for at in range(N_ROWS)
    ]


def _shap(name: str, row: dict[str, Any]) -> float:
    value = row[name]
    if value is None:
        return 0.4
    slant = {
        "income": lambda: 1.2 - math.log10(value / 6_000),
        "loan_amount": lambda: (value - 15_000) / 20_000,
        "purpose": lambda: (-0.3, 0.1, 0.4, -0.1)[PURPOSES.index(value)] * row["age"] / 50,
        "age": lambda: (45 - value) / 90,
        "term_months": lambda: (value - 33) / 100,
        "unused": lambda: 0.0,
    }
    return round(slant[name](), 6)


def _scaled(name: str, row: dict[str, Any]) -> float | None:
    ends = {"income": 90_000, "loan_amount": 30_000, "age": 80, "term_months": 60, "unused": 1}
    value = row[name]
    return value / ends[name] if isinstance(value, int | float) and name in ends else None


def _dependence(
    name: str, rows: list[dict[str, Any]], shap: list[float], word: str
) -> dict[str, Any]:
    is_text = name == "purpose"
    return {
        "column": f"{word}{name}",
        "kind": "categorical" if is_text else "numeric",
        "values": [f"{word}{row[name]}" if is_text else row[name] for row in rows],
        "shap": shap,
        "colour": f"{word}age" if is_text else f"{word}purpose" if name == "age" else None,
        "colour_kind": "numeric" if is_text else "categorical",
        "colour_values": [row["age"] for row in rows]
        if is_text
        else [f"{word}{row['purpose']}" for row in rows]
        if name == "age"
        else [],
        "why": f"{word}It explains 40 % of what the value leaves open.",
        "strengths": [],
        "n_rows": len(rows),
    }


def _partial(name: str, word: str) -> dict[str, Any]:
    is_text = name == "purpose"
    grid: list[Any] = [f"{word}{it}" for it in PURPOSES] if is_text else [1.0, 2.0, 3.0, 4.0]
    return {
        "column": f"{word}{name}",
        "kind": "categorical" if is_text else "numeric",
        "grid": grid,
        "mean": [0.2, 0.25, 0.4, 0.45],
        "ice": [[0.1, 0.15, 0.3, 0.35], [0.4, 0.4, 0.5, 0.7]],
        "output": f"{word}yes",
        "unit": "probability",
        "n_rows": 200,
    }
