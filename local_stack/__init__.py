"""PACE-ML's engine: the whole life of a model on an embedded stack.

::

    from local_stack import Workspace

    ws = Workspace.open(".")
    ws.data.profile("wine")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_stack.notebook import Workspace

__all__ = ["Workspace"]


def __getattr__(name: str) -> Any:
    """Load the public names when they are asked for, so that importing the package is free."""
    if name == "Workspace":
        from local_stack.notebook import Workspace

        return Workspace
    raise AttributeError(f"module 'local_stack' has no attribute '{name}'")
