"""What the label queue shows: the record, the classes with their keys, and where things stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paceml_tui import keys
from paceml_tui.render import (
    Block,
    Text,
    bar,
    cells,
    count,
    fields,
    fit,
    glyph,
    grid,
    heading,
    join,
    lines,
    number,
    safe,
    stack,
    styled,
    value_text,
)

if TYPE_CHECKING:
    from local_stack.data.labelling.board import Labelling, Sample
    from local_stack.data.labelling.tally import Opinion

LONGEST = 8_000
"""Characters of one value that are shown; how many are left out is said."""

_MOST_OTHERS = 12
_MOST_LISTED = 15
_MOST_PEOPLE = 8


def class_keys() -> tuple[str, ...]:
    """Return the keys of the classes, in order."""
    return tuple(key.keys for key in keys.of("classes"))


def title(
    reference: str, column: str, board: Labelling | None, *, queue: str, busy: str, width: int
) -> Text:
    """Return what is labelled, how far it is, and which rows are shown, in at most ``width``."""
    name, _, version = reference.rpartition("@")
    shown = f"{safe(name, 20)}@{version[:12]}"
    parts = [styled("Label", "heading"), styled(shown, limit=33), styled(column, "strong", 20)]
    if board is not None:
        done = board.queue.n_rows - board.queue.n_left
        parts.append(styled(f"{done:,} of {board.queue.n_rows:,} done"))
        is_judge = board.queue.role == "adjudicate"
        parts.append(styled("adjudicating", "warning") if is_judge else styled(""))
    parts.append(styled(queue, "accent"))
    if busy:
        parts.append(styled(f"{glyph('busy')} {safe(busy, 24)}", "accent"))
    return fit(join(*parts, gap="  "), max(20, width))


def record(state: Labelling, sample: Sample, note: str) -> Block:
    """Return one row: what was said of it, then every value, long texts wrapped."""
    place = styled("not in this queue", "warning")
    if sample.place is not None:
        place = styled(f"{sample.place:,} of {state.queue.n_rows:,} in this queue", "quiet")
    said = [*_own(state, sample, note), *_others(state, sample)]
    return stack(
        heading(f"Row {sample.row:,}", place),
        fields(said) if said else None,
        styled(""),
        fields((safe(name, 40), _value(value)) for name, value in sample.values.items()),
    )


def finished(state: Labelling) -> Block:
    """Return what stands in place of a row when none is left."""
    is_judge = state.queue.role == "adjudicate"
    what = "No conflict is left to settle." if is_judge else "Nothing is left in this queue."
    hints = [
        ("F", "make a new version with the labels"),
        ("/", "other rows, or another order"),
        ("A", "back to your own queue" if is_judge else "settle what annotators disagree on"),
        ("u", "take your last answer back"),
    ]
    return stack(
        styled(what, "strong"),
        styled(""),
        grid(("", ""), [(styled(key, "accent"), styled(text)) for key, text in hints]),
    )


def choices(state: Labelling, chosen: Sequence[str], width: int, *, is_wide: bool) -> Block:
    """Return the classes with their keys: a few one a line, else as many a line as fit."""
    known = class_keys()
    parts = [
        _choice(known[place] if place < len(known) else "", name, name in chosen)
        for place, name in enumerate(state.classes)
    ]
    if len(parts) > len(known):
        parts = parts[: len(known)]
        n_more = len(state.classes) - len(known)
        parts.append(styled(f"and {n_more:,} more: press + and type the name", "warning"))
    if state.is_multi:
        parts.append(styled("enter keeps them", "quiet"))
    is_list = is_wide and len(parts) <= _MOST_LISTED
    return lines(*parts) if is_list else _flowing(parts, max(20, width))


def tallies(state: Labelling, *, is_list: bool) -> Block:
    """Return how far everybody is and how far they agree."""
    if state.n_labelled is None:
        return styled("")
    found = state.agreement
    agreed = [("kappa", _kappa(state)), ("alpha", number(found.alpha, 3))] if found else []
    facts = [
        ("labelled", number(state.n_labelled)),
        ("in conflict", _alarming(state.n_conflicts)),
        ("unlabelled", number(state.n_unlabelled)),
        *([("kept", number(state.n_kept))] if state.n_kept else []),
        *agreed,
    ]
    if not is_list:
        return join(*(join(styled(name, "quiet"), text) for name, text in facts), gap="   ")
    return stack(
        styled(""),
        heading("So far"),
        fields(facts),
        *_people(state),
        *(
            [
                join(
                    styled("from"),
                    count(found.n_rows, "row with two answers", "rows with two answers"),
                )
            ]
            if found
            else []
        ),
    )


def _own(state: Labelling, sample: Sample, note: str) -> list[tuple[str, Text]]:
    told: list[tuple[str, Text]] = []
    current = sample.values.get(state.column)
    if current is not None:
        told.append((f"{safe(state.column, 20)} now", value_text(current, 60)))
    opinion = sample.opinion
    if opinion is not None:
        who = "judged" if state.queue.role == "adjudicate" else "you said"
        told.append((who, _said(opinion)))
    written = note or (opinion.note if opinion else "")
    if written:
        told.append(("note", styled(written, "accent", 400)))
    return told


def _others(state: Labelling, sample: Sample) -> list[tuple[str, Text]]:
    shown = [
        (
            safe(it.actor, 20),
            join(_said(it), styled(it.note, "quiet", 200), gap="  "),
        )
        for it in sample.others[:_MOST_OTHERS]
    ]
    if len(sample.others) > _MOST_OTHERS:
        shown.append(("", styled(f"and {len(sample.others) - _MOST_OTHERS} more", "quiet")))
    return shown


def _said(opinion: Opinion) -> Text:
    if opinion.classes is None:
        return styled(f"{glyph('idle')} skipped", "quiet")
    named = ", ".join(opinion.classes) if opinion.classes else "none of them"
    return styled(f"{glyph('good')} {safe(named, 120)}", "strong")


def _value(value: Any) -> Text:
    if value is None:
        return styled(glyph("none"), "quiet")
    if not isinstance(value, str):
        return styled(value if isinstance(value, int | float) else str(value), limit=LONGEST)
    shown = styled(value[:LONGEST], limit=0, is_block=True)
    if len(value) <= LONGEST:
        return shown
    return lines(shown, styled(f"and {len(value) - LONGEST:,} more characters", "warning"))


def _choice(key: str, name: str, is_chosen: bool) -> Text:
    mark = styled(glyph("good"), "good") if is_chosen else styled("")
    return join(styled(key, "accent"), mark, styled(name, "strong" if is_chosen else "", 40))


def _flowing(parts: Sequence[Text], width: int) -> Text:
    """Return the parts in lines of at most ``width`` cells, none of them broken."""
    rows: list[Text] = []
    row: list[Text] = []
    for part in parts:
        if row and cells(join(*row, part, gap="   ")) > width:
            rows.append(join(*row, gap="   "))
            row = []
        row.append(part)
    return lines(*rows, join(*row, gap="   "))


def _alarming(n: int | None) -> Text:
    return styled(f"{n:,}", "warning") if n else number(n)


def _kappa(state: Labelling) -> Text:
    found = state.agreement
    return number(found.kappa if found else None, 3)


def _people(state: Labelling) -> list[Block]:
    if not state.annotators:
        return []
    rows = [
        (
            styled(it.actor, limit=14),
            bar(it.n_answered / state.n_rows if state.n_rows else 0, 8),
            number(it.n_answered),
            join(
                count(it.n_skipped, "skipped", "skipped") if it.n_skipped else styled(""),
                count(it.n_adjudicated, "judged", "judged") if it.n_adjudicated else styled(""),
                gap=", ",
            ),
        )
        for it in state.annotators[:_MOST_PEOPLE]
    ]
    n_more = len(state.annotators) - _MOST_PEOPLE
    more = [styled(f"and {n_more} more", "quiet")] if n_more > 0 else []
    return [styled(""), heading("Annotators"), grid(("", "", "", ""), rows, (2,)), *more]
