"""Logged predictions: what was answered then, and whether the same bits come out again.

A prediction is made again by exactly the version that the log names, its files checked, from the
logged rows of its request, on the way that the endpoint took. Where it cannot be, or where bits
differ, that is said, with what is known of why.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import InputError, StackError
from local_stack.explain.single import RowExplainer, background_columns, predicted
from local_stack.registry import load, resolve
from local_stack.results import Result, plain
from local_stack.stores.prediction_segments import PredictionSegments, Request
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.registry import ModelVersion
    from local_stack.stores.model import Model

_ALWAYS: Final = ("paceml-tui", "numpy", "scipy")
_BY_KIND: Final = {
    "sklearn": ("scikit-learn", "skops"),
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "catboost": ("catboost",),
}


@dataclass(frozen=True, slots=True)
class Logged(Result):
    """A prediction as the log has it. ``row`` holds the raw columns as JSON values.

    ``run_id`` is the run of the model version, '' where the registry does not know it;
    ``explanation`` is what was given with the prediction, if any; ``environment`` names the
    versions of libraries and the processor of the server, empty for those of old servers.
    """

    prediction_id: str
    endpoint: str
    at: str
    model: str
    version: int
    run_id: str
    row: dict[str, Any]
    prediction: Any
    explanation: dict[str, Any] | None
    environment: dict[str, str]

    @property
    def target(self) -> str:
        """Return ``NAME/VERSION``."""
        return f"{self.model}/{self.version}"


@dataclass(frozen=True, slots=True)
class Recalled(Result):
    """A logged prediction, made and explained again.

    ``is_equal`` and ``is_explanation_equal`` compare with the log to the last bit; None where
    there is nothing to compare. ``notes`` say in sentences what differs or cannot be done.
    """

    logged: Logged
    prediction: Any
    is_equal: bool | None
    explanation: dict[str, Any] | None
    is_explanation_equal: bool | None
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def logged(workspace: Workspace, prediction_id: str) -> Logged:
    """Return a prediction of any endpoint by its id.

    Raises
    ------
    NotFoundError
        With the nearest id, or what an id looks like.
    DamagedError
        The log is not what was recorded of it.
    """
    return _told(workspace, _request(workspace, prediction_id))


def recalled(workspace: Workspace, prediction_id: str) -> Recalled:
    """Return a logged prediction with what its model says of the row now.

    Raises
    ------
    NotFoundError, DamagedError
        As :func:`logged`; what is wrong with the model is said in the notes.
    """
    request = _request(workspace, prediction_id)
    found = _told(workspace, request)
    try:
        version = resolve(workspace, found.target)
        model = load(workspace, version.model)
        rows, again = _again(model, request)
    except StackError as error:
        note = f"The prediction cannot be made again with {found.target}: {error.message}"
        return Recalled(found, None, None, None, None, (), (note,))
    said = plain(again[request.place])
    is_equal = _is_same(said, found.prediction)
    notes = []
    if not is_equal:
        notes.append(
            f"{found.target} now predicts {said!r:.60}, where {found.prediction!r:.60} was logged."
        )
    background, lacks = _background(workspace, version, model)
    try:
        explainer = RowExplainer(model, background)
        unit = (found.explanation or {}).get("unit")
        told = explainer.explain(rows[request.place], again[request.place], unit)
    except StackError as error:
        why = f"The prediction cannot be explained again: {error.message}{lacks}"
        notes = [*_causes(found, model, notes), why]
        return Recalled(found, said, is_equal, None, None, (), tuple(notes))
    explanation = told.logged()
    is_explained = None
    if found.explanation is not None:
        is_explained = _is_same(explanation, _renamed(found.explanation, told.unit))
        if not is_explained:
            notes.append(f"Its explanation differs from the logged one{_by(found, explanation)}.")
    return Recalled(
        logged=found,
        prediction=said,
        is_equal=is_equal,
        explanation=explanation,
        is_explanation_equal=is_explained,
        reasons=told.reasons,
        notes=_causes(found, model, notes),
    )


def environment() -> dict[str, str]:
    """Return what decides the bits of a prediction here: versions of libraries, and the machine."""
    from local_stack.runs.provenance import processor

    found = {"python": platform.python_version()}
    for name in (*_ALWAYS, *(it for names in _BY_KIND.values() for it in names)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found | {"machine": platform.machine(), "processor": processor()}


def _request(workspace: Workspace, prediction_id: str) -> Request:
    return PredictionSegments(workspace.root, workspace.query).find(prediction_id)


def _told(workspace: Workspace, request: Request) -> Logged:
    line = request.line
    row = workspace.get("model_versions", line["model"], line["version"])
    return Logged(
        prediction_id=line["id"],
        endpoint=request.endpoint,
        at=line["at"],
        model=line["model"],
        version=line["version"],
        run_id=row["run_id"] if row else "",
        row=line["row"],
        prediction=line["prediction"],
        explanation=line.get("explanation"),
        environment=_environment_then(workspace, request.endpoint, line["at"]),
    )


def _environment_then(workspace: Workspace, endpoint: str, at: str) -> dict[str, str]:
    """Return the environment of the server that was the last to start before a time."""
    events = workspace.query(
        "SELECT body FROM events WHERE kind = 'serving.started' AND subject = ? ORDER BY seq",
        f"endpoint:{endpoint}",
    )
    bodies = [it["body"] for it in events if it["body"].get("started_at", "9") <= at]
    return dict(bodies[-1].get("environment", {})) if bodies else {}


def _again(model: Model, request: Request) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the validated rows of a request, and what the model says of them."""
    given = [line["row"] for line in request.lines]
    names = [column.name for column in model.inputs]
    for row in given:
        if row.keys() != {*names}:
            odd = next(it for it in (*names, *row) if (it in row) != (it in names))
            said = "holds also" if odd in row else "lacks"
            raise InputError(f"The logged row {said} a column '{odd[:80]}', unlike the model.")
    columns = model.preparation.validate({it: [row.get(it) for row in given] for it in names})
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return rows, predicted(model, rows, columns)


def _background(
    workspace: Workspace, version: ModelVersion, model: Model
) -> tuple[dict[str, list[Any]] | None, str]:
    """Return training rows; where they cannot be had, None (trees do without) and why."""
    from local_stack.runs.records import find_run

    try:
        run = find_run(workspace, version.run_id)
        return background_columns(workspace, run, model.inputs), ""
    except StackError as error:
        return None, f" ({error.message})"


def _is_same(now: Any, then: Any) -> bool:
    """Return whether plain values are equal in type and bit, -0.0 and 0.0 told apart."""
    return repr(now) == repr(then)


def _renamed(explanation: dict[str, Any], unit: str) -> dict[str, Any]:
    """Return a logged explanation under the name that its unit has now."""
    from local_stack.explain.attributing.attributions import LOG_ODDS, LOG_ODDS_BEFORE

    is_older = (explanation.get("unit"), unit) == (LOG_ODDS, LOG_ODDS_BEFORE)
    return explanation | {"unit": unit} if is_older else explanation


def _by(found: Logged, explanation: Mapping[str, Any]) -> str:
    """Return by how much values differ at most, as far as they can be compared."""
    assert found.explanation is not None
    then, now = found.explanation.get("contributions", {}), explanation["contributions"]
    pairs = [(then[name], now[name]) for name in now if name in then]
    sizes = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    return f", by {max(sizes):.3g} at most" if sizes and len(pairs) == len(then) else ""


def _causes(found: Logged, model: Model, notes: list[str]) -> tuple[str, ...]:
    """Return notes with what is another now than it was then, where bits differ."""
    if not notes:
        return ()
    if not found.environment:
        return (*notes, "The versions of libraries of that time were not recorded.")
    now = environment()
    names = ("python", *_ALWAYS, *_BY_KIND[model.kind], "machine", "processor")
    moved = [
        f"{name} was {found.environment.get(name, 'absent')}, now {now.get(name, 'absent')}"
        for name in names
        if found.environment.get(name) != now.get(name)
    ]
    return (*notes, f"{'; '.join(moved)}." if moved else "Libraries and machine are as they were.")
