"""Real processes on one database: each delivery is sent by one of them, and a killed one loses nothing."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import RowMapping

from app.settings import Settings
from app.webhooks.dispatcher import Dispatcher
from tests.support.factories import report, seed
from tests.support.processes import Server, serve
from tests.support.servers import client_of, new_key
from tests.webhooks.conftest import HANG, OK, Receiver, log_of, until, verify


async def test_several_send_each_once_and_killed_ones_lose_none(settings: Settings, receiver: Receiver, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {await new_key(settings.database_url)}"}
    with ExitStack() as running:

        def start() -> Server:
            return running.enter_context(
                serve(
                    tmp_path,
                    database_url=settings.database_url,
                    webhook_allow_private="true",
                    webhook_timeout_seconds="2",
                    webhook_retry_base_seconds="0.05",
                )
            )

        servers = await asyncio.gather(asyncio.to_thread(start), asyncio.to_thread(start))
        async with (
            httpx.AsyncClient(base_url=servers[0].url, headers=headers, timeout=20) as one,
            httpx.AsyncClient(base_url=servers[1].url, headers=headers, timeout=20) as other,
        ):
            await seed(settings.database_url)
            hooks = [(await one.post("/v1/webhooks", json={"url": receiver.url})).json() for _ in range(2)]

            async def post(number: int) -> None:
                client = (one, other)[number % 2]
                answer = await client.post("/v1/reports", json=report(stated_at=f"2016-08-{number + 1:02}", value={"people": number}))
                assert answer.status_code == 201, answer.text

            await asyncio.gather(*(post(number) for number in range(20)))

            async def all_delivered() -> bool:
                return all([len(await log_of(one, hook, status="delivered")) == 20 for hook in hooks])

            await until(all_delivered)
            assert set(Counter(got.id for got in receiver.got).values()) == {1}
            for hook in hooks:
                log = {item["id"] for item in await log_of(one, hook)}
                mine = [got for got in receiver.got if got.id in log]
                assert [got.seq for got in mine] == list(range(1, 21))
                verify(hook, mine[-1])

            receiver.says = lambda _: HANG
            for number in range(20, 24):
                await post(number)
            await receiver.until_count(42)
            for server in servers:
                server.process.kill()
        hanging = {got.id for got in receiver.got[40:]}
        receiver.says = lambda _: OK
        received = len(receiver.got)
        await asyncio.to_thread(start)
        await receiver.until(lambda: len({got.id for got in receiver.got}) == 48)
        after = {got.id for got in receiver.got[received:]}
        assert hanging <= after, "what nobody answered for is sent again, under the same identifier"
        assert sorted(set(receiver.seqs())) == list(range(1, 25))


async def test_who_is_told_to_end_while_he_looks_begins_nothing(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be sent after the database was closed, by a task that nobody waits for."""
    receiver.answering.clear()
    looked, look = asyncio.Event(), Dispatcher._look

    async def look_until_told_to_end(dispatcher: Dispatcher) -> list[RowMapping]:
        found = await look(dispatcher)
        if found:
            looked.set()
            await dispatcher._stop
        return found

    monkeypatch.setattr(Dispatcher, "_look", look_until_told_to_end)
    await seed(settings.database_url)
    before = asyncio.all_tasks()
    async with client_of(settings, await new_key(settings.database_url)) as client:
        assert (await client.post("/v1/reports", json=report())).status_code == 201
        assert (await client.post("/v1/webhooks", json={"url": receiver.url, "after": "beginning"})).status_code == 201
        await looked.wait()
    assert asyncio.all_tasks() == before
    assert not receiver.got
