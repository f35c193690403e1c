"""Where a labelling stands: labels, conflicts, annotators, and the next row of somebody's queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.data.labelling import answers, queues, records, tally
from local_stack.data.labelling.agreement import Agreement, agreement
from local_stack.data.labelling.answers import Role
from local_stack.data.labelling.tally import Annotator, Disagreement, Opinion, Settled
from local_stack.data.versions import DataVersion
from local_stack.errors import InputError
from local_stack.results import Result
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.data.labelling.records import Numbers

_MOST_SUGGESTED = 20


@dataclass(frozen=True, slots=True)
class Sample(Result):
    """A row to be labelled. ``values`` are its cells by column, ``opinion`` is the caller's own.

    ``place`` counts from 1 in the queue (None: no part of it); ``previous`` and ``following``
    are its neighbours there. ``others`` stays empty until they are to be revealed.
    """

    row: int
    place: int | None
    previous: int | None
    following: int | None
    values: dict[str, Any]
    opinion: Opinion | None
    others: tuple[Opinion, ...]


@dataclass(frozen=True, slots=True)
class QueueState(Result):
    """The caller's queue: which rows, in which order, and how many are left."""

    actor: str
    role: str
    order: str
    only: str
    n_rows: int
    n_left: int


@dataclass(frozen=True, slots=True)
class Labelling(Result):
    """How far the labelling of a column is, and the next row of the caller's queue.

    ``did`` says what the call did (declared, answered, skipped, adjudicated, imported, undone,
    finished, or '' for nothing), ``n_new`` to how many rows. Of ``n_rows``, ``n_labelled`` have a
    label by the answers, ``n_conflicts`` have answers that differ, ``n_kept`` have none but a
    value in the column already, and ``n_unlabelled`` have neither; a brief look leaves these
    counts (None), the annotators and what follows from them out. ``suggested`` are values of the
    column, while no class is declared. ``made`` lists the versions made of the labels.
    """

    dataset: str
    version: str
    column: str
    classes: tuple[str, ...]
    is_multi: bool
    did: str
    n_new: int
    n_rows: int
    n_labelled: int | None
    n_conflicts: int | None
    n_kept: int | None
    n_unlabelled: int | None
    annotators: tuple[Annotator, ...]
    agreement: Agreement | None
    disagreements: tuple[Disagreement, ...]
    queue: QueueState
    next: Sample | None
    suggested: tuple[str, ...]
    made: tuple[str, ...]

    @property
    def reference(self) -> str:
        """Return ``NAME@VERSION``."""
        return f"{self.dataset}@{self.version}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the rows somebody wants to see, and as whom."""

    role: Role = "label"
    order: queues.Order = "given"
    seed: int = 0
    where: str | None = None
    rows: tuple[int, ...] | None = None
    unlabelled: bool = False
    skipped: bool = False
    reveal: bool = False
    at: int | None = None
    limit: int = 20
    brief: bool = False

    @property
    def only(self) -> str:
        """Return in words which rows those are."""
        parts = ["in conflict"] if self.role == "adjudicate" else []
        parts += [self.where] if self.where else []
        parts += [f"{len(self.rows):,} given rows"] if self.rows is not None else []
        parts += ["unlabelled"] if self.unlabelled else []
        parts += ["skipped"] if self.skipped else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Act:
    """What a call did: the word for it, to how many rows, and after which row to go on."""

    did: str = ""
    n_new: int = 0
    after: int | None = None
    back_to: int | None = None


class Board:
    """One labelling, as one person sees it."""

    def __init__(
        self, workspace: Workspace, version: DataVersion, column: str, wanted: Wanted
    ) -> None:
        self.workspace = workspace
        self.version = version
        self.column = column
        self.wanted = wanted
        self.path = records.table(workspace, version)
        self.key = answers.labelling_id(version, column)

    def state(self, act: Act) -> Labelling:
        """Return where the labelling stands after ``act``."""
        labelling = self.record()
        classes = tuple(labelling["classes"]) if labelling else ()
        is_multi = bool(labelling and labelling["is_multi"])
        found = self.settled() if not self.wanted.brief or self._needs_labels else None
        queue = self.queue(found)
        return Labelling(
            dataset=self.version.dataset,
            version=self.version.version,
            column=self.column,
            classes=classes,
            is_multi=is_multi,
            did=act.did,
            n_new=act.n_new,
            n_rows=self.version.rows,
            **self._tallies(found if not self.wanted.brief else None, classes, is_multi),
            queue=QueueState(
                self.workspace.actor,
                self.wanted.role,
                self.wanted.order,
                self.wanted.only,
                queue.n_rows,
                queue.n_left,
            ),
            next=self._sample(queue, act),
            suggested=() if classes else self._suggested(),
            made=self._made(labelling) if labelling else (),
        )

    def _tallies(
        self, found: Settled | None, classes: tuple[str, ...], is_multi: bool
    ) -> dict[str, Any]:
        """Return what the answers of everybody come to; nothing of it in a brief look."""
        counts = ("n_labelled", "n_conflicts", "n_kept", "n_unlabelled")
        if found is None:
            nothing = {"annotators": (), "agreement": None, "disagreements": ()}
            return {**dict.fromkeys(counts), **nothing}
        state = self.workspace.metadata
        n_open = len(tally.unlabelled(self.version.rows, self.missing(), found))
        n_labelled, n_conflicts = len(found.rows), len(found.conflicts)
        n_kept = self.version.rows - n_labelled - n_conflicts - n_open
        return {
            **dict(zip(counts, (n_labelled, n_conflicts, n_kept, n_open), strict=True)),
            "annotators": tally.annotators(state, self.key),
            "agreement": agreement(state, self.key, classes, is_multi=is_multi),
            "disagreements": tally.disagreements(state, self.key, found, self.wanted.limit),
        }

    def _made(self, labelling: Row) -> tuple[str, ...]:
        return tuple(f"{self.version.dataset}@{it['version']}" for it in labelling["made"])

    @property
    def is_judge(self) -> bool:
        """Return whether the caller adjudicates."""
        return self.wanted.role == "adjudicate"

    @property
    def _has_column(self) -> bool:
        return any(it.name == self.column for it in self.version.schema)

    def record(self) -> Row | None:
        """Return the record of the labelling, None before its first class."""
        key = (self.version.dataset, self.version.version, self.column)
        return self.workspace.get("labellings", *key)

    def settled(self) -> Settled:
        """Return every label and every conflict."""
        return tally.settled(self.workspace.metadata, self.key)

    def missing(self) -> Numbers | None:
        """Return the rows in which the column is missing, None where there is no such column."""
        return records.missing(self.path, self.column) if self._has_column else None

    def _suggested(self) -> tuple[str, ...]:
        if not self._has_column:
            return ()
        return records.distinct(self.path, self.column, _MOST_SUGGESTED)

    @property
    def _needs_labels(self) -> bool:
        return self.is_judge or self.wanted.unlabelled

    def queue(self, found: Settled | None = None) -> queues.Queue:
        """Return the queue of whoever calls; ``found`` are the labels, if they are known."""
        import numpy as np

        wanted, state, actor = self.wanted, self.workspace.metadata, self.workspace.actor
        if found is None and self._needs_labels:
            found = self.settled()
        parts: list[Any] = []
        if found is not None and self.is_judge:
            parts.append(np.asarray(found.conflicts, dtype=np.int64))
        if wanted.where:
            parts.append(records.matching(self.path, self.version, wanted.where))
        if found is not None and wanted.unlabelled:
            parts.append(tally.unlabelled(self.version.rows, self.missing(), found))
        if wanted.skipped:
            parts.append(
                np.asarray(tally.skipped(state, self.key, actor, wanted.role), dtype=np.int64)
            )
        only = None
        for part in parts:
            only = part if only is None else np.intersect1d(only, part, assume_unique=True)
        done = [] if wanted.skipped else tally.handled(state, self.key, actor, wanted.role)
        rows = None if wanted.rows is None else np.asarray(wanted.rows, dtype=np.int64)
        return queues.Queue(
            self.version.rows, rows, only, done, order=wanted.order, seed=wanted.seed
        )

    def _sample(self, queue: queues.Queue, act: Act) -> Sample | None:
        if self.wanted.at is not None:
            row: int | None = self.wanted.at
            check_row(self.version, self.wanted.at)
        else:
            row = queue.after(act.after) if act.back_to is None else act.back_to
        if row is None:
            return None
        state, actor = self.workspace.metadata, self.workspace.actor
        told = tally.opinions(state, self.key, [row])[row]
        verdict = tally.verdict(state, self.key, row)
        own = next((it for it in told if it.actor == actor), None)
        others = tuple(it for it in told if self.is_judge or it.actor != actor)
        place = queue.place(row)
        return Sample(
            row=row,
            place=place.place,
            previous=place.previous,
            following=place.following,
            values=records.record(self.path, row),
            opinion=verdict if self.is_judge else own,
            others=others if self.wanted.reveal else (),
        )


def check_row(version: DataVersion, row: int) -> None:
    """Raise :class:`InputError` for a row that the version does not have."""
    if not 0 <= row < version.rows:
        raise InputError(
            f"{version.reference} has no row {row}.", f"It has {version.rows:,} rows, from 0 on."
        )
