"""A proxy between the application and PostgreSQL that resets connections or stops forwarding."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Forwards bytes between a port of 127.0.0.1 and a Unix socket."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._open: set[asyncio.StreamWriter] = set()
        self._forwarding = asyncio.Event()
        self._forwarding.set()
        self.port = 0

    def cut(self) -> None:
        """Reset every open connection."""
        for writer in list(self._open):
            writer.transport.abort()

    def pause(self) -> None:
        """Stop forwarding, without closing a connection."""
        self._forwarding.clear()

    def resume(self) -> None:
        """Forward again, first what was held back."""
        self._forwarding.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until either side closes it."""
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(self._socket)
        self._open |= {writer, upstream_writer}
        try:
            await asyncio.gather(self._forward(reader, upstream_writer), self._forward(upstream_reader, writer))
        finally:
            self._open -= {writer, upstream_writer}
            for each in (writer, upstream_writer):
                each.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                await self._forwarding.wait()
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def proxy_to(socket: str) -> AsyncIterator[Proxy]:
    """Run a proxy to a Unix socket."""
    proxy = Proxy(socket)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        proxy.resume()
        proxy.cut()
        server.close()
        await server.wait_closed()
