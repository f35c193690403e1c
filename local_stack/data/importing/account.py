"""The account of an import: what was mended, left out and taken to be missing, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.data import compute
from local_stack.data.importing import inference
from local_stack.data.importing.encodings import Utf8
from local_stack.data.rejects import Rejects
from local_stack.data.tables import ImportWarning
from local_stack.errors import InputError

if TYPE_CHECKING:
    from local_stack.data.compute import Connection

_N_EXAMPLES = 3
_MOST_COALESCED = 200
_FIRST_LINES = 5
_TOLD = {
    "left_out": ("rejected_lines", "lines could not be read and were left out"),
    "repaired": ("repaired_lines", "lines were mended to be read"),
    "aside": ("not_rows", "lines before or behind the table are no part of it"),
}


def of_encoding(text: Utf8, rejects: Rejects) -> tuple[ImportWarning, ...]:
    """Say in which encoding a text was, which lines were not, and that it holds NUL."""
    nulls: tuple[ImportWarning, ...] = ()
    if text.n_nulls:
        note = f"The text holds {text.n_nulls} NUL characters; they are kept."
        nulls = (ImportWarning("nul_characters", None, note),)
    if text.n_repaired:
        first = [it.line for it in rejects.first if it.code == "encoding" and it.line is not None]
        used = text.reason.removeprefix("some lines are ")
        note = f"{text.n_repaired} lines are not UTF-8 and were read as {used}: "
        note += f"{some(first, text.n_repaired)}."
    elif text.encoding == "utf-8":
        return nulls
    else:
        note = f"The text is {text.encoding.upper()}, {text.reason}."
    return (ImportWarning("encoding", None, note), *nulls)


def of_rejects(rejects: Rejects) -> list[ImportWarning]:
    """Return a warning a kind of outcome; cells and encodings have their own."""
    warnings = []
    for outcome, (code, words) in _TOLD.items():
        n = sum(
            count
            for (kind, what), count in rejects.counts.items()
            if what == outcome and kind != "encoding"
        )
        if n:
            first = [it for it in rejects.first if it.outcome == outcome and it.code != "encoding"]
            lines = [it.line for it in first]
            why = f" ({first[0].message.rstrip('.')})" if first and outcome != "aside" else ""
            note = f"{n} {words}: {some(lines, n)}{why}."
            warnings.append(ImportWarning(code, None, note))
    return warnings


def of_cells(counts: Mapping[str, int], rejects: Rejects) -> list[ImportWarning]:
    """Say how many cells of a column could not be read, and where the first are."""
    warnings = []
    for name, n in counts.items():
        lines = [it.line for it in rejects.first if it.column == name]
        where = f": line {some(lines, n)}" if lines else ""
        note = f"{n} cells are not of the column's type and became missing{where}."
        warnings.append(ImportWarning("unreadable_cells", name, note))
    return warnings


def of_nulls(
    connection: Connection,
    table: str,
    found: Mapping[str, inference.Found],
    called: Mapping[str, str],
) -> list[ImportWarning]:
    """Say which words were taken to be missing values, and how often."""
    if not found:
        return []
    warnings = []
    for part in compute.parts(list(found)):
        terms: list[str] = []
        for key in part:
            words = [word for word in found[key].nulls if word]
            is_word = inference.among(inference.text_of(key), words)
            terms.append(f"count(*) FILTER ({is_word})")
            terms.append(f"min({inference.text_of(key)}) FILTER ({is_word})")
        rows = inference.trimmed(table, part)
        row = connection.execute(f"SELECT {', '.join(terms)} FROM {rows}").fetchall()[0]
        for place, key in enumerate(part):
            n, word = row[2 * place], row[2 * place + 1]
            if n:
                note = f"{n} cells such as '{word}' were read as missing."
                warnings.append(ImportWarning("null_spelling", called[key], note))
    return warnings


def refuse(rejects: Rejects) -> None:
    """Raise for the first thing that was not read as it stands."""
    if not rejects.n:
        return
    first = next(it for it in rejects.first if it.outcome != "aside")
    where = f"{first.file}, line {first.line}" if first.file else f"line {first.line}"
    more = f" There are {rejects.n - 1} more." if rejects.n > 1 else ""
    raise InputError(
        f"Strict: {where}: {first.message}{more}",
        "Mend the file, or leave --strict out to import the rest and list these.",
    )


def of_empty_rows(
    connection: Connection, target: Path, names: Sequence[str]
) -> list[ImportWarning]:
    """Say how many rows of a table of several columns hold no value at all."""
    if len(names) < 2:
        return []
    first = [compute.identifier(name) for name in names[:_MOST_COALESCED]]
    rest = [compute.identifier(name) for name in names[_MOST_COALESCED:]]
    is_empty = " AND ".join(f"{cell} IS NULL" for cell in first)
    if rest:
        is_empty += (
            f" AND coalesce({', '.join(f'CAST({cell} AS VARCHAR)' for cell in rest)}) IS NULL"
        )
    table = f"read_parquet({compute.literal(target)})"
    (n,) = connection.execute(f"SELECT count(*) FROM {table} WHERE {is_empty}").fetchall()[0]
    note = f"{n} rows hold no value at all; they are kept."
    return [ImportWarning("empty_rows", None, note)] if n else []


def counted(connection: Connection, target: Path, names: Sequence[str]) -> tuple[int, list[int]]:
    """Return the rows of a written table, and the missing values of each column."""
    table = f"read_parquet({compute.literal(target)})"
    terms = ", ".join(f"count({compute.identifier(name)})" for name in names)
    row = connection.execute(f"SELECT count(*), {terms} FROM {table}").fetchall()[0]
    return row[0], [row[0] - held for held in row[1:]]


def examples(connection: Connection, target: Path, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the first distinct values of each column, as text."""
    cells = ", ".join(f"CAST({compute.identifier(name)} AS VARCHAR)" for name in names)
    rows = connection.execute(
        f"SELECT {cells} FROM read_parquet({compute.literal(target)}) LIMIT 50"
    ).fetchall()
    columns: Sequence[Sequence[str | None]] = list(zip(*rows, strict=True)) or [()] * len(names)
    return [
        tuple(dict.fromkeys(cell[:40] for cell in column if cell is not None))[:_N_EXAMPLES]
        for column in columns
    ]


def some(lines: Sequence[int | None], n: int) -> str:
    """Return the first line numbers in words."""
    shown = ", ".join(str(line) for line in lines[:_FIRST_LINES])
    return f"{shown} and more" if n > _FIRST_LINES else shown
