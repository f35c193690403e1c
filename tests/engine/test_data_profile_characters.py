"""What a profile says of the characters of texts, beside other sources of Unicode's data."""

from __future__ import annotations

import string
import unicodedata
from collections import Counter

import numpy as np
import polars as pl
from charset_normalizer.constant import UNICODE_RANGES_COMBINED
from hypothesis import given
from hypothesis import strategies as st

from local_stack.data.profiling import characters, interactions
from local_stack.data.profiling.profile import profile_frame
from local_stack.data.profiling.shape import TextStatistics

_KNOWN = st.characters(exclude_categories=("Cs", "Cn"))  # to every version of Unicode in use
_TEXTS = st.lists(st.text(_KNOWN, max_size=30), min_size=1, max_size=20)


def text_of(values: list[str]) -> TextStatistics:
    found = profile_frame(pl.DataFrame({"a": values})).variable("a").text
    assert found is not None
    return found


@given(_TEXTS)
def test_categories_are_those_of_every_character(values: list[str]) -> None:
    found = text_of(values)
    expected = Counter(unicodedata.category(it) for value in values for it in value)
    assert found.n_categories == len(expected)
    assert {it.value: it.count for it in found.categories}.items() <= expected.items()
    assert [it.count for it in found.by_category] == sorted(expected.values(), reverse=True)[:10]


def test_categories_are_called_what_unicode_calls_them() -> None:
    every = pl.Series([chr(i) for i in range(32, 0x3000) if unicodedata.name(chr(i), "")])
    codes = pl.Series([unicodedata.category(it) for it in every])
    for code, name in characters.CATEGORIES.items():
        if code != "Cs":
            held = every.str.contains(rf"^\p{{{name.replace(' ', '_')}}}$")
            assert held.to_list() == (codes == code).to_list()


@given(_TEXTS)
def test_scripts_are_those_of_another_source(values: list[str]) -> None:
    every = Counter("".join(values))
    for group in text_of(values).by_script:
        if group.name == "Unknown":
            continue
        name = group.name.replace(" ", "_")
        listed = pl.Series([str(it.value) for it in group.characters])
        assert listed.str.contains(rf"^\p{{Script={name}}}$").all()
        assert all(every[str(it.value)] == it.count for it in group.characters)


def test_blocks_are_those_of_another_source() -> None:
    ranges = {
        name: places
        for name, places in UNICODE_RANGES_COMBINED.items()
        if name not in ("Control character", "Basic Latin") and "Surrogate" not in name
    }
    assert len(ranges) > 300
    ends = Counter(chr(place) for it in ranges.values() for place in (it.start, it.stop - 1))
    found = {it: characters.by_block(Counter({it: 1})).listed[0].name for it in ends}
    for name, places in ranges.items():
        assert (found[chr(places.start)], found[chr(places.stop - 1)]) == (name, name)


def test_each_group_lists_its_own_most_frequent_characters() -> None:
    found = text_of(["Ünïcode ёж", "abba 漢字 ½", "1 2 2"])
    blocks = {it.name: it for it in found.by_block}
    assert list(blocks)[:2] == ["Basic Latin", "Latin-1 Supplement"]
    assert [(it.value, it.count) for it in blocks["Latin-1 Supplement"].characters] == [
        ("½", 1), ("Ü", 1), ("ï", 1)
    ]  # fmt: skip
    scripts = {it.name: (it.count, it.n_distinct) for it in found.by_script}
    assert (scripts["Cyrillic"], scripts["Han"]) == ((2, 2), (2, 2))
    digits = next(it for it in found.by_category if it.name == "Decimal number")
    assert [(it.value, it.count) for it in digits.characters] == [("2", 2), ("1", 1)]
    assert sum(it.count for it in found.by_category) == found.n_characters


def test_words_are_counted_without_the_punctuation_at_their_ends() -> None:
    values = ["(not at this bank)", "not a car, or other", "0 <= ... < 200 DM", "well-known"]
    found = text_of(values)
    expected = Counter(
        word
        for value in values
        for part in value.lower().split()
        if (word := part.strip(string.punctuation))
    )
    assert {it.value: it.count for it in found.words}.items() <= expected.items()
    assert (found.n_words, found.words[0].value) == (expected.total(), "not")
    assert "well-known" in expected


def test_bins_of_whole_numbers_hold_the_same_number_of_them() -> None:
    ages = np.random.default_rng(0).integers(1, 53, 20_000)
    for values in (ages, ages.astype(float)):
        numbers = profile_frame(pl.DataFrame({"a": values})).variable("a").numbers
        assert numbers is not None
        assert numbers.histogram is not None
        assert numbers.histogram.is_whole
        edges = np.array(numbers.histogram.edges, dtype=float)
        assert set(np.diff(edges)) == {edges[1] - edges[0]}
        assert list(numbers.histogram.counts) == np.histogram(ages, bins=edges)[0].tolist()
    halves = profile_frame(pl.DataFrame({"a": ages + 0.5})).variable("a").numbers
    assert halves is not None
    assert halves.histogram is not None
    assert not halves.histogram.is_whole


def test_bins_of_lengths_are_whole() -> None:
    lengths = profile_frame(pl.DataFrame({"a": ["yes"] * 30 + ["no"] * 10})).variable("a").lengths
    assert lengths is not None
    assert lengths.histogram is not None
    assert (lengths.histogram.edges, lengths.histogram.counts) == ((2, 3, 4), (10, 30))


def test_points_are_rows_of_the_table() -> None:
    generator = np.random.default_rng(3)
    frame = pl.DataFrame(
        {
            "x": generator.normal(size=2_000),
            "text": ["a"] * 2_000,
            "y": [None if i % 5 == 0 else float(i) for i in range(2_000)],
            "z": np.where(generator.random(2_000) < 0.1, np.inf, generator.random(2_000)),
        }
    )
    points = profile_frame(frame).points
    assert points.columns == ("x", "y", "z")
    assert len(set(points.numbers)) == len(points.numbers) == interactions.N_POINTS
    held = frame[list(points.numbers)].select("x", "y", "z")
    finite = held.with_columns(pl.when(pl.all().is_finite()).then(pl.all()))
    assert [list(it) for it in points.values] == [finite[name].to_list() for name in "xyz"]
    assert profile_frame(frame.head(50)).points.numbers == tuple(range(50))
    assert profile_frame(frame.select("x")).points.columns == ()
