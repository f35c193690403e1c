"""Why a model predicts what it does: its features, all rows at once, single rows, groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import ContentSwitcher, Static

from local_stack.errors import StackError
from paceml_tui import explanations, keys
from paceml_tui.dependences import feature
from paceml_tui.render import Text, join, number, safe, styled
from paceml_tui.screens import explain_documents as documents
from paceml_tui.screens.data_profile_parts import Lines, ListPart
from paceml_tui.screens.explain_answers import AnswersView
from paceml_tui.screens.explain_decision import DecisionView
from paceml_tui.screens.explain_parts import (
    DAMAGED,
    FEATURE_COLUMNS,
    FEATURE_ORDERS,
    AnswerPart,
    drawn,
    picture_lines,
)
from paceml_tui.screens.explain_rows import PAGE, RowsPart, row_lines
from paceml_tui.screens.runs_compare_parts import ChartPart
from paceml_tui.tasks import Asked, Desk, Outcome, Request, Row, as_command_line, attempt
from paceml_tui.widgets.chooser import Choice, Chooser, Chosen
from paceml_tui.widgets.correction import Correction
from paceml_tui.widgets.detail import Detail
from paceml_tui.widgets.dialog import error_dialog
from paceml_tui.widgets.filter import FilterBar
from paceml_tui.widgets.records import Copied
from paceml_tui.widgets.view import IsLeft

if TYPE_CHECKING:
    from local_stack.explain.whatif import Session

PARTS = ("features", "beeswarm", "model", "rows", "fairness", "compare")
"""The parts in the order of their keys, from 1."""

DRAWN = ("features", "model", "fairness", "compare")
"""The lists whose detail is drawn in the room that there is."""


class RowsRead(Message):
    """A page of rows was read with its predictions."""

    def __init__(self, outcome: Outcome[dict[str, Any]]) -> None:
        super().__init__()
        self.outcome = outcome


class RowTold(Message):
    """The model said what it says of the selected row."""

    def __init__(self, outcome: Outcome[dict[str, Any]]) -> None:
        super().__init__()
        self.outcome = outcome


class ExplanationView(AnswersView):
    """The explanation of a run or a model version; where there is none yet it is made."""

    BINDINGS = keys.bindings("explanation")
    SCOPES = ("explanation", "view", "table")
    NOUN = "explanation"
    WORD = "explain"
    PARTS = PARTS
    FILTERED = "features"
    DOES: ClassVar[str] = "Explaining the model..."
    STOP: ClassVar[tuple[str, str]] = ("Stop explaining?", "What was computed so far is lost.")

    def __init__(self, desk: Desk, target: str, called: str = "") -> None:
        super().__init__(desk)
        self._target = target
        self._called = called or target
        self._unit = ""
        self._made: Mapping[str, Any] = {}
        self._session: Session | None = None
        self._first = 0
        self._only: str | None = None
        self._n_rows = 0
        self._labels: tuple[str, ...] = ()
        self._threshold: float | None = None

    @property
    def request(self) -> Request:
        """Return the command that explains the model."""
        return self._asking("explain.model", {})

    def _asking(self, command: str, given: Mapping[str, Any]) -> Request:
        """Return a command about the model, in the unit that is shown."""
        chosen = {"unit": self._unit} if self._unit else {}
        return Request(command, {"target": self._target, **given, **chosen})

    @property
    def document(self) -> Mapping[str, Any]:
        """Return the explanation, {} until it is there."""
        return self._result if "explanation" in self._result else {}

    @property
    def run_id(self) -> str:
        """Return the run that is explained."""
        return str(self.document["explanation"]["run_id"])

    def values_of(self, column: str) -> Sequence[str]:
        """Return the values that a column had in the rows that were explained."""
        found = next(
            (it for it in self.document.get("dependences") or () if it["column"] == column), None
        )
        values = {it for it in (found or {}).get("values") or () if it is not None}
        return sorted({str(it).lower() if isinstance(it, bool) else str(it) for it in values})

    def requests(self) -> list[tuple[str, Request]]:
        """Return the commands for what is shown."""
        found = [("This explanation", self.request)]
        row = self.listed.selected if self.listed is not None else None
        if self._part == "features" and row is not None:
            asking = self._asking("explain.dependence", {"feature": row["name"]})
            found.insert(0, ("This feature", asking))
        if self._part in self._asked:
            found.insert(0, (f"This {self._part} part", self._asked[self._part]))
        if self._part == "rows" and row is not None:
            asking = self._asking("explain.row", {"index": row["index"]})
            found.insert(0, ("This row", asking))
        return found

    def heading(self) -> Text:
        """Return the title: what is explained, by how many rows, and in which unit."""
        shown = [styled("Explain", "heading"), styled(self._called, limit=30)]
        is_page = self._part == "rows" and bool(self._n_rows)
        if is_page:
            shown.append(self._page())
            if self._threshold is not None and len(self._labels) == 2:
                turn = f"{safe(self._labels[1], 14)} from {self._threshold:.4g} on"
                shown.append(styled(turn, "quiet"))
        if self.state == "filled" and self.listed is not None and self.listed.place:
            shown.append(styled(self.listed.place, "warning", 40))
        if self.document and not is_page:
            it = self.document["explanation"]
            rows = join(number(it["n_rows"]), styled("rows"))
            sample = styled("a sample", "warning") if it["is_sample"] else styled("")
            shown += [rows, sample, *self._unit_text(it)]
        return join(*shown, gap="  ")

    def _unit_text(self, it: Mapping[str, Any]) -> list[Text]:
        """Return the unit, and the base value with its class; what is summed has none."""
        unit, n = styled(it["unit"], "accent", 30), it.get("n_summed") or 1
        if n > 1 and self._part == "features":
            return [join(unit, styled(f"summed over {n} classes", "quiet"))]
        of = styled(f"of {safe(it['output'], 20)}", "quiet") if it.get("output") else styled("")
        return [unit, join(styled("base", "quiet"), number(it["base_value"]), of)]

    def body(self) -> ComposeResult:
        """Lay out the strip of the parts, and the parts."""
        yield Static(styled(""), classes="strip")
        with ContentSwitcher(initial=PARTS[0]):
            yield ListPart(id="features")
            yield ChartPart(id="beeswarm")
            yield ListPart(id="model")
            yield RowsPart(id="rows")
            yield AnswerPart(id="fairness")
            yield AnswerPart(id="compare")

    def foot(self) -> ComposeResult:
        """Lay out the lines in which a filter, a file or a value is typed."""
        yield FilterBar("words that must appear")
        yield Correction()

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work in the part that is shown."""
        return ("explanation", "detail" if self._part == "beeswarm" else "table")

    # Reading.

    def on_mount(self) -> None:
        """Show what is stored, or have it made."""
        self.fetch()

    def stored(self, request: Request) -> dict[str, Any] | None:
        """Return the stored explanation."""
        found = documents.explained(self.desk, self._target, self._unit)
        return found or ({"explanation": self._made} if self._made else None)

    def show(self) -> None:
        """Show the explanation; the command gives what it tells, what is drawn is read."""
        if "explanation" not in self._result:
            self._made = self._result
            self.fetch()
            return
        self._made = {}
        unit = str(self.document["explanation"]["unit"])
        self._unit = unit if unit in _NAMED else ""
        self.retitle()
        if not self.document["explanation"].get("importance"):
            self.notice.say_empty("This model has no feature to explain. Press esc to go back.")
            self.become("empty")
            return
        self.become("filled")
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        features = self.query_one("#features", ListPart)
        features.fill(
            Lines(
                tuple(self._feature_rows()),
                FEATURE_COLUMNS,
                FEATURE_ORDERS,
                lambda row: str(row["name"]),
                lambda row: drawn(features, row),
                lambda row: f"{row['name']} {row['code']}",
            )
        )
        self.query_one("#beeswarm", ChartPart).fill(self._swarm)
        model = self.query_one("#model", ListPart)
        made = self._result.get("created_at")
        found = attempt(lambda: explanations.pictures(self.document, made)).value or []
        model.fill(picture_lines(found, model))
        self.action_part(self._part)

    def _swarm(self, width: int, height: int) -> Sequence[Text]:
        found = attempt(lambda: explanations.beeswarm(self.document, width, height))
        return found.value or [styled(DAMAGED, "warning")]

    def _feature_rows(self) -> list[Row]:
        found = attempt(lambda: explanations.feature_rows(self.document)).value or []
        return [{**it, "draw": partial(feature, self.document, it["name"])} for it in found]

    # Going about.

    def counts(self) -> Mapping[str, int | None]:
        """Return how many features there are."""
        if not self.document:
            return {}
        return {"features": len(self.document["explanation"]["importance"])}

    def present(self) -> Sequence[str]:
        """Return the parts that this explanation has."""
        return PARTS

    def on_resize(self) -> None:
        """Draw in the room that there is now."""
        super().on_resize()
        if self.state == "filled" and self._part in DRAWN and self.listed is not None:
            self.call_after_refresh(self.listed.describe)

    def arrive(self) -> None:
        """Draw what is selected in the room that is known now."""
        if self._part in DRAWN and self.listed is not None:
            self.listed.describe()
        if self._part == "rows" and self.query_one(RowsPart).lines is None:
            self._read_rows()
        self.invite(self._part)
        super().arrive()

    def action_back(self) -> None:
        """Go back one step: from a drawing to its list, from a filter to all, and out."""
        if not self.back() and not self.drop_filter():
            self.dismiss(None)

    def action_reverse(self) -> None:
        """Turn the order of the list round."""
        if self.listed is not None:
            self.listed.reverse()

    # Rows.

    @property
    def session(self) -> Session:
        """Return the process that answers questions about rows; its first answer takes a while."""
        from local_stack.explain.whatif import Session

        if self._session is None:
            self._session = Session(self.desk.root, self.run_id)
        return self._session

    def on_unmount(self) -> None:
        """End the process that answers questions about rows."""
        session = self._session
        if session is not None:
            self.app.run_worker(lambda: attempt(session.close), thread=True, group="close-session")

    def _page(self) -> Text:
        last = min(self._first + PAGE, self._n_rows)
        shown = f"rows {self._first + 1:,}-{last:,} of {self._n_rows:,}"
        return styled(f"{shown} predicted {self._only}" if self._only else shown, "warning", 60)

    def _read_rows(self) -> None:
        """Read a page of rows with their predictions."""
        part = self.query_one(RowsPart)
        part.wait("Loading the model and its rows...")
        session, first, only = self.session, self._first, self._only

        def work(_: IsLeft) -> dict[str, Any]:
            found = session.rows(first, PAGE, only)
            if found["rows"] and not self._labels:
                values = next((it["values"] for it in found["rows"] if not it["note"]), None)
                asked = session.what_if(values) if values is not None else {}
                self._labels = tuple(asked.get("probabilities") or ())
                self._threshold = asked.get("threshold")
            return found

        self.aside(work, RowsRead, "rows")

    @on(RowsRead)
    def _rows_read(self, event: RowsRead) -> None:
        event.stop()
        part = self.query_one(RowsPart)
        found = event.outcome.value
        if found is None:
            part.fail(event.outcome.error or StackError("Nothing came back."))
        elif not found["rows"]:
            self._n_rows = 0
            part.wait("No row has this prediction. Press o to list others.")
        else:
            self._n_rows = found["n_rows"]
            it = self.document["explanation"]
            features = [row["feature"] for row in it["importance"]]
            part.answer(
                row_lines(found["rows"], features, str(it.get("target") or ""), self._labels)
            )
        self.retitle()
        if self._part == "rows":
            part.main().focus()

    @on(RowsPart.Wanted)
    def _row_wanted(self, event: RowsPart.Wanted) -> None:
        event.stop()
        session, row = self.session, event.row
        unit = self._unit or None
        self.aside(lambda _: session.what_if(row["values"], unit), RowTold, "row")

    @on(RowTold)
    def _row_told(self, event: RowTold) -> None:
        event.stop()
        part = self.query_one(RowsPart)
        if event.outcome.value is not None:
            part.tell(event.outcome.value)
        elif event.outcome.error is not None:
            part.query_one(Detail).show(styled(event.outcome.error.message, "warning", 600))

    @on(RowsPart.Opened)
    def _row_opened(self, event: RowsPart.Opened) -> None:
        event.stop()
        self._open_row({"index": event.index})

    def _open_row(self, source: Mapping[str, Any]) -> None:
        view = DecisionView(self.desk, self.session, self.run_id, source, self._unit)
        self.app.push_screen(view)

    def action_page(self, by: int) -> None:
        """Show the next rows, or those before."""
        wanted = self._first + by * PAGE
        if self._part == "rows" and 0 <= wanted < self._n_rows:
            self._first = wanted
            self._read_rows()

    def action_only(self) -> None:
        """List only the rows with one prediction, or all of them."""
        if self._part != "rows" or not self._labels:
            self.say("Rows are listed by what is predicted for them in part 4, of classes.")
            return
        choices = [Choice("", "whatever is predicted", "all rows")]
        choices += [Choice(name, "rows predicted so") for name in self._labels]

        def take(chosen: Chosen | None) -> None:
            if chosen is not None:
                self._only, self._first = chosen.names[0] or None, 0
                self._read_rows()

        self.app.push_screen(Chooser("Rows predicted", choices, chosen=(self._only or "",)), take)

    def action_go_to(self) -> None:
        """Ask for a row: by its number, as JSON, or the id of a logged prediction."""
        if self.state == "filled":
            help = "A row by its number from 0, as a JSON object, or by the id of a prediction."
            self.ask("row", "explain", "", help)

    # Doing.

    def action_unit(self) -> None:
        """Measure in the other unit: log-odds or probability, where the model has both."""
        if self.state != "filled":
            return
        other = _OTHER.get(self.document["explanation"]["unit"])
        if other is None:
            self.say("This model is measured in one unit only.")
            return
        self._unit = other
        self.fetch()

    def fail(self, error: StackError) -> None:
        """Show why it cannot be explained; what is shown already stays, in its unit.

        Where nothing is, r tries again in the unit of the model itself.
        """
        self._unit = ""
        if not self.document:
            super().fail(error)
            return
        self.show()
        self.app.push_screen(error_dialog("The explanation stays as it was", error))

    def action_again(self) -> None:
        """Explain the model again."""
        if self.state != "loading":
            self.fetch(is_anew=True)

    @property
    def _written(self) -> Request:
        """Return the command that writes what is shown as a page."""
        found = self._asked.get("fairness") if self._part == "fairness" else None
        return found or self.request

    def action_export(self) -> None:
        """Ask for the file that the explanation, or the fairness, is written to as one page."""
        if self.state == "filled":
            help = "One page of HTML that needs no network; a file of that name is replaced."
            name = "explanation" if self._written.command == "explain.model" else "fairness"
            self.ask("html", "write to", f"{name}.html", help)

    def given(self, subject: str, value: str) -> None:
        """Write the page, open the row that was typed, or compare windows of time."""
        super().given(subject, value)
        text = value.strip()
        if subject == "html" and text:
            request = self._written
            whole = Request(request.command, {**request.arguments, "html": text})
            self.app.post_message(Asked(whole, is_form=False))
        elif subject == "row" and text:
            found = attempt(lambda: documents.source_of(text))
            if found.value is not None:
                self._open_row(found.value)
            elif found.error is not None:
                self.say(f"{found.error.message} {found.error.hint}")

    def action_copy(self) -> None:
        """Copy the command for what is shown."""
        line = attempt(lambda: as_command_line(self.requests()[0][1]))
        if line.value is not None:
            self.app.post_message(Copied(safe(line.value, 0)))


_NAMED = ("probability", "target")
"""Units that a command must name: another one may be the model's own."""
_OTHER = {
    "log-odds": "probability",
    "log-odds before calibration": "probability",
    "probability": "log-odds",
    "log target": "target",
    "target": "log target",
}
