"""Names and paths from outside: one rule for labels, one resolver for places."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.errors import InputError, named
from local_stack.names import class_place, inside, label, slug, split_reference

BAD_PATHS = ("", ".", "/etc/passwd", "../a", "a/../../b", "c:\\a", "http://x", "%2e%2e/a", "a#b")
BAD_PATHS += ("a?b", "a\0b", "a\\..\\b", "\ud800", "x" * 300, "link/a", "loop/a", "a/" + "é" * 130)


@pytest.mark.parametrize(
    "text", ["wine", "wine quality 2", "[nope]", "été", "模型", "a.b-c_d", "é"]
)
def test_ordinary_names_are_kept_composed(text):
    assert label(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("  \t", "empty"),
        ("x" * 121, "121 characters"),
        ("a/b", "U+002F"),
        ("a\\b", "U+005C"),
        ("c:", "U+003A"),
        ("%2e%2e", "U+0025"),
        ("a\x1b[2J", "U+001B"),
        ("a\0", "U+0000"),
        ("a\nb", "U+000A"),
        ("a\u202eb", "U+202E"),
        ("a\u200bb", "U+200B"),
        ("a\ud800", "U+D800"),
        ("a\u2028b", "U+2028"),
        ("..", "cannot be"),
        (".", "cannot be"),
        ("-rf", "cannot be"),
    ],
)
def test_what_cannot_be_a_name_is_told_by_its_code(text, told):
    with pytest.raises(InputError) as caught:
        label(text, "run name")
    assert told in caught.value.message
    assert "run name" in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.hint


@settings(max_examples=300)
@given(text=st.text(max_size=130))
def test_a_label_is_composed_seen_and_stable(text):
    try:
        found = label(text)
    except InputError:
        return
    assert label(found) == found == unicodedata.normalize("NFC", found)
    assert 1 <= len(found) <= 120
    assert not set(found) & set("/\\:%")
    assert not {unicodedata.category(c) for c in found} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_references_part_at_the_last_at_sign():
    assert split_reference("wine") == ("wine", "")
    assert split_reference("wine@golden") == ("wine", "golden")
    assert split_reference("wine@home@abc123") == ("wine@home", "abc123")
    for text in ("wine@", "@abc", "@"):
        with pytest.raises(InputError):
            split_reference(text)


@given(text=st.text(max_size=200))
def test_a_slug_is_a_plain_path_segment(text):
    assert 1 <= len(slug(text)) <= 40
    assert set(slug(text)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize("text", ["a", "a/b.txt", "./a", "a//b", "é/x y", "a/./b"])
def test_paths_inside_are_joined(tmp_path, text):
    assert inside(tmp_path, text) == tmp_path / text


@pytest.mark.parametrize(
    "text",
    BAD_PATHS,
)
def test_paths_that_lead_elsewhere_are_refused(tmp_path, text):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(InputError) as caught:
        inside(root, text)
    assert caught.value.message.isprintable()


def test_a_link_that_stays_inside_is_fine(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path, "link/a") == tmp_path / "link" / "a"


def test_a_long_list_of_names_says_how_many_more_there_are():
    names = [f"c{at}" for at in range(22)]
    assert named(names[:20]).endswith("c18, c19")
    with pytest.raises(InputError, match=r"Its classes: c0, .*, c19 and 2 more\.$"):
        class_place("never", names)
