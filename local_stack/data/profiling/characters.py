"""The characters of texts, and what Unicode says of them: category, script and block.

The general category is that of Python's ``unicodedata``; scripts and blocks are those of the
Unicode Character Database as ``fontTools.unicodedata`` holds it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.data.profiling.shape import CharacterGroup, ValueCount

if TYPE_CHECKING:
    import polars

N_TOP = 10
"""Values, words, characters and groups of characters listed."""

CATEGORIES = {
    "Lu": "Uppercase letter",
    "Ll": "Lowercase letter",
    "Lt": "Titlecase letter",
    "Lm": "Modifier letter",
    "Lo": "Other letter",
    "Mn": "Nonspacing mark",
    "Mc": "Spacing mark",
    "Me": "Enclosing mark",
    "Nd": "Decimal number",
    "Nl": "Letter number",
    "No": "Other number",
    "Pc": "Connector punctuation",
    "Pd": "Dash punctuation",
    "Ps": "Open punctuation",
    "Pe": "Close punctuation",
    "Pi": "Initial punctuation",
    "Pf": "Final punctuation",
    "Po": "Other punctuation",
    "Sm": "Math symbol",
    "Sc": "Currency symbol",
    "Sk": "Modifier symbol",
    "So": "Other symbol",
    "Zs": "Space separator",
    "Zl": "Line separator",
    "Zp": "Paragraph separator",
    "Cc": "Control",
    "Cf": "Format",
    "Co": "Private use",
    "Cs": "Surrogate",
    "Cn": "Unassigned",
}
"""General categories of Unicode, and what they are called."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The most frequent groups, of ``n`` there are; ``counts`` has them by Unicode's own names."""

    n: int
    listed: tuple[CharacterGroup, ...]
    counts: tuple[ValueCount, ...]


def characters_of(counted: polars.DataFrame) -> Counter[str]:
    """Count every character of the texts ``value``, each as often as its text's ``count``."""
    import numpy as np

    joined = "".join(counted["value"].to_list())
    points = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
    if not points.size:
        return Counter()
    weights = np.repeat(
        counted["count"].to_numpy().astype(np.float64), counted["value"].str.len_chars().to_numpy()
    )
    found = np.bincount(points, weights=weights)
    present = np.flatnonzero(found)
    return Counter({chr(point): int(found[point]) for point in present.tolist()})


def by_category(characters: Counter[str]) -> Groups:
    """Return the characters by general category, such as ``Ll``, a lowercase letter."""
    return _grouped(characters, unicodedata.category, CATEGORIES)


def by_script(characters: Counter[str]) -> Groups:
    """Return the characters by script, such as ``Latin``, or ``Common`` for what many share."""
    from fontTools import unicodedata as ucd

    return _grouped(characters, lambda it: ucd.script_name(ucd.script(it), "Unknown"))


def by_block(characters: Counter[str]) -> Groups:
    """Return the characters by block, such as ``Basic Latin``; ``No_Block`` is in none."""
    from fontTools import unicodedata as ucd

    return _grouped(characters, ucd.block)


def most_of(counter: Counter[str]) -> tuple[ValueCount, ...]:
    """Return the most frequent, of equally frequent ones the one that is less."""
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return tuple(ValueCount(name, count) for name, count in ordered[:N_TOP])


def _grouped(
    characters: Counter[str], name_of: Callable[[str], str], words: Mapping[str, str] | None = None
) -> Groups:
    found: dict[str, Counter[str]] = {}
    for character, count in characters.items():
        found.setdefault(name_of(character), Counter())[character] = count
    counts = most_of(Counter({name: held.total() for name, held in found.items()}))
    listed = tuple(_group(str(it.value), found[str(it.value)], words or {}) for it in counts)
    return Groups(len(found), listed, counts)


def _group(name: str, held: Counter[str], words: Mapping[str, str]) -> CharacterGroup:
    return CharacterGroup(words.get(name, name), held.total(), len(held), most_of(held))
