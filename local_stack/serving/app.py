"""The HTTP application of one endpoint: routes, scoring, and answers in JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import secrets
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from local_stack.errors import InputError
from local_stack.results import iso, now
from local_stack.serving import meter
from local_stack.serving.folder import EndpointConfig
from local_stack.serving.limits import BodyReader, check_head
from local_stack.serving.prediction_log import PredictionLog
from local_stack.serving.protocol import (
    Refusal,
    check_content_type,
    overloaded,
    parse,
    unprocessable,
)

if TYPE_CHECKING:
    import numpy as np
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from local_stack.stores.model import Model

MAX_IN_FLIGHT = 64
"""Requests that may be scored and logged at once; more are asked to come back."""
_INLINE_BYTES = 8 * 1024
"""A body up to this size is scored on the event loop; handing it over would cost more."""
_ROUTES = frozenset({"/ping", "/health", "/version", "/invocations", "/metrics"})

_logger = logging.getLogger("paceml.serving")


@dataclass(frozen=True, slots=True)
class Scored:
    """The answer to a request, and the log lines that must be durable before it is given."""

    predictions: list[Any]
    request: str
    at: str
    lines: bytes


class Scorer:
    """One model version: bytes in, predictions and log lines out. It knows no HTTP."""

    def __init__(self, model: Model, config: EndpointConfig) -> None:
        self._model = model
        self._inputs = model.inputs
        self._max_rows = config.max_rows
        self._model_text = f'"model":{json.dumps(config.model)},"version":{config.version},'

    def score(self, body: bytes, content_type: str | None) -> Scored:
        """Return the predictions for the rows in ``body``.

        Raises
        ------
        Refusal
            When the body or its rows cannot be used.
        """
        started = time.perf_counter()
        table = parse(body, content_type, self._inputs, self._max_rows)
        with _explained():
            columns = self._model.preparation.validate(table.columns)
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        predictions = [_plain(value) for value in self._predict(rows, columns)]
        request = f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(6)}"
        at = now()
        elapsed = (time.perf_counter() - started) * 1000
        lines = self._lines(rows, predictions, request, at, elapsed)
        return Scored(predictions, request, at, lines)

    def _predict(self, rows: list[dict[str, Any]], columns: dict[str, list[Any]]) -> list[Any]:
        with _explained():
            if len(rows) == 1 and self._model.kind != "sklearn":
                return [self._model.predict_row(rows[0])]
            matrix = self._model.matrix(columns)
        try:
            return self._model.labels(self._model.outputs(matrix))
        except ValueError:
            _refuse_extremes(matrix, [feature.column for feature in self._model.features])
            raise

    def _lines(
        self,
        rows: list[dict[str, Any]],
        predictions: list[Any],
        request: str,
        at: str,
        elapsed: float,
    ) -> bytes:
        common = f'"request":"{request}","at":"{at}",{self._model_text}"ms":{elapsed:.3f},'
        identities: Iterable[str] = (
            [request] if len(rows) == 1 else (f"{request}.{n}" for n in range(len(rows)))
        )
        return "".join(
            f'{{"id":"{identity}",{common}"row":{_encode(row)},"prediction":{_encode(value)}}}\n'
            for identity, row, value in zip(identities, rows, predictions, strict=True)
        ).encode("ascii")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Answer 422 to rows that the model's preparation does not take."""
    try:
        yield
    except InputError as error:
        raise unprocessable(error.message, error.details or {}) from None


def _refuse_extremes(matrix: np.ndarray, names: list[str]) -> None:
    """Blame the row, not the model, when a feature is beyond what scikit-learn computes with."""
    import numpy as np

    rows, places = np.nonzero(~(np.abs(matrix) <= np.finfo(np.float32).max))
    if len(rows):
        row, column = int(rows[0]), names[int(places[0])]
        raise unprocessable(
            f"Row {row}, column '{column}': the number is beyond what the model computes with.",
            {"row": row, "column": column, "expected": "a 32-bit float"},
        )


class Endpoint:
    """The routes of an endpoint around its scorer, its log and its counts."""

    def __init__(self, model: Model, config: EndpointConfig, log: PredictionLog) -> None:
        self._scorer = Scorer(model, config)
        self._log = log
        self._seconds = config.request_seconds
        self._bodies = BodyReader(config.max_body_bytes)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._n_scoring = 0
        self._version = installed_version("mlflow")
        self._model_header = f"{quote(config.model)}/{config.version}"
        self.meter = meter.Meter(config.model, config.version)

    def application(self) -> ASGIApp:
        """Return the ASGI application."""
        routes = [
            Route("/ping", self._ping),
            Route("/health", self._ping),
            Route("/version", self._show_version),
            Route("/metrics", self._metrics),
            Route("/invocations", self._invocations, methods=["POST"]),
        ]
        inner = Starlette(routes=routes, exception_handlers={HTTPException: _http_error})
        inner.router.redirect_slashes = False
        return _Counting(inner, self.meter)

    async def _ping(self, request: Request) -> Response:
        return Response("\n", media_type="application/json")

    async def _show_version(self, request: Request) -> Response:
        """Answer the MLflow version whose protocol this is, as MLflow's server does."""
        return Response(self._version, media_type="application/json")

    async def _metrics(self, request: Request) -> Response:
        return Response(self.meter.render(), headers={"content-type": meter.CONTENT_TYPE})

    async def _invocations(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return _refused(refusal)
        except Exception as error:  # noqa: BLE001 - the seam: a client gets a sentence
            return _refused(_incident(error))

    async def _answer(self, request: Request) -> Response:
        content_type = request.headers.get("content-type")
        check_content_type(content_type)
        body = await self._bodies.read(request.receive, request.headers)
        if self._n_scoring >= MAX_IN_FLIGHT:
            raise overloaded("The endpoint is answering as many requests as it may.")
        self._n_scoring += 1
        try:
            async with asyncio.timeout(self._seconds):
                scored = await self._score(body, content_type)
                n_rows = len(scored.predictions)
                await asyncio.wrap_future(self._log.append(scored.lines, n_rows, scored.at))
        except TimeoutError:
            raise overloaded(f"The answer took longer than {self._seconds:g} s.") from None
        except OSError as error:
            _logger.error("The prediction log cannot be written: %s", error)  # noqa: TRY400
            raise overloaded("The prediction could not be logged, so it is not given.") from None
        finally:
            self._n_scoring -= 1
        self.meter.n_predictions += n_rows
        headers = {"X-Paceml-Prediction-Id": scored.request, "X-Paceml-Model": self._model_header}
        return _json(200, {"predictions": scored.predictions}, headers)

    async def _score(self, body: bytes, content_type: str | None) -> Scored:
        if len(body) <= _INLINE_BYTES:
            return self._scorer.score(body, content_type)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._scorer.score, body, content_type)


class _Counting:
    """The outermost layer: it checks the headers and counts every answer."""

    def __init__(self, app: ASGIApp, counts: meter.Meter) -> None:
        self._app = app
        self._meter = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 500
        started = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._meter.n_in_flight += 1
        try:
            check_head(Headers(scope=scope))
            await self._app(scope, receive, watched)
        except Refusal as refusal:
            await _refused(refusal)(scope, receive, watched)
        finally:
            self._meter.n_in_flight -= 1
            route = scope["path"] if scope["path"] in _ROUTES else "other"
            self._meter.count(route, status, time.perf_counter() - started)


_HTTP_ERRORS = {
    404: ("ENDPOINT_NOT_FOUND", "There is nothing at this path."),
    405: ("METHOD_NOT_ALLOWED", "This path does not answer to this method."),
}


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, message = _HTTP_ERRORS.get(error.status_code, ("BAD_REQUEST", error.detail))
    return _refused(Refusal(error.status_code, code, message, headers=error.headers))


def _incident(error: Exception) -> Refusal:
    incident = secrets.token_hex(4)
    _logger.error("Incident %s", incident, exc_info=error)
    return Refusal(
        500,
        "INTERNAL_ERROR",
        f"The model failed on this request; the log of the endpoint has incident {incident}.",
        details={"incident": incident},
    )


def _refused(refusal: Refusal) -> Response:
    return _json(refusal.status, refusal.to_dict(), refusal.headers)


def _json(status: int, value: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(_encode(value), status, headers, "application/json")


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


_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_moment).encode
