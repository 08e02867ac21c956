"""A proxy on 127.0.0.1 that cuts each connection after a random number of bytes."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.processes import free_port


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: list[int]) -> None:
    while chunk := await reader.read(1024):
        budget[0] -= len(chunk)
        if budget[0] < 0:
            raise ConnectionAbortedError
        writer.write(chunk)
        await writer.drain()


@contextmanager
def flaky_proxy(port: int, *, seed: int, max_bytes: int) -> Iterator[tuple[str, list[int]]]:
    """Yield the address of a proxy for a port, and a list with the number of connections that it has cut."""
    chance, proxy_port, cut = random.Random(seed), free_port(), [0]
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The first is always cut, because there may be few connections.
        budget = [chance.randint(200, max_bytes) if cut[0] else 200]
        upstream, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        directions = [
            asyncio.ensure_future(_forward(reader, upstream_writer, budget)),
            asyncio.ensure_future(_forward(upstream, writer, budget)),
        ]
        done, rest = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        cut[0] += any(each.exception() is not None for each in done)
        for each in rest:
            each.cancel()
        await asyncio.gather(*directions, return_exceptions=True)
        for each in (writer, upstream_writer):
            each.transport.abort()

    async def serve() -> None:
        server = await asyncio.start_server(connect, "127.0.0.1", proxy_port)
        async with server:
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy_port}", cut
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
