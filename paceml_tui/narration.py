"""stderr: progress, narration and errors. No other module writes there."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from local_stack.errors import StackError
from local_stack.progress import Progress, Step, silent
from paceml_tui.safe import safe

_REFRESH_SECONDS = 0.1


def say(text: str) -> None:
    """Tell something that is not a result."""
    print(safe(text, 0), file=sys.stderr, flush=True)


def error(failure: StackError) -> None:
    """Tell an error: the sentence, then what to do next."""
    for line in f"Error: {failure.message}".split("\n"):  # a search error points with a caret
        say(line)
    for line in failure.hint.splitlines():
        say(f"  {line}")


@contextmanager
def progress(*, is_quiet: bool = False) -> Iterator[Progress]:
    """Yield a progress callable: a bar on a terminal, otherwise a line for each new label.

    With ``is_quiet`` there are no lines, only the bar.
    """
    if sys.stderr.isatty():
        with _bar() as tick:
            yield tick
        return
    if is_quiet:
        yield silent
        return
    seen = ""

    def line(step: Step) -> None:
        nonlocal seen
        if step.label != seen:
            seen = step.label
            say(f"  {step.label}")

    yield line


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.text import Text

    class Label(TextColumn):
        def render(self, task: object) -> Text:
            return Text(str(getattr(task, "description", "")))

    columns = (Label(""), BarColumn(bar_width=30), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        last = 0.0

        def tick(step: Step) -> None:
            nonlocal last
            if time.monotonic() - last < _REFRESH_SECONDS and step.done < step.total:
                return
            last = time.monotonic()
            bar.update(
                task, description=safe(step.label), completed=step.done, total=step.total or None
            )

        yield tick
