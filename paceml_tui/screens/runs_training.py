"""A training, a tuning or a branch in a view of its own: watched, cancelled, left, found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import App, ComposeResult
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from local_stack.errors import NotFoundError, StackError
from paceml_tui import keys, studies
from paceml_tui.render import Block, Text, ago, join, safe, stack, status, styled
from paceml_tui.screens import runs_documents, runs_live
from paceml_tui.screens.runs_compare import RunsCompareView
from paceml_tui.screens.runs_view import RunView
from paceml_tui.studies import Study
from paceml_tui.tasks import JOBS_SHOWN, Desk, Outcome, Request, attempt
from paceml_tui.widgets.chooser import Choice, Chooser, Chosen
from paceml_tui.widgets.records import WIDE, Copied
from paceml_tui.widgets.sheet import Sheet
from paceml_tui.widgets.view import IsLeft, View

if TYPE_CHECKING:
    from local_stack.jobs import Job

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen of a job in one look; ``steps`` are those since the look before."""

    job: Job
    steps: list[dict[str, Any]]
    place: int
    cost: runs_live.Cost | None
    result: dict[str, Any] | None
    run: str
    study: Study | None


class Glanced(Message):
    """The job was looked at."""

    def __init__(self, outcome: Outcome[Glance]) -> None:
        super().__init__()
        self.outcome = outcome


class Began(Message):
    """A job was asked for."""

    def __init__(self, outcome: Outcome[str]) -> None:
        super().__init__()
        self.outcome = outcome


class TrainingView(View):
    """One job: begun here by a request, or found again by its id."""

    BINDINGS = keys.bindings("training")
    SCOPES = ("training",)
    NOUN = "training"

    def __init__(self, desk: Desk, *, request: Request | None = None, job: str = "") -> None:
        super().__init__(desk)
        self._asked = request
        self._job_id = job
        self._job: Job | None = None
        self._told = runs_live.Told()
        self._place = 0
        self._cost: runs_live.Cost | None = None
        self._result: Mapping[str, Any] = {}
        self._run = ""
        self._study: Study | None = None
        self._is_looking = False

    def heading(self) -> Text:
        """Return the title: what is done, to what, and how it stands."""
        what = self._job.command if self._job else self._asked.command if self._asked else ""
        parts = [styled(_TITLES.get(what, "Training"), "heading")]
        if self._job is not None:
            parts[0] = styled(_title(self._job), "heading", 60)
            parts.append(status(self._job.status))
        return join(*parts, gap="  ")

    def body(self) -> ComposeResult:
        """Lay out what is done beside what was found."""
        yield Sheet()

    def main(self) -> Widget:
        """Return what scrolls."""
        return self.query_one(Sheet)

    def requests(self) -> list[tuple[str, Request]]:
        """Return the command that does this again."""
        if self._job is not None:
            return [("This", Request(self._job.command, self._job.arguments))]
        return [("This", self._asked)] if self._asked else []

    def on_mount(self) -> None:
        """Start what was asked for, or look at the job that there is."""
        request = self._asked
        if self._job_id or request is None:
            self.notice.say_loading(self.NOUN)
            self._look()
        else:
            self._begin(request)
        self.set_interval(_LOOK_SECONDS, self._look)

    def _begin(self, request: Request) -> None:
        self.notice.update(styled("Starting...", "quiet"))
        self.become("loading")
        self.aside(lambda _: self.desk.perform(request)[0], Began, "begin")

    @on(Began)
    def _began(self, event: Began) -> None:
        event.stop()
        if event.outcome.value:
            self._job_id = event.outcome.value
            self._look()
        else:
            self.fail(event.outcome.error or StackError("Nothing was started.", "Try again."))

    # Looking.

    def _look(self) -> None:
        if not self._job_id or self._is_looking or (self._job and not self._job.is_alive):
            return
        self._is_looking = True
        self.aside(self._glance, Glanced, "look")

    def _glance(self, _: IsLeft) -> Glance:
        from local_stack import jobs

        workspace, asked = self.desk.workspace, self._job_id or ""
        job = jobs.show(workspace, asked)  # before its steps: an ended one adds none
        steps, place = jobs.steps(workspace, asked, self._place)
        cost = runs_live.cost_of(job.pid) if job.status == "running" else None
        result = None if job.is_alive else jobs.result(workspace, asked)
        run, study = "", runs_live.study_of(result or {})
        if job.command == "runs.tune" and study is None:
            run, study = runs_documents.study_of_job(self.desk, asked)
        return Glance(job, steps, place, cost, result, run, study)

    @on(Glanced)
    def _glanced(self, event: Glanced) -> None:
        event.stop()
        self._is_looking = False
        seen = event.outcome.value
        if seen is None:
            self.fail(event.outcome.error or NotFoundError("The job is gone.", "Leave with esc."))
            return
        self._job, self._place = seen.job, seen.place
        self._cost = seen.cost or self._cost
        self._result = seen.result or {}
        self._run, self._study = str(self._result.get("run_id") or seen.run), seen.study
        self._told.take(seen.steps)
        if self.state != "filled":
            self.become("filled")
            self.call_after_refresh(self.focus_main)
        self.retitle()
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        job = self._job
        if job is None or self.state != "filled":
            return
        sheet = self.query_one(Sheet)
        left, right = sheet.query(".half").results(Static)
        room = self.app.size.width  # that of the half is known only after it was drawn once
        width = max(24, min(100, room // 2 - 6 if room >= WIDE else room - 6))
        height = max(5, min(14, self.app.size.height - 16))
        cost = self._cost if job.is_alive or not self._result else None
        shown: list[Block] = [runs_live.doing(job, cost, self._result, self.desk.now().isoformat())]
        found = runs_live.figures(self._told, self._study, width, height)
        if self._result:
            shown += [styled(""), *runs_live.outcome(self._result, width)]
        elif self._study is not None:
            shown += [styled(""), *studies.best(self._study, width)]
        if job.is_alive and not found:
            found = [styled("No fold, round or trial has ended yet.", "quiet")]
        if not job.is_alive and job.status != "finished":
            again = _GOES_ON if job.command == "runs.tune" and job.status != "failed" else _AGAIN
            shown += [styled(""), join(styled("r", "accent"), styled(again, "quiet"))]
        # Where one half stands under the other, what is at work comes before what was asked for.
        (shown if room >= WIDE else found).extend(
            [styled(""), *runs_live.asked(job, self.desk.root)]
        )
        left.update(stack(*shown))  # not from the top again: somebody may be reading
        right.update(stack(*found))

    def on_resize(self) -> None:
        """Draw the curves in the room that there is now."""
        super().on_resize()
        self.call_after_refresh(self._draw)

    # Doing.

    def action_cancel(self) -> None:
        """Ask whether to stop the job."""
        job = self._job
        if job is None or not job.is_alive:
            self.say("Nothing is at work here.")
            return
        lost = _LOST.get(job.command, _LOST["runs.train"])

        def stop() -> None:
            self.run_worker(
                lambda: attempt(lambda: self.desk.cancel_job(job.job, force=False)),
                thread=True,
                group="cancel",
            )

        self.confirm(f"Stop {_title(job)}?", lost, stop)

    def action_again(self) -> None:
        """Go on with a study that was stopped, or train again what was."""
        job = self._job
        if job is None or job.is_alive or job.status == "finished":
            self.say("Only what was stopped or has failed can be begun again.")
            return
        self._asked = Request(job.command, job.arguments)
        self._job_id, self._job, self._place = "", None, 0
        self._told, self._cost, self._result = runs_live.Told(), None, {}
        self._run, self._study = "", None
        self._begin(self._asked)

    def action_open_run(self) -> None:
        """Go to the run that was made, or to the study at work."""
        if not self._run:
            alive = self._job is not None and self._job.is_alive
            self.say("Its run can be opened when it has ended." if alive else "It made no run.")
            return
        view = RunView(self.desk, self._run, str(self._result.get("name") or ""))
        self.app.push_screen(view, self._went)

    def _went(self, version: tuple[str, str] | None) -> None:
        if version is not None:
            self.dismiss(version)

    def action_compare(self) -> None:
        """Compare a branch with the run that it came from."""
        parent, run = self._result.get("branched_from"), self._result.get("run_id")
        if parent is None or run is None:
            self.say("Only a branch that has ended has a run to be compared with.")
            return
        self.app.push_screen(RunsCompareView(self.desk, (str(parent), str(run))))

    def action_copy(self) -> None:
        """Copy the id of the run, or of the job until there is one."""
        self.app.post_message(Copied(safe(self._run or self._job_id, 0)))


class Listed(Message):
    """The jobs that can be watched were read."""

    def __init__(self, outcome: Outcome[list[Job]]) -> None:
        super().__init__()
        self.outcome = outcome


def watched(desk: Desk) -> list[Job]:
    """Return the trainings of the workspace, those at work first; called in a thread."""
    from local_stack import jobs

    found = jobs.listed(desk.workspace, limit=10 * JOBS_SHOWN)
    found = [job for job in found if job.command in runs_live.WATCHED][:JOBS_SHOWN]
    return sorted(found, key=lambda job: not job.is_alive)


def choose(app: App[Any], desk: Desk, found: list[Job], went: Callable[..., None]) -> None:
    """Let one of the jobs be chosen, and show it."""
    by_id = {job.job: job for job in found}
    now = desk.now()
    choices = [Choice(job.job, _about(job, now), _title(job)) for job in found]

    def take(chosen: Chosen | None) -> None:
        if chosen is not None and chosen.names[0] in by_id:
            app.push_screen(TrainingView(desk, job=chosen.names[0]), went)

    empty = "Nothing was trained here yet. Press n to begin."
    app.push_screen(Chooser("Trainings", choices, empty=empty), take)


def _title(job: Job) -> str:
    given = job.arguments
    what = given.get("name") or given.get("recipe") or given.get("run") or ""
    return f"{_TITLES.get(job.command, 'Training')} {str(what).rpartition('/')[2]}"


def _about(job: Job, now: datetime) -> str:
    what = job.label if job.is_alive else job.error if job.error else ""
    parts = [job.status, f"{ago(job.started_at, now).plain} by {job.actor}", what]
    return ", ".join(filter(None, parts))


_AGAIN = "does it again, from the recipe as it is now."
_GOES_ON = "goes on with the study; trials that have ended are not judged again."
_TITLES = {"runs.tune": "Tuning", "runs.branch": "Branch"}
_LOST = {
    "runs.train": "It stops at its next step; its run is kept as KILLED, without a model.",
    "runs.tune": "Ended trials are kept: the same command goes on with the study.",
}
