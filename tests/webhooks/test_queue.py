"""Bodies of deliveries hold nothing above the webhook's clearance, also after a label was raised."""

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from app.changes import queries as changes
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from app.webhooks import queue
from app.webhooks.models import Delivery
from tests.support.factories import SEEDED, Reference, post_all, report
from tests.support.fixtures import MakeClient, MakeKey, mostly_sqlite
from tests.support.servers import client_for
from tests.webhooks.conftest import EVENTS, Receiver, Register, delivery_log, post_report, until, verify

SECRET = "where they hide"

pytestmark = pytest.mark.usefixtures("reference")


@pytest.mark.parametrize(("engine", "scan_seconds"), [("sqlite", 0.0), ("sqlite", 60.0), ("postgresql", 0.0)], indirect=["engine"])
async def test_queue_applies_filters_and_start_in_several_scans(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, monkeypatch: pytest.MonkeyPatch, scan_seconds: float
) -> None:
    # Each scan covers one ledger entry; one lease scans once, or until it finds a change.
    monkeypatch.setattr(changes, "MAX_SCANNED", 1)
    monkeypatch.setattr(queue, "MAX_SCAN_SECONDS", scan_seconds)
    await post_report(client)
    await register(kind="supply_runout", place="country", within=True, after="beginning")
    await register(country="SYR", after="beginning")
    await post_all(client, report("supply_runout"), report(place="country"))
    await receiver.wait_for_requests(4)
    seqs = {request.id: request.seq for request in receiver.requests}
    assert sorted(seqs.values()) == [SEEDED + 1, SEEDED + 2, SEEDED + 2, SEEDED + 3]


@mostly_sqlite
async def test_body_above_green_is_only_a_reference(client: httpx.AsyncClient, receiver: Receiver, register: Register) -> None:
    await register(client)
    await post_all(
        client,
        report(sensitivity="amber", value={"people": 47114711}),
        report("supply_runout", sensitivity="green"),
        # Clear itself, but the document of its indicator includes the amber report.
        report(source="monitor", sensitivity="clear"),
    )
    await receiver.wait_for_requests(3)
    amber, green, with_amber_document = (request.event for request in receiver.requests)
    for event, seq in ((amber, SEEDED + 1), (with_amber_document, SEEDED + 3)):
        assert set(event["data"]) == {"seq", "type", "links"}
        EVENTS.validate(event)
        assert "subject" not in event
        (change,) = (await client.get(event["data"]["links"]["change"])).json()["items"]
        assert (change["seq"], change["type"]) == (seq, "report")
    assert green["data"]["documents"][0]["kind"] == "supply_runout"
    assert "47114711" not in "".join(request.body.decode() for request in receiver.requests)


@mostly_sqlite
async def test_correction_of_an_amber_report_is_a_reference_or_a_plain_report(
    client: httpx.AsyncClient, make_client: MakeClient, receiver: Receiver, register: Register
) -> None:
    old = await post_report(client, sensitivity="amber")
    await register(await make_client(clearance=Label.AMBER))
    public = await register(await make_client(clearance=Label.CLEAR))
    body = report(value={"people": 7}, reason="kept between us", sensitivity="clear")
    assert (await client.post(f"/v1/reports/{old['id']}/correction", json=body)).status_code == 201
    second = await make_client(clearance=Label.RED)
    (proposal,) = (await second.get("/v1/label-proposals")).json()["items"]
    assert (await second.post(proposal["links"]["confirmation"])).status_code == 201
    await receiver.wait_for_requests(4)
    by_type = {request.event["data"]["type"]: request for request in receiver.requests}
    assert set(by_type["correction"].event["data"]) == {"seq", "type", "links"}
    assert by_type["report"].event["data"]["report"]["value"]["people"] == 7
    verify(public, by_type["report"])
    assert all(b"kept between us" not in request.body and old["id"].encode() not in request.body for request in receiver.requests)


@mostly_sqlite
async def test_webhook_of_a_clear_key_gets_nothing_of_amber_reports(
    client: httpx.AsyncClient, make_client: MakeClient, receiver: Receiver, register: Register
) -> None:
    reader = await make_client(clearance=Label.CLEAR)
    webhook = await register(reader)
    await post_all(
        client,
        report(sensitivity="clear", value={"people": 1}),
        report(sensitivity="amber", source="envoy", value={"people": 47114711}),
        report(sensitivity="clear", source="monitor", value={"people": 3}),
    )
    await receiver.wait_for_requests(2)
    assert receiver.seqs() == [SEEDED + 1, SEEDED + 2]
    assert b"47114711" not in b"".join(request.body for request in receiver.requests)
    assert b"envoy" not in b"".join(request.body for request in receiver.requests)
    assert [item["seq"] for item in await delivery_log(reader, webhook)] == [SEEDED + 2, SEEDED + 1]


@pytest.mark.parametrize("behind", [timedelta(), timedelta(hours=1)])
async def test_pending_body_is_rebuilt_after_its_label_was_raised(
    settings: Settings, make_key: MakeKey, database: Database, reference: Reference, monkeypatch: pytest.MonkeyPatch, behind: timedelta
) -> None:
    """Also if the clock of the machine that raised the label is behind, because `global_seq` decides."""
    # Times in the ledger never decrease, so all entries come from that machine.
    monkeypatch.setattr("app.ledger.appender.utc_now", lambda: utc_now() - behind)
    everything, green = await make_key(clearance=Label.RED), await make_key(clearance=Label.GREEN)
    changed = settings.model_copy(update={"webhook_allow_private": True, "webhook_retry_base_seconds": 0.1})

    async def bodies() -> list[str]:
        async with database.read() as connection:
            return list((await connection.execute(select(table_of(Delivery).c.body))).scalars())

    async def wait_for_bodies(count: int, with_secret: int) -> None:
        async def reached() -> bool:
            found = await bodies()
            return (len(found), sum(SECRET in each for each in found)) == (count, with_secret)

        await until(reached)

    async with client_for(changed) as client:
        headers = {"Authorization": f"Bearer {everything}"}
        # Nothing listens on port 1, so the delivery stays pending.
        hook = await client.post("/v1/webhooks", json={"url": "http://127.0.0.1:1/"}, headers={"Authorization": f"Bearer {green}"})
        assert hook.status_code == 201, hook.text
        made = (await client.post("/v1/reports", json=report(provenance={"quote": SECRET}), headers=headers)).json()
        await wait_for_bodies(1, with_secret=1)
        raised = {"sensitivity": "red", "reason": "names"}
        assert (await client.post(f"/v1/reports/{made['id']}/label", json=raised, headers=headers)).status_code == 201
        await wait_for_bodies(2, with_secret=0)


async def test_body_is_rebuilt_if_its_label_is_raised_during_an_earlier_attempt(
    settings: Settings, make_key: MakeKey, reference: Reference, receiver: Receiver
) -> None:
    """Both were queued together, and the first attempt takes long."""
    everything, green = await make_key(clearance=Label.RED), await make_key(clearance=Label.GREEN)
    async with client_for(settings) as client:
        headers = {"Authorization": f"Bearer {everything}"}
        hook = await client.post("/v1/webhooks", json={"url": receiver.url}, headers={"Authorization": f"Bearer {green}"})
        assert hook.status_code == 201, hook.text
        receiver.answering.clear()
        both = [report(), report(place="country", provenance={"quote": SECRET})]
        made = (await client.post("/v1/reports", json=both, headers=headers)).json()["items"]
        await receiver.wait_for_requests(1)
        raised = {"sensitivity": "red", "reason": "names"}
        assert (await client.post(f"/v1/reports/{made[1]['id']}/label", json=raised, headers=headers)).status_code == 201
        receiver.answering.set()
        await receiver.wait_until(lambda: SEEDED + 3 in receiver.seqs())
        # On a busy machine the first attempt may time out and be repeated.
        assert list(dict.fromkeys(receiver.seqs())) == [SEEDED + 1, SEEDED + 2, SEEDED + 3]
        assert not [each.seq for each in receiver.requests if SECRET.encode() in each.body]
