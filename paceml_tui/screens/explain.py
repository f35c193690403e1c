"""Explain: which features the predictions of a run rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual import on
from textual.message import Message

from paceml_tui import keys
from paceml_tui.render import (
    Block,
    Text,
    bar,
    fields,
    grid,
    heading,
    join,
    moment,
    number,
    numbers,
    stack,
    styled,
    value_text,
)
from paceml_tui.screens import explain_documents as documents
from paceml_tui.tasks import Outcome, Request, Row, attempt
from paceml_tui.widgets.chooser import Choice, Chooser, Chosen
from paceml_tui.widgets.dialog import error_dialog
from paceml_tui.widgets.records import RecordsScreen
from paceml_tui.widgets.table import Column

_MOST_FEATURES = 60


class Offered(Message):
    """What can be explained was read."""

    def __init__(self, outcome: Outcome[list[Choice]]) -> None:
        super().__init__()
        self.outcome = outcome


class ExplainScreen(RecordsScreen):
    """Runs that were explained."""

    BINDINGS = keys.bindings("explain")
    WORD = "explain"
    NOUN = "explanations"
    SOURCE = """
        SELECT e.*, r.name AS run_name, r.experiment, r.target, m.models
        FROM explanations e LEFT JOIN runs r USING (run_id) LEFT JOIN (
            SELECT run_id, string_agg(
                name || '/' || version || CASE stage WHEN 'None' THEN '' ELSE ' ' || stage END,
                ', ' ORDER BY name, version DESC
            ) AS models
            FROM model_versions GROUP BY run_id
        ) m USING (run_id)
    """
    KEY = ("run_id",)
    SEARCH = ("run_id", "run_name", "experiment", "models", "dataset", "unit", "importance")
    SORTED_BY = "created"
    EMPTY = "No explanation yet. Press n to explain a run or a registered model."

    def columns(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Return the columns."""
        return COLUMNS

    def action_explain(self) -> None:
        """Choose a run or a model version, and explain it."""

        def work() -> None:
            self.post_message(Offered(attempt(lambda: documents.targets(self.desk))))

        self.run_worker(work, thread=True, exclusive=True, group="find")

    @on(Offered)
    def _choose(self, event: Offered) -> None:
        event.stop()
        if event.outcome.error is not None:
            dialog = error_dialog("Nothing can be chosen", event.outcome.error)
            self.app.push_screen(dialog)
            return
        choices = event.outcome.value or []
        titles = {it.name: it.title for it in choices}
        empty = "There is no model yet. Train one on the Runs screen, with n."

        def take(chosen: Chosen | None) -> None:
            if chosen is not None:
                self._open(chosen.names[0], titles[chosen.names[0]])

        self.app.push_screen(
            Chooser("Explain a run or a model version", choices, empty=empty), take
        )

    def _open(self, target: str, called: str) -> None:
        from paceml_tui.screens.explain_view import ExplanationView  # not before the first frame

        self.app.push_screen(ExplanationView(self.desk, target, called))

    def open_detail(self) -> None:
        """Open the explanation of the selected run."""
        row = self.selected
        if row is not None:
            self._open(str(row["run_id"]), str(row["run_name"] or row["run_id"]))

    def action_detail(self) -> None:
        """Show what is recorded of the explanation, where it does not stand beside the list."""
        super().open_detail()

    def repeats(self, row: Row) -> Request:
        """Return the command that explains the selected run."""
        return Request("explain.model", {"target": row["run_id"]})

    def detail(self, row: Row) -> Block:
        """Return the importance of each feature as bars, and how exact the values are."""
        return stack(
            heading(row["run_name"] or row["run_id"], styled(row["experiment"], "quiet")),
            fields(
                [
                    ("run", styled(row["run_id"])),
                    ("models", value_text(row["models"])),
                    ("data", _version(row)),
                    ("rows", _sampled(row)),
                    ("unit", value_text(row["unit"])),
                    ("base value", number(row["base_value"])),
                    ("additivity", join(number(row["additivity_error"]), styled("at most off"))),
                    ("made", moment(row["created_at"])),
                ]
            ),
            styled(""),
            heading("Importance", styled("mean |SHAP|", "quiet")),
            importance(row["importance"] or []),
        )


def importance(found: Sequence[Any]) -> Block:
    """Return one bar a feature, the largest filling the width."""
    pairs = sorted((_pair(item) for item in found), key=lambda pair: -pair[1])
    if not pairs:
        return styled("No feature.", "quiet")
    highest = pairs[0][1] or 1.0
    shown = pairs[:_MOST_FEATURES]
    rows = [
        (styled(name, limit=26), bar(value / highest, 18), figure)
        for (name, value), figure in zip(
            shown, numbers([value for _, value in shown], 3), strict=True
        )
    ]
    table = grid(("feature", "", "mean |SHAP|"), rows, (2,))
    left = len(pairs) - _MOST_FEATURES
    return stack(table, styled(f"and {left} more", "quiet")) if left > 0 else table


def _pair(item: Any) -> tuple[str, float]:
    if not isinstance(item, Mapping):
        return str(item), 0.0
    value = item.get("mean_abs_shap")
    return str(item.get("feature")), float(value) if isinstance(value, int | float) else 0.0


def _version(row: Row) -> Text:
    return join(styled(row["dataset"]), styled(row["version"], "quiet"), gap="@")


def _sampled(row: Row) -> Text:
    whole = row["n_rows"] == row["n_total"]
    note = styled("all" if whole else "a sample", "quiet" if whole else "warning")
    return join(number(row["n_rows"]), styled("of"), number(row["n_total"]), note)


def _first(row: Row) -> Text:
    pairs = sorted((_pair(item) for item in row["importance"] or []), key=lambda pair: -pair[1])
    return styled(pairs[0][0] if pairs else None)


COLUMNS = (
    Column(
        "run",
        lambda row: join(
            styled(row["run_name"] or row["run_id"]), styled(row["experiment"], "quiet", 20)
        ),
        order="run_name",
        rank=0,
        most=36,
    ),
    Column("models", lambda row: styled(row["models"]), order="models", is_wide=True, rank=4),
    Column("first feature", _first, rank=2, most=22),
    Column("rows", lambda row: number(row["n_rows"]), order="n_rows", is_number=True, rank=3),
    Column("created", lambda row: moment(row["created_at"]), order="created_at", rank=1),
)
