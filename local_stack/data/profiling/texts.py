"""Statistics of a column of texts: how often each occurs, how long, and of what it is made."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from local_stack.data.profiling.characters import (
    N_TOP,
    by_block,
    by_category,
    by_script,
    characters_of,
    most_of,
)
from local_stack.data.profiling.forms import form_of
from local_stack.data.profiling.numbers import whole_edges
from local_stack.data.profiling.shape import Histogram, Lengths, TextStatistics, ValueCount
from local_stack.data.profiling.tallies import Tally, counts_between, n_bins, tally

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

MAX_TEXT = 1000
"""Longer text is cut in ``top_values``, and ends in an ellipsis there."""

MAX_SORTED = 50_000
"""Up to this many distinct texts are sorted by how often they occur, and all are looked into."""

_PUNCTUATION = (
    string.punctuation
    + "\u2026\u2013\u2014\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u00bf\u00a1\u3001\u3002"
)
"""Stripped from the ends of words."""

_PROBE = 10_000
_FILTER_BITS = 22


def counted_texts(held: polars.Series) -> polars.DataFrame:
    """Return the distinct texts (``value``) and how often each occurs (``count``).

    Up to ``MAX_SORTED`` of them the most frequent stands first, and of two that are equally
    frequent the one that is less; more of them stand in no order.
    """
    held = held.alias("value")
    counted = _counted_apart(held) if _hardly_repeats(held) else held.value_counts(name="count")
    if counted.height > MAX_SORTED:
        return counted
    return counted.sort(["count", "value"], descending=[True, False])


def _hardly_repeats(held: polars.Series) -> bool:
    """Return whether a tenth at most of some rows repeats another of them."""
    if held.len() < 2 * MAX_SORTED:
        return False
    some = held.gather_every(max(1, held.len() // _PROBE))
    return some.n_unique() > 0.9 * some.len()


def _counted_apart(held: polars.Series) -> polars.DataFrame:
    """Count texts that hardly repeat: only those whose hash repeats are compared."""
    import polars as pl

    hashes = held.hash().to_numpy()
    repeats = pl.Series(is_repeated(hashes))
    if repeats.sum() > held.len() // 2:
        return held.value_counts(name="count")
    again = held.filter(repeats).value_counts(name="count")
    once = held.filter(~repeats).to_frame().with_columns(count=pl.lit(1, again["count"].dtype))
    return pl.concat([once, again])


def is_repeated(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return, for each hash, whether another one equals it."""
    import numpy as np

    in_order = np.sort(hashes)
    repeated = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    if not repeated.size:
        return np.zeros(hashes.size, dtype=bool)
    shift = np.uint64(64 - _FILTER_BITS)
    may_be = np.zeros(1 << _FILTER_BITS, dtype=bool)
    may_be[(repeated >> shift).astype(np.int64)] = True
    found = may_be.take((hashes >> shift).astype(np.int64))
    candidates = np.flatnonzero(found)
    suspects = hashes[candidates]
    places = np.minimum(repeated.searchsorted(suspects), repeated.size - 1)
    found[candidates] = repeated[places] == suspects
    return found


def top_texts(counted: polars.DataFrame) -> tuple[ValueCount, ...]:
    """Return the most frequent texts, cut where they are long."""
    import polars as pl

    top = counted
    if top.height > MAX_SORTED:
        least = int(top["count"].top_k(N_TOP).min())  # type: ignore[arg-type]
        more = top.filter(pl.col("count") > least)
        equal = top.filter(pl.col("count") == least)["value"].bottom_k(N_TOP).to_frame()
        top = pl.concat([more, equal.with_columns(count=pl.lit(least, top["count"].dtype))])
        top = top.sort(["count", "value"], descending=[True, False])
    return tuple(ValueCount(shortened(value), n) for value, n in top.head(N_TOP).iter_rows())


def shortened(text: str) -> str:
    """Return the text, cut to ``MAX_TEXT`` characters with an ellipsis at the end."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def lengths_of(distinct: polars.DataFrame) -> tuple[Lengths, int]:
    """Return the lengths of the texts, of which there is one at least, and their sum."""
    import numpy as np

    places = tally(distinct["value"].str.len_chars().to_numpy().astype(np.int64), None)
    n_texts = np.bincount(places.codes, weights=distinct["count"].to_numpy())
    counted = Tally(places.values, n_texts.astype(np.int64), places.codes)
    values, counts, ends = counted.values, counted.counts, counted.ends
    total = int((values * counts).sum())
    middle = [int(values[ends.searchsorted(k, side="right")]) for k in _middle(counted.n)]
    shortest, longest = int(values[0]), int(values[-1])
    lengths = Lengths(
        min=shortest,
        mean=total / counted.n,
        median=sum(middle) / 2,
        max=longest,
        histogram=_histogram(counted),
    )
    return lengths, total


def _histogram(lengths: Tally) -> Histogram:
    shortest, longest = int(lengths.values[0]), int(lengths.values[-1])
    if shortest == longest:
        return Histogram((shortest, longest), (lengths.n,))
    edges = whole_edges(shortest, longest, n_bins(lengths.n))
    return Histogram(tuple(edges.tolist()), counts_between(lengths, edges), is_whole=True)


def _middle(n: int) -> tuple[int, int]:
    return (n - 1) // 2, n // 2


def text_statistics(counted: polars.DataFrame, n_characters: int) -> TextStatistics:
    """Look into the distinct texts of :func:`counted_texts`, each as often as it occurs.

    More than ``MAX_SORTED`` distinct texts are represented by a seeded sample of so many;
    ``n_characters`` is of all.
    """
    import polars as pl

    is_sample = counted.height > MAX_SORTED
    chosen = counted.sample(MAX_SORTED, seed=0) if is_sample else counted
    characters = characters_of(chosen)
    categories = by_category(characters)
    scripts, blocks = by_script(characters), by_block(characters)
    value, count = pl.col("value"), pl.col("count")
    empty = chosen.select(
        count.filter(value == "").sum().alias("empty"),
        count.filter(value != value.str.strip_chars()).sum().alias("padded"),
        count.sum().alias("texts"),
    ).row(0)
    words, n_words = _words(chosen)
    form, parts = form_of(chosen)
    return TextStatistics(
        n_characters=n_characters,
        n_distinct_characters=len(characters),
        n_words=n_words,
        characters=most_of(characters),
        categories=categories.counts,
        scripts=scripts.counts,
        words=words,
        n_texts=int(empty[2]),
        is_sample=is_sample,
        n_empty=int(empty[0]),
        n_padded=int(empty[1]),
        form=form,
        parts=parts,
        blocks=blocks.counts,
        n_categories=categories.n,
        n_scripts=scripts.n,
        n_blocks=blocks.n,
        by_category=categories.listed,
        by_script=scripts.listed,
        by_block=blocks.listed,
    )


def _words(counted: polars.DataFrame) -> tuple[tuple[ValueCount, ...], int]:
    """Return the most frequent words in lower case, and how many words there are."""
    import polars as pl

    count = pl.col("count").sum()
    words = (
        counted.lazy()
        .select(
            pl.col("value").str.to_lowercase().str.replace_all(r"\s+", " ").str.split(" "),
            pl.col("count").cast(pl.Int64),
        )
        .explode("value")
        .group_by("value")
        .agg(count)
        .with_columns(pl.col("value").str.strip_chars(_PUNCTUATION))
        .filter(pl.col("value") != "")
        .group_by("value")
        .agg(count)
        .collect()
    )
    n_words = int(words["count"].sum())
    top = words.top_k(N_TOP, by=["count", "value"], reverse=[False, True])
    top = top.sort(["count", "value"], descending=[True, False])
    return tuple(ValueCount(shortened(word), count) for word, count in top.iter_rows()), n_words
