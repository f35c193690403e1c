"""Monotone constraints: from the columns that a recipe names to the features of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from local_stack.errors import InputError, nearest
from local_stack.runs.options import DIRECTIONS

if TYPE_CHECKING:
    from local_stack.preparation.fitted import Feature, Preparation

_KEEP_ORDER = frozenset({"bin", "clip", "fill", "power", "quantile", "same", "scale"})
"""Operations that never turn a larger number into a smaller one."""


def signs(
    monotone: Mapping[str, str], preparation: Preparation, columns: Sequence[str]
) -> tuple[int, ...]:
    """Return 1, -1 or 0 for each feature; nothing where no column is constrained.

    Parameters
    ----------
    monotone
        The direction of each raw column, or of each feature that a step makes.
    columns
        The raw columns of the table.

    Raises
    ------
    InputError
        A name is not there, or no single feature rises with it.
    """
    if not monotone:
        return ()
    found = dict.fromkeys((feature.name for feature in preparation.features), 0)
    for name, direction in monotone.items():
        feature = _feature(name, preparation, columns)
        if feature.n_categories:
            raise InputError(
                f"monotone names '{name}', which is a category and has no order.",
                "Encode it into a number first, or leave it out of monotone.",
            )
        found[feature.name] = DIRECTIONS[direction]
    return tuple(found.values())


def _feature(name: str, preparation: Preparation, columns: Sequence[str]) -> Feature:
    """Return the one feature that a name stands for."""
    by_name = {feature.name: feature for feature in preparation.features}
    if name not in columns:
        if name in by_name:  # made by a step: the constraint is on what the step makes
            return by_name[name]
        raise InputError(
            f"monotone names '{name}', which is neither a column nor a feature.",
            nearest(name, [*columns, *by_name]) or "Name a column that is learnt from.",
        )
    used = [f for f in preparation.features if name in preparation.sources[f.name]]
    if not used:
        raise InputError(
            f"monotone names column '{name}', which no feature is made of.",
            "Leave it out of monotone, or do not drop the column.",
        )
    if len(used) > 1:
        shown = ", ".join(f"'{feature.name}'" for feature in used[:4])
        more = f" and {len(used) - 4} more" if len(used) > 4 else ""
        raise InputError(
            f"Column '{name}' goes into {len(used)} features ({shown}{more}), so the prediction "
            "cannot be held monotone in it.",
            "Make one number of the column, or name a single feature that a step makes.",
        )
    (feature,) = used
    if feature.n_categories:
        return feature
    words = _words(feature.name, preparation) - _KEEP_ORDER
    if len(preparation.sources[feature.name]) > 1 or words:
        why = f"by '{min(words)}'" if words else "together with other columns"
        raise InputError(
            f"The feature '{feature.name}' is made of column '{name}' {why}, which need not keep "
            "its order.",
            "Constrain a column that is learnt from as it is, scaled, clipped or filled.",
        )
    return feature


def _words(name: str, preparation: Preparation) -> set[str]:
    """Return the kinds of operations that lead to a feature."""
    needed, words = {name}, set[str]()
    for operation in reversed(preparation.operations):
        if not needed.isdisjoint(operation.writes):
            needed = (needed - set(operation.writes)) | set(operation.reads)
            words.add(operation.word)
    return words
