"""Registry: model versions, their stages, and how they came there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paceml_tui import keys
from paceml_tui.render import (
    Block,
    Text,
    fields,
    glyph,
    grid,
    heading,
    join,
    moment,
    number,
    pairs,
    stack,
    status,
    styled,
)
from paceml_tui.tasks import Request, Row
from paceml_tui.widgets.records import RecordsScreen
from paceml_tui.widgets.table import Column

_STAGE_ORDER = (
    "CASE stage WHEN 'Production' THEN 3 WHEN 'Staging' THEN 2 WHEN 'None' THEN 1 ELSE 0 END"
)


class RegistryScreen(RecordsScreen):
    """Every version of every registered model."""

    BINDINGS = keys.bindings("registry")
    WORD = "registry"
    NOUN = "model versions"
    SOURCE = """
        SELECT v.name, v.version, v.stage, v.run_id, v.model, v.actor, v.created_at, v.updated_at,
               m.description, m.latest, r.metrics, r.experiment
        FROM model_versions v LEFT JOIN models m USING (name) LEFT JOIN runs r USING (run_id)
    """
    KEY = ("name", "version")
    SEARCH = ("name", "version", "stage", "run_id", "actor", "description", "experiment")
    SORTED_BY = "stage"
    EMPTY = "No registered model yet. Press n to register the model of a run."

    def columns(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Return the columns."""
        return COLUMNS

    def name_of(self, row: Row) -> str:
        """Return NAME/VERSION."""
        return f"{row['name']}/{row['version']}"

    def arguments_for(self, command: str, row: Row | None) -> dict[str, Any]:
        """Promote the selected version to the stage that follows its own."""
        if row is None:
            return {}
        if command == "registry.register":
            return {"name": row["name"]}
        stage = "Production" if row["stage"] == "Staging" else "Staging"
        return {"name": row["name"], "version": str(row["version"]), "stage": stage}

    def action_explain(self) -> None:
        """Show why the selected version predicts what it does."""
        from paceml_tui.screens.explain_view import ExplanationView

        row = self.selected
        if row is not None:
            name = self.name_of(row)
            self.app.push_screen(ExplanationView(self.desk, name, name))

    def repeats(self, row: Row) -> Request:
        """Return the command that shows the selected version."""
        return Request("registry.show", {"name": self.name_of(row)})

    def detail(self, row: Row) -> Block:
        """Return the version, its run's metrics, and every change of stage of the model."""
        history = self.desk.query(
            'SELECT * FROM stage_changes WHERE name = ? ORDER BY "at" DESC LIMIT 50', row["name"]
        )
        return stack(
            heading(self.name_of(row), status(row["stage"])),
            fields(
                [
                    ("run", styled(row["run_id"])),
                    ("experiment", styled(row["experiment"])),
                    ("made", join(moment(row["created_at"]), styled("by"), styled(row["actor"]))),
                    ("latest", join(styled("version"), number(row["latest"]))),
                    ("about", styled(row["description"] or glyph("none"))),
                    *_model(row["model"]),
                ]
            ),
            *_metrics(row["metrics"]),
            styled(""),
            heading("Stage history"),
            _history(history),
        )


def _model(model: Any) -> list[tuple[str, Text]]:
    if not isinstance(model, Mapping):
        return []
    plain = {key: value for key, value in model.items() if isinstance(value, str | int | float)}
    return pairs(plain, 80)


def _metrics(metrics: Any) -> list[Block]:
    if not metrics:
        return []
    return [
        styled(""),
        heading("Metrics"),
        fields((name, number(value)) for name, value in metrics.items()),
    ]


def _history(changes: Sequence[Row]) -> Block:
    if not changes:
        return styled("No version of it has changed its stage yet.", "quiet")
    rows = [
        (
            moment(change["at"]),
            join(styled("v", "quiet"), number(change["version"]), gap=""),
            join(
                styled(change["previous"], "quiet"), styled(glyph("arrow")), status(change["stage"])
            ),
            styled(change["actor"], limit=14),
            styled(change["reason"], "quiet", limit=60),
        )
        for change in changes
    ]
    return grid(("at", "version", "stage", "by", "why"), rows)


COLUMNS = (
    Column("model", lambda row: styled(row["name"]), order="name", is_wide=True, rank=0, most=40),
    Column("version", lambda row: number(row["version"]), order="version", is_number=True, rank=1),
    Column("stage", lambda row: status(row["stage"]), order=_STAGE_ORDER, rank=2),
    Column("run", lambda row: styled(row["run_id"], "quiet", 12), rank=6, most=12),
    Column("by", lambda row: styled(row["actor"]), order="actor", rank=5, most=12),
    Column("created", lambda row: moment(row["created_at"]), order="created_at", rank=3),
    Column("changed", lambda row: moment(row["updated_at"]), order="updated_at", rank=4),
)
