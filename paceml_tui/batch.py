"""Batch: a pipeline file without a screen, with reports that other programs read."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from local_stack.errors import InputError, StackError
from local_stack.results import plain
from paceml_tui import narration, printing
from paceml_tui.opening import Call, open_workspace
from paceml_tui.safe import safe

if TYPE_CHECKING:
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
                write_reports(report, plain(error.result), error)
                write_pages(workspace, report, plain(error.result))
            raise
        if report is not None:
            write_reports(report, plain(result), None)
            write_pages(workspace, report, plain(result))
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


def write_reports(folder: Path, result: dict[str, Any], error: StackError | None) -> None:
    """Write ``report.json``, ``junit.xml`` and ``summary.md`` into ``folder``."""
    document = {"ok": error is None, "command": "batch", "result": result}
    if error is not None:
        document["error"] = plain(error.to_dict())
    _write(folder / "report.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    _write(folder / "junit.xml", _junit(result))
    _write(folder / "summary.md", summary(result) + "\n")


def write_pages(workspace: Workspace, folder: Path, result: dict[str, Any]) -> None:
    """Copy the reports of explained runs into ``folder``, as ``<step>-<name>.html``."""
    from local_stack.stores.artifacts import Blob

    for step in result["steps"]:
        made = step["result"] if isinstance(step["result"], dict) else {}
        pages = [name for name in made.get("artifacts") or () if str(name).endswith(".html")]
        row = workspace.get("explanations", str(made.get("run_id"))) if pages else None
        for name in pages:
            blob = ((row or {}).get("artifacts") or {}).get(name)
            if blob is not None:
                label = re.sub(r"[^A-Za-z0-9_-]+", "-", step["id"])
                text = workspace.artifacts.read(Blob.of(blob)).decode("utf-8")
                _write(folder / f"{label}-{Path(name).name}", text)


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
