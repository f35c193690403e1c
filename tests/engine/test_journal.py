"""The journal: nothing acknowledged is lost, nothing damaged is believed, nobody waits for ever."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.errors import DamagedError, WorkspaceBusyError
from local_stack.stores import journal as module
from local_stack.stores.journal import GENESIS, START, Draft, Event, Journal
from local_stack.workspace import Workspace

WRITER = """
    import os, random, sys
    from pathlib import Path
    from local_stack.stores.journal import Draft, Journal

    folder, acknowledged, name, limit = sys.argv[1:]
    journal = Journal(Path(folder), wait_seconds=60, segment_bytes=200_000)
    out = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    dice = random.Random(name)
    for number in range(int(limit)):
        token = f"{name}-{number}"
        text = "x" * dice.choice((10, 300, 70_000 if number % 7 == 3 else 20))
        event = journal.append(name, "test", lambda: Draft("test", token, {"text": text}))
        os.write(out, f"{event.seq} {event.hash} {token}\\n".encode())
"""


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended_well(process: subprocess.Popen[bytes], seconds: float = 60) -> str:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal", wait_seconds=5, segment_bytes=1 << 26)
    made.create()
    return made


def small(journal: Journal) -> Journal:
    """The same journal with segments of about three events."""
    return Journal(journal.folder, wait_seconds=5, segment_bytes=1000)


def note(journal: Journal, number: int, **body: object) -> Event:
    event = journal.append(
        "tester", "test", lambda: Draft("test.noted", f"note:{number}", {"n": number, **body})
    )
    assert event is not None
    return event


def segments(journal: Journal) -> list[Path]:
    return sorted(journal.folder.glob("*.jsonl"))


def subjects(journal: Journal) -> list[str]:
    return [event.subject for event, _ in journal.read(START)]


def test_each_line_is_canonical_and_seals_the_one_before(journal):
    for number in range(5):
        note(journal, number, text="é😀\x1b[2J\u202e", nested={"b": [1, 2.5, None], "a": True})
    previous = GENESIS
    for number, line in enumerate(segments(journal)[0].read_bytes().splitlines()):
        assert all(0x20 <= byte < 0x7F for byte in line)
        content = json.loads(line)
        claimed = content.pop("hash")
        spelled = json.dumps(content, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(spelled.encode()).hexdigest() == claimed
        assert (content["prev"], content["seq"], content["actor"]) == (
            previous,
            number + 1,
            "tester",
        )
        assert content["body"]["text"] == "é😀\x1b[2J\u202e"
        previous = claimed
    assert journal.verify() == module.Verdict(5, previous, "", "")


def test_half_a_character_is_replaced_and_what_no_json_holds_is_refused(journal):
    assert note(journal, 1, text="name\udc80\ud800").body["text"] == "name??"
    assert note(journal, 2, text="😀").body["text"] == "😀"
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            note(journal, 3, value=value)
    with pytest.raises(TypeError):
        note(journal, 3, value=object())
    assert subjects(journal) == ["note:1", "note:2"]
    assert journal.verify().problem == ""


def test_a_decision_that_declines_or_raises_writes_nothing(journal):
    assert journal.append("tester", "test", lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        journal.append("tester", "test", lambda: 1 / 0)
    assert note(journal, 1).seq == 1


@pytest.mark.parametrize("torn", ["byte", "half", "all but the newline", "zeros"])
def test_a_torn_tail_is_left_to_its_writer_then_cut_and_recorded(journal, torn):
    note(journal, 1)
    whole = note(journal, 2)
    path = segments(journal)[0]
    line = path.read_bytes().splitlines()[1]
    tail = {"byte": b"{", "half": line[:99], "all but the newline": line, "zeros": bytes(512)}[torn]
    with path.open("ab") as stream:
        stream.write(tail)
    assert subjects(journal) == ["note:1", "note:2"]
    assert journal.verify().problem == ""
    note(journal, 3)
    repaired, third = [event for event, _ in journal.read(START)][2:]
    assert (repaired.kind, repaired.prev, third.subject) == (
        "journal.repaired",
        whole.hash,
        "note:3",
    )
    assert repaired.body == {"n_bytes_cut": len(tail), "sha256": hashlib.sha256(tail).hexdigest()}
    assert journal.verify().problem == ""


def test_segments_roll_and_every_position_leads_to_the_rest(journal):
    journal = small(journal)
    for number in range(30):
        note(journal, number)
    assert len(segments(journal)) > 5
    events = list(journal.read(START))
    assert [event.seq for event, _ in events] == list(range(1, 31))
    for event, position in events:
        assert journal.holds(position)
        assert [later.seq for later, _ in journal.read(position)] == list(range(event.seq + 1, 31))
    whole = b"".join(path.read_bytes() for path in segments(journal))
    assert journal.digest(events[-1][1]) == hashlib.sha256(whole).hexdigest()
    assert journal.verify().n_events == 30


def test_a_writer_killed_between_making_a_segment_and_filling_it_is_harmless(journal):
    journal = small(journal)
    for number in range(3):
        note(journal, number)
    (journal.folder / f"{len(segments(journal)) + 1:06d}.jsonl").touch()
    assert journal.verify().problem == ""
    assert note(journal, 3).seq == 4
    assert journal.verify().n_events == 4


def test_a_segment_that_fills_and_rolls_behind_a_reader_is_read_to_its_end(journal):
    journal = small(journal)
    note(journal, 0)
    reader: Iterator[object] = iter(journal.read(START))
    seen = [next(reader)]
    for number in range(1, 12):  # rolls several times between two looks of the reader
        note(journal, number)
    seen += list(reader)
    seen += list(journal.read(seen[-1][1]))
    assert [event.subject for event, _ in seen] == [f"note:{n}" for n in range(12)]


def damaged_middle(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"n":', b'"m":')
    path.write_bytes(b"".join(lines))


def test_a_damaged_middle_line_is_named_and_never_skipped(journal):
    for number in range(6):
        note(journal, number)
    path = segments(journal)[0]
    start_of_third = sum(map(len, path.read_bytes().splitlines(keepends=True)[:2]))
    damaged_middle(path)
    verdict = journal.verify()
    assert verdict.n_events == 2
    assert verdict.place == f"000001.jsonl, byte {start_of_third}, after event 2"
    assert "hash does not match" in verdict.problem
    read = []
    with pytest.raises(DamagedError) as caught:
        read.extend(event.seq for event, _ in journal.read(START))
    assert caught.value.exit_code == 4
    assert caught.value.details["after_seq"] == 2


@pytest.mark.parametrize("is_published", [False, True])
def test_damage_stops_writing_while_reading_still_answers(tmp_path, is_published):
    with Workspace.create(tmp_path / "ws", actor="tester") as first:
        for number in range(6):
            note(first.journal, number)
        if is_published:  # a later process would load this and never see the damage
            first.query("SELECT 1 AS x")
            first.metadata.publish(force=True)
    if not is_published:
        (first.root / "metadata.duckdb").unlink()
    damaged_middle(first.root / "journal" / "000001.jsonl")
    before = (first.root / "journal" / "000001.jsonl").read_bytes()
    with Workspace.open(first.root) as second:
        with pytest.raises(DamagedError, match="after event 2"):
            second.append(lambda _: Draft("test", "refused", {}))
        assert second.query("SELECT count(*) AS n FROM events") == [{"n": 2}]
        assert second.metadata.damage is not None
    assert (first.root / "journal" / "000001.jsonl").read_bytes() == before


@pytest.mark.parametrize("which", [0, 2])
def test_a_missing_segment_is_damage(journal, which):
    journal = small(journal)
    for number in range(20):
        note(journal, number)
    segments(journal)[which].unlink()
    verdict = journal.verify()
    assert "segment is missing" in verdict.problem
    assert verdict.place.startswith(f"{which + 1:06d}.jsonl")


def tampered(kind: str, lines: list[list[bytes]], dice: random.Random) -> None:
    """Change the segments as ``kind`` says; the last event and its newline stay."""
    flat = [(s, i) for s, segment in enumerate(lines) for i in range(len(segment))]
    segment, index = dice.choice(flat[:-1])
    line = lines[segment][index]
    if kind == "flip":
        place, bit = dice.randrange(len(line)), 1 << dice.randrange(8)
        lines[segment][index] = line[:place] + bytes([line[place] ^ bit]) + line[place + 1 :]
    elif kind == "forge":  # a new body with a hash that fits it
        content = json.loads(line)
        del content["hash"]
        content["body"]["n"] += 1
        sealed = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        content["hash"] = hashlib.sha256(sealed).hexdigest()
        lines[segment][index] = (
            json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        )
    elif kind == "respell":  # the same JSON, written otherwise
        lines[segment][index] = line.replace(b'":', b'": ', 1)
    elif kind == "delete":
        del lines[segment][index]
    elif kind == "swap":
        other_segment, other = dice.choice([f for f in flat[:-1] if f != (segment, index)])
        lines[segment][index], lines[other_segment][other] = lines[other_segment][other], line
    elif kind == "replay":
        where, at = dice.choice(flat[1:])
        lines[where].insert(at, line)
    else:  # cut the end off a segment that has a successor
        segment = dice.randrange(len(lines) - 1)
        joined = b"".join(lines[segment])
        lines[segment] = [joined[: dice.randrange(len(joined))]]


KINDS = ("flip", "forge", "respell", "delete", "swap", "replay", "truncate")


@pytest.mark.parametrize("n_cases", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_every_tampering_is_found(journal, n_cases):
    journal = small(journal)
    for number in range(40):
        note(journal, number)
    original = {path: path.read_bytes() for path in segments(journal)}
    missed = []
    for case in range(n_cases):
        kind = KINDS[case % len(KINDS)]
        lines = [data.splitlines(keepends=True) for data in original.values()]
        tampered(kind, lines, random.Random(case))
        for path, part in zip(original, lines, strict=True):
            path.write_bytes(b"".join(part))
        assert any(path.read_bytes() != data for path, data in original.items())
        if not journal.verify().problem:
            missed.append((case, kind))
    assert missed == []


def test_two_processes_that_number_things_never_give_one_number_twice(tmp_path):
    Workspace.create(tmp_path / "ws").close()
    script = """
        import sys
        from local_stack.stores.journal import Draft
        from local_stack.workspace import Workspace

        def register(state):
            row = state.get("models", "m") or {"name": "m", "latest": 0}
            number = row["latest"] + 1
            version = {"name": "m", "version": number, "actor": sys.argv[2]}
            return Draft("registered", "model:m", {"version": number}, [
                ("models", {**row, "latest": number}), ("model_versions", version)])

        with Workspace.open(sys.argv[1]) as workspace:
            for _ in range(25):
                print(workspace.append(register).body["version"])
    """
    both = [start(script, tmp_path / "ws", name) for name in ("one", "two")]
    given = [int(number) for process in both for number in ended_well(process).split()]
    assert sorted(given) == list(range(1, 51))
    with Workspace.open(tmp_path / "ws") as workspace:
        rows = workspace.query("SELECT version, actor FROM model_versions ORDER BY version")
    assert [row["version"] for row in rows] == list(range(1, 51))
    assert {row["actor"] for row in rows} == {"one", "two"}


def test_a_lock_that_is_held_for_good_ends_in_a_sentence_and_reading_goes_on(tmp_path):
    with Workspace.create(tmp_path / "ws", actor="tester") as workspace:
        holder = start(
            """
            import sys, time
            from pathlib import Path
            from local_stack.stores.journal import Journal

            def decide():
                print("held", flush=True)
                time.sleep(60)

            Journal(Path(sys.argv[1]), wait_seconds=1, segment_bytes=1).append(
                "other", "runs.train", decide)
            """,
            workspace.journal.folder,
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            waiting = Journal(workspace.journal.folder, wait_seconds=0.5, segment_bytes=1)
            before = time.monotonic()
            with pytest.raises(WorkspaceBusyError) as caught:
                note(waiting, 1)
            assert 0.4 < time.monotonic() - before < 5
            assert f"process {holder.pid} (runs.train)" in caught.value.message
            assert caught.value.details["pid"] == holder.pid
            assert caught.value.exit_code == 3
            assert workspace.query("SELECT kind FROM events") == [{"kind": "workspace.created"}]
            assert workspace.journal.verify().n_events == 1
        finally:
            holder.kill()
            holder.communicate()
        assert note(workspace.journal, 2).seq == 2  # the lock died with its holder


def test_a_holder_that_left_no_name_is_named_by_the_kernel(journal):
    descriptor = os.open(journal.folder / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(WorkspaceBusyError, match=f"process {os.getpid()} "):
            note(Journal(journal.folder, wait_seconds=0, segment_bytes=1), 1)
    finally:
        os.close(descriptor)


def acknowledged(paths: list[Path]) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for path in paths:
        for line in path.read_bytes().split(b"\n")[:-1]:
            seq, digest, token = line.decode().split(" ")
            found[token] = (int(seq), digest)
    return found


def assert_all_there(journal: Journal, acks: dict[str, tuple[int, str]]) -> None:
    written = {event.subject: (event.seq, event.hash) for event, _ in journal.read(START)}
    n_lines = sum(1 for _ in journal.read(START))
    repairs = [e for e, _ in journal.read(START) if e.kind == "journal.repaired"]
    assert n_lines == len(written) + max(0, len(repairs) - 1)  # no token twice
    assert {token: written.get(token) for token in acks} == acks
    assert journal.verify().problem == ""


@pytest.mark.parametrize("n_events", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_four_writers_lose_nothing_and_double_no_number(journal, tmp_path, n_events):
    acks = [tmp_path / f"ack-{number}" for number in range(4)]
    writers = [
        start(WRITER, journal.folder, ack, ack.name, n_events) for number, ack in enumerate(acks)
    ]
    for writer in writers:
        ended_well(writer, 280)
    found = acknowledged(acks)
    assert len(found) == 4 * n_events
    assert sorted(seq for seq, _ in found.values()) == list(range(1, 4 * n_events + 1))
    assert_all_there(journal, found)
    assert len(segments(journal)) > 1


@pytest.mark.parametrize("n_kills", [15, pytest.param(200, marks=pytest.mark.slow)])
def test_no_kill_loses_an_acknowledged_event(journal, tmp_path, n_kills):
    dice = random.Random(n_kills)
    acks: list[Path] = []
    while len(acks) < n_kills:
        names = [tmp_path / f"ack-{len(acks) + k}" for k in range(min(5, n_kills - len(acks)))]
        writers = [start(WRITER, journal.folder, ack, ack.name, 10**6) for ack in names]
        deadline = time.monotonic() + 60
        while not all(ack.exists() and ack.stat().st_size for ack in names):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for writer in writers:
            time.sleep(dice.uniform(0, 0.03))
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            writer.communicate()
            assert writer.returncode == -signal.SIGKILL
        acks += names
    note(journal, 0)  # cuts what the last one left
    found = acknowledged(acks)
    assert len(found) >= n_kills
    assert_all_there(journal, found)
