"""One run in full: what it is, its curves, its params and tags, its files, its relatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import ContentSwitcher, Static

from local_stack.errors import NotFoundError
from paceml_tui import evaluations, keys, studies
from paceml_tui.evaluations import Picture
from paceml_tui.plots import Curve, curve_chart
from paceml_tui.render import (
    Block,
    Text,
    fields,
    heading,
    join,
    number,
    safe,
    stack,
    styled,
)
from paceml_tui.screens import runs_detail, runs_documents, runs_files
from paceml_tui.screens import runs_parts as parts
from paceml_tui.screens.data_parts import PartsView
from paceml_tui.screens.data_profile_parts import Lines, ListPart
from paceml_tui.screens.runs_columns import metric_value, status_of
from paceml_tui.tasks import Desk, Outcome, Request, Row, attempt
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.filter import FilterBar
from paceml_tui.widgets.records import WIDE, Copied
from paceml_tui.widgets.sheet import Sheet
from paceml_tui.widgets.view import IsLeft

PARTS = ("overview", "metrics", "params", "files", "nested", "evaluation", "study")
"""The parts in the order of their keys 1 to 7; the last two only where a run has them."""

DRAWN = ("evaluation", "study")
_ABSENT = {
    "evaluation": "This run has no evaluation: it has not ended, or was not trained here.",
    "study": "This run is no study; n on the Runs screen begins one.",
}


class Previewed(Message):
    """A file was looked into."""

    def __init__(self, path: str, outcome: Outcome[Block]) -> None:
        super().__init__()
        self.path = path
        self.outcome = outcome


class Reread(Message):
    """The run was read again."""

    def __init__(self, outcome: Outcome[dict[str, Any]]) -> None:
        super().__init__()
        self.outcome = outcome


class FilesPart(ListPart):
    """The artefacts; the selected one is looked into in a thread."""

    class Wanted(Message):
        """Another file is selected."""

    def describe(self) -> None:
        """Ask for the selected file."""
        if self.selected is None:
            super().describe()
        else:
            self.post_message(self.Wanted())


class RunView(PartsView):
    """Everything that is known of one run."""

    BINDINGS = keys.bindings("run")
    SCOPES = ("run",)
    NOUN = "run"
    PARTS = PARTS
    FILTERED = "params"

    def __init__(self, desk: Desk, run_id: str, name: str = "") -> None:
        super().__init__(desk)
        self._run_id = run_id
        self._called = name or run_id
        self._is_log = False
        self._pictures: Mapping[str, Sequence[Picture]] = {}

    @property
    def request(self) -> Request:
        """Return the command that shows the run."""
        return Request("runs.show", {"run": self._run_id})

    def requests(self) -> list[tuple[str, Request]]:
        """Return the command that shows the run."""
        return [("This run", self.request)]

    def heading(self) -> Text:
        """Return the title: the name, how it ended, and of which experiment it is."""
        run = self._result.get("run")
        name = (run or {}).get("name") or self._called
        shown = [styled("Run", "heading"), styled(name, limit=40)]
        if run:
            shown += [status_of(run), styled(run["experiment"], "quiet", 30)]
        if self.state == "filled" and self.listed is not None and self.listed.place:
            shown.append(styled(self.listed.place, "warning", 40))
        return join(*shown, gap="  ")

    def body(self) -> ComposeResult:
        """Lay out the strip of the parts, and the parts."""
        yield Static(styled(""), classes="strip")
        with ContentSwitcher(initial=PARTS[0]):
            yield Sheet(id="overview")
            yield ListPart(id="metrics")
            yield ListPart(id="params")
            yield FilesPart(id="files")
            yield ListPart(id="nested")
            yield ListPart(id="evaluation")
            yield ListPart(id="study")

    def foot(self) -> ComposeResult:
        """Lay out the line in which one types a filter."""
        yield FilterBar("words that must appear")

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work in the part that is shown."""
        return ("run", "detail" if self._part == "overview" else "table")

    # Reading.

    def on_mount(self) -> None:
        """Read the run."""
        self.fetch()

    def stored(self, request: Request) -> dict[str, Any]:
        """Return what is recorded of the run; no command has to be carried out for it."""
        found = self.desk.query("SELECT * FROM found_runs WHERE run_id = ? LIMIT 1", self._run_id)
        if not found:
            raise NotFoundError(f"There is no run '{self._run_id}' any more.", "Go back with esc.")
        run = found[0]
        from local_stack.runs.records import status as true_status

        run["status"] = true_status(self.desk.workspace, run)
        return {
            "run": run,
            "evaluation": runs_documents.evaluation(self.desk, run),
            "study": runs_documents.study(self.desk, run),
            "facts": runs_detail.facts(self.desk, run),
            "history": runs_detail.history(self.desk, self._run_id),
            "models": runs_detail.models(self.desk, run),
            "family": self._family(run),
        }

    def _family(self, run: Row) -> list[Row]:
        columns = "run_id, name, status, started_at, metrics"
        above = self.desk.query(
            f"SELECT 'parent' AS kin, {columns} FROM found_runs "  # noqa: S608 - names of ours
            "WHERE run_id = ? AND run_id <> ?",
            run["parent"],
            self._run_id,
        )
        below = self.desk.query(
            f"SELECT 'child' AS kin, {columns} FROM found_runs "  # noqa: S608 - names of ours
            "WHERE parent = ? AND run_id <> ? ORDER BY started_at, run_id LIMIT 5000",
            self._run_id,
            self._run_id,
        )
        return [*above, *below]

    def changed(self) -> None:
        """Read the run again: it may be at work."""
        if self.state == "filled":
            self.aside(lambda _: self.stored(self.request), Reread, "reread")

    @on(Reread)
    def _reread(self, event: Reread) -> None:
        event.stop()
        if event.outcome.value is not None and self.state == "filled":
            self._result = event.outcome.value
            self.retitle()
            self._fill()

    def show(self) -> None:
        """Show the run."""
        self.retitle()
        self.become("filled")
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        run, history = self._result["run"], self._result["history"]
        self.query_one("#overview", Sheet).show(*self._overview())
        self._list(
            "metrics",
            parts.metric_rows(run, history),
            parts.METRIC_COLUMNS,
            parts.METRIC_ORDERS,
            self._curve,
        )
        texts = parts.text_rows(run)
        self._list("params", texts, parts.TEXT_COLUMNS, parts.TEXT_ORDERS, parts.whole)
        files = [{"name": p, "bytes": n} for p, n in runs_detail.artifact_sizes(run)]
        self._list("files", files, parts.FILE_COLUMNS, parts.FILE_ORDERS, lambda _: styled(""))
        study = self._result["study"]
        family = parts.tried(self._result["family"], study)
        self._list("nested", family, parts.kin_columns(study), parts.kin_orders(study), parts.kin)
        self._pictures = self._to_draw()
        for name, pictures in self._pictures.items():
            rows = parts.picture_rows(pictures)
            self._list(name, rows, parts.PICTURE_COLUMNS, parts.PICTURE_ORDERS, self._drawn)
        self.action_part(self._part)

    def _to_draw(self) -> dict[str, list[Picture]]:
        """Return what is drawn of the evaluation and of the study; a damaged file gives nothing."""
        run, document, study = (self._result[it] for it in ("run", "evaluation", "study"))
        measured = attempt(lambda: evaluations.pictures(run["metrics"] or {}, document))
        tried = attempt(lambda: studies.pictures(study) if study else [])
        return {
            "evaluation": (measured.value or []) if document else [],
            "study": tried.value or [],
        }

    def _drawn(self, row: Row) -> Block:
        """Return a picture in the room that there is beside the list, or in its place."""
        room = self.query_one(f"#{self._part} Detail", Detail) if self._part in DRAWN else None
        across = (room.content_size.width if room else 0) or self.app.size.width - 6
        across -= 1  # a bar to scroll by takes one, once there is more than the pane holds
        width, height = max(30, min(150, across)), max(6, min(32, self.app.size.height - 11))
        found = attempt(lambda: stack(*row["draw"](width, height)))
        return found.value or styled("The file cannot be read: it is damaged.", "warning")

    def _list(self, part: str, rows: list[Row], columns: Any, orders: Any, describe: Any) -> None:
        name = "run_id" if part == "nested" else "name"
        self.query_one(f"#{part}", ListPart).fill(
            Lines(
                tuple(rows),
                columns,
                orders,
                lambda row: f"{row.get('group', '')}{row[name]}",
                describe,
                lambda row: " ".join(str(row.get(it, "")) for it in ("name", "value", "title")),
            )
        )

    def _overview(self) -> tuple[Block, Block]:
        run = self._result["run"]
        document = self._result["evaluation"]
        room = self.app.size.width
        width = max(40, min(110, room // 2 - 6 if room >= WIDE else room - 6))
        warned = attempt(lambda: evaluations.warnings(document, width)).value
        left = stack(
            fields(self._result["facts"]),
            styled(run["problem"], "warning", 600) if run["problem"] else None,
            styled(run["error"], "bad", 600) if run["error"] else None,
            *runs_detail.note(run),
            *parts.cost(run),
            *([styled(""), heading("Checks"), *warned] if warned else []),
        )
        table = attempt(lambda: evaluations.metric_lines(run["metrics"] or {}, document, width))
        metrics: list[Block] = [heading("Metrics"), *(table.value or ())]
        if not document.get("table") or not table.value:
            metrics = runs_detail.metric_part(run, self._result["history"])
        right = stack(*metrics, *self._result["models"])
        return left, right

    def _curve(self, row: Row) -> Block:
        points = self._result["history"].get(row["name"], [])
        title = heading(row["name"], metric_value(row["value"]))
        if len(points) < 2:
            return stack(title, styled("It was logged once, so it has no curve.", "quiet"))
        detail = self.query_one("#metrics Detail", Detail)
        width = max(24, min(120, detail.content_size.width or self.app.size.width - 6))
        height = max(6, min(24, (detail.size.height or 20) - 9))
        curve = Curve(row["name"], tuple((float(step), value) for step, value in points))
        lowest, highest = row["least"], row["most"]
        return stack(
            join(title, styled("log" if self._is_log else "", "accent"), gap="  "),
            *curve_chart([curve], width=width, height=height, is_log=self._is_log),
            styled("steps", "quiet"),
            fields(
                [
                    ("values", number(len(points))),
                    ("least", join(number(lowest[1]), styled("at step"), number(lowest[0]))),
                    ("greatest", join(number(highest[1]), styled("at step"), number(highest[0]))),
                ]
                if lowest
                else [("values", number(len(points)))]
            ),
        )

    @on(FilesPart.Wanted)
    def _look_into(self, event: FilesPart.Wanted) -> None:
        event.stop()
        part = self.query_one(FilesPart)
        row, run = part.selected, self._result.get("run")
        if row is None or run is None:
            return
        detail = part.query_one(Detail)
        path = str(row["name"])
        width = max(20, min(160, detail.content_size.width or self.app.size.width - 6))
        height = max(6, (detail.size.height or 20) - 4)

        def look(_: IsLeft) -> Block:
            return runs_files.preview(run, path, width, height)

        self.aside(look, lambda it: Previewed(path, it), "preview")

    @on(Previewed)
    def _previewed(self, event: Previewed) -> None:
        event.stop()
        part = self.query_one(FilesPart)
        if part.selected is not None and part.selected["name"] == event.path:
            error = event.outcome.error
            why = styled(error.message if error else "", "bad", 300)
            part.query_one(Detail).show(event.outcome.value or why)

    # Going about.

    def on_resize(self) -> None:
        """Draw curves and pictures again in the room that there is now."""
        super().on_resize()
        if self.state == "filled" and self._part in ("metrics", "files", *DRAWN) and self.listed:
            self.call_after_refresh(self.listed.describe)

    def counts(self) -> Mapping[str, int | None]:
        """Return how much there is in each part."""
        run = self._result.get("run")
        if not run:
            return {}
        return {
            "metrics": len(run["metrics"] or {}),
            "params": len(parts.text_rows(run)),
            "files": len(runs_detail.artifact_sizes(run)),
            "nested": len(self._result["family"]),
        }

    def present(self) -> list[str]:
        """Return the parts that the run has."""
        absent = {it for it in DRAWN if not self._pictures.get(it)}
        return [it for it in PARTS if it not in absent]

    def action_part(self, name: str) -> None:
        """Show a part, or say that the run has none."""
        if self._result and name not in self.present():
            self.say(_ABSENT[name])
        else:
            super().action_part(name)

    def arrive(self) -> None:
        """Draw what is selected in the room that is known now."""
        if self._part in DRAWN and self.listed is not None:
            self.listed.describe()
        super().arrive()

    def action_back(self) -> None:
        """Go back one step: from the detail to the list, from a filter to all, and out."""
        if not self.back() and not self.drop_filter():
            self.dismiss(None)

    def action_log(self) -> None:
        """Draw curves by powers of ten, or plainly again."""
        self._is_log = not self._is_log
        if self.state == "filled":
            self.query_one("#metrics", ListPart).describe()

    def action_relative(self) -> None:
        """Open the run that this one is nested in, or the selected one nested in it."""
        rows = self._result.get("family") or []
        row = self.listed.selected if self._part == "nested" and self.listed else None
        row = row or next((it for it in rows if it["kin"] == "parent"), None)
        if row is None:
            self.say("This run is not nested; 5 lists those nested in it.")
            return
        view = RunView(self.desk, str(row["run_id"]), str(row["name"] or ""))
        self.app.push_screen(view, self._went_on)

    def _went_on(self, version: tuple[str, str] | None) -> None:
        if version is not None:  # to the data of the other run
            self.dismiss(version)

    def action_data(self) -> None:
        """Go to the version of the data that the run was made of."""
        run = self._result.get("run") or {}
        found = [it for it in run.get("datasets") or [] if isinstance(it, Mapping)]
        known = {(row["dataset"], str(row["version"])[:12]) for row in self._versions()}
        for it in found:
            wanted = str(it.get("name")), str(it.get("digest"))[:12]
            if wanted in known:
                self.dismiss(wanted)
                return
        named = ", ".join(safe(it.get("name"), 30) for it in found)
        self.say(f"{named} is no data set of this workspace." if named else "It names no data.")

    def _versions(self) -> list[Row]:
        return self.desk.query("SELECT dataset, version FROM data_versions")

    def action_branch(self) -> None:
        """Open the form of a variant of this run."""
        from paceml_tui.screens import runs_begin  # which shows runs itself

        if self._run_id is not None:
            name = (self._result.get("run") or {}).get("name") or self._called
            runs_begin.branch(self, self.desk, self._run_id, name, self._went_on)

    def action_explain(self) -> None:
        """Show why the model of this run predicts what it does."""
        from paceml_tui.screens.explain_view import ExplanationView

        name = (self._result.get("run") or {}).get("name") or self._called
        self.app.push_screen(ExplanationView(self.desk, self._run_id, name))

    def action_copy(self) -> None:
        """Copy the value that is selected, or the id of the run."""
        row = self.listed.selected if self.listed is not None else None
        value = (row or {}).get("value") if self._part in ("metrics", "params") else None
        value = (row or {}).get("name") if self._part == "files" else value
        self.app.post_message(Copied(safe(self._run_id if value is None else value, 0)))
