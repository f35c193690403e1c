"""The list of runs as it is read: pages of the run index, and looks at the store behind it.

The store is looked at in a thread of its own: before anything is shown where it never was, and
then now and again while the screen is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from textual import on
from textual.message import Message
from textual.timer import Timer

from local_stack.progress import Progress, Step
from paceml_tui.render import Text, glyph, styled
from paceml_tui.screens import runs_columns, runs_filter
from paceml_tui.screens.runs_remembered import Remembered, recall
from paceml_tui.tasks import Outcome, Request, Row, attempt
from paceml_tui.widgets.records import RecordsScreen
from paceml_tui.widgets.table import Column, Listing

Lifecycle = Literal["active", "deleted", "all"]
STATES: tuple[Lifecycle, ...] = ("active", "deleted", "all")

_LOOK_SECONDS = 5.0
_REST = 20.0
"""The store is looked at again after so many times what looking took, or later."""

_COLUMNS = (
    "run_id, name, experiment, experiment_id, status, lifecycle, actor, artifact_uri, "
    "started_at, ended_at, params, metrics, tags, datasets, target, parent, problem, source, job"
)


class Looked(Message):
    """The store was looked at; ``is_new`` tells whether the index is another one now."""

    def __init__(self, outcome: Outcome[tuple[bool, float]]) -> None:
        super().__init__()
        self.outcome = outcome


class RunsList(RecordsScreen):
    """Runs of every experiment or of one, in a state; the filter takes MLflow's grammar too."""

    WORD = "runs"
    NOUN = "runs"
    KEY = ("run_id",)
    SEARCH = ("run_id", "name", "experiment", "status", "actor", "params", "tags", "target")
    SORTED_BY = "started"
    EMPTY = "No run yet. Press n to train a model from a recipe file."
    PAGE = 200  # as many as are drawn while one types, without a pause
    FILTER_HINT = "words, or: metrics.rmse < 1 and params.model = 'tree'"

    experiment = ""
    """The experiment whose runs are listed; '' when those of all are."""
    lifecycle: Lifecycle = "active"
    is_nested_hidden = False
    """Whether runs that are nested in another, such as the trials of a study, are left out."""
    warnings: tuple[str, ...] = ()
    """What the last look at the store had to warn of."""
    known: Mapping[str, tuple[str, ...]] = {}
    """The keys of the params, metrics and tags of all runs."""

    unfiltered: Sequence[Row] = ()
    """The runs that stood here when there was last no filter."""

    _known_of: object = None
    _is_looking = False
    _next_look: Timer | None = None
    _marked: tuple[str, ...] = ()
    _remembered = Remembered()

    def relation(self) -> tuple[str, str, tuple[Any, ...]]:
        """Return the runs of the experiment that are in the state."""
        conditions: list[str] = ["true"]
        values: list[str] = []
        if self.lifecycle != "all":
            conditions.append("coalesce(lifecycle, 'active') = ?")
            values.append(self.lifecycle)
        if self.experiment:
            conditions.append("experiment = ?")
            values.append(self.experiment)
        if self.is_nested_hidden:
            conditions.append("coalesce(parent, '') = ''")
        return _COLUMNS, f"found_runs WHERE {' AND '.join(conditions)}", tuple(values)

    @property
    def noun(self) -> str:
        """Return what is listed: runs, and of which experiment and state."""
        state = "" if self.lifecycle == "active" else f"{self.lifecycle} "
        return f"{state}runs of {self.experiment}" if self.experiment else f"{state}runs"

    def columns(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Return the columns that were chosen, or those of the most frequent keys."""
        found = runs_columns.columns(rows, self._remembered.columns)
        if self.experiment and "columns" not in self._remembered.columns:
            found = tuple(it for it in found if it.title != "experiment")  # it is in the title
        return (Column("mark", self._mark, rank=0, most=4), *found) if self._marked else found

    def condition(self, text: str) -> tuple[str, tuple[Any, ...], str]:
        """Take the text as a search when it is one, otherwise as words."""
        found = runs_filter.read(text)
        if found.kind == "search":
            return found.sql, found.values, "by search"
        return super().condition(text)

    def read(self) -> Listing:
        """Return the page; the store is looked at before, where it never was."""
        workspace = self.desk.workspace
        if not self._known_of:
            self._remembered = recall(workspace.root / "cache")
            self._look_first()
        listing = super().read()
        self._read_keys()
        if not self.filter_text:
            self.unfiltered = listing.rows
        return replace(listing, rows=tuple(self._true_status(row) for row in listing.rows))

    def _look_first(self) -> None:
        from local_stack.runs.syncing import before_reading
        from local_stack.stores.run_index.syncing import synced_at

        workspace = self.desk.workspace
        if synced_at(workspace.run_index) is None and not workspace.is_readonly:
            self.warnings = before_reading(workspace, self._telling())

    def _telling(self) -> Progress:
        def tell(step: Step) -> None:
            if self.state == "loading":
                shown = styled(f"Reading the runs... {step.label}", "quiet")
                self.app.call_from_thread(self.notice.update, shown)

        return tell

    def _true_status(self, row: Row) -> Row:
        """Return a run whose process is gone as the killed one it is."""
        if row["status"] != "RUNNING" or row["source"] != "workspace":
            return row
        from local_stack.runs.records import status

        return {**row, "status": status(self.desk.workspace, row)}

    def _read_keys(self) -> None:
        """Read which params, metrics and tags there are, when that may have changed."""
        workspace = self.desk.workspace
        state = (workspace.metadata.position.seq, workspace.run_index.stamps())
        if state == self._known_of:
            return
        self.known = {
            group: tuple(row["key"] for row in self.desk.query(keys_of(group)))
            for group in runs_columns.GROUPS
        }
        self._known_of = state

    def listed(self) -> Request | None:
        """Return the command that lists what is listed here, where there is one."""
        found = runs_filter.read(self.filter_text)
        if self.is_nested_hidden or found.kind not in ("none", "search"):
            return None
        arguments: dict[str, Any] = {"filter": self.filter_text} if self.filter_text else {}
        if self.experiment:
            arguments["experiment"] = self.experiment
        if self._order_clause():
            arguments["order_by"] = (self._order_clause(),)
        if self.lifecycle != "active":
            arguments["state"] = self.lifecycle
        return Request("runs.search", {**arguments, "limit": self.PAGE})

    def _order_clause(self) -> str:
        columns = self.listing.columns if self.listing else ()
        chosen = next((it for it in columns if it.title == self._sorted_by), None)
        if chosen is None or (self._sorted_by == self.SORTED_BY and self._descending):
            return ""  # the newest first is what the command does by itself
        field = runs_columns.field_of(chosen)
        return f"{field} {'DESC' if self._descending else 'ASC'}" if field else ""

    def _mark(self, row: Row) -> Text:
        return styled(glyph("good"), "accent") if row["run_id"] in self._marked else styled("")

    # Looking at the store.

    def on_mount(self) -> None:
        """Begin to read, and to look at the store now and again."""
        super().on_mount()
        self._look_in(_LOOK_SECONDS)

    def entered(self) -> None:
        """Read again if something changed, and look at the store for what others wrote."""
        super().entered()
        if self.listing is not None:
            self._look()

    def _look(self) -> None:
        """Look in a thread whether anybody wrote to the store, while the screen is seen."""
        if self._is_looking or not self.is_attached:
            return
        if self.app.screen is not self.screen or not self.display or self.desk.is_readonly:
            self._look_in(_LOOK_SECONDS)
            return
        self._is_looking = True

        def look() -> tuple[bool, float]:
            from local_stack.runs.syncing import before_reading

            workspace = self.desk.workspace
            before = workspace.run_index.stamps()
            self.warnings = before_reading(workspace)
            return workspace.run_index.stamps() != before, workspace.run_index.looked[1]

        def work() -> None:
            self.post_message(Looked(attempt(look)))

        self.run_worker(work, thread=True, group="look")

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        event.stop()
        self._is_looking = False
        is_new, seconds = event.outcome.value or (False, 0.0)
        if is_new:
            self.changed(is_visible=self.display)
        self._look_in(max(_LOOK_SECONDS, _REST * seconds))

    def _look_in(self, seconds: float) -> None:
        """Look at the store in so many seconds, and not before."""
        if self._next_look is not None:
            self._next_look.stop()
        self._next_look = self.set_timer(seconds, self._look)


def keys_of(group: str) -> str:
    """Return the SELECT of the keys of a group, the most frequent first."""
    return (
        "SELECT key, count(*) AS n FROM "  # noqa: S608 - a name of ours
        f"(SELECT unnest(json_keys({group})) AS key FROM found_runs) "
        "GROUP BY key ORDER BY n DESC, key LIMIT 5000"
    )
