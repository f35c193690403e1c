"""Tower: the whole life of the workspace's models on one page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from local_stack import jobs
from local_stack.command import command
from local_stack.progress import Progress, silent
from local_stack.results import Result, now
from local_stack.serving import endpoints
from local_stack.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Infrastructure(Result):
    """The machine: load averages over 1, 5 and 15 minutes, bytes of memory and disk."""

    n_cpus: int
    load: tuple[float, float, float]
    memory_total: int
    memory_available: int
    disk_total: int
    disk_free: int


@dataclass(frozen=True, slots=True)
class ControlTower(Result):
    """Five panels: experiments, deployment, data, production and infrastructure."""

    at: str
    workspace: str
    experiments: tuple[dict[str, Any], ...]
    deployment: tuple[dict[str, Any], ...]
    data: tuple[dict[str, Any], ...]
    production: tuple[dict[str, Any], ...]
    drift: tuple[dict[str, Any], ...]
    jobs: tuple[jobs.Job, ...]
    infrastructure: Infrastructure
    n_events: int
    journal_problem: str


@command("tower.show", example="paceml-tui tower show --json")
def show(workspace: Workspace, *, progress: Progress = silent) -> ControlTower:
    """Show the control tower: experiments, endpoints, data, production models, drift, machine."""
    query = workspace.query
    damage = workspace.metadata.damage
    return ControlTower(
        at=now(),
        workspace=str(workspace.root),
        experiments=tuple(query(EXPERIMENTS)),
        deployment=tuple(item.to_dict() for item in endpoints.listing(workspace).endpoints),
        data=tuple(query(DATA)),
        production=tuple(query(PRODUCTION)),
        drift=tuple(query(DRIFT)),
        jobs=tuple(job for job in jobs.listed(workspace) if job.is_alive),
        infrastructure=infrastructure(workspace),
        n_events=workspace.metadata.position.seq,
        journal_problem=damage.message if damage else "",
    )


EXPERIMENTS = """
    SELECT experiment, count(*) AS n_runs,
           count(*) FILTER (status = 'FINISHED') AS n_finished,
           count(*) FILTER (status = 'FAILED') AS n_failed,
           count(*) FILTER (status = 'KILLED') AS n_killed,
           count(*) FILTER (status = 'RUNNING') AS n_running,
           max(started_at) AS last_started_at
    FROM runs WHERE lifecycle = 'active' GROUP BY experiment ORDER BY last_started_at DESC
"""
DATA = """
    SELECT d.name, d.latest AS version, d.target, v.n_rows, v.n_columns, v.created_at,
           c.passed AS contract_kept, c.created_at AS checked_at
    FROM datasets d
    JOIN data_versions v ON v.dataset = d.name AND v.version = d.latest
    LEFT JOIN checks c
      ON c.dataset = d.name AND c.version = d.latest AND c.contract = d.contract
    ORDER BY v.created_at DESC
"""
PRODUCTION = """
    SELECT name, version, stage, run_id, created_at, updated_at
    FROM model_versions WHERE stage IN ('Staging', 'Production') ORDER BY name, stage
"""
DRIFT = """
    SELECT report, reference, current, drifted, share, n_drifted, n_columns, created_at
    FROM drift_reports ORDER BY created_at DESC LIMIT 10
"""


def infrastructure(workspace: Workspace) -> Infrastructure:
    """Return the state of the machine that the workspace is on."""
    import psutil

    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(workspace.root))
    return Infrastructure(
        n_cpus=os.cpu_count() or 1,
        load=tuple(round(value, 2) for value in os.getloadavg()),  # type: ignore[arg-type]
        memory_total=memory.total,
        memory_available=memory.available,
        disk_total=disk.total,
        disk_free=disk.free,
    )
