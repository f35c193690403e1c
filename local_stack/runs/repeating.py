"""What a clean process does to repeat a run: nothing but the records of the run is given to it.

:func:`start` begins a fresh interpreter that calls :func:`main`; that one takes the recipe from
the run's record and the data by its hash, trains, and writes what came of it into a folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local_stack import environment, errors
from local_stack.data import versions
from local_stack.errors import StackError, UnavailableError
from local_stack.progress import Progress, Step
from local_stack.results import Result, plain
from local_stack.runs import provenance
from local_stack.runs.learning import Learnt, learn
from local_stack.runs.recipe import Recipe, load_recipe
from local_stack.runs.recorded import Recorded, of_id
from local_stack.runs.train import stored_recipe, with_target
from local_stack.workspace import Workspace

OUTCOME: Final = "outcome.json"
_SAID = "stderr.txt"
_CODE = "from local_stack.runs.repeating import main; main()"
_TICK_SECONDS = 0.1
_POOLS: Final = {"openmp": "OMP_NUM_THREADS", "blas": "OPENBLAS_NUM_THREADS"}
"""The variable that bounds the threads of each kind of native library."""


@dataclass(frozen=True, slots=True)
class Asked(Result):
    """What the clean process is told; ``folder`` is where it puts what came of it.

    ``run_id`` is repeated, ``as_run`` stands in the model's files; ``threads`` is None for as
    many as were recorded.
    """

    root: str
    run_id: str
    as_run: str
    sets: dict[str, str]
    threads: int | None
    folder: str


def plan_of(
    workspace: Workspace, record: Recorded, sets: Mapping[str, str]
) -> tuple[Recipe, versions.DataVersion, dict[str, Any] | None]:
    """Return the recipe of a run with some values changed, its data version, and the stored recipe.

    The version is the run's own unless ``dataset`` is changed.
    """
    taken: list[Any] = []
    plan = load_recipe(record.recipe_text, sets, stored=stored_recipe(workspace, taken))
    version = versions.find(workspace, plan.dataset if "dataset" in sets else record.data)
    stored = taken[0] if taken else record.environment.get("recipe", {}).get("stored")
    if not taken and any(key.partition(".")[0] == "features" for key in sets):
        stored = None
    return with_target(plan, version, "The recipe of the run"), version, stored


def repeat(asked: Asked, record: Recorded, progress: Progress) -> Learnt:
    """Repeat a run in a clean process and wait for it.

    Raises
    ------
    StackError
        What the training raised, or that its process ended without a word.
    """
    folder = Path(asked.folder)
    with (folder / _SAID).open("wb") as said, _started(asked, record, said) as process:
        assert process.stdout is not None
        for line in process.stdout:
            step = _step(line)
            if step is not None:
                progress(step)
        code = process.wait()
    outcome = _outcome(folder)
    if "learnt" in outcome:
        found = outcome["learnt"]
        return Learnt(**{**found, "warnings": tuple(found["warnings"])})
    told = outcome.get("error")
    if told is not None:
        kind = getattr(errors, str(told["kind"]), StackError)
        raise kind(told["message"], told["hint"])
    last = (folder / _SAID).read_text("utf-8", "replace").strip().rpartition("\n")[2][:300]
    raise UnavailableError(
        f"The process that repeated the run ended with code {code} and no result"
        f"{f': {last}' if last else ''}.",
        "Look at the memory of this machine, then call again.",
    )


@contextlib.contextmanager
def _started(asked: Asked, record: Recorded, said: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", _CODE, json.dumps(asked.to_dict())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **_pools(record, asked.threads)},
    )
    try:
        yield process
    finally:
        process.kill()  # it has ended by itself unless the work was stopped
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _pools(record: Recorded, threads: int | None) -> dict[str, str]:
    """Return the variables that give native libraries as many threads as were recorded."""
    if threads is not None:
        return dict.fromkeys(_POOLS.values(), str(threads))
    found: dict[str, str] = {}
    for library in record.environment.get("libraries", ()):
        name = _POOLS.get(library.get("user_api"))
        if name and isinstance(library.get("num_threads"), int):
            found.setdefault(name, str(library["num_threads"]))
    return found


def _step(line: str) -> Step | None:
    """Return what the clean process tells of its progress; libraries may print there, too."""
    try:
        label, done, total = json.loads(line)
        return Step(str(label), int(done), int(total))
    except (ValueError, TypeError):
        return None


def _outcome(folder: Path) -> dict[str, Any]:
    path = folder / OUTCOME
    return dict(json.loads(path.read_bytes())) if path.exists() else {}


# ------------------------------------------------------------------ in the clean process


def main() -> None:
    """Repeat the run that the command line asks for."""
    environment.prepare()
    asked = Asked(**json.loads(sys.argv[1]))
    environment.prepare(Path(asked.root) / "cache" / "tmp")
    try:
        with Workspace.open(asked.root, readonly=True) as workspace:
            outcome = {"learnt": _learnt(workspace, asked).to_dict()}
    except StackError as error:
        told = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
        outcome = {"error": told}
    scratch = Path(asked.folder) / f".{OUTCOME}"
    scratch.write_text(json.dumps(plain(outcome)), encoding="ascii")
    scratch.replace(scratch.with_name(OUTCOME))


def _learnt(workspace: Workspace, asked: Asked) -> Learnt:
    record = of_id(workspace, asked.run_id)
    plan, version, stored = plan_of(workspace, record, asked.sets)
    recorded = record.environment.get("threads")
    threads = min(asked.threads or recorded or provenance.n_cores(), provenance.n_cores())
    folder = Path(asked.folder) / "files"
    folder.mkdir()
    return learn(
        workspace,
        plan,
        version,
        folder,
        provenance.gather(record.folder, threads=threads),
        run_id=asked.as_run,
        stored=stored,
        threads=threads,
        is_kept=asked.as_run != asked.run_id,
        progress=_Teller(),
    )


class _Teller:
    """A progress callable that tells the process that waits; it ends when nobody does."""

    def __init__(self) -> None:
        self._next = 0.0
        self._label = ""

    def __call__(self, step: Step) -> None:
        moment = time.monotonic()
        if moment < self._next and step.label == self._label:
            return
        self._next, self._label = moment + _TICK_SECONDS, step.label
        try:
            print(json.dumps([step.label, step.done, step.total]), flush=True)  # noqa: T201 - a pipe
        except BrokenPipeError:
            os._exit(1)
