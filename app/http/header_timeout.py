"""Slowloris protection: close connections whose request head is slow or too large, or whose body outlasts its response.

Uvicorn limits neither. The application limits the time of a body that it waits for.
"""

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.domain.identifiers import uuid7_text
from app.http.problems import MEDIA_TYPE, Problem
from app.http.repeats import MAX_REPEATED_BYTES, Repeat
from app.settings import get_settings

MAX_HEAD_BYTES = 65_536


class HeaderTimeoutProtocol(HttpToolsProtocol):
    """HTTP/1.1 of Uvicorn with a limit on the time and the size of a request head."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True
    _in_body = False
    # The last request, if it came in one piece.
    _request = b""

    def connection_made(self, transport: Any) -> None:
        """Start the timer for the first head."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer a request that comes again, or read it; answer 400 and close once a head is larger than `MAX_HEAD_BYTES`."""
        is_next = self._awaits_request()
        if is_next and data == self._request and self._answer_again():
            return
        is_whole = len(data) <= MAX_REPEATED_BYTES and data.startswith(b"GET ") and data.find(b"\r\n\r\n") == len(data) - 4
        self._request = data if is_next and is_whole else b""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def _awaits_request(self) -> bool:
        """Return whether the last request was read and answered, so that what comes is the head of the next."""
        if self.cycle is None:
            return not self._head_bytes
        return self.cycle.response_complete and not self._in_head and not self._in_body

    def _answer_again(self) -> bool:
        """Answer the last request once more if its answer may be repeated."""
        repeat: Repeat | None = self.scope["state"].get("repeat")
        if repeat is None or not self.cycle.keep_alive or self.flow.write_paused or self.transport.is_closing():
            return False
        if self.access_log or self.limit_concurrency or self.parser.should_upgrade():
            return False
        if (answer := repeat.answer(self.server_state.default_headers)) is None:
            return False
        self.transport.write(answer)
        self.on_response_complete()
        return True

    def on_message_begin(self) -> None:
        """Start the timer for the next request on the same connection."""
        super().on_message_begin()
        if not self._in_head:
            self._head_bytes = 0
            self._start_timer()

    def on_headers_complete(self) -> None:
        """Stop the timer; the application limits the time of the body."""
        self._stop_timer()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the timer of a body whose response was sent before it was complete."""
        self._in_body = False
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start a timer for the rest of a body that nothing reads; Uvicorn's own ends with the next byte of it."""
        super().on_response_complete()
        if self._in_body and not self.transport.is_closing():
            self._stop_timer()
            self._timer = self.loop.call_later(get_settings().body_timeout_seconds, self._on_timeout)

    def send_400_response(self, msg: str) -> None:
        """Answer with problem details, as for every other error, and close the connection."""
        body = orjson.dumps(Problem(400, msg).body())
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\ncache-control: no-store\r\n"
            f"x-request-id: {uuid7_text()}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

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
