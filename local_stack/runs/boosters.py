"""Boosters of trees: what a recipe may say of them, and which module trains which.

The ``BOOSTER`` of a module of :data:`BOOSTERS` is all that is known of the training of a library;
how its boosters are stored and asked is ``stores.boosters``.
"""

from __future__ import annotations

import importlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from local_stack.errors import InputError, nearest
from local_stack.evaluation.split import hold_out
from local_stack.runs.options import EarlyStopping

if TYPE_CHECKING:
    import numpy as np

    from local_stack.preparation.fitted import Preparation
    from local_stack.progress import Progress
    from local_stack.runs.fitted import Curve
    from local_stack.runs.lessons import Lesson
    from local_stack.runs.recipe import Recipe

BOOSTERS: Final = {"lightgbm": "boosting", "xgboost": "xgboosting", "catboost": "catboosting"}
"""The module that trains each, by the word of a recipe."""
MOST_ROUNDS: Final = 2_000
"""Rounds after which even early stopping ends, unless the recipe says how many."""

_CELLS_A_THREAD: Final = 100_000


class Booster(ABC):
    """What training needs of a library. Names of parameters are its canonical ones."""

    objectives: ClassVar[Mapping[str, tuple[str, ...]]]
    """Losses whose prediction is the value or the probability itself, by task; the first is usual.

    The tasks are ``regression``, ``binary`` and ``multiclass``.
    """
    objective: ClassVar[str]
    """The parameter of the loss."""
    rounds: ClassVar[str]
    """The parameter of the number of rounds."""
    seed: ClassVar[str]
    """The parameter of the seed."""
    not_of_trees: ClassVar[frozenset[str]]
    """Parameters that say nothing of how trees are grown."""
    defaults: ClassVar[Mapping[str, Any]]
    """What the library does unless a recipe says otherwise, as far as a run shows it."""

    importance: ClassVar[str] = "gain"
    """What :meth:`gains` are called."""

    @abstractmethod
    def names(self) -> Mapping[str, str]:
        """Return the canonical name of each parameter that a recipe may set, by all its names."""

    @abstractmethod
    def usual(self, n_classes: int, n_rows: int) -> dict[str, Any]:
        """Return what is set where a recipe does not say how trees are grown."""

    @abstractmethod
    def boosted(
        self,
        lesson: Lesson,
        progress: Progress,
        label: str,
        threads: int | None = None,
        *,
        quantile: float | None = None,
    ) -> tuple[Any, Curve | None]:
        """Return a booster trained on a lesson, and the curve of its early stopping.

        With ``quantile`` it predicts that quantile, whatever the recipe's objective. It is the
        same one whatever the number of ``threads`` that it may have.

        Raises
        ------
        InputError
            The library refuses the parameters or the data.
        Cancelled
            When ``progress``, which is told of each round, raises it.
        """

    @abstractmethod
    def gains(self, booster: Any) -> np.ndarray:
        """Return what each feature brings, float64 (n_features,)."""

    def scores(self, booster: Any) -> np.ndarray | None:
        """Return what a booster that was just trained predicts for the rows it learnt from.

        As ``stores.boosters.Library.predict`` gives it; None where the library has not kept it.
        """
        return None

    def settled(self, booster: Any) -> Mapping[str, Any]:
        """Return the parameters that the library settled by itself, as a stored booster says."""
        return {}

    def canonical(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters under their canonical names; two names of one are an error."""
        names = self.names()
        found: dict[str, Any] = {}
        for name, value in params.items():
            if names[name] in found:
                raise InputError(f"params gives {names[name]} twice, under two names ('{name}').")
            found[names[name]] = value
        return {name: value for name, value in found.items() if value is not None}

    def task_of(self, params: Mapping[str, Any]) -> str | None:
        """Return the task that the objective of a recipe's parameters has, None without one."""
        objective = self.canonical(params).get(self.objective)
        if objective is None:
            return None
        for task, words in self.objectives.items():
            if _word(objective) in words:
                return "regression" if task == "regression" else "classification"
        known = [word for words in self.objectives.values() for word in words]
        raise InputError(
            f"params.{self.objective} cannot be '{objective}'.",
            nearest(_word(objective), known) or f"One of: {', '.join(known)}.",
        )

    def chosen(self, recipe: Recipe, n_classes: int, n_rows: int) -> dict[str, Any]:
        """Return the parameters of a recipe and the usual ones, with objective and seed."""
        params = self.canonical(self.usual_of(recipe, n_classes, n_rows) | recipe.params)
        known = self.objectives[kind_of(n_classes)]
        objective = params.setdefault(self.objective, known[0])
        if _word(objective) not in known:
            raise InputError(
                f"params.{self.objective} '{objective}' does not fit {n_classes or 'no'} classes.",
                f"One of: {', '.join(known)}.",
            )
        params.setdefault(self.seed, recipe.split.seed)
        return params

    def in_force(self, recipe: Recipe, n_classes: int, n_rows: int, booster: Any) -> dict[str, Any]:
        """Return the parameters of a booster, those of the recipe under the names it uses."""
        params = self.usual_of(recipe, n_classes, n_rows) | recipe.params
        names = self.names()
        given = {names[key] for key in params}
        others = {**self.defaults, **self.settled(booster)}
        params = {k: v for k, v in others.items() if names[k] not in given} | params
        if self.seed not in given:
            params[self.seed] = recipe.split.seed
        if self.objective not in given:
            params[self.objective] = self.objectives[kind_of(n_classes)][0]
        return params

    def usual_of(self, recipe: Recipe, n_classes: int, n_rows: int) -> dict[str, Any]:
        """Return what is set where the recipe sets nothing else.

        A recipe whose ``params`` say how trees are grown has the library's own defaults for what
        they leave out; one without (an objective, a metric, a seed say nothing of that) what is
        usual here. With the key ``early_stopping`` there are rounds enough for it to find the end.
        """
        names = self.names()
        given = {names[name] for name in recipe.params}
        rounds = {"n_estimators": MOST_ROUNDS} if recipe.early_stopping else {}
        if not given - self.not_of_trees:
            return self.usual(n_classes, n_rows) | rounds
        if self.rounds in given:
            return {}
        return {"n_estimators": self.defaults["n_estimators"]} | rounds


def kind_of(n_classes: int) -> str:
    """Return the task of a number of classes, as objectives have it."""
    return "regression" if not n_classes else "binary" if n_classes == 2 else "multiclass"


def _word(objective: Any) -> str:
    """Return an objective without its own parameters, as CatBoost's ``Huber:delta=2`` has them."""
    text = str(objective)
    return text if "=" not in text else text.partition(":")[0]


def booster_of(estimator: str) -> Booster | None:
    """Return what trains the boosters of a recipe's estimator, None where it is none."""
    module = BOOSTERS.get(estimator)
    if module is None:
        return None
    return cast("Booster", importlib.import_module(f"local_stack.runs.{module}").BOOSTER)


def usual_rounds(n_classes: int, n_rows: int) -> int:
    """Return the rounds of small steps that a table is usually given."""
    return max(100, min(n_rows // 25, 400) if n_classes else min(n_rows // 10, 500))


def stopping_of(recipe: Recipe, patience: Any) -> EarlyStopping | None:
    """Return the early stopping of a recipe, or that of a parameter (0 for none)."""
    rounds = whole(patience, low=0)
    return recipe.early_stopping or (EarlyStopping(rounds) if rounds else None)


def sides(lesson: Lesson, stopping: EarlyStopping) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the rows to learn from, and of those that say when to stop."""
    return hold_out(lesson.keys, stopping.share, lesson.recipe.split.seed + 1)


def n_threads(asked: Any, most: int | None, n_cells: int | None = None) -> int:
    """Return how many threads to train with: as asked (0 for all), within ``most`` and cores.

    Where none is asked for and ``n_cells``, the values to learn from, are few, it is one: on a
    busy machine threads that wait for one another at every node cost tenfold.
    """
    n_cores = len(os.sched_getaffinity(0))
    usual = n_cores if n_cells is None else max(1, min(n_cores, n_cells // _CELLS_A_THREAD))
    return min(whole(0 if asked is None else asked, low=0) or usual, most or n_cores, n_cores)


def whole(value: Any, low: int = 1) -> int:
    """Return a whole number from ``low`` to a million, or raise :class:`InputError`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= 1_000_000:
        raise InputError(
            f"params holds '{str(value)[:60]}' where a whole number from {low} is needed."
        )
    return value


_PLACE = re.compile(r"^(\[[0-9:]+\] )?\S+\.(cc|cpp|cu|h):[0-9]+: ")
"""Where in its sources a library noticed an error."""


def refused(recipe: Recipe, error: Exception) -> InputError:
    """Return the error for a lesson that an estimator does not take."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return InputError(
        f"{recipe.estimator.rpartition('.')[2]} cannot be trained so: {_PLACE.sub('', said)[:300]}",
        "Change params, the features or the target in the recipe.",
    )


def safe_names(preparation: Preparation) -> list[str]:
    """Return feature names as the files of every library can hold them, unique."""
    names = [
        "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in feature.name)
        for feature in preparation.features
    ]
    if len(set(names)) == len(names) and all(names):
        return names
    return [f"{name}_{place}" for place, name in enumerate(names)]
