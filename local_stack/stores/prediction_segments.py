"""The reading end of the prediction log: its segments, their lines, and a prediction by its id.

A line is ``{"id", "request", "at", "model", "version", "ms", "row": {...}, "prediction"}``, and
``"explanation"`` where one was given with it. Sealed segments are checked against the hash that
the journal was told.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import DamagedError, NotFoundError
from local_stack.names import slug
from local_stack.results import iso

if TYPE_CHECKING:
    import polars as pl

    from local_stack.stores.metadata import Row

    Query = Callable[..., list[Row]]

FACTS: Final = ("id", "request", "at", "model", "version", "ms", "prediction")
"""What the log says of each prediction, beside its row."""
LACKS: Final = "paceml.lacks"
_KEYS: Final = frozenset((*FACTS, "row"))
_SLACK: Final = timedelta(minutes=1)
_SHORTEST: Final = 6


def folder_of(root: Path, endpoint: str) -> Path:
    """Return the folder of the endpoint called ``endpoint`` in the workspace at ``root``.

    The name is only hinted at; the identity is a hash of it, so no name can lead elsewhere.
    """
    identity = hashlib.sha256(endpoint.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return root / "serving" / f"{slug(endpoint)}-{identity}"


@dataclass(frozen=True, slots=True)
class Request:
    """A logged request: its lines in order, of which ``place`` is the one that was asked for."""

    endpoint: str
    segment: str
    lines: tuple[dict[str, Any], ...]
    place: int

    @property
    def line(self) -> dict[str, Any]:
        """Return the line that was asked for."""
        return self.lines[self.place]


class PredictionSegments:
    """The prediction logs of the workspace at ``root``; ``query`` runs SELECTs on its records."""

    def __init__(self, root: Path, query: Query) -> None:
        self._root = root
        self._query = query

    def segments(self, endpoint: str) -> Iterator[tuple[str, bytes]]:
        """Yield (name, whole lines) of each segment, oldest first, open ones too.

        Raises
        ------
        NotFoundError
            There is no such endpoint.
        DamagedError
            A sealed segment is not the one that was recorded.
        """
        folder = folder_of(self._root, endpoint)
        if not folder.is_dir():
            raise NotFoundError(
                f"There is no endpoint '{endpoint}'.", "List them: paceml-tui serving list"
            )
        recorded = self._recorded(endpoint)
        for stem in _stems(folder / "log"):
            yield stem, _read(folder / "log", stem, recorded.get(stem))

    def records(self, endpoint: str) -> Iterator[dict[str, Any]]:
        """Yield each logged prediction as its line says it, oldest first."""
        for stem, data in self.segments(endpoint):
            for line in data.splitlines():
                yield last_line(line, stem)

    def frame(self, endpoint: str, needed: Sequence[str] = ()) -> pl.DataFrame:
        """Return every logged prediction, oldest segment first.

        With ``needed`` the column :data:`LACKS` names the first of these raw columns that the model
        which answered did not have, null where it had them all.

        The model's raw columns stand under their own names, :data:`FACTS` under ``paceml.id`` and
        so on. Dates are ISO 8601 texts. Columns whose types differ between segments get the type
        that holds both.
        """
        import polars as pl

        facts = [pl.col(name).alias(f"paceml.{name}") for name in FACTS]
        frames = []
        for stem, data in self.segments(endpoint):
            if data:
                try:
                    frame = pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
                    frame = frame.select(pl.col("row").struct.unnest(), *facts)
                    lacks = next((it for it in needed if it not in frame.columns), None)
                    told = [pl.lit(lacks, pl.String).alias(LACKS)] if needed else []
                    frames.append(frame.with_columns(*told))
                except pl.exceptions.PolarsError:
                    raise damaged(stem) from None
        if not frames:
            return pl.DataFrame(schema={f"paceml.{name}": pl.Null for name in FACTS})
        return pl.concat(frames, how="diagonal_relaxed")

    def find(self, prediction_id: str) -> Request:
        """Return the request in which a prediction was answered, from whatever endpoint.

        Raises
        ------
        NotFoundError
            With the nearest id, or what an id looks like.
        DamagedError
            It is in no segment that is whole, and one is not the one that was recorded.
        """
        request = prediction_id.partition(".")[0]
        opening, alone = _opening(f"{request}."), _opening(request) + b'"'
        nearest, n_gone = "", 0
        torn: DamagedError | None = None
        for endpoint, stem, row in self._likely_first(request):
            try:
                data = _read(folder_of(self._root, endpoint) / "log", stem, row)
            except DamagedError as error:  # it hides no other
                torn = torn or error
                continue
            n_gone += row is not None and not data
            start = max(data.find(alone), data.find(opening))
            if start >= 0:
                lines = _lines_of(data, start, stem, request)
                for place, line in enumerate(lines):
                    if line["id"] == prediction_id:
                        return Request(endpoint, stem, tuple(lines), place)
                last = len(lines) - 1
                nearest = (
                    f"It was a request of {last + 1} rows: {request}.0 to {request}.{last}."
                    if last
                    else f"It was a request of one row: {lines[0]['id']}."
                )
            start = data.find(_opening(request)) if len(request) >= _SHORTEST else -1
            if start >= 0 and not nearest:
                nearest = f"Did you mean '{last_line(_line_at(data, start), stem)['id']}'?"
        if torn is not None:
            raise torn
        many = "1 recorded segment of the log is", f"{n_gone} recorded segments of the log are"
        gone = f" {many[n_gone > 1]} gone." if n_gone else ""
        raise NotFoundError(
            f"No logged prediction has the id '{prediction_id[:80]}'.{gone}",
            nearest
            or "An answer has its id in the header X-Paceml-Prediction-Id; "
            "of several rows each has .0, .1 and so on behind it.",
        )

    def _recorded(self, endpoint: str) -> dict[str, Row]:
        rows = self._query("SELECT * FROM prediction_segments WHERE endpoint = ?", endpoint)
        return {row["segment"]: row for row in rows}

    def _likely_first(self, request: str) -> list[tuple[str, str, Row | None]]:
        """Return every segment, those first that were written to when an id was made."""
        moment = _moment_of(request)
        first: list[tuple[str, str, Row | None]] = []
        later: list[tuple[str, str, Row | None]] = []
        told = self._query("SELECT DISTINCT endpoint FROM prediction_segments")
        for endpoint in sorted({*_endpoints(self._root), *(row["endpoint"] for row in told)}):
            recorded = self._recorded(endpoint)
            stems = _stems(folder_of(self._root, endpoint) / "log")
            for stem in sorted({*stems, *recorded}):
                row = recorded.get(stem)
                is_likely = row is None or (moment is not None and _spans(row, moment))
                (first if is_likely else later).append((endpoint, stem, row))
        return first + later


def last_line(data: bytes, stem: str) -> dict[str, Any]:
    """Return the last line of ``data``, of the segment ``stem``."""
    try:
        return dict(json.loads(data[data.rfind(b"\n", 0, -1) + 1 :]))
    except (ValueError, TypeError):
        raise damaged(stem) from None


def damaged(stem: str) -> DamagedError:
    """Return the error of a segment that holds something else than predictions."""
    return DamagedError(
        f"The prediction-log segment {stem} holds a line that is not a prediction.",
        "Restore the segment from a backup.",
        details={"segment": stem},
    )


def _endpoints(root: Path) -> list[str]:
    found = []
    for path in (root / "serving").glob("*/endpoint.json"):
        with suppress(OSError, ValueError, TypeError, KeyError):
            found.append(str(json.loads(path.read_bytes())["endpoint"]))
    return found


def _stems(log: Path) -> list[str]:
    return sorted({path.stem for path in (*log.glob("*.jsonl"), *log.glob("*.open"))})


def _read(log: Path, stem: str, row: Row | None) -> bytes:
    """Return the whole lines of a segment; nothing where its file is gone."""
    for suffix in (".open", ".jsonl"):  # it may be sealed between the two looks, never unsealed
        with suppress(FileNotFoundError):
            data = (log / f"{stem}{suffix}").read_bytes()
            if row is not None and hashlib.sha256(data).hexdigest() != row["sha256"]:
                raise DamagedError(
                    f"The prediction-log segment {stem} is not the one that was recorded.",
                    "Restore the segment from a backup.",
                    details={"segment": stem},
                )
            return data[: data.rfind(b"\n") + 1]
    return b""


def _opening(prediction_id: str) -> bytes:
    """Return how the line of an id begins; texts inside a line have their quotes escaped."""
    return b'{"id":' + json.dumps(prediction_id).encode("ascii")[:-1]


def _line_at(data: bytes, start: int) -> bytes:
    return data[start : data.index(b"\n", start) + 1]


def _lines_of(data: bytes, start: int, stem: str, request: str) -> list[dict[str, Any]]:
    """Return the lines of a request: they were written together."""
    found = []
    while start < len(data):
        text = _line_at(data, start)
        line = last_line(text, stem)
        if not (line.keys() >= _KEYS and isinstance(line["row"], dict)):
            raise damaged(stem)
        if line.get("request") != request:
            break
        found.append(line)
        start += len(text)
    return found


def _moment_of(request: str) -> datetime | None:
    """Return when an id was made: it begins with the milliseconds since 1970."""
    try:
        return datetime.fromtimestamp(int(request[:11], 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _spans(row: Row, moment: datetime) -> bool:
    return bool(row["first_at"] <= iso(moment + _SLACK) and iso(moment - _SLACK) <= row["last_at"])
