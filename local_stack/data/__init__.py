"""Data: imports, versions, profiles and contracts."""

from local_stack.data import adding, contracts, diff, history, profiles, versions

__all__ = ["adding", "contracts", "diff", "history", "profiles", "versions"]
