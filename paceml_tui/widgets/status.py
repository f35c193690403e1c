"""The status line: where, who, what runs, what is damaged, and when something last changed."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widgets import Static

from paceml_tui.render import Text, cells, fit, glyph, join, styled
from paceml_tui.tasks import Pulse


class StatusLine(Static):
    """One row above the footer."""

    class Opened(Message):
        """Somebody clicked the line to see the jobs."""

    def __init__(self, workspace: str) -> None:
        super().__init__(id="status")
        self._workspace = workspace
        self._actor = ""
        self._pulse = Pulse()
        self._changed_at = ""
        self._is_readonly = False

    def show(self, pulse: Pulse, *, actor: str, changed_at: str, is_readonly: bool) -> None:
        """Take over what is new and draw it."""
        self._pulse = pulse
        self._actor = actor
        self._changed_at = changed_at
        self._is_readonly = is_readonly
        self.refresh()

    def rename(self, workspace: str) -> None:
        """Show another workspace's name."""
        self._workspace = workspace
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Open the jobs."""
        self.post_message(self.Opened())

    def render(self) -> Text:
        """Draw the line; what is left of the row after the right end goes to the left end."""
        right_end = self._right()
        room = self.content_size.width - cells(right_end) - 2
        left_end = fit(self._left(), max(0, room))
        gap = " " * max(1, self.content_size.width - cells(left_end) - cells(right_end))
        return join(left_end, right_end, gap=gap)

    def _left(self) -> Text:
        return join(
            styled(self._workspace, "strong", limit=24),
            styled(self._actor, "quiet", limit=16),
            styled("read-only", "warning") if self._is_readonly else styled(""),
            self._trouble(),
            self._jobs(),
            gap="  ",
        )

    def _trouble(self) -> Text:
        text = self._pulse.trouble or self._pulse.damage
        return styled(f"{glyph('bad')} {text}" if text else "", "bad")

    def _jobs(self) -> Text:
        running = self._pulse.running
        if not running:
            return styled("")
        job = running[0]
        share = f"{min(100, 100 * job.done // job.total)}%" if job.total else ""
        more = f"and {len(running) - 1} more" if len(running) > 1 else ""
        return join(
            styled(f"{glyph('busy')} {job.command}", "accent", limit=30),
            styled(share, "accent"),
            styled(job.label, "quiet", limit=30),
            styled(more, "quiet"),
        )

    def _right(self) -> Text:
        return styled(f"as of {self._changed_at}" if self._changed_at else "", "quiet")
