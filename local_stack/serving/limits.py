"""What the HTTP layer bounds and uvicorn alone does not: header time, body, connections, host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from local_stack.serving.folder import is_loopback
from local_stack.serving.protocol import Refusal, malformed, overloaded, too_large

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import Receive

HEADER_BYTES = 16 * 1024
HEADER_SECONDS = 3.0
BODY_SECONDS = 5.0
LINGER_SECONDS = 2.0
"""How long the rest of a refused body is read and thrown away, so that the answer arrives."""
MAX_CONNECTIONS = 512
MAX_BUFFERED_BYTES = 32 * 1024 * 1024
"""Bytes of all bodies together that may wait in memory."""


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 connection with a deadline for headers and for what follows a refusal."""

    _deadline: asyncio.TimerHandle | None = None
    _awaited_in: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or close it at once when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._arm(HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the next request's headers have their deadline from their first byte."""
        if self._deadline is None and self.conn.their_state is h11.IDLE:
            self._arm(HEADER_SECONDS)
        super().data_received(data)
        if self._deadline is not None and self.conn.their_state is not self._awaited_in:
            self._disarm()

    def on_response_complete(self) -> None:
        """Give a client that still sends a refused body a moment to read the answer."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._arm(LINGER_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not HTTP with JSON as every other error."""
        body = json.dumps(malformed("This is not a valid HTTP/1.1 request.").to_dict()).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _arm(self, seconds: float) -> None:
        """Give the client ``seconds`` to bring the exchange out of the state it is in."""
        self._disarm()
        self._awaited_in = self.conn.their_state
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class BodyReader:
    """Reads bodies within a size, a time, and one budget of memory for all of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._n_buffered = 0

    async def read(self, receive: Receive, headers: Mapping[str, str]) -> bytes:
        """Return the whole body.

        Raises
        ------
        Refusal
            413 beyond the size (before reading when the length is declared), 408 when it does
            not arrive in time, 503 when the budget is used up, 400 when the client hangs up.
        """
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise self._oversize()
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while await self._more(receive, body):
                    pass
        except TimeoutError:
            raise Refusal(
                408, "REQUEST_TIMEOUT", f"The body did not arrive in {BODY_SECONDS:g} s."
            ) from None
        finally:
            self._n_buffered -= len(body)
        return bytes(body)

    async def _more(self, receive: Receive, body: bytearray) -> bool:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise malformed("The client hung up before the body was whole.")
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > self._max_bytes:
            raise self._oversize()
        if self._n_buffered + len(chunk) > MAX_BUFFERED_BYTES:
            raise overloaded("Too many request bodies are arriving at once.")
        body += chunk
        self._n_buffered += len(chunk)
        return bool(message.get("more_body", False))

    def _oversize(self) -> Refusal:
        return too_large(f"The body may hold at most {self._max_bytes} bytes.")


def check_head(headers: Headers) -> None:
    """Refuse headers of more than :data:`HEADER_BYTES`, and a Host that is not this machine.

    The second keeps web pages of other sites from reaching the endpoint by a name of theirs.
    """
    if sum(len(name) + len(value) for name, value in headers.raw) > HEADER_BYTES:
        raise Refusal(431, "REQUEST_TOO_LARGE", f"Headers may hold at most {HEADER_BYTES} bytes.")
    given = headers.get("host", "")
    host, _, port = given.rpartition(":")
    if not is_loopback((host if host and port.isdecimal() else given).lower()):
        raise malformed("The Host header is not one that this endpoint answers to.")
