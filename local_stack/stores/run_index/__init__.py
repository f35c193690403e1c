"""The run index: what an MLflow store holds, in DuckDB, beside the workspace's own records.

It is a cache: two files that may be deleted at any time, the ``base`` and the ``fresh`` rows
that have changed since it was written. Both are published whole (write, fsync, rename) and only
ever opened read-only, so that nobody waits for a sync and a killed one leaves nothing behind.
"""

from local_stack.stores.run_index.generations import Attached, RunIndex

__all__ = ["Attached", "RunIndex"]
