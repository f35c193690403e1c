"""The verbs of serving: start, stop, look at and ask the endpoints of a workspace."""

from __future__ import annotations

import dataclasses
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from local_stack import registry
from local_stack.command import command
from local_stack.errors import (
    ConflictError,
    InputError,
    NotFoundError,
    StackError,
    UnavailableError,
    nearest,
)
from local_stack.explain.recalling import environment
from local_stack.explain.single import background_columns
from local_stack.names import label, slug
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now
from local_stack.runs.records import find_run
from local_stack.serving import client, meter, prediction_log, process
from local_stack.serving.folder import (
    EndpointConfig,
    EndpointState,
    configs,
    folder_of,
    holder,
    is_loopback,
    only_one,
    read_config,
    write_background,
    write_json,
)
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.registry import ModelVersion

Status = Literal["starting", "running", "unresponsive", "dead", "stopped"]
"""``dead``: the server ended without being asked to; ``unresponsive``: it lives, silently."""


@dataclass(frozen=True, slots=True)
class Endpoint(Result):
    """An endpoint and the model version that it serves. Times are UTC ISO 8601."""

    endpoint: str
    url: str | None
    pid: int | None
    model: str
    model_version: int
    stage: str
    run_id: str
    status: Status
    started_at: str | None
    stopped_at: str | None


@dataclass(frozen=True, slots=True)
class EndpointList(Result):
    """Every endpoint of the workspace, by name."""

    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class EndpointStatus(Endpoint):
    """An endpoint with its live numbers; those are None unless it runs.

    Latencies are in milliseconds and estimated inside histogram buckets.
    """

    n_requests: int | None = None
    n_errors: int | None = None
    n_predictions: int | None = None
    n_in_flight: int | None = None
    uptime_seconds: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    n_threads: int | None = None


@dataclass(frozen=True, slots=True)
class EndpointLog(Result):
    """The last lines of what a server wrote."""

    endpoint: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prediction(Result):
    """The answer of an endpoint. ``ms`` is the whole round trip in milliseconds."""

    endpoint: str
    predictions: list[Any]
    prediction_id: str
    model: str
    version: int
    ms: float


@command(
    "serving.start",
    writes=True,
    is_long=True,
    example="paceml-tui serving start wine-quality@Production --port 5001",
)
def start(
    workspace: Workspace,
    target: str,
    *,
    name: str | None = None,
    port: int | None = None,
    host: str | None = None,
    foreground: bool = False,
    progress: Progress = silent,
) -> Endpoint:
    """Start a REST endpoint for one model version.

    Parameters
    ----------
    target
        Registered model as NAME (its Production version), NAME@STAGE or NAME/VERSION.
    name
        Name of the endpoint; made from the model's name when left out.
    port
        Port to listen on; 0 takes a free one.
    host
        Address to listen on; loopback only for now.
    foreground
        Wait until the endpoint ends, and stop it on interrupt.
    """
    version = registry.resolve(workspace, target, stage="Production")
    chosen = workspace.settings.serving
    config = EndpointConfig(
        endpoint=slug(version.name) if name is None else label(name, "endpoint name"),
        model=version.name,
        version=version.version,
        stage=version.stage,
        run_id=version.run_id,
        host=_loopback(chosen.host if host is None else host),
        port=_port(chosen.port if port is None else port),
        model_folder=f"model-{version.model.manifest.sha256[:12]}",
        files={path: blob.sha256 for path, blob in version.model.members.items()},
        max_rows=chosen.max_rows,
        max_explained_rows=chosen.max_explained_rows,
        max_body_bytes=chosen.max_body_bytes,
        request_seconds=chosen.request_seconds,
        actor=workspace.actor,
    )
    folder = folder_of(workspace.root, config.endpoint)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_one(folder, config.endpoint):
        _refuse_running(folder, config.endpoint)
        progress(Step(f"Preparing endpoint {config.endpoint}"))
        prediction_log.adopt(workspace, config.endpoint)
        config = _lay_out(workspace, folder, config, version)
        progress(Step(f"Starting endpoint {config.endpoint}"))
        state = process.spawn(folder, config.endpoint, progress)
        try:
            _record_start(workspace, config, state)
        except BaseException:  # no server without a record of it
            process.end(folder, config.endpoint, silent)
            raise
    if foreground:
        try:
            process.wait_for_end(folder, config.endpoint, progress)
        finally:
            stop(workspace, config.endpoint)
    return _endpoint(workspace, folder, config)


@command("serving.stop", writes=True, example="paceml-tui serving stop wine-quality")
def stop(workspace: Workspace, endpoint: str, *, progress: Progress = silent) -> Endpoint:
    """Stop an endpoint after it has answered what it has begun; stopping it again is no error.

    Parameters
    ----------
    endpoint
        Name of the endpoint.
    """
    folder, config = _find(workspace, endpoint)
    with only_one(folder, endpoint):
        was_killed = process.end(folder, endpoint, progress)
        prediction_log.adopt(workspace, endpoint)
        _record_stop(workspace, endpoint, was_killed)
    return _endpoint(workspace, folder, config)


@command("serving.list", example="paceml-tui serving list")
def listing(workspace: Workspace, *, progress: Progress = silent) -> EndpointList:
    """List the endpoints of the workspace and whether each one runs."""
    found = (_endpoint(workspace, folder, config) for folder, config in configs(workspace.root))
    return EndpointList(tuple(found))


@command("serving.status", example="paceml-tui serving status wine-quality")
def status(workspace: Workspace, endpoint: str, *, progress: Progress = silent) -> EndpointStatus:
    """Show an endpoint with its requests, latencies, errors, memory and uptime.

    Parameters
    ----------
    endpoint
        Name of the endpoint.
    """
    folder, config = _find(workspace, endpoint)
    found = _endpoint(workspace, folder, config)
    facts = {name: getattr(found, name) for name in Endpoint.__slots__}
    live: dict[str, Any] = {}
    if found.status == "running" and found.pid is not None and found.url is not None:
        live = _process_facts(found.pid) | _numbers(found.url)
    return EndpointStatus(**facts, **live)


@command("serving.log", example="paceml-tui serving log wine-quality --lines 50")
def log(
    workspace: Workspace, endpoint: str, *, lines: int = 50, progress: Progress = silent
) -> EndpointLog:
    """Show the last lines that the server of an endpoint wrote.

    Parameters
    ----------
    endpoint
        Name of the endpoint.
    lines
        How many lines to show.
    """
    folder, _ = _find(workspace, endpoint)
    return EndpointLog(endpoint, tuple(process.log_tail(folder, lines)))


@command(
    "serving.predict",
    example="""paceml-tui serving predict wine-quality --row '{"alcohol": 9.4, "pH": 3.5}'""",
)
def predict(
    workspace: Workspace, endpoint: str, *, row: str, progress: Progress = silent
) -> Prediction:
    """Ask a running endpoint for the prediction of a row, over HTTP as any client does.

    Parameters
    ----------
    endpoint
        Name of the endpoint.
    row
        JSON object from column to value, or a list of them.
    """
    folder, config = _find(workspace, endpoint)
    body = client.request_body(row)
    found = _endpoint(workspace, folder, config)
    if found.url is None or found.status != "running":
        raise UnavailableError(
            f"Endpoint '{endpoint}' is {found.status}.",
            f"Start it: paceml-tui serving start {config.target} --name {endpoint}",
        )
    started = time.perf_counter()
    code, headers, answer = client.request(found.url, "POST", "/invocations", body, seconds=30)
    elapsed = (time.perf_counter() - started) * 1000
    document = client.meaning(endpoint, code, answer)
    return Prediction(
        endpoint,
        document["predictions"],
        headers["x-paceml-prediction-id"],
        config.model,
        int(headers["x-paceml-model"].rpartition("/")[2]),
        round(elapsed, 3),
    )


# --- starting


def _loopback(host: str) -> str:
    if not is_loopback(host):
        raise InputError(
            f"'{host}' is not an address of this machine only.",
            "Endpoints have no keys yet, so they listen on 127.0.0.1; put a proxy before them.",
        )
    return "127.0.0.1" if host == "localhost" else host.strip("[]")


def _port(port: int) -> int:
    if not 0 <= port <= 65535:
        raise InputError(f"{port} is not a port.", "Name one from 1 to 65535, or 0 for a free one.")
    return port


def _refuse_running(folder: Path, endpoint: str) -> None:
    pid = holder(folder)
    if pid is not None:
        state = EndpointState.read(folder)
        where = f" at {state.url}" if state else ""
        raise ConflictError(
            f"Endpoint '{endpoint}' is already running{where} (process {pid}).",
            f"Stop it first: paceml-tui serving stop {endpoint}, or give another --name.",
        )


def _lay_out(
    workspace: Workspace, folder: Path, config: EndpointConfig, version: ModelVersion
) -> EndpointConfig:
    """Write the model's checked files, its background and the configuration into the folder."""
    target = folder / config.model_folder
    for old in folder.glob("model-*"):
        shutil.rmtree(old)
    target.mkdir(mode=0o700)
    workspace.artifacts.checkout(version.model, target)
    config = dataclasses.replace(config, background=_background(workspace, folder, config))
    write_json(folder / "endpoint.json", config)
    return config


def _background(workspace: Workspace, folder: Path, config: EndpointConfig) -> str:
    """Write the training rows that explanations need; without them only trees are explained."""
    from local_stack.stores.model_record import inputs_in

    try:
        run = find_run(workspace, config.run_id)
        columns = background_columns(workspace, run, inputs_in(folder / config.model_folder))
    except StackError:
        return ""
    return write_background(folder, columns)


def _record_start(workspace: Workspace, config: EndpointConfig, state: EndpointState) -> None:
    row = {
        "name": config.endpoint,
        "model": config.model,
        "version": config.version,
        "host": state.host,
        "port": state.port,
        "url": state.url,
        "pid": state.pid,
        "actor": workspace.actor,
        "started_at": state.started_at,
        "stopped_at": None,
    }
    body = {
        "model": config.model,
        "version": config.version,
        "url": state.url,
        "pid": state.pid,
        "started_at": state.started_at,
        "environment": environment(),
    }
    subject = f"endpoint:{config.endpoint}"
    workspace.append(lambda _: Draft("serving.started", subject, body, [("endpoints", row)]))


# --- stopping


def _record_stop(workspace: Workspace, endpoint: str, was_killed: bool) -> None:
    def decide(state: Any) -> Draft | None:
        row = state.get("endpoints", endpoint)
        if row is None or row["stopped_at"] is not None:
            return None
        body = {"model": row["model"], "version": row["version"], "was_killed": was_killed}
        stopped = {**row, "stopped_at": now()}
        return Draft("serving.stopped", f"endpoint:{endpoint}", body, [("endpoints", stopped)])

    workspace.append(decide)


# --- looking


def _find(workspace: Workspace, endpoint: str) -> tuple[Path, EndpointConfig]:
    folder = folder_of(workspace.root, endpoint)
    if not (folder / "endpoint.json").exists():
        names = [config.endpoint for _, config in configs(workspace.root)]
        raise NotFoundError(
            f"There is no endpoint '{endpoint}'.",
            nearest(endpoint, names) or "List them: paceml-tui serving list",
        )
    return folder, read_config(folder)


def _endpoint(workspace: Workspace, folder: Path, config: EndpointConfig) -> Endpoint:
    row = workspace.get("endpoints", config.endpoint) or {}
    pid = holder(folder)
    state = EndpointState.read(folder) if pid is not None else None
    return Endpoint(
        config.endpoint,
        state.url if state else None,
        pid,
        config.model,
        config.version,
        config.stage,
        config.run_id,
        _status(pid, state, is_over=not row or row["stopped_at"] is not None),
        state.started_at if state else row.get("started_at"),
        None if pid is not None else row.get("stopped_at"),
    )


def _status(pid: int | None, state: EndpointState | None, *, is_over: bool) -> Status:
    if pid is None:
        return "stopped" if is_over else "dead"
    if state is None:
        return "starting"
    return "running" if client.is_answering(state.url) else "unresponsive"


def _numbers(url: str) -> dict[str, Any]:
    try:
        code, _, body = client.request(url, "GET", "/metrics")
    except UnavailableError:
        return {}
    return dataclasses.asdict(meter.read(body.decode())) if code == 200 else {}


def _process_facts(pid: int) -> dict[str, Any]:
    import psutil

    try:
        found = psutil.Process(pid)
        times = found.cpu_times()
        return {
            "memory_bytes": found.memory_info().rss,
            "cpu_seconds": round(times.user + times.system, 3),
            "n_threads": found.num_threads(),
        }
    except psutil.Error:
        return {}
