"""The workspace as notebooks and scripts use it: ``ws.data.profile("wine")``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from local_stack import environment
from local_stack.catalog import WORDS, commands
from local_stack.errors import nearest
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
        return functools.partial(command.call, self._workspace)

    def __dir__(self) -> list[str]:
        mine = [command for command in commands().values() if command.word == self._word]
        return [command.verb.replace("-", "_") for command in mine]


class Workspace(_Workspace):
    """A workspace whose parts of the life cycle are attributes: ``data``, ``runs``, ..."""

    def __getattr__(self, word: str) -> Verbs:
        """Return the verbs of ``word``."""
        if word not in WORDS:
            raise AttributeError(f"A workspace has no '{word}'. {nearest(word, WORDS)}")
        return Verbs(self, word)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *WORDS]
