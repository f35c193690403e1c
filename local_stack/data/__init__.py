"""Data: versions, profiles and contracts."""

from local_stack.data import contracts, profiles, versions

__all__ = ["contracts", "profiles", "versions"]
