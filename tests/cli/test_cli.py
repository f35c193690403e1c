"""The program as scripts call it: one JSON document, honest exit codes, harmless text."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

Program = Callable[..., subprocess.CompletedProcess[str]]
HOSTILE = "[/nope]\x1b[2J"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run ``paceml-tui`` in ``tmp_path`` and return how it ended."""

    def run(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "paceml_tui", *words],
            cwd=tmp_path,
            env={**os.environ, "PACEML_ACTOR": "tester", **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def made(program: Program, tmp_path: Path) -> Program:
    """The same, in a folder with a workspace ``ws`` and a small table."""
    assert program("init", "ws").returncode == 0
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n3,z\n")

    def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
        return program(*words, "--workspace", "ws", **options)

    return run


def document(ended: subprocess.CompletedProcess[str]) -> dict:
    assert "Traceback" not in ended.stderr
    return json.loads(ended.stdout)


def test_json_is_one_document_with_the_result(made):
    ended = made("data", "add", "t", "t.csv", "--target", "b", "--json")
    assert ended.returncode == 0
    answer = document(ended)
    assert (answer["ok"], answer["command"]) == (True, "data.add")
    assert (answer["result"]["rows"], answer["result"]["target"]) == (3, "b")
    listed = document(made("--json", "data", "list"))
    assert [d["name"] for d in listed["result"]["datasets"]] == ["t"]


def test_flags_stand_in_any_order(program, made, tmp_path):
    made("data", "add", "t", "t.csv")
    for words in (
        ("--json", "--workspace", "ws", "data", "show", "t", "--limit", "1"),
        ("data", "show", "--limit=1", "t", "--workspace=ws", "--json"),
        ("data", "--json", "show", "--limit", "1", "--workspace", "ws", "t"),
    ):
        ended = program(*words)
        assert ended.returncode == 0, ended.stderr
        assert document(ended)["result"]["rows"] == [[1, "x"]]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("data", "add", "t", "nope.csv"), 2, "There is no file nope.csv"),
        (("data", "shwo", "t"), 2, "Did you mean 'show'?"),
        (("data", "show", "nope"), 2, "There is no data set 'nope'"),
        (("data", "show"), 2, "data.show needs name"),
        (("data", "show", "t", "--limt", "1"), 2, "--limit"),
        (("data", "show", "t", "--limit", "many"), 2, "'many'"),
        (("registry", "promote", "m", "1", "Prodction"), 2, "Prodction"),
        (("dta",), 2, "Did you mean 'data'?"),
        (("runs", "search", "metrics.rmse <"), 2, "metrics.rmse <"),
        (("jobs", "show", "nope"), 2, "There is no job"),
        (("audit", "log", "--limit"), 2, "limit"),
        (("audit", "log", "--limit", "99999999999999999999"), 2, "whole number"),
        (("audit", "log", "--since", "yesterday"), 2, "not a time"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(made, words, code, said):
    ended = made(*words)
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    answer = document(made(*words, "--json"))
    assert answer["ok"] is False
    assert answer["error"]["message"]


def test_without_a_workspace_the_way_out_is_named(program):
    ended = program("data", "list")
    assert ended.returncode == 2
    assert "not inside a workspace" in ended.stderr
    assert "paceml-tui init" in ended.stderr


def test_without_a_terminal_the_bare_program_prints_usage_and_exits_2(program):
    for env in ({}, {"TERM": "dumb"}):
        ended = program(env=env)
        assert ended.returncode == 2
        assert "Usage: paceml-tui" in ended.stderr
        assert "--batch" in ended.stderr


def test_help_of_every_command_shows_an_example(program):
    from local_stack.catalog import commands

    overview = program("--help")
    assert overview.returncode == 0
    for command in commands().values():
        if command.word not in ("pipeline", "doctor"):
            assert command.verb in overview.stdout
    for words in (("data", "add"), ("registry", "promote"), ("drift", "check"), ("doctor",)):
        ended = program(*words, "--help")
        assert ended.returncode == 0
        assert "Example: paceml-tui" in ended.stdout
    assert program("data").returncode == 0
    assert program("--version").stdout.startswith("paceml-tui 0.")


def test_readonly_refuses_writing_and_answers_reading(made):
    made("data", "add", "t", "t.csv")
    refused = made("--readonly", "data", "add", "u", "t.csv", "--json")
    assert refused.returncode == 2
    assert document(refused)["error"]["code"] == "read_only"
    assert made("data", "show", "t", "--readonly").returncode == 0


def test_a_check_that_says_no_exits_4_with_the_whole_result(made, tmp_path):
    made("data", "add", "t", "t.csv")
    (tmp_path / "c.yaml").write_text("columns:\n  a: {max: 2}\n")
    made("data", "contract", "t", "--set", "c.yaml")
    ended = made("data", "check", "t", "--json")
    assert ended.returncode == 4
    answer = document(ended)
    assert answer["error"]["code"] == "contract_failed"
    assert answer["result"]["passed"] is False
    assert answer["result"]["checks"][0]["rows"] == [2]


def test_hostile_text_reaches_no_terminal(made, tmp_path):
    (tmp_path / "h.csv").write_text(f'"{HOSTILE}",b\n"{HOSTILE}",2\n')
    for words in (
        ("data", "add", "h", "h.csv", "--note", HOSTILE),
        ("data", "show", "h"),
        ("data", "add", HOSTILE, "h.csv"),
        ("data", "show", HOSTILE),
        ("audit", "log"),
        ("jobs", "list"),
        ("tower", "show"),
        ("data", "add", "x", HOSTILE),
    ):
        ended = made(*words)
        assert "\x1b" not in ended.stdout + ended.stderr, words
        assert "Traceback" not in ended.stderr


def test_batch_makes_its_workspace_reports_and_skips_the_second_time(program, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,x\n")
    (tmp_path / "p.yaml").write_text(
        "name: small\nsteps:\n  - data.add: {name: t, source: t.csv}\n  - data.list: {}\n"
    )
    ended = program("--batch", "p.yaml", "--json", "--report", "out")
    assert ended.returncode == 0, ended.stderr
    answer = document(ended)
    assert [s["status"] for s in answer["result"]["steps"]] == ["done", "done"]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["ok"] is True
    suite = ElementTree.parse(tmp_path / "out/junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")
    assert "| data.add |" in (tmp_path / "out/summary.md").read_text()
    again = document(program("--batch", "p.yaml", "--json", "--report", "out"))
    assert again["result"]["steps"][0]["status"] == "skipped"
    assert "unchanged since" in again["result"]["steps"][0]["reason"]


def test_batch_failures_keep_the_report_and_the_exit_code(program, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,x\n")
    (tmp_path / "p.yaml").write_text(
        "steps:\n  - data.add: {name: t, source: t.csv, target: nope}\n  - data.list: {}\n"
    )
    ended = program("--batch", "p.yaml", "--json", "--report", "out")
    assert ended.returncode == 2
    assert document(ended)["result"]["steps"][1]["status"] == "not_run"
    suite = ElementTree.parse(tmp_path / "out/junit.xml").getroot()
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")
    (tmp_path / "p.yaml").write_text("steps:\n  - data.ad: {}\n")
    bad = program("--batch", "p.yaml")
    assert bad.returncode == 2
    assert "p.yaml, line 2" in bad.stderr
    assert "data.add" in bad.stderr


def test_a_lock_held_for_good_ends_3_naming_its_holder_and_reading_answers(made, tmp_path):
    made("data", "add", "t", "t.csv")
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, json, os, sys, time\n"
            "f = open('ws/journal/lock', 'r+')\n"
            "fcntl.flock(f, fcntl.LOCK_EX)\n"
            "f.write(json.dumps({'pid': os.getpid(), 'command': 'stuck', 'since': 'now'}))\n"
            "f.flush(); print('held', flush=True); time.sleep(60)",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        env = {"PACEML_JOURNAL_WAIT_SECONDS": "1"}
        started = time.monotonic()
        ended = made("data", "contract", "t", "--infer", "--json", env=env)
        assert time.monotonic() - started < 30
        assert ended.returncode == 3
        error = document(ended)["error"]
        assert error["code"] == "workspace_busy"
        assert str(holder.pid) in error["message"]
        assert made("data", "show", "t", env=env).returncode == 0
        assert made("tower", "show", env=env).returncode == 0
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_an_interrupt_ends_130_and_leaves_nothing(program, made, tmp_path):
    big = tmp_path / "big.csv"
    with big.open("w") as stream:
        stream.write("a,b,c\n")
        for start in range(0, 1_500_000, 1000):
            stream.write("".join(f"{i},{i * 0.5},text{i}\n" for i in range(start, start + 1000)))
    process = subprocess.Popen(
        [sys.executable, "-m", "paceml_tui", "data", "add", "big", "big.csv", "--workspace", "ws"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert "Storing" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert document(made("data", "list", "--json"))["result"]["datasets"] == []
    (job, *_) = document(made("jobs", "list", "--json"))["result"]["jobs"]
    assert job["status"] == "cancelled"


def test_a_search_error_points_at_the_place(made):
    lines = made("runs", "search", "metrics.rmse <").stderr.splitlines()
    assert any(line.strip() == "^" for line in lines)


def test_a_place_that_cannot_be_made_is_a_sentence(program):
    ended = program("init", "/dev/null/x", "--json")
    assert ended.returncode == 2
    assert document(ended)["command"] == "init"


def test_init_shows_no_token_of_the_tracking_server(program):
    ended = program("init", "ws", "--tracking-uri", "https://t0ken@example.org/", "--json")
    assert "t0ken" not in ended.stdout + ended.stderr
    assert document(ended)["result"]["tracking_uri"] == "https://***@example.org/"


def test_a_damaged_journal_is_told_by_reading_and_stops_writing(made, tmp_path):
    made("data", "add", "t", "t.csv")
    made("data", "add", "u", "t.csv")
    made("doctor")
    path = tmp_path / "ws/journal/000001.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace("tester", "nobody")
    path.write_text("".join(lines))
    read = made("data", "list")
    assert (read.returncode, "The journal is damaged" in read.stderr) == (0, True)
    assert made("data", "add", "v", "t.csv").returncode == 4
    assert made("audit", "verify").returncode == 4
    assert made("doctor", "--repair").returncode == 4
    assert path.read_text() == "".join(lines)


def test_python_api_binds_the_verbs(tmp_path):
    from local_stack import Workspace

    with Workspace.create(tmp_path / "ws") as ws:
        (tmp_path / "t.csv").write_text("a,b\n1,x\n")
        assert ws.data.add("t", str(tmp_path / "t.csv")).rows == 1
        assert "profile" in dir(ws.data)
        with pytest.raises(AttributeError, match="profile"):
            ws.data.profil  # noqa: B018
