"""What is looked at after every fit: overfit, leakage, features of no use, a needless model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from local_stack.evaluation.named import Named
from local_stack.evaluation.resampling import Held
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from local_stack.runs.fitted import Fitted
    from local_stack.runs.recipe import Recipe

MAIN: Final = ("rmse", "log_loss", "accuracy")
"""What a model is judged by: the first of these that there is."""
_LESS_IS_BETTER = ("rmse", "log_loss")
_KEPT = 0.6
"""Less than this share of the skill left on held-out rows is told as an overfit."""
_LEAK_ROWS = 50_000
_LEAK = {"classification": 0.99, "regression": 0.98}
"""Out-of-fold ROC AUC or R2 of one column from which it is told: the due diligence's "high"."""
_MOST_NAMED = 5
_MOSTLY, _FEWEST_KNOWN = 0.9, 20
_PERMUTED_ROWS, _PERMUTED_FEATURES = 1_000, 100


@dataclass(frozen=True, slots=True)
class Check(Result):
    """One thing that was looked at: what was found in a sentence, and its numbers."""

    name: str
    message: str
    is_warning: bool
    values: dict[str, Any] = field(default_factory=dict)


def main_metric(metrics: Mapping[str, float]) -> str:
    """Return the metric that a model is judged by."""
    return next(name for name in MAIN if name in metrics)


def overfit(
    fitted: Fitted, held: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]
) -> Check | None:
    """Compare what the model reaches on the rows it learnt from with the held-out ones.

    Skill is R2, twice the ROC AUC minus one, or the accuracy: 1 is perfect. It is a warning when
    the metric of the training rows lies outside the interval of the held-out ones, and less than
    60 percent of its skill is left on these.
    """
    name = next((it for it in ("r2", "roc_auc", "roc_auc_ovr", "accuracy") if it in held), None)
    before = fitted.metrics.get(f"train_{name}")
    if name is None or before is None:
        return None
    after = held[name]
    low, high = intervals.get(name, (after, after))
    skill = (before, after) if name in ("r2", "accuracy") else (2 * before - 1, 2 * after - 1)
    is_warning = before > high and skill[0] > 0 and skill[1] < _KEPT * skill[0]
    values = {"metric": name, "train": before, "held_out": after, "low": low, "high": high}
    said = f"{_title(name)} is {before:.3g} on the rows learnt from and {after:.3g}"
    where = f" ({low:.3g} to {high:.3g})" if name in intervals else ""
    ending = ": the model learns its rows by heart" if is_warning else ""
    return Check("overfit", f"{said} on held-out ones{where}{ending}.", is_warning, values)


def no_better(
    own: Mapping[str, float],
    plain: Mapping[str, Mapping[str, float]],
    gains: Mapping[str, tuple[float, float]],
) -> Check | None:
    """Compare the model with the linear baseline, row by row."""
    name = main_metric(own)
    linear = plain.get("linear", {}).get(name)
    if linear is None:
        return None
    sign = -1 if name in _LESS_IS_BETTER else 1
    gap = gains.get(name)
    is_better = sign * (own[name] - linear) > 0
    is_clear = gap is not None and min(sign * gap[0], sign * gap[1]) > 0
    said = f"{_title(name)} is {_figure(own[name])}, that of a linear model {_figure(linear)}"
    if gap is not None:
        said += f" (difference {_figure(gap[0])} to {_figure(gap[1])})"
    if not is_better:
        said += ": the simpler model does as well or better"
    elif not is_clear:
        said += ": not clearly better"
    values = {"metric": name, "model": own[name], "linear": linear, "interval": gap}
    return Check("baseline", said + ".", not (is_better and is_clear), values)


def leakage(recipe: Recipe, fitted: Fitted, frame: pl.DataFrame) -> Check | None:
    """Look for one column that alone nearly gives the target, as the due diligence does."""
    import numpy as np
    import polars as pl

    from local_stack.data.assessing.single import fold_numbers, score_column

    model = fitted.model
    series = frame[model.target]
    if series.dtype.is_float():
        series = series.fill_nan(None)
    rows = np.flatnonzero(series.is_not_null().to_numpy())
    if len(rows) > _LEAK_ROWS:
        generator = np.random.default_rng(recipe.split.seed)
        rows = np.sort(generator.choice(rows, _LEAK_ROWS, replace=False))
    series = series[rows]
    if model.task == "regression":
        y, n_classes = series.cast(pl.Float64).to_numpy(), 0
    else:
        y = series.rank("dense").to_numpy().astype(np.int64) - 1
        n_classes = int(y.max()) + 1
    names = [column.name for column in model.inputs if column.name in frame.columns]
    fold = fold_numbers(len(rows))
    scored = [
        (max(score_column(part, y, n_classes, fold).score, _own_score(part, y, n_classes)), name)
        for name in names
        if len(part := frame[name][rows])
    ]
    if not scored:
        return None
    scored.sort(key=lambda it: (-it[0], it[1]))
    found = [it for it in scored if it[0] >= _LEAK[model.task]]
    title = "R2" if model.task == "regression" else "ROC AUC"
    values = {name: score for score, name in (found or scored)[:_MOST_NAMED]}
    shown = ", ".join(f"'{name}' ({title} {score:.4g})" for name, score in values.items())
    if found:
        message = f"Columns that alone nearly give '{model.target}' away: {shown}."
        return Check("leakage", message + " Are they known before it is?", True, values)
    best, name = scored[0]
    message = f"No column alone gives the target away; the strongest is '{name}'"
    return Check("leakage", f"{message} ({title} {best:.4g}).", False, values)


def _own_score(series: pl.Series, y: np.ndarray, n_classes: int) -> float:
    """Return what the size of a number says by itself, 0 where too few rows have one."""
    import numpy as np

    from local_stack.data.assessing.leakage import strength
    from local_stack.data.assessing.single import numbers

    if n_classes > 2 or not series.dtype.is_numeric():
        return 0.0
    values = numbers(series)
    present = ~np.isnan(values)
    if present.mean() < _MOSTLY or present.sum() < _FEWEST_KNOWN:
        return 0.0
    return strength(values[present], y[present], not n_classes)


def unused(fitted: Fitted, importance: Mapping[str, Any]) -> Check | None:
    """Name the columns of which the model makes no use at all."""
    if not importance:
        return None
    sources = fitted.model.preparation.sources
    values: Mapping[str, float] = importance["values"]
    used = {column for name, value in values.items() if value for column in sources[name]}
    told = [it.name for it in fitted.model.inputs if it.name not in used]
    names = ", ".join(f"'{name}'" for name in told[:_MOST_NAMED])
    more = f" and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
    if not told:
        return Check("unused", "The model uses every column.", False, {"columns": []})
    what = "it" if len(told) == 1 else "them"
    message = f"The model makes no use of {names}{more}: leave {what} out of the features."
    return Check("unused", message, True, {"columns": told})


def undefined(found: Named) -> Check:
    """Say that a metric of the recipe has no value here."""
    message = f"The metric '{found.name}' is not defined here: {found.reason.rstrip('.')}."
    return Check("metric", message, True, {"metric": found.name})


def permuted(fitted: Fitted, frame: pl.DataFrame) -> dict[str, float]:
    """Return the permutation importance of each feature on test rows, 1,000 at most."""
    import numpy as np

    from local_stack.evaluation.importance import permuted as rises
    from local_stack.evaluation.named import measured
    from local_stack.preparation.fitting import raw_columns

    model, test = fitted.model, fitted.test
    if len(model.features) > _PERMUTED_FEATURES:
        return {}
    some = np.arange(len(test.rows))
    if len(some) > _PERMUTED_ROWS:
        some = np.sort(np.random.default_rng(0).choice(len(some), _PERMUTED_ROWS, replace=False))
    matrix = model.matrix(raw_columns(frame[test.rows[some]], model.inputs))
    n_classes = len(model.classes)

    def loss(features: np.ndarray) -> float:
        probability = model.probabilities(features) if model.has_probabilities else None
        held = Held(n_classes, test.truth[some], model.outputs(features), probability)
        found = measured(held)
        name = main_metric(found)
        return found[name] if name in _LESS_IS_BETTER else 1 - found[name]

    found = rises(loss, matrix)
    names = [feature.name for feature in model.features]
    return dict(zip(names, found.tolist(), strict=True))


_TITLES = {"r2": "R2", "rmse": "RMSE", "roc_auc": "ROC AUC", "roc_auc_ovr": "ROC AUC"}


def _title(metric: str) -> str:
    return _TITLES.get(metric, metric.replace("_", " ").capitalize())


def _figure(value: float) -> str:
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e9 else f"{value:.4g}"
