"""A view that takes the whole terminal over a screen: title, one of five states, keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Label, Static
from textual.worker import Worker, get_current_worker

from local_stack.errors import Cancelled, StackError
from paceml_tui import keys
from paceml_tui.render import Text, lines, safe, styled
from paceml_tui.tasks import Desk, Outcome, Request, attempt
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.dialog import Confirm, error_dialog, help_dialog, repeat_dialog
from paceml_tui.widgets.keybar import KeyBar
from paceml_tui.widgets.notice import Notice
from paceml_tui.widgets.records import State

if TYPE_CHECKING:
    from local_stack.progress import Progress, Step

T = TypeVar("T")
IsLeft = Callable[[], bool]


class View(ModalScreen[Any]):
    """Base of the views: a subclass lays out its body and says which command it stands for."""

    BINDINGS = keys.bindings("view")

    SCOPES: ClassVar[tuple[str, ...]] = ()
    """Scopes of the keys that the footer shows."""
    NOUN: ClassVar[str] = ""
    """What is being read while nothing can be shown yet."""
    WORD: ClassVar[str] = "data"
    """The screen that the view belongs to, whose word its help begins with."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(classes="-loading")
        self.desk = desk
        self.state: State = "loading"

    def compose(self) -> ComposeResult:
        """Lay out title, notice, body and keys."""
        with Vertical(classes="view"):
            yield Label(self.heading(), classes="title")
            yield Notice(classes="notice")
            with Container(classes="body"):
                yield from self.body()
            yield from self.foot()
            yield KeyBar(*self.SCOPES)
        yield Static(
            lines(
                styled("This terminal is too small.", "warning"),
                styled("PACE-ML needs 60 columns and 16 rows."),
            ),
            classes="too-small",
        )

    def heading(self) -> Text:
        """Return the title."""
        raise NotImplementedError

    def body(self) -> ComposeResult:
        """Lay out what is shown once it is there."""
        raise NotImplementedError

    def foot(self) -> ComposeResult:
        """Lay out what stands under the body in every state."""
        return ()

    def requests(self) -> list[tuple[str, Request]]:
        """Return the commands that repeat what the view shows and does, each with a title."""
        return []

    @property
    def notice(self) -> Notice:
        """Return what stands in for the body."""
        return self.query_one(Notice)

    def retitle(self) -> None:
        """Draw the title again."""
        self.query_one(".title", Label).update(self.heading())

    def become(self, state: State) -> None:
        """Show the body, or the notice in its place."""
        self.state = state
        for name in ("loading", "empty", "filled", "failed"):
            self.set_class(name == state, f"-{name}")
        if state != "filled":
            self.call_after_refresh(self.notice.focus)

    def main(self) -> Widget:
        """Return what has the focus when nothing else asks for it."""
        return self.notice

    def on_resize(self) -> None:
        """Take the focus back after the terminal was too small to show anything."""
        self.call_after_refresh(self._refocus)

    def _refocus(self) -> None:
        if self.focused is None:
            self.focus_main()

    def focus_main(self) -> None:
        """Give the focus to what has it when nothing else asks for it."""
        (self.main() if self.state == "filled" else self.notice).focus()

    def fail(self, error: StackError) -> None:
        """Show an error in place of the body."""
        self.notice.say_failed(error)
        self.become("failed")

    def say(self, sentence: str, *, is_good: bool = False) -> None:
        """Say something in passing."""
        severity: Any = "information" if is_good else "warning"
        self.app.notify(safe(sentence, 120), severity=severity, markup=False)

    def tells_of(self, job: str) -> bool:
        """Return whether the error of a job is shown here, so that nobody else need tell it."""
        return False

    # Working, and asking.

    def aside(
        self,
        work: Callable[[IsLeft], T],
        told: Callable[[Outcome[T]], Message],
        group: str,
        *,
        is_exclusive: bool = True,
    ) -> Worker[None]:
        """Do ``work`` in a thread and post what it gave, unless nobody waits for it any more.

        ``work`` is given a function that says so. A newer piece of work of an exclusive group
        ends the older one.
        """

        def run() -> None:
            worker = get_current_worker()
            outcome = attempt(lambda: work(lambda: worker.is_cancelled))
            if not worker.is_cancelled:
                self.post_message(told(outcome))

        return self.run_worker(run, thread=True, exclusive=is_exclusive, group=group)

    def confirm(self, title: str, lost: str, then: Callable[[], object]) -> None:
        """Ask before something is lost, and go on when the answer is yes."""

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                then()

        self.app.push_screen(Confirm(title, lost), answered)

    def ask(self, subject: str, prompt: str, value: str, help: str) -> None:
        """Open the line in which something is typed; :meth:`given` gets it."""
        self.query_one(Correction).begin(subject, prompt, value, help)
        self.show_keys("correct")

    @property
    def is_asking(self) -> bool:
        """Return whether the line in which something is typed is open."""
        return any(line.has_class("-open") for line in self.query(Correction))

    def given(self, subject: str, value: str) -> None:
        """Take what was typed."""

    def ungiven(self, subject: str) -> None:
        """Notice that nothing was typed."""

    @on(Correction.Given)
    @on(Correction.Left)
    def _answered(self, event: Correction.Given | Correction.Left) -> None:
        event.stop()
        self.show_keys(*self.footer())
        self.focus_main()
        if isinstance(event, Correction.Given):
            self.given(event.subject, event.value)
        else:
            self.ungiven(event.subject)

    # Keys.

    def footer(self) -> tuple[str, ...]:
        """Return the scopes of the keys that the footer shows now."""
        return self.SCOPES

    def show_keys(self, *scopes: str) -> None:
        """Show the keys of these scopes in the footer."""
        self.query_one(KeyBar).show(*scopes)

    def action_repeat(self) -> None:
        """Show how to repeat without the app what is seen here."""
        dialog = attempt(lambda: repeat_dialog(self.requests()))
        if dialog.value is not None and self.requests():
            self.app.push_screen(dialog.value)
        elif dialog.error is not None:
            self.app.push_screen(error_dialog("There is no command for this", dialog.error))

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work now."""
        return self.SCOPES

    def action_help(self) -> None:
        """Show every key that works here."""
        self.app.push_screen(help_dialog(self.WORD, (*self.scopes(), "view")))

    async def action_jobs(self) -> None:
        """Open the jobs."""
        await self.app.run_action("jobs")

    def changed(self) -> None:
        """Notice that the workspace has changed."""

    def action_close(self) -> None:
        """Go back to the screen."""
        self.dismiss(None)


def progress_of(is_left: IsLeft) -> Progress:
    """Return a progress that stops the work that nobody waits for any more."""

    def progress(step: Step) -> None:
        if is_left():
            raise Cancelled

    return progress
