"""The ``runs branch`` verb: a variant of a run, trained with some values of its recipe changed.

The tag ``paceml.branched_from`` names the run it came from. ``mlflow.parentRunId`` says another
thing: MLflow's clients show a run under that parent as a part of it, like a trial of a study. A
variant is no part of the run it came from; it stands beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Final

from local_stack.command import command, pairs
from local_stack.data import versions
from local_stack.progress import Progress, silent
from local_stack.runs.changes import changes
from local_stack.runs.learning import Source
from local_stack.runs.recipe import load_recipe
from local_stack.runs.recorded import Recorded, check_bytes, recorded
from local_stack.runs.train import (
    TrainedRun,
    check_groups,
    conduct,
    stored_recipe,
    with_target,
)
from local_stack.workspace import Workspace

FROM: Final = "paceml.branched_from"
CHANGED: Final = "paceml.changed"
_LONGEST_TAG = 4_000


@dataclass(frozen=True, slots=True)
class BranchedRun(TrainedRun):
    """A finished run that was branched from another.

    ``changed`` holds each value of the recipe that differs: ``key``, ``from`` and ``to``
    (None: absent).
    """

    branched_from: str
    changed: tuple[dict[str, Any], ...]


@command(
    "runs.branch",
    writes=True,
    is_long=True,
    example="paceml-tui runs branch latest --set params.learning_rate=0.05",
)
def branch(
    workspace: Workspace,
    run: str,
    *,
    set: tuple[str, ...] = (),
    name: str | None = None,
    progress: Progress = silent,
) -> BranchedRun:
    """Train a variant of a run, with some values of its recipe changed.

    It learns from the run's own data version, unless --set dataset=NAME@VERSION names another,
    and is linked to the run by the tag paceml.branched_from.

    Parameters
    ----------
    run
        Run id, an unambiguous beginning of it, or latest.
    set
        Change one value of the recipe, as params.learning_rate=0.1; repeat it for more.
    name
        Name of the new run; made from the estimator when left out.
    """
    parent = recorded(workspace, run, progress)
    sets, taken = pairs(set), list[Any]()
    plan = load_recipe(parent.recipe_text, sets, stored=stored_recipe(workspace, taken))
    is_other_data = "dataset" in sets
    version = versions.find(workspace, plan.dataset if is_other_data else parent.data)
    plan = with_target(plan, version, "The recipe of the run")
    check_groups(workspace, plan, version)
    check_bytes(workspace, version)
    changed = changes(parent.recipe, plan.to_dict())
    tags = {FROM: parent.run_id, CHANGED: _told(changed)}
    done = conduct(
        workspace,
        plan,
        version,
        Source(parent.folder, _stored(parent, changed, taken)),
        name=name,
        words=f"runs.branch {parent.run_id}",
        tags=tags,
        progress=progress,
    )
    values = {field.name: getattr(done, field.name) for field in fields(TrainedRun)}
    if not changed and not is_other_data:
        values["warnings"] = (*done.warnings, "No value was changed: this repeats the run.")
    return BranchedRun(**values, branched_from=parent.run_id, changed=changed)


def _stored(parent: Recorded, changed: Any, taken: list[Any]) -> Any:
    """Return the stored recipe of the features: the one now taken, or still the parent's."""
    if taken:
        return taken[0]
    is_touched = any(str(one["key"]).startswith("features") for one in changed)
    return None if is_touched else parent.environment.get("recipe", {}).get("stored")


def _told(changed: tuple[dict[str, Any], ...]) -> str:
    """Return the changes as JSON that a tag can hold; as many as fit, from the first."""
    while changed and len(text := json.dumps(changed)) > _LONGEST_TAG:
        changed = changed[: len(changed) // 2]
    return text if changed else "[]"
