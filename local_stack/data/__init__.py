"""Data: imports, versions, profiles and contracts."""

from local_stack.data import (
    adding,
    checkout,
    contracts,
    diff,
    history,
    profiles,
    pulling,
    pushing,
    sources,
    versions,
)

__all__ = [
    "adding",
    "checkout",
    "contracts",
    "diff",
    "history",
    "profiles",
    "pulling",
    "pushing",
    "sources",
    "versions",
]
