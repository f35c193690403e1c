"""The HTTP application of one endpoint: routes, limits, and answers in JSON."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from local_stack.serving import meter
from local_stack.serving.folder import EndpointConfig
from local_stack.serving.limits import BodyReader, check_head
from local_stack.serving.prediction_log import PredictionLog
from local_stack.serving.protocol import Refusal, check_content_type, overloaded
from local_stack.serving.scoring import Scored, Scorer, encode

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from local_stack.serving.scoring import Background
    from local_stack.stores.model import Model

    Scoring = Callable[[bytes, str | None], Awaitable[Scored]]

MAX_IN_FLIGHT = 64
"""Requests that may be scored and logged at once; more are asked to come back."""
MAX_EXPLAINING = 8
"""Requests of explanations that may wait for one another, in a thread of their own."""
_INLINE_BYTES = 8 * 1024
"""A body up to this size is scored on the event loop; handing it over would cost more."""
_ROUTES = frozenset({"/ping", "/health", "/version", "/invocations", "/explain", "/metrics"})

_logger = logging.getLogger("paceml.serving")


class Endpoint:
    """The routes of an endpoint around its scorer, its log and its counts."""

    def __init__(
        self,
        model: Model,
        config: EndpointConfig,
        log: PredictionLog,
        background: Background = lambda: None,
    ) -> None:
        self._scorer = Scorer(model, config, background)
        self._log = log
        self._seconds = config.request_seconds
        self._bodies = BodyReader(config.max_body_bytes)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explainer")
        self._n_scoring = self._n_explaining = 0
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
            Route("/explain", self._explain, methods=["POST"]),
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
        return await self._guarded(request, self._score)

    async def _explain(self, request: Request) -> Response:
        unit = request.query_params.get("unit")
        return await self._guarded(request, partial(self._score_and_explain, unit=unit))

    async def _guarded(self, request: Request, scoring: Scoring) -> Response:
        try:
            return await self._answer(request, scoring)
        except Refusal as refusal:
            return _refused(refusal)
        except Exception as error:  # noqa: BLE001 - the seam: a client gets a sentence
            return _refused(_incident(error))

    async def _answer(self, request: Request, scoring: Scoring) -> Response:
        content_type = request.headers.get("content-type")
        check_content_type(content_type)
        body = await self._bodies.read(request.receive, request.headers)
        if self._n_scoring >= MAX_IN_FLIGHT:
            raise overloaded("The endpoint is answering as many requests as it may.")
        self._n_scoring += 1
        try:
            async with asyncio.timeout(self._seconds):
                scored = await scoring(body, content_type)
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
        return _json(200, scored.to_dict(), headers)

    async def _score(self, body: bytes, content_type: str | None) -> Scored:
        if len(body) <= _INLINE_BYTES:
            return self._scorer.score(body, content_type)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._scorer.score, body, content_type)

    async def _score_and_explain(
        self, body: bytes, content_type: str | None, unit: str | None
    ) -> Scored:
        if self._n_explaining >= MAX_EXPLAINING:
            raise overloaded("The endpoint is explaining as many requests as it may.")
        deadline = time.monotonic() + self._seconds
        done = self._explaining.submit(self._scorer.explain, body, content_type, deadline, unit)
        self._n_explaining += 1
        loop = asyncio.get_running_loop()
        done.add_done_callback(lambda _: loop.call_soon_threadsafe(self._forget_explaining))
        return await asyncio.wrap_future(done)

    def _forget_explaining(self) -> None:
        self._n_explaining -= 1


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
    return Response(encode(value), status, headers, "application/json")
