"""Claims: which workspaces keep something in a depot, so that no collector takes it from them.

``paceml/workspaces/<id>.json`` says that a workspace stores there, ``paceml/collecting.json``
that one of them is removing objects. Each side writes its own file before it looks for the
other's, so at least one of the two sees the other, whatever the clocks say.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator

from local_stack.errors import RefusedError, UnavailableError
from local_stack.results import now
from local_stack.stores.depots import Depot

_WORKSPACES = "paceml/workspaces"
_COLLECTING = "paceml/collecting.json"
_ABANDONED_SECONDS = 600.0
_OWN = re.compile(r"[0-9a-f]{1,64}")


def claim(place: Depot, workspace: str) -> None:
    """Say that ``workspace`` is about to store objects at ``place``.

    Raises
    ------
    UnavailableError
        While another workspace is removing objects there.
    """
    if not _OWN.fullmatch(workspace):  # a workspace without an id of its own
        workspace = "0"
    key = f"{_WORKSPACES}/{workspace}.json"
    if place.look(key) is None:
        place.write(key, json.dumps({"workspace": workspace, "at": now()}).encode())
    mark = place.look(_COLLECTING)
    if mark is None or _collector(place) == workspace:
        return  # our own collector keeps out of the way by a lock
    if place.moment() - mark.modified < _ABANDONED_SECONDS:
        raise UnavailableError(
            f"Another workspace is removing objects from {place.url}.",
            "Call again in some minutes.",
        )


@contextlib.contextmanager
def collecting(place: Depot, workspace: str) -> Iterator[Callable[[], None]]:
    """Say that objects are being removed; yield what repeats it before every batch.

    Raises
    ------
    RefusedError
        When another workspace stores at ``place`` too: what it refers to cannot be known.
    """

    def say() -> None:
        place.write(_COLLECTING, json.dumps({"workspace": workspace, "at": now()}).encode())

    say()
    try:
        refuse_sharers(place, workspace)
        yield say
    finally:
        place.remove(_COLLECTING)


def refuse_sharers(place: Depot, workspace: str) -> None:
    """Raise :class:`RefusedError` when another workspace stores at ``place`` as well."""
    names = (found.key.rpartition("/")[2] for found in place.names(_WORKSPACES))
    ids = (name.removesuffix(".json") for name in names if name.endswith(".json"))
    others = sorted(one for one in ids if one != workspace and _OWN.fullmatch(one))
    if others:
        raise RefusedError(
            f"{place.url} is also used by {len(others)} other workspaces, such as {others[0]}, "
            "so nobody can know what may go.",
            "Give each workspace a store of its own (storage.artifacts), or remove "
            f"{_WORKSPACES}/{others[0]}.json there when that workspace is no more.",
            code="shared_store",
        )


def _collector(place: Depot) -> str:
    try:
        return str(json.loads(place.read(_COLLECTING, 1000) or b"{}").get("workspace", ""))
    except (ValueError, AttributeError):
        return ""
