"""Serving: endpoints, and whether the processes behind them live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paceml_tui import keys
from paceml_tui.render import (
    Block,
    Text,
    elapsed,
    fields,
    glyph,
    grid,
    heading,
    join,
    moment,
    number,
    stack,
    status,
    styled,
)
from paceml_tui.tasks import Asked, Pulse, Request, Row, is_live
from paceml_tui.widgets.records import RecordsScreen
from paceml_tui.widgets.table import Column


class ServingScreen(RecordsScreen):
    """Endpoints, those that were stopped included."""

    BINDINGS = keys.bindings("serving")
    WORD = "serving"
    NOUN = "endpoints"
    SOURCE = """
        SELECT e.*, (SELECT sum(s.n_predictions) FROM prediction_segments s
                     WHERE s.endpoint = e.name) AS n_predictions
        FROM endpoints e
    """
    KEY = ("name",)
    SEARCH = ("name", "model", "version", "url", "actor")
    SORTED_BY = "started"
    EMPTY = "No endpoint yet. Press n to serve a registered model."

    def columns(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Return the columns."""
        return COLUMNS

    def concerns(self, pulse: Pulse, before: Pulse | None) -> bool:
        """Read again after events, and when a process came or went."""
        return super().concerns(pulse, before) or before is None or pulse.live != before.live

    def arguments_for(self, command: str, row: Row | None) -> dict[str, Any]:
        """Predict with the selected endpoint, or serve its model again."""
        if row is None:
            return {}
        return {"target": row["model"]} if command == "serving.start" else {"endpoint": row["name"]}

    def repeats(self, row: Row) -> Request:
        """Return the command that shows the selected endpoint."""
        return Request("serving.status", {"endpoint": row["name"]})

    def action_ask(self, command: str) -> None:
        """Open the form; a prediction is shown when it comes back."""
        arguments = self.arguments_for(command, self.selected)
        is_prediction = command == "serving.predict"
        self.post_message(Asked(Request(command, arguments, shows_result=is_prediction)))

    def action_stop(self) -> None:
        """Ask whether to stop the selected endpoint."""
        row = self.selected
        if row is not None and row["stopped_at"] is None:
            request = Request("serving.stop", {"endpoint": row["name"]})
            self.post_message(Asked(request, is_form=False))

    def detail(self, row: Row) -> Block:
        """Return the endpoint and what it has logged."""
        segments = self.desk.query(
            "SELECT * FROM prediction_segments WHERE endpoint = ? ORDER BY last_at DESC LIMIT 30",
            row["name"],
        )
        ended = row["stopped_at"] or self.desk.now().isoformat()
        return stack(
            heading(row["name"], state(row)),
            fields(
                [
                    ("model", styled(f"{row['model']}/{row['version']}")),
                    ("url", styled(row["url"], "accent")),
                    (
                        "process",
                        number(row["pid"]) if row["pid"] else styled(glyph("none"), "quiet"),
                    ),
                    (
                        "started",
                        join(moment(row["started_at"]), styled("by"), styled(row["actor"])),
                    ),
                    ("stopped", moment(row["stopped_at"])),
                    ("ran", elapsed(row["started_at"], ended) if is_live(row) else _ran(row)),
                    ("predictions", number(row["n_predictions"] or 0)),
                ]
            ),
            _advice(row),
            styled(""),
            heading("Logged predictions"),
            _segments(segments),
        )


def state(row: Row) -> Text:
    """Return whether the endpoint is up, was stopped, or died without saying so."""
    if row["stopped_at"] is not None:
        return status("stopped")
    return status("up" if is_live(row) else "dead")


def _ran(row: Row) -> Text:
    return elapsed(row["started_at"], row["stopped_at"])


def _advice(row: Row) -> Text | None:
    if row["stopped_at"] is not None or is_live(row):
        return None
    return styled("Its process is gone. Press n to start it again, x to record the end.", "warning")


def _segments(segments: Sequence[Row]) -> Block:
    if not segments:
        return styled("None are sealed yet.", "quiet")
    rows = [
        (
            styled(segment["segment"], limit=30),
            number(segment["n_predictions"]),
            moment(segment["first_at"]),
            moment(segment["last_at"]),
        )
        for segment in segments
    ]
    return grid(("segment", "rows", "from", "to"), rows, (1,))


COLUMNS = (
    Column(
        "endpoint", lambda row: styled(row["name"]), order="name", is_wide=True, rank=0, most=36
    ),
    Column("state", state, order="stopped_at", rank=1),
    Column(
        "model",
        lambda row: styled(f"{row['model']}/{row['version']}"),
        order="model",
        rank=3,
        most=26,
    ),
    Column("url", lambda row: styled(row["url"], "quiet"), order="port", rank=5, most=26),
    Column(
        "logged",
        lambda row: number(row["n_predictions"] or 0),
        order="n_predictions",
        is_number=True,
        rank=4,
    ),
    Column("started", lambda row: moment(row["started_at"]), order="started_at", rank=2),
)
