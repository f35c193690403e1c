"""What a delimited text looks like: its delimiter, quotes and escapes, and where its table lies.

The dialect is the one under which rows are most alike and cells most like values, after van den
Burg, Nazabal and Sutton, "Wrangling messy CSV files by detecting row and type patterns" (Data
Mining and Knowledge Discovery 33, 2019). The table is then found by the width of its rows: what
stands before the header is a preamble, and names may take several lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

from local_stack.data.importing import kinds, moments
from local_stack.data.importing.records import Dialect, Record, split
from local_stack.data.tables import NULLS, Decision, Options
from local_stack.errors import InputError

MOST_RECORDS = 400
"""Records that are looked at to tell the dialect; the layout takes all of the sample."""

_DELIMITERS = (",", ";", "\t", "|", "\x01", "\x1f", "~", "^", ":", " ", "*", "#", "&")
_WEAK = frozenset(": *#&")
"""Marks that stand in ordinary text: they part fields only where every row says so."""

_CONTROL = re.compile("[\x02-\x08\x0e-\x19\x1b\x1c\x7f]")
_MOST_CONTROL = 65_536
_FEW_CONTROL = 20
_DIRECTIVE = re.compile(r"(?i)\"?sep=(.)\"?\s*")
_RARE = {"\t": 2.0, ";": 1.2, "|": 1.2}
"""How much more a mark says that stands in every row, and seldom in ordinary text."""

_LEAST = 1e-3
_MOST_LINES = 60
"""Lines that a field may span while dialects are compared: a wrong quote would run on and on."""

_WORD = re.compile(r"[^\W\d_]+(?:[-'./ ][^\W_]+)*[.!?]?")
_PLAIN = re.compile(r"[\w.@%/:+()' -]+")
_MOST_PLAIN = 60
_SINGLE = re.compile(r"(?:^|[^\w\s'])\s*'(?:[^']|'')*'\s*(?:[^\w\s']|$)")
_DIGITS = re.compile(r"[0-9]{3}")
_MOST_NAME = 200
_YEAR = re.compile(r"(?:1[5-9]|20|21)[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the table of a text lies.

    ``first_line`` is the line of the first row of data, ``header_line`` that of the names (0:
    there are none), ``width`` the number of fields of a row, ``typed`` the places of columns
    that hold numbers, dates or truth values.
    """

    dialect: Dialect
    names: tuple[str, ...]
    width: int
    header_line: int
    first_line: int
    n_header: int
    typed: frozenset[int] = frozenset()
    preamble: tuple[Record, ...] = ()
    decisions: tuple[Decision, ...] = field(default=())


def sniff(text: str, options: Options, *, is_whole: bool) -> Layout:
    """Find dialect and layout of ``text``, the beginning of a file (or all of it).

    What ``options`` gives is taken as given.

    Raises
    ------
    InputError
        When the text holds nothing, or options contradict it.
    """
    lines = _lines(text)
    told = _DIRECTIVE.fullmatch(lines[0]) if lines and options.delimiter is None else None
    if told:  # a line for spreadsheets that names the delimiter
        options = replace(options, delimiter=told[1], skip=options.skip or 1)
    if not is_whole and len(lines) > 1:
        lines = lines[:-1]
    n_control = len(_CONTROL.findall(text[:_MOST_CONTROL]))
    if n_control > max(_FEW_CONTROL, 0.02 * min(len(text), _MOST_CONTROL)):
        raise InputError(
            "This is no text: it is full of control characters.",
            "Name its --format, or its --encoding.",
        )
    if not any(line.strip() for line in lines):
        raise InputError("The file is empty.", "Give a table with a header line.")
    if not any(line.strip() for line in lines[(options.skip or 0) :]):
        raise InputError("There is nothing behind the lines that are skipped.", "Lower --skip.")
    dialect, why = _dialect(lines[(options.skip or 0) :], options)
    records = list(split(lines, dialect))
    held = [record for record in records if not record.is_blank]
    if held:  # once more, now that the width tells open quotes from cells of several lines
        records = list(split(lines, dialect, width=_width(held)))
    return _layout(records, dialect, options, why)


def _lines(text: str) -> list[str]:
    """Return the lines with their ends; only a line feed ends one."""
    return re.findall(r"[^\n]*\n|[^\n]+\Z", text)


# The dialect.


def _dialect(lines: Sequence[str], options: Options) -> tuple[Dialect, dict[str, str]]:
    text = "".join(lines[: MOST_RECORDS * 2])
    if options.delimiter is None and _is_one_column(lines):
        return Dialect(";", options.quote or '"'), _why_one(options)
    best, best_score = Dialect(), -1.0
    can_be_weak = options.delimiter is not None or not _is_settled(lines)
    for candidate in _candidates(text, options):
        if candidate.delimiter[0] in _WEAK and not can_be_weak:
            continue
        score = _score(lines, candidate)
        if score > best_score * 1.0001:
            best, best_score = candidate, score
    given = {w: "as asked" for w in ("delimiter", "quote", "escape") if getattr(options, w)}
    why = {
        "delimiter": "rows are most alike and cells most like values with it",
        "quote": "fields are wrapped in it" if best.quote and best.quote in text else "the usual",
        "escape": f"it stands before {best.quote or 'the delimiter'} within fields",
    }
    return best, why | given


def _is_one_column(lines: Sequence[str]) -> bool:
    """Return whether a name without any delimiter stands above numbers with a decimal comma."""
    held = [kinds.trimmed(line) for line in lines[:MOST_RECORDS] if line.strip()]
    if len(held) < 2 or any(mark in held[0] for mark in ",;\t|"):
        return False
    return all("," in line and is_number(line) for line in held[1:])


def _why_one(options: Options) -> dict[str, str]:
    word = "every line is one number"
    return {"delimiter": word, "quote": "as asked" if options.quote else "the usual", "escape": ""}


def _is_settled(lines: Sequence[str]) -> bool:
    """Return whether lines are values as they stand, or a usual mark parts all of them alike."""
    held = [line.rstrip("\r\n") for line in lines[:MOST_RECORDS] if line.strip()]
    if sum(likeness(line) in ("number", "date") for line in held) > 0.8 * len(held):
        return True
    for mark in ",;\t|":
        records = list(split(held, Dialect(mark), most_lines=_MOST_LINES))
        width, n = Counter(len(record.fields) for record in records).most_common(1)[0]
        if width > 1 and n >= 0.95 * len(records):
            return True
    return False


def _candidates(text: str, options: Options) -> list[Dialect]:
    delimiters = [options.delimiter] if options.delimiter else _delimiters(text)
    quotes = [options.quote] if options.quote is not None else _quotes(text)
    found: list[Dialect] = []
    for delimiter in delimiters:
        for quote in quotes:
            escapes = [options.escape] if options.escape is not None else _escapes(text, quote)
            found += [Dialect(delimiter, quote, escape) for escape in escapes]
    return found


def _delimiters(text: str) -> list[str]:
    found: list[str] = []
    for mark in _DELIMITERS:
        n = text.count(mark)
        if not n:
            continue
        found.append(mark)
        if mark != " ":
            found += [
                long for long in (mark * 2, mark + " ") if text.count(long) * len(long) > 0.9 * n
            ]
    return found if "," in found else [",", *found]


def _quotes(text: str) -> list[str]:
    """Return the quotes to try: a single one only where several lines have cells in it."""
    n_lines = sum(bool(_SINGLE.search(line)) for line in text.splitlines())
    return ['"', "'"] if n_lines >= min(3, text.count("\n")) and n_lines else ['"']


def _escapes(text: str, quote: str) -> list[str]:
    n_escaped, n_doubled = text.count(f"\\{quote}"), text.count(quote * 2)
    if not n_escaped:
        return [""]
    return ["\\", ""] if n_escaped > n_doubled else ["", "\\"]


def _score(lines: Sequence[str], dialect: Dialect) -> float:
    """Return how well a dialect explains the lines: alike rows times likely cells."""
    records: list[Record] = []
    for record in split(lines, dialect, most_lines=_MOST_LINES):
        if not record.is_blank:
            records.append(record)
        if len(records) >= MOST_RECORDS:
            break
    if not records:
        return 0.0
    widths = Counter(len(record.fields) for record in records)
    alike = sum(n * max(_LEAST, width - 1) / width for width, n in widths.items()) / len(widths)
    if dialect.delimiter[0] in _WEAK and not _is_sure(records, widths):
        return 0.0
    n_flawed = sum(_is_flawed(record, dialect.quote) for record in records)
    likely = _likely(records, dialect)
    if max(widths.values()) >= 0.95 * len(records):
        likely *= _RARE.get(dialect.delimiter[0], 1.0)
    return alike / len(records) * likely * (1 - 0.5 * n_flawed / len(records))


def _is_flawed(record: Record, quote: str) -> bool:
    """Return whether quotes stand where they neither wrap a field nor are doubled in one."""
    if record.flaw or not quote:
        return bool(record.flaw)
    return sum(cell.count(quote) for cell in record.fields) > record.text.count(quote * 2)


def _is_sure(records: Sequence[Record], widths: Counter[int]) -> bool:
    """Return whether nearly all rows have one width, and many of their cells are values."""
    width, n = widths.most_common(1)[0]
    if n < 0.95 * len(records) or width < 2:
        return False
    cells = [cell for record in records for cell in record.fields]
    n_values = sum(likeness(cell) in ("number", "date", "truth") for cell in cells)
    return width >= 3 and n_values >= 0.25 * len(cells)


def _likely(records: Sequence[Record], dialect: Dialect) -> float:
    """Return the share of cells that look like values rather than pieces of text."""
    weights = {"empty": 0.6, "text": 0.1, "plain": 0.75}
    total = n = 0.0
    for record in records:
        for cell in record.fields:
            total += weights.get(likeness(cell), 1.0)
            n += 1
    return total / n


@lru_cache(65_536)
def likeness(cell: str) -> str:
    """Return what a cell looks like: empty, number, date, truth, word, plain or text."""
    text = kinds.trimmed(cell)
    if text in NULLS:
        return "empty"
    if is_number(text):
        return "number"
    if kinds.TRUTH.fits(text):
        return "truth"
    if moments.formats_of(text):
        return "date"
    if len(text) > _MOST_PLAIN:
        return "text"
    if _WORD.fullmatch(text):
        return "word"
    return "plain" if _PLAIN.fullmatch(text) else "text"


def is_number(text: str) -> bool:
    """Return whether a trimmed text is a number in any of the known spellings."""
    if not text or not any(character.isdigit() for character in text):
        return False
    return kinds.is_digits(text) or any(
        kinds.number(k, d, t, has_currency=c).fits(text) for k, d, t, c in kinds.NUMBERS
    )


# The layout.


def _layout(
    records: list[Record], dialect: Dialect, options: Options, why: dict[str, str]
) -> Layout:
    held = [r for r in records if not r.is_blank and r.line > (options.skip or 0)]
    if not held:
        raise InputError("The file holds nothing but blank lines.", "Give a table.")
    width = _width(held)
    start = 0 if options.skip is not None else _start(held, width)
    if start and options.skip is None:
        mended = _odd_header(held[start - 1], held[start], width, dialect)
        if mended:
            start -= 1
            held[start] = replace(held[start], fields=mended)
    n_header, reason = _header(held[start:], options)
    header, body = held[start : start + n_header], held[start + n_header :]
    if n_header and body:
        width = max(width, len(header[0].fields)) if _fits_header(header, body) else width
    elif n_header:
        width = len(header[0].fields)
    names = _names(header, width, body)
    preamble = tuple(r for r in held[:start])
    first = body[0].line if body else held[start + n_header - 1].line + held[start].n_lines
    layout = Layout(
        dialect=dialect,
        names=names,
        width=width,
        header_line=header[0].line if header else 0,
        first_line=first,
        n_header=n_header,
        typed=frozenset(_typed_columns(body)) if body else frozenset(),
        preamble=preamble,
    )
    return replace(layout, decisions=_decisions(layout, why, reason, options))


def _decisions(
    layout: Layout, why: dict[str, str], reason: str, options: Options
) -> tuple[Decision, ...]:
    dialect = layout.dialect
    found = [
        Decision("delimiter", dialect.delimiter, why["delimiter"]),
        Decision("quote", dialect.quote, why["quote"]),
    ]
    if dialect.escape:
        found.append(Decision("escape", dialect.escape, why["escape"]))
    n_skipped = (layout.header_line or layout.first_line) - 1
    if options.skip is not None:
        found.append(Decision("skip", options.skip, "as asked"))
    elif n_skipped:
        found.append(Decision("skip", n_skipped, "they are not rows of the table"))
    found.append(Decision("header", layout.n_header, reason))
    return tuple(found)


def _width(records: Sequence[Record]) -> int:
    """Return the most usual number of fields; among equals, the larger."""
    widths = Counter(len(record.fields) for record in records)
    n_most = max(widths.values())
    return max(width for width, n in widths.items() if n == n_most)


def _start(records: Sequence[Record], width: int) -> int:
    """Return the place of the first record that belongs to the table, its header included."""
    if width < 2:
        return 0
    return next((i for i, record in enumerate(records) if _belongs(record, width)), 0)


def _belongs(record: Record, width: int) -> bool:
    if len(record.fields) != width:
        return False
    n_held = sum(bool(kinds.trimmed(cell)) for cell in record.fields)
    return n_held >= 2 or width == 2


def _odd_header(before: Record, first: Record, width: int, dialect: Dialect) -> list[str]:
    """Return the names in the record before the first full row, which is not as wide as rows are.

    It may have one field more or fewer, or use another delimiter; [] when it holds no names.
    """
    if not any(likeness(cell) in ("number", "date", "truth") for cell in first.fields):
        return []
    for mark in dict.fromkeys((dialect.delimiter, *",;\t|")):
        records = list(split([before.text], replace(dialect, delimiter=mark)))
        cells = [kinds.trimmed(cell) for cell in records[0].fields]
        if mark == dialect.delimiter:
            if len(cells) == width + 1 and cells.count("") == 1:
                cells.remove("")
            is_near = abs(len(cells) - width) <= max(1, width // 4)
        else:
            is_near = len(cells) == width
        is_named = len(cells) > 1 and len(set(cells)) == len(cells) and "" not in cells
        if is_near and is_named and not {likeness(cell) for cell in cells} & {"number", "date"}:
            return cells
    return []


def _fits_header(header: Sequence[Record], body: Sequence[Record]) -> bool:
    """Return whether rows are as wide as a header that is wider than most of them."""
    return any(len(record.fields) >= len(header[0].fields) for record in body)


def _header(records: Sequence[Record], options: Options) -> tuple[int, str]:
    """Return how many of the first records are names, and why."""
    if options.header is not None:
        if options.header > len(records):
            raise InputError("There are fewer lines than --header says.", "Lower it.")
        return options.header, "as asked"
    first, body = records[0], records[1 : MOST_RECORDS + 1]
    cells = [kinds.trimmed(cell) for cell in first.fields]
    if not body:
        is_text = not any(likeness(cell) in ("number", "date", "truth") for cell in cells)
        return int(is_text), "the only line is text" if is_text else "the only line holds values"
    if _is_run(cells, body):
        return 1, "it names the columns by years"
    typed = _typed_columns(records[1:])
    for_, against = _votes(cells, typed)
    if for_ > against:
        return _n_header(records, typed), "it is text where the rows below hold values"
    if against > for_:
        return 0, "it holds values as the rows below do"
    return _header_by_text(cells, body)


def _header_by_text(cells: Sequence[str], body: Sequence[Record]) -> tuple[int, str]:
    held = [cell for cell in cells if cell]
    if any(is_number(cell) for cell in held):
        return 0, "a name is seldom a number"
    if len(set(held)) < len(held) and len(cells) > 1:
        return 0, "its cells repeat, as names do not"
    if not held or any(len(cell) > _MOST_NAME for cell in held):
        return 0, "its cells are too long for names"
    below = [{kinds.trimmed(cell) for cell in column} for column in _columns(body)]
    n_again = sum(cell in column for cell, column in zip(cells, below, strict=False) if cell)
    if n_again * 2 > len(held):
        return 0, "its cells appear again below"
    return 1, "its cells are all different texts"


def _columns(records: Sequence[Record]) -> list[list[str]]:
    width = _width(records)
    rows = [record.fields for record in records if len(record.fields) == width]
    return [list(column) for column in zip(*rows, strict=True)]


def _typed_columns(records: Sequence[Record]) -> dict[int, str]:
    """Return the columns whose cells are nearly all numbers, dates or truth values."""
    typed: dict[int, str] = {}
    for place, column in enumerate(_columns(records[:MOST_RECORDS])):
        looks = Counter(likeness(cell) for cell in column)
        n_held = sum(looks.values()) - looks["empty"]
        kind, n = max(((k, looks[k]) for k in ("number", "date", "truth")), key=lambda it: it[1])
        if n_held and n >= 0.8 * n_held:
            typed[place] = kind
    return typed


def _votes(cells: Sequence[str], typed: dict[int, str]) -> tuple[int, int]:
    """Return in how many typed columns the cell of the first row is text, and a value."""
    looks = {place: likeness(cells[place]) for place in typed if place < len(cells)}
    n_values = sum(looks[place] == typed[place] for place in looks)
    n_texts = sum(look not in ("number", "date", "truth", "empty") for look in looks.values())
    return n_texts, n_values


def _is_run(cells: Sequence[str], body: Sequence[Record]) -> bool:
    """Return whether the row names its columns by years that grow from one to the next."""
    years = [int(cell) for cell in cells if _YEAR.fullmatch(cell)]
    others = [cell for cell in cells if cell and not _YEAR.fullmatch(cell)]
    if len(years) < 2 or any(map(is_number, others)):
        return False
    if len(years) == 2 or len(others) > len(years):  # then no cell below may be a year
        below = [
            column
            for column, cell in zip(_columns(body), cells, strict=False)
            if cell in map(str, years)
        ]
        if any(_YEAR.fullmatch(kinds.trimmed(cell)) for column in below for cell in column):
            return False
    return all(a < b for a, b in pairwise(years))


def _n_header(records: Sequence[Record], typed: dict[int, str]) -> int:
    """Return how many lines of names there are: later ones are text in every typed column."""
    n = 1
    while n < 3 and n + 2 < len(records) and len(typed) >= 2:
        cells = [kinds.trimmed(cell) for cell in records[n].fields]
        looks = [likeness(cells[place]) if place < len(cells) else "empty" for place in typed]
        if any(look in ("number", "date", "truth", "empty") for look in looks):
            break
        if len(cells) != len(records[0].fields) or any(_DIGITS.search(cell) for cell in cells):
            break  # a damaged row rather than units
        n += 1
    return n


def _names(header: Sequence[Record], width: int, body: Sequence[Record]) -> tuple[str, ...]:
    """Return ``width`` names as the source has them, several lines joined; '' for none."""
    if not header:
        return ("",) * width
    rows = [[" ".join(kinds.trimmed(cell).split()) for cell in record.fields] for record in header]
    joined = [
        " ".join(dict.fromkeys(row[place] for row in rows if place < len(row) and row[place]))
        for place in range(max(map(len, rows)))
    ]
    if len(joined) == width - 1 and _is_row_name(body, width):
        joined.insert(0, "")  # R writes the names of rows without one above them
    return tuple((joined + [""] * width)[:width])


def _is_row_name(body: Sequence[Record], width: int) -> bool:
    first = [record.fields[0] for record in body if len(record.fields) == width]
    last = [record.fields[-1] for record in body if len(record.fields) == width]
    return len(first) > 1 and len(set(first)) == len(first) and any(kinds.trimmed(x) for x in last)
