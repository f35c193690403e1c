"""The demo: a new workspace, the sample loans, and a model's whole life on them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from local_stack import environment
from local_stack.errors import InputError
from local_stack.results import plain
from local_stack.workspace import Workspace
from paceml_tui import narration, printing
from paceml_tui.safe import safe

_PIPELINE = "loans-pipeline.yaml"
_LATER = ("default", "default_known_at")
_N_ASKED = 300


def run(folder: Path, *, is_json: bool = False) -> int:
    """Make a workspace at ``folder`` (or beside it, when that is taken) and fill it with life."""
    root = _free(folder.absolute())
    with Workspace.create(root) as workspace:
        environment.prepare(root / "cache" / "tmp")
        samples = root / "sample_data"
        shutil.copytree(find_samples(), samples, ignore=shutil.ignore_patterns("__pycache__"))
        if not is_json:
            printing.text(f"A new workspace: {root}")
        facts = _live(workspace, samples, _told if not is_json else _untold)
    if is_json:
        printing.result("demo", facts, is_json=True)
        return 0
    printing.text(_closing(root))
    if sys.stdin.isatty() and sys.stdout.isatty() and _wants_app():
        from paceml_tui.app import run as open_app

        return open_app(root, readonly=False)
    return 0


def find_samples() -> Path:
    """Return the folder of the sample data: in the package, or beside it in a checkout."""
    packaged = Path(str(resources.files("paceml_tui"))) / "sample_data"
    beside = packaged.parent.parent / "sample_data"
    for place in (packaged, beside):
        if (place / _PIPELINE).is_file():
            return place
    raise InputError("The sample data is not installed.", "Install PACE-ML again.")


def _live(workspace: Workspace, samples: Path, tell: Callable[[str, Any], None]) -> dict[str, Any]:
    """Run the pipeline, then serve the model, ask it, and look at what came of it."""
    facts: dict[str, Any] = {"workspace": str(workspace.root)}
    pipeline = _step(workspace, "pipeline.run", {"file": str(samples / _PIPELINE)})
    facts["steps"] = {step["id"]: step["result"] for step in pipeline["steps"]}
    for step in pipeline["steps"]:
        tell(step["command"], step["result"])
    endpoint = _step(workspace, "serving.start", {"target": "loans@Production"})
    name = endpoint["endpoint"]
    try:
        tell("serving.start", endpoint)
        first, *others = _applications(workspace)
        asked = _step(workspace, "serving.predict", {"endpoint": name, "row": json.dumps(first)})
        tell("serving.predict", asked)
        _step(workspace, "serving.predict", {"endpoint": name, "row": json.dumps(others)})
        live = _step(workspace, "drift.check", {"name": name, "report_only": True})
        tell("drift.check", live)
    finally:
        _step(workspace, "serving.stop", {"endpoint": name})
    audit = _step(workspace, "audit.verify", {})
    tell("audit.verify", audit)
    return facts | {"endpoint": endpoint, "prediction": asked, "live": live, "audit": audit}


def _step(workspace: Workspace, name: str, arguments: dict[str, Any]) -> Any:
    from local_stack.catalog import call

    with narration.progress(is_quiet=True) as progress:
        return plain(call(workspace, name, arguments, progress=progress))


def _applications(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the first loans of 2025, without what is not known when one applies."""
    from local_stack.catalog import call

    shown = plain(call(workspace, "data.show", {"name": "loans@y2025", "limit": _N_ASKED}))
    names = [column["name"] for column in shown["version"]["schema"]]
    rows = [dict(zip(names, row, strict=True)) for row in shown["rows"]]
    return [{k: v for k, v in row.items() if k not in _LATER} for row in rows]


def _untold(command: str, result: Any) -> None:
    """Say nothing: stdout belongs to the JSON document."""


def _told(command: str, result: Any) -> None:
    text = _SENTENCES[command](result) if command in _SENTENCES else ""
    if text:
        printing.text(f"  {command:<18} {safe(text, 0)}")


def _profiled(result: Any) -> str:
    overview = result["overview"]
    return (
        f"{overview['n_rows']} rows, {overview['n_columns']} columns, "
        f"{overview['p_missing']:.1%} missing, {len(result['alerts'])} alerts"
    )


def _trained(result: Any) -> str:
    found = result["metrics"]
    names = [it for it in ("rmse", "r2", "roc_auc", "log_loss", "accuracy") if it in found][:3]
    best = ", ".join(f"{name} {found[name]:.3f}" for name in names or list(found)[:3])
    return f"run {result['run_id'][:8]}: {best}"


def _explained(result: Any) -> str:
    top = ", ".join(item["feature"] for item in result["importance"][:3])
    exact = f"SHAP values add up to {result['additivity_error']:.0e}"
    return f"most important: {top} (in {result['unit']}, {result['n_rows']} rows; {exact})"


def _drifted(result: Any) -> str:
    dataset = result["dataset"]
    verdict = "DRIFTED" if dataset["drifted"] else "no drift of the data set"
    moved = ", ".join(c["column"] for c in result["columns"] if c["drifted"])
    share = f"{dataset['n_drifted']} of {dataset['n_columns']} columns moved"
    return f"{result['reference']} -> {result['current']}: {verdict}; {share}: {moved or 'none'}"


_SENTENCES: dict[str, Any] = {
    "data.add": lambda r: (
        f"{r['dataset']}@{r['version']}: {r['rows']} rows, {r['columns']} columns"
    ),
    "data.check": lambda r: f"contract {r['contract']} kept: {len(r['checks'])} checks",
    "data.profile": _profiled,
    "runs.train": _trained,
    "explain.model": _explained,
    "registry.register": lambda r: f"{r['name']} version {r['version']}",
    "registry.promote": lambda r: f"{r['name']}/{r['version']} is in {r['stage']}",
    "serving.start": lambda r: f"{r['endpoint']} at {r['url']}",
    "serving.predict": lambda r: f"prediction {r['predictions'][0]} (id {r['prediction_id']})",
    "drift.check": _drifted,
    "audit.verify": lambda r: f"the journal is whole: {r['n_events']} events",
}


def _closing(root: Path) -> str:
    return f"""
The whole life of a model is in {root}.
Where to look next:
  paceml-tui {root}                                  open the app
  paceml-tui runs search --workspace {root}          its runs
  paceml-tui serving start loans --workspace {root}  serve the model again
  paceml-tui audit log --workspace {root}            who did what"""


def _free(folder: Path) -> Path:
    """Return ``folder``, or the first ``folder-2``, ``folder-3``, ... that is not taken."""
    candidate, number = folder, 1
    while candidate.exists() and (not candidate.is_dir() or any(candidate.iterdir())):
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _wants_app() -> bool:
    narration.say("Open the app now? [y/N]")
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False
