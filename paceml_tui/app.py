"""The app: eight screens of one workspace, followed live.

The first frame needs nothing but Textual: the workspace, DuckDB and the engine's commands are
opened by threads after it. A beat a second looks for what is new; screens draw again only then.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.theme import Theme
from textual.widgets import ContentSwitcher, Static
from textual.worker import get_current_worker

from local_stack.errors import StackError
from paceml_tui import keys, theme
from paceml_tui.net import Net
from paceml_tui.palette import Commands
from paceml_tui.render import Block, is_ascii, lines, safe, styled
from paceml_tui.screens.audit import AuditScreen
from paceml_tui.screens.data import DataScreen
from paceml_tui.screens.drift import DriftScreen
from paceml_tui.screens.explain import ExplainScreen
from paceml_tui.screens.registry import RegistryScreen
from paceml_tui.screens.runs import RunsScreen
from paceml_tui.screens.serving import ServingScreen
from paceml_tui.screens.tower import Opened, TowerScreen
from paceml_tui.tasks import (
    Asked,
    Beat,
    Desk,
    Ended,
    Machine,
    Outcome,
    Pulse,
    Request,
    Revealed,
    attempt,
    command,
    machine,
    question_for,
)
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.dialog import (
    Confirm,
    error_dialog,
    help_dialog,
    repeat_dialog,
    result_dialog,
)
from paceml_tui.widgets.filter import FilterBar
from paceml_tui.widgets.form import CommandForm
from paceml_tui.widgets.jobs import JobsPanel
from paceml_tui.widgets.keybar import KeyBar
from paceml_tui.widgets.plainbar import choose_scroll_bar
from paceml_tui.widgets.records import Copied, RecordsScreen
from paceml_tui.widgets.status import StatusLine
from paceml_tui.widgets.tabs import WordTabs
from paceml_tui.widgets.view import View
from paceml_tui.widgets.welcome import Welcome

SCREENS: dict[str, type[Any]] = {
    screen.WORD: screen
    for screen in (
        TowerScreen,
        DataScreen,
        RunsScreen,
        ExplainScreen,
        RegistryScreen,
        ServingScreen,
        DriftScreen,
        AuditScreen,
    )
}

_HERE = Path(__file__).parent
_BEAT_SECONDS = 1.0
_WIDTHS: list[tuple[int, str]] = [(0, "-tiny"), (60, "-slim"), (76, "-narrow"), (120, "-wide")]
_HEIGHTS: list[tuple[int, str]] = [(0, "-short"), (16, "-tall")]


class PacemlApp(App[int], inherit_bindings=False):
    """The terminal app of one workspace, or the welcome where there is none."""

    TITLE = "PACE-ML"
    CSS_PATH: ClassVar[list[str | PurePath]] = [
        _HERE / "app.tcss",
        *(_HERE / "screens" / f"{word}.tcss" for word in keys.WORDS),
    ]
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("app")
    COMMANDS: ClassVar[set[Any]] = {Commands}
    COMMAND_PALETTE_BINDING = "ctrl+p"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS

    def __init__(
        self,
        root: Path | None,
        *,
        is_readonly: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        measure: Callable[[Path], Machine] = machine,
        beat_seconds: float = _BEAT_SECONDS,
    ) -> None:
        super().__init__()
        self.desk = (
            Desk(root, is_readonly=is_readonly, clock=clock, measure=measure) if root else None
        )
        self._clock = clock
        self._measure = measure
        self._beat_seconds = beat_seconds
        self.pulse = Pulse()
        self.word = keys.WORDS[0]
        self.has_beaten = False
        self._is_looking = False
        self._last_done: Request | None = None
        self._own_jobs: dict[str, Request] = {}
        self._filters.append(Net())
        for each in theme.THEMES.values():
            self.register_theme(each)
        self.console.push_theme(theme.tones(theme.DARK))
        self.theme = theme.DARK.name

    # Laying out.

    def compose(self) -> ComposeResult:
        """Lay out tabs, screens, status line and footer."""
        yield WordTabs(id="tabs")
        yield ContentSwitcher(id="screens")
        yield StatusLine(self.desk.root.name if self.desk else "no workspace")
        yield KeyBar("app", id="keybar")
        yield Static(
            lines(
                styled("This terminal is too small.", "warning"),
                styled("PACE-ML needs 60 columns and 16 rows."),
            ),
            id="too-small",
        )

    def on_mount(self) -> None:
        """Put on the theme, and show the first screen or the welcome."""
        self.theme_changed_signal.subscribe(self, self._recolour)
        self.set_class(is_ascii(), "-ascii")
        choose_scroll_bar()
        self.watch(self.screen, "focused", self._show_keys, init=False)
        if self.desk is None:
            self.screen.mount(Welcome(safe(Path.cwd())), before="#status")
            self.screen.add_class("-homeless")
            self.query_one(Welcome).focus()
            return
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Start following the workspace, once the first frame stands."""
        self.action_go(self.word)
        self.set_interval(self._beat_seconds, self._look)
        self._look()

    def _recolour(self, chosen: Theme) -> None:
        """Give the tones their colours in another theme, and draw every text again."""
        if chosen.name in theme.THEMES:
            self.console.pop_theme()
            self.console.push_theme(theme.tones(theme.THEMES[chosen.name]))
            for screen in self.screen_stack:
                for widget in screen.walk_children():
                    if isinstance(widget, Static):
                        shown: Block = widget.content  # type: ignore[assignment]
                        widget.update(shown)  # its tones became colours when it was given them
                    widget.notify_style_update()
                    widget.refresh()

    @property
    def page(self) -> Any:
        """Return the screen that is shown, or None."""
        if not self.screen_stack:
            return None
        return next(iter(self.screen_stack[0].query(f"#screens > #{self.word}")), None)

    # Following the workspace.

    def _look(self) -> None:
        if self._is_looking or self.desk is None:
            return
        self._is_looking = True
        self.run_worker(self._look_in_thread, thread=True, group="beat")

    def _look_in_thread(self) -> None:
        desk = self.desk
        assert desk is not None
        try:
            outcome = attempt(desk.pulse)
            pulse = outcome.value
            if pulse is None:
                trouble = outcome.error.message if outcome.error else ""
                pulse = Pulse(trouble=trouble)
            if get_current_worker().is_cancelled:
                return
            if pulse != self.pulse or not self.has_beaten:
                self.post_message(Beat(pulse, self.pulse if self.has_beaten else None))
                self.has_beaten = True
            if self.word == "tower":
                load = attempt(desk.machine).value
                self.call_later(self._show_machine, load)
        finally:
            self._is_looking = False

    def _show_machine(self, load: Machine | None) -> None:
        if load is not None and isinstance(self.page, TowerScreen) and self.page.is_mounted:
            self.page.show_machine(load)

    @on(Beat)
    def _beaten(self, event: Beat) -> None:
        if not self.screen_stack:  # the app is on its way out
            return
        self.pulse = event.pulse
        self._show_status()
        for screen in self.screen_stack[0].query("#screens > *").results():
            if screen.concerns(event.pulse, event.before):  # type: ignore[attr-defined]
                screen.changed(is_visible=screen is self.page)  # type: ignore[attr-defined]
        for shown in self.screen_stack[1:]:
            if isinstance(shown, JobsPanel):
                shown.show(event.pulse)
            elif isinstance(shown, View) and event.before and event.before.seq != event.pulse.seq:
                shown.changed()
        if event.before is not None:
            self._tell_ends(event.before, event.pulse)

    def _tell_ends(self, before: Pulse, pulse: Pulse) -> None:
        was_alive = {job.job for job in before.running}
        for job in pulse.jobs:
            is_own = job.job in self._own_jobs
            if job.is_alive or not (job.job in was_alive or is_own):
                continue
            request = self._own_jobs.pop(job.job, None)
            if job.status == "failed" and request is not None:
                error = StackError(job.error or "It failed.", "Its log: J. To change it: c.")
                self.push_screen(error_dialog(f"{job.command} failed", error))
            elif job.status != "failed" or not self._is_told(job.job):
                severity = "information" if job.status == "finished" else "warning"
                why = f": {job.error}" if job.status == "failed" and job.error else ""
                self._announce(f"{job.command} {job.status}{why}", severity)

    def _is_told(self, job: str) -> bool:
        """Return whether the view that is looked at, under its dialogs, shows a job's error."""
        view = next((it for it in reversed(self.screen_stack) if isinstance(it, View)), None)
        return view is not None and view.tells_of(job)

    def _show_status(self) -> None:
        line = self.screen_stack[0].query_one(StatusLine)
        desk = self.desk
        if desk is None:
            return
        line.show(
            self.pulse,
            actor=desk.workspace.actor if not self.pulse.trouble else "",
            changed_at=desk.now().strftime("%H:%M:%S UTC"),
            is_readonly=desk.is_readonly,
        )

    def _show_keys(self) -> None:
        bar = self.screen_stack[0].query_one("#keybar", KeyBar)
        focused = self.screen_stack[0].focused
        bar.show(*self._scopes_of(focused))

    def _scopes_of(self, focused: Any) -> tuple[str, ...]:
        if self.desk is None:
            return ("welcome", "app")
        for it in focused.ancestors if focused is not None else ():
            if isinstance(it, FilterBar | Correction):
                return it.SCOPES
        if self.word == "tower":
            return ("tower", "app")
        return (self.word, "list", "table", "detail", "app")

    # Going about.

    def action_go(self, word: str) -> None:
        """Show the screen of a word; it is made when it is first shown."""
        if self.desk is None:
            return
        self.word = word
        self.query_one(WordTabs).current = word
        switcher = self.query_one(ContentSwitcher)
        if self.page is None:
            switcher.add_content(SCREENS[word](self.desk), id=word, set_current=True)
        else:
            switcher.current = word
            if self.page.is_mounted:  # otherwise it enters by itself when it is
                self.page.entered()
        self.call_after_refresh(self._show_keys)

    @on(WordTabs.Chosen)
    def _tab_chosen(self, event: WordTabs.Chosen) -> None:
        self.action_go(event.word)

    @on(Opened)
    def _part_opened(self, event: Opened) -> None:
        if event.word == "jobs":
            self.action_jobs()
        else:
            self.action_go(event.word)

    @on(Revealed)
    def _reveal(self, event: Revealed) -> None:
        self.action_go("data")
        self._reveal_once_there(event)

    def _reveal_once_there(self, event: Revealed) -> None:
        if self.page is not None and self.page.is_mounted:
            self.page.reveal(event.dataset, event.version)
        else:
            self.call_after_refresh(self._reveal_once_there, event)

    @on(StatusLine.Opened)
    def action_jobs(self) -> None:
        """Open the jobs."""
        if self.desk is not None and not isinstance(self.screen, JobsPanel):
            self.push_screen(JobsPanel(self.desk, self.pulse))

    def action_step_back(self) -> None:
        """Undo one step of what is open; do nothing when nothing is."""
        if self.page is not None:
            self.page.step_back()

    def action_help(self) -> None:
        """Show every key that works where the focus is."""
        scopes = self._scopes_of(self.screen_stack[0].focused)
        word = self.word if self.desk else "app"
        self.push_screen(help_dialog(word, scopes if "app" in scopes else (*scopes, "app")))

    def action_theme(self) -> None:
        """Change between the dark and the light theme."""
        self.theme = theme.other(self.theme)

    def action_repeat(self) -> None:
        """Show how to repeat, without the app, what was done last and what is selected."""
        page = self.page
        selected = page.repeats(page.selected or {}) if page and _has_record(page) else None
        listed = page.listed() if isinstance(page, RecordsScreen) else None
        found = [
            ("Done last", self._last_done),
            (f"Selected in {self.word}", selected),
            (f"Listed in {self.word}", listed),
        ]
        requests = [(title, request) for title, request in found if request is not None]
        if not requests:
            self._announce("Nothing is selected, and nothing was done yet.", "warning")
            return
        dialog = attempt(lambda: repeat_dialog(requests))
        if dialog.value is not None:
            self.push_screen(dialog.value)
        elif dialog.error is not None:
            self.push_screen(error_dialog("There is no command for this", dialog.error))

    @on(Copied)
    def _copied(self, event: Copied) -> None:
        self.copy_to_clipboard(event.text)
        self._announce(f"Copied: {event.text}" if len(event.text) < 60 else "Copied.")

    def _announce(self, text: str, severity: Any = "information") -> None:
        """Say something in passing."""
        self.notify(safe(text, 240), severity=severity, markup=False)

    # Doing.

    @on(Asked)
    def _asked(self, event: Asked) -> None:
        found = attempt(lambda: command(event.request.command))
        if found.error is not None:
            self.push_screen(error_dialog(f"{event.request.command} cannot run", found.error))
        elif event.is_form:
            self.push_screen(CommandForm(event.request), self._confirm)
        else:
            self._confirm(event.request)

    def _confirm(self, request: Request | None) -> None:
        """Ask before a request that takes something away, then start it."""
        if request is None:
            return
        question = question_for(request)
        if question is None:
            self._start(request)
            return
        self.push_screen(
            Confirm(*question), lambda is_sure: self._start(request) if is_sure else None
        )

    def _start(self, request: Request) -> None:
        desk = self.desk
        if desk is None:
            return

        def work() -> None:
            outcome = attempt(lambda: desk.perform(request))
            self.post_message(Ended(request, outcome))

        self.run_worker(work, thread=True, group="doing")

    @on(Ended)
    def _ended(self, event: Ended) -> None:
        request, outcome = event.request, event.outcome
        if outcome.value is None:
            error = outcome.error or StackError("Nothing came back.")
            self.push_screen(error_dialog(f"{request.command} did not succeed", error))
            return
        self._last_done = request
        job, result = outcome.value
        if job:
            self._own_jobs[job] = request
            self._announce(f"{request.command} started; J shows how far it is")
        elif request.shows_result and hasattr(result, "to_dict"):
            self.push_screen(result_dialog(request.command, result.to_dict()))
        else:
            self._announce(f"{request.command} done")
        self._look()

    # Without a workspace.

    @on(Welcome.Chosen)
    def _welcomed(self, event: Welcome.Chosen) -> None:
        if event.way == "demo":
            self._run_demo(Path.cwd() / "paceml-demo")
        else:
            self._make(Path.cwd() / "paceml")

    def _make(self, folder: Path) -> None:
        from local_stack.workspace import Workspace

        made = attempt(lambda: Workspace.create(folder).close())
        self._move_in(folder, made)

    def _run_demo(self, folder: Path) -> None:
        """Give the terminal to the demo, which tells what it does, and open its workspace."""
        with self.suspend():
            done = subprocess.run(  # noqa: S603 - our own program
                [sys.executable, "-m", "paceml_tui", "demo", os.fspath(folder)], check=False
            )
        made: Outcome[None] = Outcome()
        if done.returncode:
            error = StackError(
                f"The demo ended with code {done.returncode}.",
                "Run it to read why: paceml-tui demo",
            )
            made = Outcome(error=error)
        self._move_in(folder, made)

    def _move_in(self, folder: Path, made: Outcome[None]) -> None:
        if made.error is not None:
            self.query_one(Welcome).refuse(made.error)
            return
        self.desk = Desk(folder, clock=self._clock, measure=self._measure)
        self.query_one(StatusLine).rename(folder.name)
        self.query_one(Welcome).remove()
        self.screen.remove_class("-homeless")
        self._begin()

    def on_unmount(self) -> None:
        """Release the workspace; what it learned is published for the next process."""
        if self.desk is not None:
            attempt(self.desk.close)


def _has_record(page: Any) -> bool:
    return page.selected is not None or isinstance(page, TowerScreen)


def run(root: Path | None, *, readonly: bool = False) -> int:
    """Run the app on the workspace at ``root`` until it is left; None shows the welcome."""
    app = PacemlApp(root, is_readonly=readonly)
    return app.run() or app.return_code or 0
