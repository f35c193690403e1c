"""What runs are called beside each other, so that no two are called the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from local_stack.runs.exporting import visible

FEWEST: Final = 8
"""Characters of an id by which people know a run."""


def short_names(names: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Return the name of each run, or the beginning of its id where the name tells nothing.

    A name tells nothing when nobody sees it, or when another run has it as its name or its id.
    The beginnings of the ids are as long as it takes to tell them apart.
    """
    begun = short_ids(ids)
    shown = [" ".join(visible(name).split()) for name in names]
    counts = Counter([*shown, *begun, *ids])
    return [
        name if name and counts[name] == 1 else start
        for name, start in zip(shown, begun, strict=True)
    ]


def short_ids(ids: Sequence[str]) -> list[str]:
    """Return the beginnings of ids, of one length, that differ wherever the ids do."""
    n_runs, longest = len(set(ids)), max(map(len, ids), default=FEWEST)
    length = FEWEST
    while length < longest and len({one[:length] for one in ids}) < n_runs:
        length += 1
    return [one[:length] for one in ids]
