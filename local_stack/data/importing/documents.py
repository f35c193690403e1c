"""JSON: documents of records or of columns, and JSON lines, each value kept exactly.

A well-formed file is read by DuckDB, every value as its own JSON text, and each column gets
the one type that fits all of them. What DuckDB does not take (keys that repeat or differ in
case only, a byte-order mark, records in a wrapper, a broken line) is read record by record.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from local_stack.data import compute
from local_stack.data.compute import identifier, literal
from local_stack.data.importing.cells import (
    BLOCK_ROWS,
    MAX_COLUMNS,
    Cells,
    Typed,
    is_mixed,
    iso_types,
)
from local_stack.data.importing.json_records import NOT_RECORDS, Reading
from local_stack.data.rejects import Rejects
from local_stack.data.tables import Decision, ImportWarning, Staged
from local_stack.errors import InputError
from local_stack.progress import Progress, Step, silent

_AT_ONCE = 200


def stage(
    path: Path,
    kind: str,
    target: Path,
    *,
    scratch: Path,
    rejects: Rejects | None = None,
    name: str = "",
    progress: Progress = silent,
) -> Staged:
    """Write the records in ``path`` to ``target``; ``kind`` is json or jsonl.

    Nested values become JSON text. Dates and times in ISO 8601 are found; other texts are
    texts, whatever they look like, because JSON has numbers of its own.

    Raises
    ------
    InputError
        Naming line and column of what is no JSON, and for JSON that is no table. Broken lines
        of JSON lines go to ``rejects`` where that is given.
    """
    typed = _fast(path, kind, target, scratch, progress)
    notes: tuple[ImportWarning, ...] = ()
    decisions: tuple[Decision, ...] = ()
    names: Sequence[str] | None = None
    if typed is None:
        target.unlink(missing_ok=True)
        reading = Reading(path, kind, rejects, name)
        names, typed = _slow(reading, target, scratch, progress)
        notes, decisions = reading.warnings(), tuple(reading.decisions)
    return Staged(target, tuple(names or typed.names), (), decisions, (*notes, *typed.warnings()))


def _fast(path: Path, kind: str, target: Path, scratch: Path, progress: Progress) -> Typed | None:
    """Read the file with DuckDB; None when that is not sure to give all of it as it is."""
    raw = scratch / "json.parquet"
    with path.open("rb") as stream:
        head = stream.read(64 * 1024).lstrip()
    if head[:1] != (b"{" if kind == "jsonl" else b"["):
        return None
    if kind == "json" and _last_byte(path) != b"]":  # DuckDB takes an array that is cut short
        return None
    form = "newline_delimited" if kind == "jsonl" else "array"
    options = f"format='{form}', records='true', maximum_depth=1, sample_size=-1"
    options += ", map_inference_threshold=-1, field_appearance_threshold=0"
    with compute.connect(path.parent, scratch=scratch) as connection:
        pattern = "".join(f"[{mark}]" if mark in "*?[" else mark for mark in str(path))
        table = f"read_json([{literal(pattern)}], {options})"
        try:
            rows = compute.run(connection, f"DESCRIBE SELECT * FROM {table}")
            columns = [str(row[0]) for row in rows]
            if not _is_plain(columns, [str(row[1]) for row in rows]):
                return None
            casts = ", ".join(
                f"CAST({identifier(name)} AS VARCHAR) AS c{n}" for n, name in enumerate(columns)
            )
            compute.run(
                connection,
                f"COPY (SELECT {casts} FROM {table}) TO {literal(raw)} (FORMAT parquet)",
                progress=progress,
                label="Reading the records",
            )
        except compute.errors():
            return None
        typed = _typed(connection, f"read_parquet({literal(raw)})", columns, target, progress)
    raw.unlink()
    return typed


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 4096))
        return stream.read().rstrip()[-1:]


def _is_plain(columns: Sequence[str], types: Sequence[str]) -> bool:
    """Return whether names are as the file has them: DuckDB marks repeated ones by a number."""
    lower = {name.lower() for name in columns}
    renamed = any(
        name.rpartition("_")[2].isdigit() and name.rpartition("_")[0].lower() in lower
        for name in columns
    )
    return (
        not renamed and all(columns) and 0 < len(columns) <= MAX_COLUMNS and set(types) <= {"JSON"}
    )


def _typed(
    connection: Any, table: str, names: Sequence[str], target: Path, progress: Progress
) -> Typed:
    """Write columns of JSON texts to ``target``, each in the one type that fits."""
    kinds: list[set[str]] = []
    huge: list[bool] = []
    for start in range(0, len(names), _AT_ONCE):
        places = range(start, min(start + _AT_ONCE, len(names)))
        terms = ", ".join(term for n in places for term in _kind_terms(f"c{n}"))
        row = compute.run(
            connection,
            f"SELECT {terms} FROM {table}",
            progress=progress,
            label="Finding types",
        )[0]
        for place in range(len(places)):
            found, n_long, n_exact = row[place * 3 : place * 3 + 3]
            held = {_KINDS.get(one, "text") for one in found or () if one is not None}
            kinds.append(held - {"null"})
            is_number = held <= {"int", "real", "null"}
            huge.append(is_number and bool(n_long or (n_exact and "real" in held)))
    types = [_type(each, is_huge) for each, is_huge in zip(kinds, huge, strict=True)]
    texts = [n for n, each in enumerate(kinds) if each == {"text"}]
    isos = iso_types(connection, table, [f"(c{n} ->> '$')" for n in texts])
    types = [_as_iso(types, texts, isos, n) for n in range(len(types))]
    casts = ", ".join(
        f"{_cast(f'c{n}', kind)} AS {identifier(name)}"
        for n, (name, kind) in enumerate(zip(names, types, strict=True))
    )
    compute.run(
        connection,
        f"COPY (SELECT {casts} FROM {table}) TO {literal(target)} (FORMAT parquet)",
        progress=progress,
        label="Writing the table",
    )
    n_rows = compute.run(connection, f"SELECT count(*) FROM {table}")[0][0]
    pairs = list(zip(names, kinds, strict=True))
    return Typed(
        tuple(names),
        tuple(types),
        tuple(name for name, each in pairs if is_mixed(each)),
        tuple(name for name, each in pairs if each == {"nested"}),
        tuple(name for name, is_huge in zip(names, huge, strict=True) if is_huge),
        int(n_rows),
    )


_KINDS = {
    "VARCHAR": "text",
    "BOOLEAN": "bool",
    "BIGINT": "int",
    "UBIGINT": "int",
    "HUGEINT": "int",
    "UHUGEINT": "int",
    "DOUBLE": "real",
    "OBJECT": "nested",
    "ARRAY": "nested",
    "NULL": "null",
}


def _kind_terms(column: str) -> tuple[str, str, str]:
    """Return the kinds in a column, how many whole numbers no long holds, and no double."""
    is_whole = f"regexp_full_match({column}, '-?[0-9]+')"
    return (
        # a whole number of more than 64 bits is DOUBLE to json_type
        f"list(DISTINCT CASE WHEN {is_whole} THEN 'BIGINT' ELSE json_type({column}) END)",
        f"count(*) FILTER ({is_whole} AND TRY_CAST({column} AS BIGINT) IS NULL)",
        f"count(*) FILTER ({is_whole} AND abs(TRY_CAST({column} AS HUGEINT)) > 9007199254740992)",
    )


def _type(kinds: set[str], is_huge: bool) -> str:
    if kinds and kinds <= {"int", "real"}:
        if is_huge:
            return "VARCHAR"
        return "BIGINT" if kinds == {"int"} else "DOUBLE"
    return "BOOLEAN" if kinds == {"bool"} else "VARCHAR"


def _as_iso(types: list[str], texts: list[int], isos: dict[int, str], place: int) -> str:
    return isos.get(texts.index(place), types[place]) if place in texts else types[place]


def _cast(column: str, kind: str) -> str:
    text = f"({column} ->> '$')"
    if kind == "DOUBLE":
        return f"CASE WHEN isnan(CAST({text} AS DOUBLE)) THEN NULL ELSE CAST({text} AS DOUBLE) END"
    return text if kind == "VARCHAR" else f"CAST({text} AS {kind})"


def _slow(
    reading: Reading, target: Path, scratch: Path, progress: Progress
) -> tuple[tuple[str, ...], Typed]:
    table = Cells(scratch)
    records = reading.records()
    try:
        while block := list(islice(records, BLOCK_ROWS)):
            table.add_records(block)
            progress(Step("Reading the records", table.n_rows))
        if not table.n_rows:
            raise InputError("The file holds no record.", NOT_RECORDS)
        typed = table.write(target, isos=range(len(table.names)), progress=progress)
    finally:
        table.close()
    return table.names, typed
