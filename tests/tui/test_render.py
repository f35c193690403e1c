"""Outside text made safe, and the formats of numbers, times, bars."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from paceml_tui import render
from paceml_tui.render import Text, safe

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(st.text(), st.integers(1, 60))
def test_safe_hides_nothing_and_keeps_the_limit(text: str, limit: int) -> None:
    shown = safe(text, limit)
    assert cell_len(shown) <= max(limit, 1)
    assert not {unicodedata.category(c) for c in shown} & HIDDEN
    assert safe(shown, limit) == shown


@given(st.text())
def test_safe_blocks_keep_lines_only(text: str) -> None:
    shown = safe(text, 0, is_block=True)
    assert not {unicodedata.category(c) for c in shown if c != "\n"} & HIDDEN


@given(st.text(alphabet=st.characters(categories=["Lu", "Ll", "Nd", "Zs"], max_codepoint=0x24F)))
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert safe(text, 0) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "␛[2J"),
        ("a\tb\nc\x00\x7f", "a␉b␊c␀␡"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\u200b\ufeff", "\\u200b\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("\ufe0f", "\\ufe0f"),
        ("[/nope]", "[/nope]"),
        ("e\u0301", "e\u0301"),
        (None, ""),
        (7, "7"),
    ],
)
def test_safe_shows_what_terminals_would_obey(text: object, shown: str) -> None:
    assert safe(text) == shown


def test_wide_text_is_cut_at_cells_not_characters() -> None:
    assert safe("機械学習", 5) == "機械…"
    assert safe("x" * 10_000_000, 10) == "x" * 9 + "…"
    assert cell_len(safe("Z" + "\u0301" * 500, 0)) > 100  # the pile of marks is spelt out


def test_ascii_mode_has_only_ascii_glyphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACEML_ASCII", "1")
    shown = [
        safe("\x1b" + "x" * 300, 20),
        render.bar(0.4, mark=0.5).plain,
        render.histogram([1, 5, 9]).plain,
        *(render.status(word).plain for word in render.STATUSES),
        *(render.glyph(name) for name in render.GLYPHS),
    ]
    assert all(text.isascii() for text in shown)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.61, "0.6100"),
        (1234.5678, "1,235"),
        (12, "12"),
        (1_204_000, "1,204,000"),
        (3.1e-15, "3.100e-15"),
        (0.0, "0"),
        (-0.05, "-0.05000"),
        (float("nan"), "-"),
        (float("inf"), "inf"),
        (None, "-"),
        (True, "True"),
    ],
)
def test_numbers(value: object, shown: str) -> None:
    assert render.number(value).plain == shown


def test_numbers_of_a_column_share_their_decimals() -> None:
    assert [it.plain for it in render.numbers([0.31, 0.0425, None])] == ["0.3100", "0.0425", "-"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.25, "250 ms"),
        (42, "42.0 s"),
        (200, "3 min 20 s"),
        (7260, "2 h 1 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert render.seconds(seconds).plain == shown


def test_sizes_and_shares() -> None:
    assert [render.size(n).plain for n in (12, 1500, 41e9)] == ["12 B", "1.5 kB", "41.0 GB"]
    assert [render.percent(x).plain for x in (0.5, 0.333, None)] == ["50%", "33.3%", "-"]


def test_times_are_utc_and_ages_count_from_a_given_now() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert render.moment("2026-01-01T10:20:30.123456Z").plain == "2026-01-01 10:20"
    assert render.moment("\x1b[2J").plain == "-"
    assert render.ago("2026-01-01T21:00:00Z", now).plain == "3 h ago"


@given(st.floats() | st.none() | st.text(), st.integers(1, 40))
def test_bars_have_their_width(share: object, width: int) -> None:
    assert cell_len(render.bar(share, width).plain) == width
    assert cell_len(render.bar(share, width, mark=0.5).plain) == width


@given(st.lists(st.floats(0, 1e9)), st.integers(1, 40))
def test_histograms_fit(counts: list[float], width: int) -> None:
    assert len(render.histogram(counts, width).plain) == min(len(counts), width)


@given(
    st.recursive(
        st.none() | st.text() | st.floats(),
        lambda it: st.lists(it) | st.dictionaries(st.text(), it),
        max_leaves=8,
    )
)
def test_documents_show_anything(value: object) -> None:
    shown = render.document(value)
    assert isinstance(shown, Text)
    assert not {unicodedata.category(c) for c in shown.plain if c != "\n"} & HIDDEN
