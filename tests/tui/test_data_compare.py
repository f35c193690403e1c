"""The diff view: a job compares two versions, and the view shows what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import workspaces
from conftest import LARGE, SMALL, all_text, running, settle, text_of, until
from test_hostile import assert_harmless
from views_kit import give

from local_stack import catalog
from local_stack.workspace import Workspace
from paceml_tui.screens.data_diff import DiffView
from paceml_tui.widgets.dialog import Confirm, Notification


def words(pilot: Any) -> str:
    return " ".join(text_of(pilot).split())


@pytest.mark.usefixtures("cold_jobs")
async def test_the_version_before_is_compared_by_a_job(orders: Path) -> None:
    async with running(orders, LARGE, "2") as pilot:
        await pilot.press("d")
        await until(pilot, "Distributions")
        view = pilot.app.screen
        assert isinstance(view, DiffView)
        assert view.state == "filled"
        shown = words(pilot)
        for expected in ("added 1", "removed 1", "changed 3", "unchanged 56", "matched by id"):
            assert expected in shown, expected
        assert "added channel" in shown
        assert "Examples: changed" in shown
        assert "amount 20.75 → 99.5" in shown
        assert "region south → west" in shown
        with Workspace.open(orders) as workspace:
            log = catalog.call(workspace, "data.log", {"name": "orders"}).versions
        assert f"orders@{log[1].version} → orders@{log[0].version}" in shown
        await pilot.press("c")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Notification)
        assert "paceml-tui data diff orders@" in words(pilot)
        await pilot.press("escape", "y")
        await settle(pilot)
        assert pilot.app.clipboard.startswith("orders@")
        await pilot.resize_terminal(*SMALL)
        await settle(pilot)
        assert "unchanged 56" in words(pilot)
        assert "Examples: removed" not in words(pilot)
        await pilot.press("G")
        await settle(pilot)
        assert "Examples: removed" in words(pilot)  # all of it can be reached
        await pilot.resize_terminal(50, 12)
        await settle(pilot)
        assert "too small" in words(pilot)
        await pilot.resize_terminal(*SMALL)
        await pilot.press("escape")
        await settle(pilot)
        assert pilot.app.focused is pilot.app.page.table  # type: ignore[attr-defined]


async def test_a_first_version_has_nothing_to_compare_with(orders: Path) -> None:
    async with running(orders, SMALL, "2 v j d") as pilot:
        assert not isinstance(pilot.app.screen, DiffView)
        await until(pilot, "has no version before this one")


@pytest.mark.usefixtures("cold_jobs")
async def test_marked_versions_are_compared_older_first_and_may_be_the_same(orders: Path) -> None:
    with Workspace.open(orders) as workspace:
        source = str(orders.parent / "later.csv")
        Path(source).write_text("id,region,amount,day\n0,north,20.0,2026-01-01\n")
        catalog.call(workspace, "data.add", {"name": "orders", "source": source})
        Path(source).write_text("id;region;amount;day\n0;north;20.0;2026-01-01\n")
        catalog.call(workspace, "data.add", {"name": "orders", "source": source})
    async with running(orders, SMALL, "2 v") as pilot:
        await pilot.press("space", "space", "d")
        await until(pilot, "The two versions hold the same rows")
        view = pilot.app.screen
        assert isinstance(view, DiffView)
        assert view.state == "empty"
        rows = {f"orders@{it['version']}": it["number"] for it in pilot.app.page.listing.rows}  # type: ignore[attr-defined]
        arguments = view.request.arguments
        assert (rows[arguments["before"]], rows[arguments["after"]]) == (3, 4)


@pytest.mark.usefixtures("cold_jobs")
async def test_a_failure_stays_inside_the_view(orders: Path) -> None:
    async with running(orders, SMALL, "2") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        view = DiffView(page.desk, "orders@beef0000", "orders")
        pilot.app.push_screen(view)
        await pilot.pause()
        if view.state == "loading":  # a refusal may be quicker than the first look
            assert "two versions" in words(pilot)
        for _ in range(300):
            await pilot.pause(0.1)
            if view.state == "failed":
                break
        assert "has no version or tag 'beef0000'" in words(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert pilot.app.screen is not view


@pytest.mark.usefixtures("cold_jobs")
async def test_a_comparison_at_work_can_be_cancelled(orders: Path) -> None:
    async with running(orders, SMALL, "2") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        view = DiffView(page.desk, "orders@first", "orders")
        cancelled: list[str] = []
        pilot.app.push_screen(view)
        page.desk.cancel_job = lambda job, force: cancelled.append(job)
        for _ in range(300):
            await pilot.pause(0.02)
            if view._job is not None and view._job.is_alive:
                break
        job = view._job
        if job is None:  # it was faster than we looked
            pytest.skip("the comparison ended before it could be cancelled")
        await pilot.press("x")
        await pilot.pause(0.1)
        assert isinstance(pilot.app.screen, Confirm)
        await pilot.press("y")
        await until(pilot, "Distributions")
        assert cancelled == [job.job]


def hostile_result() -> dict[str, Any]:
    texts = [text.encode("utf-8", "backslashreplace").decode() for text in workspaces.HOSTILE]
    return {
        "key": texts,
        "schema": {
            "added": texts,
            "removed": texts,
            "retyped": [{"column": it, "before": it, "after": it} for it in texts],
            "renamed": [{"before": it, "after": it, "drift": 0.1} for it in texts],
        },
        "rows": {"added": 1, "removed": 2, "changed": 3, "unchanged": 4},
        "cells_changed": 3,
        "notes": texts,
        "columns": [
            {
                "column": it,
                "drift": 0.5,
                "n_changed": None,
                "missing_before": 0.0,
                "missing_after": 0.5,
                "before": {"mean": it},
                "after": {"mean": 2.0},
                "movers": [{"value": it, "before": 0.1, "after": 0.2}],
            }
            for it in texts
        ],
        "examples": [
            {"change": "changed", "key": {it: it}, "column": it, "before": it, "after": it}
            for it in texts
        ]
        + [
            {"change": "added", "key": {}, "column": None, "before": None, "after": {it: it}}
            for it in texts
        ],
    }


async def test_hostile_comparisons_are_harmless(orders: Path) -> None:
    async with running(orders, LARGE, "2") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        view = DiffView(page.desk, workspaces.HOSTILE[0], workspaces.HOSTILE[3])
        view.fetch = lambda **_: None  # type: ignore[method-assign]
        pilot.app.push_screen(view)
        await settle(pilot)
        give(view, hostile_result())
        await settle(pilot)
        assert view.state == "filled"
        for _ in range(6):
            assert_harmless(all_text(pilot))
            await pilot.press("pagedown")
            await settle(pilot)
