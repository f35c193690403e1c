"""The prediction log: one JSON line a predicted row, durable before the answer leaves.

A line is ``{"id", "request", "at", "model", "version", "ms", "row": {...}, "prediction"}``, and
``"explanation"`` where one was given with it; ``row`` holds the model's raw columns as they were
used (:mod:`local_stack.stores.prediction_segments` reads them). Lines go to ``log/NAME.open``,
which becomes ``log/NAME.jsonl`` when it is sealed by size, age or the end of the server; a segment
holds one model version. One writer thread commits whatever waits with one fsync (group commit). A
sealed segment is told to the journal by another thread, so that no request ever waits for its lock.
"""

from __future__ import annotations

import hashlib
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.errors import ConflictError, StackError
from local_stack.results import now
from local_stack.serving.folder import configs, hold, holder
from local_stack.stores.journal import START, Draft, Journal
from local_stack.stores.prediction_segments import PredictionSegments, last_line
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENT_SECONDS = 300.0
_TICK_SECONDS = 0.5
_MAX_BATCH_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sealed:
    """A segment that will not change any more. Times are those of its first and last line."""

    segment: str
    model: str
    version: int
    n_predictions: int
    sha256: str
    first_at: str
    last_at: str


class PredictionLog:
    """The writing end of one server process. Close it to seal what is open.

    ``on_sealed`` is called in a thread of its own for each sealed segment; a
    :class:`StackError` it raises leaves the segment to :func:`adopt`.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        version: int,
        on_sealed: Callable[[Sealed], None],
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
    ) -> None:
        self._folder = folder
        self._model = model
        self._version = version
        self._on_sealed = on_sealed
        self._limit_bytes = segment_bytes
        self._limit_seconds = segment_seconds
        self._process = f"{now().translate(_COMPACT)[:21]}-{secrets.token_hex(4)}"
        self._number = 0
        self._segment: _Segment | None = None
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._recorder = ThreadPoolExecutor(1, thread_name_prefix="segments")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def append(self, lines: bytes, n_lines: int, at: str) -> Future[None]:
        """Queue whole lines and return the future that is done when they are on disk.

        The future raises :class:`OSError` when they could not be made durable.
        """
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # a caller that gives up cannot cancel the commit
        self._queue.put(_Entry(lines, n_lines, at, done))
        return done

    def close(self) -> None:
        """Write what waits, seal the open segment, and wait until the journal knows it."""
        self._queue.put(None)
        self._thread.join()
        self._recorder.shutdown()

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._take()
            if batch:
                self._commit(batch)
            if self._segment is not None and (not is_open or self._is_due(self._segment)):
                self._seal()

    def _take(self) -> tuple[list[_Entry], bool]:
        """Return everything that waits now, and whether the log stays open."""
        batch: list[_Entry] = []
        n_bytes = 0
        try:
            entry = self._queue.get(timeout=_TICK_SECONDS)
            while entry is not None:
                batch.append(entry)
                n_bytes += len(entry.lines)
                if n_bytes >= _MAX_BATCH_BYTES:
                    return batch, True
                entry = self._queue.get_nowait()
        except queue.Empty:
            return batch, True
        return batch, False

    def _commit(self, batch: list[_Entry]) -> None:
        try:
            if self._segment is None:
                self._number += 1
                name = f"{self._process}-{self._number:06d}"
                self._segment = _Segment(self._folder / f"{name}.open")
            self._segment.write(batch)
        except OSError as error:
            # After a failed fsync the kernel may call lost pages clean, so the file is left.
            self._seal()
            for entry in batch:
                entry.done.set_exception(error)
            return
        for entry in batch:
            entry.done.set_result(None)

    def _is_due(self, segment: _Segment) -> bool:
        age = time.monotonic() - segment.opened
        return segment.size >= self._limit_bytes or age >= self._limit_seconds

    def _seal(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        with suppress(OSError):  # an unsealed segment is adopted later
            if segment.seal():
                facts = segment.facts(self._model, self._version)
                self._recorder.submit(self._record, facts)

    def _record(self, sealed: Sealed) -> None:
        with suppress(StackError, OSError):
            self._on_sealed(sealed)


@dataclass(frozen=True, slots=True)
class _Entry:
    lines: bytes
    n_lines: int
    at: str
    done: Future[None]


class _Segment:
    """The open segment: what is written and known to be on disk."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._path = path
        self._descriptor = os.open(path, flags, 0o600)
        self._digest = hashlib.sha256()
        self._n_lines = 0
        self._first_at = self._last_at = ""
        self.size = 0
        self.opened = time.monotonic()
        _sync_folder(path.parent)

    def write(self, batch: list[_Entry]) -> None:
        data = b"".join(entry.lines for entry in batch)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fdatasync(self._descriptor)
        self._digest.update(data)
        self.size += len(data)
        self._n_lines += sum(entry.n_lines for entry in batch)
        self._first_at = self._first_at or batch[0].at
        self._last_at = batch[-1].at

    def seal(self) -> bool:
        """Cut what was not acknowledged, close and rename; return whether anything is left."""
        try:
            os.ftruncate(self._descriptor, self.size)
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)
        return _publish(self._path)

    def facts(self, model: str, version: int) -> Sealed:
        return Sealed(
            self._path.stem,
            model,
            version,
            self._n_lines,
            self._digest.hexdigest(),
            self._first_at,
            self._last_at,
        )


def record(journal: Journal, actor: str, endpoint: str, sealed: Sealed) -> None:
    """Tell the journal of a sealed segment; a damaged journal takes nothing.

    It decides nothing, so it needs no folded state, but the chain has to be whole.
    """
    row = {
        "endpoint": endpoint,
        "segment": sealed.segment,
        "model": sealed.model,
        "version": sealed.version,
        "n_predictions": sealed.n_predictions,
        "sha256": sealed.sha256,
        "first_at": sealed.first_at,
        "last_at": sealed.last_at,
    }
    draft = Draft(
        "serving.segment_sealed",
        f"endpoint:{endpoint}",
        {"segment": sealed.segment, "n_predictions": sealed.n_predictions},
        [("prediction_segments", row)],
    )

    def decide() -> Draft:
        for _ in journal.read(START):  # raises at the first line that does not hold
            pass
        return draft

    journal.append(actor, "serving.log", decide)


def seal_leftovers(log: Path) -> int:
    """Seal the segments that dead processes left open in ``log``; return how many.

    Each is cut to its last whole line; what stands after that was never acknowledged. The
    caller holds the endpoint's lock, so no living server writes here.
    """
    left = sorted(log.glob("*.open"))
    for path in left:
        with path.open("r+b") as stream:
            stream.truncate(stream.read().rfind(b"\n") + 1)
            os.fsync(stream.fileno())
        _publish(path)
    return len(left)


def adopt(workspace: Workspace, endpoint: str | None = None) -> int:
    """Seal and record what dead servers left, of one endpoint or of all; return how many.

    Endpoints with a living server are left alone.
    """
    n_adopted = 0
    for folder, config in configs(workspace.root):
        if endpoint not in (None, config.endpoint):
            continue
        try:
            lock = hold(folder, is_server=False, wait_seconds=0)
        except ConflictError:
            continue
        try:
            seal_leftovers(folder / "log")
            n_adopted += _record_unknown(workspace, folder, config.endpoint)
        finally:
            os.close(lock)
    return n_adopted


def orphans(workspace: Workspace) -> list[str]:
    """Return the endpoints for which :func:`adopt` would find something to do."""
    return [
        config.endpoint
        for folder, config in configs(workspace.root)
        if holder(folder) is None
        and (any((folder / "log").glob("*.open")) or _unknown(workspace, folder, config.endpoint))
    ]


def _record_unknown(workspace: Workspace, folder: Path, endpoint: str) -> int:
    unknown = _unknown(workspace, folder, endpoint)
    for path in unknown:
        record(workspace.journal, workspace.actor, endpoint, _inspect(path))
    return len(unknown)


def _unknown(workspace: Workspace, folder: Path, endpoint: str) -> list[Path]:
    """Return the sealed segments that the journal has not been told of."""
    rows = workspace.query("SELECT segment FROM prediction_segments WHERE endpoint = ?", endpoint)
    known = {row["segment"] for row in rows}
    return [p for p in sorted((folder / "log").glob("*.jsonl")) if p.stem not in known]


def _inspect(path: Path) -> Sealed:
    data = path.read_bytes()
    first, last = (last_line(data[:end], path.stem) for end in (data.find(b"\n") + 1, len(data)))
    return Sealed(
        path.stem,
        str(first["model"]),
        int(first["version"]),
        data.count(b"\n"),
        hashlib.sha256(data).hexdigest(),
        str(first["at"]),
        str(last["at"]),
    )


def segments(workspace: Workspace, endpoint: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, whole lines) of each segment of ``endpoint``, oldest first."""
    return PredictionSegments(workspace.root, workspace.query).segments(endpoint)


def records(workspace: Workspace, endpoint: str) -> Iterator[dict[str, Any]]:
    """Yield each logged prediction of ``endpoint`` as its line says it, oldest first."""
    return PredictionSegments(workspace.root, workspace.query).records(endpoint)


def read(workspace: Workspace, endpoint: str) -> pl.DataFrame:
    """Return every logged prediction of ``endpoint``; see :meth:`PredictionSegments.frame`."""
    return PredictionSegments(workspace.root, workspace.query).frame(endpoint)


def _publish(path: Path) -> bool:
    """Rename an open segment to its sealed name, or remove it when it is empty."""
    has_lines = path.stat().st_size > 0
    if has_lines:
        path.chmod(0o400)
        path.replace(path.with_suffix(".jsonl"))
    else:
        path.unlink()
    _sync_folder(path.parent)
    return has_lines


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_COMPACT = str.maketrans("", "", "-:.")
