"""SHAP values of rows in the columns that a person knows, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.preparation.fitted import Preparation

TARGET: Final = "target"
LOG_TARGET: Final = "log target"
LOG_ODDS: Final = "log-odds"
PROBABILITY: Final = "probability"
DECISION: Final = "decision function"
BEFORE: Final = " before calibration"
LOG_ODDS_BEFORE: Final = LOG_ODDS + BEFORE
"""The unit of a calibrated model's own scores: they are not the log-odds of what it predicts."""
UNITS: Final = (TARGET, LOG_TARGET, LOG_ODDS, LOG_ODDS_BEFORE, PROBABILITY, DECISION)
"""What SHAP values can be measured in."""


@dataclass(frozen=True, slots=True)
class Attributions:
    """SHAP values, float64 (n_rows, n_columns, n_outputs), of what a model says of rows.

    ``base`` (n_outputs,) plus the values of a row is ``raw`` (n_rows, n_outputs), up to
    :attr:`additivity_error`. There is one output for a regression and for two classes (the
    second one), else one for each class; ``outputs`` names them. ``error`` holds the standard
    errors of a sampled explainer in the shape of the values; None where they are exact.
    """

    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    values: NDArray[np.float64]
    base: NDArray[np.float64]
    raw: NDArray[np.float64]
    unit: str
    method: str
    error: NDArray[np.float64] | None = None

    @property
    def n_rows(self) -> int:
        """Return of how many rows they are."""
        return len(self.values)

    @property
    def is_exact(self) -> bool:
        """Return whether nothing was sampled."""
        return self.error is None

    @property
    def additivity_errors(self) -> NDArray[np.float64]:
        """Return by how much base and values miss each row's raw prediction, at most; (n_rows,)."""
        import numpy as np

        missed = np.abs(self.base + self.values.sum(axis=1) - self.raw)
        return np.asarray(missed.max(axis=1)) if missed.size else np.zeros(len(missed))

    @property
    def additivity_error(self) -> float:
        """Return the largest of :attr:`additivity_errors`."""
        return float(self.additivity_errors.max(initial=0.0))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Return for each row the output with the largest raw prediction, (n_rows,)."""
        import numpy as np

        return np.asarray(self.raw.argmax(axis=1), dtype=np.int64)

    def for_predicted(self) -> Attributions:
        """Return the values of each row's predicted class as a single output.

        The base becomes the mean over the rows where it differs between them.
        """
        if len(self.outputs) == 1:
            return self
        import numpy as np

        rows, chosen = np.arange(self.n_rows), self.predicted
        base = self.base[chosen]
        mean = base.mean(keepdims=True) if len(base) else np.zeros(1)
        return replace(
            self,
            outputs=("predicted class",),
            values=self.values[rows, :, chosen][:, :, None],
            base=mean,
            raw=(self.raw[rows, chosen] - base + mean)[:, None],
            error=None if self.error is None else self.error[rows, :, chosen][:, :, None],
        )

    def of_output(self, output: int) -> Attributions:
        """Return the values of a single output."""
        at = slice(output, output + 1)
        return replace(
            self,
            outputs=self.outputs[at],
            values=self.values[:, :, at],
            base=self.base[at],
            raw=self.raw[:, at],
            error=None if self.error is None else self.error[:, :, at],
        )

    @property
    def importance(self) -> NDArray[np.float64]:
        """Return the mean |SHAP value| of each column, (n_columns,).

        With several outputs it is the sum of theirs, as shap's bar plot stacks them.
        """
        import numpy as np

        if not self.n_rows:
            return np.zeros(len(self.columns))
        return np.asarray(np.abs(self.values).mean(axis=0).sum(axis=1))


def joined(parts: Sequence[Attributions]) -> Attributions:
    """Return blocks of rows as one."""
    import numpy as np

    first = parts[0]
    errors = [part.error for part in parts if part.error is not None]
    return replace(
        first,
        values=np.concatenate([part.values for part in parts]),
        raw=np.concatenate([part.raw for part in parts]),
        error=np.concatenate(errors) if errors else None,
    )


def column_groups(preparation: Preparation) -> dict[str, list[int]]:
    """Return the places of the features that stand for each column, by its name.

    Features that are made of one raw column are summed under it; one that is made of several
    (a ratio, a difference) cannot be divided between them and stands under its own name, its
    one-hot columns added up. Columns that no feature is made of are left out.
    """
    found: dict[str, list[int]] = {}
    names = {column.name for column in preparation.inputs}
    for place, feature in enumerate(preparation.features):
        sources = preparation.sources[feature.name]
        name = sources[0] if len(sources) == 1 else feature.name
        joined = preparation.joined.get(feature.name)
        if joined is not None and joined.is_spread:
            name = joined.made[1]
        if len(sources) != 1 and name in names:
            name = f"{name} of {', '.join(sources)}"
        found.setdefault(name, []).append(place)
    return found


def summed(values: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return values (n_rows, n_features, n_outputs) summed by group, (n_rows, n_groups, ...)."""
    found = values[:, [group[0] for group in groups]]
    for place, group in enumerate(groups):
        for feature in group[1:]:  # one after the other, so that a row has the same bits alone
            found[:, place] += values[:, feature]
    return found
