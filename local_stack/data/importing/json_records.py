"""JSON read record by record, in bounded memory, with line and column of what is broken.

Keys may repeat, records may lie in a wrapper or as columns, and a file may be in UTF-16; of
JSON lines that are broken the rest is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from local_stack.data.rejects import Reject, Rejects
from local_stack.data.tables import Decision, ImportWarning
from local_stack.errors import InputError

NOT_RECORDS = "Give an array of objects, an object of arrays, or one object a line."
"""What to do about JSON that is no table."""

_BLOCK = 1024 * 1024
_LARGEST = 64 * 1024**2
"""Characters of one record, and of a document that is one object."""

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_SPACE = " \t\r\n"


class _Broken(Exception):
    """A record that cannot be read: where it is, counted from 1, and why."""

    def __init__(self, line: int, column: int, reason: str, hint: str = "Mend it.") -> None:
        super().__init__(reason)
        self.hint = hint
        self.line = line
        self.column = column
        self.reason = reason


class Reading:
    """One reading of a file record by record, and what it found on the way."""

    def __init__(
        self, path: Path, kind: str, rejects: Rejects | None = None, name: str = ""
    ) -> None:
        self._path = path
        self._kind = kind
        self._rejects = rejects
        self._name = name
        self.decisions: list[Decision] = []
        self.n_repeated = 0
        self.n_left_out = 0
        with path.open("rb") as stream:
            head = stream.read(4)
        self._encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
        self._decoder = json.JSONDecoder(object_pairs_hook=self._record, parse_int=_whole_number)

    def warnings(self) -> tuple[ImportWarning, ...]:
        """Return what is to be said about the file."""
        found = []
        if self.n_repeated:
            note = f"{self.n_repeated} objects hold a key more than once; the last value was taken."
            found.append(ImportWarning("repeated_keys", None, note))
        if self.n_left_out:
            note = f"{self.n_left_out} other members beside the records were left out."
            found.append(ImportWarning("left_out", None, note))
        return tuple(found)

    def records(self) -> Iterator[dict[str, Any]]:
        """Give the records in order."""
        try:
            if self._kind == "jsonl":
                yield from self._lines()
            else:
                yield from self._document()
        except _Broken as broken:
            raise InputError(
                f"Line {broken.line}, column {broken.column} of the JSON: {broken.reason}.",
                broken.hint,
            ) from None
        except UnicodeDecodeError as error:
            raise InputError(
                f"The file is not {self._encoding.upper()} ({error.reason}).", "Write it as UTF-8."
            ) from None

    def _record(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        self.n_repeated += len(record) != len(pairs)
        return record

    def _lines(self) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(_text_lines(self._path, self._encoding), 1):
            if not line.strip():
                continue
            try:
                yield self._one(number, self._repaired(number, line))
            except _Broken as broken:
                if self._rejects is None:
                    raise
                message = f"column {broken.column}: {broken.reason}"
                text = line.rstrip("\r\n")
                reject = Reject(number, None, "broken_json", "left_out", message, text, self._name)
                self._rejects.add(reject)

    def _repaired(self, number: int, line: str) -> str:
        """Return the line with bytes that are not UTF-8 read as Latin-1, and say so."""
        column = next((i for i, mark in enumerate(line, 1) if "\udc80" <= mark <= "\udcff"), 0)
        if not column:
            return line
        if self._rejects is None:
            raise _Broken(number, column, "bytes that are not UTF-8", "Write it as UTF-8.")
        message = f"column {column}: bytes that are not UTF-8 were read as Latin-1"
        text = line.rstrip("\r\n")
        self._rejects.add(Reject(number, None, "encoding", "repaired", message, text, self._name))
        return "".join(
            chr(ord(mark) - 0xDC00) if "\udc80" <= mark <= "\udcff" else mark for mark in line
        )

    def _one(self, number: int, line: str) -> dict[str, Any]:
        if len(line) > _LARGEST:
            raise _Broken(number, 1, f"more than {_LARGEST} characters")
        try:
            value = self._decoder.decode(line.strip())
        except json.JSONDecodeError as error:
            raise _Broken(number, error.pos + 1, _reason(error)) from None
        except RecursionError:
            raise _Broken(number, 1, "nested too deeply") from None
        if not isinstance(value, dict):
            raise _Broken(number, 1, "not an object", NOT_RECORDS)
        return value

    def _document(self) -> Iterator[dict[str, Any]]:
        with self._path.open(encoding=self._encoding, newline="") as stream:
            start = stream.read(1)
            while start and start in _SPACE:
                start = stream.read(1)
            if start == "[":
                stream.seek(0)
                yield from _elements(stream, self._decoder)
                return
            stream.seek(0)
            text = stream.read(_LARGEST + 1)
        try:
            value, end = self._decoder.raw_decode(text, _after_space(text, 0))
        except json.JSONDecodeError as error:
            self._refuse_large(text)
            raise _Broken(error.lineno, error.colno, _reason(error)) from None
        except RecursionError:
            raise _Broken(1, 1, "nested too deeply") from None
        rest = _after_space(text, end)
        if text[rest : rest + 1] == "{":  # lines, after all
            self.n_repeated = 0
            yield from self._lines()
            return
        self._refuse_large(text)
        if rest < len(text):
            line = text.count("\n", 0, rest) + 1
            raise _Broken(line, rest - text.rfind("\n", 0, rest), "text after the end")
        if not isinstance(value, dict):
            raise InputError("The JSON document is one value, no table.", NOT_RECORDS)
        yield from self._told(value)

    def _refuse_large(self, text: str) -> None:
        if len(text) > _LARGEST:
            raise InputError(
                f"The document is one object of more than {_LARGEST} characters.",
                "Write its records as JSON lines.",
            )

    def _told(self, value: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Give the records of an object: its columns, its only list of records, or itself."""
        lists = {key: item for key, item in value.items() if isinstance(item, list)}
        if lists and len(lists) == len(value):
            lengths = {len(item) for item in lists.values()}
            is_nested = any(isinstance(one, dict) for item in lists.values() for one in item[:1])
            if len(lengths) == 1 and not (is_nested and len(lists) == 1):
                self._decide("columns", "an object of arrays of equal length")
                for row in zip(*lists.values(), strict=True):
                    yield dict(zip(lists, row, strict=True))
                return
        columns = _indexed(value)
        if columns is not None:
            self._decide("columns", "an object of objects with one entry for each row")
            yield from columns
            return
        tables = [key for key, item in lists.items() if item and _is_record(item)]
        if len(tables) == 1:
            self._decide(tables[0], "the only member that is a list of objects")
            self.n_left_out = len(value) - 1
            yield from lists[tables[0]]
            return
        if not value:
            raise InputError("The JSON document is an empty object.", NOT_RECORDS)
        self._decide("object", "one object, so one row")
        yield value

    def _decide(self, what: str, why: str) -> None:
        self.decisions.append(Decision("records", what, why))


def _indexed(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the records of what pandas writes: each column an object from row number to value."""
    columns = list(value.values())
    if not columns or not all(isinstance(one, dict) and one for one in columns):
        return None
    index = list(columns[0])
    if not all(key.isdigit() for key in index) or any(list(one) != index for one in columns):
        return None
    return [{name: column[key] for name, column in value.items()} for key in index]


def _is_record(items: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in items)


def _elements(stream: IO[str], decoder: json.JSONDecoder) -> Iterator[dict[str, Any]]:
    """Give the objects of one array, with only a few of them in memory."""
    window = _Window(stream)
    window.skip("[")
    is_first = True
    while (mark := window.peek()) != "]":
        if not mark:
            raise window.broken("the array does not end")
        if not is_first:
            if mark != ",":
                raise window.broken("a comma or ] was expected")
            window.skip(",")
            if window.peek() == "]":
                raise window.broken("a comma before the end of the array")
        is_first = False
        value = window.value(decoder)
        if not isinstance(value, dict):
            raise window.broken("an element is not an object", hint=NOT_RECORDS)
        yield value
    window.skip("]")
    if window.peek():
        raise window.broken("text after the end of the array")


class _Window:
    """A moving piece of a text that knows its line and column."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._text = stream.read(_BLOCK)
        self._place = 0
        self._line = 1
        self._column = 1

    def peek(self) -> str:
        """Return the next character that is not space, '' at the end."""
        while True:
            self._place = _after_space(self._text, self._place)
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more(_BLOCK):
                return ""

    def skip(self, mark: str) -> None:
        """Go past ``mark``, which must be next."""
        if self.peek() != mark:
            raise self.broken(f"{mark} was expected")
        self._place += 1

    def value(self, decoder: json.JSONDecoder) -> Any:
        """Read one value, taking more of the text while it is cut."""
        self.peek()
        size = _BLOCK
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - 16
                is_small = len(self._text) - self._place <= _LARGEST
                if is_cut and is_small and self._more(size):
                    size *= 2
                    continue
                raise self.broken(_reason(error), error.pos) from None
            except RecursionError:
                raise self.broken("nested too deeply") from None
            if end == len(self._text) and self._more(size):  # a number may go on
                continue
            self._place = end
            return value

    def broken(self, reason: str, place: int | None = None, hint: str = "Mend it.") -> _Broken:
        """Return the error that stands at ``place``, or here."""
        place = self._place if place is None else place
        lines = self._text.count("\n", 0, place)
        last = self._text.rfind("\n", 0, place)
        column = place - last if lines else self._column + place
        return _Broken(self._line + lines, column, reason, hint)

    def _more(self, size: int) -> bool:
        added = self._stream.read(size)
        if not added:
            return False
        here = self.broken("")
        self._line, self._column = here.line, here.column
        self._text, self._place = self._text[self._place :] + added, 0
        return True


def _after_space(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _text_lines(path: Path, encoding: str) -> Iterator[str]:
    """Give lines, each one bounded: what is longer than a record may be is cut off there."""
    with path.open(encoding=encoding, errors="surrogateescape", newline="\n") as stream:
        while line := stream.readline(_LARGEST + 1):
            yield line
            while line and not line.endswith("\n"):
                line = stream.readline(_LARGEST)


def _reason(error: json.JSONDecodeError) -> str:
    return error.msg[:1].lower() + error.msg[1:]


def _whole_number(text: str) -> int | str:
    return int(text) if len(text) <= 4000 else text
