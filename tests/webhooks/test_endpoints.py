"""Create, list and delete webhooks, and who may see them."""

from uuid import UUID

import httpx
from sqlalchemy import select

from app.access.keys import list_keys, revoke_key
from app.access.models import IdempotencyRecord
from app.access.principal import Scope
from app.domain.tlp import Label
from app.storage.database import Database
from app.storage.types import table_of
from app.webhooks.models import Delivery
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import MakeClient, mostly_sqlite
from tests.webhooks.conftest import Receiver, Register, delivery_log

URL = "https://127.0.0.1:9/hook"


@mostly_sqlite
async def test_created_webhook_shows_its_secret_once(client: httpx.AsyncClient, register: Register) -> None:
    webhook = await register()
    assert webhook["secret"].startswith("whsec_")
    one = await client.get(webhook["links"]["self"])
    assert one.json() == {name: value for name, value in webhook.items() if name != "secret"}
    listed = (await client.get("/v1/webhooks")).json()
    assert listed["items"] == [one.json()]
    assert (listed["next"], listed["as_of"]) == (None, None)
    assert one.headers["cache-control"].startswith("private")


@mostly_sqlite
async def test_replayed_creation_does_not_show_the_secret(client: httpx.AsyncClient, receiver: Receiver, database: Database) -> None:
    """The stored response does not hold the secret."""
    sent = {"url": receiver.url}, {"Idempotency-Key": "once"}
    first, again = [await client.post("/v1/webhooks", json=sent[0], headers=sent[1]) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json() | {"secret": None}
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    other = await client.post("/v1/webhooks", json={"url": receiver.url, "after": "beginning"}, headers=sent[1])
    assert other.status_code == 422
    async with database.read() as connection:
        kept = str((await connection.execute(select(table_of(IdempotencyRecord).c.response_body))).all())
    assert first.json()["id"] in kept
    assert first.json()["secret"] not in kept
    assert len((await client.get("/v1/webhooks")).json()["items"]) == 1


INVALID = [
    ({}, "/url"),
    ({"url": 5}, "/url"),
    ({"url": "ftp://127.0.0.1/"}, "/url"),
    ({"url": URL, "kind": "nothing"}, "/kind"),
    ({"url": URL, "place": "nowhere"}, "/place"),
    ({"url": URL, "within": True}, "/within"),
    ({"url": URL, "place": "oldtown", "within": "yes"}, "/within"),
    ({"url": URL, "country": "sy"}, "/country"),
    ({"url": URL, "after": "yesterday"}, "/after"),
    ({"url": URL, "secret": "mine"}, "/secret"),
    ([], ""),
]


@mostly_sqlite
async def test_invalid_webhook_gets_an_error_at_its_field(client: httpx.AsyncClient, reference: Reference) -> None:
    for body, pointer in INVALID:
        response = await client.post("/v1/webhooks", json=body)
        assert response.status_code == 422, body
        assert response.headers["content-type"] == "application/problem+json"
        assert [each["pointer"] for each in response.json()["errors"]] == [pointer]
    assert (await client.get("/v1/webhooks")).json()["items"] == []


async def test_webhooks_are_visible_to_their_organisation_and_clearance(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_client: MakeClient, register: Register
) -> None:
    webhook = await register()
    reporter = await make_client(Scope.REPORT)
    for path in ("/v1/webhooks", webhook["links"]["self"], webhook["links"]["deliveries"]):
        assert (await anonymous.get(path)).status_code == 401
        assert (await reporter.get(path)).status_code == 403
    other = await make_client(clearance=Label.RED, organisation="other")
    lower = await make_client(clearance=Label.AMBER)
    for reader in (other, lower):
        # A webhook shows its `seq`, and so how many entries need a higher clearance.
        assert (await reader.get("/v1/webhooks")).json()["items"] == []
        assert (await reader.get(webhook["links"]["self"])).status_code == 404
        assert (await reader.get(webhook["links"]["deliveries"])).status_code == 404
        assert (await reader.delete(webhook["links"]["self"])).status_code == 404
    colleague = await make_client(Scope.READ, clearance=Label.RED)
    assert (await colleague.delete(webhook["links"]["self"])).status_code == 204
    assert (await client.get(webhook["links"]["self"])).status_code == 404


@mostly_sqlite
async def test_deleted_webhook_gets_nothing_more(
    client: httpx.AsyncClient, reference: Reference, register: Register, receiver: Receiver, database: Database
) -> None:
    gone, stays = await register(), await register()
    await client.post("/v1/reports", json=report())
    await receiver.wait_for_requests(2)
    (delivery,) = await delivery_log(client, gone)
    assert (await client.delete(gone["links"]["self"])).status_code == 204
    assert (await client.post(delivery["links"]["redelivery"])).status_code == 404
    await client.post("/v1/reports", json=report(source="envoy"))
    await receiver.wait_for_requests(3)
    assert [item["seq"] for item in await delivery_log(client, stays)] == [SEEDED + 2, SEEDED + 1]
    async with database.write() as session:
        assert await session.get(Delivery, UUID(delivery["id"])) is None


@mostly_sqlite
async def test_webhook_of_a_revoked_key_gets_nothing_more(
    client: httpx.AsyncClient,
    make_client: MakeClient,
    reference: Reference,
    register: Register,
    receiver: Receiver,
    database: Database,
) -> None:
    leaving = await make_client(Scope.READ, clearance=Label.CLEAR, organisation="test")
    stopped, stays = await register(leaving), await register()
    async with database.write() as session:
        (key,) = [key for key in await list_keys(session) if key.scopes == ["read"]]
        await revoke_key(session, key.id)
    await client.post("/v1/reports", json=report())
    await receiver.wait_for_requests(1)
    await client.post("/v1/reports", json=report(source="envoy"))
    await receiver.wait_for_requests(2)
    assert [item["seq"] for item in await delivery_log(client, stays)] == [SEEDED + 2, SEEDED + 1]
    assert await delivery_log(client, stopped) == []
    assert (await client.get(stopped["links"]["self"])).json()["status"] == "stopped"


async def test_lists_of_webhooks_and_deliveries_have_pages(
    client: httpx.AsyncClient, reference: Reference, register: Register, receiver: Receiver
) -> None:
    hooks = [await register(kind="route_closure"), await register(), await register(kind="route_closure")]
    first = (await client.get("/v1/webhooks", params={"limit": 2})).json()
    second = (await client.get("/v1/webhooks", params={"limit": 2, "cursor": first["next"]})).json()
    assert [item["id"] for item in first["items"] + second["items"]] == [hook["id"] for hook in hooks]
    assert second["next"] is None
    for day in (1, 2, 3):
        await client.post("/v1/reports", json=report(stated_at=f"2016-08-0{day}"))
    await receiver.wait_for_requests(3)
    at = hooks[1]["links"]["deliveries"]
    first = (await client.get(at, params={"limit": 2})).json()
    second = (await client.get(at, params={"limit": 2, "cursor": first["next"]})).json()
    assert [item["seq"] for item in first["items"] + second["items"]] == [SEEDED + 3, SEEDED + 2, SEEDED + 1]
    assert second["next"] is None
    for query in ("?cursor=nonsense", "?status=lost", "?offset=2"):
        response = await client.get(at + query)
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == query.split("=")[0]
