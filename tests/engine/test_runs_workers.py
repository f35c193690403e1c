"""Tasks in processes: in order, forgotten when cancelled, and not lost with their worker."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from local_stack.errors import InputError, UnavailableError, UnexpectedError
from local_stack.runs import workers
from local_stack.runs.workers import Inline, Processes, Task


def double(number: int, *, progress: Any) -> int:
    return 2 * number


def refuse(number: int, *, progress: Any) -> int:
    raise InputError(f"{number} is refused.", "Take another.")


def break_down(*, progress: Any) -> int:
    return 1 // 0


def wait(path: str, *, progress: Any) -> int:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)
    return 0


def all_of(pool: Any, n_tasks: int) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    deadline = time.monotonic() + 60
    while len(found) < n_tasks and time.monotonic() < deadline:
        found |= {task.key: outcome for task, outcome in pool.ended(0.2)}
    return found


def pid_in(path: Path) -> int:
    while not (path.exists() and path.read_text()):
        time.sleep(0.01)
    return int(path.read_text())


@pytest.fixture
def pool():
    made = Processes(2)
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["inline", "processes"])
def test_values_and_errors_come_back(kind, pool):
    chosen = pool if kind == "processes" else Inline(lambda _: None)
    for number in range(5):
        chosen.submit(Task(number, double, (number,)))
    chosen.submit(Task("refused", refuse, (7,)))
    chosen.submit(Task("broken", break_down))
    found = all_of(chosen, 7)
    assert [found[number].value for number in range(5)] == [0, 2, 4, 6, 8]
    assert isinstance(found["refused"].error, InputError)
    assert str(found["refused"].error) == "7 is refused. Take another."
    assert isinstance(found["broken"].error, UnexpectedError)
    assert "ZeroDivisionError" in found["broken"].error.message


def test_a_killed_worker_is_replaced_and_its_task_told(pool, tmp_path):
    pool.submit(Task("long", wait, (str(tmp_path / "pid"),)))
    os.kill(pid_in(tmp_path / "pid"), signal.SIGKILL)
    found = all_of(pool, 1)
    assert isinstance(found["long"].error, UnavailableError)
    for number in range(4):
        pool.submit(Task(number, double, (number,)))
    assert {key: outcome.value for key, outcome in all_of(pool, 4).items()} == {
        number: 2 * number for number in range(4)
    }
    assert pool.n_workers == 2


def test_what_is_cancelled_is_not_told_and_closing_ends_what_is_at_work(pool, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    pool.submit(Task("one", wait, (str(one),)))
    pool.submit(Task("other", wait, (str(other),)))
    pool.submit(Task("waiting", double, (1,)))
    pids = [pid_in(one), pid_in(other)]
    pool.cancel("waiting")
    pool.cancel("one")
    os.kill(pids[0], signal.SIGKILL)
    assert list(pool.ended(5)) == []
    pool.close()
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()
    assert workers._lost().exit_code == 3
