"""One process at a time delivers to a webhook; failures are retried and disable it in the end."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.support.factories import SEEDED, post_all, report, seed
from tests.support.fixtures import FULL, mostly_sqlite, sqlite_only
from tests.support.processes import Server, serve
from tests.support.servers import execute_sql_async, new_key
from tests.webhooks.conftest import (
    HANG,
    OK,
    Receiver,
    Register,
    delivery_log,
    http_response,
    post_report,
    until,
    verify,
    wait_for_statuses,
    wait_until_disabled,
)

pytestmark = pytest.mark.starts_early


async def test_two_processes_deliver_once_and_killed_ones_lose_nothing(settings: Settings, receiver: Receiver, tmp_path: Path) -> None:
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
                response = await client.post("/v1/reports", json=report(stated_at=f"2016-08-{number + 1:02}", value={"people": number}))
                assert response.status_code == 201, response.text

            await asyncio.gather(*(post(number) for number in range(20)))

            async def all_delivered() -> bool:
                return all([len(await delivery_log(one, hook, status="delivered")) == 20 for hook in hooks])

            await until(all_delivered)
            assert set(Counter(got.id for got in receiver.requests).values()) == {1}
            for hook in hooks:
                log = {item["id"] for item in await delivery_log(one, hook)}
                mine = [got for got in receiver.requests if got.id in log]
                assert [got.seq for got in mine] == list(range(SEEDED + 1, SEEDED + 21))
                verify(hook, mine[-1])

            receiver.respond = lambda _: HANG
            for number in range(20, 24):
                await post(number)
            await receiver.wait_for_requests(42)
            for server in servers:
                server.process.kill()
                server.process.wait()
        hanging = {got.id for got in receiver.requests[40:]}
        receiver.respond = lambda _: OK
        received = len(receiver.requests)
        if settings.database_url.startswith("postgresql") and not FULL:
            # As if the leases of the killed processes had expired, which SQLite waits for.
            await execute_sql_async(settings.database_url, "UPDATE webhook SET lease_expires_at = '2016-07-28' WHERE lease_id IS NOT NULL")
        await asyncio.to_thread(start)
        await receiver.wait_until(lambda: len({got.id for got in receiver.requests}) == 48)
        after = {got.id for got in receiver.requests[received:]}
        assert hanging <= after, "an attempt without a response is repeated with the same identifier"
        assert sorted(set(receiver.seqs())) == list(range(SEEDED + 1, SEEDED + 25))


@pytest.mark.usefixtures("reference")
@sqlite_only
async def test_next_attempt_is_not_before_retry_after(client: httpx.AsyncClient, receiver: Receiver, register: Register) -> None:
    await register()
    receiver.respond_with(http_response(429, "Retry-After: 1"))
    await post_report(client)
    await receiver.wait_for_requests(2)
    first, second = receiver.requests
    assert first.id == second.id
    assert second.received_at - first.received_at >= timedelta(seconds=1)


@mostly_sqlite
@pytest.mark.usefixtures("reference")
async def test_failed_delivery_disables_and_a_redelivery_enables_the_webhook(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, app: Any
) -> None:
    # The first failure is final, and disables at once.
    app.state.settings.webhook_retry_window_seconds = 0
    app.state.settings.webhook_disable_after_seconds = 0
    webhook = await register()
    receiver.respond = lambda _: http_response(503)
    await post_report(client)
    disabled = await wait_until_disabled(client, webhook)
    assert disabled["disabled_reason"].startswith("no delivery has succeeded since")
    (failed,) = await delivery_log(client, webhook, status="failed")
    assert (failed["status_code"], failed["error"], failed["next_attempt_at"]) == (503, "the receiver answered 503", None)
    receiver.respond = lambda _: http_response(200)
    await post_report(client, source="envoy")
    assert len(receiver.requests) == 1, "a disabled webhook gets nothing"
    response = await client.post(failed["links"]["redelivery"])
    assert (response.status_code, response.json()["status"], response.json()["id"]) == (202, "pending", failed["id"])
    await receiver.wait_for_requests(3)
    assert receiver.seqs() == [SEEDED + 1, SEEDED + 1, SEEDED + 2]
    assert receiver.requests[1].id == receiver.requests[0].id
    assert receiver.requests[1].body == receiver.requests[0].body
    await wait_for_statuses(client, webhook, *["delivered"] * 2)
    assert (await client.get(webhook["links"]["self"])).json()["status"] == "active"


@mostly_sqlite
@pytest.mark.usefixtures("reference")
async def test_answer_410_disables_the_webhook_and_holds_its_deliveries(
    client: httpx.AsyncClient, receiver: Receiver, register: Register
) -> None:
    await post_all(client, report(), report(source="envoy"))
    receiver.respond = lambda _: http_response(410)
    webhook = await register(after="beginning")
    await wait_until_disabled(client, webhook)
    assert len(receiver.requests) == 1
    for item in await delivery_log(client, webhook):
        assert item["error"] == "on hold, the webhook is disabled: the receiver answered 410 (Gone)"


@pytest.mark.usefixtures("reference")
async def test_redelivery_after_410_does_not_wait_for_the_lease(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, app: Any
) -> None:
    # A lease lasts two minutes.
    app.state.settings.webhook_timeout_seconds = 60
    await post_all(client, report(), report(source="envoy"))
    receiver.respond_with(http_response(410))
    webhook = await register(kind="trapped_population", after="beginning")
    await wait_until_disabled(client, webhook)
    first = (await delivery_log(client, webhook))[-1]
    assert (await client.post(first["links"]["redelivery"])).status_code == 202
    await receiver.wait_for_requests(3)
    assert receiver.seqs() == [SEEDED + 1, SEEDED + 1, SEEDED + 2]
