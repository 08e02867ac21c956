"""Slowloris protection: close connections whose request head is slow or too large; Uvicorn limits neither."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.settings import get_settings

MAX_HEAD_BYTES = 65_536


class HeaderTimeoutProtocol(HttpToolsProtocol):
    """HTTP/1.1 of Uvicorn with a limit on the time and the size of a request head."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: Any) -> None:
        """Start the timer for the first head."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer 400 and close once a head is larger than `MAX_HEAD_BYTES`."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """Start the timer for the next request on the same connection."""
        super().on_message_begin()
        if not self._in_head:
            self._head_bytes = 0
            self._start_timer()

    def on_headers_complete(self) -> None:
        """Stop the timer; the endpoint limits the time of the body."""
        self._stop_timer()
        super().on_headers_complete()

    def _start_timer(self) -> None:
        self._in_head = True
        self._timer = self.loop.call_later(get_settings().header_timeout_seconds, self._on_timeout)

    def _stop_timer(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()
