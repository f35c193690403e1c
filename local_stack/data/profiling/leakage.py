"""What one column alone tells of the target: leaks, and columns that may be.

Every measure is 0 for a column that tells nothing and 1 for one that tells all, and none rewards
many values: a row never helps to predict itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local_stack.data.profiling.coding import TextHashes, codes_of, n_codes, percent, sampled_rows
from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.shape import Alert, Thresholds
from local_stack.data.profiling.table import Table
from local_stack.data.profiling.wordings import quote
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ROWS = 50_000
"""Of larger tables, this many seeded random rows are measured."""

MIN_ROWS = 30
MAX_CLASSES = 20
MAX_GROUPS = 1_000
"""Numbers of more distinct values are cut into so many groups of equal size, or fewer."""

ROWS_IN_GROUP = 10

MAX_SUSPECTS = 3
"""More suspects than this are told together."""


@dataclass(frozen=True, slots=True)
class Told:
    """How much of the target a column tells, in [0, 1], and by which measure."""

    value: float
    method: str


@dataclass(frozen=True, slots=True)
class Aim:
    """The target: a class for each row, or a rank for each row, -1 (or NaN) where missing."""

    classes: NDArray[np.int64] | None
    n_classes: int
    ranks: NDArray[np.float64] | None


def leakage_findings(
    table: Table,
    columns: Mapping[str, Column],
    target: str,
    thresholds: Thresholds,
    progress: Progress = silent,
    hashes: TextHashes | None = None,
) -> Iterator[Alert]:
    """Yield the columns that tell nearly all of the target, and those that tell much."""
    texts = hashes or TextHashes(table)
    rows = sampled_rows(table.n_rows, MAX_ROWS)
    aim = aim_of(columns[target], rows)
    if aim is None:
        return
    note = "" if rows is None else f", in a sample of {rows.size:,} rows"
    suspects: dict[str, Told] = {}
    for done, (name, column) in enumerate(columns.items()):
        progress(Step("leakage", done, len(columns)))
        if name == target or column.profile.n_distinct + (column.profile.n_missing > 0) < 2:
            continue
        told = told_by(name, column, aim, rows, texts)
        if told is None or told.value < thresholds.leakage_suspect:
            continue
        if told.value < thresholds.leakage:
            suspects[name] = told
            continue
        why = "it may be the target itself, or known only after it"
        yield _alert("leakage", name, told, target, thresholds.leakage, note, why)
    yield from _suspects(suspects, target, thresholds.leakage_suspect, note)


def _suspects(
    suspects: Mapping[str, Told], target: str, limit: float, note: str
) -> Iterator[Alert]:
    """Yield an alert of each suspect, or one of all: where many tell much, the target is easy."""
    if len(suspects) <= MAX_SUSPECTS:
        why = "make sure that it is known when a prediction is asked for"
        for name, told in suspects.items():
            yield _alert("leakage_suspect", name, told, target, limit, note, why)
        return
    names = sorted(suspects, key=lambda name: -suspects[name].value)
    others = ", ".join(quote(name) for name in names[1:4])
    why = (
        f"{len(names) - 1} other columns tell as much as the threshold too, first {others}: an "
        "easy target, unless they are known only after it"
    )
    first = suspects[names[0]]
    alert = _alert("leakage_suspect", names[0], first, target, limit, note, why)
    yield replace(alert, columns=tuple(names))


def _alert(
    code: str, name: str, told: Told, target: str, limit: float, note: str, why: str
) -> Alert:
    message = (
        f"Alone it tells {told.value:.1%} of the target {quote(target)} ({told.method}{note}; "
        f"threshold {percent(limit)}): {why}."
    )
    return Alert(code, name, told.value, limit, message, target, told.method)


def aim_of(target: Column, rows: NDArray[np.int64] | None) -> Aim | None:
    """Return the target of some rows (None: all), or None when nothing can be measured.

    Texts, booleans, and numbers of at most ``MAX_CLASSES`` distinct values are classes.
    """
    import numpy as np

    codes = codes_of(target)
    if codes is None or target.profile.n_distinct < 2:
        return None
    chosen = codes if rows is None else codes[rows]
    if int((chosen >= 0).sum()) < MIN_ROWS:
        return None
    size = n_codes(target)
    if size <= MAX_CLASSES:
        return Aim(chosen.astype(np.int64), size, None)
    if target.profile.type not in ("long", "double"):
        return None
    return Aim(None, 0, _ranks(*compact(chosen, size)))


def compact(codes: NDArray[np.int32], size: int) -> tuple[NDArray[np.int32], int]:
    """Return the codes numbered anew where few of them occur, and how many there are."""
    import numpy as np

    if size <= codes.size // 2:
        return codes, size
    found, places = np.unique(codes, return_inverse=True)
    n_missing = int(found.size > 0 and found[0] < 0)
    return places.astype(np.int32) - n_missing, found.size - n_missing


def _ranks(codes: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """Return mean ranks from 1 of ordered codes, NaN where a code is -1."""
    import numpy as np

    counts = np.bincount(codes[codes >= 0], minlength=size)
    ranks = np.append(np.cumsum(counts) - (counts - 1) / 2, np.nan)
    found: NDArray[np.float64] = ranks[codes]
    return found


def told_by(
    name: str, column: Column, aim: Aim, rows: NDArray[np.int64] | None, texts: TextHashes
) -> Told | None:
    """Return the most that any measure finds in a column, or None without a measure."""
    import numpy as np

    codes = codes_of(column)
    if codes is None:
        hashes = texts.of(name)
        groups = np.unique(hashes if rows is None else hashes[rows], return_inverse=True)[1]
        return _best(groups, None, aim)
    chosen = codes if rows is None else codes[rows]
    if column.tally is None:
        return _best(chosen.astype(np.int64) + 1, None, aim)
    chosen, size = compact(chosen, n_codes(column))
    return _best(_grouped(chosen, size), chosen, aim)


def _grouped(codes: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Return groups of neighbouring values from 1 on, group 0 being the rows without a value."""
    import numpy as np

    n_groups = max(1, min(MAX_GROUPS, codes.size // ROWS_IN_GROUP))
    if size <= n_groups:
        return codes.astype(np.int64) + 1
    counts = np.bincount(codes + 1, minlength=size + 1)[1:]
    middles = np.cumsum(counts) - (counts + 1) / 2
    places = np.append(1 + middles * n_groups // max(1, counts.sum()), 0).astype(np.int64)
    found: NDArray[np.int64] = places[codes]
    return found


def _best(groups: NDArray[np.int64], ordered: NDArray[np.int32] | None, aim: Aim) -> Told | None:
    import numpy as np

    found: list[Told | None] = []
    if aim.classes is not None:
        held = aim.classes >= 0
        cells = groups[held] * aim.n_classes + aim.classes[held]
        size = (int(groups.max()) + 1) * aim.n_classes
        found.append(accuracy_gain(np.bincount(cells, minlength=size).reshape(-1, aim.n_classes)))
        if aim.n_classes == 2 and ordered is not None:
            both = held & (ordered >= 0)
            found.append(_gini(ordered[both], aim.classes[both]))
    elif aim.ranks is not None:
        held = ~np.isnan(aim.ranks)
        found.append(explained(groups[held], aim.ranks[held]))
        if ordered is not None:
            found.append(_spearman_squared(ordered, aim.ranks))
    told = [each for each in found if each is not None]
    return max(told, key=lambda each: each.value) if told else None


def accuracy_gain(table: NDArray[np.int64]) -> Told | None:
    """Return by how much groups bring accuracy nearer to 1 than the most frequent class does.

    Each row is predicted by the majority of the other rows of its group, ties counting half;
    a row alone in its group by the most frequent class.

    Parameters
    ----------
    table
        Rows of each group and class, shape (n_groups, n_classes).
    """
    import numpy as np

    classes = table.sum(axis=0)
    n, most = int(classes.sum()), int(classes.argmax())
    if n < MIN_ROWS or int(classes[most]) == n:
        return None
    two = np.partition(table, -2, axis=1)[:, -2:]
    top, second = two[:, 1], two[:, 0]
    is_alone = table.sum(axis=1) == 1
    right = np.where(top - 1 > second, top, np.where(top - 1 == second, top / 2, 0.0))
    n_right = float(right[~is_alone].sum()) + int(table[is_alone, most].sum())
    base = int(classes[most]) / n
    value = max(0.0, (n_right / n - base) / (1 - base))
    return Told(value, "gain in accuracy, leaving each row out")


def _gini(ordered: NDArray[np.int32], classes: NDArray[np.int64]) -> Told | None:
    """Return ``|2 AUC - 1|`` of ordered values, less what chance would give."""
    import numpy as np

    size = int(ordered.max()) + 1 if ordered.size else 0
    counts = np.bincount(ordered * 2 + classes, minlength=2 * size).reshape(-1, 2)
    no, yes = counts[:, 0].astype(np.float64), counts[:, 1].astype(np.float64)
    n_no, n_yes = no.sum(), yes.sum()
    if min(n_no, n_yes) < 5 or n_no + n_yes < MIN_ROWS:
        return None
    area = float((yes * (np.cumsum(no) - no / 2)).sum()) / (n_no * n_yes)
    spread = math.sqrt((n_no + n_yes + 1) / (12 * n_no * n_yes))  # of the area, by chance
    squared = (2 * area - 1) ** 2 - (4 * spread) ** 2
    return Told(math.sqrt(max(0.0, squared)), "2 AUC - 1, less what chance gives")


def explained(groups: NDArray[np.int64], y: NDArray[np.float64]) -> Told | None:
    """Return the share of the variance of ``y`` that the means of groups explain.

    Each row is predicted by the mean of the other rows of its group; a row alone in its group
    by the mean of all.
    """
    import numpy as np

    if y.size < MIN_ROWS:
        return None
    y = y - y.mean()
    total = float((y * y).sum())
    if not total:
        return None
    counts = np.bincount(groups)
    sums = np.bincount(groups, y)
    squares = np.bincount(groups, y * y)
    held = counts > 1
    n = counts[held]
    within = squares[held] - sums[held] ** 2 / n
    error = float((within * (n / (n - 1)) ** 2).sum()) + float(squares[counts == 1].sum())
    return Told(max(0.0, 1 - error / total), "share of rank variance, leaving each row out")


def _spearman_squared(ordered: NDArray[np.int32], ranks: NDArray[np.float64]) -> Told | None:
    """Return Spearman's correlation squared, adjusted for the number of rows."""
    import numpy as np

    both = (ordered >= 0) & ~np.isnan(ranks)
    n = int(both.sum())
    if n < MIN_ROWS:
        return None
    codes, y = ordered[both], ranks[both]
    x = _ranks(codes, int(codes.max(initial=0)) + 1)
    x, y = x - x.mean(), y - y.mean()
    scale = float((x * x).sum()) * float((y * y).sum())
    if not scale:
        return None
    squared = float((x * y).sum()) ** 2 / scale
    return Told(max(0.0, 1 - (1 - squared) * (n - 1) / (n - 2)), "Spearman's correlation, squared")
