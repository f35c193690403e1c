"""What a recipe does to rows of a version, before anything is stored."""

from __future__ import annotations

from dataclasses import dataclass

from local_stack.data import versions
from local_stack.data.recipes import outline
from local_stack.data.recipes.document import Document, parse
from local_stack.data.recipes.sampling import Sample, sample_of
from local_stack.data.versions import DataVersion
from local_stack.errors import InputError, nearest
from local_stack.preparation.preview import StepPreview, preview
from local_stack.preparation.steps import fits_on
from local_stack.progress import Progress, silent
from local_stack.results import Result
from local_stack.workspace import Workspace

WHOLE = 50_000
"""Rows of a version up to which a preview looks at all of them."""
SAMPLED = 20_000
"""Rows of a larger version that a preview looks at."""
PROVEN = 1_000
"""Rows on which the steps of a recipe are tried before it is stored."""
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Preparation(Result):
    """What the steps of a recipe do to a version, and the version that was made of it.

    ``recipe`` is its number (None: it is not stored). ``n_rows_used`` rows of the version were
    looked at, a seeded sample in their order when ``is_sample``. ``is_out_of_fold`` says that
    steps replaced values by means of the target, each row's without its own fold. ``step`` is
    the one that was asked for.
    """

    dataset: str
    version: str
    recipe: int | None
    recipe_hash: str
    recipe_source: str
    target: str | None
    n_rows_total: int
    n_rows_used: int
    is_sample: bool
    n_rows_after: int
    n_columns_before: int
    n_columns_after: int
    is_out_of_fold: bool
    steps: tuple[StepPreview, ...]
    step: int | None = None
    made: DataVersion | None = None


def most_of(version: DataVersion) -> int | None:
    """Return how many rows of a version a preview looks at; None means all."""
    return None if version.rows <= WHOLE else SAMPLED


def previewed(
    document: Document,
    sample: Sample,
    version: DataVersion,
    *,
    until: int | None = None,
    shown: int = _SHOWN,
    progress: Progress = silent,
) -> Preparation:
    """Return what the steps of a recipe do to rows of a version.

    A step that cannot be done is the last of the result, and holds its problem.

    Parameters
    ----------
    until
        Number of the last step to look at; all of them when left out.
    shown
        How many rows to show of each step.

    Raises
    ------
    InputError
        The target is not there.
    """
    target = target_of(document, version)
    steps = preview(sample.frame, target, document.steps[:until], rows=shown, progress=progress)
    names = [name for name in sample.frame.columns if name != target]
    return Preparation(
        dataset=version.dataset,
        version=version.version,
        recipe=None,
        recipe_hash=document.hash,
        recipe_source=document.lines.source,
        target=target,
        n_rows_total=sample.n_total,
        n_rows_used=sample.frame.height,
        is_sample=not sample.is_whole,
        n_rows_after=steps[-1].n_rows_after if steps else sample.frame.height,
        n_columns_before=len(names),
        n_columns_after=len(steps[-1].after.columns) if steps else len(names),
        is_out_of_fold=any(fits_on(it) == "target" for it in document.steps[:until]),
        steps=steps,
    )


def proven(document: Document, sample: Sample, version: DataVersion) -> Preparation:
    """Return the preview of a recipe all of whose steps can be done.

    Raises
    ------
    InputError
        With the line of the first step that cannot be done on these rows.
    """
    found = previewed(document, sample, version, shown=0)
    failed = next((it for it in found.steps if it.problem), None)
    if failed is not None:
        raise InputError(f"{document.where(failed.number)}: {failed.problem}", failed.hint)
    return found


def tried(
    workspace: Workspace, version: DataVersion, document: Document, progress: Progress
) -> None:
    """Try the steps on some rows, and on more when they fail there for want of rows."""
    path = versions.table_path(workspace, version)
    sample = sample_of(path, PROVEN, progress)
    try:
        proven(document, sample, version)
    except InputError:
        if sample.is_whole:
            raise
        proven(document, sample_of(path, SAMPLED, progress), version)


def doable(document: Document, sample: Sample, version: DataVersion) -> Document:
    """Return a recipe with every step turned off that cannot be done on these rows."""
    for _ in document.steps:
        steps = previewed(document, sample, version, shown=0).steps
        if not steps or not steps[-1].problem:
            break
        entries = outline.outline_of(document.text)
        place = next(at for at, it in enumerate(entries.entries) if it.number == steps[-1].number)
        document = parse(entries.turned(place).text)
    return document


def target_of(document: Document, version: DataVersion) -> str | None:
    """Return the column to predict: the recipe's, or else the data set's; None without one."""
    target = document.target or version.target
    names = [column.name for column in version.schema]
    if target is None or target in names:
        return target
    place = "" if ("target",) not in document.lines.marks else document.lines.where(("target",))
    raise InputError(
        f"{place}{': ' if place else ''}{version.reference} has no column '{target}' to predict.",
        nearest(target, names) or f"Columns: {', '.join(names[:20])}.",
    )
