"""MLflow's scoring protocol: from the bytes of a request to columns, without pandas.

JSON (``dataframe_split``, ``dataframe_records``, ``instances``, ``inputs``, ``params``) and CSV
become a :class:`Table`. What cannot be understood ends in a :class:`Refusal` with the HTTP
status; its message never contains the data.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, Protocol

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
MAX_DEPTH = 32
"""Levels a JSON body may nest; the protocol itself needs four."""

_JSON = "application/json"
_CSV = "text/csv"


class Input(Protocol):
    """What the parser needs to know of a raw column of the model."""

    @property
    def name(self) -> str:
        """Return the column's name."""

    @property
    def type(self) -> str:
        """Return its type: long, double, string, boolean, date or datetime."""

    @property
    def nullable(self) -> bool:
        """Return whether values were missing in training."""


class Refusal(Exception):
    """A request that is answered with an error. ``message`` is ours and holds no data."""

    def __init__(
        self,
        status: int,
        error_code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message
        self.details = details
        self.headers = dict(headers or {})

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        body: dict[str, Any] = {"error_code": self.error_code, "message": self.message}
        return body | {"details": self.details} if self.details else body


def malformed(message: str) -> Refusal:
    """Return the refusal of a body that is not what it says to be (400)."""
    return Refusal(400, "BAD_REQUEST", message)


def unprocessable(message: str, details: Mapping[str, Any]) -> Refusal:
    """Return the refusal of rows that do not fit the model's schema (422)."""
    return Refusal(422, "INVALID_PARAMETER_VALUE", message, details=details)


def too_large(message: str) -> Refusal:
    """Return the refusal of more bytes or rows than the endpoint takes (413)."""
    return Refusal(413, "REQUEST_TOO_LARGE", message)


def overloaded(message: str) -> Refusal:
    """Return the refusal of a request that may succeed a moment later (503)."""
    return Refusal(503, "TEMPORARILY_UNAVAILABLE", message, headers={"Retry-After": "1"})


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a request, by column: ``n_rows`` values each, None for what is missing.

    It holds only columns that the model knows. A nullable column that the request left out is
    all None; any other is absent, for the schema check to name. ``params`` are those of the body.
    """

    columns: dict[str, list[Any]]
    n_rows: int
    params: Mapping[str, Any] = field(default_factory=dict)


def parse(body: bytes, content_type: str | None, inputs: Sequence[Input], max_rows: int) -> Table:
    """Return the rows in ``body``.

    Raises
    ------
    Refusal
        415 for the content type, 400 for a malformed body, 413 for more than ``max_rows``
        rows, 422 for unnamed rows of the wrong width.
    """
    mime = check_content_type(content_type)
    table = (
        _from_csv(body, inputs, max_rows) if mime == _CSV else _from_json(body, inputs, max_rows)
    )
    if table.n_rows == 0:
        raise malformed("The request holds no rows.")
    for column in inputs:
        if column.nullable and column.name not in table.columns:
            table.columns[column.name] = [None] * table.n_rows
    return table


def check_content_type(content_type: str | None) -> str:
    """Return the media type when the endpoint reads it, by the rules of MLflow's server."""
    mime, *parameters = [part.strip() for part in (content_type or "").lower().split(";")]
    if mime not in (_JSON, _CSV):
        raise _unsupported(f"The content type must be {_JSON} or {_CSV}.")
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        if name != "charset":
            raise _unsupported("The only parameter a content type may have is charset.")
        if value.strip('"') != "utf-8":
            raise _unsupported("The charset must be UTF-8.")
    return mime


def decode_json(body: bytes) -> Any:
    """Return the JSON value in ``body``: bounded depth, finite numbers, UTF-8 only.

    Whole numbers beyond 64 bits become floats.
    """
    text = _decoded(body)
    _check_depth(text)
    decoder = _CAREFUL if _UNUSUAL.search(text) else _FAST
    try:
        value = decoder.decode(text)
        if _SURROGATE.search(text):  # half a character cannot be written to the log
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise malformed("The body is not valid JSON.") from None
    return value


def _unsupported(message: str) -> Refusal:
    return Refusal(415, "UNSUPPORTED_MEDIA_TYPE", message)


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise malformed("The body is not valid UTF-8.") from None


# --- JSON numbers and depth


_UNUSUAL = re.compile(r"[0-9]{19}|[eE]\+?[0-9]{3}")
"""Only numbers of this look can leave 64 bits or the finite range; other bodies skip the hooks."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _refuse_constant(name: str) -> NoReturn:
    raise malformed("NaN and Infinity are not JSON; send null for a missing value.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise malformed("A number is out of the range of a 64-bit float.")
    return value


def _bounded(text: str) -> int | float:
    if len(text) > 20:
        return _finite(text)
    value = int(text)
    return value if -(2**63) <= value < 2**63 else float(value)


_FAST = json.JSONDecoder(parse_constant=_refuse_constant)
_CAREFUL = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, parse_int=_bounded
)

# Possessive, and an unclosed text runs to the end: linear time on every input.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the recursive parser sees it."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _NO_BRACKET.sub("", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise malformed(f"The JSON nests deeper than {MAX_DEPTH} levels.")


# --- JSON formats


def _from_json(body: bytes, inputs: Sequence[Input], max_rows: int) -> Table:
    document = decode_json(body)
    if not isinstance(document, dict):
        raise malformed(f"The body must be a JSON object with one of {', '.join(FORMATS)}.")
    given = [name for name in FORMATS if name in document]
    if len(given) != 1:
        raise malformed(
            f"The body must hold exactly one of {', '.join(FORMATS)}; it holds {len(given)}."
        )
    params = document.get("params")
    params = {} if params is None else params
    if not isinstance(params, dict):
        raise malformed("params must be a JSON object.")
    return replace(_rows_of(given[0], document[given[0]], inputs, max_rows), params=params)


def _rows_of(kind: str, value: Any, inputs: Sequence[Input], max_rows: int) -> Table:
    if kind == "dataframe_split":
        return _split(value, inputs, max_rows)
    if kind == "inputs" and isinstance(value, dict):
        return _by_column(value, inputs, max_rows)
    if not isinstance(value, list):
        raise malformed(f"{kind} must be a list of rows.")
    if kind == "dataframe_records" or all(isinstance(row, dict) for row in value):
        return _records(value, inputs, max_rows)
    return _unnamed(value, inputs, max_rows)


def _split(value: Any, inputs: Sequence[Input], max_rows: int) -> Table:
    if not isinstance(value, dict):
        raise malformed("dataframe_split must be a JSON object with columns and data.")
    if value.keys() - {"columns", "data", "index"}:
        raise malformed("dataframe_split may hold only columns, index and data.")
    rows = value.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise malformed("dataframe_split needs data, a list of lists.")
    index = value.get("index")
    if index is not None and (not isinstance(index, list) or len(index) != len(rows)):
        raise malformed("dataframe_split has an index of another length than its data.")
    if value.get("columns") is None:
        return _unnamed(rows, inputs, max_rows)
    names = _names(value["columns"])
    _check_rows(len(rows), max_rows)
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise malformed(f"Row {number} has {len(row)} values for {len(names)} columns.")
    return _by_place(names, rows, inputs)


def _records(rows: list[Any], inputs: Sequence[Input], max_rows: int) -> Table:
    _check_rows(len(rows), max_rows)
    if not all(isinstance(row, dict) for row in rows):
        raise malformed("Each record must be a JSON object from column to value.")
    names = {name for row in rows for name in row}
    columns = {c.name: [row.get(c.name) for row in rows] for c in inputs if c.name in names}
    return Table(columns, len(rows))


def _by_column(value: dict[str, Any], inputs: Sequence[Input], max_rows: int) -> Table:
    if not all(isinstance(column, list) for column in value.values()):
        raise malformed("inputs must map each column to a list of values, or be a list of rows.")
    lengths = {len(column) for column in value.values()}
    if len(lengths) > 1:
        raise malformed("The columns of inputs have different lengths.")
    n_rows = lengths.pop() if lengths else 0
    _check_rows(n_rows, max_rows)
    return Table({c.name: value[c.name] for c in inputs if c.name in value}, n_rows)


def _unnamed(rows: list[Any], inputs: Sequence[Input], max_rows: int) -> Table:
    """Return rows whose values stand in the order of the model's columns."""
    _check_rows(len(rows), max_rows)
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            raise malformed("The rows must be all JSON objects or all lists.")
        if len(row) != len(inputs):
            raise unprocessable(
                f"Row {number} has {len(row)} values; the model expects {len(inputs)}.",
                {"row": number, "column": None, "expected": f"{len(inputs)} values"},
            )
    return _by_place([column.name for column in inputs], rows, inputs)


def _names(columns: Any) -> list[str]:
    if not isinstance(columns, list):
        raise malformed("The columns must be a list of names.")
    if not all(isinstance(n, str | int) and not isinstance(n, bool) for n in columns):
        raise malformed("The name of a column must be a text or a whole number.")
    names = [str(name) for name in columns]
    if len(set(names)) != len(names):
        raise malformed("A column is named twice.")
    return names


def _by_place(names: Sequence[str], rows: Sequence[list[Any]], inputs: Sequence[Input]) -> Table:
    place = {name: number for number, name in enumerate(names)}
    columns = {c.name: [row[place[c.name]] for row in rows] for c in inputs if c.name in place}
    return Table(columns, len(rows))


def _check_rows(n_rows: int, max_rows: int) -> None:
    if n_rows > max_rows:
        raise too_large(f"A request may hold at most {max_rows} rows; send fewer at a time.")


# --- CSV


_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A"})
_BOOLEANS = {"true": True, "false": False}
_LONGEST_NUMBER = 400


def _from_csv(body: bytes, inputs: Sequence[Input], max_rows: int) -> Table:
    reader = csv.reader(io.StringIO(_decoded(body), newline=""), strict=True)
    try:
        names = _names(next(reader, []))
        rows = _csv_rows(reader, len(names), max_rows)
    except csv.Error:
        raise malformed("The body is not valid CSV.") from None
    if not names:
        raise malformed("The CSV has no header line with the names of the columns.")
    texts = _by_place(names, rows, inputs)
    columns = {
        c.name: [_cell(text, c.type) for text in texts.columns[c.name]]
        for c in inputs
        if c.name in texts.columns
    }
    return Table(columns, texts.n_rows)


def _csv_rows(reader: Iterable[list[str]], width: int, max_rows: int) -> list[list[str]]:
    rows: list[list[str]] = []
    for row in reader:
        if not row:  # a blank line, as pandas skips it
            continue
        if len(row) != width:
            raise malformed(f"Row {len(rows)} has {len(row)} fields; the header has {width}.")
        rows.append(row)
        _check_rows(len(rows), max_rows)
    return rows


def _cell(text: str, kind: str) -> Any:
    """Return the value of a CSV field; a text that does not fit is left for the schema check."""
    if kind == "string":
        return text or None
    text = text.strip()
    if text in _MISSING:
        return None
    if kind == "boolean":
        return _BOOLEANS.get(text.lower(), text)
    if kind in ("long", "double") and len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    return text
