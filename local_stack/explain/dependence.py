"""How the predictions of a model depend on one column: the verb ``explain dependence``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.command import command
from local_stack.errors import InputError, NotFoundError, named, nearest
from local_stack.explain.affording import rows_to_explain
from local_stack.explain.effects.parts import Dependence, Partial
from local_stack.explain.subject import reads_target, subject_of
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.explain.effects.rows import Rows

POINTS = 2_000


@dataclass(frozen=True, slots=True)
class FeatureDependence(Result):
    """How predictions depend on one column, over ``n_rows`` of ``n_total`` rows.

    ``dependence`` has the SHAP values in ``unit`` of ``output``, where a missing value is None;
    ``n_missing`` are the missing ones and ``missing_shap`` is their mean SHAP value.
    ``partial`` (in its own unit) is None for a feature that is made of several columns.
    """

    run_id: str
    data_version: str
    feature: str
    output: str
    unit: str
    method: str
    base_value: float
    n_rows: int
    n_total: int
    n_missing: int
    missing_shap: float | None
    dependence: Dependence
    partial: Partial | None


@command(
    "explain.dependence",
    is_long=True,
    reads=reads_target,
    example="paceml-tui explain dependence wine@Production alcohol",
)
def dependence(
    workspace: Workspace,
    target: str,
    feature: str,
    *,
    rows: int | None = None,
    unit: str | None = None,
    output: str | None = None,
    color: str | None = None,
    progress: Progress = silent,
) -> FeatureDependence:
    """Show how predictions depend on one column: SHAP values, partial dependence, ICE lines.

    Parameters
    ----------
    target
        Run id (or latest), or MODEL, MODEL@STAGE, MODEL/VERSION.
    feature
        Column, or a feature that is made of several columns.
    rows
        Explain at most this many rows, a seeded sample of more; 2,000 when left out, and fewer
        where each takes long.
    unit
        Measure in log-odds, probability or target; by default as the model itself adds up.
    output
        Tell of this class of a model of many; when left out the one that is predicted most.
    color
        Column to colour by, also one that the model does not use; when left out the one that
        explains the spread best.
    """
    import numpy as np

    from local_stack.explain.attributing.units import told_of
    from local_stack.explain.effects import dependence as effects
    from local_stack.explain.effects import partial, whole
    from local_stack.explain.effects.rows import Rows

    progress(Step("Reading the model and its rows"))
    subject = subject_of(workspace, target)
    output = whole.named_output(subject.model, output)
    n_rows = rows_to_explain(subject, rows, unit)
    frame = subject.sample(n_rows if rows is not None else min(POINTS, n_rows))
    asked = Rows(subject.model, frame)
    _check(feature, subject.explainer.columns, asked, color)
    found = subject.attributions(frame, unit=unit, progress=progress)
    found = told_of(subject.model, found, output)
    shown = whole.chosen_output(found, output)
    one = found.of_output(shown)
    told = effects.dependence(asked, one, feature, most=POINTS, colour=color)
    progress(Step("Partial dependence"))
    raw = {column.name for column in subject.model.inputs}
    part = None
    if feature in raw:
        some = subject.frame[partial.some_rows(subject.model, subject.frame.height, 1)]
        part = partial.partial_dependence(Rows(subject.model, some), feature, found.outputs[shown])
    values = one.values[:, one.columns.index(feature), 0]
    is_missing = np.isnan(asked.described[feature].numbers)
    return FeatureDependence(
        run_id=subject.run_id,
        data_version=subject.version.reference,
        feature=feature,
        output=found.outputs[shown],
        unit=found.unit,
        method=found.method,
        base_value=float(found.base[shown]),
        n_rows=frame.height,
        n_total=subject.frame.height,
        n_missing=int(is_missing.sum()),
        missing_shap=float(values[is_missing].mean()) if is_missing.any() else None,
        dependence=told,
        partial=part,
    )


def _check(feature: str, columns: tuple[str, ...], rows: Rows, color: str | None) -> None:
    """Raise unless the model has SHAP values of a feature, and the colour is a column."""
    if feature not in columns:
        if feature in rows.described:
            made = [it.name for it in rows.model.features]
            sources = rows.model.preparation.sources
            uses = [name for name in made if feature in sources[name] and name in columns]
            raise InputError(
                f"'{feature}' is only part of other features, which have the SHAP values.",
                f"Ask for one of: {', '.join(uses[:6])}.",
            )
        raise NotFoundError(
            f"The model has no feature '{feature}'.",
            nearest(feature, columns) or f"Its features: {named(columns, 12)}.",
        )
    known = list(dict.fromkeys([*rows.described, *rows.frame.columns]))
    if color is not None and color not in known:
        raise NotFoundError(
            f"There is no column '{color}' to colour by.",
            nearest(color, known) or f"Columns: {named(known, 12)}.",
        )
    if color == feature:
        raise InputError(f"'{color}' cannot colour itself.", "Name another column.")
