"""What passes from the application to the reader: a 200 is held back until it is whole, so that it can have an ETag.

A body that comes in pieces and grows beyond `MOST_HELD_BYTES` is let through as it comes, compressed piece by piece: it has no
ETag, since that would have to be known before its first byte.
"""

import asyncio
import zlib
from collections.abc import Callable
from typing import Protocol

import zstandard
from starlette.types import Message, Receive, Send

Headers = list[tuple[bytes, bytes]]

MAX_SEND_SECONDS = 30.0
MAX_BUFFERED_BYTES = 1024 * 1024
EMPTY_BODY: Message = {"type": "http.response.body", "body": b""}


class StreamCompressor(Protocol):
    """A compressor that takes a body piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """What comes out for these bytes; it may be nothing yet."""

    def flush(self) -> bytes:
        """The rest."""


_PIECES: dict[bytes, Callable[[], StreamCompressor]] = {
    b"zstd": lambda: zstandard.ZstdCompressor(level=6).compressobj(),
    b"gzip": lambda: zlib.compressobj(6, wbits=31),
}


class BufferedResponse:
    """Holds back a 200 until it is whole; lets through errors, streams, and what grows too large, as they come."""

    def __init__(self, send: Send, head_only: bool, coding: bytes) -> None:
        self._send = send
        self._head_only = head_only
        self._coding = coding
        self._pieces: StreamCompressor | None = None
        self._held = 0
        self._start: Message | None = None
        self._chunks: list[bytes] = []
        self._complete = False
        self.streaming = False
        self._ended = False
        self._dropped = False

    def receive(self, receive: Receive) -> Receive:
        """What the application receives: a HEAD of a stream looks like a reader who has gone."""

        async def received() -> Message:
            return {"type": "http.disconnect"} if self._ended else await receive()

        return received

    async def send(self, message: Message) -> None:
        """Take what the application sends."""
        if message["type"] == "http.response.start":
            self._start = message
            stream = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in message["headers"])
            self.streaming = message["status"] != 200 or stream
            if self.streaming:
                await self._send(message)
                if self._head_only:
                    await self._send({"type": "http.response.body", "body": b""})
                    self._ended = True
        elif self.streaming:
            await self._pass(message)
        else:
            self._chunks.append(message.get("body", b""))
            self._held += len(self._chunks[-1])
            self._complete = not message.get("more_body", False)
            if self._held > MAX_BUFFERED_BYTES and not self._complete:
                await self._start_streaming()

    async def _pass(self, message: Message) -> None:
        if self._ended:
            return
        more = message.get("more_body", False)
        if self._pieces is not None:
            body = self._pieces.compress(message.get("body", b"")) + (b"" if more else self._pieces.flush())
            if more and not body:
                return
            message = {**message, "body": body}
        if self._dropped:
            # The application hears by what it receives that its reader is gone; until then nothing spins.
            await asyncio.sleep(MAX_SEND_SECONDS)
            return
        try:
            async with asyncio.timeout(MAX_SEND_SECONDS):
                await self._send(message)
        except TimeoutError:
            self._dropped = _abort_connection(self._send)
            if not self._dropped:
                raise

    async def _start_streaming(self) -> None:
        assert self._start is not None
        self.streaming = True
        headers = _strip_entity_headers(self._start["headers"])
        if self._coding:
            headers.append((b"content-encoding", self._coding))
            self._pieces = _PIECES[self._coding]()
        await self._send({**self._start, "headers": headers})
        if self._head_only:
            await self._send(EMPTY_BODY)
            self._ended = True
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
            await self._pass({"type": "http.response.body", "body": chunk, "more_body": True})

    def buffered(self) -> tuple[Headers, bytes] | None:
        """The headers and the body of a 200 that was held back; None for what went through."""
        if self._start is None or not self._complete or self.streaming:
            return None
        return _strip_entity_headers(self._start["headers"]), b"".join(self._chunks)


def _abort_connection(send: Send) -> bool:
    """Drop the connection with all that it has not taken; whether there was one to drop.

    ASGI has no word for it, and a server would wait for such a reader for ever.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
    return transport is not None


def _strip_entity_headers(headers: Headers) -> Headers:
    """The headers of an answer without those that this layer gives, and with its `Vary`."""
    dropped = (b"content-length", b"etag", b"vary", b"x-request-id")
    varies = b", ".join([b"Accept, Accept-Encoding, Authorization", *(value for name, value in headers if name == b"vary")])
    return [*((name, value) for name, value in headers if name not in dropped), (b"vary", varies)]
