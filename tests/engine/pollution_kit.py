"""Delimited files that are damaged in one known way each, and the table that they hold.

The kinds of damage are those that surveys of published files report (delimiters, quotes,
escapes, encodings, ends of line, preambles, footers, headers, ragged rows, stray quotes). The
table is made here; nothing is copied from a corpus.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

NAMES = ("id", "name", "amount", "day", "city", "rate")
_CITIES = ("Oslo", "Porto", "Graz", "Brno", "Lviv")
_WORDS = ("plain", 'with "quotes"', "with, comma", "semi; colon", "it's", "two words", "x | y")


def rows(n: int) -> list[tuple[Any, ...]]:
    """Return the table: whole numbers, text, decimals, dates, categories, numbers below one."""
    return [
        (
            i + 1,
            f"{_WORDS[i % len(_WORDS)]} {i}",
            round(1000 + i * 37.25, 2),
            f"20{10 + i % 12}-{1 + i % 12:02d}-{1 + i % 28:02d}",
            _CITIES[i % len(_CITIES)],
            round((i * 7 % 101) / 100 + 0.0005, 4),
        )
        for i in range(n)
    ]


@dataclass(frozen=True)
class Polluted:
    """One file: its bytes, the names and rows that it holds, and the lines that may be lost."""

    name: str
    data: bytes
    names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    lost: tuple[int, ...] = ()


def written(
    table: Sequence[Sequence[Any]],
    names: Sequence[str] | None = NAMES,
    *,
    delimiter: str = ",",
    quotechar: str = '"',
    escapechar: str | None = None,
    quoting: Any = csv.QUOTE_MINIMAL,
    end: str = "\n",
) -> str:
    """Return the text that Python's csv module writes."""
    out = io.StringIO()
    writer = csv.writer(
        out,
        delimiter=delimiter,
        quotechar=quotechar,
        escapechar=escapechar,
        doublequote=escapechar is None,
        quoting=quoting,
        lineterminator=end,
    )
    if names is not None:
        writer.writerow(names)
    writer.writerows(table)
    return out.getvalue()


def files(n: int = 40) -> Iterator[Polluted]:
    """Yield every damaged file, each with ``n`` rows before the damage."""
    table = rows(n)

    def whole(name: str, text: str | bytes, names: Sequence[str] = NAMES) -> Polluted:
        data = text.encode() if isinstance(text, str) else text
        return Polluted(name, data, tuple(names), tuple(table))

    yield from _dialects(whole, table)
    yield from _encodings(whole, table)
    yield from _frames(whole, table)
    yield from _headers(table)
    yield from _damaged_rows(table)


Whole = Callable[..., Polluted]


def _dialects(whole: Whole, table: list[tuple[Any, ...]]) -> Iterator[Polluted]:
    yield whole("plain", written(table))
    for word, mark in (("semicolon", ";"), ("tab", "\t"), ("pipe", "|"), ("caret", "^")):
        yield whole(f"delimiter_{word}", written(table, delimiter=mark))
    yield whole("delimiter_unit_separator", written(table, delimiter="\x1f"))
    yield whole("delimiter_space", written(table, delimiter=" "))
    yield whole("delimiter_colon", written(table, delimiter=":"))
    quoted = written(table, quoting=csv.QUOTE_ALL)
    yield whole("quoted_all", quoted)
    yield whole("delimiter_comma_space", quoted.replace('","', '", "'))
    yield whole("delimiter_two_pipes", quoted.replace('","', '"||"'))
    yield whole("quote_single", written(table, quotechar="'", quoting=csv.QUOTE_ALL))
    yield whole("quote_single_minimal", written(table, quotechar="'"))
    yield whole("escape_backslash", written(table, escapechar="\\"))
    yield whole("escape_backslash_all", written(table, escapechar="\\", quoting=csv.QUOTE_ALL))
    yield whole("text_quoted", written(table, quoting=csv.QUOTE_NONNUMERIC))


def _encodings(whole: Whole, table: list[tuple[Any, ...]]) -> Iterator[Polluted]:
    text = written(table)
    yield whole("utf8_mark", text.encode("utf-8-sig"))
    yield whole("utf16", text.encode("utf-16"))
    yield whole("utf16_le_no_mark", text.encode("utf-16-le"))
    yield whole("utf32", text.encode("utf-32"))
    yield whole("end_crlf", written(table, end="\r\n"))
    yield whole("end_cr", written(table, end="\r"))
    held = tuple((*r[:4], r[4].replace("Oslo", "Os\0lo"), r[5]) for r in table)
    yield Polluted("nul_bytes", text.replace("Oslo", "Os\0lo").encode(), NAMES, held)


def _frames(whole: Whole, table: list[tuple[Any, ...]]) -> Iterator[Polluted]:
    text = written(table)
    yield whole("no_last_newline", text.rstrip("\n"))
    yield whole("two_last_newlines", text + "\n")
    yield whole("many_last_newlines", text + "\n\n\n")
    yield whole("first_blank_lines", "\n\n" + text)
    yield whole("preamble_title", "Report of all orders\n" + text)
    yield whole("preamble_blank", "Report of all orders\n\n" + text)
    yield whole("preamble_commas", "Orders, of all kinds, in full\nPrinted: 2024-01-02\n" + text)
    yield whole("preamble_comments", "# source: system, v2\n# by: night job\n" + text)
    yield whole("preamble_padded", "Report of orders,,,,,\n,,,,,\n" + text)
    yield whole("preamble_keys", "Title:;Orders\nUnit:;EUR\n\n" + written(table, delimiter=";"))
    yield whole("footer_source", text + "\nSource: the night job\n")
    yield whole("footer_padded", text + ",,,,,\nSource: the night job,,,,,\n")
    yield whole("footer_commas", text + "\nNotes\nrounded, where needed\n")
    yield whole("blank_lines_between", "\n".join(f"{line}\n" for line in text.splitlines()))
    second = "\nplace,people\nOslo,700000\nPorto,230000\n"
    yield whole("second_table", text + second)
    alike = "\nno,product,price,since,town,share\n1,desk,10.5,2024-01-02,Oslo,0.5\n"
    yield whole("second_table_alike", text + alike)
    lines = text.splitlines(keepends=True)
    yield whole("header_again", "".join([*lines[:7], lines[0], *lines[7:]]))
    yield whole("first_table_small", "place,people\nOslo,700000\n\n" + text)


def _headers(table: list[tuple[Any, ...]]) -> Iterator[Polluted]:
    body = written(table, None)
    made_up = tuple(f"column_{i}" for i in range(1, 7))
    yield Polluted("no_header", body.encode(), made_up, tuple(table))
    yield Polluted("header_only", (",".join(NAMES) + "\n").encode(), NAMES, ())
    yield Polluted("one_row", written(table[:1]).encode(), NAMES, tuple(table[:1]))
    twice = ("id", "name", "amount", "day", "name", "rate")
    seen = ("id", "name", "amount", "day", "name_1", "rate")
    yield Polluted("header_twice", written(table, twice).encode(), seen, tuple(table))
    gap = ("id", "name", "", "day", "city", "rate")
    held = ("id", "name", "column_3", "day", "city", "rate")
    yield Polluted("header_gap", written(table, gap).encode(), held, tuple(table))
    units = ("no", "text", "EUR", "iso", "town", "share")
    joined = tuple(f"{a} {b}" for a, b in zip(NAMES, units, strict=True))
    two = written([units, *table])
    yield Polluted("header_two_lines", two.encode(), joined, tuple(table))
    spaced = tuple(f"  {name} " for name in NAMES)
    yield Polluted("header_spaces", written(table, spaced).encode(), NAMES, tuple(table))
    short = ",".join(NAMES[1:]) + "\n"
    unnamed = ("column_1", *NAMES[1:])
    yield Polluted("header_of_r", (short + body).encode(), unnamed, tuple(table))


def _damaged_rows(table: list[tuple[Any, ...]]) -> Iterator[Polluted]:
    lines = written(table).splitlines()
    at = 6  # line 7: the sixth row, whose texts need no quotes

    def changed(name: str, line: str, row: tuple[Any, ...] | None, i: int = at) -> Polluted:
        text = "\n".join([*lines[:i], line, *lines[i + 1 :]]) + "\n"
        held = [*table[: i - 1], *([row] if row is not None else []), *table[i:]]
        return Polluted(name, text.encode(), NAMES, tuple(held), () if row else (i + 1,))

    row = table[at - 1]
    fields = [str(cell) for cell in row]
    yield changed("row_short", ",".join(fields[:5]), (*row[:5], None))
    yield changed("row_very_short", ",".join(fields[:2]), (*row[:2], None, None, None, None))
    yield changed("row_trailing_delimiter", ",".join(fields) + ",", row)
    yield changed("row_too_long", ",".join([*fields, "more"]), None)
    yield changed("row_other_delimiter", ";".join(fields), row)
    yield changed(
        "row_first_short", ",".join(str(c) for c in table[0][:5]), (*table[0][:5], None), 1
    )
    last = len(table)
    yield changed(
        "row_last_cut", ",".join(str(c) for c in table[-1][:4]), (*table[-1][:4], None, None), last
    )
    stray = (*row[:4], 'Gr"az', row[5])
    yield changed("quote_stray", ",".join([*fields[:4], 'Gr"az', fields[5]]), stray)
    yield changed("quote_stray_in_quotes", ",".join([*fields[:4], '"Gr"az"', fields[5]]), stray)
    open_ = (*row[:4], '"Graz', row[5])
    yield changed("quote_never_closed", ",".join([*fields[:4], '"Graz', fields[5]]), open_)
    split = (row[0], "two\nlines", *row[2:])
    yield changed("cell_of_two_lines", ",".join([fields[0], '"two\nlines"', *fields[2:]]), split)
    spaced = ",".join(f" {cell} " for cell in fields)
    padded = (row[0], f" {row[1]} ", row[2], row[3], f" {row[4]} ", row[5])
    yield changed("row_of_spaces", spaced, padded)
    quoted = ",".join(f'"{cell}"' for cell in fields)
    yield changed("row_quoted", quoted, row)
    yield changed("row_wholly_quoted", f'"{",".join(fields)}"', row)
