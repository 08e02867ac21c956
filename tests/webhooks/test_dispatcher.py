"""The dispatcher delivers every change at least once, in order and signed."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import RowMapping
from standardwebhooks import WebhookVerificationError

from app.settings import Settings
from app.webhooks.dispatcher import Dispatcher
from tests.support.factories import SEEDED, report, seed
from tests.support.fixtures import mostly_sqlite
from tests.support.servers import client_for, new_key
from tests.webhooks.conftest import (
    CLOSE,
    EVENTS,
    HANG,
    MID_BODY,
    Receiver,
    Register,
    delivery_log,
    http_response,
    post_report,
    verify,
    wait_for_statuses,
)


@pytest.mark.usefixtures("reference")
async def test_dispatcher_delivers_every_type_of_change_in_order_and_signed(
    client: httpx.AsyncClient, receiver: Receiver, register: Register
) -> None:
    webhook = await register()
    first = await post_report(client)
    second = await post_report(client, kind="supply_runout", stated_at="2016-07-29")
    await client.post(f"/v1/reports/{first['id']}/correction", json=report(value={"people": 5}, reason="misread"))
    convoy = await post_report(client, kind="supply_runout", value={"scope": "agency_stock"}, stated_at="2016-07-30")
    outcome = {"outcome": "averted", "reason": "a convoy", "report": convoy["id"]}
    assert (await client.post(f"/v1/indicators/{second['indicator']}/outcome", json=outcome)).status_code == 201
    await client.post(f"/v1/reports/{second['id']}/retraction", json={"reason": "withdrawn"})
    await client.post("/v1/sources/agency/grades", json={"reliability": "C", "reason": "was wrong"})
    await receiver.wait_for_requests(7)
    assert receiver.seqs() == list(range(SEEDED + 1, SEEDED + 8))
    assert [request.event["type"] for request in receiver.requests] == [
        "org.lifeline.report.recorded.v1",
        "org.lifeline.report.recorded.v1",
        "org.lifeline.report.corrected.v1",
        "org.lifeline.report.recorded.v1",
        "org.lifeline.indicator.outcome.v1",
        "org.lifeline.report.retracted.v1",
        "org.lifeline.source.graded.v1",
    ]
    for request in receiver.requests:
        verify(webhook, request)
        with pytest.raises(WebhookVerificationError):
            verify({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, request)
        EVENTS.validate(request.event)
        data = request.event["data"]
        (change,) = (await client.get(data.pop("links")["change"])).json()["items"]
        assert {name: data[name] for name in data if name != "documents"} == {name: change[name] for name in data if name != "documents"}
        assert [each["id"] for each in data["documents"]] == [each["id"] for each in change["documents"]]
    log = await wait_for_statuses(client, webhook, *["delivered"] * 7)
    assert [item["seq"] for item in log] == [SEEDED + number for number in (7, 6, 5, 4, 3, 2, 1)]
    assert {item["id"] for item in log} == {request.id for request in receiver.requests}


# The kind of failure matters to the sender only, so one is enough on PostgreSQL.
FAILING: list[tuple[str, bytes | str]] = [("postgresql", HANG)]
FAILING += [("sqlite", each) for each in (HANG, CLOSE, MID_BODY, http_response(500), http_response(301, "Location: /elsewhere"))]


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize(("engine", "response"), FAILING, indirect=["engine"])
async def test_dispatcher_repeats_a_failed_delivery_with_the_same_id_and_body(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, app: Any, response: bytes | str
) -> None:
    if response == HANG:
        app.state.settings.webhook_timeout_seconds = 0.5
    webhook = await register()
    receiver.respond_with(response, response)
    bodies = [
        (await post_report(client, value={"people": people}, source=source))["id"] for people, source in ((1, "agency"), (2, "envoy"))
    ]
    await receiver.wait_until(lambda: len({request.id for request in receiver.requests}) == 2 and len(receiver.requests) >= 4)
    assert list(dict.fromkeys(receiver.seqs())) == [SEEDED + 1, SEEDED + 2]
    assert receiver.seqs() == sorted(receiver.seqs()), "a later change waits for one that failed"
    by_id = {request.id: request.body for request in receiver.requests}
    assert len(by_id) == 2
    assert all(by_id[request.id] == request.body for request in receiver.requests), "every attempt has the same body"
    assert {json.loads(body)["data"]["report_id"] for body in by_id.values()} == set(bodies)
    assert {request.path for request in receiver.requests} == {"/hook"}, "redirects are not followed"
    await wait_for_statuses(client, webhook, *["delivered"] * 2)
    webhook = (await client.get(webhook["links"]["self"])).json()
    assert (webhook["status"], webhook["failing_since"]) == ("active", None)
    assert sum(item["attempts"] for item in await delivery_log(client, webhook)) == len(receiver.requests)


@mostly_sqlite
async def test_dispatcher_that_stops_while_it_polls_starts_no_delivery(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task would outlive the database."""
    receiver.answering.clear()
    polled, poll = asyncio.Event(), Dispatcher._poll

    async def poll_until_stopped(dispatcher: Dispatcher) -> list[RowMapping]:
        found = await poll(dispatcher)
        if found:
            polled.set()
            await dispatcher._stop_requested
        return found

    monkeypatch.setattr(Dispatcher, "_poll", poll_until_stopped)
    await seed(settings.database_url)
    before = asyncio.all_tasks()
    async with client_for(settings, await new_key(settings.database_url)) as client:
        assert (await client.post("/v1/reports", json=report())).status_code == 201
        assert (await client.post("/v1/webhooks", json={"url": receiver.url, "after": "beginning"})).status_code == 201
        await polled.wait()
    assert asyncio.all_tasks() == before
    assert not receiver.requests
