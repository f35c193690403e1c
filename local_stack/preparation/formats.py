"""The stored form of a preparation, and the reading of its older form.

Format 2 is a list of operations on named columns. Format 1, which models of earlier versions
hold, was a chain of operations for each feature; it is read as operations.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from local_stack.preparation.categories import Codes, OneHot
from local_stack.preparation.dates import Part
from local_stack.preparation.numbers import Clip, Fill, Scale
from local_stack.preparation.operations import MAX_KEYS, Operation, Same, read_operation

MAX_OPERATIONS = 100_000
_MAX_CHAIN = 100


def read_operations(data: Any, names: Sequence[str]) -> tuple[Operation, ...]:
    """Return the operations of a stored preparation of either format.

    Parameters
    ----------
    names
        The raw columns.

    Raises
    ------
    ValueError, TypeError, KeyError
        Something is not what it must be.
    """
    if data["format"] == 1:
        return tuple(_chains(data["features"], names))
    if data["format"] != 2:
        raise ValueError("format")
    return tuple(read_operation(item) for item in bounded(data["operations"], MAX_OPERATIONS))


def bounded(items: Any, limit: int) -> list[Any]:
    """Return a list of at most ``limit`` items, or raise."""
    if type(items) is not list:
        raise TypeError("not a list")
    if len(items) > limit:
        raise ValueError("too many members")
    return items


def _chains(features: Any, names: Sequence[str]) -> Iterator[Operation]:
    """Yield the operations of chains; raw columns get names that no feature can take."""
    taken = {*names, *(feature["name"] for feature in features)}
    fresh = {}
    for name in names:
        prefix = next(p for n in itertools.count() if (p := f"raw{n} {name}") not in taken)
        taken.add(prefix)
        fresh[name] = prefix
        yield Same((name,), (prefix,))
    for feature in features:
        read, written = fresh[feature["column"]], (feature["name"],)
        yield Same((read,), written)
        for item in bounded(feature["ops"], _MAX_CHAIN):
            operation = _link(item, written)
            operation.check()
            yield operation


def _link(item: Any, names: tuple[str, ...]) -> Operation:
    """Return one operation of a chain."""
    word = item["op"]
    if word == "fill":
        return Fill(names, names, item["value"])
    if word == "codes":
        categories = tuple(bounded(item["categories"], MAX_KEYS))
        return Codes(names, names, categories, item["is_native"])
    if word == "one_hot":
        return OneHot(names, names, (item["category"],), False)
    if word == "part":
        return Part(names, names, item["part"], item["origin"])
    if word == "clip":
        return Clip(names, names, item["lower"], item["upper"])
    if word == "scale":
        return Scale(names, names, item["centre"], item["scale"])
    raise ValueError("operation")
