"""A model in memory: a fitted estimator with its preparation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from local_stack.errors import InputError
from local_stack.evaluation.calibration import Calibration
from local_stack.evaluation.thresholds import decided
from local_stack.preparation.fitted import Column, Feature, Preparation
from local_stack.preparation.values import Scalar, Values
from local_stack.stores.boosters import LIBRARIES

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 100_000


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What a model is, apart from its trees or weights. ``classes`` is empty for a regression.

    ``calibration`` changes the probabilities of the estimator; from the probability ``threshold``
    on a row is of the second of two classes (of the more probable one where it is None);
    ``quantiles`` are those that further boosters predict.
    """

    kind: str
    estimator: str
    task: str
    target: str
    classes: tuple[Scalar, ...] = ()
    calibration: Calibration | None = None
    threshold: float | None = None
    quantiles: tuple[float, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Return whether the classes are those of the estimator itself."""
        return self.calibration is None and self.threshold is None

    @property
    def n_outputs(self) -> int:
        """Return how many raw scores a booster gives a row."""
        return len(self.classes) if len(self.classes) > 2 else 1


class Model:
    """A fitted estimator with its preparation: raw columns in, plain Python values out.

    ``estimator`` is the library's own booster or the scikit-learn object itself; it works on
    :meth:`matrix` and, when it classifies, on class numbers rather than labels. ``parts`` are
    the boosters of the quantiles with their bytes.
    """

    def __init__(
        self,
        record: ModelRecord,
        preparation: Preparation,
        estimator: Any,
        content: bytes,
        parts: Sequence[tuple[Any, bytes]] = (),
    ) -> None:
        self.record = record
        self.preparation = preparation
        self.estimator = estimator
        self.content = content
        self.parts = tuple(parts)
        self._compiled = preparation.compile()

    def deciding(self, calibration: Calibration | None, threshold: float | None) -> Model:
        """Return the same model with another calibration and threshold."""
        record = replace(self.record, calibration=calibration, threshold=threshold)
        return Model(record, self.preparation, self.estimator, self.content, self.parts)

    @property
    def kind(self) -> str:
        """Return ``sklearn``, or the library of a booster, such as ``lightgbm``."""
        return self.record.kind

    @property
    def is_booster(self) -> bool:
        """Return whether the estimator is a booster of one of the libraries."""
        return self.kind in LIBRARIES

    @property
    def task(self) -> str:
        """Return ``regression`` or ``classification``."""
        return self.record.task

    @property
    def target(self) -> str:
        """Return the name of the column that is predicted."""
        return self.record.target

    @property
    def classes(self) -> tuple[Scalar, ...]:
        """Return the labels in the order of the probabilities; empty for a regression."""
        return self.record.classes

    @property
    def inputs(self) -> tuple[Column, ...]:
        """Return the raw columns the model expects."""
        return self.preparation.inputs

    @property
    def features(self) -> tuple[Feature, ...]:
        """Return the columns of :meth:`matrix`."""
        return self.preparation.features

    @property
    def has_probabilities(self) -> bool:
        """Return whether :meth:`predict_proba` can answer."""
        is_able = self.is_booster or hasattr(self.estimator, "predict_proba")
        if len(self.classes) > 2 and getattr(self.estimator, "multi_class", "") == "one_vs_one":
            is_able = False  # a Gaussian process that compares classes in pairs has none
        return self.task == "classification" and is_able

    def matrix(self, columns: Mapping[str, Values]) -> np.ndarray:
        """Return the features of validated raw columns, float64 (n_rows, n_features).

        Raises
        ------
        InputError
            A value is missing where the estimator takes none.
        """
        import numpy as np

        found = self._compiled.matrix(columns)
        if not self.preparation.accepts_missing:
            is_missing = np.isnan(found).any(axis=0)
            if is_missing.any():
                raise self._refusal(int(is_missing.argmax()))
        return found

    def _refusal(self, number: int) -> InputError:
        """Return the error of a feature that is missing and must not be."""
        feature = self.features[number]
        sources = self.preparation.sources[feature.name]
        names = ", ".join(f"'{name}'" for name in sources)
        many = "s" if len(sources) > 1 else ""
        if sources == (feature.name,):
            message = f"Column {names} has missing values, and the model takes none."
        else:
            message = f"The feature '{feature.name}' of column{many} {names} has no value."
        return InputError(
            message, f"Train with the step 'impute: {{columns: [{feature.name}]}}', or fill them."
        )

    def pipeline(self) -> Any:
        """Return the model as one fitted ``sklearn.pipeline.Pipeline`` of raw tables.

        Its steps are ``preparation`` and ``model``.
        """
        from local_stack.stores.model_pipeline import pipeline

        return pipeline(self)

    def predict(self, columns: Mapping[str, Values]) -> list[Any]:
        """Return one number or label for each row of validated raw columns."""
        return self.labels(self.outputs(self.matrix(columns)))

    def predict_proba(self, columns: Mapping[str, Values]) -> list[list[float]]:
        """Return the probability of each class for each row of validated raw columns."""
        return cast("list[list[float]]", self.probabilities(self.matrix(columns)).tolist())

    def predict_quantiles(self, columns: Mapping[str, Values]) -> list[list[float]]:
        """Return :meth:`quantiles` for each row of validated raw columns."""
        return cast("list[list[float]]", self.quantiles(self.matrix(columns)).tolist())

    def predict_row(self, row: Mapping[str, Any]) -> Any:
        """Return the number or label of one validated raw row: the fast path, no pandas.

        Raises
        ------
        InputError
            A value is missing where the estimator takes none.
        """
        features = self._features_of_row(row)
        if self.kind == "sklearn" and self.record.is_plain:
            return self._predict_row_sklearn(features)
        if self.task == "regression":
            return self._single_row(features)[0]
        return self.classes[self._decided_row(self._probabilities_of_row(features))]

    def predict_proba_row(self, row: Mapping[str, Any]) -> list[float]:
        """Return the probability of each class of one validated raw row, as quickly as its label.

        The model must have probabilities; errors are those of :meth:`predict_row`.
        """
        return self._probabilities_of_row(self._features_of_row(row))

    def _features_of_row(self, row: Mapping[str, Any]) -> list[float]:
        features = self._compiled.row(row)
        if not self.preparation.accepts_missing:
            for number, value in enumerate(features):
                if value != value:
                    raise self._refusal(number)
        return features

    def _probabilities_of_row(self, features: list[float]) -> list[float]:
        import numpy as np

        found: list[float]
        if self.kind == "sklearn":
            found = self.estimator.predict_proba(np.array([features], dtype=np.float64))[0].tolist()
        else:
            found = self._single_row(features)
            if len(found) == 1:
                found = [1.0 - found[0], found[0]]
        calibration = self.record.calibration
        return found if calibration is None else calibration.apply_row(found)

    def _decided_row(self, probability: list[float]) -> int:
        if self.record.threshold is None:
            return probability.index(max(probability))
        return int(probability[1] >= self.record.threshold)

    def decided(self, probability: np.ndarray) -> np.ndarray:
        """Return the class numbers of probabilities, int64 (n_rows,)."""
        if self.record.threshold is None:
            return cast("np.ndarray", probability.argmax(axis=1))
        return decided(probability, self.record.threshold)

    def labels(self, outputs: np.ndarray) -> list[Any]:
        """Return numbers or class numbers as the plain values a caller sees."""
        if self.task == "regression":
            return cast("list[Any]", outputs.tolist())
        return [self.classes[number] for number in outputs.tolist()]

    def outputs(self, matrix: np.ndarray) -> np.ndarray:
        """Return predictions of a matrix: float64 numbers, or int64 class numbers, (n_rows,)."""
        import numpy as np

        if not len(matrix):
            return np.empty(0, dtype=np.float64 if self.task == "regression" else np.int64)
        if self.task == "classification" and (self.is_booster or not self.record.is_plain):
            return self.decided(self.probabilities(matrix))
        if self.is_booster:
            return self._scores(matrix)
        found = np.asarray(self.estimator.predict(matrix)).reshape(len(matrix))
        return found.astype(np.float64 if self.task == "regression" else np.int64)

    def probabilities(self, matrix: np.ndarray) -> np.ndarray:
        """Return the probability of each class, float64 (n_rows, n_classes)."""
        found = self.uncalibrated(matrix)
        calibration = self.record.calibration
        return found if calibration is None or not len(found) else calibration.apply(found)

    def quantiles(self, matrix: np.ndarray) -> np.ndarray:
        """Return the predicted quantiles, ascending, float64 (n_rows, n_quantiles).

        Each is of a booster of its own; where they cross, a row's numbers are put in order
        (Chernozhukov and others, 2010).
        """
        import numpy as np

        if not self.parts:
            raise InputError(
                f"The model of '{self.target}' predicts no quantiles.",
                "Train it with the key quantiles in the recipe.",
            )
        if not len(matrix):
            return np.empty((0, len(self.parts)), dtype=np.float64)
        found = [self._scores(matrix, booster) for booster, _ in self.parts]
        return np.sort(np.column_stack(found), axis=1)

    def uncalibrated(self, matrix: np.ndarray) -> np.ndarray:
        """Return the probabilities of the estimator itself, float64 (n_rows, n_classes)."""
        import numpy as np

        if not self.has_probabilities:
            raise InputError(
                f"{self.record.estimator} gives no probabilities for '{self.target}'.",
                "Train lightgbm or another classifier that does.",
            )
        if not len(matrix):
            return np.empty((0, len(self.classes)), dtype=np.float64)
        if self.kind == "sklearn":
            return np.asarray(self.estimator.predict_proba(matrix), dtype=np.float64)
        return self.of_classes(self._scores(matrix))

    def of_classes(self, scores: np.ndarray) -> np.ndarray:
        """Return what a booster says of rows as probabilities, float64 (n_rows, n_classes)."""
        import numpy as np

        return scores if scores.ndim == 2 else np.column_stack([1.0 - scores, scores])

    def _scores(self, matrix: np.ndarray, booster: Any = None) -> np.ndarray:
        import numpy as np

        library = LIBRARIES[self.kind]
        booster = self.estimator if booster is None else booster
        blocks = (matrix[at : at + _BLOCK] for at in range(0, len(matrix), _BLOCK))
        parts: list[np.ndarray] = [library.predict(booster, it, self.record) for it in blocks]
        found: np.ndarray = np.concatenate(parts).astype(np.float64)
        return found

    def _predict_row_sklearn(self, features: list[float]) -> Any:
        import numpy as np

        found = self.estimator.predict(np.array([features], dtype=np.float64)).item()
        return float(found) if self.task == "regression" else self.classes[int(found)]

    @cached_property
    def _single_row(self) -> Callable[[list[float]], list[float]]:
        library, n_features = LIBRARIES[self.kind], len(self.features)
        return library.row_predictor(self.estimator, self.content, n_features, self.record)
