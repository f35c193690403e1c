"""The command seam: one declaration makes a service verb into CLI, step, palette and event.

A verb is a plain function ``verb(workspace, positional..., *, option..., progress=silent)``
that returns a frozen :class:`local_stack.results.Result`::

    @command("data.show", example="paceml-tui data show wine --limit 5")
    def show(workspace: Workspace, name: str, *, limit: int = 20) -> DataRows:
        '''Show the first rows of a data version.

Parameters
----------
        name
            Data set, as NAME, NAME@VERSION or NAME@TAG.
        limit
            How many rows to return.
        '''

Positional parameters become command-line arguments, keyword-only ones become options
(``bool`` a flag, ``tuple[str, ...]`` a repeatable option, ``Literal`` a choice).
"""

from __future__ import annotations

import errno
import functools
import inspect
import keyword
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from local_stack import jobs
from local_stack.errors import (
    Cancelled,
    InputError,
    ReadOnlyError,
    StackError,
    UnavailableError,
    UnexpectedError,
    nearest,
)
from local_stack.progress import silent
from local_stack.stores import holds
from local_stack.workspace import Workspace, acting

Verb = TypeVar("Verb", bound=Callable[..., Any])


class Location(str):
    """A file path or an fsspec URL; a pipeline resolves it against its own folder."""

    __slots__ = ()


class JsonText(str):
    """A JSON object as text; a pipeline and Python may give the mapping itself."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a command, as every host (CLI, pipeline, palette) presents it."""

    name: str
    kind: type
    is_required: bool
    is_positional: bool
    is_repeated: bool
    default: Any
    choices: tuple[str, ...]
    help: str


@dataclass(frozen=True, slots=True)
class Command:
    """A declared verb. ``word`` and ``verb`` name the screen, the CLI words and the step."""

    name: str
    call: Callable[..., Any]
    writes: bool
    is_long: bool
    example: str
    reads: Callable[..., Any] | None

    @property
    def word(self) -> str:
        """Return the part of the life cycle, such as ``data``."""
        return self.name.partition(".")[0]

    @property
    def verb(self) -> str:
        """Return the act, such as ``profile``."""
        return self.name.partition(".")[2]

    @property
    def summary(self) -> str:
        """Return the first sentence of the docstring."""
        return (inspect.getdoc(self.call) or "").partition("\n")[0]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return the arguments in order, without the workspace and the progress callable."""
        return _parameters(self.call)

    def check(self, arguments: dict[str, Any]) -> None:
        """Raise :class:`InputError` for a name or a missing value that the verb does not take."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in arguments:
            if name not in known:
                raise InputError(
                    f"'{name}' is not a parameter of {self.name}.",
                    nearest(name, known) or f"It takes: {', '.join(known)}.",
                )
        missing = [n for n, p in known.items() if p.is_required and n not in arguments]
        if missing:
            raise InputError(f"{self.name} needs {', '.join(missing)}.", f"Example: {self.example}")

    def coerce(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return ``arguments`` from a file or a command line in the types the verb declares."""
        self.check(arguments)
        known = {parameter.name: parameter for parameter in self.parameters}
        return {name: _coerce(known[name], value) for name, value in arguments.items()}


_LARGEST = 2**53
"""Bound of numbers in arguments: what JSON and DuckDB both hold exactly."""

COMMANDS: dict[str, Command] = {}
"""Every declared command by name; complete once :mod:`local_stack.catalog` is imported."""


def command(
    name: str,
    *,
    writes: bool = False,
    is_long: bool = False,
    example: str = "",
    reads: Callable[..., Any] | None = None,
) -> Callable[[Verb], Verb]:
    """Declare a service verb.

    ``writes`` verbs are refused on a read-only workspace. ``is_long`` verbs (more than about
    a second) are run by the app as a job in a process of their own. ``reads(workspace,
    arguments)`` returns plain values that identify everything the verb's result depends on
    besides its arguments and files; a pipeline runs verbs without it every time.
    """

    def declare(function: Verb) -> Verb:
        @functools.wraps(function)
        def guarded(workspace: Workspace, *args: Any, **kwargs: Any) -> Any:
            if writes and workspace.is_readonly:
                raise ReadOnlyError(
                    f"{name} writes, and the workspace is opened read-only.",
                    "Call it again without --readonly.",
                )
            kwargs = {f"{k}_" if keyword.iskeyword(k) else k: v for k, v in kwargs.items()}
            with _naming(name), _explaining(workspace), holds.scope():
                if is_long:
                    return _as_job(name, function, workspace, args, kwargs)
                return function(workspace, *args, **kwargs)

        COMMANDS[name] = Command(name, guarded, writes, is_long, example, reads)
        return cast(Verb, guarded)

    return declare


def find(name: str) -> Command:
    """Return the command called ``name``; raise :class:`InputError` with the nearest one."""
    try:
        return COMMANDS[name]
    except KeyError:
        raise InputError(
            f"'{name}' is not a command.",
            nearest(name, COMMANDS) or "Call 'paceml-tui --help' for the list.",
        ) from None


def pairs(texts: Iterable[str], option: str = "--set", example: str = "trials=5") -> dict[str, str]:
    """Return the ``key=value`` texts of an option as a mapping."""
    found: dict[str, str] = {}
    for text in texts:
        key, mark, value = text.partition("=")
        if not mark or not key:
            raise InputError(
                f"{option} needs key=value, not '{text}'.", f"Example: {option} {example}"
            )
        found[key] = value
    return found


def _as_job(
    name: str,
    function: Callable[..., Any],
    workspace: Workspace,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Run the verb as a job, so that every app of the workspace sees it at work."""
    arguments = dict(inspect.signature(function).bind(workspace, *args, **kwargs).arguments)
    host = arguments.pop("progress", silent)
    arguments.pop(next(iter(arguments)))
    with jobs.tracked(workspace, name, arguments, host) as (progress, folder):
        with _explaining(workspace):
            try:
                result = function(workspace, *args, **{**kwargs, "progress": progress})
            except StackError as error:
                if error.result is not None:
                    jobs.save_result(folder, error.result)
                raise
        jobs.save_result(folder, result)
        return result


@contextmanager
def _naming(name: str) -> Iterator[None]:
    if acting.get():  # a verb called by another verb belongs to the outer act
        yield
        return
    token = acting.set(name)
    try:
        yield
    finally:
        acting.reset(token)


@contextmanager
def _explaining(workspace: Workspace) -> Iterator[None]:
    """Let errors of our own pass; give every other exception a sentence and keep its cause."""
    try:
        yield
    except StackError:
        raise
    except KeyboardInterrupt:
        raise Cancelled() from None
    except OSError as error:
        raise _from_system(error, workspace) from error
    except MemoryError as error:
        raise UnavailableError(
            "The memory of this machine was not enough.", "Take fewer rows or columns."
        ) from error
    except Exception as error:
        raise unexpected(error, workspace) from error


_DISK = {
    errno.ENOSPC: "The disk is full.",
    errno.EDQUOT: "The disk quota is used up.",
    errno.EFBIG: "The file-size limit of this process is reached.",
    errno.EROFS: "The file system is read-only.",
}


_PATH = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)


def _from_system(error: OSError, workspace: Workspace) -> StackError:
    if error.errno in _DISK:
        return UnavailableError(
            _DISK[error.errno],
            "Nothing was recorded as done; free some space and call again.",
            details={"path": str(error.filename or "")},
        )
    if isinstance(error, _PATH) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        return InputError(
            f"{error.filename or 'A file'}: {error.strerror or error}.", "Check the path."
        )
    return unexpected(error, workspace)


def unexpected(error: BaseException, workspace: Workspace) -> UnexpectedError:
    """Log the traceback as an incident and return the error that names it."""
    incident, path = workspace.log_incident(error)
    return UnexpectedError(
        f"{type(error).__name__}: {error}",
        f"This is a defect in PACE-ML. The traceback is in {path}.",
        details={"incident": incident},
    )


def _parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    hints = _hints(inspect.unwrap(function))
    texts = _documented(inspect.getdoc(function) or "")
    return tuple(
        _parameter(parameter, hints[name], texts.get(name, ""))
        for name, parameter in list(inspect.signature(function).parameters.items())[1:]
        if name != "progress"
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Resolve the parameters' annotations, but not the result's: its module may be heavy."""
    taken = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    holder = types.SimpleNamespace(__annotations__=taken)
    return typing.get_type_hints(holder, globalns=vars(inspect.getmodule(function)))


def _parameter(parameter: inspect.Parameter, hint: Any, text: str) -> Parameter:
    hint, is_repeated, choices = _unwrap(hint)
    is_required = parameter.default is parameter.empty and (
        parameter.kind is not parameter.VAR_POSITIONAL
    )
    return Parameter(
        name=parameter.name.rstrip("_"),  # from_ in Python is --from elsewhere
        kind=hint,
        is_required=is_required,
        is_positional=parameter.kind is not parameter.KEYWORD_ONLY,
        is_repeated=is_repeated,
        default=None if is_required else parameter.default,
        choices=choices,
        help=text,
    )


def _unwrap(hint: Any) -> tuple[type, bool, tuple[str, ...]]:
    """Return (scalar, is repeated, choices) of ``T | None``, ``tuple[T, ...]``, ``Literal``."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
    is_repeated = typing.get_origin(hint) is tuple
    if is_repeated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is Literal:
        return str, is_repeated, tuple(map(str, typing.get_args(hint)))
    return hint, is_repeated, ()


_ENTRY = re.compile(r"^(\w+(?:, \w+)*)(?: : .*)?$")


def _documented(doc: str) -> dict[str, str]:
    """Return the text of each entry under numpydoc's ``Parameters`` heading."""
    _, _, section = doc.partition("Parameters\n----------\n")
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if set(line) == {"-"} and names:  # the previous line was the next heading
            for name in names:
                texts.pop(name, None)
            break
        entry = _ENTRY.match(line)
        if entry:
            names = entry[1].split(", ")  # several may share one text
            texts |= dict.fromkeys(names, "")
        elif line.strip():
            texts |= {name: f"{texts[name]} {line.strip()}".strip() for name in names}
    return texts


def _coerce(parameter: Parameter, value: Any) -> Any:
    if parameter.is_repeated:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(scalar(parameter, item) for item in items)
    return value if value is None else scalar(parameter, value)


def scalar(parameter: Parameter, value: Any) -> Any:
    """Return one value in the type that a parameter declares; raise where it is none of it."""
    text = str(value)
    if parameter.choices and text not in parameter.choices:
        raise InputError(
            f"{parameter.name} cannot be '{text}'.",
            nearest(text, parameter.choices) or f"One of: {', '.join(parameter.choices)}.",
        )
    if parameter.kind is bool:
        return _truth(parameter.name, value)
    if parameter.kind in (int, float):
        try:
            number = parameter.kind(text)
            if not abs(number) < _LARGEST:
                raise ValueError
            return number
        except ValueError:
            noun = "a whole number" if parameter.kind is int else "a number"
            raise InputError(f"{parameter.name} needs {noun}, not '{text}'.") from None
    if isinstance(value, dict) and parameter.kind is JsonText:
        return value
    if isinstance(value, dict | list):
        raise InputError(f"{parameter.name} needs one value, not {type(value).__name__}.")
    return parameter.kind(text) if parameter.kind is not object else value


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        return str(value).lower() in ("true", "yes", "on", "1")
    raise InputError(f"{name} needs true or false, not '{value}'.")
