"""Recipes of preparation: stored beside a data set, previewed step by step, and run.

A recipe is a YAML document (:mod:`local_stack.data.recipes.document`), kept under a number of
its own with its hash, who set it, when and from what. Its steps are those that a model's recipe
file takes under ``features``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local_stack import marked_yaml
from local_stack.command import command
from local_stack.data import adding, profiles, versions
from local_stack.data.recipes import document as documents
from local_stack.data.recipes import suggesting
from local_stack.data.recipes.document import Document
from local_stack.data.recipes.sampling import sample_of
from local_stack.data.recipes.stored import Recipe, current, store, stored
from local_stack.data.recipes.trial import (
    SAMPLED,
    Preparation,
    doable,
    most_of,
    previewed,
    tried,
)
from local_stack.data.sources import SourceFile
from local_stack.data.tables import Options
from local_stack.data.versions import DataVersion
from local_stack.errors import InputError, ReadOnlyError
from local_stack.names import split_reference
from local_stack.preparation.preview import apply
from local_stack.progress import Progress, Step, silent
from local_stack.results import plain
from local_stack.workspace import Workspace

__all__ = ["Preparation", "Recipe", "prepare", "recipe"]


def _recipe_reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    version = versions.find(workspace, str(arguments["name"]))
    rows = stored(workspace, version.dataset)
    return [version.reference, rows[-1]["hash"] if rows else None]


def _prepare_reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Identify the version, its target, the stored recipe, and what stands where it goes."""
    version = versions.find(workspace, str(arguments["name"]))
    rows = stored(workspace, version.dataset)
    made = workspace.get("datasets", str(arguments.get("as"))) or {}
    return [version.reference, version.target, rows[-1]["hash"] if rows else None, made]


@command("data.recipe", reads=_recipe_reads, example="paceml-tui data recipe wine --suggest")
def recipe(
    workspace: Workspace,
    name: str,
    *,
    suggest: bool = False,
    set: Path | None = None,
    text: str | None = None,
    number: int | None = None,
    target: str | None = None,
    to: Path | None = None,
    progress: Progress = silent,
) -> Recipe:
    """Show the recipe of preparation of a data set; suggest one, or set it from a file.

    Parameters
    ----------
    name
        Data set, or NAME@VERSION or NAME@TAG: the version to suggest for, or to try steps on.
    suggest
        Make a first recipe from the profile of the version, each step with its reason.
    set
        YAML file to take as the recipe; of a run's recipe file the features and target.
    text
        The recipe itself as YAML, as an editor hands it over.
    number
        Show the recipe of that number instead of the newest.
    target
        With --suggest: the column to predict; the data set's when left out.
    to
        Write the text of the recipe to this file, too.
    """
    version = versions.find(workspace, name)
    given = [suggest, set is not None, text is not None, number is not None]
    if sum(given) > 1:
        raise InputError(
            "Only one of --suggest, --set, --text and --number can be given.",
            "Call the command once for each.",
        )
    if target is not None and not suggest:
        raise InputError("--target belongs to --suggest.", "A text says 'target: COLUMN' itself.")
    if any(given[:3]):
        if workspace.is_readonly:
            raise ReadOnlyError(
                "Setting a recipe writes, and the workspace is opened read-only.",
                "Call it again without --readonly.",
            )
        if suggest:
            made = _suggested(workspace, version, target, progress)
            store(workspace, version, made, "suggested")
        else:
            document = _given(workspace, version, set, text, progress)
            store(workspace, version, document, "file" if set is not None else "edited")
    found = current(workspace, version.dataset, number)
    if to is not None:
        to.write_text(found.text, encoding="utf-8")
    return found


@command(
    "data.prepare",
    is_long=True,
    reads=_prepare_reads,
    example="paceml-tui data prepare wine --as wine-prepared",
)
def prepare(
    workspace: Workspace,
    name: str,
    *,
    recipe: Path | None = None,
    text: str | None = None,
    number: int | None = None,
    target: str | None = None,
    rows: int | None = None,
    step: int | None = None,
    as_: str | None = None,
    note: str = "",
    tag: str | None = None,
    progress: Progress = silent,
) -> Preparation:
    """Show what each step of a recipe does to a version; with --as make a version of the result.

    The newest stored recipe is taken unless another is named. Encodings by the target are out of
    fold, as a model learns from them.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    recipe
        YAML file with the steps, in place of the stored recipe.
    text
        The recipe itself as YAML, as an editor hands it over.
    number
        Take the stored recipe of that number.
    target
        Column to predict, which steps do not see; the recipe's or the data set's when left out.
    rows
        Look at this many rows, a seeded sample. When left out: all rows up to 50,000 or with
        --as, else 20,000.
    step
        Show this step in full, and none after it.
    as_
        Store all rows after the recipe as a version of the data set of this name.
    note
        Why that version exists.
    tag
        Name for that version.
    """
    version = versions.find(workspace, name)
    if rows is not None and rows < 1:
        raise InputError("--rows needs at least one row.", "Example: --rows 5000")
    document, used = _wanted(workspace, version, recipe, text, number)
    document = document if target is None else replace(document, target=target)
    if step is not None and not 1 <= step <= len(document.steps):
        raise InputError(
            f"The recipe has no step {step}.", f"Its steps are 1 to {len(document.steps)}."
        )
    _check_place(workspace, version, as_, is_odd=bool(note or tag))
    most = rows if rows is not None or as_ is not None else most_of(version)
    sample = sample_of(versions.table_path(workspace, version), most, progress)
    found = previewed(document, sample, version, until=step, progress=progress)
    found = replace(found, recipe=used, step=step)
    failed = next((it for it in found.steps if it.problem), None)
    if failed is not None:
        place = document.where(failed.number)
        raise InputError(f"{place}: {failed.problem}", failed.hint, result=found)
    if as_ is None:
        return found
    made = _made(workspace, version, document, found, _Place(as_, note, tag), progress)
    return replace(found, made=made)


# ------------------------------------------------------------------ setting a recipe


def _given(
    workspace: Workspace,
    version: DataVersion,
    set: Path | None,
    text: str | None,
    progress: Progress,
) -> Document:
    content = marked_yaml.read_text(set) if set is not None else text or ""
    document = documents.parse(content, set.name if set is not None else documents.SOURCE)
    tried(workspace, version, document, progress)
    return documents.own_part(document)


def _suggested(
    workspace: Workspace, version: DataVersion, target: str | None, progress: Progress
) -> Document:
    target = target or version.target
    known = profiles.stored(workspace, version, target)
    if known is None:
        found = profiles.profile(workspace, version.reference, target=target, progress=progress)
        known = plain(found)
    progress(Step("Trying the steps"))
    origin = f"{version.reference} ({version.rows:,} rows)"
    text = suggesting.text_of(suggesting.suggestions(known, target), target, origin)
    sample = sample_of(versions.table_path(workspace, version), SAMPLED, progress)
    return doable(documents.parse(text), sample, version)


# ------------------------------------------------------------------ running a recipe


def _wanted(
    workspace: Workspace,
    version: DataVersion,
    path: Path | None,
    text: str | None,
    number: int | None,
) -> tuple[Document, int | None]:
    """Return the recipe that is asked for, and its number when it is a stored one."""
    if sum(it is not None for it in (path, text, number)) > 1:
        raise InputError(
            "Only one of --recipe, --text and --number can be given.", "Leave out the others."
        )
    if path is not None:
        return documents.parse(marked_yaml.read_text(path), path.name), None
    if text is not None:
        return documents.parse(text), None
    found = current(workspace, version.dataset, number)
    source = f"recipe {found.number} of '{found.dataset}'"
    return documents.parse(found.text, source), found.number


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a prepared table goes."""

    dataset: str
    note: str
    tag: str | None


def _check_place(
    workspace: Workspace, version: DataVersion, dataset: str | None, *, is_odd: bool
) -> None:
    if dataset is None:
        if is_odd:
            raise InputError("--note and --tag belong to --as.", "Add: --as NAME")
        return
    if workspace.is_readonly:
        raise ReadOnlyError(
            "--as writes a version, and the workspace is opened read-only.",
            "Call it again without --readonly.",
        )
    if split_reference(dataset)[0] == version.dataset:
        raise InputError(
            f"The prepared table cannot be a version of '{version.dataset}' itself: the recipe "
            "would be applied to it again.",
            f"Give it another name, such as: --as {version.dataset}-prepared",
        )


def _made(
    workspace: Workspace,
    version: DataVersion,
    document: Document,
    found: Preparation,
    place: _Place,
    progress: Progress,
) -> DataVersion:
    """Make the whole table after the recipe a version of another data set."""
    with workspace.scratch() as folder:
        wanted = adding.Wanted(
            place.dataset,
            version.reference,
            Options(format="parquet"),
            target=found.target,
            tag=place.tag,
            note=place.note or f"{version.reference} after {document.lines.source}",
            origin=_origin(version, document, found),
        )
        scratch = Path(folder)
        names = _write(workspace, version, document, found, scratch / "prepared.parquet", progress)
        dataset = workspace.get("datasets", version.dataset) or {}
        keys = tuple(dataset.get("keys") or ())
        sensitive = (it for it in dataset.get("sensitive") or () if it in names)
        wanted = replace(
            wanted,
            key=keys if {*keys} <= {*names} else (),
            sensitive=tuple(sensitive),
        )
        source = scratch / "prepared.parquet"
        size = source.stat().st_size
        file = SourceFile("prepared.parquet", version.reference, size, None, None, source, None)
        (scratch / "import").mkdir()
        return adding.import_files(workspace, wanted, [file], scratch / "import", progress=progress)


def _origin(version: DataVersion, document: Document, found: Preparation) -> dict[str, Any]:
    return {
        "derived_from": version.reference,
        "preparation": {
            "recipe": found.recipe,
            "hash": document.hash,
            "source": document.lines.source,
            "target": found.target,
            "features": document.values["features"],
            "n_rows_before": version.rows,
            "is_out_of_fold": found.is_out_of_fold,
        },
    }


def _write(
    workspace: Workspace,
    version: DataVersion,
    document: Document,
    found: Preparation,
    path: Path,
    progress: Progress,
) -> list[str]:
    """Write the whole table after the recipe; return the names of its columns."""
    sample = sample_of(versions.table_path(workspace, version), None, progress)
    prepared = apply(sample.frame, found.target, document.steps, progress=progress)
    progress(Step("Writing the table"))
    prepared.frame.write_parquet(path, compression="zstd")
    return list(prepared.frame.columns)
