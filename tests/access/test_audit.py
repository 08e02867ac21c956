"""The audit log: every write, every change of a key and every read at `amber` or above; only what was exported is ever deleted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.audit import MAX_QUERIES, ReadAuditBuffer, read_auditing
from app.access.models import AuditEntry
from app.access.principal import Actor, Scope
from app.domain.tlp import LEVELS, Label
from app.storage.database import Database
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, sqlite_only
from tests.support.servers import invoke, settings_on


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


async def test_audit_of_an_unknown_key_is_refused(client: httpx.AsyncClient) -> None:
    own = (await client.get("/v1/keys")).json()["items"][0]["id"]
    assert (await client.get(f"/v1/audit?key={own}&since=2999-01-01")).json()["items"] == []
    answer = await client.get("/v1/audit?key=01900000-0000-7000-8000-000000000000")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?key")


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
        changes = ({"target": "nothing"}, {"count": 0}, {"occurred_at": datetime(2000, 1, 1, tzinfo=UTC)}, {"read_key": None})
        for statement in (delete(AuditEntry), *(update(AuditEntry).values(change) for change in changes)):
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


READER = Actor(key_id=UUID(int=7), organisation="watch", level=LEVELS[Label.AMBER])


def scope(path: str, query: str = "") -> dict[str, Any]:
    return {"type": "http", "path": path, "query_string": query.encode(), "client": ("192.0.2.7", 1)}


async def reads_of(client: httpx.AsyncClient, key: UUID) -> list[dict[str, Any]]:
    return await list_audit(client, action="read", key=str(key), limit=1000)


async def test_equal_reads_of_all_processes_in_an_hour_are_one_row(
    client: httpx.AsyncClient, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 5, 1, 10, 59, 0, tzinfo=UTC)
    monkeypatch.setattr("app.access.audit.utc_now", lambda: now)
    async with Database(settings_on(database_url)) as other:
        killed, one, two = ReadAuditBuffer(database), ReadAuditBuffer(database), ReadAuditBuffer(other)
        killed.record(READER, scope("/v1/indicators", "limit=9"))
        await killed.flush()
        for seconds in range(1, 60):
            now = datetime(2026, 5, 1, 10, 59, seconds, tzinfo=UTC)
            one.record(READER, scope("/v1/indicators", "limit=9"))
            two.record(READER, scope("/v1/indicators", "limit=9"))
            if seconds % 20 == 0:
                await asyncio.gather(one.flush(), two.flush())
        now = datetime(2026, 5, 1, 11, 0, 0, tzinfo=UTC)
        two.record(READER, scope("/v1/indicators", "limit=9"))
        await one.flush()
        await two.flush()
    first, second = await reads_of(client, READER.key_id)
    assert (first["target"], first["address"], first["count"]) == ("/v1/indicators?limit=9", "192.0.2.7", 119)
    assert (first["first_at"], first["at"]) == ("2026-05-01T10:59:00Z", "2026-05-01T10:59:59Z")
    assert (second["count"], second["first_at"], second["at"]) == (1, "2026-05-01T11:00:00Z", "2026-05-01T11:00:00Z")


async def test_reads_that_are_being_written_when_the_service_stops_are_kept(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.access.audit.FLUSH_SECONDS", 0.01)
    begun, working = asyncio.Event(), database.audit

    class Slow:
        @asynccontextmanager
        async def begin(self) -> AsyncIterator[AsyncConnection]:
            begun.set()
            await asyncio.sleep(0.1)
            async with working.begin() as connection:
                yield connection

    async with read_auditing(database) as buffer:
        monkeypatch.setattr(database, "audit", Slow())
        buffer.record(READER, scope("/v1/indicators"))
        await begun.wait()
    monkeypatch.setattr(database, "audit", working)
    (read,) = await reads_of(client, READER.key_id)
    assert read["count"] == 1


@sqlite_only
async def test_reads_with_ever_new_queries_share_a_row_but_records_have_their_own(client: httpx.AsyncClient, app: Any) -> None:
    buffer: ReadAuditBuffer = app.state.read_audit
    for number in range(500):
        buffer.record(READER, scope("/v1/situations", f"as_of={number}"))
        buffer.record(READER, scope(f"/v1/reports/{number}"))
    rows = await reads_of(client, READER.key_id)
    counts = {each["target"]: each["count"] for each in rows if each["target"].startswith("/v1/situations")}
    assert len(counts) == MAX_QUERIES + 1
    assert (sum(counts.values()), counts["/v1/situations?*"]) == (500, 500 - MAX_QUERIES)
    assert {f"/v1/reports/{number}" for number in range(500)} <= {each["target"] for each in rows}


async def lifeline(database_url: str, *words: str, **more: str) -> tuple[int, str]:
    result = await asyncio.to_thread(invoke, *words, database_url=database_url, audit_days="30", **more)
    return result.exit_code, result.output


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], datetime]:
    """Return what moves the clock of the audit log by 40 days."""

    def move() -> datetime:
        now = datetime.now(UTC) + timedelta(days=40)
        for module in ("access.audit", "access.keys", "access.audit_pruning", "cli.audit"):
            monkeypatch.setattr(f"app.{module}.utc_now", lambda: now)
        return now

    return move


async def test_prune_deletes_old_entries_that_were_exported_and_no_others(
    client: httpx.AsyncClient, database: Database, database_url: str, reference: Reference, tmp_path: Path, later: Callable[[], datetime]
) -> None:
    await client.post("/v1/reports", json=report())
    for number in range(20):
        await client.get(f"/v1/places/old-{number}")
    old = {each["id"] for each in await list_audit(client, limit=1000)}
    now = later()
    await client.post("/v1/reports", json=report(source="envoy"))
    await client.get("/v1/places/new")
    kept = {each["id"] for each in await list_audit(client, limit=1000)} - old
    file, forged, partial = (tmp_path / name for name in ("audit.jsonl", "forged.jsonl", "partial.jsonl"))
    assert (await lifeline(database_url, "audit", "export", str(file)))[0] == 0
    assert file.stat().st_mode & 0o077 == 0
    lines = file.read_text().splitlines()
    forged.write_text("\n".join(line.replace("/v1/places/old-7", "/v1/places/old-8") for line in lines))
    partial.write_text("\n".join(lines[:10] + lines[11:]))
    for path in (forged, partial):
        code, said = await lifeline(database_url, "audit", "prune", str(path))
        assert code == 1
        assert "Nothing was deleted: the entry 0" in said
    assert (await lifeline(database_url, "audit", "prune", str(tmp_path / "none")))[0] == 1
    assert old | kept <= {each["id"] for each in await list_audit(client, limit=1000)}

    code, said = await lifeline(database_url, "audit", "prune", str(file))
    after = await list_audit(client, limit=1000)
    assert (code, said) == (0, f"Deleted {len(lines) - len(kept)} entries that are older than 30 days.\n")
    assert old & {each["id"] for each in after} == set()
    assert kept <= {each["id"] for each in after}
    assert {each["at"][:10] for each in after} == {f"{now:%Y-%m-%d}"}
    (note,) = [each for each in after if "audit prune" in each["target"]]
    assert f"{len(lines) - len(kept)} entries before" in note["target"]
    for engine in {database.writer, database.audit}:
        with pytest.raises(DBAPIError, match="append-only"):
            async with engine.begin() as connection:
                await connection.execute(delete(AuditEntry))
    assert (await lifeline(database_url, "audit", "prune", str(file))) == (0, "Deleted 0 entries that are older than 30 days.\n")
    # The rest can be verified from the last row that was deleted.
    assert (await lifeline(database_url, "verify"))[0] == 0
    await client.post("/v1/reports", json=report(source="monitor"))
    await list_audit(client)
    assert (await lifeline(database_url, "verify"))[0] == 0
