"""Data: imports, versions, profiles and contracts."""

from local_stack.data import adding, contracts, profiles, versions

__all__ = ["adding", "contracts", "profiles", "versions"]
