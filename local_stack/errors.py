"""Errors a caller can act on, grouped by what the caller can do about them.

::

    StackError                       code, message, hint, details, exit_code
    ├── InputError              2    mend the input and call again
    │   ├── NotFoundError       2    name something that exists
    │   ├── ConflictError       2    somebody else changed it first; look, then call again
    │   └── ReadOnlyError       2    open the workspace for writing
    ├── UnavailableError        3    wait or start the service, then call again
    │   └── WorkspaceBusyError  3    another process holds the journal
    ├── RefusedError            4    a gate, check or rule said no; carries the whole verdict
    │   └── DamagedError        4    stored bytes are not what was written
    ├── Cancelled             130    somebody asked for the work to stop
    └── UnexpectedError         1    a defect; the incident id leads to the traceback
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar


class StackError(Exception):
    """An outcome other than success, in a sentence for the person who asked.

    ``message`` says what happened to which object, ``hint`` is the next thing to do,
    ``details`` holds plain JSON values for programs, and ``result`` is what the command would
    have returned, as far as it came.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, hint: str = "", *, details: Any = None, result: Any = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details
        self.result = result

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def to_dict(self) -> dict[str, Any]:
        """Return the ``error`` member of the JSON answer."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
        }


class InputError(StackError):
    """What was given cannot be used as it is."""

    code = "invalid_input"
    exit_code = 2


class NotFoundError(InputError):
    """A named thing does not exist."""

    code = "not_found"


class ConflictError(InputError):
    """The thing changed between the caller's look and the caller's act."""

    code = "conflict"


class ReadOnlyError(InputError):
    """A writing command was called on a workspace opened for reading."""

    code = "read_only"


class UnavailableError(StackError):
    """A needed service or file is not there now; a retry may help."""

    code = "unavailable"
    exit_code = 3


class WorkspaceBusyError(UnavailableError):
    """Another process held the journal for longer than the wait limit."""

    code = "workspace_busy"


class RefusedError(StackError):
    """A gate, check or rule said no; ``result`` holds the whole verdict."""

    code = "refused"
    exit_code = 4

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        details: Any = None,
        code: str = "refused",
        result: Any = None,
    ) -> None:
        super().__init__(message, hint, details=details, result=result)
        self.reason = code

    def to_dict(self) -> dict[str, Any]:
        """Return the error with the code of the check that refused."""
        return {**super().to_dict(), "code": self.reason}


class DamagedError(RefusedError):
    """Stored bytes differ from what was written, so they are not used."""

    code = "damaged"

    def __init__(self, message: str, hint: str = "", *, details: Any = None) -> None:
        super().__init__(message, hint, details=details, code="damaged")


class Cancelled(StackError):
    """The work was asked to stop and did, leaving nothing half-written."""

    code = "cancelled"
    exit_code = 130

    def __init__(self, message: str = "Cancelled.", hint: str = "", *, details: Any = None) -> None:
        super().__init__(message, hint, details=details)


class UnexpectedError(StackError):
    """A defect in PACE-ML; ``details`` names the incident whose traceback is in the log."""

    code = "unexpected"
    exit_code = 1


def named(names: Sequence[str], most: int = 20) -> str:
    """Return the names in a sentence, at most ``most`` of them, and how many more there are."""
    left = len(names) - most
    shown = ", ".join(names[:most])
    return f"{shown} and {left:,} more" if left > 0 else shown


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return ``"Did you mean 'x'?"`` for the choice closest to ``word``, or an empty string."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"Did you mean '{found[0]}'?" if found else ""
