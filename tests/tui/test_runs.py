"""The list of runs: whoever made them, narrowed down by filter, state, experiment and columns."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import workspaces
import workspaces_runs as made
from conftest import LARGE, SMALL, running, settle, text_of, until
from test_screens import text_of_static
from textual.pilot import Pilot
from views_kit import press, words

from local_stack.catalog import call
from local_stack.stores.run_index import relations
from local_stack.workspace import Workspace
from paceml_tui.app import PacemlApp
from paceml_tui.screens import runs_filter
from paceml_tui.screens.runs_remembered import FILE, Remembered, recall, remember
from paceml_tui.widgets.chooser import Chooser


@pytest.fixture
def store(empty: Path) -> Path:
    """Return a workspace whose store other tools wrote to."""
    made.fill_runs(empty)
    return empty


def names(pilot: Pilot[int]) -> list[str]:
    """Return the names of the runs that are listed."""
    return [row["name"] for row in pilot.app.page.listing.rows]  # type: ignore[attr-defined]


async def type_filter(pilot: Pilot[int], text: str) -> None:
    """Put a text into the line of the filter, as if it were typed."""
    pilot.app.page.bar.begin(text)  # type: ignore[attr-defined]
    await pilot.pause()
    await settle(pilot)


async def test_runs_of_other_tools_are_listed_and_broken_ones_say_so(store: Path) -> None:
    async with running(store, SMALL, "3") as pilot:
        shown = text_of(pilot)
        assert "Runs 5" in shown
        assert names(pilot)[:4] == ["loan", "linear", "tree-flat", "tree-deep"]
        assert "└ tree-flat" in shown  # it is nested in the other
        assert "▲ broken" in shown
        assert "✖ FAILED" in shown
        await pilot.resize_terminal(*LARGE)
        await settle(pilot)
        await press(pilot, "G")
        assert pilot.app.page.selected["run_id"] == made.BROKEN  # type: ignore[attr-defined]
        assert "meta.yaml" in words(pilot)
        await press(pilot, "k")
        shown = text_of_static(pilot)
        assert "Nested runs" in shown
        assert "Try it\nwith wine." in shown
        assert "█" in shown  # the curve of the loss
        assert "file://" in shown  # where it was found
        await press(pilot, "k")
        assert "Nested in" in text_of_static(pilot)
        assert "tree-deep" in text_of_static(pilot)


async def test_state_and_experiment_narrow_the_list(store: Path) -> None:
    async with running(store, SMALL, "3 a") as pilot:
        assert "Deleted runs 1" in text_of(pilot)
        assert names(pilot) == ["gone"]
        await press(pilot, "a")
        assert "All runs 6" in text_of(pilot)
        await press(pilot, "a", "E")
        dialog = pilot.app.screen
        assert isinstance(dialog, Chooser)
        assert "loans 1 runs" in words(pilot)
        assert "1 deleted" in words(pilot)
        await press(pilot, "slash", *"loan", "enter")
        assert "Runs of loans 1" in text_of(pilot)
        assert names(pilot) == ["loan"]
        assert "E loans" in text_of(pilot)
        await press(pilot, "C")
        assert "Runs 5" in text_of(pilot)
        assert "all experiments" in text_of(pilot)


async def test_a_fault_is_shown_under_its_place_and_the_whole_part_is_listed(store: Path) -> None:
    async with running(store, SMALL, "3 slash") as pilot:
        await type_filter(pilot, "params.model = 'tree' and metrics.rmse <")
        assert names(pilot) == ["tree-flat", "tree-deep"]
        lines = text_of(pilot).splitlines()
        row = next(n for n, line in enumerate(lines) if "metrics.rmse <" in line and "/" in line)
        assert "A number has to stand here." in lines[row + 1]
        assert lines[row + 1].index("^") == lines[row].index("<") + 1
        assert len(pilot.app.screen_stack) == 1  # no dialog
        await press(pilot, "enter")
        assert pilot.app.focused is pilot.app.page.bar.input  # type: ignore[attr-defined]
        await type_filter(pilot, "params.model = 'tree' and metrics.rmse < 0.7")
        assert names(pilot) == ["tree-deep"]
        assert "^" not in text_of(pilot)
        await press(pilot, "enter")
        assert "filter: params.model = 'tree' and metrics.rmse < 0.7" in text_of(pilot)
        assert pilot.app.focused is pilot.app.page.table  # type: ignore[attr-defined]
        await press(pilot, "c")
        assert "paceml-tui runs search" in words(pilot)


async def test_the_command_for_the_list_lists_the_same_runs(store: Path) -> None:
    async with running(store, SMALL, "3 slash") as pilot:
        await type_filter(pilot, "metrics.rmse < 0.8")
        await press(pilot, "enter")
        while pilot.app.page._sorted_by != "rmse":  # type: ignore[attr-defined]
            await press(pilot, "s")
        request = pilot.app.page.listed()  # type: ignore[attr-defined]
        shown = names(pilot)
        await press(pilot, "slash")
        await type_filter(pilot, "tree")
        assert pilot.app.page.listed() is None  # type: ignore[attr-defined] - words are no search
    assert request is not None
    assert request.arguments["order_by"] == ("metrics.rmse DESC",)
    with Workspace.open(store) as workspace:
        found = call(workspace, request.command, dict(request.arguments))
    assert [run.name for run in found.runs] == shown == ["tree-flat", "tree-deep"]


async def test_keys_are_completed_as_one_types(store: Path) -> None:
    async with running(store, SMALL, "3 slash") as pilot:
        await press(pilot, *"los")
        assert "metrics.loss" in text_of(pilot)
        await press(pilot, "tab")
        line = pilot.app.page.bar.input  # type: ignore[attr-defined]
        assert line.value == "metrics.loss"
        pilot.app.page.bar.begin("metrics.loss < 1 and od")  # type: ignore[attr-defined]
        await press(pilot, "d", "tab")
        assert line.value == "metrics.loss < 1 and params.`odd key`"
        await type_filter(pilot, f"{line.value} = '1'")
        assert names(pilot) == ["tree-deep"]
        await type_filter(pilot, "params.model = 'l")
        await press(pilot, "tab")
        assert line.value == "params.model = 'linear'"
        assert names(pilot) == ["linear"]
        await type_filter(pilot, "attributes.st")
        await press(pilot, "tab")
        first = line.value
        await press(pilot, "tab")
        assert {first, line.value} == {"attributes.start_time", "attributes.status"}
        await press(pilot, "shift+tab")
        assert line.value == first


def test_completions_are_of_the_word_before_the_cursor() -> None:
    known = {"metrics": ("rmse", "train/rmse", "a`b"), "params": ("model", "\x1b[2J"), "tags": ()}
    found = runs_filter.completions("metrics.r < 1 and mod", 9, known)
    assert found[0] == "metrics.rmse"
    assert "metrics.`train/rmse`" in runs_filter.completions("rmse", 4, known)
    assert runs_filter.completions("params.model = 'met", 19, known) == ()  # within a text
    values = {("params", "model"): ("tree", "t'", "\x1b"), ("attributes", "status"): ("FAILED",)}
    for text, expected in (
        ("params.model = '", ("tree'",)),
        ('params.`model` != "tr', ('tree"',)),
        ("tags.a = 'b' and attr.status in ('FINISHED', 'F", ("FAILED'",)),
        ("params.model = 'x", ()),
    ):
        found = runs_filter.completions(text, len(text), known, lambda *at: values.get(at, ()))
        assert found == expected, text
    assert 'metrics."a`b"' in runs_filter.completions("a`b", 3, known)
    assert not any("\x1b" in it for it in runs_filter.completions("params.", 7, known))
    assert "between" in runs_filter.completions("metrics.rmse bet", 16, known)


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("mi", ["min("]),
        ("m", ["min(", "max(", "mean("]),
        ("not (la", ["last("]),
        ("params.model = 'a' and co", ["count("]),
        ("metrics.rmse < fi", ["first("]),
        ("metrics.rmse - st", ["step("]),
        ("step(mi", ["min("]),
        ("step(me", []),  # a mean has no step
        ("max(mi", []),
        ("metrics.rmse mi", []),
        ("params.model like mi", []),
        ("metrics.rmse < 1 mi", []),
        ("min(metrics.rmse) < ma", ["max("]),
    ],
)
def test_functions_of_metrics_are_offered_where_they_fit(text: str, offered: list[str]) -> None:
    known = {"metrics": [f"m{at}" for at in range(60)], "params": ("max_depth",), "tags": ()}
    found = runs_filter.completions(text, len(text), known)
    assert [it for it in found if it.endswith("(")] == offered
    if text.startswith(("step(", "max(")):
        assert all(it.startswith("metrics.") or it in offered for it in found)


@pytest.mark.parametrize(
    "text",
    ["tags." * 4_000, " " * 20_000 + "<", "a" * 20_000 + " ", "(" * 20_000, "x and " * 3_000],
    ids=["heads", "blanks", "letters", "parentheses", "connectors"],
)
def test_a_long_text_is_read_at_once(text: str) -> None:
    began = time.thread_time()  # the square of the length would be minutes
    runs_filter.read(text)
    runs_filter.whole_part(text)
    runs_filter.completions(text, len(text), {})
    assert time.thread_time() - began < 5


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "none"),
        ("light gbm", "words"),
        ("wine.csv", "words"),
        ("metrics.rmse < 1", "search"),
        ("metrics.rmse", "fault"),
        ("not (params.a", "fault"),
        ("' OR 1=1 --", "fault"),
    ],
)
def test_a_text_is_a_search_words_or_a_search_with_a_fault(text: str, kind: str) -> None:
    assert runs_filter.read(text).kind == kind


async def test_columns_are_chosen_and_remembered(store: Path) -> None:
    async with running(store, LARGE, "3 p") as pilot:
        dialog = pilot.app.screen
        assert isinstance(dialog, Chooser)
        assert "Filter params" in text_of(pilot)
        assert "in 2 runs" in text_of(pilot)  # of the depth; deleted runs have a model too
        await press(pilot, "a")
        await choose(pilot, "odd")
        assert "odd key" in header(pilot)
        assert "depth" not in header(pilot)
        assert "p params 1/3" in text_of(pilot)
        await press(pilot, "m")
        await choose(pilot, "loss")
        assert "loss" not in header(pilot)
    async with running(store, LARGE, "3") as pilot:
        assert "odd key" in header(pilot)
        assert "loss" not in header(pilot)
        await press(pilot, "u")
        await choose(pilot, "team")
        assert "team" in header(pilot)
        await press(pilot, "C")
        assert "model" in header(pilot)
        assert "odd key" not in header(pilot)  # there is no room for the third of the params
        assert "p params 3/3" in text_of(pilot)


async def choose(pilot: Pilot[int], text: str) -> None:
    """Turn the first name that holds a text on or off, and take what is chosen."""
    dialog = pilot.app.screen
    assert isinstance(dialog, Chooser)
    dialog.line.value = text
    await press(pilot, "space", "enter")


def header(pilot: Pilot[int]) -> str:
    return text_of(pilot).splitlines()[2]


async def test_filters_are_saved_by_name_taken_and_removed(store: Path) -> None:
    async with running(store, SMALL, "3 F") as pilot:
        await until(pilot, "There is no filter to save.")
        await press(pilot, "slash")
        await type_filter(pilot, "metrics.auc > 0.5")
        await press(pilot, "enter", "F")
        pilot.app.page.query_one("Correction Input").value = "good loans"  # type: ignore[attr-defined]
        await press(pilot, "enter")
        await until(pilot, "Saved as good loans.")
        assert pilot.app.focused is pilot.app.page.table  # type: ignore[attr-defined]
    async with running(store, SMALL, "3") as pilot:
        assert "f 1 saved" in text_of(pilot)
        await press(pilot, "f")
        assert "good loans" in text_of(pilot)
        assert "metrics.auc > 0.5" in text_of(pilot)
        await press(pilot, "enter")
        assert names(pilot) == ["loan"]
        await press(pilot, "enter", "f", "D")
        assert "No filter is saved yet." in words(pilot)
        await press(pilot, "escape")
    assert json.loads((store / "cache" / FILE).read_text())["filters"] == {}


async def test_a_read_only_workspace_is_shown_and_not_written_to(store: Path) -> None:
    with Workspace.open(store) as workspace:
        call(workspace, "runs.search", {})  # somebody indexed it
    before = sorted(path.name for path in (store / "cache").iterdir())
    app = PacemlApp(
        store,
        is_readonly=True,
        clock=lambda: workspaces.NOW,
        measure=lambda _: workspaces.MACHINE,
        beat_seconds=0.1,
    )
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "3", "slash")
        await type_filter(pilot, "metrics.rmse < 1")
        assert "Runs 3 of 5" in text_of(pilot)
        await press(pilot, "enter", "F", *"mine", "enter")
        await until(pilot, "Saved as mine.")  # for as long as the app is open
        assert "f 1 saved" in text_of(pilot)
        await press(pilot, "D", "y")
        assert "read-only" in words(pilot)
    assert sorted(path.name for path in (store / "cache").iterdir()) == before


def test_what_is_remembered_survives_damage(tmp_path: Path) -> None:
    kept = Remembered({"params": ("a", "b")}, {"mine": "metrics.a < 1"})
    remember(tmp_path, kept)
    assert recall(tmp_path) == kept
    for text in ("", "[]", "{", '{"columns": 3, "filters": {"a": 1}}', "[" * 100_000):
        (tmp_path / FILE).write_text(text)
        assert recall(tmp_path) == Remembered()


async def test_what_another_tool_writes_appears(store: Path) -> None:
    async with running(store, SMALL, "3") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        made.add_run(store, "9" * 32, "newcomer")
        page.desk.workspace.run_index.looked = (0.0, 0.0, -1)
        page._look()
        await until(pilot, "newcomer")
        assert "Runs 6" in text_of(pilot)


async def test_marks_stay_while_the_list_changes(store: Path) -> None:
    async with running(store, SMALL, "3 space space") as pilot:
        assert "2 marked" in text_of(pilot)
        await press(pilot, "slash")
        await type_filter(pilot, "tree")
        await press(pilot, "enter", "escape")
        page = pilot.app.page  # type: ignore[attr-defined]
        assert page._marked == (made.LOAN, made.LINEAR)
        assert header(pilot).split()[0] == "mark"
        await press(pilot, "C")
        assert page._marked == ()


async def test_the_list_goes_on_where_a_page_ends(empty: Path) -> None:
    with Workspace.open(empty) as workspace:
        runs = [
            workspaces.row("runs", run_id=f"{n:05d}", name=f"r{n:05d}", started_at=f"{9999 - n}")
            for n in range(1203)
        ]
        workspaces.append(workspace, "runs.many", "runs", *runs)
    async with running(empty, SMALL, "3") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        for key, name in (
            ("G", "r00199"),
            ("j", "r00200"),
            ("k", "r00199"),
            ("G", "r01202"),
            ("j", "r01202"),
            ("g", "r01200"),
            ("g", "r00000"),
            ("k", "r00000"),
            ("pageup", "r00000"),
        ):
            await press(pilot, key)
            assert page.selected["name"] == name, key


N_MANY = 100_000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with the index of a store of many runs that is not there any more."""
    root = tmp_path_factory.mktemp("many") / "studio"
    with Workspace.create(root, actor="ada", tracking_uri="file:///nonexistent/store") as workspace:
        folder = root / "cache" / "tmp" / "many"
        folder.mkdir(parents=True)
        blank = dict.fromkeys(relations.RUNS)
        with (folder / "runs-0.json").open("w") as stream:
            for number in range(N_MANY):
                stream.write(json.dumps({**blank, **_many(number)}) + "\n")
        for name in ("history", "experiments", "models"):
            (folder / f"{name}-0.json").write_text("")
        workspace.run_index.publish(folder, [])
    return root


def _many(number: int) -> dict[str, object]:
    began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    return {
        "run_id": f"{number:032x}",
        "experiment_id": str(number % 20),
        "name": f"run-{number}",
        "status": "FINISHED",
        "lifecycle": "active" if number % 50 else "deleted",
        "started_at": began.isoformat().replace("+00:00", "Z"),
        "params": {"model": ("tree", "linear", "boosted")[number % 3], "depth": str(number % 12)},
        "metrics": {"rmse": number * 7919 % N_MANY / N_MANY, "mae": 1.0},
        "tags": {"team": "red"},
    }


@pytest.mark.slow
async def test_many_runs_scroll_and_filter_without_a_pause(many: Path) -> None:
    expected = sum(
        bool(n % 50) and n * 7919 % N_MANY / N_MANY < 0.25 and n % 3 == 0 for n in range(N_MANY)
    )
    async with running(many, LARGE, "3") as pilot:
        page = pilot.app.page  # type: ignore[attr-defined]
        assert page.listing.n_match == 98_000
        await press(pilot, "G", "G")
        assert page.selected["name"] == "run-1"
        began = time.perf_counter()
        await press(pilot, "slash")
        await type_filter(pilot, "metrics.rmse < 0.25 and params.model = 'tree'")
        assert page.listing.n_match == expected
        assert time.perf_counter() - began < 10  # a machine that is busy with other things
        took = []
        for _ in range(5):
            at = time.thread_time()
            page.table.fill(page.listing, page.name_of)
            took.append(time.thread_time() - at)
        assert sorted(took)[2] < 0.1
        reads = []
        for _ in range(5):
            at = time.perf_counter()
            page.read()
            reads.append(time.perf_counter() - at)
        assert min(reads) < 1
