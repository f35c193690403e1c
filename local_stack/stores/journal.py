"""The journal: an append-only, hash-chained record of every decision; the workspace's truth.

One event is one line of canonical JSON in ``journal/000001.jsonl``, ``000002.jsonl``, ...::

    {"actor", "at", "body", "changes", "command", "hash", "kind", "prev", "seq", "subject", "v"}

``hash`` is the SHA-256 of the line without it, ``prev`` the hash of the event before.
``changes`` are the rows that the event sets (``[table, row]``) or removes
(``[table, key, null]``); :mod:`local_stack.stores.metadata` folds them.

Appending holds ``journal/lock`` (flock) from reading the tail to fsync, so that decisions
are made on the newest state and numbers are never given twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.errors import DamagedError, UnavailableError, WorkspaceBusyError
from local_stack.results import now

FORMAT = 1
GENESIS = "0" * 64
_BLOCK = 1024 * 1024

Change = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], None]
"""``(table, whole row)`` sets a row, ``(table, key, None)`` removes one."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is about to be written."""

    kind: str
    subject: str
    body: dict[str, Any]
    changes: Sequence[Change] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One recorded decision."""

    seq: int
    at: str
    actor: str
    command: str
    kind: str
    subject: str
    body: dict[str, Any]
    changes: list[list[Any]]
    prev: str
    hash: str
    v: int


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two events: after event ``seq`` with ``hash``, at a byte of a segment."""

    seq: int = 0
    hash: str = GENESIS
    segment: int = 1
    offset: int = 0


START = Position()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking the whole chain gave. ``problem`` is '' when the chain holds."""

    n_events: int
    head: str
    problem: str
    place: str


class Journal:
    """The journal of one workspace. Instances are cheap and hold no open file."""

    def __init__(self, folder: Path, *, wait_seconds: float, segment_bytes: int) -> None:
        self.folder = folder
        self._wait_seconds = wait_seconds
        self._segment_bytes = segment_bytes

    def create(self) -> None:
        """Make the folder, its lock and the first, empty segment."""
        self.folder.mkdir(mode=0o700)
        (self.folder / "lock").touch(mode=0o600)
        self._segment(1).touch(mode=0o600)
        _sync_folder(self.folder)

    def read(self, after: Position) -> Iterator[tuple[Event, Position]]:
        """Yield each whole event after ``after`` with the position behind it.

        A torn last line (no newline yet) is left alone: its writer is at work or dead.

        Raises
        ------
        DamagedError
            At the first line that is not the continuation of the chain.
        """
        position = after
        while True:
            # Looked at before reading: a segment that has a successor grows no more.
            is_sealed = position.segment < int(self._last_segment().stem)
            for event, reached in self._read_segment(position, is_sealed=is_sealed):
                position = reached
                yield event, position
            if not is_sealed:
                return
            position = Position(position.seq, position.hash, position.segment + 1, 0)

    def _read_segment(
        self, position: Position, *, is_sealed: bool
    ) -> Iterator[tuple[Event, Position]]:
        path = self._segment(position.segment)
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            raise _damaged(path, position, "the segment is missing") from None
        with stream:
            if stream.seek(0, os.SEEK_END) < position.offset:
                raise _damaged(path, position, "the segment has become shorter")
            stream.seek(position.offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    if is_sealed:
                        raise _damaged(path, position, "the last line is cut short")
                    return
                event = _parse(line, position, path)
                end = position.offset + len(line)
                position = Position(event.seq, event.hash, position.segment, end)
                yield event, position

    def holds(self, position: Position) -> bool:
        """Return whether the event before ``position`` is the one that the position names."""
        if position.seq == 0:
            return position == START
        path = self._segment(position.segment)
        try:
            with path.open("rb") as stream:
                stream.seek(0, os.SEEK_END)
                if stream.tell() < position.offset:
                    return False
                if position.offset == 0:  # the event is the last one of the segment before
                    return position.segment > 1
                return f'"hash":"{position.hash}"'.encode() in _line_before(stream, position.offset)
        except FileNotFoundError:
            return False

    def digest(self, position: Position) -> str:
        """Return the SHA-256 of every byte of the journal up to ``position``.

        Raises
        ------
        FileNotFoundError
            When a segment is missing.
        """
        found = hashlib.sha256()
        for number in range(1, position.segment + 1):
            left = position.offset if number == position.segment else -1
            with self._segment(number).open("rb") as stream:
                while left and (block := stream.read(_BLOCK if left < 0 else min(left, _BLOCK))):
                    found.update(block)
                    left -= len(block) if left > 0 else 0
        return found.hexdigest()

    def append(self, actor: str, command: str, decide: Callable[[], Draft | None]) -> Event | None:
        """Write one event and return it, or return None when ``decide`` declines.

        ``decide`` is called under the lock and must bring its state up to date before it
        answers; it returns None to write nothing. The event is on disk when this returns.

        Raises
        ------
        WorkspaceBusyError
            When another process held the lock for longer than the wait limit.
        DamagedError
            When the tail is not the continuation of the chain.
        UnavailableError
            When the bytes could not be made durable; nothing was then recorded.
        """
        with self._locked(command):
            torn = self._cut_torn_tail()
            return self._write(actor, command, decide, torn)

    def verify(self) -> Verdict:
        """Check every line of every segment and return what was found."""
        position = START
        try:
            for _, reached in self.read(START):
                position = reached
        except DamagedError as error:
            return Verdict(position.seq, position.hash, error.message, str(error.details["place"]))
        return Verdict(position.seq, position.hash, "", "")

    def _segment(self, number: int) -> Path:
        return self.folder / f"{number:06d}.jsonl"

    def _last_segment(self) -> Path:
        segments = sorted(self.folder.glob("[0-9]*.jsonl"))
        return segments[-1] if segments else self._segment(1)

    def _write(
        self,
        actor: str,
        command: str,
        decide: Callable[[], Draft | None],
        torn: Draft | None,
    ) -> Event | None:
        if torn is not None:
            head = self._head()
            self._append_line(_sealed(torn, head, actor, command))
        draft = decide()
        if draft is None:
            return None
        event = _sealed(draft, self._head(), actor, command)
        self._append_line(event)
        return event

    def _head(self) -> Position:
        """Return the position after the newest event, read from the last line alone."""
        path = self._last_segment()
        number = int(path.stem)
        size = path.stat().st_size if path.exists() else 0
        if size == 0 and number > 1:
            number -= 1
            path = self._segment(number)
            size = path.stat().st_size
        if size == 0:
            return START
        with path.open("rb") as stream:
            line = _line_before(stream, size)
        try:
            event = json.loads(line)
            return Position(int(event["seq"]), str(event["hash"]), number, size)
        except (ValueError, KeyError, TypeError):
            raise _damaged(
                path, Position(0, "", number, size), "the last line is not an event"
            ) from None

    def _append_line(self, event: Event) -> None:
        path = self._last_segment()
        if path.exists() and path.stat().st_size >= self._segment_bytes:
            path = self._segment(int(path.stem) + 1)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, _line(event))
                os.fsync(descriptor)
            except OSError as error:
                with contextlib.suppress(OSError):  # what stays is cut, or named by verify
                    os.ftruncate(descriptor, before)
                raise UnavailableError(
                    f"The journal could not be written: {error.strerror}.",
                    "Nothing was recorded; free some disk space and call again.",
                ) from error
        finally:
            os.close(descriptor)
        if before == 0:
            _sync_folder(self.folder)

    def _cut_torn_tail(self) -> Draft | None:
        """Cut what a killed writer left after the last newline; return the event that says so."""
        path = self._last_segment()
        if not path.exists() or path.stat().st_size == 0:
            return None
        with path.open("r+b") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(end - 1)
            if stream.read(1) == b"\n":
                return None
            keep = _last_newline(stream, end)
            stream.seek(keep)
            torn = stream.read(end - keep)
            stream.truncate(keep)
            os.fsync(stream.fileno())
        return Draft(
            "journal.repaired",
            "journal",
            {"n_bytes_cut": len(torn), "sha256": hashlib.sha256(torn).hexdigest()},
        )

    @contextlib.contextmanager
    def _locked(self, command: str) -> Iterator[None]:
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait_for(descriptor)
            holder = json.dumps({"pid": os.getpid(), "command": command, "since": now()})
            os.pwrite(descriptor, holder.encode().ljust(256), 0)
            yield
        finally:
            os.close(descriptor)  # closing releases the lock

    def _wait_for(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._wait_seconds
        pause = 0.0005
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise self._busy(descriptor) from None
                time.sleep(pause)
                pause = min(pause * 1.5, 0.02)

    def _busy(self, descriptor: int) -> WorkspaceBusyError:
        holder = _holder(descriptor)
        who = f"process {holder.get('pid', 'unknown')} ({holder.get('command') or 'unknown'})"
        since = f" since {holder['since']}" if "since" in holder else ""
        return WorkspaceBusyError(
            f"The workspace has been busy for {self._wait_seconds:g} s: {who} holds the journal"
            f"{since}.",
            "Wait for it, or look at that process, then call again.",
            details=holder,
        )


def _holder(descriptor: int) -> dict[str, Any]:
    """Return who holds the lock: what the holder wrote into it, if the kernel agrees."""
    text = os.pread(descriptor, 256, 0).decode("ascii", "replace")
    try:
        written = dict(json.JSONDecoder().raw_decode(text)[0])
    except (ValueError, TypeError):
        written = {}
    pid = _locking_pid(os.fstat(descriptor).st_ino)
    if pid is None or written.get("pid") == pid:
        return written
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        command = b" ".join(words).decode("utf-8", "replace").strip()[:80]
    except OSError:
        command = ""
    return {"pid": pid, "command": command}


def _locking_pid(inode: int) -> int | None:
    """Return the process that the kernel names as holder of an flock on ``inode``."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux, or /proc is hidden
        return None
    for line in lines:
        words = line.split()
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4])
    return None


def _sealed(draft: Draft, head: Position, actor: str, command: str) -> Event:
    content = {
        "seq": head.seq + 1,
        "at": now(),
        "actor": actor,
        "command": command,
        "kind": draft.kind,
        "subject": draft.subject,
        "body": draft.body,
        "changes": [list(change) for change in draft.changes],
        "prev": head.hash,
        "v": FORMAT,
    }
    line = _canonical(content)
    if b"\\ud" in line:  # half a character would be refused by every reader of JSON
        content = json.loads(json.dumps(content, ensure_ascii=False).encode(errors="replace"))
        line = _canonical(content)
    return Event(**content, hash=hashlib.sha256(line).hexdigest())  # type: ignore[arg-type]


def _canonical(content: dict[str, Any]) -> bytes:
    """Return sorted, compact, pure-ASCII JSON: one spelling, and harmless in a terminal."""
    return json.dumps(
        content, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def _line(event: Event) -> bytes:
    return _canonical({name: getattr(event, name) for name in Event.__slots__}) + b"\n"


def _hash_member(digest: str) -> bytes:
    return f'"hash":"{digest}",'.encode()


def _parse(line: bytes, position: Position, path: Path) -> Event:
    try:
        event = Event(**json.loads(line))
    except (ValueError, TypeError):
        raise _damaged(path, position, "the line is not an event") from None
    if event.v > FORMAT:
        raise _damaged(path, position, f"format {event.v} is newer than this program")
    # The bytes themselves are hashed, so another spelling of the same JSON is found too.
    unsealed = line.replace(_hash_member(event.hash), b"", 1).rstrip(b"\n")
    if hashlib.sha256(unsealed).hexdigest() != event.hash:
        raise _damaged(path, position, "the hash does not match the line")
    if event.prev != position.hash or event.seq != position.seq + 1:
        raise _damaged(path, position, "the event does not follow the one before")
    return event


def _damaged(path: Path, position: Position, reason: str) -> DamagedError:
    place = f"{path.name}, byte {position.offset}, after event {position.seq}"
    return DamagedError(
        f"The journal is damaged at {place}: {reason}.",
        "Writing has stopped. Call 'paceml-tui audit verify', then restore a backup.",
        details={"place": place, "reason": reason, "after_seq": position.seq},
    )


def _line_before(stream: Any, end: int) -> bytes:
    """Return the line that ends at byte ``end`` (exclusive), its newline included."""
    start = _last_newline(stream, end - 1)
    stream.seek(start)
    return bytes(stream.read(end - start))


def _last_newline(stream: Any, end: int) -> int:
    """Return the offset just behind the last newline before ``end``, or 0."""
    block = 64 * 1024
    while end > 0:
        start = max(0, end - block)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return int(start + found + 1)
        end = start
    return 0


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
