"""Imports, tags, pushes and answers killed with -9: nothing acknowledged is lost, nothing is half.

Each worker writes what a call has returned to a file of its own. After every round of kills a
checker compares that with the workspace and the remote, reads every visible version whole, and
calls the next command.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars
import pytest
from s3_kit import BUCKET

from local_stack.catalog import call
from local_stack.data import versions
from local_stack.data.sharing import manifests
from local_stack.stores.depots import Depot, depot
from local_stack.workspace import Workspace

WORKER = """
    import itertools, os, random, sys
    from pathlib import Path

    from local_stack import environment
    environment.prepare()
    from local_stack.catalog import call
    from local_stack.workspace import Workspace

    mode, root, acks, remote = sys.argv[1:]
    out = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    source = Path(acks + ".csv")
    dice = random.Random(acks)

    def acknowledge(*words):
        os.write(out, (" ".join(words) + "\\n").encode())

    def add(workspace, name, n):
        rows = dice.choice((3, 3, 20_000))
        text = "x,y\\n" + "".join(f"{n},{k}\\n" for k in range(rows))
        source.write_text(text)
        added = call(workspace, "data.add", {"name": name, "source": str(source)})
        acknowledge("add", name, added.version, str(n), str(rows))
        return added.version

    with Workspace.open(root) as workspace:
        name = f"{mode}-{Path(acks).name}"
        pair = [add(workspace, name, n) for n in range(2)] if mode != "add" else []
        acknowledge("ready", name, "")
        for n in itertools.count(3):
            if mode == "tag":
                version = pair[n % 2]
                call(workspace, "data.tag", {"name": f"{name}@{version}", "tag": f"t{n}-x"})
                acknowledge("tag", name, version, f"t{n}-x")
                call(workspace, "data.tag", {"name": f"{name}@{version}", "tag": "head"})
                acknowledge("head", name, version)
                continue
            if mode == "add":
                add(workspace, name, n)
                continue
            chosen = {"name": [name]} if n % 2 else {}
            call(workspace, "data.push", {"remote": f"{remote}/{name}-{n}", **chosen})
            for version in pair:
                acknowledge("push", name, version, str(n))
"""
MODES = ("add", "tag", "push")


def kill_round(
    workspace: Workspace, remote: str, folder: Path, dice: random.Random, patience: float
) -> str:
    """Start one worker of each kind on the workspace, and kill each at a moment of its own.

    Returns the data set of the one that pushed, each time to a new remote that it is named for.
    """
    names = [folder / f"{mode}-{dice.randrange(10**9)}" for mode in MODES]
    words = [sys.executable, "-c", textwrap.dedent(WORKER)]
    processes = [
        subprocess.Popen([*words, mode, str(workspace.root), str(name), remote])
        for mode, name in zip(MODES, names, strict=True)
    ]
    deadline = time.monotonic() + 120
    for process, name in zip(processes, names, strict=True):
        while not (name.exists() and "ready" in name.read_text()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    for process in dice.sample(processes, len(processes)):
        time.sleep(dice.uniform(0, patience))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    return f"push-{names[-1].name}"


def acknowledged(folder: Path) -> Iterator[list[str]]:
    for path in folder.iterdir():
        if path.suffix != ".csv":
            lines = path.read_text().split("\n")[:-1]
            yield from (line.split() for line in lines if not line.startswith("ready"))


def check(root: Path, folder: Path) -> None:
    """Check that what was acknowledged is there, and that what is there is whole."""
    acks = list(acknowledged(folder))
    with Workspace.open(root) as workspace:
        assert workspace.journal.verify().problem == ""
        for row in workspace.query("SELECT dataset, version FROM data_versions"):
            read_whole(workspace, f"{row['dataset']}@{row['version']}")
        heads: dict[str, str] = {}
        for what, name, version, *rest in acks:
            found = versions.find(workspace, f"{name}@{version}")
            if what == "add":
                table = versions.read(workspace, found)
                n, n_rows = map(int, rest)
                assert table["y"].equals(polars.Series("y", range(n_rows)))
                assert table["x"].unique().to_list() == [n]
            elif what == "tag":
                assert rest[0] in found.tags
            elif what == "head":
                heads[name] = version
        for name, version in heads.items():  # the killed call may have moved it once more
            both = {v for w, n, v, *_ in acks if (w, n) == ("add", name)}
            pointed = versions.find(workspace, f"{name}@head").version
            last = [v for w, n, v, *_ in acks if (w, n) == ("tag", name)][-1]
            assert pointed in {version, last} | (both - {version} if version == last else set())


def check_pushes(workspace: Workspace, remote: str, folder: Path, name: str) -> None:
    """Check every remote that a killed worker pushed to, and push again to the last of them."""
    pushed = [(int(n), v) for what, its, v, *rest in acknowledged(folder)
              if (what, its) == ("push", name) for n in rest]  # fmt: skip
    last = max((n for n, _ in pushed), default=2) + 1
    for n in range(3, last + 1):
        place = depot(f"{remote}/{name}-{n}")
        shown = {found.reference for found in read_remote(place)}
        assert {f"{name}@{version}" for at, version in pushed if at == n} <= shown
    # What was killed may have been all data sets, whose tags others went on to move.
    call(workspace, "data.push", {"remote": f"{remote}/{name}-{last}", "force": True})
    everything = workspace.query("SELECT dataset, version FROM data_versions")
    assert len(list(read_remote(depot(f"{remote}/{name}-{last}")))) == len(everything)


def read_whole(workspace: Workspace, reference: str) -> None:
    row = versions.record(workspace, versions.find(workspace, reference))
    assert not row["collected_at"]
    for item in manifests.objects(row):
        data = workspace.artifacts.locate(item).read_bytes()
        assert hashlib.sha256(data).hexdigest() == item.blob.sha256


def read_remote(place: Depot) -> Iterator[manifests.Manifest]:
    """Yield every visible version of a remote, after reading each of its objects whole."""
    for key in manifests.listed(place):
        manifest = manifests.read(place, key)
        assert manifest is not None
        for item in manifest.objects:
            data = place.read(item.key, item.blob.size + 1)
            assert data is not None
            assert hashlib.sha256(data).hexdigest() == item.blob.sha256
        yield manifest


def check_commands(workspace: Workspace, remote: str, folder: Path) -> None:
    """Check that every command goes on, that cleaning up takes nothing, and a pull gives all."""
    source = folder.parent / "after.csv"
    source.write_text("x\n1\n")
    call(workspace, "data.add", {"name": "after", "source": str(source)})
    call(workspace, "data.tag", {"name": "after", "tag": "golden"})
    assert call(workspace, "data.push", {"remote": remote}).n_changed >= 1
    call(workspace, "doctor.check", {"repair": True})
    assert call(workspace, "doctor.check", {}).findings == ()
    call(workspace, "data.gc", {"older_than": "0s"})
    check(workspace.root, folder)
    with Workspace.create(folder.parent / "fresh") as fresh:
        pulled = call(fresh, "data.pull", {"remote": remote})
        rows = "SELECT dataset, version, n_rows, actor FROM data_versions ORDER BY ALL"
        assert fresh.query(rows) == workspace.query(rows)
        tags = "SELECT * FROM data_tags ORDER BY ALL"
        assert fresh.query(tags) == workspace.query(tags)
        assert {version.state for version in pulled.versions} == {"pulled"}


def kill_loop(
    workspace: Workspace, remote: str, tmp_path: Path, n_kills: int, patience: float = 0.4
) -> None:
    """Kill so many workers, each after at most ``patience`` seconds of work."""
    folder = tmp_path / "acks"
    folder.mkdir()
    dice = random.Random(n_kills)
    for _ in range(0, n_kills, len(MODES)):
        name = kill_round(workspace, remote, folder, dice, patience)
        check(workspace.root, folder)
        check_pushes(workspace, remote, folder, name)
    assert {ack[0] for ack in acknowledged(folder)} >= {"add", "tag", "push"}
    check_commands(workspace, f"{remote}/all", folder)


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.parametrize("n_kills", [9, 60])
def test_kills_of_imports_tags_and_pushes_to_a_folder(workspace, tmp_path, n_kills):
    kill_loop(workspace, str(tmp_path / "remote"), tmp_path, n_kills)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_of_imports_tags_and_pushes_to_a_bucket(workspace, s3_environment, tmp_path):
    kill_loop(workspace, f"s3://{BUCKET}/{tmp_path.name}", tmp_path, 51, 1.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_of_a_workspace_whose_artefacts_lie_in_a_bucket(s3_environment, tmp_path):
    url = f"s3://{BUCKET}/{tmp_path.name}-own"
    with Workspace.create(tmp_path / "ws", artifacts=url) as workspace:
        kill_loop(workspace, f"s3://{BUCKET}/{tmp_path.name}", tmp_path, 30, 1.0)


@pytest.mark.slow
def test_kills_of_the_program_itself(workspace, tmp_path):
    """Each command is a process of its own; exit 0 is what acknowledges."""
    dice = random.Random(0)
    remote = tmp_path / "remote"
    done: list[tuple[Any, ...]] = []
    n_killed, whole = 0, 3.0  # seconds that a command takes, by the first of them
    for n in range(45):
        name = f"d{n}"
        source = tmp_path / f"{name}.csv"
        source.write_text(f"x\n{n}\n")
        for words in (("add", name, str(source)), ("tag", name, "golden"), ("push", str(remote))):
            process = subprocess.Popen(
                [sys.executable, "-m", "paceml_tui", "data", *words],
                env={**os.environ, "PACEML_WORKSPACE": str(workspace.root)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            began = time.monotonic()
            try:
                code = process.wait(60 if n == 0 else dice.uniform(0.1, 2 * whole))
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            if code != 0:
                n_killed += code == -signal.SIGKILL
                break
            done.append((words[0], name))
            whole = min(whole, time.monotonic() - began)
    assert n_killed >= 10
    shown = {found.dataset for found in read_remote(depot(str(remote)))}
    for what, name in done:
        found = versions.find(workspace, name)
        assert versions.read(workspace, found)["x"].to_list() == [int(name[1:])]
        assert what != "tag" or found.tags == ("golden",)
        assert what != "push" or name in shown
    for row in workspace.query("SELECT dataset, version FROM data_versions"):
        read_whole(workspace, f"{row['dataset']}@{row['version']}")
    call(workspace, "doctor.check", {"repair": True})


# Answers of people who label.

LABELLER = """
    import itertools, os, random, sys

    from local_stack import environment
    environment.prepare()
    from local_stack.catalog import call
    from local_stack.workspace import Workspace

    root, acks, actor, can_undo = sys.argv[1:]
    out = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    dice = random.Random(acks)
    asked = {"name": "reviews", "column": "tone", "brief": True}

    def acknowledge(*words):
        os.write(out, (" ".join(words) + "\\n").encode())

    with Workspace.open(root, actor=actor) as workspace:
        row = call(workspace, "data.label", asked).next.row
        acknowledge("ready")
        n_given = 0
        for n in itertools.count():
            if can_undo == "yes" and n_given and dice.random() < 0.2:
                row = call(workspace, "data.label", {**asked, "undo": True}).next.row
                n_given -= 1
                acknowledge("undo", str(row))
                continue
            value, note = dice.choice("abc"), f"{os.getpid()}-{n}"
            given = {"row": row, "value": [value], "note": note}
            done = call(workspace, "data.label", {**asked, **given})
            n_given += 1
            acknowledge("answer", str(row), value, note)
            row = done.next.row
"""


def label_round(root: Path, folder: Path, dice: random.Random, patience: float) -> None:
    """Let ada answer and undo while bob answers in two windows; kill each at its own moment."""
    words = [sys.executable, "-c", textwrap.dedent(LABELLER), str(root)]
    processes = []
    for actor, can_undo in (("ada", "yes"), ("bob", "no"), ("bob", "no")):
        acks = folder / f"{actor}-{time.time_ns()}"
        processes.append((subprocess.Popen([*words, str(acks), actor, can_undo]), acks))
    deadline = time.monotonic() + 120
    for process, acks in processes:
        while not (acks.exists() and "ready" in acks.read_text()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    for process, _ in dice.sample(processes, len(processes)):
        time.sleep(dice.uniform(0, patience))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def told(event: dict[str, Any]) -> list[str]:
    """Return an event of the labelling as the worker acknowledges it."""
    body = event["body"]
    if event["kind"] == "data.label_undone":
        return ["undo", str(body["rows"][0])]
    return ["answer", str(body["row"]), body["classes"][0], body["note"]]


def check_labels(root: Path, folder: Path) -> int:
    """Check every acknowledged answer, and that the index is what the events come to."""
    with Workspace.open(root) as workspace:
        assert workspace.journal.verify().problem == ""
        events = workspace.query(
            "SELECT * FROM events WHERE kind IN ('data.labelled', 'data.label_undone') ORDER BY seq"
        )
        ada = [told(event) for event in events if event["actor"] == "ada"]
        at = 0
        for acks in sorted(folder.glob("ada-*")):  # one life after the other
            life = [line.split() for line in acks.read_text().split("\n")[1:-1]]
            assert ada[at : at + len(life)] == life
            at += len(life)
            following = sorted(folder.glob("ada-*"))
            at += at < len(ada) and is_unacknowledged(ada[at:], following, acks)
        assert at == len(ada)
        bob = {" ".join(told(event)) for event in events if event["actor"] == "bob"}
        lives = list(folder.glob("bob-*"))
        known = {line for acks in lives for line in acks.read_text().split("\n")[1:-1]} - {"ready"}
        assert known <= bob
        assert len(bob - known) <= len(lives)  # each was killed in one call at most
        stacks: dict[str, list[tuple[int, str]]] = {"ada": [], "bob": []}
        for event in events:
            what, row, *rest = told(event)
            stack = stacks[event["actor"]]
            if what == "undo":
                assert stack.pop()[0] == int(row)
            else:
                stack.append((int(row), rest[0]))
        for actor, stack in stacks.items():
            rows = workspace.query(
                'SELECT "row", classes FROM labels WHERE actor = ? ORDER BY turn', actor
            )
            assert [(it["row"], it["classes"][0]) for it in rows] == stack
        return len(events)


def is_unacknowledged(rest: list[list[str]], lives: list[Path], acks: Path) -> bool:
    """Return whether the next event is of the killed call, not of the life that followed."""
    later = lives[lives.index(acks) + 1 :]
    for life in later:
        lines = life.read_text().split("\n")[1:-1]
        if lines:
            return rest[0] != lines[0].split()
    return True


@pytest.mark.timeout(900)
@pytest.mark.parametrize("n_kills", [6, pytest.param(90, marks=pytest.mark.slow)])
def test_kills_of_people_who_label(workspace, tmp_path, n_kills):
    source = tmp_path / "reviews.csv"
    source.write_text("id\n" + "".join(f"{n}\n" for n in range(100_000)))
    call(workspace, "data.add", {"name": "reviews", "source": str(source)})
    asked = {"name": "reviews", "column": "tone"}
    call(workspace, "data.label", {**asked, "classes": ["a,b,c"]})
    folder = tmp_path / "answers"
    folder.mkdir()
    dice = random.Random(n_kills)
    n_events = 0
    for _ in range(0, n_kills, 3):
        label_round(workspace.root, folder, dice, 0.7)
        n_events = check_labels(workspace.root, folder)
    assert n_events > n_kills
    shown = call(workspace, "data.label", asked)
    assert {it.actor for it in shown.annotators} <= {"ada", "bob"}
    finished = call(workspace, "data.label", {**asked, "finish": True, "partial": True})
    table = versions.read(workspace, versions.find(workspace, finished.made[0]))
    assert table["tone"].is_not_null().sum() == finished.n_labelled
