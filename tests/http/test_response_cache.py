"""The response cache: when a cached response is used, when it is not, and how much memory it takes."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from app.access.keys import list_keys, revoke_key
from app.access.principal import Scope
from app.domain.tlp import Label
from app.http import response_cache
from app.http.middleware import Application
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, MakeKey, sqlite_only
from tests.support.servers import client_for, execute_sql_async


@pytest.fixture
async def filled(client: httpx.AsyncClient, reference: Reference) -> httpx.AsyncClient:
    """Return a client of a service with one report."""
    assert (await client.post("/v1/reports", json=report())).status_code == 201
    return client


@pytest.fixture
def misses(app: Application, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths of the requests that the cache passes on, from now on."""
    paths: list[str] = []
    cache = app.state.response_cache
    call_app = cache._app

    async def call_and_count(scope: AsgiScope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        await call_app(scope, receive, send)

    monkeypatch.setattr(cache, "_app", call_and_count)
    return paths


@sqlite_only
async def test_same_query_in_another_spelling_is_a_hit(filled: httpx.AsyncClient, misses: list[str]) -> None:
    first = await filled.get("/v1/indicators?place=oldtown&kind=trapped_population")
    assert len(first.json()["items"]) == 1
    misses.clear()
    for query in (
        "kind=trapped_population&place=oldtown",
        "place=%6fldtown&kind=trapped%5Fpopulation",
        "kin%64=trapped_population&place=oldtow%6E",
    ):
        assert (await filled.get(f"/v1/indicators?{query}")).content == first.content
    assert misses == []


@sqlite_only
async def test_other_query_is_no_hit(filled: httpx.AsyncClient) -> None:
    assert len((await filled.get("/v1/indicators?place=oldtown&kind=trapped_population")).json()["items"]) == 1
    for query in ("place=oldtown&place=country", "place=country&place=oldtown", "place=oldtown&x=1", "place=old%00town", "place=old+town"):
        assert (await filled.get(f"/v1/indicators?{query}")).status_code == 422
    assert (await filled.get("/v1/indicators?place=oldtown&kind=supply_runout")).json()["items"] == []


async def test_report_is_visible_in_the_next_response(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    for number in range(3):
        before = await anonymous.get("/v1/indicators")
        await filled.post("/v1/reports", json=report(stated_at=f"2016-08-0{number + 1}", value={"people": number}))
        after = await anonymous.get("/v1/indicators")
        assert after.headers["etag"] != before.headers["etag"]
        assert after.json()["items"][0]["value"]["people"] == number


@sqlite_only
@pytest.mark.parametrize("header", ["Lifeline-Revision", "Last-Event-ID"])
async def test_client_that_has_seen_a_newer_revision_gets_no_hit(filled: httpx.AsyncClient, misses: list[str], header: str) -> None:
    revision = (await filled.get("/v1/indicators")).json()["revision"]
    misses.clear()
    for seen in (revision - 1, revision):
        assert (await filled.get("/v1/indicators", headers={header: str(seen)})).status_code == 200
    assert misses == []
    assert (await filled.get("/v1/indicators", headers={header: str(revision + 1)})).json()["revision"] == revision
    assert misses == ["/v1/indicators"]


async def test_clearances_do_not_share_responses(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_client: MakeClient) -> None:
    await filled.post("/v1/reports", json=report(source="envoy", sensitivity="red", value={"people": 1}))
    readers = [await make_client(clearance=label) for label in Label]
    for _ in range(2):
        for reader in (*readers, anonymous):
            items = (await reader.get("/v1/reports")).json()["items"]
            assert len(items) == (2 if reader is readers[-1] else 1)
    assert "private" in (await readers[0].get("/v1/reports")).headers["cache-control"]
    assert "public" in (await anonymous.get("/v1/reports")).headers["cache-control"]


async def _hidden_writes(hider: httpx.AsyncClient) -> None:
    """Write everything that a key cleared for `red` can write without a reader of `green` learning of it."""
    supply = {"kind": "supply_runout", "value": {"supply": "food", "in_days_min": 1, "in_days_max": 2}}
    secret = [(await hider.post("/v1/reports", json=report(**each))).json() for each in (
        supply | {"sensitivity": "red"},
        {"sensitivity": "amber", "source": "envoy"},
        {"sensitivity": "red", "source": "monitor", "provenance": {"via": ["agency"]}},
        supply | {"sensitivity": "red", "source": "monitor", "stated_at": "2016-08-02"},
    )]  # fmt: skip
    one, raised, retracted, seen = (f"/v1/reports/{each['id']}" for each in secret)
    outcome = {"outcome": "unknown", "reason": "no word", "report": seen.rpartition("/")[2]}
    key = {"name": "k", "organisation": "o", "scopes": ["read"], "clearance": "red"}
    for path, body in (
        (f"{one}/correction", report(**supply, sensitivity="red", stated_at="2016-07-29") | {"reason": "misread"}),
        (f"{raised}/label", {"sensitivity": "red", "reason": "a name"}),
        (f"{retracted}/retraction", {"reason": "withdrawn"}),
        (f"/v1/indicators/{secret[0]['indicator']}/outcome", outcome),
        ("/v1/keys", key),
        ("/v1/webhooks", {"url": "https://example.org/hook"}),
    ):
        answer = await hider.post(path, json=body, headers={"Idempotency-Key": path})
        assert answer.status_code in (200, 201), (path, answer.text)


async def test_commit_above_the_clearance_ends_no_response_and_wakes_no_reader(
    filled: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, settings: Settings, database: Database,
    misses: list[str],
) -> None:  # fmt: skip
    reader = await make_client(Scope.READ, clearance=Label.GREEN)
    paths = ("/v1/indicators", "/v1/reports.csv", "/v1/changes", "/v1/ledger/head", "/", "/v1/indicators?as_of=2016-07-30")
    poll = asyncio.create_task(reader.get("/v1/changes?after=now&wait=30"))
    stale = False
    while not any(level is not None for level, _ in database.commit_notifier._waiting):  # noqa: ASYNC110 - no event to wait for
        await asyncio.sleep(0.01)
    waiters = {key: set(found) for key, found in database.commit_notifier._waiting.items() if key[0] is not None}
    for hider in (filled, None):
        before = [await each.get(path) for each in (reader, anonymous) for path in paths]
        misses.clear()
        if hider is not None:
            await _hidden_writes(hider)
        else:
            # Another process: it shares nothing but the database.
            async with client_for(settings, str(filled.headers["authorization"]).removeprefix("Bearer ")) as elsewhere:
                body = report(sensitivity="red", source="envoy", value={"people": 1})
                assert (await elsewhere.post("/v1/reports", json=body)).status_code == 201
            stale = database.dialect == "postgresql"
        if stale:
            await asyncio.sleep(0.1)
        after = [await each.get(path) for each in (reader, anonymous) for path in paths]
        assert not set(misses) & {path.partition("?")[0] for path in paths}
        for one, other in zip(before, after, strict=True):
            assert (one.status_code, one.content) == (other.status_code, other.content)
            assert [each for each in one.headers.raw if each[0] != b"x-request-id"] == [
                each for each in other.headers.raw if each[0] != b"x-request-id"
            ]
    assert waiters == {key: set(found) for key, found in database.commit_notifier._waiting.items() if key[0] is not None}
    assert not any(waiter.done() for found in waiters.values() for waiter in found)
    # A visible change does both.
    assert (await filled.post("/v1/reports", json=report(sensitivity="green", stated_at="2016-07-30"))).status_code == 201
    assert len((await poll).json()["items"]) == 1
    misses.clear()
    await reader.get("/v1/indicators")
    await anonymous.get("/v1/indicators")
    assert misses == ["/v1/indicators"], "a report labelled green ends no response without a key"


async def test_change_of_reference_data_grades_and_labels_ends_responses(
    filled: httpx.AsyncClient, anonymous: httpx.AsyncClient, misses: list[str]
) -> None:
    id_ = (await filled.get("/v1/reports")).json()["items"][0]["id"]
    for path, body in (
        ("/v1/places", {"slug": "newtown", "name": "New town"}),
        ("/v1/sources", {"slug": "newcomer", "name": "Newcomer", "type": "media"}),
        ("/v1/sources/agency/grades", {"reliability": "C", "reason": "checked"}),
        (f"/v1/reports/{id_}/label", {"sensitivity": "amber", "reason": "a name"}),
    ):
        await anonymous.get("/v1/places")
        misses.clear()
        assert (await filled.post(path, json=body)).status_code in (200, 201), path
        await anonymous.get("/v1/places")
        assert "/v1/places" in misses, path


async def test_revoked_key_gets_401_for_a_cached_response(filled: httpx.AsyncClient, make_client: MakeClient, database: Database) -> None:
    reader = await make_client(clearance=Label.AMBER, organisation="to be revoked")
    assert [(await reader.get("/v1/indicators")).status_code for _ in range(2)] == [200, 200]
    async with database.write() as session:
        (key,) = [key for key in await list_keys(session) if key.organisation == "to be revoked"]
        await revoke_key(session, key.id)
    assert (await reader.get("/v1/indicators")).status_code == 401


async def test_empty_authorization_gets_401_for_a_cached_response(anonymous: httpx.AsyncClient, reference: Reference) -> None:
    for _ in range(2):
        assert (await anonymous.get("/v1/sources", headers={"Authorization": ""})).status_code == 401
        assert (await anonymous.get("/v1/sources")).status_code == 200


@sqlite_only
async def test_expired_key_and_new_day_are_no_hit(
    client: httpx.AsyncClient, make_key: MakeKey, reference: Reference, monkeypatch: pytest.MonkeyPatch, misses: list[str]
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    reader = {"Authorization": f"Bearer {await make_key(expires_at=soon, clearance=Label.AMBER)}"}
    assert (await client.get("/v1/warnings", headers=reader)).status_code == 200
    misses.clear()
    assert (await client.get("/v1/warnings", headers=reader)).status_code == 200
    assert misses == []
    clock = response_cache.time.time
    monkeypatch.setattr(response_cache.time, "time", lambda: clock() + 60)
    await client.get("/v1/warnings", headers=reader)
    assert misses == ["/v1/warnings"], "the key has expired by the clock of this process"
    monkeypatch.setattr(response_cache.time, "time", clock)
    await client.get("/v1/situations")
    await client.get("/v1/situations")
    assert misses[1:] == ["/v1/situations"]
    monkeypatch.setattr(response_cache.time, "time", lambda: clock() + 86_400)
    await client.get("/v1/situations")
    assert misses[2:] == ["/v1/situations"], "some filters look at the day"


@pytest.mark.parametrize("engine", ["postgresql"])
async def test_commit_without_notification_is_noticed(
    settings: Settings, client: httpx.AsyncClient, make_key: MakeKey, reference: Reference
) -> None:
    assert (await client.get("/v1/indicators")).status_code == 200
    # A revocation as Lifeline commits it, but without NOTIFY.
    await execute_sql_async(
        settings.database_url,
        "UPDATE api_key SET revoked_at = now()",
        "UPDATE ledger_head SET commit_count = commit_count + 1, public_changes = public_changes + 1",
    )
    async with asyncio.timeout(10):
        while (await client.get("/v1/indicators")).status_code != 401:  # noqa: ASYNC110 - the process polls for it
            await asyncio.sleep(0.1)


@sqlite_only
async def test_size_includes_every_coding(client: httpx.AsyncClient, app: Application, reference: Reference) -> None:
    cache = app.state.response_cache
    before, bodies = cache.size, 0
    for coding in ("identity", "gzip", "zstd"):
        async with client.stream("GET", "/v1/sources", headers={"Accept-Encoding": coding}) as answer:
            bodies += sum([len(chunk) async for chunk in answer.aiter_raw()])
        assert cache.size - before >= bodies
    assert sum(cached.size for cached in cache._entries.values()) == cache.size


@sqlite_only
async def test_size_stays_within_the_limit(client: httpx.AsyncClient, app: Application, reference: Reference) -> None:
    cache = app.state.response_cache
    cache._max_bytes = 20_000
    for limit in range(1, 30):
        assert (await client.get("/v1/sources", params={"limit": limit})).status_code == 200
    assert 0 < cache.size <= 20_000
    assert sum(cached.size for cached in cache._entries.values()) == cache.size
