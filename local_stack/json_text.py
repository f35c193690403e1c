"""JSON that somebody typed: read strictly, so that what is odd about it is said and not guessed."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from local_stack.errors import InputError

_MOST_LETTERS = 60


def typed_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        It is no JSON.
    InputError
        An object names something twice, or a number is NaN or Infinity.
    """
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except (RecursionError, TypeError) as error:
        raise ValueError("not JSON") from error


def has_half_characters(value: Any) -> bool:
    r"""Return whether a text holds half of a surrogate pair (``\ud800``), which nothing stores."""
    return isinstance(value, str) and any("\ud800" <= it <= "\udfff" for it in value)


def _refuse(constant: str) -> NoReturn:
    raise InputError(f"{constant} is not JSON.", "Write null for a missing value.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            shown = "".join(it if it.isprintable() else "\N{REPLACEMENT CHARACTER}" for it in name)
            raise InputError(
                f"The JSON names '{shown[:_MOST_LETTERS]}' twice in one object.",
                "Leave one of them out: which one is meant?",
            )
        found[name] = value
    return found
