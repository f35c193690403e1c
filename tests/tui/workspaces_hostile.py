"""A workspace whose every text is hostile."""

from __future__ import annotations

from workspaces import HOSTILE, NO_PROCESS, add_job, append, at, row
from workspaces_filled import profile_result

from local_stack.workspace import Workspace


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
