"""The journal on a disk that fails: nothing acknowledged is lost, and it works again after."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from local_stack.errors import UnavailableError
from local_stack.stores import journal as module
from local_stack.stores.journal import START, Draft, Event, Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal", wait_seconds=5, segment_bytes=1 << 26)
    made.create()
    return made


def note(journal: Journal, number: int) -> Event:
    draft = Draft("test.noted", f"note:{number}", {"n": number})
    event = journal.append("tester", "test", lambda: draft)
    assert event is not None
    return event


class Faulty:
    """The ``os`` module whose n-th call of one of ``names`` fails as a disk does."""

    def __init__(self, names: tuple[str, ...], n: int, code: int) -> None:
        self.names, self.left, self.code = names, n, code

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        if name not in self.names:
            return real

        def faulty(*arguments: object, **named: object) -> object:
            self.left -= 1
            if self.left == 0:
                if name == "write":  # a full disk takes what still fits
                    os.write(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                raise OSError(self.code, os.strerror(self.code))
            return real(*arguments, **named)

        return faulty


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(
    "names", [("write",), ("fsync",), ("open",), ("pwrite",), ("write", "fsync", "open", "pwrite")]
)
def test_a_fault_at_any_call_loses_nothing_acknowledged(journal, monkeypatch, names, code):
    journal = Journal(journal.folder, wait_seconds=5, segment_bytes=1000)
    kept = [note(journal, 0)]
    for n in range(1, 40):
        fault = Faulty(names, n, code)
        with monkeypatch.context() as patch:
            patch.setattr(module, "os", fault)
            try:
                kept += [note(journal, n * 10 + k) for k in range(4)]
            except (UnavailableError, OSError):
                assert fault.left <= 0
        present = {event.seq: event.hash for event, _ in journal.read(START)}
        assert all(present[event.seq] == event.hash for event in kept)
        assert journal.verify().problem == ""
        if fault.left > 0:
            break
    else:
        pytest.fail("no run without a fault")
    assert n > 3
    note(journal, 999)
    assert journal.verify().problem == ""


def test_a_fault_in_the_undoing_leaves_a_journal_that_is_whole_or_says_so(journal, monkeypatch):
    kept = note(journal, 0)
    fault = Faulty(("write",), 1, errno.ENOSPC)
    with monkeypatch.context() as patch:
        patch.setattr(module, "os", fault)
        patch.setattr(os, "ftruncate", _refuse)
        with pytest.raises(UnavailableError, match="No space left"):
            note(journal, 1)
    note(journal, 2)
    assert [e.kind for e, _ in journal.read(START)][1] == "journal.repaired"
    assert next(e for e, _ in journal.read(START)).hash == kept.hash
    assert journal.verify().problem == ""


def _refuse(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_file_size_limit_is_a_clean_error_and_works_again_after(journal):
    script = """
        import resource, sys
        from pathlib import Path
        from local_stack.errors import UnavailableError
        from local_stack.stores.journal import Draft, Journal

        journal = Journal(Path(sys.argv[1]), wait_seconds=5, segment_bytes=1 << 26)
        def write(n):
            return journal.append("t", "t", lambda: Draft("t", str(n), {"x": "y" * 500}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
        written = 0
        try:
            while True:
                write(written)
                written += 1
        except UnavailableError as error:
            assert "File too large" in error.message, error.message
        try:
            write("again")
        except UnavailableError:
            pass
        assert journal.verify().n_events == written, journal.verify()
        assert journal.verify().problem == ""
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        print(written, write("after").seq)
    """
    words = [sys.executable, "-c", textwrap.dedent(script), str(journal.folder)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    written, after = map(int, ended.stdout.split())
    assert written >= 3
    assert after == written + 1
    assert journal.verify().n_events == after
