"""Data: data sets, the versions of one of them, and everything about a version.

The list shows the data sets with their newest version, or (``v``) every version of one. From
here one imports, compares two versions, and sees to the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from paceml_tui import keys
from paceml_tui.render import Block, Text, glyph, join, moment, number, safe, status, styled
from paceml_tui.render import value_text as value
from paceml_tui.screens import data_detail
from paceml_tui.screens.data_contract import ContractView
from paceml_tui.screens.data_diff import DiffView
from paceml_tui.screens.data_diligence import DiligenceView
from paceml_tui.screens.data_import import ImportView
from paceml_tui.screens.data_label import LabelView
from paceml_tui.screens.data_profile import ProfileView
from paceml_tui.screens.data_recipe import RecipeView
from paceml_tui.screens.data_rows import RowsView
from paceml_tui.tasks import Asked, Pulse, Request, Row, attempt
from paceml_tui.widgets.records import PAGE, RecordsScreen
from paceml_tui.widgets.table import Column, Listing

_COLUMNS = """
    d.name, d.target, d.keys, d.sensitive, d.contract, d.n_versions, d.latest,
    v.version, v.number, v.n_rows, v.n_columns, v.columns, v.warnings, v.source, v.options,
    v.note, v.actor, v.rejects, v.decisions, v.lineage, v.original,
    coalesce(v.created_at, d.created_at) AS created_at,
    (SELECT string_agg(t.tag, ' ' ORDER BY t.tag) FROM data_tags t
     WHERE t.dataset = d.name AND t.version = v.version) AS tags,
    (SELECT max(c.contract) FROM checks c
     WHERE c.dataset = d.name AND c.version = v.version) AS checked,
    (SELECT arg_max(c.passed, c.contract) FROM checks c
     WHERE c.dataset = d.name AND c.version = v.version) AS passed,
    (SELECT arg_max(p.version, p.number) FROM data_versions p
     WHERE p.dataset = d.name AND p.number < v.number) AS previous
"""


class DataScreen(RecordsScreen):
    """What tables there are, where they come from, and what is in them."""

    BINDINGS = keys.bindings("data")
    WORD = "data"
    NOUN = "data sets"
    SOURCE = (
        f"SELECT {_COLUMNS} FROM datasets d "  # noqa: S608 - names of ours
        "LEFT JOIN data_versions v ON v.dataset = d.name AND v.version = d.latest"
    )
    VERSIONS = (
        f"SELECT {_COLUMNS} FROM data_versions v "  # noqa: S608 - names of ours
        "JOIN datasets d ON d.name = v.dataset WHERE d.name = ?"
    )
    KEY = ("name", "version")
    SEARCH = ("name", "target", "version", "tags", "note", "actor")
    SORTED_BY = "created"
    EMPTY = "No data set yet. Press n to import a table: a file, a URL, a bucket or a query."

    dataset = ""
    """The data set whose versions are listed; '' when the data sets are."""
    _left = ""
    _wanted = ""
    _marked: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """Return what is listed: data sets, or the versions of one."""
        return f"versions of {self.dataset}" if self.dataset else self.NOUN

    def source(self) -> tuple[str, tuple[Any, ...]]:
        """Return the SELECT of the data sets, or of the versions of one."""
        return (self.VERSIONS, (self.dataset,)) if self.dataset else (self.SOURCE, ())

    def columns(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Return the columns; the narrowest terminal keeps name, rows, columns and created."""
        if not self.dataset:
            return SET_COLUMNS
        mark = Column("mark", self._mark, rank=1, most=4)
        return (mark, *VERSION_COLUMNS) if self._marked else VERSION_COLUMNS

    def name_of(self, row: Row) -> str:
        """Return NAME@VERSION."""
        return f"{row['name']}@{row['version']}" if row["version"] else str(row["name"])

    def arguments_for(self, command: str, row: Row | None) -> dict[str, Any]:
        """Fill in the selected version; adding begins with nothing."""
        return {"name": self.name_of(row)} if row and command != "data.add" else {}

    def repeats(self, row: Row) -> Request:
        """Return the command that shows the rows of the selected version."""
        return Request("data.show", {"name": self.name_of(row)})

    def listed(self) -> Request:
        """Return the command that lists what is listed here."""
        if not self.dataset:
            return Request("data.list")
        return Request("data.log", {"name": self.dataset, "limit": PAGE})

    def read(self) -> Listing:
        """Return the page, and with versions what each changed."""
        listing = super().read()
        if not self.dataset:
            return listing
        log = attempt(lambda: self.desk.perform(self.listed())[1]).value
        changes = {it.version: it.change for it in log.versions} if log is not None else {}
        rows = tuple({**row, "change": changes.get(row["version"], "")} for row in listing.rows)
        return replace(listing, rows=rows)

    def concerns(self, pulse: Pulse, before: Pulse | None) -> bool:
        """Read again after events, and when a job ends: it may have been a profile."""
        if super().concerns(pulse, before) or before is None:
            return True
        return len(pulse.running) != len(before.running)

    def detail(self, row: Row) -> Block:
        """Return lineage, import, rejects, schema and newest profile of a version."""
        return data_detail.block(self.desk, row, self.name_of(row))

    def action_ask(self, command: str) -> None:
        """Open the form of a command; a table is imported in a view of its own."""
        if command != "data.add":
            super().action_ask(command)
            return

        def chosen(request: Request | None) -> None:
            if request is not None:
                self.post_message(Asked(request, is_form=False))

        given = {"name": self.dataset} if self.dataset else {}
        self.app.push_screen(ImportView(self.desk, given), chosen)

    # Data sets and versions.

    def action_versions(self) -> None:
        """List the versions of the selected data set."""
        row = self.selected
        if row is not None and not self.dataset:
            self._list(str(row["name"]))

    def step_back(self) -> bool:
        """Undo one step of what is open: the detail, the filter, the list of versions."""
        if super().step_back():
            return True
        if not self.dataset:
            return False
        self._left = self.dataset
        self._list("")
        return True

    def reveal(self, dataset: str, version: str) -> None:
        """List the versions of a data set, with the cursor on the one that begins so."""
        self._wanted = version
        self._list(dataset)

    def _list(self, dataset: str) -> None:
        self.dataset = dataset
        self._marked = ()
        self.begin_again()

    def filled(self) -> None:
        """Go back to the data set whose versions were listed, or to the wanted version."""
        listed = self.listing.rows if self.listing and self._wanted and self.dataset else ()
        for place, row in enumerate(listed):
            if str(row["version"]).startswith(self._wanted):
                self.table.move_cursor(row=place, animate=False)
        self._wanted = "" if listed else self._wanted
        rows = self.listing.rows if self.listing and self._left and not self.dataset else ()
        for place, row in enumerate(rows):
            if row["name"] == self._left:
                self.table.move_cursor(row=place, animate=False)
        self._left = "" if rows else self._left

    def action_mark(self) -> None:
        """Mark the selected version, or take its mark away; two are marked at most."""
        row = self.selected
        if row is None or not self.dataset or self.listing is None:
            return
        version = str(row["version"])
        if version in self._marked:
            self._marked = tuple(it for it in self._marked if it != version)
        else:
            self._marked = (*self._marked, version)[-2:]
        self.listing = replace(self.listing, columns=self.columns(self.listing.rows))
        self.table.fill(self.listing, self.name_of)
        self.table.action_cursor_down()

    def action_diff(self) -> None:
        """Compare the two marked versions, or the selected one with the one before it."""
        row = self.selected
        if row is None:
            return
        pair = self._pair(row)
        if pair is None:
            self._say(f"{row['name']} has no version before this one; mark two with space.")
            return
        name = row["name"]
        self.app.push_screen(DiffView(self.desk, f"{name}@{pair[0]}", f"{name}@{pair[1]}"))

    def _pair(self, row: Row) -> tuple[str, str] | None:
        """Return the versions to compare, the older one first."""
        rows = self.listing.rows if self.listing else ()
        marked = [it for it in rows if it["version"] in self._marked] if self.dataset else []
        if len(marked) == 2:
            first, second = sorted(marked, key=lambda it: it["number"] or 0)
            return str(first["version"]), str(second["version"])
        return (str(row["previous"]), str(row["version"])) if row["previous"] else None

    def action_contract(self) -> None:
        """Open the contract of the data set, with the verdict on the selected version."""
        row = self.selected
        if row is not None and row["version"]:
            self.app.push_screen(ContractView(self.desk, str(row["name"]), str(row["version"])))

    def action_profile(self) -> None:
        """Show the profile of the selected version; it is made when there is none."""
        row = self.selected
        if row is not None and row["version"]:
            self.app.push_screen(ProfileView(self.desk, str(row["name"]), str(row["version"])))

    def action_diligence(self) -> None:
        """Judge whether the selected version can carry a model of its target."""
        row = self.selected
        if row is not None and row["version"]:
            self.app.push_screen(DiligenceView(self.desk, self.name_of(row)))

    def action_rows(self) -> None:
        """Show the rows of the selected version."""
        row = self.selected
        if row is not None and row["version"]:
            self.app.push_screen(RowsView(self.desk, self.name_of(row)))

    def action_recipe(self) -> None:
        """Show the recipe of preparation of the selected version."""
        row = self.selected
        if row is not None and row["version"]:
            self.app.push_screen(RecipeView(self.desk, self.name_of(row)))

    def action_label(self) -> None:
        """Label rows of the selected version."""
        row = self.selected
        if row is not None and row["version"]:
            self.app.push_screen(LabelView(self.desk, self.name_of(row)))

    def _mark(self, row: Row) -> Text:
        return styled(glyph("good"), "accent") if row["version"] in self._marked else styled("")

    def _say(self, sentence: str) -> None:
        """Say in passing why nothing happens."""
        self.app.notify(safe(sentence, 120), severity="warning", markup=False)


def check_of(row: Row) -> Text:
    """Return the newest verdict on a version: by which contract, when that is not the last."""
    if row["passed"] is None:
        return styled("no contract" if row["contract"] is None else "not run", "quiet")
    verdict = status("passed" if row["passed"] else "failed")
    if row["checked"] == row["contract"]:
        return verdict
    return join(verdict, styled(f"by {row['checked']}", "quiet"))


def _short(version: object, tone: str = "") -> Text:
    """Return the first twelve digits of a version, which is what commands take."""
    return styled(str(version or "")[:12], tone)


def _rejects(row: Row) -> Text:
    return number(row["rejects"]) if row["rejects"] else styled("none", "quiet")


SET_COLUMNS = (
    Column("name", lambda row: styled(row["name"]), order="name", is_wide=True, rank=0, most=40),
    Column("version", lambda row: _short(row["version"], "quiet"), rank=6, most=12),
    Column("rows", lambda row: number(row["n_rows"]), order="n_rows", is_number=True, rank=1),
    Column("cols", lambda row: number(row["n_columns"]), order="n_columns", is_number=True, rank=2),
    Column("target", lambda row: value(row["target"]), order="target", rank=4, most=16),
    Column("tags", lambda row: styled(row["tags"], "accent"), order="tags", rank=7, most=16),
    Column("check", check_of, order="passed", rank=5),
    Column("created", lambda row: moment(row["created_at"]), order="created_at", rank=3),
)
VERSION_COLUMNS = (
    Column("no", lambda row: number(row["number"]), order="number", is_number=True, rank=0),
    Column("version", lambda row: _short(row["version"]), rank=0, most=12),
    Column("tags", lambda row: styled(row["tags"], "accent"), order="tags", rank=4, most=16),
    Column("rows", lambda row: number(row["n_rows"]), order="n_rows", is_number=True, rank=1),
    Column("cols", lambda row: number(row["n_columns"]), order="n_columns", is_number=True, rank=7),
    Column("rejects", _rejects, order="rejects", is_number=True, rank=6),
    Column("check", check_of, order="passed", rank=3),
    Column("created", lambda row: moment(row["created_at"]), order="created_at", rank=2),
    Column("change", lambda row: styled(row.get("change"), limit=40), rank=5, most=18),
    Column("by", lambda row: styled(row["actor"]), order="actor", rank=8, most=12),
    Column("note", lambda row: styled(row["note"], "quiet"), is_wide=True, rank=9, most=40),
)
