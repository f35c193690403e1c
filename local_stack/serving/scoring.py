"""Bytes in, predictions, explanations and log lines out: one model version, and no HTTP."""

from __future__ import annotations

import contextlib
import json
import math
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from local_stack.errors import InputError
from local_stack.explain.single import RowExplainer, RowExplanation, predicted
from local_stack.results import iso, now
from local_stack.serving.folder import EndpointConfig
from local_stack.serving.protocol import Refusal, Table, malformed, overloaded, parse, unprocessable

if TYPE_CHECKING:
    import numpy as np

    from local_stack.stores.model import Model

    Background = Callable[[], Mapping[str, Sequence[Any]] | None]


@dataclass(frozen=True, slots=True)
class Scored:
    """The answer to a request, and the log lines that must be durable before it is given."""

    predictions: list[Any]
    request: str
    at: str
    lines: bytes
    explanations: tuple[RowExplanation, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the body of the answer."""
        body: dict[str, Any] = {"predictions": self.predictions}
        if self.explanations is not None:
            body["explanations"] = [it.to_dict() for it in self.explanations]
        return body


class Scorer:
    """One model version.

    Parameters
    ----------
    background
        Returns the raw columns of training rows that explanations need, None where they are gone;
        it is called once, for the first explanation.
    """

    def __init__(
        self, model: Model, config: EndpointConfig, background: Background = lambda: None
    ) -> None:
        self._model = model
        self._inputs = model.inputs
        self._config = config
        self._background = background
        self._explainer: RowExplainer | None = None
        self._model_text = f'"model":{json.dumps(config.model)},"version":{config.version},'

    def score(self, body: bytes, content_type: str | None) -> Scored:
        """Return the predictions for the rows in ``body``.

        Raises
        ------
        Refusal
            When the body or its rows cannot be used.
        """
        started = time.perf_counter()
        table = parse(body, content_type, self._inputs, self._config.max_rows)
        rows, predictions = self._predicted(table)
        return self._scored(rows, [_plain(it) for it in predictions], started)

    def explain(
        self, body: bytes, content_type: str | None, deadline: float, unit: str | None = None
    ) -> Scored:
        """Return the predictions for the rows in ``body`` with their explanations.

        Parameters
        ----------
        deadline
            When nobody waits any more, by ``time.monotonic()``.
        unit
            What to measure in; by default what ``params`` of the body say, or else as the model
            itself adds up.

        Raises
        ------
        Refusal
            When the body or its rows cannot be used, or the model cannot be explained.
        """
        started = time.perf_counter()
        table = parse(body, content_type, self._inputs, self._config.max_explained_rows)
        asked = table.params.get("unit")
        if not isinstance(asked, str | None):
            raise malformed("params.unit must be a text, such as log-odds or probability.")
        rows, predictions = self._predicted(table)
        explanations = []
        for row, prediction in zip(rows, predictions, strict=True):
            if time.monotonic() > deadline:
                raise overloaded("The explanations took too long; send fewer rows.")
            explanations.append(self._explained(row, prediction, unit or asked))
        plain = [_plain(it) for it in predictions]
        return self._scored(rows, plain, started, tuple(explanations))

    def _explained(self, row: dict[str, Any], prediction: Any, unit: str | None) -> RowExplanation:
        try:
            if self._explainer is None:
                self._explainer = RowExplainer(self._model, self._background())
            return self._explainer.explain(row, prediction, unit)
        except InputError as error:
            raise Refusal(422, "EXPLANATION_UNAVAILABLE", str(error)) from None

    def _predicted(self, table: Table) -> tuple[list[dict[str, Any]], list[Any]]:
        """Return the validated rows of a request, and what the model says of them."""
        with _explained():
            columns = self._model.preparation.validate(table.columns)
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        with _explained():
            try:
                return rows, predicted(self._model, rows, columns)
            except ValueError:
                self._refuse_extremes(columns)
                raise

    def _refuse_extremes(self, columns: dict[str, list[Any]]) -> None:
        """Blame the row, not the model, for a number beyond what scikit-learn computes with."""
        import numpy as np

        matrix: np.ndarray = self._model.matrix(columns)
        rows, places = np.nonzero(~(np.abs(matrix) <= np.finfo(np.float32).max))
        if len(rows):
            row, column = int(rows[0]), self._model.features[int(places[0])].column
            raise unprocessable(
                f"Row {row}, column '{column}': the number is beyond what the model computes with.",
                {"row": row, "column": column, "expected": "a 32-bit float"},
            )

    def _scored(
        self,
        rows: list[dict[str, Any]],
        predictions: list[Any],
        started: float,
        explanations: tuple[RowExplanation, ...] | None = None,
    ) -> Scored:
        request = f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(6)}"
        at = now()
        elapsed = (time.perf_counter() - started) * 1000
        common = f'"request":"{request}","at":"{at}",{self._model_text}"ms":{elapsed:.3f},'
        identities: Iterable[str] = (
            [request] if len(rows) == 1 else (f"{request}.{n}" for n in range(len(rows)))
        )
        ends: Iterable[str] = (
            (f',"explanation":{encode(it.logged())}}}\n' for it in explanations)
            if explanations is not None
            else ["}\n"] * len(rows)
        )
        lines = "".join(
            f'{{"id":"{identity}",{common}"row":{encode(row)},"prediction":{encode(value)}{end}'
            for identity, row, value, end in zip(identities, rows, predictions, ends, strict=True)
        )
        return Scored(predictions, request, at, lines.encode("ascii"), explanations)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Answer 422 to rows that the model's preparation does not take."""
    try:
        yield
    except InputError as error:
        raise unprocessable(error.message, error.details or {}) from None


def _plain(value: Any) -> Any:
    """Return a prediction as JSON can hold it: NumPy scalars plain, not finite as null."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_moment).encode
"""JSON without spaces; dates and times as ISO 8601, in UTC."""
