"""The workspace as notebooks and scripts use it: ``ws.data.profile("wine")``.

What a verb returned may be given to the next one in place of its name::

    first, second = ws.runs.search("metrics.rmse < 1", limit=2)
    ws.runs.compare(first, second)
    ws.runs.tag(first, {"reviewed": "yes"})
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path, PurePath
from typing import Any

from local_stack import environment
from local_stack.catalog import WORDS, commands
from local_stack.command import Command, JsonText, Parameter, scalar
from local_stack.errors import InputError, nearest
from local_stack.workspace import Workspace as _Workspace

environment.prepare()


class Verbs:
    """The verbs of one word, bound to a workspace."""

    def __init__(self, workspace: _Workspace, word: str) -> None:
        self._workspace = workspace
        self._word = word

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        """Return the verb as a function of its own arguments."""
        known = commands()
        command = known.get(f"{self._word}.{verb}") or known.get(
            f"{self._word}.{verb.replace('_', '-')}"
        )
        if command is None:
            raise AttributeError(f"{self._word} has no verb '{verb}'. {nearest(verb, dir(self))}")
        return _bound(command, self._workspace)

    def __dir__(self) -> list[str]:
        mine = [command for command in commands().values() if command.word == self._word]
        return [command.verb.replace("-", "_") for command in mine]


def _bound(command: Command, workspace: _Workspace) -> Callable[..., Any]:
    """Return the verb of a workspace; where it takes several things, they may follow each other."""
    known = {parameter.name: parameter for parameter in command.parameters}
    positional = [parameter for parameter in known.values() if parameter.is_positional]
    signature = inspect.signature(command.call)
    own = signature.replace(parameters=list(signature.parameters.values())[1:])

    @functools.wraps(command.call)
    def verb(*given: Any, **options: Any) -> Any:
        values = list(given)
        if positional and positional[-1].is_repeated and len(given) > len(positional):
            values[len(positional) - 1 :] = [given[len(positional) - 1 :]]
        own.bind(*values, **options)  # a wrong call is the caller's TypeError, no defect of ours
        suited = map(_suited, values, positional)
        named = {key: _suited(value, known.get(key.rstrip("_"))) for key, value in options.items()}
        return command.call(workspace, *suited, **named)

    verb.__signature__ = own  # type: ignore[attr-defined]
    return verb


def _suited(value: Any, parameter: Parameter | None) -> Any:
    """Return a value as a verb takes it: a run by its id, a path as one, several as a tuple."""
    if parameter is None or (value is None and not parameter.is_required):
        return () if parameter is not None and parameter.is_repeated else value
    if not parameter.is_repeated:
        return _one(value, parameter)
    is_one = isinstance(value, str | Mapping) or not isinstance(value, Iterable)
    if isinstance(value, Mapping):
        return value
    return tuple(_one(item, parameter) for item in ([value] if is_one else value))


def _one(value: Any, parameter: Parameter) -> Any:
    """Return one value in the type that a verb declares, as a command line would give it.

    Raises
    ------
    InputError
        It is nothing of that type.
    """
    value, kind = getattr(value, "run_id", value), parameter.kind
    if kind is JsonText and isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if kind is JsonText and isinstance(value, str | list | tuple | int | float):
        return value
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if isinstance(value, date):
        value = value.isoformat()
    is_single = getattr(value, "ndim", None) == 0  # a number of NumPy's
    is_single = is_single or isinstance(value, str | PurePath | bool | int | float)
    if kind is int and is_single and not isinstance(value, bool) and hasattr(value, "__index__"):
        return operator.index(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is float and isinstance(value, float):
        return value
    if kind in (JsonText, Path) or not is_single:
        what = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
        wanted = "a JSON object" if kind is JsonText else what.get(kind, "a text")
        raise InputError(f"{parameter.name} needs {wanted}, not {type(value).__name__}.")
    return scalar(parameter, value)


class Workspace(_Workspace):
    """A workspace whose parts of the life cycle are attributes: ``data``, ``runs``, ..."""

    def __getattr__(self, word: str) -> Verbs:
        """Return the verbs of ``word``."""
        if word not in WORDS:
            raise AttributeError(f"A workspace has no '{word}'. {nearest(word, WORDS)}")
        return Verbs(self, word)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *WORDS]
