"""Names of groups: cut to the room there is, and never to the same words."""

from __future__ import annotations

import itertools

from rich.cells import cell_len

from paceml_tui.group_names import short_names


def test_combinations_are_cut_in_every_part_and_still_differ() -> None:
    names = [
        " & ".join(it)
        for it in itertools.product(
            ("(missing)", "a"), ("teacher", "student"), ("up to 26", "over 26 to 30", "over 30")
        )
    ]
    found = short_names(names, 22)
    assert len(set(found.values())) == len(names)
    assert all(it.count(" & ") == 2 for it in found.values())
    assert max(map(cell_len, found.values())) < max(map(cell_len, names))
    assert found["a & teacher & up to 26"] == "a & teacher & up to 26"
    alike = [f"the same long beginning, then {end}" for end in ("this", "that")]
    assert len(set(short_names(alike, 10).values())) == 2


def test_names_that_fit_stay_and_hostile_ones_are_made_safe() -> None:
    found = short_names(["a", "", "\x1b[2J & b", "\u5bbd" * 30], 12)
    assert (found["a"], found[""]) == ("a", "")
    assert all(it.isprintable() for it in found.values())
    assert all(cell_len(it) <= 12 for it in found.values())
    assert short_names([], 5) == {}
    assert short_names([" & " * 9], 5)  # more parts than room
