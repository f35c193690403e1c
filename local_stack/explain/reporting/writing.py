"""The figures and the page of an explanation, as files that are stored with its run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.explain.reporting import figures, page
from local_stack.explain.reporting.examples import examples
from local_stack.stores.artifacts import Blob

if TYPE_CHECKING:
    import polars as pl

    from local_stack.explain.attributing.attributions import Attributions
    from local_stack.explain.effects.parts import Explained
    from local_stack.explain.subject import Subject
    from local_stack.workspace import Workspace

REPORT: Final = "report.html"


def write(
    workspace: Workspace,
    subject: Subject,
    explained: Explained,
    frame: pl.DataFrame,
    found: Attributions,
    folder: Path,
) -> Path:
    """Write the figures and the page into ``folder``, which exists; return the page.

    Parameters
    ----------
    frame, found
        The explained rows, and their SHAP values in all outputs.
    """
    figures.draw(explained, folder)
    drawn = found.of_output(found.outputs.index(explained.explanation.output))
    content = page.html(
        explained,
        name=_name(workspace, subject),
        fairness=fairness_of(workspace, subject.run_id),
        rows=examples(subject, frame, drawn),
    )
    (folder / REPORT).write_text(content, encoding="utf-8")
    return folder / REPORT


def _name(workspace: Workspace, subject: Subject) -> str:
    """Return the first registered version of the model, else the name of its run."""
    found = workspace.query(
        "SELECT name, version FROM model_versions WHERE run_id = ? ORDER BY name, version LIMIT 1",
        subject.run_id,
    )
    if found:
        return f"{found[0]['name']}/{found[0]['version']}"
    return str(subject.run.get("name") or "")


def fairness_of(workspace: Workspace, run_id: str) -> Mapping[str, Any] | None:
    """Return the latest fairness result that is stored for a run, as JSON has it."""
    stored = workspace.query(
        "SELECT artifacts FROM fairness WHERE run_id = ? ORDER BY created_at DESC LIMIT 1", run_id
    )
    for blob in (stored[0]["artifacts"] or {}).values() if stored else ():
        found: Mapping[str, Any] = json.loads(workspace.artifacts.read(Blob.of(blob)))
        return found
    return None
