"""Stand-ins for what an explanation asks: a process of a made-up model, and jobs that answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from local_stack.errors import InputError

WEIGHTS = {"income": -0.00005, "age": -0.02, "purpose": 0.0}
PURPOSES = {"car": 0.8, "home": -0.4, "study": 0.2}
BASE = 2.0
HELD = "sensitive"


class Session:
    """A logistic model of three columns that answers like the process of a real one."""

    def __init__(self, root: object, target: str, word: str = "") -> None:
        self.target = target
        self.word = word
        self.asked: list[dict[str, Any]] = []
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True

    def columns(self) -> list[dict[str, Any]]:
        facts = {"is_nullable": True, "held": ""}
        return [
            facts | {"name": "income", "type": "long", "low": 10_000, "high": 90_000,
                     "levels": [], "n_levels": 0},
            facts | {"name": "age", "type": "long", "low": 18, "high": 80, "levels": [],
                     "n_levels": 0, "held": HELD},
            facts | {"name": "purpose", "type": "string", "low": None, "high": None,
                     "levels": list(PURPOSES), "n_levels": 3},
        ]  # fmt: skip

    def rows(self, start: int, n: int, only: str | None = None) -> dict[str, Any]:
        found = []
        for at in range(40):
            row = _row(at)
            answer = self.what_if(row)
            if only in (None, answer["prediction"]):
                found.append(
                    {
                        "index": at,
                        "values": row,
                        "outcome": "yes" if at % 3 else "no",
                        "prediction": answer["prediction"],
                        "probability": answer["probabilities"][f"{self.word}yes"],
                        "note": f"{self.word}A value is missing." if at == 39 else "",
                    }
                )
        return {"rows": found[start : start + n], "n_rows": len(found)}

    def what_if(
        self, row: Mapping[str, Any], unit: str | None = None, output: str | None = None
    ) -> dict[str, Any]:
        self.asked.append(dict(row))
        if not isinstance(row["income"], int | float):
            raise InputError("Column 'income' needs a number.")
        parts = {
            "income": WEIGHTS["income"] * row["income"],
            "age": WEIGHTS["age"] * row["age"],
            "purpose": PURPOSES.get(str(row["purpose"]).removeprefix(self.word), 0.0),
        }
        score = BASE + sum(parts.values())
        chance = 1 / (1 + math.exp(-score))
        ranked = sorted(parts, key=lambda name: -abs(parts[name]))
        word = self.word
        return {
            "prediction": f"{word}yes" if chance >= 0.5 else f"{word}no",
            "probabilities": {f"{word}no": 1 - chance, f"{word}yes": chance},
            "threshold": None,
            "output": f"{word}yes",
            "unit": unit or "log-odds",
            "units": ["log-odds", "probability"],
            "method": "exact",
            "base_value": BASE,
            "score": score,
            "contributions": [
                {"feature": name, "value": row[name], "shap": parts[name], "error": None}
                for name in ranked
            ],
            "additivity_error": 0.0,
            "summary": f"{word}The model says this.",
            "reasons": [f"{word}{name} moves it by {parts[name]:.3g}." for name in ranked],
            "against": [f"{word}income lowers it."],
        }

    def explain(
        self, *, row: Any = None, index: int | None = None, **questions: Any
    ) -> dict[str, Any]:
        values = dict(row if row is not None else _row(index or 0))
        if self.word:
            values["purpose"] = f"{self.word}{values['purpose']}"
        answer = self.what_if(values, questions.get("unit"))
        changed = {**values, "income": 80_000}
        other = self.what_if(changed)
        wishes = (questions.get("wishes") or {}).get("immutable") or []
        ways = [] if "income" in wishes else [_way(self.word, values, other)]
        return answer | {
            "row": values,
            "index": index,
            "outcome": f"{self.word}yes",
            "desired": questions.get("desired") or "no",
            "counterfactuals": ways,
            "counterfactual": ways[0] if ways else None,
            "counterfactual_note": "" if ways else f"{self.word}There is no other way.",
            "held": {"age": HELD, **dict.fromkeys(wishes, "asked for")},
            "similar": _similar(self.word, values),
            "trace": _trace(self.word, answer),
            "notes": [],
        }


def _row(at: int) -> dict[str, Any]:
    return {"income": 20_000 + 1_000 * at, "age": 20 + at, "purpose": list(PURPOSES)[at % 3]}


def _way(word: str, values: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    change = {"feature": "income", "before": values["income"], "after": 80_000, "distance": 0.7}
    return {
        "changes": [change],
        "prediction": other["prediction"],
        "probability": other["probabilities"][f"{word}no"],
        "distance": 0.7,
        "nearest_row": 7,
        "nearest_distance": 0.1,
        "is_minimal": True,
        "text": "",
    }


def _similar(word: str, values: Mapping[str, Any]) -> dict[str, Any]:
    row = {
        "index": 11,
        "distance": 0.05,
        "outcome": f"{word}no",
        "prediction": f"{word}yes",
        "values": dict(values),
        "differs": ["age"],
    }
    text = f"{word}Of the 1 most similar rows 0 had the outcome that the model predicts."
    return {"by": "values", "rows": [row], "n_looked_at": 39, "n_agree": 0, "text": text}


def _trace(word: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "steps": [{"number": 1, "text": f"{word}number of the category: purpose -> 2"}],
        "n_steps": 3,
        "terms": [{"feature": f"{word}age", "value": 20.0, "coefficient": -0.02, "product": -0.4}],
        "n_terms": 1,
        "intercept": BASE,
        "leaves": [{"tree": 4, "value": 0.3, "expected": 0.1, "conditions": [f"{word}age > 3"]}],
        "n_trees": 10,
        "ending": [f"The score is {answer['score']:.4g}."],
    }


def fairness(word: str = "") -> dict[str, Any]:
    """Return a report of two groups, one of which has too few rows, and of a limit."""

    def group(name: str, rate: float, n_rows: int = 100) -> dict[str, Any]:
        is_enough = n_rows >= 30
        metrics = {"selection_rate": rate, "true_positive_rate": rate / 2, "roc_auc": 0.8}
        return {
            "group": f"{word}{name}",
            "n_rows": n_rows,
            "share": n_rows / 210,
            "is_enough": is_enough,
            "metrics": metrics if is_enough else {},
            "intervals": {it: [v - 0.05, v + 0.05] for it, v in metrics.items()}
            if is_enough
            else {},
            "calibration": None,
        }

    column = {"feature": f"{word}income", "gap": 0.3, "low": 0.2, "high": 0.4}
    curve = {"selection_rate": [1.0, 0.6, 0.0]}
    return {
        "run_id": "r" * 32,
        "data_version": f"{word}loans@0c4e7a9b13f0",
        "rows": "test",
        "n_rows": 210,
        "decision": f"{word}default = yes",
        "min_rows": 30,
        "level": 0.95,
        "intervals": "Wilson.",
        "passed": False,
        "notes": [f"{word}A note."],
        "tables": [
            {
                "by": f"{word}sex",
                "columns": [f"{word}sex"],
                "positive": "yes",
                "overall": group("all", 0.5),
                "groups": [group("men", 0.6), group("women", 0.4), group("others", 0.5, 10)],
                "gaps": [],
                "disparities": [
                    {
                        "name": "demographic_parity_difference",
                        "value": 0.2,
                        "metric": "selection_rate",
                        "lowest": f"{word}women",
                        "highest": f"{word}men",
                        "low": 0.1,
                        "high": 0.3,
                        "is_significant": True,
                    }
                ],
                "four_fifths": {
                    "passed": False,
                    "ratio": 2 / 3,
                    "lowest": f"{word}women",
                    "highest": f"{word}men",
                    "is_significant": True,
                },
                "limits": [
                    {
                        "name": "demographic_parity_difference",
                        "passed": False,
                        "observed": 0.2,
                        "required": 0.1,
                    }
                ],
                "shap_gaps": {
                    "unit": "log-odds",
                    "groups": [
                        {
                            "group": f"{word}women",
                            "n_rows": 100,
                            "difference": -0.3,
                            "low": -0.4,
                            "high": -0.2,
                            "columns": [column],
                        }
                    ],
                },
                "proxies": {
                    "column": f"{word}sex",
                    "metric": "roc_auc",
                    "together": 0.91,
                    "is_input": False,
                    "importance_share": None,
                    "columns": [{"column": "income", "score": 0.8, "importance_share": 0.25}],
                },
                "thresholds": {
                    "costs": {"fp": 1.0, "fn": 5.0, "tp": 0.0, "tn": 0.0},
                    "tolerance": 0.05,
                    "left_out": [f"{word}others"],
                    "thresholds": [0.0, 0.5, 1.0],
                    "groups": {f"{word}men": curve, f"{word}women": curve},
                    "policies": [
                        {
                            "name": "demographic_parity",
                            "thresholds": {f"{word}men": 0.6, f"{word}women": 0.4},
                            "cost": 0.7,
                            "extra_cost": 0.1,
                            "disparities": {"demographic_parity": 0.04},
                        }
                    ],
                },
            }
        ],
    }


def comparison(word: str = "") -> dict[str, Any]:
    """Return what compares two groups of one model."""
    side = {"run_id": "r", "data": "loans@1", "n_rows": 100, "n_total": 200}
    column = {
        "feature": f"{word}income",
        "a": 0.1,
        "b": -0.2,
        "difference": -0.3,
        "low": -0.4,
        "high": -0.2,
        "moved": -0.25,
        "rest": -0.05,
        "values": [
            {"value": f"{word}10 to 20", "share_a": 0.1, "share_b": 0.4, "moved": -0.2},
        ],
        "importance_a": 0.5,
        "importance_b": 0.6,
        "rank_a": 2,
        "rank_b": 1,
        "correlation": None,
    }
    return {
        "a": side | {"label": f"{word}sex women"},
        "b": side | {"label": f"{word}sex all others"},
        "unit": "probability",
        "difference": -0.3,
        "base_difference": 0.0,
        "outcomes": [
            {"measure": "decisions", "a": 0.7, "b": 0.4, "difference": -0.3, "low": -0.4,
             "high": -0.2}
        ],
        "columns": [column],
        "rows": [],
        "sentences": [f"{word}income lowers it by 30 points."],
        "notes": [],
    }  # fmt: skip
