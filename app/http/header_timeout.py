"""Connections as the server holds them: one whose request does not arrive in time, or whose head is too large, is closed.

Uvicorn waits for the rest of a request for ever, and takes headers of any length.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.settings import get_settings

MOST_HEAD_BYTES = 65_536


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 of Uvicorn with a bound on how long a head may take, and on how large it may be."""

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: Any) -> None:
        """The first head is awaited."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """More of a request has come."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """The head of a request, also of the next on the same connection, has begun."""
        super().on_message_begin()
        if not self._in_head:
            self._head_bytes = 0
            self._await_head()

    def on_headers_complete(self) -> None:
        """The head is there; how long the body may take is for who reads it."""
        self._head_is_there()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._in_head = True
        self._deadline = self.loop.call_later(get_settings().header_timeout_seconds, self._too_late)

    def _head_is_there(self) -> None:
        self._in_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()
