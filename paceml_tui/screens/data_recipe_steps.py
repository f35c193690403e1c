"""A recipe as the recipe view shows it: what is read, the list of its steps, and one step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.errors import InputError
from paceml_tui import preparation
from paceml_tui.render import Block, Text, glyph, lines, number, styled
from paceml_tui.tasks import Desk, Row
from paceml_tui.widgets.table import Column

if TYPE_CHECKING:
    from local_stack.data.recipes.outline import Outline
    from local_stack.data.recipes.sampling import Sample
    from local_stack.data.versions import DataVersion
    from local_stack.progress import Progress

BEGUN = "features: []\n"
"""The text that a first recipe is begun with."""
SOURCE = "the recipe"
"""What errors call the text, before its line."""
_WHOLE, _SAMPLED = 25_000, 10_000
"""Rows of a version up to which all are looked at while one types, and how many of a larger one."""
_SHOWN_ROWS = 12
_ROOM = 40
"""Cells for what a step does."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A version with the rows to look at."""

    version: DataVersion
    sample: Sample


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored recipe; ``number`` is 0 when there is none."""

    number: int
    n_numbers: int
    text: str


@dataclass(frozen=True, slots=True)
class Look:
    """A text that was looked at: its steps, and what they do (the JSON of ``data prepare``)."""

    text: str
    outline: Outline
    values: dict[str, Any]

    @property
    def problem(self) -> InputError | None:
        """Return the error of the step that cannot be done, with its line."""
        failed = next((it for it in self.values["steps"] if it["problem"]), None)
        if failed is None:
            return None
        place = next(at for at, it in enumerate(self.outline.entries) if it.number == self.n_steps)
        line = self.outline.line_of_place(place) + 1
        return InputError(f"{SOURCE}, line {line}: {failed['problem']}", failed["hint"])

    @property
    def n_steps(self) -> int:
        """Return how many steps were looked at."""
        return len(self.values["steps"])

    def rows(self) -> tuple[Row, ...]:
        """Return a record for each step, those that are off included."""
        by_number = {it["number"]: it for it in self.values["steps"]}
        return tuple(
            {"place": place, "entry": it, "found": by_number.get(it.number)}
            for place, it in enumerate(self.outline.entries)
        )


def opened(desk: Desk, reference: str, progress: Progress) -> Opening:
    """Read the rows to look at, their bytes checked; call it in a thread."""
    from local_stack.data import versions
    from local_stack.data.recipes.sampling import sample_of

    version = versions.find(desk.workspace, reference)
    most = None if version.rows <= _WHOLE else _SAMPLED
    path = versions.table_path(desk.workspace, version)
    return Opening(version, sample_of(path, most, progress))


def kept(desk: Desk, dataset: str, wanted: int) -> Kept:
    """Return stored recipe ``wanted`` (0 for the newest)."""
    found = desk.query("SELECT * FROM recipes WHERE dataset = ? ORDER BY number", dataset)
    if not found:
        return Kept(0, 0, "")
    row = next((it for it in found if it["number"] == wanted), found[-1])
    return Kept(row["number"], found[-1]["number"], _text_of(row))


def _text_of(row: Row) -> str:
    """Return the text of a stored recipe, with escapes for what no editor can show."""
    from local_stack.data.recipes import document
    from paceml_tui.render import safe

    text = str(row["text"] or "")
    if safe(text, 0, is_block=True) == text:
        return text
    return document.text_of(row["document"] or {}, is_ascii=True)


def look(opening: Opening, text: str, progress: Progress) -> Look:
    """Read a text and try its steps; call it in a thread.

    Raises
    ------
    InputError
        The text is no recipe, or its target is not there; the message names the line.
    """
    from local_stack.data.recipes.document import parse
    from local_stack.data.recipes.outline import outline_of
    from local_stack.data.recipes.trial import previewed
    from local_stack.results import plain

    document = parse(text, SOURCE)
    outline = outline_of(text, SOURCE)
    if outline.text != text:  # it was written anew, a step an entry
        text = outline.text
        document = parse(text, SOURCE)
    found = previewed(
        document, opening.sample, opening.version, shown=_SHOWN_ROWS, progress=progress
    )
    return Look(text, outline, plain(found))


def name_of(row: Row) -> str:
    """Return what keeps the cursor on a step when the list is drawn again: its place."""
    return str(row["place"])


def _number(row: Row) -> Text:
    entry = row["entry"]
    return number(entry.number) if entry.number else styled(glyph("idle"), "quiet")


def _word(row: Row) -> Text:
    return styled(row["entry"].word, "" if row["entry"].number else "quiet")


def _does(row: Row) -> Text:
    entry, found = row["entry"], row["found"]
    if not entry.number:
        return styled(f"off: {entry.text}", "quiet")
    if found is None:
        return styled("not looked at: a step before it fails", "quiet")
    return preparation.effect(found, 120 if found["problem"] else _ROOM)


def _fits(row: Row) -> Text:
    found = row["found"]
    if found is None or found["fits_on"] == "nothing":
        return styled("")
    return styled(found["fits_on"], "warning" if found["fits_on"] == "target" else "quiet")


def _rows(row: Row) -> Text:
    found = row["found"]
    return styled("") if found is None or found["problem"] else number(found["n_rows_after"])


COLUMNS = (
    Column("no", _number, is_number=True, rank=0),
    Column("step", _word, rank=0, most=12),
    Column("what it does", _does, is_wide=True, rank=1, most=120),
    Column("fits on", _fits, rank=2),
    Column("rows", _rows, is_number=True, rank=3),
)


def step_block(row: Row, width: int) -> Block:
    """Return everything about one step, in lines of ``width`` cells at most."""
    return lines(*_step(row, max(30, width)))


def _step(row: Row, width: int) -> Iterator[Text]:
    entry, found = row["entry"], row["found"]
    notes = " ".join(it.strip().lstrip("#").strip() for it in entry.notes).strip()
    if found is not None:
        yield from preparation.in_full(found, entry.text, width, notes)
        return
    yield styled(entry.word, "heading")
    yield from preparation.wrapped(entry.text, width, "  ")
    yield from preparation.wrapped(notes, width, "  # ", "quiet")
    yield styled("")
    if entry.number:
        yield styled("A step before it cannot be done.", "warning")
    else:
        yield styled("It is off; space turns it on.", "quiet")


def overview_block(found: Look, width: int) -> Block:
    """Return what all steps do together."""
    width = max(30, width)
    return lines(
        *preparation.about(found.values, width),
        styled(""),
        *preparation.overview(found.values, width),
    )
