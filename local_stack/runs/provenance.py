"""Everything that, with recipe and data version, decides what a training gives.

It is kept with the run: ``environment.json`` holds all of it, ``source.diff`` what was not
committed, and tags under MLflow's names what people search for.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from local_stack.data.recipes.document import hash_of
from local_stack.results import Result
from local_stack.runs import git
from local_stack.runs.recipe import Recipe

FILE: Final = "environment.json"
DIFF_FILE: Final = "source.diff"
FORMAT: Final = 1
_PROGRAM = "paceml-tui"
_ENGINE = Path(__file__).parents[1]
_DISTRIBUTION = re.compile(r"(.+?)-([^-]+)(?:-py[0-9.]+)?\.(?:dist-info|egg-info)")
_SEEDS = ("seed", "random_state", "random_seed")
_THREADS = ("num_threads", "num_thread", "nthread", "nthreads", "n_jobs")
_LIBRARY = ("user_api", "internal_api", "version", "threading_layer", "architecture", "num_threads")


@dataclass(frozen=True, slots=True)
class Provenance(Result):
    """Where a training took place, and from what.

    ``folder`` is where the recipe lay, ``engine`` is PACE-ML's own version and the SHA-256 of its
    source files, ``threads`` how many the estimator was given, ``libraries`` the native thread
    pools that were loaded, ``seeds`` those of the split and of the estimator. ``recipe`` holds
    the recipe in force (of a study: that of its best trial), its hash and, where its features are
    a stored recipe's, the number and hash of that.
    """

    folder: str
    code: git.Code
    engine: dict[str, str]
    python: dict[str, str]
    platform: dict[str, str]
    packages: dict[str, str]
    threads: int
    libraries: tuple[dict[str, Any], ...] = ()
    seeds: dict[str, int] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    data: str = ""

    def tags(self) -> dict[str, str]:
        """Return what is searched for, under MLflow's names where it has some."""
        found = {"paceml.recipe": str(self.recipe.get("hash", ""))}
        stored = self.recipe.get("stored")
        if stored:
            found["paceml.stored_recipe"] = f"{stored['dataset']}/{stored['number']}"
        found["paceml.threads"] = str(self.threads)
        if self.code.missing:
            return found
        found |= {
            "mlflow.source.git.commit": self.code.commit,
            "mlflow.source.git.branch": self.code.branch,
            "mlflow.source.git.repoURL": self.code.repository,
            "mlflow.source.git.dirty": str(self.code.is_dirty).lower(),
        }
        return {key: value for key, value in found.items() if value}

    def write(self, folder: Path) -> None:
        """Write ``environment.json`` and, if there is one, ``source.diff`` into ``folder``."""
        text = json.dumps({"format": FORMAT, **self.to_dict()}, indent=1, ensure_ascii=True)
        (folder / FILE).write_text(f"{text}\n", encoding="ascii")
        if self.code.diff:
            (folder / DIFF_FILE).write_bytes(self.code.diff)


def gather(folder: Path, *, threads: int | None = None) -> Provenance:
    """Return where this process works, and what git says of ``folder``.

    Parameters
    ----------
    threads
        How many the estimator is given; as many as there are cores when left out.
    """
    return Provenance(
        folder=str(folder),
        code=git.look(folder),
        engine={"version": _version(_PROGRAM), "sha256": _source_hash()},
        python={"version": platform.python_version(), "build": platform.python_implementation()},
        platform={
            "system": platform.system(),
            "machine": platform.machine(),
            "libc": " ".join(platform.libc_ver()).strip(),
            "processor": processor(),
        },
        packages=_packages(),
        threads=threads or n_cores(),
    )


def completed(
    found: Provenance,
    recipe: Recipe,
    data: str,
    stored: Mapping[str, Any] | None,
    params: Mapping[str, Any],
) -> Provenance:
    """Return a provenance with what is known after the fit.

    Parameters
    ----------
    data
        The data version, as NAME@VERSION.
    stored
        Data set, number and hash of the stored recipe whose features were taken.
    params
        Every parameter of the estimator in force.
    """
    seeds = {"split": recipe.split.seed}
    for key in _SEEDS:
        if isinstance(params.get(key), int):
            seeds["estimator"] = params[key]
    asked = [n for key in _THREADS if isinstance(n := params.get(key), int) and n > 0]
    return replace(
        found,
        threads=min([found.threads, *asked]),
        libraries=_libraries(),
        seeds=seeds,
        recipe={
            "hash": recipe_hash(recipe),
            "stored": dict(stored) if stored else None,
            "document": recipe.to_dict(),
        },
        data=data,
    )


def recipe_hash(recipe: Recipe) -> str:
    """Return the hash of a recipe in its canonical form, 16 hexadecimal digits."""
    return hash_of(recipe.to_dict())


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return ""


@functools.cache
def _source_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(_ENGINE.rglob("*.py")):
        digest.update(path.relative_to(_ENGINE).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def processor() -> str:
    """Return the model of the processor: numeric libraries choose their code by it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip()[:200] if match else platform.processor()


def _packages() -> dict[str, str]:
    """Return the version of every installed package by its normalised name.

    The names of the folders say it: to read the metadata of hundreds takes a second.
    """
    found: dict[str, str] = {}
    for name, version in _installed(sys.path):
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def _installed(folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    for folder in folders:
        try:
            names = sorted(path.name for path in Path(folder).iterdir()) if folder else []
        except OSError:  # a zip file, or nothing
            continue
        for name in names:
            if match := _DISTRIBUTION.fullmatch(name):
                yield match[1], match[2]


def _libraries() -> tuple[dict[str, Any], ...]:
    """Return the native thread pools that are loaded now: BLAS and OpenMP."""
    from threadpoolctl import threadpool_info

    found = [{key: info[key] for key in _LIBRARY if info.get(key)} for info in threadpool_info()]
    return tuple(sorted(found, key=lambda one: json.dumps(one, sort_keys=True)))
