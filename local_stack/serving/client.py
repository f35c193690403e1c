"""A client of an endpoint: HTTP from the standard library, and what the answers mean."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from local_stack.errors import InputError, UnavailableError
from local_stack.json_text import typed_json

_PING_SECONDS = 2.0


def is_answering(url: str) -> bool:
    """Return whether the endpoint answers its health check."""
    try:
        return request(url, "GET", "/ping")[0] == 200
    except UnavailableError:
        return False


def request_body(row: str) -> bytes:
    """Return the body for ``row``, a JSON object from column to value or a list of them."""
    try:
        value = typed_json(row)
    except ValueError:
        raise InputError(
            "The row is not valid JSON.", """Write it as '{"column": 1.5}'."""
        ) from None
    rows = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in rows):
        raise InputError(
            "The row must be a JSON object from column to value, or a list of them.",
            """Write it as '{"column": 1.5}'.""",
        )
    return json.dumps({"dataframe_records": rows}).encode()


def meaning(endpoint: str, code: int, body: bytes) -> dict[str, Any]:
    """Return the answer's document, or raise what its status means."""
    document: dict[str, Any] = json.loads(body)
    if code == 200:
        return document
    message = f"Endpoint '{endpoint}' answered {code}: {document.get('message', '')}"
    if code < 500:
        raise InputError(message, "Mend the row and ask again.", details=document.get("details"))
    raise UnavailableError(message, f"Read its log: paceml-tui serving log {endpoint}")


def request(
    url: str, method: str, path: str, body: bytes | None = None, *, seconds: float = _PING_SECONDS
) -> tuple[int, dict[str, str], bytes]:
    """Make one request; return (status, headers in lower case, body)."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=seconds)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"{url} does not answer: {type(error).__name__}.", "List them: paceml-tui serving list"
        ) from None
    finally:
        connection.close()
