"""The command seam: one declaration, and from it arguments, guards, events and sentences."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from local_stack import catalog, jobs
from local_stack.command import COMMANDS, Location, command, find, pairs
from local_stack.errors import (
    Cancelled,
    InputError,
    ReadOnlyError,
    StackError,
    UnavailableError,
    UnexpectedError,
)
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, plain
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace, acting

HERE = Location("here")


@dataclass(frozen=True, slots=True)
class Echo(Result):
    given: dict[str, object]


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    """What a test declares is gone after it."""
    before = catalog.commands()
    yield
    COMMANDS.clear()
    COMMANDS.update(before)


@pytest.fixture
def echo():
    @command("test.echo", example="paceml-tui test echo x")
    def echo(
        workspace: Workspace,
        name: str,
        source: Location = HERE,
        *,
        limit: int = 20,
        share: float | None = None,
        kind: Literal["slow", "fast"] = "slow",
        keys: tuple[str, ...] = (),
        sizes: tuple[int, ...] = (),
        force: bool = False,
        progress: Progress = silent,
    ) -> Echo:
        """Return what was given.

        A second paragraph.

        Parameters
        ----------
        name
            What it is called,
            on two lines.
        limit
            How many.

        Raises
        ------
        InputError
            Never.
        """
        return Echo(
            {"name": name, "limit": limit, "share": share, "kind": kind, "keys": keys}
            | {"sizes": sizes, "force": force, "source": source}
        )

    return find("test.echo")


def test_arguments_come_from_the_signature_and_the_docstring(echo):
    assert (echo.word, echo.verb, echo.summary) == ("test", "echo", "Return what was given.")
    found = {parameter.name: parameter for parameter in echo.parameters}
    assert list(found) == ["name", "source", "limit", "share", "kind", "keys", "sizes", "force"]
    assert [p.name for p in echo.parameters if p.is_positional] == ["name", "source"]
    assert [p.name for p in echo.parameters if p.is_required] == ["name"]
    assert [p.name for p in echo.parameters if p.is_repeated] == ["keys", "sizes"]
    assert found["kind"].choices == ("slow", "fast")
    assert [found[n].kind for n in ("name", "source", "limit", "share", "sizes", "force")] == [
        str,
        Location,
        int,
        float,
        int,
        bool,
    ]
    assert (found["limit"].default, found["name"].default) == (20, None)
    assert found["name"].help == "What it is called, on two lines."
    assert (found["limit"].help, found["force"].help) == ("How many.", "")


def test_text_becomes_the_declared_types(echo):
    given = {"name": 5, "limit": "7", "share": "0.5", "kind": "fast", "keys": ["a", 2]}
    given |= {"sizes": "3", "force": "yes", "source": "x.csv"}
    values = echo.coerce(given)
    assert values == {
        "name": "5",
        "limit": 7,
        "share": 0.5,
        "kind": "fast",
        "keys": ("a", "2"),
        "sizes": (3,),
        "force": True,
        "source": "x.csv",
    }
    assert isinstance(values["source"], Location)
    assert echo.coerce({"name": "x", "share": None})["share"] is None


@pytest.mark.parametrize(
    ("given", "told", "hint"),
    [
        ({}, "needs name", "paceml-tui test echo x"),
        ({"name": "x", "limt": 1}, "'limt' is not a parameter", "Did you mean 'limit'?"),
        ({"name": "x", "zzz": 1}, "'zzz' is not a parameter", "It takes: name"),
        ({"name": "x", "limit": "many"}, "limit needs a whole number, not 'many'", ""),
        ({"name": "x", "limit": "1.5"}, "limit needs a whole number", ""),
        ({"name": "x", "limit": "9" * 5000}, "limit needs a whole number", ""),
        ({"name": "x", "share": "half"}, "share needs a number", ""),
        ({"name": "x", "kind": "fest"}, "kind cannot be 'fest'", "Did you mean 'fast'?"),
        ({"name": "x", "force": "maybe"}, "force needs true or false", ""),
        ({"name": ["x"]}, "name needs one value", ""),
        ({"name": {"a": 1}}, "name needs one value", ""),
        ({"name": "x", "sizes": ["1", "b"]}, "sizes needs a whole number, not 'b'", ""),
    ],
)
def test_what_does_not_fit_is_told(echo, given, told, hint):
    with pytest.raises(InputError) as caught:
        echo.coerce(given)
    assert told in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_calling_by_name_is_calling_the_verb(echo, workspace):
    found = catalog.call(workspace, "test.echo", {"name": "x", "limit": "3"})
    assert found.to_dict()["given"]["limit"] == 3
    with pytest.raises(InputError, match=r"'test\.ecko' is not a command") as caught:
        catalog.call(workspace, "test.ecko", {})
    assert caught.value.hint == "Did you mean 'test.echo'?"


def test_pairs_of_set():
    assert pairs(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for text in ("a", "=1"):
        with pytest.raises(InputError, match="key=value"):
            pairs([text])


def failing(error: BaseException, *, is_long: bool = False):
    @command("test.fail", is_long=is_long, example="paceml-tui test fail")
    def fail(workspace: Workspace, *, progress: Progress = silent) -> Echo:
        """Fail."""
        raise error

    return fail


@pytest.mark.parametrize("is_long", [False, True])
def test_a_defect_becomes_an_incident_whose_traceback_is_kept(workspace, is_long):
    cause = ZeroDivisionError("by zero")
    with pytest.raises(UnexpectedError) as caught:
        failing(cause, is_long=is_long)(workspace)
    error = caught.value
    assert (error.exit_code, error.__cause__) == (1, cause)
    assert error.message == "ZeroDivisionError: by zero"
    log = workspace.root / "logs" / f"incident-{error.details['incident']}.txt"
    assert str(log) in error.hint
    assert "Traceback" in log.read_text()
    assert "test.fail" in log.read_text()
    assert len(list(log.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (InputError("no such thing"), InputError, "no such thing"),
        (OSError(errno.ENOSPC, "full", "/x"), UnavailableError, "The disk is full."),
        (OSError(errno.EFBIG, "big"), UnavailableError, "file-size limit"),
        (OSError(errno.EDQUOT, "quota"), UnavailableError, "quota"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x/y"), InputError, "/x/y"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x"), InputError, "/x"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), InputError, "/x"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/x"), InputError, "too long"),
        (OSError(errno.EIO, "Input/output error"), UnexpectedError, "Input/output"),
        (MemoryError(), UnavailableError, "memory"),
        (KeyboardInterrupt(), Cancelled, "Cancelled"),
    ],
)
def test_every_failure_is_a_sentence_with_its_cause(workspace, error, kind, told):
    with pytest.raises(StackError) as caught:
        failing(error)(workspace)
    assert type(caught.value) is kind
    assert told in caught.value.message
    if not isinstance(error, StackError | KeyboardInterrupt):
        assert caught.value.__cause__ is error


def test_a_disk_that_cannot_hold_the_job_is_a_sentence_too(workspace, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(jobs, "_write", refuse)
    with pytest.raises(UnavailableError, match="disk is full"):
        failing(InputError("x"), is_long=True)(workspace)


def test_a_writing_verb_is_refused_on_a_read_only_workspace(workspace):
    called = []

    @command("test.write", writes=True, example="paceml-tui test write")
    def write(workspace: Workspace, *, progress: Progress = silent) -> Echo:
        """Write."""
        called.append(1)
        return Echo({})

    write(workspace)
    with (
        Workspace.open(workspace.root, readonly=True) as reader,
        pytest.raises(ReadOnlyError) as caught,
    ):
        write(reader)
    assert called == [1]
    assert "test.write" in caught.value.message
    assert "--readonly" in caught.value.hint


def test_events_name_the_outermost_command(workspace):
    @command("test.inner", writes=True, example="paceml-tui test inner")
    def inner(workspace: Workspace, *, progress: Progress = silent) -> Echo:
        """Write an event."""
        workspace.append(lambda _: Draft("test", "s", {}))
        return Echo({})

    @command("test.outer", writes=True, example="paceml-tui test outer")
    def outer(workspace: Workspace, *, progress: Progress = silent) -> Echo:
        """Call another verb."""
        return inner(workspace)

    inner(workspace)
    outer(workspace)
    rows = workspace.query("SELECT command FROM events WHERE kind = 'test' ORDER BY seq")
    assert [row["command"] for row in rows] == ["test.inner", "test.outer"]
    assert acting.get() == ""


def test_a_long_verb_is_a_job_that_the_host_can_stop(workspace):
    @command("test.long", is_long=True, example="paceml-tui test long")
    def long(workspace: Workspace, name: str, *, progress: Progress = silent) -> Echo:
        """Work for long."""
        progress(Step("Working", 1, 2))
        return Echo({"job": jobs.current()})

    steps: list[Step] = []
    job = long(workspace, "x", progress=steps.append).given["job"]
    found = jobs.show(workspace, job)
    assert (found.command, found.arguments, found.status) == (
        "test.long",
        {"name": "x"},
        "finished",
    )
    assert (found.label, found.done, found.total) == ("Working", 1, 2)
    assert jobs.result(workspace, job) == {"given": {"job": job}}
    assert steps == [Step("Working", 1, 2)]

    def stop(step: Step) -> None:
        raise Cancelled()

    with pytest.raises(Cancelled):
        long(workspace, "x", progress=stop)
    assert [j.status for j in jobs.listed(workspace)] == ["cancelled", "finished"]
    rows = workspace.query("SELECT status FROM jobs ORDER BY job")
    assert [row["status"] for row in rows] == ["finished", "cancelled"]


def test_every_declared_command_explains_itself():
    poor = []
    for name, declared in catalog.commands().items():
        if not declared.summary.endswith(".") or not declared.example.startswith("paceml-tui"):
            poor.append(name)
        poor += [f"{name} {p.name}" for p in declared.parameters if not p.help]
    assert poor == []


def test_every_word_has_verbs_and_every_verb_a_word():
    words = {declared.word for declared in catalog.commands().values()}
    assert set(catalog.WORDS) <= words
    assert words <= {*catalog.WORDS, "jobs", "doctor", "pipeline", "backup", "restore"}


def test_results_are_plain_json(workspace):
    import json

    found = catalog.call(workspace, "audit.log", {})
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["total"] == 1
    assert isinstance(Path(workspace.root), Path)


def test_a_time_of_an_early_year_is_written_so_that_it_is_read_again():
    for moment in (datetime(1, 1, 1), datetime(987, 6, 5, 4, 3, 2, 1), datetime(2026, 1, 31)):
        assert datetime.fromisoformat(plain(moment)) == moment.replace(tzinfo=UTC)
        assert len(plain(moment)) == len("2026-01-31T00:00:00.000000Z")


@pytest.mark.parametrize("word", catalog.VERBS)
def test_the_table_of_verbs_names_the_module_that_declares_each(word):
    verbs = catalog.VERBS[word]
    declared = {c.verb: c for c in catalog.commands().values() if c.word == word}
    assert list(declared) == list(verbs)
    for verb, module in verbs.items():
        call = declared[verb].call
        assert call.__module__ == f"local_stack.{word}.{module}", verb


@pytest.mark.parametrize(
    ("command", "needed", "other"),
    [("data.list", "data.versions", "data.adding"), ("runs.search", "runs.records", "runs.train")],
)
def test_one_command_of_a_word_imports_no_other(command, needed, other):
    code = (
        f"import sys\nfrom local_stack.catalog import find\nfind('{command}')\n"
        "print([m for m in sys.modules if m.startswith('local_stack.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"local_stack.{needed}'" in done.stdout
    assert f"local_stack.{other}'" not in done.stdout
