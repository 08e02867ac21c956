"""The audit log: every write, every change of keys, every read at amber or above; append-only, and no burden on what is kept."""

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


async def log(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_writes_and_reads_stand_in_it_with_who_made_them(
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

    (written,) = await log(client, action="write")
    assert (written["key"], written["organisation"], written["method"]) == (ids["reporter"], "desk", "POST")
    assert (written["target"], written["status"], written["address"]) == ("/v1/reports", 201, "127.0.0.1")
    reads = [each for each in await log(client, action="read", key=ids["amber"]) if each["target"] == "/v1/reports?limit=7"]
    # The first and those that were answered from what is kept.
    assert sum(each["count"] for each in reads) == 3
    assert {(each["clearance"], each["organisation"]) for each in reads} == {("amber", "watch")}
    assert await log(client, key=ids["green"]) == []
    assert {each["action"] for each in await log(client)} == {"key", "write", "read"}
    assert await log(client, since="2999-01-01") == []
    assert (await amber.get("/v1/audit")).status_code == 403


async def test_an_admin_learns_of_no_record_above_the_own_clearance(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    hidden = (await client.post("/v1/reports", json=report(sensitivity="red"))).json()
    assert (await client.get(hidden["links"]["self"])).status_code == 200
    low = await make_client(Scope.ADMIN, Scope.READ, clearance=Label.GREEN)
    assert hidden["id"] in (await client.get("/v1/audit")).text
    assert hidden["id"] not in (await low.get("/v1/audit")).text
    assert {each["action"] for each in await log(low)} == {"key"}


async def test_it_is_paged(client: httpx.AsyncClient, reference: Reference) -> None:
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


async def test_nothing_in_it_can_be_changed_or_removed(client: httpx.AsyncClient, reference: Reference, database: Database) -> None:
    await client.post("/v1/reports", json=report())
    await client.get("/v1/reports")
    before = [each for each in await log(client) if each["target"] != "/v1/audit"]
    for engine in {database.writer, database.audit}:
        for statement in (delete(AuditEntry), update(AuditEntry).values(target="nothing")):
            with pytest.raises(DBAPIError, match="append-only"):
                async with engine.begin() as connection:
                    await connection.execute(statement)
    assert [each for each in await log(client) if each["target"] != "/v1/audit"] == before


async def test_writing_it_down_ends_nothing_that_is_kept(
    client: httpx.AsyncClient, app: Any, reference: Reference, database: Database
) -> None:
    """The version that kept answers hold for is that of the ledger, not of the log of reads."""
    await client.get("/v1/reports")
    version = database.commit_notifier.version()
    for _ in range(3):
        await client.get("/v1/reports")
        await app.state.read_audit.flush()
    assert database.commit_notifier.version() == version


async def test_what_cannot_be_written_waits(client: httpx.AsyncClient, app: Any, reference: Reference, database: Database) -> None:
    """A log that is out of reach loses nothing, and holds nobody up."""
    reads = app.state.read_audit
    working = database.audit

    class Broken:
        def begin(self) -> None:
            raise OSError

    database.audit = Broken()  # type: ignore[assignment]
    try:
        assert (await client.get("/v1/reports?limit=9")).status_code == 200
        await reads.flush()
        assert (await client.get("/v1/reports?limit=9")).status_code == 200
    finally:
        database.audit = working
    assert sum(each["count"] for each in await log(client, action="read") if each["target"] == "/v1/reports?limit=9") == 2
