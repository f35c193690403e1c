"""Take the picture of every screen from the demo workspace: ``make screenshots``.

Runs the demo in a temporary folder, opens the app on it without a terminal, and draws each
screen as PNG. Needs ``rsvg-convert`` (Debian: librsvg2-bin).
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import explain_report  # noqa: E402

from local_stack import environment  # noqa: E402

SIZE = (160, 45)
VIEWS = {
    "data-diff": "2 d",
    "data-contract": "2 K",
    "data-profile": "2 p",
    "data-variable": "2 p 3 G k k k enter",
    "data-recipe": "2 R i G",
    "data-diligence": "2 i wait 3",
    "data-label": "2 L",
    "data-import": "2 n",
    "runs-run": "3 o",
    "runs-compare": "3 space j space d",
}
"""Pictures of views over a screen, and the keys that lead there; ``wait`` waits for a job."""

SEARCH = "search: {trials: 16, space: {num_leaves: [4, 63], learning_rate: {log: [0.01, 0.3]}}}"
"""What is added to a sample recipe for the picture of a tuning."""
CHANGED = {"params.num_leaves": "31", "calibrate": "isotonic", "": "early_stopping=50"}
"""What the picture of a branch changes."""

ASKED = {"fairness": {"by": ("age", "employment")}, "compare": {"against": "loans@y2025"}}
"""What the pictures of groups and of a comparison ask for."""

IMPORTED = "sample_data/loans_2025.csv"
"""What the picture of the import looks at."""
SETTLE_SECONDS = 3.0


async def picture_screens(root: Path) -> None:
    """Visit every screen of the workspace at ``root`` and draw it."""
    from local_stack.catalog import WORDS
    from paceml_tui.app import PacemlApp

    begin_labels(root)
    train_once_more(root)
    app = PacemlApp(root)
    async with app.run_test(size=SIZE) as pilot:
        await asyncio.sleep(SETTLE_SECONDS)
        for number, word in enumerate(WORDS, 1):
            await pilot.press(str(number))
            await asyncio.sleep(SETTLE_SECONDS)
            await pilot.pause()
            draw(app.export_screenshot(title=f"paceml-tui: {word}"), HERE / f"{word}.png")
        for name, keys in VIEWS.items():
            for key in keys.split():
                if key != "wait":
                    await pilot.press(key)
                await asyncio.sleep(6 * SETTLE_SECONDS if key == "wait" else SETTLE_SECONDS)
            if name == "data-import":
                from paceml_tui.widgets.picker import SourcePicker

                app.screen.post_message(SourcePicker.Picked(IMPORTED))
            await asyncio.sleep(6 * SETTLE_SECONDS)  # a comparison, or a profile, is a job
            await picture(pilot, name)
            await pilot.press(*["escape"] * 5)
        await picture_explanation(pilot)
        await picture_training(pilot, root)


async def picture_explanation(pilot: Any) -> None:
    """Draw the explanation of the model: features, all rows, one that is edited, groups, years."""
    await pilot.press("4", "enter")
    await asyncio.sleep(2 * SETTLE_SECONDS)
    view = pilot.app.screen
    for name, keys in {"explain-features": "j", "explain-beeswarm": "2"}.items():
        await pilot.press(*keys.split())
        await asyncio.sleep(SETTLE_SECONDS)
        await picture(pilot, name)
    for part, asked in ASKED.items():
        await pilot.press(str(view.PARTS.index(part) + 1))
        view.ask_part(part, asked)
        await answered(view.answer_part(part))
        await pilot.press("j")
        await asyncio.sleep(SETTLE_SECONDS)
        await picture(pilot, f"explain-{part}")
    await pilot.press("4")
    await answered(view.query_one("#rows"))
    await pilot.press("o", "end", "enter")
    await asyncio.sleep(3 * SETTLE_SECONDS)
    await picture(pilot, "explain-rows")
    await pilot.press("enter")
    await asyncio.sleep(3 * SETTLE_SECONDS)
    await pilot.press("3", "a")
    await asyncio.sleep(SETTLE_SECONDS)
    await picture(pilot, "explain-row")
    await pilot.press(*["escape"] * 3)


async def answered(part: Any) -> None:
    """Wait until a part has its answer, not for ever."""
    for _ in range(120):
        if not part.is_waiting:
            return
        await asyncio.sleep(1)


async def picture_training(pilot: Any, root: Path) -> None:
    """Begin a tuning from the form, and draw it at work, what it gave, and a branch of it."""
    app = pilot.app
    recipe = root / "recipes" / "loans-tuning.yaml"
    recipe.parent.mkdir(exist_ok=True)
    recipe.write_text(Path("sample_data/loans-recipe.yaml").read_text() + SEARCH)
    await pilot.press("3", "n")
    await asyncio.sleep(SETTLE_SECONDS)
    given = {"file": str(recipe), "trials": "16", "workers": "2"}
    await fill_in(app.screen, given)
    await pilot.press("ctrl+r")
    view = app.screen
    while len(getattr(getattr(view, "_study", None), "valued", ())) < 9:
        await asyncio.sleep(0.5)
        view = app.screen
    await picture(pilot, "runs-training")
    while view._job.is_alive:
        await asyncio.sleep(1)
    for name, keys in {"runs-study": "o 7", "runs-evaluation": "6 j j", "runs-branch": "b"}.items():
        for key in keys.split():
            await pilot.press(key)
            await asyncio.sleep(SETTLE_SECONDS)
        if name == "runs-branch":
            await fill_in(app.screen, CHANGED)
        await picture(pilot, name)


async def fill_in(form: Any, given: dict[str, str]) -> None:
    """Fill in the fields of a form of recipes, by name."""
    for place, field in enumerate(form._fields):
        if field.name in given:
            form.query_one(f"#field-{place}").value = given[field.name]
    await asyncio.sleep(SETTLE_SECONDS)


async def picture(pilot: Any, name: str) -> None:
    """Draw what is shown now."""
    await pilot.pause()
    draw(pilot.app.export_screenshot(title=f"paceml-tui: {name}"), HERE / f"{name}.png")


def begin_labels(root: Path) -> None:
    """Declare what the picture of the queue shows."""
    from local_stack.catalog import call
    from local_stack.workspace import Workspace

    wanted = {"name": "loans", "column": "purpose_checked", "classes": "right,wrong,unclear"}
    with Workspace.open(root, actor="demo") as workspace:
        call(workspace, "data.label", wanted)


def train_once_more(root: Path) -> None:
    """Train a second model, so that there is something to compare."""
    from local_stack.catalog import call
    from local_stack.workspace import Workspace

    given = {"recipe": "sample_data/loans-recipe.yaml", "set": "params.n_estimators=40"}
    with Workspace.open(root, actor="demo") as workspace:
        call(workspace, "runs.train", given)


def draw(svg: str, target: Path) -> None:
    """Turn a screenshot into a PNG with the fonts of this machine; nothing is fetched."""
    svg = re.sub(r"@font-face\s*{[^}]*}", "", svg)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono")
    svg = svg.replace("<text ", '<text xml:space="preserve" ')  # spaces are part of a screen
    subprocess.run(
        ["rsvg-convert", "--zoom", "0.8", "--output", str(target)], input=svg.encode(), check=True
    )


def main() -> None:
    """Run the demo, then draw every screen of its workspace."""
    environment.prepare()
    os.environ["PACEML_ACTOR"] = "demo"
    given = [Path(word).absolute() for word in sys.argv[1:2]]
    os.chdir(HERE.parent)
    if shutil.which("rsvg-convert") is None:
        sys.exit("rsvg-convert is missing; on Debian and Ubuntu install librsvg2-bin.")
    with tempfile.TemporaryDirectory() as folder:
        root = given[0] if given else Path(folder) / "demo"
        if not given:
            command = [sys.executable, "-m", "paceml_tui", "demo", str(root)]
            env = {**os.environ, "PACEML_ACTOR": "demo"}
            subprocess.run(command, cwd=HERE.parent, env=env, check=True, stdin=subprocess.DEVNULL)
        asyncio.run(picture_screens(root))
        explain_report.picture(root, "loans@Production")


if __name__ == "__main__":
    main()
