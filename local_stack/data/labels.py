"""The ``data label`` verb: people tag rows of a version, and what they settle makes a new one.

Answers belong to one version and one column. Everybody has a queue of their own, and answers
differ in the open: agreement is measured, disagreements are listed and adjudicated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from local_stack.command import command
from local_stack.data import adding, versions
from local_stack.data.labelling import answers, filling, records, tally
from local_stack.data.labelling import classes as naming
from local_stack.data.labelling import files as label_files
from local_stack.data.labelling.answers import Given
from local_stack.data.labelling.board import Act, Board, Labelling, Wanted, check_row
from local_stack.data.labelling.listing import LabellingList, listed
from local_stack.data.labelling.tally import Settled
from local_stack.data.sources import SourceFile
from local_stack.data.tables import Options
from local_stack.data.versions import DataVersion
from local_stack.errors import ConflictError, InputError, ReadOnlyError, RefusedError
from local_stack.names import split_reference
from local_stack.progress import Progress, silent
from local_stack.results import now
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.workspace import Workspace


@command("data.label", example="paceml-tui data label reviews --column tone --row 17 --value good")
def label(
    workspace: Workspace,
    name: str,
    *,
    column: str,
    classes: tuple[str, ...] = (),
    multi: bool = False,
    row: int | None = None,
    value: tuple[str, ...] = (),
    none: bool = False,
    skip: bool = False,
    note: str = "",
    undo: bool = False,
    from_: Path | None = None,
    adjudicate: bool = False,
    finish: bool = False,
    partial: bool = False,
    order: Literal["given", "random"] = "given",
    seed: int = 0,
    where: str | None = None,
    rows: tuple[str, ...] = (),
    rows_from: Path | None = None,
    unlabelled: bool = False,
    skipped: bool = False,
    reveal: bool = False,
    at: int | None = None,
    limit: int = 20,
    brief: bool = False,
    progress: Progress = silent,
) -> Labelling:
    """Label rows of a version: declare classes, answer, adjudicate, make a new version.

    Without an act it shows how far the labelling is and the next row of your queue.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    column
        Column that the labels are for; it need not exist yet.
    classes
        Classes to declare, as a,b,c; later ones are added to those before.
    multi
        A row may have several classes; to be said with the first --classes.
    row
        Row to answer, counted from 0; the next of your queue when left out.
    value
        Class of the row; with --multi repeat it for more.
    none
        With --multi: none of the classes.
    skip
        Pass the row over.
    note
        What is to be remembered of the row.
    undo
        Take your last act back; repeat it for those before.
    from_
        CSV with the columns row, label and, if any, annotator and note; several classes of a
        row stand as a|b. In place of row it may have the key of the data set.
    adjudicate
        Answer as the judge of rows that annotators disagree on.
    finish
        Make a new version with the labels; exit 4 while rows are in conflict or unlabelled.
    partial
        With --finish: leave such rows as they are, missing where the column is new.
    order
        Order of the queue: given or random.
    seed
        Of the random order.
    where
        Queue only rows in which COLUMN=VALUE; an empty value stands for missing.
    rows
        Queue only these rows, such as 3,17,40-60, in this order.
    rows_from
        Queue only the rows of a file, in its order: one number a line, a CSV with a column row,
        a JSON list, or the JSON of data diligence with the suspects of label noise.
    unlabelled
        Queue only rows that nobody has labelled and whose column is missing.
    skipped
        Queue only rows that you skipped.
    reveal
        Show what others answered.
    at
        Show this row in place of the next one.
    limit
        How many disagreements to list.
    brief
        Leave out labels, annotators, agreement and disagreements, which cost time in a big table.
    """
    is_answer = bool(value) or none or skip
    is_act = is_answer or undo or finish or from_ is not None
    version = _version(workspace, name, column, is_beginning=bool(classes), is_act=is_act)
    column = _column(version, column)
    wanted = Wanted(
        role="adjudicate" if adjudicate else "label",
        order=order,
        seed=seed,
        where=where,
        rows=_rows(version, rows, rows_from),
        unlabelled=unlabelled,
        skipped=skipped,
        reveal=reveal or adjudicate,
        at=at,
        limit=max(0, limit),
        brief=brief,
    )
    _check_acts(
        workspace,
        {
            "--value": bool(value),
            "--none": none,
            "--skip": skip,
            "--undo": undo,
            "--from": from_ is not None,
            "--finish": finish,
        },
        is_declaring=bool(classes),
        is_odd=(row is not None or bool(note)) and not is_answer,
    )
    desk = _Desk(workspace, version, column, wanted, progress)
    act = desk.declare(naming.split(classes), multi) if classes else Act()
    if is_answer:
        act = desk.answer(row, None if skip else value, note)
    elif undo:
        act = desk.undo()
    elif from_ is not None:
        act = desk.take(from_, multi)
    elif finish:
        desk.finish(partial)
        act = Act("finished")
    return desk.state(act)


@command("data.labels", example="paceml-tui data labels reviews")
def labels(workspace: Workspace, name: str = "", *, progress: Progress = silent) -> LabellingList:
    """List what is being labelled, by whom, and how far it is.

    Parameters
    ----------
    name
        Data set, or NAME@VERSION for one version of it; all of them when left out.
    """
    version = versions.find(workspace, name) if name else None
    is_one = bool(name and split_reference(name)[1])
    return listed(
        workspace,
        version.dataset if version else "",
        version.version if version and is_one else "",
    )


@command(
    "data.finish-labels",
    writes=True,
    is_long=True,
    example="paceml-tui data finish-labels reviews --column tone --partial",
)
def finish_labels(
    workspace: Workspace,
    name: str,
    *,
    column: str,
    partial: bool = False,
    progress: Progress = silent,
) -> DataVersion:
    """Make a new version with the labels of a column, as a job; exit 4 while some are missing.

    Parameters
    ----------
    name
        Data set, as NAME, NAME@VERSION or NAME@TAG.
    column
        Column that the labels are for.
    partial
        Leave rows in conflict or without a label as they are, missing where the column is new.
    """
    version = _version(workspace, name, column, is_beginning=False, is_act=True)
    desk = _Desk(workspace, version, _column(version, column), Wanted(), progress)
    return desk.finish(partial)


class _Desk(Board):
    """One call on one labelling: the act, then where it stands."""

    def __init__(
        self,
        workspace: Workspace,
        version: DataVersion,
        column: str,
        wanted: Wanted,
        progress: Progress,
    ) -> None:
        super().__init__(workspace, version, column, wanted)
        self.progress = progress

    def declare(self, classes: Sequence[str], multi: bool) -> Act:
        """Begin the labelling or add classes; an existing one keeps whether rows have several."""
        is_new = answers.declare(
            self.workspace, self.version, self.column, classes, is_multi=multi or None
        )
        return Act("declared" if is_new else "")

    def answer(self, row: int | None, values: tuple[str, ...] | None, note: str) -> Act:
        """Record what the caller says of a row, by default the next of their queue."""
        if row is None:
            row = self.queue().after(None)
            if row is None:
                raise ConflictError("Nothing is left in your queue.", "Name a row with --row.")
        given = [Given(row, values, note)]
        n_new = answers.give(
            self.workspace, self.version, self.column, given, role=self.wanted.role
        )
        done = "skipped" if values is None else "answered"
        return Act("adjudicated" if values and self.is_judge else done, n_new, after=row)

    def undo(self) -> Act:
        """Take back the caller's last act and go back to its row."""
        rows = answers.undo(self.workspace, self.version, self.column)
        return Act("undone", len(rows), back_to=rows[0])

    def take(self, path: Path, multi: bool) -> Act:
        """Record the labels of a file; its labels are the classes while none is declared."""
        labelling = self.record()
        is_multi = bool(labelling["is_multi"]) if labelling else multi
        dataset = self.workspace.get("datasets", self.version.dataset) or {}
        names = {it.name for it in self.version.schema}
        keys = [key for key in dataset.get("keys") or () if key in names]
        given = label_files.labels(
            path,
            is_multi=is_multi,
            keys=keys,
            rows_of=lambda wanted: records.numbered(self.path, self.version, keys, wanted),
        )
        if labelling is None:
            found = dict.fromkeys(name for it in given for name in it.classes or ())
            answers.declare(
                self.workspace, self.version, self.column, list(found), is_multi=is_multi
            )
        n_new = answers.give(
            self.workspace,
            self.version,
            self.column,
            given,
            role=self.wanted.role,
            progress=self.progress,
        )
        return Act("imported", n_new)

    def finish(self, is_partial: bool) -> DataVersion:
        """Make a version of the labels and return it."""
        labelling = answers.declared(self.workspace.metadata, self.version, self.column)
        found = self.settled()
        open_rows = tally.unlabelled(self.version.rows, self.missing(), found)
        if not found.rows:
            raise InputError(
                f"No row of {self.version.reference} has a label for column '{self.column}'.",
                "Answer a row first.",
            )
        if (len(open_rows) or found.conflicts) and not is_partial:
            raise RefusedError(
                f"Column '{self.column}' of {self.version.reference} is not done: "
                f"{_rows_of(len(found.conflicts))} in conflict, "
                f"{_rows_of(len(open_rows))} without a label.",
                "Settle them (--adjudicate), or leave them as they are with --partial.",
                code="labelling_incomplete",
                result=self.state(Act()),
            )
        made = self._version_of(labelling, found, len(open_rows))
        self._note(made)
        return made

    def _version_of(self, labelling: Row, found: Settled, n_open: int) -> DataVersion:
        with self.workspace.scratch() as folder:
            target = Path(folder) / "labelled.parquet"
            filling.write(
                self.path,
                self.version,
                self.column,
                found,
                target,
                classes=labelling["classes"],
                is_multi=labelling["is_multi"],
                progress=self.progress,
            )
            people = tally.annotators(self.workspace.metadata, self.key)
            origin = {
                "derived_from": self.version.reference,
                "labelling": {
                    "column": self.column,
                    "classes": labelling["classes"],
                    "is_multi": labelling["is_multi"],
                    "annotators": [it.actor for it in people if it.n_answered],
                    "judges": [it.actor for it in people if it.n_adjudicated],
                    "n_labelled": len(found.rows),
                    "n_conflicts": len(found.conflicts),
                    "n_unlabelled": n_open,
                },
            }
            size = target.stat().st_size
            source = self.version.reference
            file = SourceFile("labelled.parquet", source, size, None, None, target, None)
            wanted = adding.Wanted(
                self.version.dataset,
                source,
                Options(format="parquet"),
                note=f"{_rows_of(len(found.rows))} labelled in column '{self.column}'",
                origin=origin,
            )
            scratch = Path(folder) / "import"
            scratch.mkdir()
            return adding.import_files(
                self.workspace, wanted, [file], scratch, progress=self.progress
            )

    def _note(self, made: DataVersion) -> None:
        """Note the version in the labelling that it was made of."""

        def decide(state: Metadata) -> Draft | None:
            row = answers.declared(state, self.version, self.column)
            if any(it["version"] == made.version for it in row["made"]):
                return None
            at = now()
            entry = {"version": made.version, "actor": self.workspace.actor, "at": at}
            body = {"version": self.version.version, "column": self.column, "made": made.version}
            new = {**row, "made": [*row["made"], entry], "updated_at": at}
            subject = f"data:{self.version.dataset}"
            return Draft("data.label_finished", subject, body, [("labellings", new)])

        self.workspace.append(decide)


def _version(
    workspace: Workspace, name: str, column: str, *, is_beginning: bool, is_act: bool
) -> DataVersion:
    """Return the version that is labelled; a bare name shall not move on to newer rows unseen.

    Raises
    ------
    ConflictError
        When the column is being labelled on an older version than the newest.
    """
    version = versions.find(workspace, name)
    is_named = bool(split_reference(name)[1])
    if (
        is_named
        or is_beginning
        or workspace.get("labellings", version.dataset, version.version, column)
    ):
        return version
    older = workspace.query(
        "SELECT g.version, g.made, v.number FROM labellings g JOIN data_versions v "
        "ON v.dataset = g.dataset AND v.version = g.version "
        'WHERE g.dataset = ? AND g."column" = ? ORDER BY v.number DESC',
        version.dataset,
        column,
    )
    open_ones = [it for it in older if is_act or not it["made"]]
    if open_ones:
        found = open_ones[0]
        raise ConflictError(
            f"Column '{column}' is labelled on version {found['number']} of "
            f"'{version.dataset}', and {version.number} is the newest.",
            f"Go on with {version.dataset}@{found['version']}, or begin anew on "
            f"{version.reference} with --classes.",
        )
    return version


def _column(version: DataVersion, column: str) -> str:
    """Return the column as it is called: one of the version's, or a new name.

    Raises
    ------
    InputError
        When it cannot be called so, or differs from another column by case alone.
    """
    names = [it.name for it in version.schema]
    if column in names:
        return column
    cleaned = naming.cleaned(column, noun="column")
    for name in names:
        if name.casefold() == cleaned.casefold():
            raise InputError(
                f"Column '{cleaned}' differs from '{name}' of {version.reference} by case alone.",
                f"Label '{name}', or take another name.",
            )
    return cleaned


def _rows(
    version: DataVersion, texts: tuple[str, ...], path: Path | None
) -> tuple[int, ...] | None:
    if not texts and path is None:
        return None
    found = dict.fromkeys(label_files.listed(texts))
    found |= dict.fromkeys(label_files.rows(path) if path else ())
    for row in found:
        check_row(version, row)
    return tuple(found)


def _rows_of(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def _check_acts(
    workspace: Workspace, acts: dict[str, bool], *, is_declaring: bool, is_odd: bool
) -> None:
    """Raise for more than one act, for part of an answer, and for any act on a read-only one."""
    given = [name for name, is_given in acts.items() if is_given]
    if len(given) > 1:
        raise InputError(
            f"{' and '.join(given)} do not go together.", "Call the command once for each."
        )
    if is_odd:
        raise InputError(
            "--row and --note belong to an answer.", "Add --value or --skip; --at shows a row."
        )
    if (given or is_declaring) and workspace.is_readonly:
        raise ReadOnlyError(
            "Labelling writes, and the workspace is opened read-only.",
            "Call it again without --readonly.",
        )
