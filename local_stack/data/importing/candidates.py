"""Which one type reads all of some texts, and how: numbers with their marks, dates in formats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from local_stack.data.importing import kinds, moments
from local_stack.data.importing.kinds import Reading

Typed = tuple[str, tuple[Reading, ...], str, tuple[tuple[str, str], ...]]
"""Type, readings, reason, and warnings as (code, text)."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What the whole file says of its numbers and dates."""

    prefers_comma: bool
    order: str
    decimal: str | None
    thousands: str | None


def proves(values: Sequence[str], mark: str) -> bool:
    """Return whether numbers with ``mark`` cannot be thousands: not three digits behind it."""
    bare = [value.lstrip("+-") for value in values[:2_000]]
    return any(
        len(parts := text.split(mark)) == 2
        and parts[0].replace("," if mark == "." else ".", "").isdigit()
        and parts[1].isdigit()
        and (len(parts[1]) != 3 or parts[0] == "0")
        for text in bare
    )


def numbers(values: Sequence[str], marks: Marks) -> Typed | None:
    """Return how all of ``values`` are numbers, or None; integers beyond 64 bits are none."""
    readings = [
        reading
        for kind, decimal, thousands, has_currency in kinds.NUMBERS
        if marks.decimal in (None, decimal) and marks.thousands in (None, thousands, "")
        for reading in (kinds.number(kind, decimal, thousands, has_currency=has_currency),)
        if all(map(reading.fits, values))
    ]
    if not readings:
        return None
    plain = [r for r in readings if not r.thousands and not r.has_currency]
    if plain and plain[0].type == "long":
        if all(-(2**63) <= int(value) < 2**63 for value in values):
            return "long", (plain[0],), "every value is a whole number", ()
        return None  # kept exact, as text
    reading = _less_doubtful(readings, values, marks)
    reason = f"every value is a number: {reading.label}"
    warnings: list[tuple[str, str]] = []
    if reading.type == "double" and (_most_digits(values) > 17 or any(map(_is_large, values))):
        text = "Some values have more than 17 digits, of which a double keeps about 16."
        warnings.append(("precision", text))
    if reading.thousands and not _is_proved(readings, reading):
        text = f"'{reading.thousands}' was taken to stand between thousands."
        warnings.append(("thousands", text))
    return reading.type, (reading,), reason, tuple(warnings)


def _less_doubtful(
    readings: Sequence[kinds.Number], values: Sequence[str], marks: Marks
) -> kinds.Number:
    """Choose between a decimal mark and one of thousands where every value allows both."""
    if marks.prefers_comma:
        order = [r for r in readings if r.decimal == "," or r.thousands == "."]
        whole = [r for r in order if r.type == "long"]
        if whole:
            return whole[0]
        if order:
            return order[0]
    for reading in readings:
        is_comma = reading.decimal == "," and not reading.thousands and not marks.prefers_comma
        if not is_comma or not any(r.thousands == "," for r in readings):
            return reading
    return readings[0]


def _is_proved(readings: Sequence[kinds.Number], chosen: kinds.Number) -> bool:
    """Return whether no reading takes the same character for a decimal mark."""
    return not any(r.decimal == chosen.thousands and r.type == "double" for r in readings)


def _is_large(value: str) -> bool:
    """Return whether the whole part is larger than a double holds exactly."""
    whole = re.sub("[^0-9].*", "", value.lstrip("+-"))
    return len(whole) > 15 and int(whole) > 2**53


def _most_digits(values: Sequence[str]) -> int:
    return max(sum(character.isdigit() for character in value.lstrip("0.")) for value in values)


def dates(values: Sequence[str], marks: Marks) -> Typed | None:
    """Return how all of ``values`` are dates or time stamps, or None."""
    found = moments.formats_in(values, prefers=marks.order)
    if found is None:
        return None
    kind = found.type
    readings = tuple(
        moments.Moment(kind, m.label, m.pattern, m.format, m.has_zone) for m in found.moments
    )
    named = ", ".join(dict.fromkeys(m.label for m in found.moments))
    noun = "date" if kind == "date" else "time stamp"
    warnings = (("ambiguous_dates", f"Read as {named}: {found.doubt}."),) if found.doubt else ()
    if len(found.moments) > 1 and not found.doubt:
        warnings = (("mixed_formats", f"Its values come in several formats: {named}."),)
    return kind, readings, f"every value is a {noun}: {named}", warnings


def dates_as_asked(values: Sequence[str], asked: str) -> Typed | None:
    """Return how all of ``values`` are moments in the format that was asked for, or None."""
    kind = "datetime" if any(mark in asked for mark in ("%H", "%I", "%X", "%c")) else "date"
    reading = moments.Moment(kind, asked, "(?s).+", asked)
    if not all(moments.parsed(reading, value) for value in values):
        return None
    return kind, (reading,), f"every value has the format {asked}, as asked", ()
