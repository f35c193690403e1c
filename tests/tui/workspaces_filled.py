"""A workspace with realistic records of every kind."""

from __future__ import annotations

import math
from typing import Any

from workspaces import NO_PROCESS, add_job, append, at, row

from local_stack.workspace import Workspace


def fill(workspace: Workspace) -> None:
    """Append realistic records of every table."""
    for number, (name, target, n_rows, days) in enumerate(
        (
            ("wine", "quality", 6497, 12),
            ("loans", "default", 24000, 3),
            ("diabetes", "progress", 442, 40),
        )
    ):
        _add_data(workspace, name, target, n_rows, days, f"{number}c4e7a9b13f0")
    for index in range(24):
        _add_run(workspace, index)
    for index in (3, 7):
        _add_explanation(workspace, index)
    _register(workspace)
    _serve(workspace)
    for name, drifted in (("red", True), ("white", False), ("2026-11", True)):
        _add_drift(workspace, name, drifted)
    arguments, output = {"name": "wine"}, profile_result()
    root = workspace.root
    add_job(root, "20261123110000000-aaaaaa", "data.profile", arguments=arguments, output=output)
    add_job(root, "20261123100000000-bbbbbb", "runs.train", "failed", error="No column 'pH2'.")


def _add_data(
    workspace: Workspace, name: str, target: str, n_rows: int, days: float, version: str
) -> None:
    columns = [
        {"name": column, "type": kind, "nullable": nullable}
        for column, kind, nullable in (
            ("fixed acidity", "DOUBLE", False),
            ("volatile acidity", "DOUBLE", True),
            ("citric acid", "DOUBLE", False),
            ("colour", "VARCHAR", False),
            (target, "BIGINT", False),
        )
    ]
    warnings = [
        {
            "code": "missing",
            "column": "volatile acidity",
            "message": "3.1 % of its values are missing.",
        }
    ]
    append(
        workspace,
        "data.added",
        f"data:{name}",
        row(
            "datasets",
            name=name,
            target=target,
            keys=[],
            sensitive=[],
            latest=version,
            n_versions=2,
            contract=1,
            created_at=at(days=days),
            updated_at=at(days=days),
        ),
        row(
            "data_versions",
            dataset=name,
            version=version,
            number=2,
            n_rows=n_rows,
            n_columns=len(columns),
            columns=columns,
            warnings=warnings,
            source=f"sample_data/{name}.csv",
            rejects=0,
            note="",
            actor="ada",
            decisions=_DECISIONS,
            lineage={
                "source": f"sample_data/{name}.csv",
                "command": "data.add",
                "files": [
                    {"name": f"{name}.csv", "size": 84_199, "modified_at": at(days=days + 1)}
                ],
                "original": {"md5": "0f" * 16, "sha256": "1e" * 32, "size": 84_199},
            },
            created_at=at(days=days),
        ),
        row(
            "data_versions",
            dataset=name,
            version=f"{version[::-1]}",
            number=1,
            n_rows=n_rows - 12,
            n_columns=len(columns),
            columns=columns,
            warnings=[],
            source=f"sample_data/{name}-old.csv",
            rejects=3,
            note="the first delivery",
            actor="grace",
            created_at=at(days=days + 30),
        ),
        row("data_tags", dataset=name, tag="reviewed", version=version),
        row(
            "contracts",
            dataset=name,
            number=1,
            document={"dataset": name, "columns": {target: {"type": "long", "nullable": False}}},
            text=f"dataset: {name}\ncolumns:\n  {target}: {{type: long, nullable: false}}\n",
            actor="ada",
            created_at=at(days=days),
        ),
        row(
            "checks",
            dataset=name,
            version=version,
            contract=1,
            passed=name != "loans",
            n_failed=int(name == "loans"),
            checks=_checks(target, is_kept=name != "loans"),
            created_at=at(days=days),
        ),
        version=version,
        rows=n_rows,
    )


_DECISIONS = {
    "file": [
        {"what": "encoding", "value": "utf-8", "reason": "every byte is valid"},
        {"what": "delimiter", "value": ";", "reason": "rows are most alike with it"},
    ],
    "columns": [
        {"name": "colour", "type": "string", "reason": "it holds text such as 'white'"},
    ],
}


def _checks(target: str, *, is_kept: bool) -> list[dict[str, Any]]:
    """Return the verdicts on the contract that every data set here has."""
    common = {"column": target, "severity": "error"}
    return [
        {**common, "code": "type", "passed": True, "observed": "long", "expected": "long",
         "n_failed": 0, "rows": [], "values": [], "message": ""},
        {**common, "code": "null", "passed": is_kept, "observed": None,
         "expected": "no missing value", "n_failed": 0 if is_kept else 2,
         "rows": [] if is_kept else [7, 4211], "values": [] if is_kept else [None, None],
         "message": "" if is_kept else "2 of 24000 are missing; the first is in row 7."},
    ]  # fmt: skip


def run_id(index: int) -> str:
    return f"{index:02x}9f3c1d7e{index:022x}"


def _add_run(workspace: Workspace, index: int) -> None:
    status = ("FINISHED", "FINISHED", "FINISHED", "FAILED", "FINISHED", "KILLED")[index % 6]
    model = ("lightgbm", "elasticnet")[index % 2]
    metrics = {
        "rmse": 0.61 + 0.013 * index,
        "mae": 0.44 + 0.009 * index,
        "r2": 0.52 - 0.011 * index,
    }
    is_good = status == "FINISHED"
    append(
        workspace,
        "runs.ended",
        f"run:{run_id(index)}",
        row(
            "runs",
            run_id=run_id(index),
            name=f"{model}-{index:02d}",
            experiment=("wine-quality", "loan-default")[index // 16],
            experiment_id="1",
            status=status,
            lifecycle="active",
            actor=("ada", "grace")[index % 2],
            started_at=at(hours=3 * index + 1),
            ended_at=at(hours=3 * index + 1, seconds=-42 - index),
            params={"model": model, "num_leaves": str(15 + index), "learning_rate": "0.05"},
            metrics=metrics if is_good else {},
            tags={"mlflow.source.name": "wine-recipe.yaml"},
            datasets=[{"name": "wine", "digest": "0c4e7a9b13f0", "context": "train"}],
            task="regression",
            target="quality",
            artifacts=[{"path": "model/model.txt", "bytes": 182_311}],
            model={"kind": "lightgbm", "sha256": "ab" * 32} if is_good else None,
            error=None if is_good else "The recipe names a column that the data lacks: 'pH2'.",
        ),
        status=status,
    )


def _add_explanation(workspace: Workspace, index: int) -> None:
    names = ("alcohol", "volatile acidity", "sulphates", "total sulfur dioxide", "pH", "density")
    append(
        workspace,
        "explain.made",
        f"run:{run_id(index)}",
        row(
            "explanations",
            run_id=run_id(index),
            dataset="wine",
            version="0c4e7a9b13f0",
            n_rows=1000 if index == 3 else 6497,
            n_total=6497,
            unit="quality",
            base_value=5.818,
            importance=[
                {"feature": name, "mean_abs_shap": round(0.31 * math.exp(-place / 2), 6)}
                for place, name in enumerate(names)
            ],
            additivity_error=3.1e-15,
            created_at=at(hours=index),
        ),
    )


def _register(workspace: Workspace) -> None:
    for name, stages in (
        ("wine-quality", ("Archived", "Production", "Staging", "None")),
        ("loans", ("None",)),
    ):
        for version, stage in enumerate(stages, 1):
            created = at(days=9 - version)
            append(
                workspace,
                "registry.registered",
                f"model:{name}/{version}",
                row(
                    "models",
                    name=name,
                    latest=len(stages),
                    description="",
                    created_at=created,
                    updated_at=created,
                ),
                row(
                    "model_versions",
                    name=name,
                    version=version,
                    stage=stage,
                    run_id=run_id(version),
                    model={"kind": "lightgbm"},
                    actor="ada",
                    created_at=created,
                    updated_at=created,
                ),
                *(
                    [
                        row(
                            "stage_changes",
                            name=name,
                            version=version,
                            at=created,
                            stage=stage,
                            previous="None",
                            actor="grace",
                            reason="beats the version before",
                        )
                    ]
                    if stage != "None"
                    else []
                ),
                version=version,
            )


def _serve(workspace: Workspace) -> None:
    for name, pid, hours, stopped in (
        ("wine-quality", NO_PROCESS, 1, None),
        ("loans", 1, 5, None),
        ("wine-old", NO_PROCESS, 200, at(hours=100)),
    ):
        append(
            workspace,
            "serving.started",
            f"endpoint:{name}",
            row(
                "endpoints",
                name=name,
                model="wine-quality",
                version=2,
                host="127.0.0.1",
                port=8000 + int(hours),
                url=f"http://127.0.0.1:{8000 + int(hours)}",
                pid=pid,
                actor="ada",
                started_at=at(hours=hours),
                stopped_at=stopped,
            ),
            row(
                "prediction_segments",
                endpoint=name,
                segment="000001",
                model="wine-quality",
                version=2,
                n_predictions=4210,
                sha256="cd" * 32,
                first_at=at(hours=hours),
                last_at=at(minutes=20),
            ),
        )


def _add_drift(workspace: Workspace, name: str, drifted: bool) -> None:
    columns = [
        {
            "column": column,
            "type": "num",
            "method": "Wasserstein distance (normed)",
            "score": score if drifted else score / 9,
            "threshold": 0.1,
            "p_value": None,
            "drifted": drifted and score > 0.1,
            "missing_delta": 0.0,
        }
        for column, score in (
            ("alcohol", 0.31),
            ("pH", 0.142),
            ("density", 0.08),
            ("sulphates", 0.011),
        )
    ]
    n_drifted = sum(column["drifted"] for column in columns)
    append(
        workspace,
        "drift.checked",
        f"data:{name}",
        row(
            "drift_reports",
            report=f"report-{name}",
            reference="wine@0c4e7a9b13f0",
            current=f"wine-{name}",
            drifted=drifted,
            share=n_drifted / 4,
            n_drifted=n_drifted,
            n_columns=4,
            n_reference=4898,
            n_current=1599,
            columns=columns,
            created_at=at(hours=len(name)),
        ),
    )


def profile_result(name: str = "alcohol") -> dict[str, Any]:
    """Return what data.profile returns, for one numeric and one text variable."""
    counts = [round(900 * math.exp(-(((place - 14) / 6) ** 2))) for place in range(40)]
    return {
        "overview": {
            "n_rows": 6497,
            "n_columns": 2,
            "p_missing": 0.0312,
            "n_duplicate_rows": 1177,
            "memory_bytes": 640_112,
        },
        "variables": {
            name: {
                "type": "numeric",
                "mean": 10.4918,
                "p_missing": 0.0,
                "n_distinct": 111,
                "histogram": {"edges": list(range(41)), "counts": counts},
            },
            "colour": {
                "type": "text",
                "p_missing": 0.0624,
                "n_distinct": 2,
                "top_values": [{"value": "white", "count": 4898}],
            },
        },
        "alerts": [{"code": "skewed", "column": name, "message": "Its skewness is 5.1."}],
    }
