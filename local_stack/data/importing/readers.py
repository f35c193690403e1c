"""Tables in files that are not delimited text: Parquet, Arrow, JSON, Excel.

Each reader writes one Parquet file with the rows in their order and values as exact as the
source gives them; types that a version does not know are narrowed later, not here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from local_stack.data import compute
from local_stack.data.compute import identifier, literal
from local_stack.data.importing.cells import MAX_COLUMNS, unique
from local_stack.data.rejects import Rejects
from local_stack.data.tables import ImportWarning, Staged
from local_stack.errors import InputError, StackError, UnavailableError
from local_stack.progress import Progress, Step, silent

_MOST_FOOTER = 256 * 1024**2
_HUGE = frozenset({"HUGEINT", "UHUGEINT"})
_TEXTS = ("INTERVAL", "BIT", "BIGNUM", "UNION", "VARIANT", "TIME WITH TIME ZONE", '"NULL"')
"""Types that Parquet keeps otherwise than they are, by the beginning of their names."""


def stage(
    path: Path,
    kind: str,
    target: Path,
    *,
    sheet: str | None = None,
    skip: int | None = None,
    header: int | None = None,
    scratch: Path,
    rejects: Rejects | None = None,
    name: str = "",
    progress: Progress = silent,
) -> Staged:
    """Write the table in ``path`` to ``target`` and return what is known of its columns.

    Parameters
    ----------
    kind
        parquet, arrow, json, jsonl or excel.
    sheet, skip, header
        Which sheet of a workbook, rows before its header, and rows of names.
    scratch
        Folder for what is needed meanwhile, on a disk with room for the table.
    rejects
        Takes broken JSON lines, which are left out; without it the first one is an error.
    name
        What rejects call the file.

    Raises
    ------
    InputError
        When the file is empty, damaged, or no table of that kind.
    """
    if path.stat().st_size == 0:
        raise InputError("The file is empty.", "Give a table with at least its columns.")
    progress(Step("Reading the table"))
    if kind == "parquet":
        return _parquet(path, target, scratch, progress)
    if kind == "arrow":
        return _arrow(path, target, scratch, progress)
    if kind == "excel":
        from local_stack.data.importing import workbooks

        return workbooks.stage(
            path,
            target,
            sheet=sheet,
            skip=skip,
            header=header,
            scratch=scratch,
            progress=progress,
        )
    if kind in ("json", "jsonl"):
        from local_stack.data.importing import documents

        return documents.stage(
            path, kind, target, scratch=scratch, rejects=rejects, name=name, progress=progress
        )
    raise InputError(f"'{kind}' is not read here.", "Use parquet, arrow, json, jsonl or excel.")


def copy(
    connection: Any,
    table: str,
    columns: list[tuple[str, str]],
    target: Path,
    *,
    scratch: Path,
    progress: Progress = silent,
    label: str = "Reading the table",
) -> tuple[ImportWarning, ...]:
    """Write a table to Parquet, in order, with every value as it is.

    ``table`` is what may follow FROM, ``columns`` the (unique) names and DuckDB types that it
    has. Integers beyond 64 bits become long when all of the column fit, else text; types that
    Parquet cannot keep become text.
    """
    if not columns:
        raise InputError("The table has no column.", "Give a table with at least one.")
    if len(columns) > MAX_COLUMNS:
        raise InputError(
            f"The table has {len(columns)} columns; {MAX_COLUMNS} are read at most.",
            "Import it as rows of name and value instead.",
        )
    huge = [name for name, kind in columns if kind in _HUGE]
    casts = ", ".join(_kept(name, kind) for name, kind in columns)
    raw = scratch / "huge.parquet" if huge else target
    _copied(connection, f"SELECT {casts} FROM {table}", raw, progress, label)
    warnings = [
        ImportWarning("narrowed", name, f"Values of type {kind} are kept as text.")
        for name, kind in columns
        if kind.startswith(_TEXTS) and kind != '"NULL"'
    ]
    if huge:
        wide = _fitted(connection, raw, target, [name for name, _ in columns], huge)
        raw.unlink()
        note = "Whole numbers beyond 64 bits are kept as text, exactly."
        warnings += [ImportWarning("huge_integers", name, note) for name in wide]
    return tuple(warnings)


@contextlib.contextmanager
def explained(noun: str) -> Iterator[None]:
    """Turn what DuckDB and Arrow raise on a damaged or too large table into a sentence."""
    import pyarrow

    try:
        yield
    except StackError:
        raise
    except (compute.errors(), pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the file
        raise _damaged(noun, error) from None


def _damaged(noun: str, error: Exception) -> StackError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")[:300]
    if "Out of Memory" in reason or isinstance(error, MemoryError):
        return UnavailableError(
            f"{noun} needs more memory than {compute.MEMORY_LIMIT} in one piece: {reason}.",
            "Write it again in smaller row groups or with shorter texts.",
        )
    return InputError(
        f"{noun} is damaged or is not what it says: {reason}.", "Fetch or write it again."
    )


def _kept(name: str, kind: str) -> str:
    quoted = identifier(name)
    as_text = kind in _HUGE or kind.startswith(_TEXTS) or "HUGEINT" in kind
    return f"CAST({quoted} AS VARCHAR) AS {quoted}" if as_text else quoted


def _copied(connection: Any, query: str, target: Path, progress: Progress, label: str) -> None:
    compute.run(
        connection,
        f"COPY ({query}) TO {literal(target)} (FORMAT parquet)",
        progress=progress,
        label=label,
    )


def _fitted(
    connection: Any, raw: Path, target: Path, names: list[str], huge: list[str]
) -> list[str]:
    """Write ``raw`` to ``target`` with its huge columns as long where they fit; return the rest."""
    table = f"read_parquet({literal(raw)})"
    terms = ", ".join(
        f"count({identifier(name)}) = count(TRY_CAST({identifier(name)} AS BIGINT))"
        for name in huge
    )
    fits = compute.run(connection, f"SELECT {terms} FROM {table}")[0]
    longs = {name for name, is_long in zip(huge, fits, strict=True) if is_long}
    casts = ", ".join(
        f"CAST({identifier(name)} AS BIGINT) AS {identifier(name)}"
        if name in longs
        else identifier(name)
        for name in names
    )
    _copied(connection, f"SELECT {casts} FROM {table}", target, silent, "")
    return [name for name in huge if name not in longs]


def _parquet(path: Path, target: Path, scratch: Path, progress: Progress) -> Staged:
    noun = "The Parquet file"
    _check_footer(path)
    with explained(noun), compute.connect(path.parent, scratch=scratch) as connection:
        # the path is a literal without wildcards: a stored object or a file of ours
        table = f"read_parquet([{compute.only(path)}], hive_partitioning=false)"
        described = compute.run(connection, f"DESCRIBE SELECT * FROM {table}")
        columns = [(str(row[0]), str(row[1])) for row in described]
        warnings = copy(connection, table, columns, target, scratch=scratch, progress=progress)
    return Staged(target, _parquet_names(path, [name for name, _ in columns]), (), (), warnings)


def _check_footer(path: Path) -> None:
    """Refuse a file without a footer, and one whose footer is too large to be read safely."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(4)
        stream.seek(max(0, size - 8))
        tail = stream.read(8)
        if head != b"PAR1" or tail[4:] != b"PAR1" or size < 12:
            raise InputError(
                "The Parquet file is damaged or cut short: it does not end in its footer.",
                "Fetch or write it again.",
            )
        length = int.from_bytes(tail[:4], "little")
        if length > size - 12:
            raise InputError(
                "The Parquet file is damaged: its footer is longer than the file.",
                "Fetch or write it again.",
            )
        stream.seek(size - 8 - length)
        n_columns = _n_schema(stream.read(16))
    if length > _MOST_FOOTER or n_columns > 4 * MAX_COLUMNS:
        raise InputError(
            f"The Parquet file describes {n_columns or 'too many'} columns in a footer of "
            f"{length} bytes; {MAX_COLUMNS} columns are read at most.",
            "Import it as rows of name and value instead.",
        )


def _n_schema(head: bytes) -> int:
    """Return how many schema elements a footer announces (Thrift's compact protocol); 0: unknown.

    The footer begins with the version (field 1, an int) and goes on with the list of elements.
    """
    place = 1
    while place < len(head) and head[place] & 0x80:
        place += 1
    place += 1
    if len(head) < place + 2 or head[0] != 0x15 or head[place] != 0x19:
        return 0
    size = head[place + 1] >> 4
    if size < 15:
        return size
    size, shift = 0, 0
    for byte in head[place + 2 :]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return size
    return 0


def _parquet_names(path: Path, unique_names: list[str]) -> tuple[str, ...]:
    """Return the names that the file itself gives; DuckDB has made them unique."""
    import pyarrow
    import pyarrow.parquet

    try:
        names = tuple(str(name) for name in pyarrow.parquet.read_schema(path).names)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError):
        return tuple(unique_names)
    return names if len(names) == len(unique_names) else tuple(unique_names)


def _arrow(path: Path, target: Path, scratch: Path, progress: Progress) -> Staged:
    import pyarrow as pa

    noun = "The Arrow file"
    with explained(noun), contextlib.ExitStack() as stack:
        mapped = stack.enter_context(pa.memory_map(str(path), "r"))
        schema, batches = _opened(mapped)
        sources = tuple(str(name) for name in schema.names)
        if not sources:
            raise InputError(f"{noun} has no column.", "Give a table with at least one.")
        kept = pa.schema(
            [
                (name, _arrow_type(field.type))
                for name, field in zip(unique(sources), schema, strict=True)
            ]
        )
        checked = _Checked(batches, kept, progress)
        connection = stack.enter_context(compute.connect(scratch=scratch))
        relation = connection.from_arrow(pa.RecordBatchReader.from_batches(kept, iter(checked)))
        columns = list(zip(relation.columns, map(str, relation.types), strict=True))
        connection.register("arrow_source", relation)
        try:
            warnings = copy(connection, "arrow_source", columns, target, scratch=scratch)
        except compute.errors():
            if checked.stopped is not None:  # DuckDB tells of it in words of its own
                raise checked.stopped from None
            raise
    return Staged(target, sources, (), (), warnings)


def _opened(mapped: Any) -> tuple[Any, Callable[[], Iterator[Any]]]:
    """Open an Arrow IPC file (Feather 2 is one) or stream, by its first bytes."""
    import pyarrow as pa

    is_file = mapped.read(6) == b"ARROW1"
    mapped.seek(0)
    if is_file:
        file = pa.ipc.open_file(mapped)
        return file.schema, lambda: (file.get_batch(n) for n in range(file.num_record_batches))
    stream = pa.ipc.open_stream(mapped)
    return stream.schema, lambda: iter(stream)


class _Checked:
    """Batches in types that DuckDB knows, each one validated: offsets may be hostile."""

    def __init__(
        self, batches: Callable[[], Iterator[Any]], schema: Any, progress: Progress
    ) -> None:
        self._batches = batches
        self._schema = schema
        self._progress = progress
        self.stopped: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        """Give the batches; what is raised on the way is kept in ``stopped``."""
        n_rows = 0
        try:
            for batch in self._batches():
                batch.validate(full=True)
                n_rows += batch.num_rows
                self._progress(Step("Reading the batches", n_rows))
                yield self._narrowed(batch)
        except Exception as error:
            self.stopped = error
            raise

    def _narrowed(self, batch: Any) -> Any:
        import pyarrow as pa

        columns = [
            column if column.type == field.type else column.cast(field.type)
            for column, field in zip(batch.columns, self._schema, strict=True)
        ]
        return pa.record_batch(columns, schema=self._schema)


def _arrow_type(kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind):
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= 38 else pa.string()
    if pa.types.is_run_end_encoded(kind):
        return kind.value_type
    return kind
