"""Audit: every recorded decision, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from paceml_tui import keys
from paceml_tui.render import (
    Block,
    document,
    fields,
    heading,
    number,
    stack,
    styled,
)
from paceml_tui.tasks import Asked, Request, Row
from paceml_tui.widgets.records import RecordsScreen
from paceml_tui.widgets.table import Column


class AuditScreen(RecordsScreen):
    """Who did what to which, when."""

    BINDINGS = keys.bindings("audit")
    WORD = "audit"
    NOUN = "events"
    SOURCE = "SELECT * FROM events"
    KEY = ("seq",)
    SEARCH = ('"at"', "actor", "command", "kind", "subject", "body")
    SORTED_BY = "seq"
    EMPTY = "No event yet. Press 2 and then n to add a data set: that is the first one."

    def columns(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Return the columns; the command goes first when there is no room."""
        return COLUMNS

    def repeats(self, row: Row) -> Request:
        """Return the command that lists what happened to the same subject."""
        return Request("audit.log", {"subject": row["subject"]})

    def action_ask(self, command: str) -> None:
        """Verify at once: there is nothing to fill in."""
        self.post_message(Asked(Request(command, shows_result=True), is_form=False))

    def detail(self, row: Row) -> Block:
        """Return the event with its body."""
        return stack(
            heading(f"{row['seq']}", styled(row["kind"], "accent")),
            fields(
                [
                    ("at", styled(row["at"])),
                    ("actor", styled(row["actor"])),
                    ("command", styled(row["command"] or "outside of a command")),
                    ("subject", styled(row["subject"])),
                    ("hash", styled(row["hash"], "quiet")),
                ]
            ),
            styled(""),
            heading("Body"),
            document(row["body"] or {}),
        )


COLUMNS = (
    Column("seq", lambda row: number(row["seq"]), order="seq", is_number=True, rank=0),
    Column("at", lambda row: styled(row["at"][:19].replace("T", " ")), order='"at"', rank=1),
    Column("actor", lambda row: styled(row["actor"]), order="actor", rank=4, most=12),
    Column("kind", lambda row: styled(row["kind"], "accent"), order="kind", rank=2, most=22),
    Column(
        "command", lambda row: styled(row["command"], "quiet"), order="command", rank=5, most=20
    ),
    Column(
        "subject",
        lambda row: styled(row["subject"]),
        order="subject",
        is_wide=True,
        rank=3,
        most=60,
    ),
)
