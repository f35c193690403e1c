"""The REST interface of an MLflow tracking server: one question, one answer, within a time.

Credentials go to the server that was named and nowhere else (a redirection is an error), and
stand in no message.
"""

from __future__ import annotations

import base64
import functools
import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

from local_stack.stores.mlflow_stores.records import UnreadableError
from local_stack.stores.places import redacted

Answer = dict[str, Any]
_API: Final = "/api/2.0/mlflow/"
_CONNECT_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 60.0
"""How long a server may think: a page of runs takes MLflow's seconds."""
_LARGEST: Final = 268_435_456
"""Most bytes of an answer that are taken."""
_DOWN_SECONDS: Final = 15.0
"""A server that let us wait is not asked again for so long: every search would wait as long."""
_down: dict[str, tuple[float, str]] = {}


class RefusedRequestError(Exception):
    """The server answered with an error; ``code`` is that of HTTP."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Server:
    """The server at ``uri``, which may hold a user's name and password."""

    uri: str

    def __str__(self) -> str:
        return redacted(self.uri)

    def get(self, path: str, /, **values: str | Sequence[str]) -> Answer:
        """Return the answer to GET ``path`` with these values, some of them several times."""
        return self._ask(f"{path}?{urlencode(values, doseq=True, quote_via=quote)}", None)

    def post(self, path: str, values: Mapping[str, Any]) -> Answer:
        """Return the answer to POST ``path``."""
        return self._ask(path, json.dumps(values).encode())

    def pages(self, path: str, values: Mapping[str, Any], name: str) -> Iterator[list[Answer]]:
        """Yield the lists ``name`` of all pages of a search."""
        token = ""
        while True:
            page = self.post(path, {**values, **({"page_token": token} if token else {})})
            yield listed(page, name)
            before, token = token, page.get("next_page_token") or ""
            if not token or token == before:
                return

    def _ask(self, path: str, body: bytes | None) -> Answer:
        """Return the answer.

        Raises
        ------
        RefusedRequestError
            The server says that the question cannot be answered.
        UnreadableError
            No server answers, it knows nobody with these credentials, or it is none of MLflow's.
        """
        at, reason = _down.get(self.uri, (0.0, ""))
        if reason and time.monotonic() - at < _DOWN_SECONDS:
            raise UnreadableError(reason)
        began = time.monotonic()
        try:
            data = self._exchanged(path, body)
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            told = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
            reason = f"{self} does not answer ({told or type(cause).__name__})"
            if time.monotonic() - began > 1.0:
                _down[self.uri] = (time.monotonic(), reason)
            raise UnreadableError(reason) from None
        try:
            answer = json.loads(data) if len(data) <= _LARGEST else None
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise UnreadableError(f"{self} does not answer as an MLflow server does")
        return answer

    def _exchanged(self, path: str, body: bytes | None) -> bytes:
        parts = urlsplit(self.uri)
        netloc = parts.netloc.rpartition("@")[2]
        place = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
        place += path if path.startswith("/") else _API + path
        request = urllib.request.Request(place, data=body)  # noqa: S310 - http(s) alone
        request.add_header("Accept", "application/json")
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if credentials := _credentials(self.uri):
            request.add_unredirected_header("Authorization", credentials)
        try:
            return _answered(request)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return _answered(request)  # its worker ended; every question may be asked twice

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        with error:
            if error.code in (401, 403):
                return UnreadableError(f"{self} does not accept the credentials ({error.code})")
            if 300 <= error.code < 400:
                return UnreadableError(f"{self} sends to another place, which is not followed")
            try:
                told = json.loads(error.read(65_536))
            except (ValueError, OSError, RecursionError, http.client.HTTPException):
                told = None
        if not isinstance(told, dict) or "error_code" not in told:
            if error.code in (502, 503, 504):
                return UnreadableError(f"{self} does not answer ({error.code})")
            if error.code == 404:
                return UnreadableError(f"{self} does not answer as an MLflow server does")
        return RefusedRequestError(error.code, f"the server answered {error.code}")


def _answered(request: urllib.request.Request) -> bytes:
    with _opener().open(request) as response:
        data: bytes = response.read(_LARGEST + 1)
    return data


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


class _Connection(http.client.HTTPConnection):
    """A connection that is made soon or not at all, and then waits for the answer."""

    def connect(self) -> None:
        self.timeout = _CONNECT_SECONDS
        super().connect()
        self.sock.settimeout(_WAIT_SECONDS)


class _SecureConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        self.timeout = _CONNECT_SECONDS
        super().connect()
        self.sock.settimeout(_WAIT_SECONDS)


class _Patient(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, request)


class _SecurePatient(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, request, context=_certificates())


def listed(answer: Mapping[str, Any], name: str) -> list[Answer]:
    """Return the mappings in the list ``name`` of an answer; MLflow leaves out empty lists."""
    found = answer.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _credentials(uri: str) -> str:
    """Return the header's value as MLflow makes it: of the URI, else of the environment."""
    parts = urlsplit(uri)
    user = unquote(parts.username or "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if user and password:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    return f"Bearer {token}" if token else ""


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    """Return what exchanges requests and answers."""
    return urllib.request.build_opener(_NoRedirection, _Patient, _SecurePatient)


@functools.cache
def _certificates() -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None
    )
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
