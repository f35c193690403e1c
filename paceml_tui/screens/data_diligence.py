"""The due diligence of a version: can it carry a model of a target, and what would go wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import ContentSwitcher, DataTable, Static

from local_stack.errors import StackError
from paceml_tui import diligence, keys
from paceml_tui.render import Block, Text, count, join, number, safe, stack, styled
from paceml_tui.screens.data_parts import PartsView
from paceml_tui.screens.data_profile_parts import Lines, ListPart, Part
from paceml_tui.screens.data_rows import RowsView
from paceml_tui.tasks import Desk, Outcome, Request, Row
from paceml_tui.widgets.records import Copied
from paceml_tui.widgets.sheet import Sheet
from paceml_tui.widgets.table import Column, Listing, RecordTable

PARTS = ("verdict", "findings", "scores", "doubts", "people")
"""The parts in the order of their keys 1 to 5."""

_MOST_JOBS = 30


class Begun(Message):
    """What is known before anything is judged: rows, columns, and the target if there is one."""

    def __init__(self, outcome: Outcome[tuple[int, list[Row], str]]) -> None:
        super().__init__()
        self.outcome = outcome


class TargetPart(Part):
    """The columns of a version, one of which is to be predicted."""

    def compose(self) -> ComposeResult:
        """Lay out the question over the columns."""
        yield Static(styled("Which column is to be predicted? Enter chooses.", "strong"))
        yield RecordTable()

    def main(self) -> RecordTable:
        """Return the list of columns."""
        return self.query_one(RecordTable)

    def fill(self, columns: Sequence[Row]) -> None:
        """Show the columns."""
        listing = Listing(
            TARGET_COLUMNS, tuple(columns), len(columns), len(columns), 0, "", is_descending=False
        )
        self.main().fill(listing, lambda row: str(row["name"]))


class DiligenceView(PartsView):
    """Verdict, findings, scores, doubtful targets and people of one version and target."""

    BINDINGS = keys.bindings("diligence")
    SCOPES = ("diligence",)
    NOUN = "due diligence"
    DOES = "Judging the version..."
    STOP: ClassVar[tuple[str, str]] = (
        "Stop the due diligence?",
        "It stops at its next step; the version can be judged again at any time.",
    )
    PARTS = PARTS

    def __init__(self, desk: Desk, reference: str, target: str = "") -> None:
        super().__init__(desk)
        self._reference = reference
        self._target = target
        self._columns: Sequence[Row] = ()
        self._unfilled: dict[str, Callable[[], None]] = {}

    @property
    def request(self) -> Request:
        """Return the command that judges the version."""
        arguments = {"name": self._reference}
        return Request(
            "data.diligence", {**arguments, "target": self._target} if self._target else arguments
        )

    def heading(self) -> Text:
        """Return the title: of which version, and for which target."""
        parts = [styled("Due diligence", "heading"), styled(self._reference, limit=50)]
        if self._target:
            parts += [styled("for", "quiet"), styled(self._target, "strong", 30)]
        return join(*parts)

    def body(self) -> ComposeResult:
        """Lay out the strip of the parts, and the parts."""
        yield Static(styled(""), classes="strip")
        with ContentSwitcher(initial="verdict"):
            yield TargetPart(id="target", classes="part")
            yield Sheet(id="verdict")
            yield ListPart(id="findings")
            yield Sheet(id="scores")
            yield ListPart(id="doubts")
            yield Sheet(id="people")

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes of the keys that work in the part that is shown."""
        return ("diligence", "table" if isinstance(self.part, Part) else "detail")

    def requests(self) -> list[tuple[str, Request]]:
        """Return the command that judges the version."""
        return [("This due diligence", self.request)]

    # Reading.

    def on_mount(self) -> None:
        """Look which columns there are, and judge the version if the target is known."""
        self.notice.say_loading(self.NOUN)
        self.become("loading")
        reference = self._reference
        self.aside(lambda _: known(self.desk, reference), Begun, "columns")

    @on(Begun)
    def _begin(self, event: Begun) -> None:
        event.stop()
        if event.outcome.value is None:
            self.fail(event.outcome.error or StackError("Nothing was read."))
            return
        n_rows, self._columns, own = event.outcome.value
        self._target = self._target or own
        self.retitle()
        if not n_rows:
            self.notice.say_empty("This version has no rows to judge. Press esc to go back.")
            self.become("empty")
        elif self._target:
            self.fetch()
        else:
            self.action_target()

    def stored(self, request: Request) -> dict[str, Any] | None:
        """Return the newest due diligence of the version for the target."""
        return stored(self.desk, request.arguments["name"], request.arguments["target"])

    def show(self) -> None:
        """Show the verdict and what led to it."""
        self.become("filled")
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        result = self._result
        self.query_one("#verdict", Sheet).show(
            stack(diligence.verdict(result)),
            _beside(diligence.risk_list(result), diligence.notes(result)),
        )
        self.query_one("#scores", Sheet).show(
            _beside(diligence.scores(result), diligence.curve(result)),
            _beside(diligence.columns(result), diligence.classes(result)),
        )
        self.query_one("#people", Sheet).show(
            _beside(diligence.sensitive(result) or styled("No column is marked as sensitive.")),
            _beside(diligence.timing(result) or styled("There is no column of time.", "quiet")),
        )
        self._unfilled = {"findings": self._fill_findings, "doubts": self._fill_doubts}
        self.action_part(PARTS[0] if self._part == "target" else self._part)

    def _fill_findings(self) -> None:
        self.query_one("#findings", ListPart).fill(
            Lines(
                _numbered(self._result.get("findings") or []),
                FINDING_COLUMNS,
                {
                    "": lambda row: row["place"],
                    "code": lambda row: (str(row["code"]), row["place"]),
                    "column": lambda row: (str(row["column"] or ""), row["place"]),
                },
                lambda row: str(row["place"]),
                diligence.risk,
                lambda row: f"{row['code']} {row['column']} {row['severity']}",
            )
        )

    def _fill_doubts(self) -> None:
        self.query_one("#doubts", ListPart).fill(
            Lines(
                _numbered((self._result.get("label_noise") or {}).get("suspects") or []),
                DOUBT_COLUMNS,
                {
                    "": lambda row: row["place"],
                    "row": lambda row: row["row"],
                    "given": lambda row: (str(row["given"]), row["place"]),
                },
                lambda row: str(row["place"]),
                lambda row: diligence.doubt(self._result, row),
                lambda row: f"{row['given']} {row['suggested']}",
            )
        )

    # Going about.

    def arrive(self) -> None:
        """Fill the part that is shown now: a list is drawn for the width that it has."""
        fill = self._unfilled.pop(self._part, None)
        if fill is not None:
            fill()
        super().arrive()

    def counts(self) -> Mapping[str, int | None]:
        """Return how many findings and doubtful targets there are."""
        noise = self._result.get("label_noise") or {}
        return {
            "findings": len(self._result.get("risks") or []),
            "doubts": noise.get("n_suspects") or 0,
        }

    def strip(self) -> Text:
        """Return the names of the parts, or how many columns one chooses from."""
        if self._part == "target":
            return count(len(self._columns), "column")
        return super().strip()

    def action_back(self) -> None:
        """Go back one step: from a detail to its list, from the columns to the verdict, and out."""
        if self.back():
            return
        if self._part == "target" and self._result:
            self.action_part(PARTS[0])
            return
        self.dismiss(None)

    # Doing.

    def action_target(self) -> None:
        """Show the columns, to choose the one that is to be predicted."""
        if self._job is not None or not self._columns or self.state == "empty":
            return
        self.become("filled")
        self.query_one(TargetPart).fill(self._columns)
        self.go("target")

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        row = self.query_one(TargetPart).main().selected
        if self._part != "target" or row is None:
            return
        self._target = str(row["name"])
        self._part = PARTS[0]
        self._result = {}
        self.retitle()
        self.fetch()

    def action_rows(self) -> None:
        """Show the rows behind what is selected, among all the others."""
        row = self.listed.selected if self.listed is not None else None
        rows = _rows_of(row)
        if not rows:
            self.say("Select a finding or a doubtful target with rows behind it.")
            return
        self.app.push_screen(RowsView(self.desk, self._reference, rows))

    def action_again(self) -> None:
        """Judge the version again."""
        if self.state != "loading" and self._target:
            self.fetch(is_anew=True)

    def action_copy(self) -> None:
        """Copy the verdict with its reasons, or the name of the version."""
        found = self._result.get("verdict")
        text = self._reference
        if found:
            text = "\n".join([f"{text}: {found['status']}", *found["reasons"]])
        self.app.post_message(Copied(safe(text, 0, is_block=True)))


def _beside(*blocks: Block | None) -> Block:
    """Return blocks under each other with a line between them."""
    shown: list[Block] = []
    for block in blocks:
        if block is not None:
            shown += [block, styled("")]
    return stack(*shown)


def _numbered(found: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    return tuple({**it, "place": place} for place, it in enumerate(found))


def _rows_of(row: Row | None) -> tuple[int, ...]:
    if row is None:
        return ()
    if "rows" in row:
        return tuple(it for it in row["rows"] if isinstance(it, int))
    return (int(row["row"]),)


def known(desk: Desk, reference: str) -> tuple[int, list[Row], str]:
    """Return rows and columns of a version, and the target of its data set, or ''."""
    from local_stack.data import versions

    version = versions.find(desk.workspace, reference)
    columns = [{"name": it.name, "type": it.type} for it in version.schema]
    names = {it["name"] for it in columns}
    target = version.target if version.target in names else None
    return version.rows, columns, target or ""


def stored(desk: Desk, reference: str, target: str) -> dict[str, Any] | None:
    """Return the newest due diligence of a version for a target, split at random; or None."""
    from local_stack import jobs
    from local_stack.data import versions

    version = versions.find(desk.workspace, reference)
    wanted = (version.dataset, version.version, target)
    done = [
        it
        for it in jobs.listed(desk.workspace)
        if it.command == "data.diligence" and it.status == "finished"
    ]
    for job in done[:_MOST_JOBS]:
        result = jobs.result(desk.workspace, job.job) or {}
        found = tuple(result.get(it) for it in ("dataset", "version", "target"))
        asked = result.get("reproduction") or {}
        is_plain = not any(asked.get(it) for it in ("against", "time", "group"))
        if found == wanted and is_plain and result.get("verdict"):
            return result
    return None


TARGET_COLUMNS = (
    Column("column", lambda row: styled(row["name"]), is_wide=True, rank=0, most=60),
    Column("type", lambda row: styled(row["type"], "quiet"), rank=1),
)
FINDING_COLUMNS = (
    Column("severity", lambda row: diligence.severity(str(row["severity"])), rank=0),
    Column("finding", lambda row: styled(row["code"]), order="code", rank=0, most=22),
    Column("column", lambda row: styled(row["column"] or "", limit=40), order="column", rank=1),
    Column("value", diligence.measured, rank=2, most=20),
    Column(
        "what", lambda row: styled(row["message"], "quiet", 200), is_wide=True, rank=3, most=200
    ),
)
DOUBT_COLUMNS = (
    Column("row", lambda row: number(row["row"]), order="row", is_number=True, rank=0),
    Column("given", lambda row: styled(row["given"], limit=40), order="given", rank=0),
    Column("more like", lambda row: styled(row["suggested"], limit=40), is_wide=True, rank=1),
    Column("score", lambda row: number(row["score"], 3), is_number=True, rank=2),
)
