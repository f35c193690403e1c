"""What the label queue hears from the engine, and asks of people: lines and their meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

from local_stack.errors import InputError
from paceml_tui.tasks import Outcome, Request

if TYPE_CHECKING:
    from local_stack.data.labelling.board import Labelling
    from local_stack.data.labelling.listing import LabellingList

_RANDOM = re.compile(r"random(?:\s+(\d{1,9}))?")


class Told(Message):
    """The engine has answered a request of this view."""

    def __init__(self, request: Request, outcome: Outcome[Labelling]) -> None:
        super().__init__()
        self.request = request
        self.outcome = outcome


class Counted(Message):
    """What the answers of everybody come to was counted."""

    def __init__(self, outcome: Outcome[Labelling]) -> None:
        super().__init__()
        self.outcome = outcome


class Found(Message):
    """It is known what of the data set is being labelled."""

    def __init__(self, outcome: Outcome[LabellingList]) -> None:
        super().__init__()
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Prompt:
    """A line that can be asked for: what it is called, and what may be typed."""

    title: str
    help: str


PROMPTS = {
    "column": Prompt("Column", "The column that the labels are for; a new name begins a new one."),
    "classes": Prompt("Classes", "With commas between; a + at the end: a row may have several."),
    "class": Prompt("Class", "Its name; one that is new joins the others."),
    "note": Prompt("Note", "Kept with your answer to this row."),
    "row": Prompt("Row", "Its number, from 0."),
    "queue": Prompt(
        "Queue", "COLUMN=VALUE; unlabelled; skipped; random 7; rows 3,17,40-60; file suspects.csv"
    ),
}


def queue_of(text: str) -> dict[str, Any]:
    """Return the options of ``data label`` that what was typed stands for.

    Parts stand between semicolons; nothing at all means every row in the order of the version.

    Raises
    ------
    InputError
        For a part that is none of them.
    """
    found: dict[str, Any] = {}
    for part in filter(None, (it.strip() for it in text.split(";"))):
        word, _, rest = part.partition(" ")
        is_random = _RANDOM.fullmatch(part)
        if part in ("unlabelled", "skipped"):
            found[part] = True
        elif is_random:
            found |= {"order": "random", "seed": int(is_random[1] or 0)}
        elif word == "rows" and rest and "=" not in part:
            found["rows"] = [rest]
        elif word == "file" and rest and "=" not in word:
            found["rows_from"] = rest.strip()
        elif "=" in part:
            found["where"] = part
        else:
            raise InputError(f"'{part}' says not which rows.", PROMPTS["queue"].help)
    return found


def quoted(name: str) -> str:
    """Return a class as it may stand among others with commas between them."""
    return f'"{name}"' if "," in name else name
