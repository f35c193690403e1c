"""What differs between two recipes or records, value by value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def changes(before: Any, after: Any) -> tuple[dict[str, Any], ...]:
    """Return each plain value that differs: ``key`` (dotted), ``from`` and ``to`` (None: absent).

    Examples
    --------
    >>> changes({"params": {"a": 1, "b": 2}}, {"params": {"a": 3, "b": 2}, "task": "regression"})
    ({'key': 'params.a', 'from': 1, 'to': 3}, {'key': 'task', 'from': None, 'to': 'regression'})
    """
    old, new = dict(_flat(before)), dict(_flat(after))
    return tuple(
        {"key": key, "from": old.get(key), "to": new.get(key)}
        for key in {**old, **new}
        if key not in old or key not in new or not _is_same(old[key], new[key])
    )


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        items = list(value.items())
    elif isinstance(value, list | tuple) and value:
        items = [(str(place), item) for place, item in enumerate(value, start=1)]
    elif path:
        yield path, value
        return
    else:
        return
    for key, item in items:
        yield from _flat(item, f"{path}.{key}" if path else str(key))


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two plain values are the same; true is not 1, and 1 is not 1.0."""
    return type(one) is type(other) and one == other
