"""What leads to a training: the forms filled in from the workspace, and the list of trainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.widget import Widget
from textual.worker import get_current_worker

from paceml_tui.screens.runs_forms import BranchForm, TrainForm
from paceml_tui.screens.runs_training import TrainingView, choose, watched
from paceml_tui.tasks import Desk, Request, attempt
from paceml_tui.widgets.dialog import error_dialog

Went = Callable[[Any], None]
"""Takes the version of the data that somebody wants to go to, or None."""


def train(host: Widget, desk: Desk, went: Went) -> None:
    """Open the form of a training or a tuning."""

    def read() -> Any:
        return desk.query("SELECT name, target FROM datasets ORDER BY name")

    def show(rows: Any) -> None:
        host.app.push_screen(TrainForm(desk, rows), lambda asked: _start(host, desk, asked, went))

    _aside(host, read, show, "No training can be begun")


def branch(host: Widget, desk: Desk, run: str, name: str, went: Went) -> None:
    """Open the form of a variant of a run."""

    def read() -> Any:
        from local_stack.runs.recorded import of_id

        return of_id(desk.workspace, run).recipe

    def show(recipe: Any) -> None:
        form = BranchForm(desk, run, name, recipe)
        host.app.push_screen(form, lambda asked: _start(host, desk, asked, went))

    _aside(host, read, show, "This run cannot be branched from")


def watch(host: Widget, desk: Desk, went: Went) -> None:
    """Choose one of the trainings, and show it."""
    _aside(
        host,
        lambda: watched(desk),
        lambda found: choose(host.app, desk, found, went),
        "The trainings cannot be listed",
    )


def _start(host: Widget, desk: Desk, request: Request | None, went: Went) -> None:
    if request is not None:
        host.app.push_screen(TrainingView(desk, request=request), went)


def _aside(host: Widget, read: Callable[[], Any], show: Callable[[Any], None], failed: str) -> None:
    """Read in a thread, and go on with what was read, or say why it cannot be."""

    def work() -> None:
        worker = get_current_worker()
        outcome = attempt(read)
        if worker.is_cancelled:
            return
        if outcome.error is not None:
            host.app.call_from_thread(host.app.push_screen, error_dialog(failed, outcome.error))
        else:
            host.app.call_from_thread(show, outcome.value)

    host.run_worker(work, thread=True, exclusive=True, group="begin")
