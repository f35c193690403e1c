"""The end of a labelling in the app: ask, then make a new version in a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual import on
from textual.message import Message
from textual.worker import get_current_worker

from paceml_tui.tasks import Answer, Desk, Request, attempt
from paceml_tui.widgets.dialog import Confirm
from paceml_tui.widgets.view import View

if TYPE_CHECKING:
    from local_stack.data.labelling.board import Labelling
    from local_stack.jobs import Job


class Advanced(Message):
    """The job that makes the version has come further."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


class Made(Message):
    """The job that makes the version has ended."""

    def __init__(self, request: Request, answer: Answer) -> None:
        super().__init__()
        self.request = request
        self.answer = answer


class FinishingView(View):
    """A view of one labelling that can make a version of it; answers go on meanwhile."""

    def __init__(self, desk: Desk, reference: str) -> None:
        super().__init__(desk)
        self._reference = reference
        self._column = ""
        self._counted: Labelling | None = None
        self._last: Request | None = None
        self._making = ""

    def action_finish(self) -> None:
        """Ask, then make a new version with the labels."""
        counted = self._counted
        if counted is None:
            return
        if self._making or not counted.n_labelled:
            self.say("A version is being made." if self._making else "No row has a label yet.")
            return
        arguments: dict[str, Any] = {"name": self._reference, "column": self._column}
        if counted.n_conflicts or counted.n_unlabelled:
            arguments["partial"] = True
        request = Request("data.finish-labels", arguments)

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self._make(request)

        title = f"Make a new version of {counted.dataset}?"
        self.app.push_screen(Confirm(title, lost(counted)), answered)

    def _make(self, request: Request) -> None:
        """Start the job, which goes on when this view is left."""
        self._making = "finishing"
        self.retitle()

        def work() -> None:
            worker = get_current_worker()

            def tell(job: Job) -> None:
                self.post_message(Advanced(job))

            found = attempt(lambda: self.desk.carry_out(request, tell, lambda: worker.is_cancelled))
            if not worker.is_cancelled:
                self.post_message(Made(request, found.value or Answer(error=found.error)))

        self.run_worker(work, thread=True, group="finish")

    @on(Advanced)
    def _advance(self, event: Advanced) -> None:
        event.stop()
        if self._making and event.job.is_alive:
            self._making = event.job.label or event.job.status
            self.retitle()

    @on(Made)
    def _made(self, event: Made) -> None:
        event.stop()
        self._making = ""
        self.retitle()
        result, error = event.answer.result, event.answer.error
        if error is not None:
            self.say(f"{error.message} {error.hint}")
        elif result is not None:
            self._last = event.request
            self.say(f"{result['dataset']}@{result['version']} is made.", is_good=True)


def lost(counted: Labelling) -> str:
    """Return what a new version would take over, and what not."""
    sentence = (
        f"{counted.n_labelled:,} of {counted.n_rows:,} rows get their label in column "
        f"{counted.column}."
    )
    if counted.n_conflicts or counted.n_unlabelled:
        sentence += (
            " The others stay as they are, missing where the column is new: "
            f"{counted.n_conflicts:,} in conflict, {counted.n_unlabelled:,} without a label."
        )
    return sentence
