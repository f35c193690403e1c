"""The Data screen: data sets, the versions of one, and everything about a version."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import LARGE, SMALL, all_text, running, settle, text_of, until
from test_hostile import assert_harmless
from test_screens import text_of_static

from local_stack.errors import UnavailableError
from paceml_tui.app import PacemlApp
from paceml_tui.tasks import Desk, Pulse
from paceml_tui.widgets.dialog import Notification


def words(pilot: object) -> str:
    return " ".join(text_of(pilot).split())  # type: ignore[arg-type]


async def test_versions_of_a_data_set_are_listed_and_left_again(orders: Path) -> None:
    async with running(orders, SMALL, "2") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        assert "Data sets 1" in words(pilot)
        await pilot.press("v")
        await settle(pilot)
        assert "Versions of orders 2" in words(pilot)
        assert [row["number"] for row in page.listing.rows] == [2, 1]
        assert "first" in words(pilot)
        assert "✖ failed" in words(pilot)
        newest = page.listing.rows[0]
        assert (newest["n_rows"], newest["rejects"], newest["note"]) == (60, 1, "the second")
        assert newest["change"].startswith("+1 ")  # data log's own words for a column more
        await pilot.press("v")  # there is nothing below versions
        await settle(pilot)
        assert page.dataset == "orders"
        await pilot.press("escape")
        await settle(pilot)
        assert "Data sets 1" in words(pilot)
        assert page.selected["name"] == "orders"


async def test_coming_back_from_versions_finds_the_same_data_set(filled: Path) -> None:
    async with running(filled, SMALL, "2 j") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        name = page.selected["name"]
        for key in ("v", "escape"):
            await pilot.press(key)
            await settle(pilot)
        assert page.selected["name"] == name
        assert page.table.cursor_row == 1


async def test_a_version_tells_where_it_came_from_and_what_was_decided(orders: Path) -> None:
    async with running(orders, SMALL, "2 v enter") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        assert page.is_detail_alone
        shown = " ".join(text_of_static(pilot).split())
        for expected in (
            "orders-2.csv",
            "version 2 of 2",
            "key id",
            "✖ failed by contract 1",
            "Lineage command data.add",
            "sha256",
            "modified_at",
            "Rejects 1",
            "62 left out",
            "What the import decided",
            "delimiter ,",
            "Schema",
            "channel string",
        ):
            assert expected in shown, expected
        await pilot.press("escape")
        await settle(pilot)
        assert not page.is_detail_alone
        assert page.dataset == "orders"  # one step back, not two


async def test_list_and_detail_of_versions_stand_side_by_side_when_wide(orders: Path) -> None:
    async with running(orders, LARGE, "2 v") as pilot:
        shown = words(pilot)
        assert "Versions of orders 2" in shown
        assert "the second" in shown
        assert "Lineage" in shown


async def test_versions_say_how_to_list_and_show_them_elsewhere(orders: Path) -> None:
    async with running(orders, LARGE, "2 v c") as pilot:
        assert isinstance(pilot.app.screen, Notification)
        assert "paceml-tui data log orders" in words(pilot)
        assert "paceml-tui data show orders@" in words(pilot)


async def test_two_versions_are_marked_at_most(orders: Path) -> None:
    async with running(orders, SMALL, "2 space") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        assert page._marked == ()  # data sets are not compared
        for key in ("v", "space", "space"):
            await pilot.press(key)
            await settle(pilot)
        assert len(page._marked) == 2
        assert text_of(pilot).count("●") == 2
        await pilot.press("space")
        await settle(pilot)
        assert len(page._marked) == 1


async def test_filter_of_versions_that_matches_nothing_is_an_empty_state(orders: Path) -> None:
    async with running(orders, SMALL, "2 v slash z z z") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        assert page.state == "empty"
        assert "No line matches" in words(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert "Versions of orders 2" in words(pilot)
        await pilot.press("slash", *"first", "enter")
        await settle(pilot)
        assert "Versions of orders 1 of 2" in words(pilot)
        await pilot.press("escape", "escape")  # the filter, then the versions
        await settle(pilot)
        assert "Data sets 1" in words(pilot)


async def test_versions_loading_failed_and_too_small(
    orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(orders, SMALL, "2") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        may_read, query = threading.Event(), Desk.query

        def slow(desk: Desk, *args: object) -> object:
            may_read.wait(20)
            return query(desk, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(Desk, "query", slow)
        try:
            await pilot.press("v")
            await pilot.pause(0.05)
            assert page.state == "loading"
            assert "Reading the versions of orders" in words(pilot)
        finally:
            may_read.set()
        await settle(pilot)
        assert page.state == "filled"

        def refuse(*_: object) -> None:
            raise UnavailableError("The disk is full.", "Free some space.")

        monkeypatch.setattr(Desk, "query", refuse)
        page.reload()
        await settle(pilot)
        assert page.state == "failed"
        assert "The disk is full." in words(pilot)
        monkeypatch.setattr(Desk, "query", query)
        await pilot.resize_terminal(50, 12)
        await settle(pilot)
        assert "too small" in words(pilot)


async def test_hostile_versions_are_harmless(hostile: Path) -> None:
    async with running(hostile, LARGE, "2") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        for place in range(0, len(page.listing.rows), 3):
            page.table.move_cursor(row=place)
            await pilot.press("v")
            await settle(pilot)
            assert page.dataset
            assert_harmless(text_of(pilot))
            await pilot.press("escape")
            await settle(pilot)
            assert page.dataset == ""
        await pilot.press("v", "space", "c")
        await settle(pilot)
        assert_harmless(all_text(pilot))


async def test_a_failed_check_by_somebody_else_is_told_with_its_first_broken_rule(
    orders: Path,
) -> None:
    async with running(orders, SMALL) as pilot:
        app = pilot.app
        assert isinstance(app, PacemlApp)
        ended = next(job for job in app.pulse.jobs if job.command == "data.check")
        alive = replace(ended, status="running", error=None)
        app._tell_ends(Pulse(jobs=(alive,)), Pulse(jobs=(ended,)))
        await until(pilot, "data.check failed: orders@")
        await until(pilot, "the first is ")
