"""The command line: every declared command, and the few words that stand beside them.

stdout belongs to :mod:`paceml_tui.printing` (results) and stderr to
:mod:`paceml_tui.narration` (progress and errors); nothing is printed anywhere else.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from local_stack import environment
from local_stack.errors import Cancelled, InputError, NotFoundError, StackError, nearest
from paceml_tui.opening import Call, open_workspace

if TYPE_CHECKING:
    from local_stack.command import Command, Parameter

_VALUED = ("--workspace", "--batch", "--report")
_FLAGS = ("--json", "--readonly", "--detach")
_ALIASES = {"doctor": "doctor.check"}
_USAGE = """\
Usage: paceml-tui [WORKSPACE]                  open the app
       paceml-tui --batch PIPELINE.yaml        run a pipeline [--set k=v] [--report DIR] [--json]
       paceml-tui WORD VERB [ARGS] [--json] [--workspace DIR] [--readonly]
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the program and leave with its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    environment.prepare()
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter gets its code
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    name, is_json = "paceml-tui", "--json" in words
    try:
        call = parse(words)
        name = _name_of(call)
        code = _run(call)
    except BaseException as error:  # noqa: BLE001 - the seam: every end becomes an exit code
        code = _failed(error, name, is_json)
    _leave(code)


def parse(words: Sequence[str]) -> Call:
    """Take the options that may stand anywhere out of ``words``."""
    call = Call([])
    queue = list(words)
    while queue:
        word = queue.pop(0)
        option, mark, value = word.partition("=")
        if word == "--":
            call.words += [word, *queue]
            break
        if option in _VALUED:
            if not mark and not queue:
                raise InputError(f"{option} needs a value.", _USAGE)
            setattr(call, option[2:], value if mark else queue.pop(0))
        elif word in _FLAGS:
            setattr(
                call,
                {"--json": "is_json", "--readonly": "is_readonly"}.get(word, "is_detached"),
                True,
            )
        else:
            call.words.append(word)
    if call.batch is not None:
        call.sets, rest = _take_sets(call.words)
        if rest:
            raise InputError(f"'{rest[0]}' does not go with --batch.", _USAGE)
    return call


def _take_sets(words: Sequence[str]) -> tuple[list[str], list[str]]:
    sets, rest, queue = [], [], list(words)
    while queue:
        word = queue.pop(0)
        if word == "--set" and queue:
            sets.append(queue.pop(0))
        elif word.startswith("--set="):
            sets.append(word.removeprefix("--set="))
        else:
            rest.append(word)
    return sets, rest


def _run(call: Call) -> int:
    if call.batch is not None:
        from paceml_tui import batch

        return batch.run(call)
    first = call.words[0] if call.words else ""
    if first in ("--help", "-h", "help"):
        return _print(_help())
    if first == "--version":
        return _print(f"paceml-tui {_version()}")
    if first == "init":
        return _init(call)
    if first == "demo":
        return _demo(call)
    if first in _groups() or first in _ALIASES:
        return _command(call)
    if first.startswith("-") or (first and not Path(first).exists()):
        raise InputError(
            f"'{first}' is neither a command nor a folder.",
            nearest(first, [*_groups(), *_ALIASES, "init", "demo"]) or "Try: paceml-tui --help",
        )
    return _app(call)


def _command(call: Call) -> int:
    from local_stack.catalog import VERBS, find

    word = call.words[0]
    if word in _ALIASES:
        name, rest = _ALIASES[word], call.words[1:]
    else:
        if len(call.words) < 2 or call.words[1] in ("--help", "-h"):
            return _print(_word_help(word))
        verbs = list(VERBS.get(word, ()))
        if call.words[1] not in verbs:
            verbs = [c.verb for c in _catalog().values() if c.word == word]
        if call.words[1] not in verbs:
            raise InputError(
                f"{word} has no verb '{call.words[1]}'.",
                nearest(call.words[1], verbs) or f"Its verbs are: {', '.join(verbs)}.",
            )
        name, rest = f"{word}.{call.words[1]}", call.words[2:]
    verb = find(name)
    environment.suit_threads(name)
    given = _arguments(verb, rest)
    return 0 if given is None else execute(call, verb.name, given)


def execute(call: Call, name: str, given: dict[str, Any]) -> int:
    """Run one command in the workspace of ``call`` and print what it returns."""
    from local_stack import jobs
    from local_stack.catalog import call as invoke
    from local_stack.command import find
    from paceml_tui import narration, printing

    with open_workspace(call) as workspace:
        if call.is_detached and find(name).is_long:
            result: Any = jobs.show(workspace, jobs.spawn(workspace, name, given, is_warm=False))
        else:
            with narration.progress() as progress:
                result = invoke(workspace, name, given, progress=progress)
        if workspace.metadata.damage is not None:
            narration.say(
                f"Warning: {workspace.metadata.damage.message} What follows it is unseen."
            )
        printing.result(name, result, is_json=call.is_json)
    return 0


def _arguments(verb: Command, words: Sequence[str]) -> dict[str, Any] | None:
    """Parse the command's own words with click; None when it only printed its help."""
    from local_stack.errors import InputError as Invalid

    spoken = verb.name.replace(".", " ") if verb.name not in _ALIASES.values() else verb.word
    parser = click.Command(
        f"paceml-tui {spoken}",
        params=[_option(parameter) for parameter in verb.parameters],
        help=verb.summary,
        epilog=f"Example: {verb.example}" if verb.example else None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    try:
        context = parser.make_context(parser.name, list(words))
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        hint = f"Example: {verb.example}" if verb.example else "Try --help."
        raise Invalid(error.format_message().rstrip(".") + ".", hint) from None
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in context.params.items()
        if context.get_parameter_source(key) is not click.core.ParameterSource.DEFAULT
    }


def _option(parameter: Parameter) -> click.Parameter:
    kinds: dict[type, Any] = {int: click.INT, float: click.FLOAT}
    kind: Any = kinds.get(parameter.kind, click.STRING)
    if parameter.choices:
        kind = click.Choice(parameter.choices)
    if parameter.is_positional:
        return click.Argument(
            [parameter.name],
            type=kind,
            required=parameter.is_required,
            default=parameter.default,
            nargs=-1 if parameter.is_repeated else 1,
        )
    flag = f"--{parameter.name.replace('_', '-')}"
    if parameter.kind is bool:
        return click.Option([flag, parameter.name], is_flag=True, help=parameter.help)
    return click.Option(
        [flag, parameter.name],
        type=kind,
        multiple=parameter.is_repeated,
        required=parameter.is_required,
        help=parameter.help,
    )


def _init(call: Call) -> int:
    from local_stack.workspace import Workspace
    from paceml_tui import printing

    parser = click.Command(
        "paceml-tui init",
        params=[
            click.Argument(["folder"], required=False, default="."),
            click.Option(["--artifacts"], default="", help="Folder or fsspec URL of artefacts."),
            click.Option(["--tracking-uri"], default="", help="MLflow tracking URI to mirror to."),
        ],
        help="Make a folder a workspace.",
        epilog="Example: paceml-tui init models --artifacts s3://bucket/models",
    )
    given = _parsed(parser, call.words[1:])
    if given is None:
        return 0
    folder = Path(given.pop("folder"))
    with Workspace.create(folder, **given) as workspace:
        facts = {
            "workspace": str(workspace.root),
            "id": workspace.identity,
            "artifacts": workspace.artifacts.url,
            "tracking_uri": workspace.tracking.uri,
        }
    printing.result("init", facts, is_json=call.is_json)
    return 0


def _demo(call: Call) -> int:
    from paceml_tui import demo

    parser = click.Command(
        "paceml-tui demo",
        params=[click.Argument(["folder"], required=False, default="paceml-demo")],
        help="Make a workspace with sample data and run the whole life cycle on it.",
        epilog="Example: paceml-tui demo",
    )
    given = _parsed(parser, call.words[1:])
    return 0 if given is None else demo.run(Path(given["folder"]), is_json=call.is_json)


def _parsed(parser: click.Command, words: Sequence[str]) -> dict[str, Any] | None:
    try:
        return parser.make_context(parser.name, list(words)).params
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        raise InputError(error.format_message(), f"Try: {parser.name} --help") from None


def _app(call: Call) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise InputError(
            "This is not a terminal, so the app cannot open.",
            f"Without a terminal, use a command or --batch.\n{_USAGE}",
        )
    from local_stack.workspace import find_root

    place = call.words[0] if call.words else call.workspace
    root = find_root(Path(place or os.environ.get("PACEML_WORKSPACE") or ".").absolute())
    if root is None and place:
        raise NotFoundError(f"{place} is not a workspace.", f"Make it one: paceml-tui init {place}")
    from paceml_tui.app import run

    if root is not None:
        environment.prepare(root / "cache" / "tmp")
    return run(root, readonly=call.is_readonly)


def _catalog() -> dict[str, Command]:
    from local_stack.catalog import commands

    return commands()


def _groups() -> tuple[str, ...]:
    from local_stack.catalog import WORDS

    return (*WORDS, "jobs")


def _help() -> str:
    lines = [_USAGE]
    commands = _catalog().values()
    for word in _groups():
        lines += [f"  {word} {c.verb:<12} {c.summary}" for c in commands if c.word == word]
    lines += ["  init [DIR]       Make a folder a workspace."]
    lines += ["  demo [DIR]       Run the whole life cycle on sample data in a new workspace."]
    lines += ["  doctor           Look for damage and repair it (--repair, --reindex)."]
    lines += ["", "Add --help to any of them. Exit codes: 0 done, 1 unexpected, 2 bad input,"]
    return "\n".join([*lines, "3 busy or down, 4 a gate or check said no, 130 cancelled."])


def _word_help(word: str) -> str:
    verbs = [c for c in _catalog().values() if c.word == word]
    lines = [f"Usage: paceml-tui {word} VERB [ARGS]", ""]
    lines += [f"  {c.verb:<12} {c.summary}" for c in verbs]
    return "\n".join([*lines, "", f"Example: {verbs[0].example}"])


def _name_of(call: Call) -> str:
    if call.batch is not None:
        return "batch"
    words = [word for word in call.words[:2] if not word.startswith("-")]
    if not words:
        return "paceml-tui"
    if words[0] in _groups():
        return ".".join(words)
    return _ALIASES.get(words[0], words[0])


def _failed(error: BaseException, name: str, is_json: bool) -> int:
    from paceml_tui import narration, printing

    if isinstance(error, KeyboardInterrupt):
        error = Cancelled()
    if isinstance(error, BrokenPipeError):  # the reader of the output went away
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        return 0
    if isinstance(error, SystemExit):
        return int(error.code or 0)
    if isinstance(error, OSError) and error.filename:
        error = InputError(f"{error.filename}: {error.strerror}.", "Check the path.")
    if not isinstance(error, StackError):
        error = _unexpected(error)
    if is_json:
        printing.failure(name, error)
    else:
        if error.result is not None:
            printing.result(name, error.result, is_json=False)
        narration.error(error)
    return error.exit_code


def _unexpected(error: BaseException) -> StackError:
    """Keep the traceback of a defect outside every workspace, and name its file."""
    import tempfile
    import traceback

    from local_stack.errors import UnexpectedError

    with tempfile.NamedTemporaryFile(
        "w", prefix="paceml-incident-", suffix=".txt", delete=False, encoding="utf-8"
    ) as stream:
        stream.write("".join(traceback.format_exception(error)))
    return UnexpectedError(
        f"{type(error).__name__}: {error}",
        f"This is a defect in PACE-ML. The traceback is in {stream.name}.",
        details={"incident": Path(stream.name).stem.rpartition("-")[2]},
    )


def _terminate(signum: int, frame: object) -> None:
    raise Cancelled("The program was asked to stop.")


def _print(text: str) -> int:
    from paceml_tui import printing

    printing.text(text)
    return 0


def _version() -> str:
    from paceml_tui import __version__

    return __version__


def _leave(code: int) -> NoReturn:
    flushes: list[Callable[[], None]] = [sys.stdout.flush, sys.stderr.flush]
    for flush in flushes:
        try:
            flush()
        except OSError:
            code = code or 1
    sys.exit(code)
