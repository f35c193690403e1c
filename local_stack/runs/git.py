"""What git says of the folder a recipe lies in: commit, branch, and what is not committed.

A repository may come from anybody, and its configuration and attributes name commands. None of them
is run: no hooks, file monitors, pagers, text converters or other diff programs, and no filters but
those of the user's own configuration. Nothing is fetched, and no file of the repository is written.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from local_stack.results import Result
from local_stack.stores.places import redacted

MOST_DIFF_BYTES: Final = 1_000_000
"""As much of the diff is kept; its hash is that of the whole."""
_MOST_ANSWER_BYTES = 4_000_000
_MOST_NAMES = 100
_LONGEST_TEXT = 500
_WAIT_SECONDS = 10.0
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_RUNS_A_COMMAND = re.compile(r"filter\..*\.(?:clean|smudge|process)", re.DOTALL)
_KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CEILING_DIRECTORIES")
_ENVIRONMENT: Final = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "none",  # a partial clone would ask its remote for what it lacks
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}
_DIFF_OPTIONS: Final = (
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--full-index",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--ignore-submodules=dirty",
)
_OVERRIDDEN: Final = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "diff.external": "",
    "safe.bareRepository": "explicit",
}


@dataclass(frozen=True, slots=True)
class Code(Result):
    """The state of a repository; ``missing`` says why there is none, and the rest is empty.

    ``diff_sha256`` is of the whole difference between the commit and the tracked files ('' when
    there is none), ``diff`` its beginning as bytes; ``untracked`` names files that git neither
    knows nor ignores, the first hundred of ``n_untracked``.
    """

    commit: str = ""
    branch: str = ""
    repository: str = ""
    root: str = ""
    is_dirty: bool = False
    diff_sha256: str = ""
    diff_bytes: int = 0
    untracked: tuple[str, ...] = ()
    n_untracked: int = 0
    missing: str = ""
    diff: bytes = field(default=b"", repr=False)

    def to_dict(self) -> dict[str, object]:
        """Return everything but the text of the diff, which is a file of its own."""
        if self.missing:
            return {"missing": self.missing}
        names = (name for name in self.__dataclass_fields__ if name not in ("missing", "diff"))
        values = {name: getattr(self, name) for name in names}
        return {**values, "untracked": list(self.untracked)}


class _Unknown(Exception):
    """Git did not answer; the text is a sentence."""


def look(folder: Path) -> Code:
    """Return what git says of ``folder``; it takes 10 seconds a question at most."""
    program = shutil.which("git")
    if program is None or not Path(program).is_absolute():
        return Code(missing="git is not installed")
    try:
        return _looked(_Git(program, folder.resolve()))
    except (_Unknown, OSError) as error:
        return Code(missing=str(error)[:_LONGEST_TEXT])


def _looked(git: _Git) -> Code:
    root = git.line("rev-parse", "--show-toplevel")
    if not root or not git.folder.is_relative_to(Path(root).resolve()):
        raise _Unknown("the recipe lies in no git repository")
    git.disarm()
    commit = git.line("rev-parse", "--quiet", "--verify", "HEAD^{commit}", is_optional=True)
    if commit and not _COMMIT.fullmatch(commit):
        raise _Unknown("git told no commit")
    states = git.answer(
        "status", "--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules=dirty"
    )
    untracked = [text[3:] for text in states.split("\0") if text.startswith("?? ")]
    size, digest, diff = git.diff(commit) if commit else (0, "", b"")
    return Code(
        commit=commit,
        branch=git.line("symbolic-ref", "--quiet", "--short", "HEAD", is_optional=True),
        repository=redacted(git.line("config", "--get", "remote.origin.url", is_optional=True)),
        root=root,
        is_dirty=bool(states),
        diff_sha256=digest,
        diff_bytes=size,
        untracked=tuple(name[:_LONGEST_TEXT] for name in untracked[:_MOST_NAMES]),
        n_untracked=len(untracked),
        diff=diff,
    )


class _Git:
    """Questions to git about ``folder``, under a configuration that runs nothing."""

    def __init__(self, program: str, folder: Path) -> None:
        self.folder = folder
        self._words = [program, "--no-pager", "-C", str(folder)]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in _KEPT}
        self._environment = {**kept, **_ENVIRONMENT}
        self._override(_OVERRIDDEN)

    def disarm(self) -> None:
        """Switch off the filters that the repository's own configuration defines."""
        told = self.answer("config", "--list", "-z", "--show-scope").split("\0")
        found = dict.fromkeys(
            key
            for scope, setting in zip(told[::2], told[1::2], strict=False)
            if scope not in ("system", "global")
            and _RUNS_A_COMMAND.fullmatch(key := setting.partition("\n")[0])
        )
        filters = {key.rpartition(".")[0] for key in found}
        off = {f"{name}.{kind}": "" for name in filters for kind in ("clean", "smudge", "process")}
        required = {f"{name}.required": "false" for name in filters}
        self._override({**_OVERRIDDEN, **off, **required})

    def _override(self, settings: Mapping[str, str]) -> None:
        """Set what stands above every file of configuration; keys may hold any character."""
        self._environment["GIT_CONFIG_COUNT"] = str(len(settings))
        for place, (key, value) in enumerate(settings.items()):
            self._environment[f"GIT_CONFIG_KEY_{place}"] = key
            self._environment[f"GIT_CONFIG_VALUE_{place}"] = value

    def line(self, *words: str, is_optional: bool = False) -> str:
        """Return a one-line answer; an optional one is '' when git has none."""
        return self.answer(*words, is_optional=is_optional).rstrip("\n")[:_LONGEST_TEXT]

    def answer(self, *words: str, is_optional: bool = False) -> str:
        """Return what git answers as text.

        Raises
        ------
        _Unknown
            When git refuses, takes too long, or answers without end.
        """
        parts: list[bytes] = []
        size = 0
        with self._asked(words, is_optional=is_optional) as stream:
            while block := stream.read(65_536):
                parts.append(block)
                size += len(block)
                if size > _MOST_ANSWER_BYTES:
                    raise _Unknown(f"git {words[0]} told more than is read")
        return b"".join(parts).decode("utf-8", "replace")

    def diff(self, commit: str) -> tuple[int, str, bytes]:
        """Return size and hash of the difference from ``commit``, and its beginning."""
        words = ["diff", *_DIFF_OPTIONS, commit, "--"]
        digest, size, kept = hashlib.sha256(), 0, b""
        with self._asked(words) as stream:
            while block := stream.read(65_536):
                digest.update(block)
                kept += block[: MOST_DIFF_BYTES - size] if size < MOST_DIFF_BYTES else b""
                size += len(block)
        return size, digest.hexdigest() if size else "", kept

    @contextmanager
    def _asked(self, words: Sequence[str], *, is_optional: bool = False) -> Iterator[IO[bytes]]:
        process = subprocess.Popen(  # noqa: S603 - git itself, and words of our own
            [*self._words, *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            _kill(process)

        timer = threading.Timer(_WAIT_SECONDS, stop)
        timer.start()
        try:
            assert process.stdout is not None
            yield process.stdout
            code = process.wait()
        finally:
            timer.cancel()
            _kill(process)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if is_late.is_set():
            raise _Unknown(f"git {words[0]} took more than {_WAIT_SECONDS:g} seconds")
        if code and not is_optional:
            raise _Unknown(_refusal(words[0]))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill git and what it started, which may hold its output open."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _refusal(word: str) -> str:
    if word == "rev-parse":
        return "the recipe lies in no git repository that git takes"
    return f"git {word} failed"
