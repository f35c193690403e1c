"""One thing spelt in several ways: missing values, and categories that are nearly the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from local_stack.data.profiling.coding import percent
from local_stack.data.profiling.shape import Alert, Thresholds, ValueCount
from local_stack.data.profiling.wordings import Wordings, quote, quoted
from local_stack.data.tables import NULLS

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

MISSING = frozenset(
    {null.casefold() for null in NULLS if null != "None"}
    | {"n.a.", "n.a", "n\\a", "n/d", "n.d.", "#na", "#value!", "#ref!", "#div/0!", "#name?"}
    | {"#null!", "(null)", "[null]", "<null>", "<na>", "\\n", "-", "--", "---", ".", "..", "..."}
    | {"?", "??", "???", "*", "(blank)", "(missing)", "(unknown)", "(none)", "<none>", "missing"}
    | {"unknown", "unk", "undefined", "not available", "not applicable"}
    | {"not known", "not given", "not specified", "unspecified", "no data", "no value", "no answer"}
    | {"tbd", "keine angabe", "k.a.", "k. a.", "unbekannt", "inconnu", "s/d", "sin datos"}
    | {"desconocido", "sconosciuto", "onbekend", "nil", "void"}
)
"""Spellings of a missing value, in lower case."""

MAYBE_MISSING = frozenset({"none", "nothing", "empty", "blank"})
"""Spellings that count only where others, or missing values, stand beside them."""

MAX_COMPARED = 1_000
"""Columns of more texts than this are compared by normal form, not by edit distance."""

MAX_FREQUENT = 200
RATIO = 10
"""A misspelling is at least this many times rarer than what it is a misspelling of."""

_SEPARATED = r"(\p{L})[\s_\-./,'\x{2019}]+([\p{L}\d])"
_BUCKETS = 32


def spelling_findings(texts: Wordings, thresholds: Thresholds) -> Iterator[Alert]:
    """Yield spellings of missing values, padded texts, and categories that look the same."""
    yield from _null_spellings(texts, thresholds)
    yield from _padded(texts, thresholds)
    yield from _similar(texts, thresholds)


def _null_spellings(texts: Wordings, thresholds: Thresholds) -> Iterator[Alert]:
    lower = texts.values.str.strip_chars().str.to_lowercase()
    holds = lower.is_in(list(MISSING)).to_numpy()
    if holds.any() or texts.column.profile.n_missing:
        holds = holds | lower.is_in(list(MAYBE_MISSING)).to_numpy()
    share, limit = texts.share_of(holds), thresholds.p_null_spellings
    if share > limit:
        beside = texts.column.profile.n_missing
        also = f", beside {beside} that are missing" if beside else ""
        message = (
            f"{texts.amount(holds)} ({percent(share)}) spelling a missing value as text: "
            f"{quoted(texts.top(holds), 5)}{also} (threshold {percent(limit)})."
        )
        yield texts.alert("null_spellings", holds, limit, message)


def _padded(texts: Wordings, thresholds: Thresholds) -> Iterator[Alert]:
    holds = texts.matches(r"^\s|\s$")
    share, limit = texts.share_of(holds), thresholds.p_padded
    if share > limit:
        message = (
            f"{texts.amount(holds)} ({percent(share)}) with white space at an end, such as "
            f"{quoted(texts.top(holds), 2)} (threshold {percent(limit)})."
        )
        yield texts.alert("padded", holds, limit, message)


# ------------------------------------------------------------------ categories alike


def _similar(texts: Wordings, thresholds: Thresholds) -> Iterator[Alert]:
    """Yield one alert that lists the groups of texts that look the same."""
    if texts.places is not None or texts.column.profile.kind != "categorical":
        return
    keys = normal_form(texts.values)
    groups = _same_form(keys) + _misspelt(texts, keys)
    if len(groups) <= thresholds.n_similar:
        return
    counts = texts.counts
    groups.sort(key=lambda group: -int(counts[group].sum()))
    listed = "; ".join(
        " ~ ".join(f"{quote(texts.text(i))} ({int(counts[i])})" for i in group[:4])
        for group in groups[:3]
    )
    more = f"; {len(groups) - 3} more" if len(groups) > 3 else ""
    plural = "s" if len(groups) > 1 else ""
    yield Alert(
        "similar_categories",
        texts.column.profile.name,
        len(groups),
        thresholds.n_similar,
        f"{len(groups)} group{plural} of texts that look like one: {listed}{more} "
        f"(threshold {thresholds.n_similar}).",
        values=tuple(ValueCount(texts.text(i), int(counts[i])) for group in groups for i in group)[
            :50
        ],
    )


def normal_form(values: polars.Series) -> polars.Series:
    """Return texts without case, accents, and what separates words; digits stay apart.

    ``"St. Gallen"``, ``"st-gallen"`` and ``"ST GALLEN "`` become one; ``"1-5"`` and ``"15"``,
    ``"A+"`` and ``"A-"`` do not.
    """
    import polars as pl

    plain = pl.col("value").str.normalize("NFKD").str.replace_all(r"\p{M}", "")
    plain = plain.str.to_lowercase()
    for _ in range(2):  # a letter that ends one match cannot begin the next
        plain = plain.str.replace_all(_SEPARATED, "$1$2")
    plain = plain.str.replace_all(r"(\d)[\s_]+(\p{L})", "$1$2")
    plain = plain.str.replace_all(r"^\s+|[\s.,;:!]+$", "")
    return values.alias("value").to_frame().select(plain).to_series()


def _same_form(keys: polars.Series) -> list[list[int]]:
    import polars as pl

    frame = pl.DataFrame({"key": keys, "place": pl.arange(keys.len(), eager=True)})
    found = frame.filter((pl.col("key") != "") & pl.col("key").is_duplicated())
    groups = found.group_by("key", maintain_order=True).agg("place")
    return [list(group) for group in groups["place"].to_list()]


def _misspelt(texts: Wordings, keys: polars.Series) -> list[list[int]]:
    """Return pairs ``[frequent, rare]`` that a slip of the pen tells apart."""
    import numpy as np

    n = texts.values.len()
    if n > MAX_COMPARED:
        return []
    words = [str(value).casefold().strip() for value in texts.values]
    frequent = np.flatnonzero(texts.counts[:MAX_FREQUENT] >= RATIO)
    if not frequent.size:
        return []
    bags = _bags(words)
    keys_of = [_unchanged(word) for word in words]
    pairs: list[list[int]] = []
    forms = keys.to_list()
    for rare in range(n):
        likely = frequent[texts.counts[frequent] >= RATIO * texts.counts[rare]]
        if not likely.size:
            continue
        apart = np.abs(bags[likely] - bags[rare]).sum(axis=1)
        for place in likely[apart <= 4].tolist():
            if (
                keys_of[place] == keys_of[rare]
                and forms[place] != forms[rare]
                and is_misspelt(words[rare], words[place])
            ):
                pairs.append([place, rare])
                break
    return pairs


def _bags(words: list[str]) -> NDArray[np.int16]:
    """Return how often each (hashed) letter occurs: an edit changes that by two at most."""
    import numpy as np

    bags = np.zeros((len(words), _BUCKETS), dtype=np.int16)
    for place, word in enumerate(words):
        letters = np.frombuffer(word.encode("utf-32-le", "replace"), dtype=np.uint32)
        bags[place] = np.bincount(letters % _BUCKETS, minlength=_BUCKETS)
    return bags


def is_misspelt(rare: str, frequent: str) -> bool:
    """Return whether one word of two texts differs by a slip of the pen.

    A letter too few or too many, or two that changed places, in a word of five letters or more;
    any one edit in a word of eight, any two in a word of ten. The first letter and the digits
    have to be the same: ``"island"`` is no misspelt ``"inland"``, ``"north"`` no ``"south"``,
    ``"room 11"`` no ``"room 1"``.
    """
    if _unchanged(rare) != _unchanged(frequent):
        return False
    a, b = rare.split(), frequent.split()
    if len(a) != len(b):
        return False
    differing = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
    if len(differing) != 1:
        return False
    x, y = differing[0]
    least = min(len(x), len(y))
    if least < 5 or abs(len(x) - len(y)) > 2 or x[0] != y[0]:
        return False
    n_edits = edit_distance(x, y)
    is_slip = len(x) != len(y) or sorted(x) == sorted(y)
    return (n_edits == 1 and (is_slip or least >= 8)) or (n_edits == 2 and least >= 10)


def _unchanged(text: str) -> tuple[str, str]:
    """Return what a slip leaves as it is: the first letter and the digits."""
    return text[:1], "".join(filter(str.isdecimal, text))


def edit_distance(a: str, b: str) -> int:
    """Return the optimal string alignment distance: insert, delete, replace, swap neighbours."""
    before: list[int] = []
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, above = above, row
    return above[-1]
