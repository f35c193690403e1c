"""The panel of the workspace's jobs: what runs, how far, what it printed, how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Label, Static
from textual.worker import get_current_worker

from local_stack.errors import InputError
from paceml_tui import keys
from paceml_tui.render import (
    Block,
    Text,
    bar,
    count,
    elapsed,
    join,
    moment,
    pairs,
    percent,
    safe,
    stack,
    status,
    styled,
)
from paceml_tui.tasks import Desk, Outcome, Pulse, Row, attempt
from paceml_tui.widgets.dialog import Confirm, error_dialog, result_dialog
from paceml_tui.widgets.keybar import KeyBar
from paceml_tui.widgets.records import Copied, Described
from paceml_tui.widgets.table import Column, Listing, RecordTable

if TYPE_CHECKING:
    from local_stack.jobs import Job


class JobsPanel(ModalScreen[None]):
    """Every job of the workspace, whoever started it: the list over the log of one."""

    BINDINGS = keys.bindings("jobs")
    AUTO_FOCUS = "RecordTable"

    def __init__(self, desk: Desk, pulse: Pulse) -> None:
        super().__init__()
        self._desk = desk
        self._pulse = pulse
        self._cancelled: set[str] = set()
        self._described = ""
        self._printed = ""

    def compose(self) -> ComposeResult:
        """Lay out the list over the log."""
        with Vertical(classes="dialog large"):
            yield Label(styled("Jobs", "heading"), classes="title")
            yield RecordTable()
            with VerticalScroll(classes="page", can_focus=False):
                yield Static(styled("No job has run yet.", "quiet"))
            yield KeyBar("jobs", "table")

    @property
    def _job(self) -> Job | None:
        row = self.query_one(RecordTable).selected
        return row["record"] if row else None

    def on_mount(self) -> None:
        """Show what is known already."""
        self.call_after_refresh(self.show, self._pulse)

    def show(self, pulse: Pulse) -> None:
        """Show the jobs as they are now."""
        self._pulse = pulse
        rows = tuple(
            {
                "job": job.job,
                "command": job.command,
                "status": job.status,
                "started_at": job.started_at,
                "record": job,
            }
            for job in pulse.jobs
        )
        listing = Listing(COLUMNS, rows, len(rows), len(rows), 0, "", False)
        self.query_one(RecordTable).fill(listing, lambda row: str(row["job"]))
        running = len(pulse.running)
        self.query_one(".title", Label).update(
            join(styled("Jobs", "heading"), count(len(rows), "job"), styled(f"{running} at work"))
        )
        self._describe()

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._describe()

    def _describe(self) -> None:
        job = self._job
        if job is None:
            return

        def work() -> None:
            worker = get_current_worker()
            outcome: Outcome[Block] = attempt(lambda: self._block(job))
            if not worker.is_cancelled:
                self.post_message(Described(job.job, outcome))

        self.run_worker(work, thread=True, exclusive=True, group="job")

    def _block(self, job: Job) -> Block:
        self._printed = self._desk.job_log(job.job)
        tail = "\n".join(self._printed.rstrip().split("\n")[-200:])
        asked = [join(styled(name, "quiet"), text) for name, text in pairs(job.arguments, 60)]
        return stack(
            join(styled(job.job), styled("by", "quiet"), styled(job.actor), *asked, gap="  "),
            styled(job.error, "bad", limit=600) if job.error else None,
            styled(""),
            styled(tail or "It printed nothing.", "" if tail else "quiet", is_block=True),
        )

    @on(Described)
    def _show_detail(self, event: Described) -> None:
        event.stop()
        page = self.query_one(".page", VerticalScroll)
        shown: Block = event.block
        page.query_one(Static).update(shown)
        if event.name != self._described:
            page.scroll_home(animate=False)
        self._described = event.name

    @on(DataTable.RowSelected)
    def _selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        job = self._job
        if job is None:
            return
        result = attempt(lambda: self._desk.job_result(job.job))
        if result.error is not None:
            self.app.push_screen(error_dialog(job.command, result.error))
        elif result.value is None:
            error = InputError(f"{job.command} has returned nothing.", job.error or "")
            self.app.push_screen(error_dialog(job.command, error))
        else:
            self.app.push_screen(result_dialog(job.command, result.value))

    def action_cancel(self) -> None:
        """Ask whether to stop the job; when it was asked to stop before, whether to kill it."""
        job = self._job
        if job is None or not job.is_alive:
            return
        is_forced = job.job in self._cancelled
        verb = "Kill" if is_forced else "Cancel"
        lost = (
            "Its process ends at once; what it was writing is left to 'doctor'."
            if is_forced
            else "It stops at its next step and leaves nothing half-written; its work is lost."
        )

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self._cancelled.add(job.job)
                self.run_worker(
                    lambda: attempt(lambda: self._desk.cancel_job(job.job, force=is_forced)),
                    thread=True,
                    group="cancel",
                )

        self.app.push_screen(Confirm(f"{verb} {job.command} ({job.job})?", lost), answered)

    def action_copy(self) -> None:
        """Copy the end of the log."""
        self.app.post_message(Copied(safe(self._printed, 0, is_block=True)))

    def action_close(self) -> None:
        """Close the panel; the jobs go on."""
        self.dismiss(None)


def _progress(row: Row) -> Text:
    job: Job = row["record"]
    if not job.is_alive:
        return elapsed(job.started_at, job.ended_at)
    if not job.total:
        return styled(job.label, "quiet")
    share = min(1.0, job.done / job.total)
    return join(bar(share, 10), percent(round(share, 2)), styled(job.label, "quiet"))


COLUMNS = (
    Column("command", lambda row: styled(row["command"]), is_wide=True, rank=0),
    Column("status", lambda row: status(row["status"]), rank=1),
    Column("progress", _progress, rank=2, most=34),
    Column("started", lambda row: moment(row["started_at"]), rank=3),
)
