"""What is typed in the filter of runs: a search, words, or a search that is not whole yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from paceml_tui.render import safe
from paceml_tui.tasks import attempt

_HEAD = re.compile(
    r"^[\s(]*(?:not[\s(]+)*(?:(?:min|max|mean|first|last|count|step)[\s(]+)*[`\"]?(?:metrics?|params?|parameters?|tags?|attributes?|attr|run|datasets?)"
    r"[`\"]?\.",
    re.IGNORECASE,
)
_OPERATOR = re.compile(r"[<>=]|!=|\s(?:i?like|in|is|between)\s", re.IGNORECASE)
_TYPED = re.compile(r"[\w.$#`-]*$")
_PLAIN_KEY = re.compile(r"[\w$#]+(?:\.[\w$#]+)*")
_WORDS = ("and", "or", "not", "like", "ilike", "in", "is null", "is not null", "between")
_CONNECTOR = re.compile(r"(?<!\s)\s+(?:and|or)\b", re.IGNORECASE)
_VALUE = re.compile(
    r"\b(params?|parameters?|tags?|attributes?|attr|run)\.(`[^`]+`|[\w$#.]+)\s*"
    r"(?:=|!=|(?:not\s+)?(?:i?like\s|in\s*\())(?:'[^']*'|\"[^\"]*\"|[\s,])*(['\"])([^'\"]*)$",
    re.IGNORECASE,
)
_NO_QUOTES = str.maketrans("", "", '`"')
_CALLED = re.compile(r"\b(?:min|max|mean|first|last|count|step)\s*\(\s*$", re.IGNORECASE)
_FARTHEST = 400
_MOST = 40
_MOST_CUTS = 8
_BEFORE_CALLS = 5
"""Keys that are offered before the functions of metrics: there may be many of them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a filter's text is taken as: SQL of a search, words, or a search with a fault.

    ``place`` is the index of the character at which the fault is.
    """

    kind: str
    sql: str = "true"
    values: tuple[str | float, ...] = ()
    words: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""
    place: int = 0


def read(text: str) -> Reading:
    """Take the text as a search where it is one or is meant as one, otherwise as words."""
    if not text.strip():
        return Reading("none")
    from local_stack.runs import search

    outcome = attempt(lambda: search.where(text))
    clause, error = outcome.value, outcome.error
    if clause is not None:
        return Reading("search", clause.sql, clause.parameters)
    if error is None or not is_meant_as_search(text):
        return Reading("words", words=tuple(text.lower().split()))
    details = error.details if isinstance(error.details, Mapping) else {}
    place = int(details.get("position", len(text)))
    return Reading("fault", problem=error.message.splitlines()[0], hint=error.hint, place=place)


def whole_part(text: str) -> str:
    """Return the beginning of a search that is being typed, up to where it is whole; or ''."""
    for found in reversed(list(_CONNECTOR.finditer(text))[-_MOST_CUTS:]):
        if read(text[: found.start()]).kind == "search":
            return text[: found.start()]
    return ""


def is_meant_as_search(text: str) -> bool:
    """Return whether the text begins like a comparison, or holds one's operator."""
    return bool(_HEAD.match(text) or _OPERATOR.search(text))


def _lately(text: str, cursor: int) -> str:
    """Return what stands before the cursor, as far back as a completion has to look."""
    return text[max(0, cursor - _FARTHEST) : cursor]


def typed_word(text: str, cursor: int) -> str:
    """Return the word before the cursor that a completion would replace."""
    before = _lately(text, cursor)
    value = _VALUE.search(before)
    if value:
        return value.group(4)
    found = _TYPED.search(before)
    return found.group() if found else ""


Values = Callable[[str, str], Iterable[str]]
"""Given ``params``, ``tags`` or ``attributes`` and a key, the values that it has."""


def completions(
    text: str,
    cursor: int,
    known: Mapping[str, Sequence[str]],
    values: Values = lambda group, key: (),
    *,
    most: int = _MOST,
) -> tuple[str, ...]:
    """Return what the word before the cursor may become, the likeliest first.

    ``known`` holds the keys of the workspace by group: params, metrics, tags, the most frequent
    first.
    """
    before = text[:cursor]
    value = _VALUE.search(_lately(text, cursor))
    if value:
        group, key, quote, begun = value.groups()
        group = {"p": "params", "t": "tags"}.get(group[0].lower(), "attributes")
        found = sorted({it for it in values(group, key.strip("`")) if it.startswith(begun)})
        fitting = [it for it in found if safe(it, 0) == it and quote not in it]
        return tuple(f"{it}{quote}" for it in fitting)[:most]
    if before.count("'") % 2 or before.count('"') % 2:  # within a text
        return ()
    word = typed_word(text, cursor)
    low = _bare(word)
    if not low:
        return ()
    head = text[: cursor - len(word)]
    is_called = bool(_CALLED.search(head))  # of a metric, and of nothing else
    fields = [it for it in _fields(known) if not is_called or it.startswith("metrics.")]
    fields += [] if is_called else _WORDS
    begins = [it for it in fields if _bare(it).startswith(low)]
    holds = [it for it in fields if low in _bare(it).partition(".")[2] and it not in begins]
    begins[_BEFORE_CALLS:_BEFORE_CALLS] = _calls(head, low)
    return tuple(it for it in [*begins, *holds] if it != word)[:most]


def _calls(head: str, low: str) -> list[str]:
    """Return the beginnings of what may be asked of a metric, where that fits behind ``head``."""
    if len(head) > _FARTHEST:  # it is read once for each
        return []
    from local_stack.runs.grammar import Function

    found = [name for name in (*Function, "step") if name.startswith(low)]
    return [f"{name}(" for name in found if _fits(head, f"{name}(metrics.x)")]


def _fits(head: str, operand: str) -> bool:
    """Return whether the search is without a fault up to the end of the operand."""
    from local_stack.runs.grammar import parse_filter

    error = attempt(lambda: parse_filter(head + operand)).error
    details = error.details if error is not None and isinstance(error.details, Mapping) else {}
    return error is None or int(details.get("position", 0)) >= len(head + operand)


def _bare(word: str) -> str:
    return word.lower().translate(_NO_QUOTES)


def _fields(known: Mapping[str, Sequence[str]]) -> list[str]:
    from local_stack.runs.grammar import ATTRIBUTES, DATASET_KEYS

    groups = ("metrics", "params", "tags")
    return [
        *(quoted(group, key) for group in groups for key in known.get(group, ()) if _can_type(key)),
        *(f"attributes.{name}" for name in sorted(set(ATTRIBUTES.values()))),
        *(f"datasets.{name}" for name in DATASET_KEYS),
    ]


def _can_type(key: str) -> bool:
    """Return whether a key can stand in the line as it is: nothing in it is hidden."""
    return safe(key, 0) == key and not ("`" in key and '"' in key)


def quoted(group: str, key: str) -> str:
    """Return a key as the grammar takes it, in backticks where it has to be."""
    if _PLAIN_KEY.fullmatch(key):
        return f"{group}.{key}"
    return f'{group}."{key}"' if "`" in key else f"{group}.`{key}`"
