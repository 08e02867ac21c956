"""Connections as the server holds them: one whose request does not arrive in time, or whose head is too large, is closed.

Uvicorn waits for the rest of a request for ever, and takes headers of any length.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.settings import get_settings

MAX_HEAD_BYTES = 65_536


class HeaderTimeoutProtocol(HttpToolsProtocol):
    """HTTP/1.1 of Uvicorn with a bound on how long a head may take, and on how large it may be."""

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: Any) -> None:
        """The first head is awaited."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """More of a request has come."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """The head of a request, also of the next on the same connection, has begun."""
        super().on_message_begin()
        if not self._in_head:
            self._head_bytes = 0
            self._start_timer()

    def on_headers_complete(self) -> None:
        """The head is there; how long the body may take is for who reads it."""
        self._stop_timer()
        super().on_headers_complete()

    def _start_timer(self) -> None:
        self._in_head = True
        self._deadline = self.loop.call_later(get_settings().header_timeout_seconds, self._on_timeout)

    def _stop_timer(self) -> None:
        self._in_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_timeout(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()
