"""Take the picture of an explanation's page with Chromium, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SIZE = (1280, 2150)
"""Pixels of the page that the picture shows: what stands at its top."""

PICTURE = Path(__file__).parent / "explain-report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def picture(root: Path, target: str) -> None:
    """Explain ``target`` of the workspace at ``root``, and draw the page that comes of it."""
    from local_stack.catalog import call
    from local_stack.workspace import Workspace

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"{PICTURE.name} stays as it is: there is no Chromium.", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        with Workspace.open(root, actor="demo") as workspace:
            call(workspace, "explain.model", {"target": target, "html": str(page)})
        draw(browser, page, PICTURE)


def draw(browser: str, page: Path, target: Path) -> None:
    """Draw the top of a page; nothing is fetched."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--blink-settings=preferredColorScheme=1"]  # light, whatever the machine is
    command += [f"--user-data-dir={page.parent / 'browser'}", f"--screenshot={target}"]
    command += [f"--window-size={SIZE[0]},{SIZE[1]}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    picture(Path(sys.argv[1]), sys.argv[2])
