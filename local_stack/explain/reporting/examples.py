"""Rows that a report explains one by one: the highest, a middle and the lowest prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_stack.explain.deciding.answers import answer

if TYPE_CHECKING:
    import polars as pl

    from local_stack.explain.attributing.attributions import Attributions
    from local_stack.explain.subject import Subject


def examples(subject: Subject, frame: pl.DataFrame, found: Attributions) -> list[dict[str, Any]]:
    """Return the explanations of up to three of the explained rows, as JSON has them.

    Parameters
    ----------
    frame, found
        The explained rows, and their SHAP values of the output that is drawn.
    """
    import numpy as np

    score = found.raw[:, 0]
    if not len(score):
        return []
    ranked = np.argsort(score, kind="stable")
    chosen = {
        "The row with the highest prediction": int(ranked[-1]),
        "A row in the middle": int(ranked[len(ranked) // 2]),
        "The row with the lowest prediction": int(ranked[0]),
    }
    told: list[dict[str, Any]] = []
    names = [column.name for column in subject.model.inputs]
    output = found.outputs[0] if len(subject.model.classes) else None
    for title, place in chosen.items():
        if any(place == other["place"] for other in told):
            continue
        row = frame.select(names).row(place, named=True)
        said = answer(subject.explainer, row, found.unit, output)
        told.append({"title": title, "place": place, **said.to_dict()})
    return told
