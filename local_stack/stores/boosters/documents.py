"""JSON of a booster, held to one form so that no other reader can understand it otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from local_stack.stores.model_guards import refuse

if TYPE_CHECKING:
    import numpy as np

NUMBER: Final = r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?"
MANY_CELLS: Final = 1_000_000
"""Values of a matrix from which on more threads than one gain more than they cost."""
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1


def canonical(document: object) -> bytes:
    """Return a document as its one form: sorted keys, no spaces, shortest numbers, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def read(content: bytes) -> Any:
    """Return the document of bytes in that form.

    A key that stands twice, another order or another way to write a number, which two parsers
    might take for different things, is refused.
    """
    document = json.loads(content)
    if canonical(document) != content:
        raise refuse("it is not written as a booster is written here")
    return document


def parsed(text: str) -> Any:
    """Return the document of a text in which no key stands twice; numbers may have any form."""
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise refuse("it names a part of a booster twice")
    return found


def members(value: Any, needed: Collection[str], optional: Collection[str] = ()) -> Any:
    """Return an object that has exactly the members named."""
    if not isinstance(value, dict) or not set(needed) <= set(value) <= {*needed, *optional}:
        raise refuse("it holds something else than a booster")
    return value


def same(value: Any, expected: Any) -> None:
    """Raise unless two plain values are the same."""
    if value != expected or type(value) is not type(expected):
        raise refuse("it holds something else than a booster")


def listed(value: Any, n_values: int | None = None) -> list[Any]:
    """Return a list, of ``n_values`` where that is said."""
    if not isinstance(value, list) or (n_values is not None and len(value) != n_values):
        raise refuse("a part of it is cut short")
    return value


def integers(
    value: Any, n_values: int | None = None, low: int = _LOWEST, high: int = _HIGHEST
) -> np.ndarray:
    """Return int64 (n_values,) of a list of whole numbers from ``low`` to ``high``."""
    import numpy as np

    found = listed(value, n_values)
    if not all(type(it) is int for it in found):
        raise refuse("a tree holds something else than numbers")
    if found and not (min(found) >= low and max(found) <= high):
        raise refuse("an index of it leads nowhere")
    return np.array(found, dtype=np.int64)


def numbers(value: Any, n_values: int | None = None) -> np.ndarray:
    """Return float64 (n_values,) of a list of numbers; they may be infinite, but not NaN."""
    import numpy as np

    found = listed(value, n_values)
    if not all(type(it) in (int, float) for it in found):
        raise refuse("a tree holds something else than numbers")
    values = np.array(found, dtype=np.float64)
    if bool(np.isnan(values).any()):
        raise refuse("a tree holds something else than numbers")
    return values


def finite(value: Any, n_values: int | None = None) -> np.ndarray:
    """Return :func:`numbers` none of which is infinite."""
    import numpy as np

    values = numbers(value, n_values)
    if not bool(np.isfinite(values).all()):
        raise refuse("a tree holds something else than numbers")
    return values


def matching(value: Any, form: str) -> str:
    """Return a text of a form, a regular expression for the whole of it."""
    if not isinstance(value, str) or not re.fullmatch(form, value):
        raise refuse("it holds something else than a booster")
    return value
