"""A long command for the tests: it waits in steps, and stops when it is asked to."""

from __future__ import annotations

import time
from dataclasses import dataclass

from local_stack.command import command
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result
from local_stack.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Waited(Result):
    """How long it was."""

    n_steps: int


@command("tower.wait", is_long=True, example="paceml-tui tower wait 3")
def wait(
    workspace: Workspace, steps: int, *, stubborn: bool = False, progress: Progress = silent
) -> Waited:
    """Wait for some steps of a tenth of a second.

    Parameters
    ----------
    steps
        How many.
    stubborn
        Go on when asked to stop.
    """
    print("waiting [/nope]\x1b[2J now", flush=True)
    for done in range(steps):
        if stubborn:
            until = time.monotonic() + 0.1
            while time.monotonic() < until:
                try:
                    time.sleep(0.1)
                except BaseException:  # noqa: BLE001 - that is what stubborn means
                    continue
        else:
            progress(Step("waiting", done, steps))
            time.sleep(0.1)
    return Waited(steps)
