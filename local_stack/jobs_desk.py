"""The desk for jobs: list them, look at one, read its log, cancel it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local_stack import jobs
from local_stack.command import command
from local_stack.progress import Progress, silent
from local_stack.results import Result
from local_stack.workspace import Workspace


@dataclass(frozen=True, slots=True)
class JobList(Result):
    """The newest jobs, newest first."""

    jobs: tuple[jobs.Job, ...]


@dataclass(frozen=True, slots=True)
class JobDetails(Result):
    """A job and, once it has ended, what its command returned."""

    job: jobs.Job
    result: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class JobLog(Result):
    """The end of what a job printed."""

    job: str
    text: str


@command("jobs.list", example="paceml-tui jobs list")
def listing(workspace: Workspace, *, limit: int = 50, progress: Progress = silent) -> JobList:
    """List the newest jobs.

    Parameters
    ----------
    limit
        How many jobs to return.
    """
    return JobList(tuple(jobs.listed(workspace, limit=limit)))


@command("jobs.show", example="paceml-tui jobs show JOB")
def show(workspace: Workspace, job: str, *, progress: Progress = silent) -> JobDetails:
    """Show a job and its result.

    Parameters
    ----------
    job
        Job id, or an unambiguous beginning of it.
    """
    found = jobs.show(workspace, job)
    return JobDetails(found, jobs.result(workspace, found.job))


@command("jobs.log", example="paceml-tui jobs log JOB")
def log(workspace: Workspace, job: str, *, progress: Progress = silent) -> JobLog:
    """Show the end of what a job printed.

    Parameters
    ----------
    job
        Job id, or an unambiguous beginning of it.
    """
    found = jobs.show(workspace, job)
    return JobLog(found.job, jobs.log(workspace, found.job))


@command("jobs.cancel", writes=True, example="paceml-tui jobs cancel JOB")
def cancel(
    workspace: Workspace, job: str, *, force: bool = False, progress: Progress = silent
) -> JobDetails:
    """Ask a job to stop at its next step.

    Parameters
    ----------
    job
        Job id, or an unambiguous beginning of it.
    force
        Kill its process instead of asking.
    """
    return JobDetails(jobs.cancel(workspace, job, force=force), None)
