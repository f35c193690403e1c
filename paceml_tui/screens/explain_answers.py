"""The parts of an explanation that are asked for: groups that are compared, and explanations.

Each is a command that runs as a job; its answer is a list of what is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from textual import on
from textual.message import Message

from local_stack.errors import StackError
from paceml_tui import contrasts, fairness
from paceml_tui.evaluations import Picture
from paceml_tui.render import bar, join, safe, styled
from paceml_tui.screens import explain_documents as documents
from paceml_tui.screens.data_parts import PartsView
from paceml_tui.screens.explain_parts import DAMAGED, AnswerPart, picture_lines
from paceml_tui.tasks import Answer, Desk, Outcome, Request, attempt
from paceml_tui.widgets.chooser import Choice, Chooser, Chosen
from paceml_tui.widgets.dialog import error_dialog
from paceml_tui.widgets.working import at_work

if TYPE_CHECKING:
    from local_stack.jobs import Job


@dataclass(frozen=True, slots=True)
class Asking:
    """A part whose answer is that of ``command``: what is said before, meanwhile, and drawn."""

    command: str
    invites: str
    does: str
    draw: Callable[[Mapping[str, Any]], list[Picture]]


ASKED: Final[Mapping[str, Asking]] = {
    "fairness": Asking(
        "explain.fairness",
        "Press b to choose the columns whose groups are compared.",
        "Comparing the groups...",
        fairness.pictures,
    ),
    "compare": Asking(
        "explain.compare",
        "Press b to choose what this explanation is compared with.",
        "Comparing the explanations...",
        contrasts.pictures,
    ),
}


class PartAdvanced(Message):
    """The job of a part has come further."""

    def __init__(self, part: str, job: Job) -> None:
        super().__init__()
        self.part = part
        self.job = job


class PartAnswered(Message):
    """What a part asked for has ended; ``request`` is None when it was read where it is kept."""

    def __init__(self, part: str, request: Request | None, answer: Answer) -> None:
        super().__init__()
        self.part = part
        self.request = request
        self.answer = answer


class Offered(Message):
    """What a part can be asked about was read."""

    def __init__(self, part: str, outcome: Outcome[list[Choice]]) -> None:
        super().__init__()
        self.part = part
        self.outcome = outcome


class AnswersView(PartsView):
    """A view with parts that are asked for; a subclass says of which run."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._asked: dict[str, Request] = {}
        self._jobs: dict[str, Job] = {}
        self._followed_by: dict[str, str] = {}
        self._is_known: set[str] = set()

    @property
    def run_id(self) -> str:
        """Return the run that is explained."""
        raise NotImplementedError

    def answer_part(self, name: str) -> AnswerPart:
        """Return a part that is asked for."""
        return self.query_one(f"#{name}", AnswerPart)

    def invite(self, name: str) -> None:
        """Show what is kept of a part that one comes to first, or say which key asks."""
        if name not in ASKED or name in self._is_known:
            return
        self._is_known.add(name)
        self.answer_part(name).wait(ASKED[name].invites)
        if name == "fairness":
            run = self.run_id
            self.aside(
                lambda _: documents.fairness_of(self.desk, run),
                lambda it: PartAnswered(name, None, Answer(it.value, it.error)),
                f"ask-{name}",
            )

    def ask_part(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Have a part answered."""
        asking = ASKED[name]
        request = Request(asking.command, {"target": self.run_id, **arguments})
        self._is_known.add(name)
        self.answer_part(name).wait(asking.does)
        self.answer_part(name).notice.focus()

        def tell(job: Job) -> None:
            self.post_message(PartAdvanced(name, job))

        def work(is_left: Callable[[], bool]) -> Answer:
            begun = at_work(self.desk, request)
            if begun:
                return self.desk.follow(begun, tell, is_left)
            return self.desk.carry_out(request, tell, is_left)

        self.aside(
            work,
            lambda it: PartAnswered(name, request, it.value or Answer(error=it.error)),
            f"ask-{name}",
        )

    @on(PartAdvanced)
    def _part_advanced(self, event: PartAdvanced) -> None:
        event.stop()
        self._jobs[event.part] = job = event.job
        self._followed_by[event.part] = job.job
        if job.is_alive:
            share = job.done / job.total if job.total else None
            shown = [
                styled(ASKED[event.part].does, "quiet"),
                styled(job.label, "quiet", 40),
                bar(share, 16) if share is not None else styled(""),
            ]
            self.answer_part(event.part).notice.update(join(*shown))

    def tells_of(self, job: str) -> bool:
        """Return whether a job's error is shown in the part that is looked at, or in all."""
        return super().tells_of(job) or job == self._followed_by.get(self._part)

    @on(PartAnswered)
    def _part_answered(self, event: PartAnswered) -> None:
        event.stop()
        self._jobs.pop(event.part, None)
        part, found = self.answer_part(event.part), event.answer.result
        if event.request is None and not found:
            return  # nothing is kept, and the key that asks was said
        if found is None:
            error = event.answer.error or StackError("Nothing came back.", "Its log: J.")
            if event.part in self._asked:  # what was answered before stays
                part.remove_class("-waiting")
                self.app.push_screen(error_dialog("What was answered before stays", error))
            else:
                part.fail(error)
        else:
            self._asked[event.part] = event.request or documents.fairness_request(
                self.run_id, found
            )
            pictures = attempt(lambda: ASKED[event.part].draw(found)).value
            if pictures:
                part.answer(picture_lines(pictures, part))
            else:
                part.wait(DAMAGED)
            if event.answer.error is not None:
                self.say(event.answer.error.message)
        self.retitle()
        if self._part == event.part and not self.is_asking:
            part.main().focus()

    def action_cancel(self) -> None:
        """Ask whether to stop what is at work in this part."""
        self._job = self._jobs.get(self._part, self._job)
        super().action_cancel()

    # Choosing.

    def action_by(self) -> None:
        """Choose the columns whose groups are compared, or what to compare with."""
        if self.state != "filled":
            return
        part = self._part if self._part in ASKED else "fairness"
        self.action_part(part)
        run = self.run_id
        offer = documents.group_columns if part == "fairness" else documents.others
        self.aside(lambda _: offer(self.desk, run), lambda it: Offered(part, it), "offer")

    @on(Offered)
    def _offered(self, event: Offered) -> None:
        event.stop()
        if event.outcome.value is None:
            error = event.outcome.error or StackError("Nothing was read.")
            self.app.push_screen(error_dialog("Nothing can be chosen", error))
        elif event.part == "fairness":
            chosen = [it.name for it in event.outcome.value if it.note.startswith("sensitive")]
            dialog = Chooser(
                "Compare the groups of", event.outcome.value, chosen=chosen, is_many=True
            )
            self.app.push_screen(dialog, self._take_columns)
        else:
            empty = "There is no other model, version, group or time to compare with."
            dialog = Chooser("Compare with", event.outcome.value, empty=empty)
            self.app.push_screen(dialog, self._take_other)

    def _take_columns(self, chosen: Chosen | None) -> None:
        if chosen is not None and chosen.names:
            self.ask_part("fairness", {"by": chosen.names})
        elif chosen is not None:
            self.say("Turn on a column with space, then press enter.")

    def _take_other(self, chosen: Chosen | None) -> None:
        if chosen is None:
            return
        way, name = documents.way_of(chosen.names[0])
        if way == "time":
            self._time = name
            help = "Rows before this time are compared with those from it on, such as 2026-05."
            self.ask("since", safe(f"{name} since", 28), "", help)
        elif way == "by":
            self._choose_group(name)
        else:
            self.ask_part("compare", {way: name})

    _time = ""
    """The column of times that windows are cut by."""

    def _choose_group(self, column: str) -> None:
        choices = [Choice(it, f"{column}, with all others") for it in self.values_of(column)]
        if not choices:
            self.say("Its values are not known here; compare by the command.")
            return

        def take(chosen: Chosen | None) -> None:
            if chosen is not None:
                self.ask_part("compare", {"by": column, "a": chosen.names[0]})

        self.app.push_screen(Chooser(f"Rows with {column}", choices), take)

    def action_positive(self) -> None:
        """Ask which class counts as selected, and compare the groups by it."""
        if "fairness" not in self._asked:
            self.say("Compare the groups of a column first: b.")
            return
        self.action_part("fairness")
        now = str(self._asked["fairness"].arguments.get("positive") or "")
        help = "The class that people hope for, such as one who is given the credit."
        self.ask("positive", "selected is", now, help)

    def values_of(self, column: str) -> Sequence[str]:
        """Return the values of a column that rows can be told apart by."""
        raise NotImplementedError

    def given(self, subject: str, value: str) -> None:
        """Compare what was before a time with what came then, or groups by another class."""
        if subject == "positive" and value.strip():
            given = dict(self._asked["fairness"].arguments)
            self.ask_part("fairness", {**given, "positive": value.strip()})
        if subject == "since" and value.strip():
            self.ask_part("compare", {"time": self._time, "since": value.strip()})
