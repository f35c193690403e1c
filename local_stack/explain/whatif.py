"""Rows asked about while somebody edits them: a process that keeps the model loaded.

The process is this module, run as a program; it reads questions as lines of JSON and answers each
with a line, and it ends with its input, so that it never outlives who asks. :class:`Session` is
the other end: it imports nothing heavy, which is why a screen may hold it.

======== ============================================== =====================================
Question Members                                        Answer
======== ============================================== =====================================
what_if  row, unit, output                              :class:`Answer`
explain  row or index, and those of :class:`Questions`  :class:`RowExplanation`
rows     start, n, only                                 :class:`PredictedRows`
columns                                                 ``{"columns": [ColumnFacts, ...]}``
======== ============================================== =====================================
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from local_stack.errors import InputError, NotFoundError, StackError, UnavailableError
from local_stack.results import plain

START_SECONDS: Final = 120.0
"""How long a process may take to load its model and rows."""
ANSWER_SECONDS: Final = 60.0
"""How long it may take to answer."""
_AT_ONCE: Final = 1 << 16
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1"}
"""A row is done before threads have met, and on a busy machine they wait for each other."""
_ERRORS: Final = {"invalid_input": InputError, "not_found": NotFoundError}


class Session:
    """A process that answers questions about single rows of a model, until it is closed.

    Any thread may ask; one question is answered at a time. Use it as a context manager, or close
    it. The process starts with the first question, or with :meth:`start`.

    Parameters
    ----------
    root
        Folder of the workspace, which is opened for reading.
    target
        Run id, or MODEL[@STAGE|/VERSION].
    """

    def __init__(self, root: Path, target: str) -> None:
        self.root = root
        self.target = target
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._n_asked = 0
        self._is_closed = False

    def __enter__(self) -> Session:
        """Return the session itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the session."""
        self.close()

    @property
    def pid(self) -> int | None:
        """Return the id of the process, None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Load the model now; later questions find it warm.

        Raises
        ------
        StackError
            What keeps the model from being loaded, in a sentence.
        """
        with self._lock:
            self._begin()

    def what_if(
        self, row: Mapping[str, Any], unit: str | None = None, output: str | None = None
    ) -> dict[str, Any]:
        """Return prediction and contributions of a row of JSON values."""
        return self.ask("what_if", row=dict(row), unit=unit, output=output)

    def rows(self, start: int, n: int, only: str | None = None) -> dict[str, Any]:
        """Return rows of the data version with their predictions."""
        return self.ask("rows", start=start, n=n, only=only)

    def columns(self) -> list[dict[str, Any]]:
        """Return what an editor must know of each column."""
        found: list[dict[str, Any]] = self.ask("columns")["columns"]
        return found

    def explain(
        self,
        *,
        row: Mapping[str, Any] | None = None,
        index: int | None = None,
        **questions: Any,
    ) -> dict[str, Any]:
        """Return all that :class:`Questions` asks about a row, which is given or has a number."""
        given = None if row is None else dict(row)
        return self.ask("explain", row=given, index=index, **questions)

    def ask(self, what: str, **members: Any) -> dict[str, Any]:
        """Return the answer to a question.

        Raises
        ------
        StackError
            What the question was answered with instead.
        UnavailableError
            The process ended, or did not answer in time and was ended.
        """
        with self._lock:
            process = self._begin()
            self._n_asked += 1
            number = self._n_asked
            try:
                asked = json.dumps({"id": number, "ask": what, **members}, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise InputError("The row holds a value that JSON has no word for.") from error
            assert process.stdin is not None
            try:
                process.stdin.write(asked.encode("ascii") + b"\n")
                process.stdin.flush()
            except (OSError, ValueError):  # it has ended, or somebody closes the session
                raise self._lost("ended") from None
            return self._answer(number, ANSWER_SECONDS)

    def close(self) -> None:
        """End the process; a question that is being asked gets an error."""
        self._is_closed = True
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _begin(self) -> subprocess.Popen[bytes]:
        """Return the running process; start one when there is none."""
        if self._is_closed:
            raise UnavailableError("The session is closed.")
        if self._process is None or self._process.poll() is not None:
            self._buffer = b""
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-m", __spec__.name, str(self.root), self.target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_ONE_THREAD},
            )
            self._answer(0, START_SECONDS)
        if self._is_closed:
            raise self._lost("ended")
        return self._process

    def _answer(self, number: int, seconds: float) -> dict[str, Any]:
        found = json.loads(self._line(seconds))
        if error := found.get("error"):
            kind = _ERRORS.get(error["code"], StackError)
            raise kind(error["message"], error["hint"], details=error["details"])
        assert found["id"] == number  # one question, one answer
        result: dict[str, Any] = found["result"]
        return result

    def _line(self, seconds: float) -> bytes:
        """Return the next line that the process writes."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = max(0, until - time.monotonic())
            try:
                ready, _, _ = select.select([process.stdout], [], [], left)
                read = os.read(process.stdout.fileno(), _AT_ONCE) if ready else b""
            except (OSError, ValueError):
                raise self._lost("ended") from None
            if not ready:
                raise self._lost(f"did not answer within {seconds:.0f} seconds")
            if not read:
                raise self._lost("ended")
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _lost(self, how: str) -> UnavailableError:
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._is_closed:
            return UnavailableError("The session is closed.")
        return UnavailableError(
            f"The process that explains rows of {self.target} {how}.", "Ask again: it starts anew."
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()


# ------------------------------------------------------------------ the process itself


def main(root: str, target: str) -> int:
    """Answer questions from standard input until it ends."""
    from local_stack import environment

    environment.prepare()
    with _own_output() as output:
        from local_stack.workspace import Workspace

        with Workspace.open(root, readonly=True) as workspace:
            try:
                answers = _answers(workspace, target)
            except Exception as error:  # noqa: BLE001 - the seam to the other process
                _write(output, {"id": 0, "error": _told(workspace, error)})
                return 1
            _write(output, {"id": 0, "result": {}})
            for line in sys.stdin.buffer:
                asked = json.loads(line)
                number, what = asked.pop("id"), asked.pop("ask")
                try:
                    _write(output, {"id": number, "result": plain(answers[what](**asked))})
                except Exception as error:  # noqa: BLE001
                    _write(output, {"id": number, "error": _told(workspace, error)})
    return 0


@contextlib.contextmanager
def _own_output() -> Iterator[IO[bytes]]:
    """Give standard output to the answers alone; what libraries print goes to standard error."""
    with os.fdopen(os.dup(1), "wb", buffering=0) as output:
        os.dup2(2, 1)
        yield output


def _write(output: IO[bytes], answer: Mapping[str, Any]) -> None:
    left = json.dumps(answer, allow_nan=False).encode("ascii") + b"\n"
    while left:
        left = left[output.write(left) :]


def _told(workspace: Any, error: Exception) -> dict[str, Any]:
    from local_stack.command import unexpected

    if not isinstance(error, StackError):
        error = unexpected(error, workspace)
    found: dict[str, Any] = plain(error.to_dict())
    return found


def _answers(workspace: Any, target: str) -> dict[str, Callable[..., Any]]:
    """Load the model and return the function behind each question."""
    from local_stack.explain.deciding.inquiry import Inquiry
    from local_stack.explain.row import Questions, Source, explained
    from local_stack.explain.subject import subject_of

    inquiry = Inquiry(workspace, subject_of(workspace, target))
    inquiry.answer(_first(inquiry))  # whatever is made once is made now

    def what_if(row: dict[str, Any], unit: str | None, output: str | None) -> Any:
        return inquiry.answer(inquiry.check(row), unit, output)

    def explain(row: dict[str, Any] | None, index: int | None, **questions: Any) -> Any:
        from local_stack.explain.deciding.constraints import Wishes

        wishes = questions.pop("wishes", None) or {}
        asked = Questions(**questions, wishes=Wishes(**{k: tuple(v) for k, v in wishes.items()}))
        values = row if row is not None else inquiry.row(index or 0)
        return explained(inquiry, values, Source(index if row is None else None), asked)

    return {
        "what_if": what_if,
        "explain": explain,
        "rows": inquiry.rows,
        "columns": lambda: {"columns": inquiry.columns()},
    }


def _first(inquiry: Any) -> dict[str, Any]:
    """Return the first training row that the model takes."""
    found: dict[str, Any] = inquiry.check(inquiry.row(int(inquiry.numbers[0])))
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
