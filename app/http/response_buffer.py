"""Buffering of responses: a 200 is held until it is complete, because its ETag comes before its body.

A body that arrives in chunks and grows beyond `MAX_BUFFERED_BYTES` is streamed, compressed chunk by chunk and without an ETag.
"""

import asyncio

from starlette.types import Message, Receive, Send

from app.http.compression import COMPRESSORS, StreamCompressor
from app.http.problems import RawHeaders

MAX_SEND_SECONDS = 30.0
MAX_BUFFERED_BYTES = 1024 * 1024
EMPTY_BODY: Message = {"type": "http.response.body", "body": b""}


class BufferedResponse:
    """Holds a 200 until it is complete; streams errors, event streams and large bodies as they come."""

    def __init__(self, send: Send, head_only: bool, coding: bytes, server_send: Send) -> None:
        self._send = send
        self._server_send = server_send
        self._head_only = head_only
        self._coding = coding
        self._compressor: StreamCompressor | None = None
        self._start: Message | None = None
        self._chunks: list[bytes] = []
        self._buffered_bytes = 0
        self._complete = False
        self.streaming = False
        self._ended = False
        self._aborted = False

    def receive(self, receive: Receive) -> Receive:
        """Return the `receive` for the application; after a HEAD of a stream it says that the client has disconnected."""

        async def received() -> Message:
            return {"type": "http.disconnect"} if self._ended else await receive()

        return received

    async def send(self, message: Message) -> None:
        """Take a message of the application."""
        if message["type"] == "http.response.start":
            self._start = message
            events = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in message["headers"])
            self.streaming = message["status"] != 200 or events
            if self.streaming:
                await self._send_start(message)
        elif self.streaming:
            await self._send_chunk(message)
        else:
            self._chunks.append(message.get("body", b""))
            self._buffered_bytes += len(self._chunks[-1])
            self._complete = not message.get("more_body", False)
            if self._buffered_bytes > MAX_BUFFERED_BYTES and not self._complete:
                await self._start_streaming()

    def buffered(self) -> tuple[RawHeaders, bytes] | None:
        """Return the headers and the body of a complete 200; None for a response that was streamed."""
        if self._start is None or not self._complete or self.streaming:
            return None
        return _strip_entity_headers(self._start["headers"]), b"".join(self._chunks)

    async def _send_start(self, message: Message) -> None:
        await self._send(message)
        if self._head_only:
            await self._send(EMPTY_BODY)
            self._ended = True

    async def _start_streaming(self) -> None:
        assert self._start is not None
        self.streaming = True
        headers = _strip_entity_headers(self._start["headers"])
        if self._coding:
            headers.append((b"content-encoding", self._coding))
            self._compressor = COMPRESSORS[self._coding](-1)
        await self._send_start({**self._start, "headers": headers})
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
            await self._send_chunk({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _send_chunk(self, message: Message) -> None:
        if self._ended:
            return
        if self._compressor is not None:
            more = message.get("more_body", False)
            body = self._compressor.compress(message.get("body", b"")) + (b"" if more else self._compressor.flush())
            if more and not body:
                return
            message = {**message, "body": body}
        if self._aborted:
            # `receive` tells the application of the disconnection; until it looks, it must not loop without a pause.
            await asyncio.sleep(MAX_SEND_SECONDS)
            return
        try:
            async with asyncio.timeout(MAX_SEND_SECONDS):
                await self._send(message)
        except TimeoutError:
            self._aborted = _abort_connection(self._server_send)
            if not self._aborted:
                raise


def _abort_connection(send: Send) -> bool:
    """Abort the connection behind `send` and return whether there is one; ASGI has no message for it, and Uvicorn would wait for ever."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
    return transport is not None


def _strip_entity_headers(headers: RawHeaders) -> RawHeaders:
    """Return the headers without those that depend on the coding or the request, and with a complete `Vary`."""
    stripped = (b"content-length", b"etag", b"vary")
    vary = b", ".join([b"Accept, Accept-Encoding, Authorization", *(value for name, value in headers if name == b"vary")])
    return [*((name, value) for name, value in headers if name not in stripped), (b"vary", vary)]
