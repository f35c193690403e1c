"""The steps of a written recipe can be moved, left out and turned off."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.data.recipes import document, outline
from local_stack.errors import InputError

_NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
_STEPS = st.one_of(
    st.builds(lambda names: {"drop": {"columns": names}}, st.lists(_NAMES, min_size=1, max_size=4)),
    st.builds(lambda a, b: {"rename": {a: b}}, _NAMES, _NAMES),
    st.builds(
        lambda a, x: {"impute": {"columns": [a], "strategy": "constant", "value": x}},
        _NAMES,
        st.one_of(_NAMES, st.integers(-(10**12), 10**12), st.floats(-1e300, 1e300), st.booleans()),
    ),
)
_NOTES = st.sampled_from(["", "# why\n", "  # why: because\n", "\n", "  # - nothing: {a: b}\n"])


@given(steps=st.lists(_STEPS, max_size=5), target=st.none() | _NAMES, is_ascii=st.booleans())
def test_what_is_written_reads_back(
    steps: list[dict[str, Any]], target: str | None, is_ascii: bool
) -> None:
    values = {**({"target": target} if target else {}), "features": steps}
    text = document.text_of(values, is_ascii=is_ascii)
    assert document.parse(text).values == values
    assert text.isascii() or not is_ascii


@given(
    steps=st.lists(st.tuples(_NOTES, _STEPS), min_size=1, max_size=5),
    place=st.integers(0, 4),
    by=st.integers(-4, 4),
    has_more=st.booleans(),
)
def test_entries_can_be_moved_left_out_and_turned_off(
    steps: list[tuple[str, dict[str, Any]]], place: int, by: int, has_more: bool
) -> None:
    place %= len(steps)
    rows = [f"{note}{line}\n" for note, step in steps
            for line in ["\n".join(document.step_lines(step))]]  # fmt: skip
    more = "estimator: lightgbm\n" if has_more else ""
    text = f"# a title\ntarget: y\nfeatures:\n{''.join(rows)}{more}"
    values = [step for _, step in steps]
    found = outline.outline_of(text)
    assert found.text == text
    assert [it.step for it in found.entries] == values

    moved = [*values[:place], *values[place + 1 :]]
    assert _values(found.without(place).text) == moved
    moved.insert(min(max(0, place + by), len(moved)), values[place])
    assert _values(found.moved(place, by).text) == moved
    off = found.turned(place)
    assert _values(off.text) == [*values[:place], *values[place + 1 :]]
    again = outline.outline_of(off.text)
    assert [it.step for it in again.entries] == values
    assert [it.number == 0 for it in again.entries] == [n == place for n in range(len(values))]
    assert _values(again.turned(place).text) == values
    new = {"drop": {"columns": ["z"]}}
    assert _values(found.inserted(place, "- drop: {columns: [z]}").text) == [
        *values[:place], new, *values[place:]
    ]  # fmt: skip
    assert _values(found.changed(place, "drop: {columns: [z]}").text)[place] == new
    assert found.place_of_line(found.line_of_place(place)) == place


def _values(text: str) -> Any:
    return document.parse(text).values["features"]


def test_steps_written_in_other_ways_can_be_moved_too() -> None:
    text = (
        "features:\n\n  # first\n  - impute:\n      columns: [a]\n      # inside\n"
        "      strategy: mean\n  # second\n  -\n    drop: {columns: [b]}\n\n# the end\ntarget: y\n"
    )
    found = outline.outline_of(text)
    assert found.text == text
    assert found.entries[0].lines[0] == "  - impute:"
    assert found.entries[1].notes == ("  # second",)
    moved = found.moved(0, 1).text
    assert moved.index("# second") < moved.index("# first") < moved.index("# inside")
    assert "# the end\ntarget: y" in moved
    flow = outline.outline_of("features: [{drop: {columns: [a]}}, {drop: {columns: [b]}}]\n")
    assert _values(flow.moved(0, 1).text) == [
        {"drop": {"columns": ["b"]}}, {"drop": {"columns": ["a"]}}
    ]  # fmt: skip
    empty = outline.outline_of("features: []\n")
    assert _values(empty.inserted(0, "drop: {columns: [a]}").text) == [{"drop": {"columns": ["a"]}}]
    assert empty.inserted(0, "drop: {columns: [a]}").without(0).text == "features: []\n"
    with pytest.raises(InputError, match=r"'drp'.* Did you mean 'drop'"):
        outline.entry_of("drp: {columns: [a]}")
    with pytest.raises(InputError, match="There is no step"):
        outline.entry_of("  ")
