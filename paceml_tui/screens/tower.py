"""Tower: the whole workspace at one look, one card a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.message import Message
from textual.widgets import Label, Static
from textual.worker import get_current_worker

from paceml_tui import keys
from paceml_tui.render import (
    Block,
    Text,
    age,
    bar,
    count,
    elapsed,
    grid,
    join,
    number,
    percent,
    size,
    stack,
    status,
    styled,
)
from paceml_tui.screens.serving import state
from paceml_tui.tasks import Desk, Machine, Outcome, Pulse, Request, Row, attempt
from paceml_tui.widgets.notice import Notice
from paceml_tui.widgets.records import State

_LINES = 40


class Opened(Message):
    """Somebody wants the screen of a part, or the jobs."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word


class Surveyed(Message):
    """The cards were put together."""

    def __init__(self, outcome: Outcome[Survey]) -> None:
        super().__init__()
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Survey:
    """The text of each card by its name, and how much there is of it."""

    cards: tuple[tuple[str, Text, Block], ...]
    n_records: int


class Card(Container, can_focus=True):
    """One part of the tower; Enter opens its screen."""

    def __init__(self, name: str, title: str, word: str) -> None:
        super().__init__(id=f"card-{name}", classes="card")
        self.word = word
        self._heading = title

    def compose(self) -> ComposeResult:
        """Lay out the title over the lines."""
        yield Label(styled(self._heading, "heading"), classes="card-title")
        yield Static(styled(""), classes="card-body")

    def show(self, note: Text, block: Block) -> None:
        """Show what is new."""
        self.query_one(Label).update(join(styled(self._heading, "heading"), note, gap="  "))
        self.query_one(".card-body", Static).update(block)

    def on_click(self, event: events.Click) -> None:
        """Take the focus; the second click opens."""
        if event.chain > 1:
            self.post_message(Opened(self.word))


CARDS = (
    ("models", "Models", "registry"),
    ("endpoints", "Endpoints", "serving"),
    ("runs", "Runs", "runs"),
    ("data", "Data", "data"),
    ("drift", "Drift", "drift"),
    ("jobs", "Jobs", "jobs"),
)
"""Name, title and screen of each card, in the order of their places."""


class TowerScreen(Container):
    """What serves, what is new, what drifts, what runs, and how the machine fares."""

    BINDINGS = keys.bindings("tower")
    WORD: ClassVar[str] = "tower"
    EMPTY: ClassVar[str] = (
        "An empty workspace. Press 2 and then n to add a data set, or : to find any command."
    )

    def __init__(self, desk: Desk) -> None:
        super().__init__(id="tower", classes="-loading")
        self.desk = desk
        self.state: State = "loading"
        self._survey: Survey | None = None
        self._machine: Machine | None = None
        self._is_stale = True

    def compose(self) -> ComposeResult:
        """Lay out the cards, and the machine's line under them."""
        yield Notice(classes="notice")
        with VerticalScroll(classes="cards", can_focus=False):
            for name, title, word in CARDS:
                yield Card(name, title, word)
        yield Static(styled(""), id="machine")

    def on_mount(self) -> None:
        """Begin to read, and say so."""
        self.query_one(Notice).say_loading("workspace")
        self.entered()

    def focus_main(self) -> None:
        """Give the focus to the first card, or to what stands in for the cards."""
        self.call_after_refresh(self._focus_main)

    def _focus_main(self) -> None:
        if self.state != "filled":
            self.query_one(Notice).focus()
        elif not any(card.has_focus for card in self.query(Card)):
            self.query(Card).first().focus()

    def entered(self) -> None:
        """Read again if something changed while the screen was not seen."""
        if self._is_stale:
            self.reload()
        self.focus_main()

    def changed(self, *, is_visible: bool) -> None:
        """Read again now, or when the screen is next seen."""
        self._is_stale = True
        if is_visible:
            self.reload()

    def concerns(self, pulse: Pulse, before: Pulse | None) -> bool:
        """Everything concerns the tower."""
        return pulse != before

    def step_back(self) -> bool:
        """There is nothing to step back from."""
        return False

    @property
    def selected(self) -> Row | None:
        """There is no single record here."""
        return None

    def repeats(self, row: Row) -> Request:
        """Return the command that shows all this."""
        return Request("tower.show")

    def reload(self) -> None:
        """Read in a thread; the last of several readings counts."""
        self._is_stale = False
        self.run_worker(self._load, thread=True, exclusive=True, group="load-tower")

    def _load(self) -> None:
        worker = get_current_worker()
        outcome = attempt(lambda: survey(self.desk))
        if not worker.is_cancelled:
            self.post_message(Surveyed(outcome))

    @on(Surveyed)
    def _show(self, event: Surveyed) -> None:
        event.stop()
        found, error = event.outcome.value, event.outcome.error
        if error is not None:
            self.query_one(Notice).say_failed(error)
            self._become("failed")
        elif found is None or found.n_records == 0:
            self.query_one(Notice).say_empty(self.EMPTY)
            self._become("empty")
        else:
            for name, note, block in found.cards:
                self.query_one(f"#card-{name}", Card).show(note, block)
            self._become("filled")
        if self.screen.focused is None or self.query_one(Notice).has_focus:
            self.focus_main()

    def _become(self, state: State) -> None:
        self.state = state
        for name in ("loading", "empty", "filled", "failed"):
            self.set_class(name == state, f"-{name}")

    def show_machine(self, found: Machine) -> None:
        """Show the load of the machine when it is another one."""
        if found != self._machine:
            self._machine = found
            self.query_one("#machine", Static).update(machine_line(found))

    def action_step(self, by: int) -> None:
        """Move the focus to another card."""
        cards = list(self.query(Card))
        at = next((place for place, card in enumerate(cards) if card.has_focus), 0)
        if cards and self.state == "filled":
            cards[(at + by) % len(cards)].focus()

    def action_open(self) -> None:
        """Open the screen of the card that has the focus."""
        for card in self.query(Card):
            if card.has_focus:
                self.post_message(Opened(card.word))


def survey(desk: Desk) -> Survey:
    """Put the cards together from the metadata tables; runs in a thread."""
    cards = (
        ("models", *_models(desk)),
        ("endpoints", *_endpoints(desk)),
        ("runs", *_runs(desk)),
        ("data", *_data(desk)),
        ("drift", *_drift(desk)),
        ("jobs", *_jobs(desk)),
    )
    tables = ("models", "endpoints", "runs", "datasets", "drift_reports", "jobs")
    counted = " + ".join(f"(SELECT count(*) FROM {table})" for table in tables)  # noqa: S608
    return Survey(cards, desk.query(f"SELECT {counted} AS n")[0]["n"])


def _lines(titles: Sequence[str], rows: Sequence[Sequence[Text]], numbers: Sequence[int]) -> Block:
    return grid(titles, rows, numbers) if rows else styled("None yet.", "quiet")


def _models(desk: Desk) -> tuple[Text, Block]:
    rows = desk.query(
        "SELECT name, version, stage, created_at FROM model_versions ORDER BY "
        "CASE stage WHEN 'Production' THEN 0 WHEN 'Staging' THEN 1 WHEN 'None' THEN 2 ELSE 3 END, "
        "updated_at DESC LIMIT ?",
        _LINES,
    )
    total = desk.query("SELECT count(*) AS n FROM model_versions")[0]["n"]
    shown = [
        (
            status(row["stage"]),
            styled(f"{row['name']}/{row['version']}", limit=22),
            age(row["created_at"], desk.now()),
        )
        for row in rows
    ]
    return count(total, "version"), _lines(("", "", ""), shown, (2,))


def _endpoints(desk: Desk) -> tuple[Text, Block]:
    rows = desk.query(
        "SELECT * FROM endpoints ORDER BY stopped_at IS NOT NULL, started_at DESC LIMIT ?", _LINES
    )
    shown = [
        (state(row), styled(row["name"], limit=18), styled(f"port {row['port']}", "quiet"))
        for row in rows
    ]
    n_up = sum(state(row).plain.endswith("up") for row in rows)
    return styled(f"{n_up} up"), _lines(("", "", ""), shown, (2,))


def _runs(desk: Desk) -> tuple[Text, Block]:
    rows = desk.query(
        "SELECT coalesce(experiment, '') AS experiment, count(*) AS n, "
        "count(*) FILTER (status = 'FINISHED') AS n_good, "
        "count(*) FILTER (status IN ('RUNNING', 'SCHEDULED')) AS n_busy, "
        "count(*) FILTER (status IN ('FAILED', 'KILLED')) AS n_bad, max(started_at) AS last_at "
        "FROM runs WHERE coalesce(lifecycle, 'active') = 'active' "
        "GROUP BY 1 ORDER BY last_at DESC LIMIT ?",
        _LINES,
    )
    shown = [
        (
            styled(row["experiment"], limit=15),
            _tally(row["n_good"], "good"),
            _tally(row["n_busy"], "accent"),
            _tally(row["n_bad"], "bad"),
            age(row["last_at"], desk.now()),
        )
        for row in rows
    ]
    titles = ("experiment", "done", "busy", "bad", "age")
    total = sum(row["n"] for row in rows)
    return count(total, "run"), _lines(titles, shown, (1, 2, 3, 4))


def _tally(n: int, tone: str) -> Text:
    return styled(f"{n:,}", tone if n else "quiet")


def _data(desk: Desk) -> tuple[Text, Block]:
    rows = desk.query(
        "SELECT d.name, v.n_rows, v.created_at FROM datasets d LEFT JOIN data_versions v "
        "ON v.dataset = d.name AND v.version = d.latest "
        "ORDER BY v.created_at DESC NULLS LAST LIMIT ?",
        _LINES,
    )
    total = desk.query("SELECT count(*) AS n FROM datasets")[0]["n"]
    shown = [
        (styled(row["name"], limit=16), number(row["n_rows"]), age(row["created_at"], desk.now()))
        for row in rows
    ]
    return count(total, "data set"), _lines(("name", "rows", "age"), shown, (1, 2))


def _drift(desk: Desk) -> tuple[Text, Block]:
    rows = desk.query(
        "SELECT arg_max(report, created_at) AS report, current, "
        "arg_max(drifted, created_at) AS drifted, arg_max(share, created_at) AS share, "
        "max(created_at) AS created_at FROM drift_reports GROUP BY reference, current "
        "ORDER BY max(created_at) DESC LIMIT ?",
        _LINES,
    )
    shown = [
        (
            status("drifted" if row["drifted"] else "stable"),
            styled(row["current"], limit=14),
            percent(row["share"]),
        )
        for row in rows
    ]
    n_drifted = sum(bool(row["drifted"]) for row in rows)
    return styled(f"{n_drifted} of {len(rows)} drifted"), _lines(("", "", ""), shown, (2,))


def _jobs(desk: Desk) -> tuple[Text, Block]:
    from local_stack import jobs

    found = jobs.listed(desk.workspace, limit=_LINES)
    shown = [
        (status(job.status), styled(job.command, limit=18), elapsed(job.started_at, job.ended_at))
        for job in found
    ]
    n_running = sum(job.is_alive for job in found)
    return styled(f"{n_running} at work"), _lines(("", "", ""), shown, (2,))


def machine_line(found: Machine) -> Block:
    """Return the machine's load as three short bars in one line."""
    memory = found.memory_used / max(1, found.memory_total)
    disk = 1 - found.disk_free / max(1, found.disk_total)
    return stack(
        join(
            styled("machine", "heading"),
            _gauge("cpu", found.cpu),
            _gauge("memory", memory),
            _gauge("disk", disk),
            join(size(found.disk_free), styled("free", "quiet")),
            gap="  ",
        )
    )


def _gauge(name: str, share: float) -> Text:
    tone = "bad" if share > 0.95 else "warning" if share > 0.85 else "accent"
    percentage = styled(f"{round(share * 100):3d}%")
    return join(styled(name, "quiet"), bar(share, 5, tone), percentage)
