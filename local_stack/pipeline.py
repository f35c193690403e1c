"""Pipelines: commands as steps in one file; cached, resumable, and judged by an exit code.

The whole file is validated before the first step runs. A step is skipped when a step with the
same fingerprint has ended well before: command, arguments, bytes of the files it names, the
records it reads (see ``reads`` of :func:`local_stack.command.command`), and the versions of
PACE-ML and of the libraries that compute; and when the run that it made is not deleted.
"""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from local_stack import marked_yaml
from local_stack.command import Command, JsonText, Location, command, find, pairs
from local_stack.errors import InputError, StackError, nearest
from local_stack.marked_yaml import Node
from local_stack.names import label
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now, plain
from local_stack.runs.relation import RUNS
from local_stack.stores.artifacts import digest
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace

Status = Literal["done", "skipped", "failed", "not_run"]
_TOP = ("name", "params", "steps", "on_failure")
_STEP = ("id", "needs", "when")
_LIBRARIES = ("paceml-tui", "duckdb", "polars", "scikit-learn", "lightgbm", "shap", "numpy")
_REFERENCE = re.compile(r"\$\{([^{}]+)\}")
_COMPARISON = re.compile(r"^(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*)$", re.DOTALL)
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class StepResult(Result):
    """How one step went. ``reason`` says why it was skipped or not run."""

    id: str
    command: str
    status: Status
    reason: str
    seconds: float
    result: Any
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class PipelineResult(Result):
    """How a pipeline went, step by step."""

    name: str
    passed: bool
    steps: tuple[StepResult, ...]
    seconds: float
    started_at: str


@dataclass(frozen=True, slots=True)
class _Planned:
    id: str
    command: Command
    arguments: Node
    needs: tuple[str, ...]
    when: str | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A validated pipeline file."""

    name: str
    folder: Path
    params: dict[str, Any]
    steps: tuple[_Planned, ...]
    notify: tuple[str, ...] = field(default=())


@command("pipeline.run", writes=True, is_long=True, example="paceml-tui --batch pipeline.yaml")
def run(
    workspace: Workspace,
    file: Path,
    *,
    set: tuple[str, ...] = (),
    progress: Progress = silent,
) -> PipelineResult:
    """Run the steps of a pipeline file; stop at the first one that fails.

    Parameters
    ----------
    file
        Pipeline file (YAML).
    set
        Value for a parameter of the file, as key=value; repeat it for more.
    """
    pipeline = load_pipeline(file, pairs(set))
    started, started_at = time.monotonic(), now()
    done: list[StepResult] = []
    failure: StackError | None = None
    for number, step in enumerate(pipeline.steps):
        progress(Step(f"{step.id}: {step.command.name}", number, len(pipeline.steps)))
        outcome, error = _run_step(workspace, pipeline, step, done, failure, progress)
        done.append(outcome)
        failure = failure or error
    progress(Step(pipeline.name, len(pipeline.steps), len(pipeline.steps)))
    seconds = round(time.monotonic() - started, 3)
    result = PipelineResult(pipeline.name, failure is None, tuple(done), seconds, started_at)
    if failure is not None:
        _notice(workspace, pipeline, result, failure)
        failure.result = result
        raise failure
    return result


def load_pipeline(file: Path, sets: Mapping[str, str]) -> Pipeline:
    """Read and validate a pipeline file.

    Raises
    ------
    InputError
        Naming the line and the nearest valid word for every unknown key, step or reference.
    """
    value, lines = marked_yaml.read(file)
    root = Node(value, lines)
    top = root.fields(_TOP, ("steps",))
    params = top["params"].mapping() if "params" in top else {}
    for key in sets:
        if key not in params:
            raise InputError(
                f"--set {key}: {file.name} has no parameter '{key}'.",
                nearest(key, params) or f"Its parameters are: {', '.join(params) or 'none'}.",
            )
    values = {key: node.value for key, node in params.items()}
    values |= {key: marked_yaml.resolve(text) for key, text in sets.items()}
    steps: list[_Planned] = []
    for position, node in enumerate(top["steps"].items()):
        steps.append(_planned(node, position, values, steps))
    if not steps:
        raise top["steps"].error("a pipeline needs at least one step.")
    name = top["name"].text(120) if "name" in top else file.stem
    return Pipeline(label(name, "pipeline name"), file.parent, values, tuple(steps), _notify(top))


def _planned(
    node: Node, position: int, params: Mapping[str, Any], before: Sequence[_Planned]
) -> _Planned:
    members = node.mapping()
    names = [key for key in members if key not in _STEP]
    if len(names) != 1:
        raise node.error(
            f"a step needs one command, and has {', '.join(names) or 'none'}.",
            "Write it as: - data.add: {name: wine, source: wine.csv}",
        )
    try:
        verb = find(names[0])
    except InputError as error:
        raise members[names[0]].error(error.message, error.hint) from None
    arguments = members[names[0]]
    given = arguments.mapping() if arguments.value is not None else {}
    _check_arguments(verb, arguments, given)
    identity = members["id"].text(60) if "id" in members else f"{position + 1}-{verb.name}"
    known = [step.id for step in before]
    if identity in known:
        raise members["id"].error(f"two steps have the id '{identity}'.")
    needs = tuple(item.text(60) for item in members["needs"].items()) if "needs" in members else ()
    for need in needs:
        if need not in known:
            raise members["needs"].error(
                f"there is no step '{need}' above this one.", nearest(need, known)
            )
    when = members.get("when")
    for place in (arguments, *([when] if when else [])):
        _check_references(place, place.value, params, known)
    return _Planned(identity, verb, arguments, needs, str(when.value) if when else None)


def _check_arguments(verb: Command, place: Node, given: Mapping[str, Node]) -> None:
    known = {parameter.name: parameter for parameter in verb.parameters}
    for key, node in given.items():
        if key not in known:
            raise node.error(
                f"'{key}' is not a parameter of {verb.name}.",
                nearest(key, known) or f"It takes: {', '.join(known)}.",
            )
        is_mapping, is_list = isinstance(node.value, dict), isinstance(node.value, list)
        takes_one = not known[key].is_repeated
        if (is_mapping and known[key].kind is not JsonText) or (is_list and takes_one):
            noun = "mapping" if is_mapping else "list"
            raise node.error(f"'{key}' needs one value, not a {noun}.", f"Example: {verb.example}")
    missing = [key for key, p in known.items() if p.is_required and key not in given]
    if missing:
        raise place.error(f"{verb.name} needs {', '.join(missing)}.", f"Example: {verb.example}")


def _check_references(
    place: Node, value: Any, params: Mapping[str, Any], known: Sequence[str]
) -> None:
    for text in _texts(value):
        for reference in _REFERENCE.findall(text):
            head = reference.partition(".")[0]
            if reference not in params and head not in known:
                choices = [*params, *known]
                raise place.error(
                    f"'${{{reference}}}' names neither a parameter nor a step above.",
                    nearest(head, choices) or f"There are: {', '.join(choices) or 'none'}.",
                )


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def _notify(top: Mapping[str, Node]) -> tuple[str, ...]:
    if "on_failure" not in top:
        return ()
    return tuple(
        entry.fields(("notify",), ("notify",))["notify"].text(120)
        for entry in top["on_failure"].items()
    )


def _run_step(
    workspace: Workspace,
    pipeline: Pipeline,
    step: _Planned,
    done: Sequence[StepResult],
    failure: StackError | None,
    progress: Progress,
) -> tuple[StepResult, StackError | None]:
    began = time.monotonic()

    def outcome(status: Status, reason: str, result: Any = None, error: Any = None) -> StepResult:
        seconds = round(time.monotonic() - began, 3)
        return StepResult(step.id, step.command.name, status, reason, seconds, result, error)

    hindrance = _hindrance(step, done, failure)
    if hindrance:
        return outcome("not_run", hindrance), None
    try:
        values = {**pipeline.params, **{s.id: s.result for s in done}}
        if step.when is not None and not _holds(step.when, values):
            return outcome("not_run", f"when: {step.when}"), None
        arguments = _arguments(step, values, pipeline.folder)
        earlier = _earlier(workspace, step, arguments)
        if earlier is not None:
            reason = f"unchanged since {earlier['created_at'][:19]}Z"
            return outcome("skipped", reason, earlier["result"]), None
        result = plain(_call(workspace, step.command, arguments, progress))
        _remember(workspace, pipeline, step, arguments, result)
        return outcome("done", "", result), None
    except StackError as error:
        return outcome("failed", error.message, plain(error.result), error.to_dict()), error


def _hindrance(step: _Planned, done: Sequence[StepResult], failure: StackError | None) -> str:
    if failure is not None:
        return "an earlier step failed"
    for earlier in done:
        if earlier.id in step.needs and earlier.status == "not_run":
            return f"it needs {earlier.id}, which was not run"
    return ""


def _call(
    workspace: Workspace, verb: Command, arguments: Mapping[str, Any], progress: Progress
) -> Any:
    values = verb.coerce(dict(arguments))
    first = [values.pop(p.name) for p in verb.parameters if p.is_positional and p.name in values]
    return verb.call(workspace, *first, **values, progress=progress)


def _arguments(step: _Planned, values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the step's arguments with references filled in and paths resolved."""
    filled = _filled(step.arguments.value or {}, values)
    for parameter in step.command.parameters:
        given = filled.get(parameter.name)
        if parameter.kind in (Path, Location) and isinstance(given, str):
            filled[parameter.name] = _located(given, folder)
    return dict(filled)


def _located(text: str, folder: Path) -> str:
    """Resolve a path against the folder of the pipeline file, then the working directory.

    What exists in neither stays as it is: it may be a URL or a data version.
    """
    beside = folder / text
    return str(beside) if "://" not in text and beside.exists() else text


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _looked_up(whole[1], values)
    return _REFERENCE.sub(lambda match: str(_looked_up(match[1], values)), value)


def _looked_up(reference: str, values: Mapping[str, Any]) -> Any:
    if reference in values:
        return values[reference]
    found: Any = values
    for word in reference.split("."):
        if not isinstance(found, Mapping) or word not in found:
            choices = list(found) if isinstance(found, Mapping) else []
            raise InputError(
                f"'${{{reference}}}': there is no '{word}' in the result of that step.",
                nearest(word, choices) or f"It has: {', '.join(choices)}.",
            )
        found = found[word]
    return found


def _holds(condition: str, values: Mapping[str, Any]) -> bool:
    """Evaluate ``when``: a comparison of two values, or one value taken as true or false."""
    parts = _COMPARISON.match(condition)
    if parts is None:
        return bool(_operand(condition, values))
    left, right = _operand(parts[1], values), _operand(parts[3], values)
    try:
        return bool(_OPERATORS[parts[2]](left, right))
    except TypeError:
        raise InputError(
            f"when: {condition}: these two values cannot be compared.", "Compare two numbers."
        ) from None


def _operand(text: str, values: Mapping[str, Any]) -> Any:
    filled = _filled(text.strip(), values)
    return marked_yaml.resolve(filled) if isinstance(filled, str) else filled


def _earlier(
    workspace: Workspace, step: _Planned, arguments: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    print_ = _fingerprint(workspace, step.command, arguments)
    row = workspace.get("steps", print_) if print_ else None
    return None if row is None or _is_gone(workspace, step.command, row["result"]) else row


def _is_gone(workspace: Workspace, verb: Command, result: Mapping[str, Any]) -> bool:
    """Return whether the run that a step made is deleted; versions of data that it made stay."""
    run_id = result.get("run_id")
    if run_id is None or not verb.name.startswith("runs."):  # others only name a run they read
        return False
    rows = workspace.query(
        f"SELECT lifecycle FROM {RUNS} WHERE run_id = ?",  # noqa: S608 - our own name
        run_id,
    )
    return not rows or rows[0]["lifecycle"] == "deleted"


def _remember(
    workspace: Workspace,
    pipeline: Pipeline,
    step: _Planned,
    arguments: Mapping[str, Any],
    result: Any,
) -> None:
    """Record the step under the fingerprint of the state that it left behind."""
    print_ = _fingerprint(workspace, step.command, arguments)
    if not print_:
        return
    row = {
        "fingerprint": print_,
        "pipeline": pipeline.name,
        "step": step.id,
        "command": step.command.name,
        "result": result,
        "created_at": now(),
    }
    body = {"step": step.id, "command": step.command.name, "fingerprint": print_}
    workspace.append(
        lambda _: Draft("pipeline.step_done", f"pipeline:{pipeline.name}", body, [("steps", row)])
    )


def _fingerprint(workspace: Workspace, verb: Command, arguments: Mapping[str, Any]) -> str:
    """Return the identity of a step's inputs, or '' when its inputs cannot be identified."""
    if verb.reads is None:
        return ""
    files: dict[str, str] = {}
    for parameter in verb.parameters:
        given = arguments.get(parameter.name)
        if parameter.kind in (Path, Location) and given is not None:
            if not Path(str(given)).is_file():
                if parameter.kind is Path or "://" in str(given):
                    return ""
                continue  # a data version; what the verb reads identifies it
            with Path(str(given)).open("rb") as stream:
                files[parameter.name] = digest(stream).sha256
    try:
        read = verb.reads(workspace, arguments)
    except StackError:  # what it reads does not exist yet
        return ""
    content = [verb.name, dict(arguments) | files, plain(read), _library_versions()]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@functools.cache
def _library_versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "source"
    return found


def _notice(
    workspace: Workspace, pipeline: Pipeline, result: PipelineResult, failure: StackError
) -> None:
    failed = next(step.id for step in result.steps if step.status == "failed")
    body = {"step": failed, "error": failure.to_dict(), "notify": list(pipeline.notify)}
    try:
        workspace.append(
            lambda _: Draft("pipeline.failed", f"pipeline:{pipeline.name}", plain(body))
        )
    except StackError:  # the failure itself is what the caller must hear of
        return
