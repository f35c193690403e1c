"""Views that carry out commands: one that waits for its result, and one that does as it is asked.

Both run a long command as a job, tell how far it is, and let it go on when they are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.message import Message

from local_stack.errors import StackError
from paceml_tui.render import Text, bar, glyph, join, styled
from paceml_tui.tasks import JOBS_SHOWN, Answer, Desk, Request, attempt
from paceml_tui.widgets.view import IsLeft, View

if TYPE_CHECKING:
    from local_stack.jobs import Job


class Advanced(Message):
    """The job has come further."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


class Ended(Message):
    """What was asked for has ended."""

    def __init__(self, request: Request, answer: Answer) -> None:
        super().__init__()
        self.request = request
        self.answer = answer


class ResultView(View):
    """A view of what one command gives: the job's progress first, which can be stopped."""

    DOES: ClassVar[str] = ""
    """What is said while the job is at work."""
    STOP: ClassVar[tuple[str, str]] = ("", "")
    """What is asked before the job is stopped: the question, and what is lost."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._result: Mapping[str, Any] = {}
        self._job: Job | None = None
        self._followed = ""
        """The job that is waited for, or was the last."""

    @property
    def request(self) -> Request:
        """Return the command whose result is shown."""
        raise NotImplementedError

    def stored(self, request: Request) -> dict[str, Any] | None:
        """Return the result where it is kept already; called in a thread."""
        return None

    def show(self) -> None:
        """Show the result."""
        raise NotImplementedError

    def fetch(self, *, is_anew: bool = False) -> None:
        """Show what is kept, or have it made; ``is_anew`` has it made in any case."""
        self.notice.say_loading(self.NOUN)
        self.become("loading")
        request = self.request

        def work(is_left: IsLeft) -> Answer:
            found = None if is_anew else self.stored(request)
            if found is not None:
                return Answer(found)
            begun = at_work(self.desk, request)
            if begun:
                return self.desk.follow(begun, self._tell, is_left)
            return self.desk.carry_out(request, self._tell, is_left)

        self.aside(
            work, lambda it: Ended(request, it.value or Answer(error=it.error)), group="result"
        )

    def _tell(self, job: Job) -> None:
        self.post_message(Advanced(job))

    @on(Advanced)
    def _advance(self, event: Advanced) -> None:
        event.stop()
        self._job = event.job
        self._followed = event.job.job
        share = event.job.done / event.job.total if event.job.total else None
        shown = join(
            styled(self.DOES, "quiet"),
            styled(event.job.label, "quiet", 40),
            bar(share, 16) if share is not None else styled(""),
        )
        self.notice.update(shown)

    @on(Ended)
    def _ended(self, event: Ended) -> None:
        event.stop()
        self._job = None
        if event.answer.result is None:
            self.fail(event.answer.error or StackError("Nothing came back.", "Its log: J."))
            return
        self._result = event.answer.result
        self.show()

    def tells_of(self, job: str) -> bool:
        """Return whether the job is the one whose result is shown here, or its error."""
        return job == self._followed

    def action_cancel(self) -> None:
        """Ask whether to stop the job while it is at work."""
        job = self._job
        if job is None or not job.is_alive:
            self.say("Nothing is at work here.")
            return

        def stop() -> None:
            self.run_worker(
                lambda: attempt(lambda: self.desk.cancel_job(job.job, force=False)),
                thread=True,
                group="cancel",
            )

        self.confirm(*self.STOP, stop)


class DoingView(View):
    """A view that does as it is asked, one thing at a time; its title says what it does."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._busy = ""
        self._last: Request | None = None

    def busy_mark(self) -> list[Text]:
        """Return what the title shows while something is done."""
        if not self._busy:
            return []
        return [join(styled(glyph("busy"), "accent"), styled(self._busy, "accent", 40))]

    def done_last(self) -> list[tuple[str, Request]]:
        """Return what was done last, as :meth:`requests` lists it."""
        return [("Done last", self._last)] if self._last is not None else []

    def do(self, request: Request, busy: str) -> None:
        """Carry out a request; ``busy`` says what is done until its job does."""
        if self._busy:
            self.say(f"Still {self._busy}.")
            return
        self._busy = busy
        self.retitle()
        self.aside(
            lambda is_left: self.desk.carry_out(request, self._tell, is_left),
            lambda it: Ended(request, it.value or Answer(error=it.error)),
            group="doing",
            is_exclusive=False,
        )

    def _tell(self, job: Job) -> None:
        self.post_message(Advanced(job))

    @on(Advanced)
    def _advance(self, event: Advanced) -> None:
        event.stop()
        if self._busy and event.job.is_alive:
            self._busy = event.job.label or event.job.status
            self.retitle()

    @on(Ended)
    def _ended(self, event: Ended) -> None:
        event.stop()
        self._busy = ""
        self.retitle()
        if event.answer.result is None:
            self.refused(event.answer.error or StackError("Nothing came back.", "Its log: J."))
            return
        self._last = event.request
        self.done(event.request, event.answer)

    def done(self, request: Request, answer: Answer) -> None:
        """Take what a request gave."""
        raise NotImplementedError

    def refused(self, error: StackError) -> None:
        """Say why a request was not carried out."""
        self.say(f"{error.message} {error.hint}")


def at_work(desk: Desk, request: Request) -> str:
    """Return the job that does just what is asked for now, or ''."""
    from local_stack import jobs

    asked = {k: list(v) if isinstance(v, tuple) else v for k, v in request.arguments.items()}
    for job in jobs.listed(desk.workspace, limit=JOBS_SHOWN):
        if job.is_alive and job.command == request.command and job.arguments == asked:
            return job.job
    return ""
