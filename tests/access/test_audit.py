"""The audit log: every write, every change of a key and every read at `amber` or above; it is append-only."""

from typing import Any

import httpx
import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError

from app.access.models import AuditEntry
from app.access.principal import Scope
from app.domain.tlp import Label
from app.storage.database import Database
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient


async def list_audit(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_audit_has_writes_and_reads_with_their_callers(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    amber = await make_client(Scope.READ, clearance=Label.AMBER, organisation="watch")
    green = await make_client(Scope.READ, clearance=Label.GREEN, organisation="low")
    reporter = await make_client(Scope.REPORT, organisation="desk")
    assert (await reporter.post("/v1/reports", json=report())).status_code == 201
    assert (await reporter.post("/v1/reports", json=report(place="nowhere"))).status_code == 422
    for reader in (amber, green, anonymous):
        assert [(await reader.get("/v1/reports?limit=7")).status_code for _ in range(3)] == [200] * 3
    ids = {name: (await each.get("/v1/me")).json()["id"] for name, each in (("amber", amber), ("reporter", reporter), ("green", green))}

    (written,) = await list_audit(client, action="write")
    assert (written["key"], written["organisation"], written["method"]) == (ids["reporter"], "desk", "POST")
    assert (written["target"], written["status"], written["address"]) == ("/v1/reports", 201, "127.0.0.1")
    reads = [each for each in await list_audit(client, action="read", key=ids["amber"]) if each["target"] == "/v1/reports?limit=7"]
    # Cached responses are counted, too.
    assert sum(each["count"] for each in reads) == 3
    assert {(each["clearance"], each["organisation"]) for each in reads} == {("amber", "watch")}
    assert await list_audit(client, key=ids["green"]) == []
    assert {each["action"] for each in await list_audit(client)} == {"key", "write", "read"}
    assert await list_audit(client, since="2999-01-01") == []
    assert (await amber.get("/v1/audit")).status_code == 403


async def test_audit_hides_urls_read_above_the_clearance_of_the_admin(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    hidden = (await client.post("/v1/reports", json=report(sensitivity="red"))).json()
    assert (await client.get(hidden["links"]["self"])).status_code == 200
    low = await make_client(Scope.ADMIN, Scope.READ, clearance=Label.GREEN)
    assert hidden["id"] in (await client.get("/v1/audit")).text
    assert hidden["id"] not in (await low.get("/v1/audit")).text
    assert {each["action"] for each in await list_audit(low)} == {"key"}


async def test_audit_pages_are_complete_and_in_order(client: httpx.AsyncClient, reference: Reference) -> None:
    for number in range(5):
        assert (await client.post("/v1/reports", json=report(value={"people": number}))).status_code == 201
    seen: list[str] = []
    path = "/v1/audit?limit=2&action=write"
    while path:
        answer = await client.get(path)
        assert len(answer.json()["items"]) <= 2
        seen += [each["id"] for each in answer.json()["items"]]
        path = answer.links.get("next", {}).get("url", "")
    assert len(set(seen)) == len(seen) == 5
    assert seen == sorted(seen)


async def test_audit_rejects_update_and_delete(client: httpx.AsyncClient, reference: Reference, database: Database) -> None:
    await client.post("/v1/reports", json=report())
    await client.get("/v1/reports")
    before = [each for each in await list_audit(client) if each["target"] != "/v1/audit"]
    for engine in {database.writer, database.audit}:
        for statement in (delete(AuditEntry), update(AuditEntry).values(target="nothing")):
            with pytest.raises(DBAPIError, match="append-only"):
                async with engine.begin() as connection:
                    await connection.execute(statement)
    assert [each for each in await list_audit(client) if each["target"] != "/v1/audit"] == before


async def test_flush_of_reads_does_not_invalidate_cached_responses(
    client: httpx.AsyncClient, app: Any, reference: Reference, database: Database
) -> None:
    await client.get("/v1/reports")
    version = database.commit_notifier.version()
    for _ in range(3):
        await client.get("/v1/reports")
        await app.state.read_audit.flush()
    assert database.commit_notifier.version() == version


async def test_reads_stay_buffered_while_the_audit_log_is_unavailable(
    client: httpx.AsyncClient, app: Any, reference: Reference, database: Database
) -> None:
    buffer = app.state.read_audit
    working = database.audit

    class Broken:
        def begin(self) -> None:
            raise OSError

    database.audit = Broken()  # type: ignore[assignment]
    try:
        assert (await client.get("/v1/reports?limit=9")).status_code == 200
        await buffer.flush()
        assert (await client.get("/v1/reports?limit=9")).status_code == 200
    finally:
        database.audit = working
    assert sum(each["count"] for each in await list_audit(client, action="read") if each["target"] == "/v1/reports?limit=9") == 2
