"""Work on a core each: NumPy and Polars let go of the interpreter's lock while they count."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


def n_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def in_threads(work: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[Found]:
    """Yield the results in the order of the items; when the caller stops, what waits is left.

    Matrix products are kept on the thread that asks for them: threads of their own, waiting for
    one another, would take these cores away (measured: twice the time).
    """
    from threadpoolctl import threadpool_limits

    pool = ThreadPoolExecutor(n_cores())
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)
