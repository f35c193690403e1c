"""Work on a core each: NumPy and Polars let go of the interpreter's lock while they count."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

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
    if not items:
        return
    pool = ThreadPoolExecutor(n_cores())
    try:
        with _thread_pools().limit(limits=1, user_api="blas"):
            yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """Return what holds NumPy's own threads; to look for them takes milliseconds each time."""
    import numpy  # noqa: F401 - only libraries that are loaded are found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
