"""Which rows train and which are held out, the same for the same seed everywhere."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from local_stack.errors import InputError, nearest

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Parts: TypeAlias = "tuple[np.ndarray, np.ndarray]"
"""Row numbers (int64, ascending) to train on and to test on."""


@dataclass(frozen=True, slots=True)
class Split:
    """How rows are held out: a share ``test`` in [0, 1), and ``folds`` of the rest if asked.

    ``group`` names a column whose rows stay together, ``time`` one whose latest rows are the
    test; both columns are then left out of the features unless a step names them. ``gap`` purges
    the training rows of the times right before what is held out: that many different times, or a
    duration such as ``7d``.
    """

    test: float = 0.2
    seed: int = 0
    stratify: bool = False
    group: str | None = None
    time: str | None = None
    folds: int | None = None
    gap: int | str | None = None


DURATION = "^[0-9]{1,6}[smhdw]$"
"""A duration as it is written: seconds, minutes, hours, days or weeks."""
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def duration(text: str) -> int:
    """Return the seconds of a text such as ``12h``; another text raises ``ValueError``."""
    if not re.fullmatch(DURATION.strip("^$"), text, re.ASCII):
        raise ValueError(text)
    return int(text[:-1]) * _SECONDS[text[-1]]


@dataclass(frozen=True, slots=True)
class Keys:
    """What a split looks at: the number of rows and int64 arrays (n_rows,), one kind at most.

    ``strata`` keeps the shares of its values, ``groups`` keeps equal values together, ``times``
    holds the largest values out. With a gap, ``purged`` says of each row from which time on rows
    are left out of the training when what is held out begins with this row's time.
    """

    n_rows: int
    strata: np.ndarray | None = None
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    purged: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Keys:
        """Return the keys of some rows."""
        arrays = (self.strata, self.groups, self.times, self.purged)
        return Keys(len(rows), *(None if a is None else a[rows] for a in arrays))


def keys_of(frame: pl.DataFrame, split: Split, labels: np.ndarray | None) -> Keys:
    """Return the keys that ``split`` asks for; ``labels`` are class numbers (n_rows,)."""
    if split.stratify:
        if labels is None:
            raise InputError(
                "A regression cannot be split by stratify.", "Set split.stratify to false."
            )
        return Keys(frame.height, strata=labels)
    if split.group is not None:
        return Keys(frame.height, groups=_ranks(frame, split.group, "group"))
    if split.time is not None:
        times = _ranks(frame, split.time, "time")
        return Keys(frame.height, times=times, purged=_purged(frame[split.time], times, split.gap))
    return Keys(frame.height)


def _ranks(frame: pl.DataFrame, name: str, role: str) -> np.ndarray:
    """Return dense ranks (int64); missing values share the lowest."""
    import numpy as np

    if name not in frame.columns:
        raise InputError(
            f"split.{role} names column '{name}', which is not there.",
            nearest(name, frame.columns),
        )
    ranks = frame[name].rank("dense").fill_null(0)
    return ranks.to_numpy().astype(np.int64)


def _purged(series: pl.Series, times: np.ndarray, gap: int | str | None) -> np.ndarray | None:
    """Return for each row the first of the times right before it that a gap purges."""
    import numpy as np
    import polars as pl

    if gap is None or isinstance(gap, int):
        return None if gap is None else np.asarray(times - gap)
    if series.dtype not in (pl.Date, pl.Datetime):
        raise InputError(
            f"split.gap is '{gap}', and '{series.name}' holds no dates or times.",
            "Write the gap as a number of different values.",
        )
    moments = series.cast(pl.Datetime("us")).to_physical().fill_null(0).to_numpy()
    ranks, first = np.unique(times, return_index=True)
    known = ranks > 0  # rank 0 is of rows without a time
    ordered = moments[first[known]]
    found = np.zeros(ranks.max() + 1, dtype=np.int64)
    starts = np.searchsorted(ordered, ordered - duration(gap) * 1_000_000)
    found[ranks[known]] = ranks[known][starts]
    return np.asarray(found[times])


def _before(keys: Keys, cut: int) -> np.ndarray:
    """Return the rows to train on when rows from the time ``cut`` on are held out."""
    import numpy as np

    assert keys.times is not None
    end = cut if keys.purged is None else int(keys.purged[keys.times == cut][0])
    found = np.flatnonzero(keys.times < end)
    if not len(found):
        raise InputError(
            "The gap of the split leaves no rows to train on.",
            "Shorten split.gap, or hold out less.",
        )
    return found


def hold_out(keys: Keys, share: float, seed: int) -> Parts:
    """Return (train, test) with about ``share`` of the rows in test, rounded up.

    Raises
    ------
    InputError
        Nothing would be left to train on.

    Rows that a gap purges are on neither side.
    """
    import numpy as np

    everything = np.arange(keys.n_rows)
    if share == 0:
        return everything, everything[:0]
    n_test = int(np.ceil(share * keys.n_rows))
    if n_test >= keys.n_rows:
        raise InputError(f"{keys.n_rows} rows are too few to hold {share:g} of them out.")
    is_test = np.zeros(keys.n_rows, dtype=bool)
    generator = np.random.default_rng(seed)
    if keys.strata is not None:
        is_test[_by_strata(keys.strata, n_test, generator)] = True
    elif keys.groups is not None:
        is_test = np.isin(keys.groups, _some_groups(keys.groups, n_test, generator))
    elif keys.times is not None:
        cut = _cut(keys.times, n_test)
        return _before(keys, cut), np.flatnonzero(keys.times >= cut)
    else:
        is_test[generator.permutation(keys.n_rows)[:n_test]] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _by_strata(strata: np.ndarray, n_test: int, generator: np.random.Generator) -> np.ndarray:
    """Return rows whose strata have the shares of all rows, by largest remainders."""
    import numpy as np

    _, place, counts = np.unique(strata, return_inverse=True, return_counts=True)
    exact = counts * n_test / len(strata)
    chosen = np.minimum(np.floor(exact).astype(np.int64), counts - 1)
    for stratum in np.argsort(chosen - exact, kind="stable"):
        if chosen.sum() < n_test and chosen[stratum] < counts[stratum] - 1:
            chosen[stratum] += 1
    rows = [
        generator.permutation(np.flatnonzero(place == stratum))[:n]
        for stratum, n in enumerate(chosen)
    ]
    return np.concatenate(rows)


def _some_groups(groups: np.ndarray, n_test: int, generator: np.random.Generator) -> np.ndarray:
    import numpy as np

    names, counts = np.unique(groups, return_counts=True)
    if len(names) < 2:
        raise InputError("The group column has one value only.", "Split without split.group.")
    order = generator.permutation(len(names))
    n_groups = int(np.searchsorted(np.cumsum(counts[order]), n_test)) + 1
    return np.asarray(names[order[: min(n_groups, len(names) - 1)]])


def _cut(times: np.ndarray, n_test: int) -> int:
    """Return the time at which the test begins; rows of one time stay on one side."""
    import numpy as np

    ordered = np.sort(times)
    if ordered[0] == ordered[-1]:
        raise InputError("The time column has one value only.", "Split without split.time.")
    cut = int(ordered[len(times) - n_test])
    return cut if cut > ordered[0] else int(np.unique(ordered)[1])


def folds(keys: Keys, n_folds: int, seed: int) -> Iterator[Parts]:
    """Yield (train, test) of each fold; folds by time train on the past only.

    Raises
    ------
    InputError
        There are fewer rows, groups or times than the folds need.
    """
    import numpy as np

    if keys.times is not None:
        yield from _folds_by_time(keys, keys.times, n_folds)
        return
    generator = np.random.default_rng(seed)
    fold = _fold_numbers(keys, n_folds, generator)
    if len(np.unique(fold)) < n_folds:
        raise InputError(f"The training rows are too few for {n_folds} folds.", "Ask for fewer.")
    for number in range(n_folds):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def _fold_numbers(keys: Keys, n_folds: int, generator: np.random.Generator) -> np.ndarray:
    import numpy as np

    fold = np.empty(keys.n_rows, dtype=np.int64)
    if keys.groups is not None:
        names, place, counts = np.unique(keys.groups, return_inverse=True, return_counts=True)
        sizes = np.zeros(n_folds, dtype=np.int64)
        fold_of_group = np.empty(len(names), dtype=np.int64)
        order = generator.permutation(len(names))
        for group in order[np.argsort(-counts[order], kind="stable")]:
            fold_of_group[group] = sizes.argmin()
            sizes[sizes.argmin()] += counts[group]
        return np.asarray(fold_of_group[place])
    order = generator.permutation(keys.n_rows)
    if keys.strata is not None:
        order = order[np.argsort(keys.strata[order], kind="stable")]
    fold[order] = np.arange(keys.n_rows) % n_folds
    return fold


def _folds_by_time(keys: Keys, times: np.ndarray, n_folds: int) -> Iterator[Parts]:
    import numpy as np

    ordered = np.sort(times)
    places = np.linspace(0, len(times), n_folds + 2)[1:-1].astype(np.int64)
    cuts = [*ordered[places], ordered[-1] + 1]
    if len(set(cuts)) < len(cuts) or cuts[0] == ordered[0]:
        raise InputError(f"The time column has too few values for {n_folds} folds.")
    for begin, end in itertools.pairwise(cuts):
        yield _before(keys, int(begin)), np.flatnonzero((times >= begin) & (times < end))
