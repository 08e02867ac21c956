"""A proxy between the application and PostgreSQL that cuts connections, or goes silent, when it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Passes bytes on between a port of 127.0.0.1 and a Unix socket."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._open: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self.port = 0

    def cut(self) -> None:
        """Reset every connection that there is."""
        for writer in list(self._open):
            writer.transport.abort()

    def silence(self) -> None:
        """Pass nothing on from now on, and say nothing of it."""
        self._passing.clear()

    def speak(self) -> None:
        """Pass on what was held back, and all that comes."""
        self._passing.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        there, back = await asyncio.open_unix_connection(self._socket)
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        finally:
            self._open -= {writer, back}
            for each in (writer, back):
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                await self._passing.wait()
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def proxying(socket: str) -> AsyncIterator[Proxy]:
    """A proxy to a Unix socket while the block runs."""
    proxy = Proxy(socket)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        proxy.speak()
        proxy.cut()
        server.close()
        await server.wait_closed()
