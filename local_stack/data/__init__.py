"""Data: imports, versions, profiles and contracts."""

from local_stack.data import (
    adding,
    checkout,
    collecting,
    contracts,
    diff,
    diligence,
    dvc,
    history,
    labels,
    preparing,
    previewing,
    profiles,
    pulling,
    pushing,
    sources,
    versions,
)

__all__ = [
    "adding",
    "checkout",
    "collecting",
    "contracts",
    "diff",
    "diligence",
    "dvc",
    "history",
    "labels",
    "preparing",
    "previewing",
    "profiles",
    "pulling",
    "pushing",
    "sources",
    "versions",
]
