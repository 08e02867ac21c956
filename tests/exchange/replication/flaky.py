"""A line that breaks: a proxy on 127.0.0.1 that cuts each connection after some random number of bytes."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.processes import free_port


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: list[int]) -> None:
    while piece := await reader.read(1024):
        budget[0] -= len(piece)
        if budget[0] < 0:
            raise ConnectionAbortedError
        writer.write(piece)
        await writer.drain()


@contextmanager
def flaky_line(port: int, *, seed: int, most_bytes: int) -> Iterator[tuple[str, list[int]]]:
    """The address of a proxy for a port, and a list whose only entry counts the connections that it has cut."""
    chance, listening, cut = random.Random(seed), free_port(), [0]
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The first is cut for certain, however few there will be.
        budget = [chance.randint(200, most_bytes) if cut[0] else 200]
        there, back = await asyncio.open_connection("127.0.0.1", port)
        ways = [asyncio.ensure_future(_pass_on(reader, back, budget)), asyncio.ensure_future(_pass_on(there, writer, budget))]
        done, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        cut[0] += any(each.exception() is not None for each in done)
        for each in rest:
            each.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for each in (writer, back):
            each.transport.abort()

    async def serve() -> None:
        server = await asyncio.start_server(connect, "127.0.0.1", listening)
        async with server:
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening}", cut
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
