"""A clock that jumps back, and a migration that fails half way: the ledger's times go on, the old schema stays whole."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from sqlalchemy.exc import DBAPIError

from app.ledger import service
from app.migrations import current, migrate, revision_at_head
from app.settings import Settings
from app.times import utc_now
from tests.factories import Reference, report
from tests.servers import by_hand, invoke, rows
from tests.test_migrations import FIRST, empty, old, tables

__all__ = ["empty", "old"]


async def test_times_of_the_ledger_never_go_back(
    client: httpx.AsyncClient, reference: Reference, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, jump in enumerate((0, -3600, -1800, -86_400, 0)):
        monkeypatch.setattr(service, "utc_now", lambda jump=jump: utc_now() + timedelta(seconds=jump))
        assert (await client.post("/v1/reports", json=report(value={"people": 100_000 + number}))).status_code == 201
    times = [each["recorded_at"] for each in (await client.get("/v1/changes")).json()["items"]]
    assert times == sorted(set(times))
    assert len(times) == 5
    # Each is a moment of its own to look back to.
    for number, at in enumerate(times, 1):
        assert len((await client.get("/v1/reports", params={"known_at": at})).json()["items"]) == number
    assert (await asyncio.to_thread(invoke, "verify", database_url=database_url)).exit_code == 0


def test_a_migration_that_fails_half_way_leaves_the_old_schema_whole(old: Settings) -> None:
    # Some way along, a table is in the way.
    by_hand(old.database_url, "CREATE TABLE webhook_delivery (id INTEGER)")
    before = tables(old)
    with pytest.raises(DBAPIError):
        migrate(old)
    assert tables(old) == before
    assert current(old) == FIRST
    assert "webhook_delivery" in invoke("migrate", database_url=old.database_url).stderr
    assert len(rows(old.database_url, "SELECT * FROM report")) == 6
    by_hand(old.database_url, "DROP TABLE webhook_delivery")
    assert migrate(old) == (FIRST, revision_at_head())
    assert invoke("verify", database_url=old.database_url).exit_code == 0
