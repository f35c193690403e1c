"""Workspaces for the tests of the app: one with records of every kind, one with hostile ones."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_stack import workspace as workspaces
from local_stack.results import iso
from local_stack.stores import journal
from local_stack.stores.journal import Draft
from local_stack.stores.schema import TABLES
from local_stack.workspace import Workspace
from paceml_tui.tasks import Machine

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
MACHINE = Machine(
    cpu=0.37,
    n_cpus=2,
    memory_used=3_400_000_000,
    memory_total=8_000_000_000,
    disk_free=41_000_000_000,
    disk_total=120_000_000_000,
)
NO_PROCESS = 2**22 + 1
"""No Linux process has this number."""

HOSTILE = (
    "[/nope]\x1b[2J",
    "\x1b]0;owned\x07title",
    "\x1b]52;c;b3duZWQ=\x07",
    "a\u202egnp.exe",
    "zero\u200bwidth\u2060\ufeff",
    "x" * 300,
    "🦀👩‍🔬🏳️‍🌈",
    "機械学習" * 40,
    "\x9b31mC1",
    "tab\tline\nfeed\r\x00nul",
    "Z" + "\u0301" * 60,
    "\ud800lone",
    "[bold red]markup[/]",
    "${jndi:x} %s {0} \\u001b",
)


def at(**before: float) -> str:
    """Return a UTC ISO 8601 time before the frozen now."""
    return iso(NOW - timedelta(**before))


def row(table: str, **values: Any) -> tuple[str, dict[str, Any]]:
    return table, {name: values.get(name) for name in TABLES[table].columns}


def append(workspace: Workspace, kind: str, subject: str, *changes: Any, **body: Any) -> None:
    workspace.append(lambda _: Draft(kind, subject, body, changes))


def create(root: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Make a workspace whose journal is the same on every machine and at every time."""
    ticks = iter(range(10_000))
    monkeypatch.setenv("PACEML_ACTOR", "ada")
    monkeypatch.setattr(
        journal, "now", lambda: iso(NOW - timedelta(seconds=9_000 - next(ticks) * 60))
    )
    monkeypatch.setattr(workspaces.secrets, "token_hex", lambda n: "5a" * n)
    return Workspace.create(root, actor="ada")


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


def add_job(root: Path, job: str, command: str, status: str = "finished", **more: Any) -> None:
    """Write the folder of a job that has ended, as the job runner leaves it."""
    folder = root / "jobs" / job
    folder.mkdir(parents=True)
    asked = {"job": job, "command": command, "arguments": more.get("arguments", {}), "actor": "ada"}
    begun = {"pid": NO_PROCESS, "started_at": at(minutes=50)}
    ended = {"job": job, "status": status, "ended_at": at(minutes=49), "error": more.get("error")}
    step = {"at": at(minutes=49), "label": "writing", "done": 3, "total": 3}
    (folder / "job.json").write_text(json.dumps({**asked, "created_at": at(minutes=50)}))
    (folder / "started.json").write_text(json.dumps(begun))
    (folder / "result.json").write_text(json.dumps(ended))
    (folder / "events.jsonl").write_text(json.dumps(step) + "\n")
    (folder / "log.txt").write_text(more.get("log", "one\ntwo\n"), errors="surrogatepass")
    if "output" in more:
        (folder / "output.json").write_text(json.dumps(more["output"]))


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


def fill_hostile(workspace: Workspace) -> None:
    """Append records whose every text is hostile."""
    for number, text in enumerate(HOSTILE):
        key = text.encode("utf-8", "backslashreplace").decode()
        other = f"{number}{key}"
        changes = [
            row("datasets", name=other, target=key, latest=key, n_versions=1, created_at=key),
            row(
                "data_versions",
                dataset=other,
                version=key,
                n_rows=1,
                n_columns=1,
                columns=[{"name": key, "type": key}],
                warnings=[{"column": key, "message": key}],
                source=key,
                actor=key,
                note=key,
                created_at=key,
            ),
            row("data_tags", dataset=other, tag=key, version=key),
            row(
                "runs",
                run_id=other,
                name=key,
                experiment=key,
                status=key,
                actor=key,
                started_at=key,
                params={key: key},
                metrics={key: key},
                tags={key: key},
                datasets=[{"name": key, "digest": key}],
                artifacts=[{"path": key}],
                model={"kind": key},
                error=key,
            ),
            row("explanations", run_id=other, dataset=key, version=key, unit=key,
                importance=[{"feature": key, "mean_abs_shap": 0.5}, key], created_at=key),
            row("models", name=other, latest=1, description=key),
            row("model_versions", name=other, version=1, stage=key, run_id=other, actor=key,
                model={key: key}, created_at=key),
            row("stage_changes", name=other, version=1, at=key, stage=key, previous=key, actor=key,
                reason=key),
            row("endpoints", name=other, model=key, version=1, url=key, pid=NO_PROCESS, actor=key,
                started_at=at(hours=1)),
            row("prediction_segments", endpoint=other, segment=key, n_predictions=1, last_at=key),
            row("drift_reports", report=other, reference=key, current=key, drifted=True, share=1.0,
                columns=[{"column": key, "method": key, "score": 0.2, "threshold": 0.1,
                          "drifted": True}, key],
                created_at=key),
        ]  # fmt: skip
        append(
            workspace, f"kind{key}", f"subject:{key}", *changes, **{key: {key: [key, {key: key}]}}
        )
        add_job(
            workspace.root,
            f"2026112311{number:04d}00-abcdef",
            key,
            arguments={"name": other, key: key},
            error=key,
            log=f"{key}\n{key}",
            output={key: [key]},
        )
    add_job(
        workspace.root,
        "20261123120000000-abcdef",
        "data.profile",
        arguments={"name": f"0{HOSTILE[0]}"},
        output={
            **profile_result(HOSTILE[0]),
            "alerts": [{"column": text, "message": text} for text in HOSTILE[:4]],
        },
    )


def orders(folder: Path) -> tuple[Path, Path]:
    """Write two deliveries of one table: 60 orders, then what became of them.

    The second lacks order 0, has order 60, two other amounts, one region that was never there,
    a new column, and a line 62 that is too long to be read.
    """
    first, second = folder / "orders-1.csv", folder / "orders-2.csv"
    lines = [
        (n, ("north", "south")[n % 2], 20 + n / 4, f"2026-01-{1 + n % 28:02d}") for n in range(60)
    ]
    later = [
        (n, "west" if n == 7 else region, 99.5 if n in (3, 4) else amount, day, "web")
        for n, region, amount, day in lines[1:]
    ]
    later.append((60, "north", 21.0, "2026-02-01", "web"))
    first.write_text(_csv(["id,region,amount,day"], lines))
    second.write_text(_csv(["id,region,amount,day,channel"], later) + "61,east,1,x,web,too,many\n")
    return first, second


def _csv(head: list[str], lines: list[Any]) -> str:
    return "".join(f"{line}\n" for line in [*head, *(",".join(map(str, it)) for it in lines)])


def fill_orders(workspace: Workspace, folder: Path) -> None:
    """Import both deliveries, learn a contract from the first and check the second against it."""
    from local_stack.catalog import call
    from local_stack.errors import RefusedError

    first, second = orders(folder)
    added = {"name": "orders", "source": str(first), "key": ["id"], "tag": "first"}
    call(workspace, "data.add", added)
    call(workspace, "data.contract", {"name": "orders", "infer": True})
    call(workspace, "data.add", {"name": "orders", "source": str(second), "note": "the second"})
    with pytest.raises(RefusedError):
        call(workspace, "data.check", {"name": "orders"})
