"""What is explained: a run or a registered model, with the model itself and its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from local_stack.data import versions
from local_stack.errors import DamagedError, InputError, NotFoundError, UnavailableError
from local_stack.explain.attributing.attributing import Explainer, attribute
from local_stack.explain.attributing.sampled import evenly
from local_stack.explain.attributing.trees import has_trees
from local_stack.explain.learnt import training_rows, unseen, with_target
from local_stack.preparation.fitting import raw_columns
from local_stack.progress import Progress, silent
from local_stack.registry import load, resolve
from local_stack.runs.records import find_run
from local_stack.runs.saved_models import advice_without
from local_stack.stores.artifacts import Tree
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from local_stack.explain.attributing.attributions import Attributions
    from local_stack.runs.cluster.client import Cluster
    from local_stack.stores.model import Model

_BACKGROUND = 1_000


@dataclass(frozen=True)
class Subject:
    """A model with the rows it is explained by: those of its data version that have a target.

    Those that the filters of its recipe leave out are none of them. ``background`` are at most
    1,000 of them as a matrix, evenly spread: they stand for what is absent.
    """

    run: Row
    model: Model
    version: versions.DataVersion
    frame: pl.DataFrame
    background: NDArray[np.float64]
    lacks: str = ""
    """Why there are no rows, where :func:`subject_of` may do without."""
    whole: pl.DataFrame | None = None
    places: NDArray[np.int64] | None = None
    """The whole data version, and the numbers of the rows in it; None where these are all."""

    @property
    def run_id(self) -> str:
        """Return the run that made the model."""
        return str(self.run["run_id"])

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Return the numbers of the rows in the data version, (n_rows,)."""
        import numpy as np

        return np.arange(self.frame.height) if self.places is None else self.places

    @cached_property
    def held_out(self) -> pl.DataFrame:
        """Return the rows that the run held out of its training, of those it learnt from."""
        import numpy as np

        whole = self.frame if self.whole is None else self.whole
        return self.frame[np.flatnonzero(np.isin(self.numbers, unseen(self.run, whole)))]

    def sample(self, rows: int) -> pl.DataFrame:
        """Return at most ``rows`` rows (all for 0), a seeded sample of them."""
        if 0 < rows < self.frame.height:
            return self.frame.sample(rows, seed=0)
        return self.frame

    def matrix(self, frame: pl.DataFrame) -> NDArray[np.float64]:
        """Return the features of rows as the model prepares them, (n_rows, n_features)."""
        return self.model.matrix(raw_columns(frame, self.model.inputs))

    @cached_property
    def explainer(self) -> Explainer:
        """Return the model made ready to be explained."""
        return Explainer(self.model, self.background)

    def attributions(
        self,
        frame: pl.DataFrame,
        *,
        unit: str | None = None,
        workers: Cluster | None = None,
        progress: Progress = silent,
    ) -> Attributions:
        """Return the SHAP values of rows of the data version; see :func:`attribute`."""
        return attribute(
            self.explainer,
            self.matrix(frame),
            unit=unit,
            workers=workers,
            progress=progress,
        )


def subject_of(
    workspace: Workspace, target: str, data: str | None = None, *, needs_rows: bool = True
) -> Subject:
    """Return the model of a run id or of MODEL[@STAGE|/VERSION], with its rows.

    Parameters
    ----------
    data
        Another data version than the one it learnt from, as NAME[@VERSION|@TAG].
    needs_rows
        Whether a model of trees, which know their rows, is no use where those are not here.

    Raises
    ------
    NotFoundError
        There is no such run, model or data version.
    InputError
        The run has no model, or the version has no row with a target.
    """
    run = target_run(workspace, target)
    model = load(workspace, Tree.of(run["model"]))
    version = training_data(workspace, run)
    try:
        whole, places = _rows(workspace, version, run, is_learnt=True)
    except (NotFoundError, UnavailableError, DamagedError) as error:
        if needs_rows or not has_trees(model):
            raise
        lacks = f"The rows of {version.reference} are not here ({error.message})"
        return Subject(run, model, version, *_nothing(model), lacks)
    some = whole[places[evenly(len(places), _BACKGROUND)]]
    background = model.matrix(raw_columns(some, model.inputs))
    if data is not None and versions.find(workspace, data) != version:
        version = versions.find(workspace, data)
        whole, places = _rows(workspace, version, run, is_learnt=False)
    rows = whole if len(places) == whole.height else whole[places]
    return Subject(run, model, version, rows, background, whole=whole, places=places)


def _nothing(model: Model) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    """Return no rows, and a background that shows the link of trees."""
    import numpy as np
    import polars as pl

    return pl.DataFrame(), np.zeros((1, len(model.features)))


def _rows(
    workspace: Workspace, version: versions.DataVersion, run: Row, *, is_learnt: bool
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Return a data version, and the numbers of the rows in it that are explained."""
    whole = versions.read(workspace, version)
    places = training_rows(run, whole) if is_learnt else with_target(whole, run["target"])
    if not len(places):
        raise InputError(f"{version.reference} has no row with a {run['target']}.")
    return whole, places


def training_data(workspace: Workspace, run: Row) -> versions.DataVersion:
    """Return the data version that a run learnt from."""
    entry = run["datasets"][0]
    return versions.find(workspace, f"{entry['name']}@{entry['digest']}")


def target_run(workspace: Workspace, target: str) -> Row:
    """Return the run behind a run id or a registered model, which must have a model."""
    try:
        run = find_run(workspace, target)
        if run["lifecycle"] == "deleted":  # a registered version keeps its model, this one may not
            raise InputError(
                f"Run {run['run_id']} is deleted.",
                f"Restore it with: paceml-tui runs restore {run['run_id'][:8]}",
            )
    except NotFoundError as error:
        name = target.partition("/")[0].rpartition("@")[0] or target.partition("/")[0]
        if workspace.get("models", name) is None:
            if error.details:  # several runs begin so
                raise
            raise NotFoundError(
                f"There is neither a run nor a model '{target}'.",
                "List them with: paceml-tui runs search, paceml-tui registry list",
            ) from None
        run = find_run(workspace, resolve(workspace, target).run_id)
    if not run["model"]:
        message = f"Run {run['run_id']} is {run['status']} and has no model to explain."
        raise InputError(message, advice_without(workspace, run, "Explain"))
    return run


def reads_target(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Return what a command that explains ``target`` depends on, for the cache of pipelines."""
    run = target_run(workspace, str(arguments["target"]))
    return [run["run_id"], run["model"], run["datasets"]]
