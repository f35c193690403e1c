"""Batch: a pipeline file without a screen, with reports that other programs read."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from local_stack.errors import InputError, StackError
from local_stack.results import plain
from paceml_tui import narration, printing
from paceml_tui.opening import Call, open_workspace
from paceml_tui.safe import safe

if TYPE_CHECKING:
    from local_stack.stores.artifacts import Blob
    from local_stack.workspace import Workspace

_MARKS = {"done": "✓", "skipped": "=", "failed": "✗", "not_run": "-"}


def run(call: Call) -> int:
    """Run the pipeline of ``call`` and write its reports; return the exit code."""
    from local_stack.command import pairs
    from local_stack.pipeline import load_pipeline
    from local_stack.pipeline import run as run_pipeline

    file = Path(call.batch or "")
    import_commands()
    load_pipeline(file, pairs(call.sets))  # a bad file is refused before a workspace is made
    report = _report_folder(call.report)
    with open_workspace(call, create=True) as workspace, narration.progress() as progress:
        try:
            result = run_pipeline(workspace, file, set=tuple(call.sets), progress=progress)
        except StackError as error:
            if report is not None and error.result is not None:
                write_reports(workspace, report, plain(error.result), error)
            raise
        if report is not None:
            write_reports(workspace, report, plain(result), None)
    if report is not None:
        narration.say(f"The reports are in {report}.")
    if call.is_json:
        printing.result("batch", result, is_json=True)
    else:
        printing.text(summary(plain(result)))
    return 0


def import_commands() -> None:
    """Declare every command, so that the steps of a file can be checked."""
    from local_stack import catalog

    catalog.commands()


def write_reports(
    workspace: Workspace, folder: Path, result: dict[str, Any], error: StackError | None
) -> None:
    """Write ``report.json``, ``junit.xml``, ``summary.md`` and pages into ``folder``.

    Pages that the report before this one wrote, and that nobody has changed since, are removed
    where this one has none of that name.
    """
    pages = _pages(workspace, result)
    _remove_earlier(folder, pages)
    sums = {name: blob.sha256 for name, blob in pages.items()}
    document = {"ok": error is None, "command": "batch", "result": result, "pages": sums}
    if error is not None:
        document["error"] = plain(error.to_dict())
    _write(folder / "report.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    _write(folder / "junit.xml", _junit(result))
    _write(folder / "summary.md", summary(result) + "\n")
    for name, blob in pages.items():
        _write(folder / name, workspace.artifacts.read(blob).decode("utf-8"))


def _pages(workspace: Workspace, result: dict[str, Any]) -> dict[str, Blob]:
    """Return the reports of explained runs, by the name ``<step>-<name>.html``."""
    from local_stack.stores.artifacts import Blob

    found: dict[str, Blob] = {}
    for step in result["steps"]:
        made = step["result"] if isinstance(step["result"], dict) else {}
        pages = [name for name in made.get("artifacts") or () if str(name).endswith(".html")]
        row = workspace.get("explanations", str(made.get("run_id"))) if pages else None
        for name in pages:
            blob = ((row or {}).get("artifacts") or {}).get(name)
            if blob is not None:
                label = re.sub(r"[^A-Za-z0-9_-]+", "-", step["id"])
                found[f"{label}-{Path(name).name}"] = Blob.of(blob)
    return found


def _remove_earlier(folder: Path, kept: Container[str]) -> None:
    try:
        earlier = json.loads((folder / "report.json").read_bytes())["pages"].items()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return  # there is no report yet, or none that names its pages
    for name, sha256 in earlier:
        path = folder / name
        if name in kept or path.name != name or path.suffix != ".html" or path.is_symlink():
            continue
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            path.unlink()


def summary(result: dict[str, Any]) -> str:
    """Return the result as a Markdown table."""
    verdict = "passed" if result["passed"] else "failed"
    lines = [
        f"## {_markdown(result['name'])}: {verdict} in {result['seconds']:.1f} s",
        "",
        "| | step | command | status | seconds | why |",
        "|---|---|---|---|---:|---|",
    ]
    lines += [
        f"| {_MARKS[step['status']]} | {_markdown(step['id'])} | {step['command']} "
        f"| {step['status']} | {step['seconds']:.1f} | {_markdown(step['reason'])} |"
        for step in result["steps"]
    ]
    return "\n".join(lines)


def _junit(result: dict[str, Any]) -> str:
    steps = result["steps"]
    suite = ElementTree.Element(
        "testsuite",
        name=safe(result["name"]),
        tests=str(len(steps)),
        failures=str(sum(step["status"] == "failed" for step in steps)),
        skipped=str(sum(step["status"] in ("skipped", "not_run") for step in steps)),
        time=str(result["seconds"]),
        timestamp=result["started_at"],
    )
    for step in steps:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            name=safe(step["id"]),
            classname=f"{safe(result['name'])}.{step['command']}",
            time=str(step["seconds"]),
        )
        if step["status"] == "failed":
            kind = safe(step["error"]["code"])
            failure = ElementTree.SubElement(
                case, "failure", type=kind, message=safe(step["reason"], 0)
            )
            failure.text = safe(step["error"]["hint"], 0)
        elif step["status"] != "done":
            ElementTree.SubElement(case, "skipped", message=safe(step["reason"], 0))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _markdown(text: str) -> str:
    shown = safe(text, 0)
    for character in "\\`*_{}[]<>()#+!|~&":
        shown = shown.replace(character, f"\\{character}" if character != "<" else "&lt;")
    return shown


def _report_folder(place: str | None) -> Path | None:
    if place is None:
        return None
    folder = Path(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The report folder {place} cannot be made: {error.strerror}.", "Name another one."
        ) from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"The report folder {place} cannot be written.", "Name another one.")
    return folder


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
