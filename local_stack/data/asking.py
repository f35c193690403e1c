"""What somebody asks of an import: words of a command line become options, a source a table."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from local_stack.data import sources
from local_stack.data.importing import databases, normalising
from local_stack.data.rejects import Rejects
from local_stack.data.sources import SourceFile
from local_stack.data.tables import Imported, Options, Staged
from local_stack.errors import InputError
from local_stack.progress import Progress
from local_stack.stores.places import redacted

_WORDS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
_NONE = ("none", "")


def options_of(**given: Any) -> Options:
    """Return the options of a command line or a pipeline step as the import takes them."""
    types = _assigned("type", given.pop("type", ()))
    names = _assigned("rename", given.pop("rename", ()))
    nulls = tuple(given.pop("null", ()))
    for word in ("delimiter", "quote", "escape"):
        value = given.get(word)
        if value is not None:
            given[word] = _mark(word, value)
    for word in ("header", "skip", "footer"):
        if (given.get(word) or 0) < 0:
            raise InputError(f"--{word} counts lines, so it cannot be negative.", "Take 0 or more.")
    if given.get("decimal") not in (None, ".", ","):
        raise InputError("--decimal is . or ,", "Leave it out to have it found out.")
    if given.get("thousands") is not None and given["thousands"] == given.get("decimal"):
        raise InputError("--thousands and --decimal are the same mark.", "Change one of them.")
    _check_date_format(given.get("date_format"))
    return Options(**given, nulls=nulls, types=types, names=names)


def _check_date_format(form: str | None) -> None:
    """Raise for a format that strptime does not know, or that names no day."""
    if form is None:
        return
    moment = datetime(2024, 1, 31, 13, 45, 59)
    try:
        is_known = datetime.strptime(moment.strftime(form), form).date() == moment.date()
    except ValueError:
        is_known = False
    if not is_known:
        raise InputError(f"--date-format '{form}' is no format of a date.", "Such as %d/%m/%Y.")


def _assigned(word: str, texts: Sequence[str]) -> dict[str, str]:
    """Return COLUMN=VALUE texts as a mapping; a column's name may itself hold the sign."""
    found: dict[str, str] = {}
    for text in texts:
        column, mark, value = text.rpartition("=")
        if not mark or not column or not value:
            raise InputError(
                f"--{word} needs COLUMN=VALUE, not '{text}'.", f"Example: --{word} a=b"
            )
        found[column] = value
    return found


def _mark(word: str, value: str) -> str:
    mark = _WORDS.get(value.lower(), value)
    if word != "delimiter":
        if mark.lower() in _NONE:
            return ""
        if len(mark) != 1:
            raise InputError(f"--{word} is one character, not '{mark}'.", "Or: none.")
    elif not 1 <= len(mark) <= 4 or "\n" in mark or "\r" in mark:
        raise InputError(f"--delimiter is a few characters, not '{mark}'.", "Such as ; or tab.")
    return mark


def gathered(
    source: str, options: Options, scratch: Path, progress: Progress
) -> tuple[tuple[SourceFile, ...], Staged | None]:
    """Return the local files of a source; the rows of a query are one, and read already."""
    folder = scratch / "source"
    folder.mkdir()
    if options.sql is None:
        return sources.gather(source, folder, progress=progress), None
    target = folder / "query.parquet"
    answer = databases.query(source, options.sql, target, scratch=folder, progress=progress)
    size = target.stat().st_size
    name = f"query.{answer.kind}.parquet"
    file = SourceFile(name, answer.uri, size, None, answer.modified_at, target, None)
    return (file,), answer.staged


def read(
    files: Sequence[SourceFile],
    ready: Staged | None,
    options: Options,
    scratch: Path,
    rejects: Rejects,
    source: str,
    progress: Progress,
) -> Imported:
    """Write the table of ``files`` to ``scratch / "table.parquet"``; errors name the source."""
    between = scratch / "between"
    between.mkdir()
    target = scratch / "table.parquet"
    try:
        return normalising.normalise(
            files, options, target, rejects, between, ready=ready, progress=progress
        )
    except InputError as error:
        shown = redacted(source)
        raise InputError(f"{shown}: {error.message}", error.hint, details=error.details) from error
    finally:
        shutil.rmtree(between, ignore_errors=True)
