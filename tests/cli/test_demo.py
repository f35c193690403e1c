"""``paceml-tui demo``: the whole life of a model, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def cut_off() -> list[str]:
    """Return the words that leave a command nothing but loopback, where the kernel lets us."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("ip")):
        return []
    words = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
    works = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    return words if works else []


def test_the_demo_shows_a_whole_life_with_the_network_cut(tmp_path: Path):
    words = [*cut_off(), sys.executable, "-m", "paceml_tui", "demo", "life"]
    ended = subprocess.run(
        words,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stderr
    for said in (
        "data.add",
        "data.profile",
        "runs.train",
        "explain.model",
        "is in Production",
        "serving.predict",
        "prediction",
        "drift.check",
        "DRIFTED",
        "the journal is whole",
    ):
        assert said in ended.stderr + ended.stdout, said
    assert "open the app" in ended.stdout
    assert (tmp_path / "life" / "paceml.toml").is_file()
    from local_stack.workspace import Workspace

    with Workspace.open(tmp_path / "life") as workspace:
        assert (
            workspace.query("SELECT count(*) AS n FROM runs WHERE status = 'FINISHED'")[0]["n"] == 1
        )
        (row,) = workspace.query("SELECT stage FROM model_versions")
        assert row["stage"] == "Production"
