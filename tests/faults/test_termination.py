"""SIGTERM with everything under way: a write is answered, a stream is ended, and what is sent to webhooks arrives, now or later."""

import asyncio
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.faults.conftest import Serving
from tests.support.factories import report
from tests.support.locks import locked_ledger
from tests.support.processes import Server, serve
from tests.support.servers import new_key
from tests.webhooks.conftest import delivery_log, run_receiver, until

pytestmark = pytest.mark.starts_early

# Of which the receiver that hangs has two.
BOUND_SECONDS = 10.0


async def _until_closed(server: Server) -> None:
    """Until nobody new is let in."""
    address = urlsplit(server.url)
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(address.hostname, address.port)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.01)


async def _read_to_its_end(stream: httpx.Response) -> str:
    return "".join([piece async for piece in stream.aiter_text()])


async def test_what_is_under_way_is_finished_within_a_bound_and_nothing_is_lost(
    seeded_database_url: str, serving: Serving, tmp_path: Path
) -> None:
    url = seeded_database_url
    key = await new_key(url)
    headers = {"Authorization": f"Bearer {key}"}
    settings = {"database_url": url, "webhook_allow_private": "true", "database_lock_timeout_seconds": "20"}
    async with run_receiver() as slow, run_receiver() as hanging:
        for each in (slow, hanging):
            each.answering.clear()
        with ExitStack() as running:
            server = await asyncio.to_thread(running.enter_context, serve(tmp_path, **settings))
            async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
                hooks = [(await client.post("/v1/webhooks", json={"url": each.url})).json() for each in (slow, hanging)]
                async with client.stream("GET", "/v1/stream") as stream:
                    told = asyncio.create_task(_read_to_its_end(stream))
                    assert (await client.post("/v1/reports", json=report())).status_code == 201
                    await asyncio.gather(slow.wait_for_requests(1), hanging.wait_for_requests(1))
                    async with locked_ledger(url):
                        writing = asyncio.create_task(client.post("/v1/reports", json=report(source="envoy")))
                        await asyncio.sleep(0.2)
                        server.process.terminate()
                        terminated = time.monotonic()
                        await _until_closed(server)
                        # A stream that is ended is whole: one that was cut off would raise here.
                        async with asyncio.timeout(5):
                            assert "event: report" in await told
                        slow.answering.set()
                        assert not writing.done()
                    assert (await writing).status_code == 201
            await asyncio.to_thread(server.process.wait, BOUND_SECONDS)
            assert time.monotonic() - terminated < BOUND_SECONDS
        unanswered = hanging.requests[0].id
        hanging.answering.set()
        async with serving(url, key=key, webhook_allow_private=True, database_lock_timeout_seconds=10) as again:

            async def all_delivered() -> bool:
                return all([len(await delivery_log(again, hook, status="delivered")) == 2 for hook in hooks])

            await until(all_delivered)
        assert slow.seqs() == [1, 2], "what was answered in time is not sent again"
        assert hanging.seqs() == [1, 1, 2], "what was not is"
        assert Counter(got.id for got in hanging.requests)[unanswered] == 2, "under the same identifier"
