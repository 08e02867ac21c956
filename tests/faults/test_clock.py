"""A system clock that jumps back: times in the ledger keep rising."""

import asyncio
import json
import platform
import sys
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from app.domain.times import utc_now
from app.ledger import appender
from app.storage.database import Database
from app.storage.direct import execute_together
from tests.support.factories import SEEDED, Reference, report
from tests.support.processes import ROOT, serve
from tests.support.servers import execute_sql_async, invoke, new_key
from tests.support.telemetry import access_log_lines


async def test_recorded_at_rises_although_the_clock_jumps_back(
    client: httpx.AsyncClient, reference: Reference, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, jump in enumerate((0, -3600, -1800, -86_400, 0)):
        monkeypatch.setattr(appender, "utc_now", lambda jump=jump: utc_now() + timedelta(seconds=jump))
        assert (await client.post("/v1/reports", json=report(value={"people": 100_000 + number}))).status_code == 201
    times = [each["recorded_at"] for each in (await client.get("/v1/changes")).json()["items"][SEEDED:]]
    assert times == sorted(set(times))
    assert len(times) == 5
    # Each time selects one more report.
    for number, at in enumerate(times, 1):
        assert len((await client.get("/v1/reports", params={"known_at": at})).json()["items"]) == number
    assert (await asyncio.to_thread(invoke, "verify", database_url=database_url)).exit_code == 0


async def test_steps_while_the_clock_is_behind_count_no_hidden_commits(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender, "utc_now", lambda: utc_now() - timedelta(hours=1))

    async def next_step() -> float:
        async with database.write() as session:
            opened = await appender.open_appender(session)
            return (opened.recorded_at - head) / timedelta(microseconds=1)

    async with database.write() as session:
        opened = await appender.open_appender(session)
        head = opened.recorded_at = utc_now()
        await execute_together(await session.connection(), await opened.head_statements(session))
    steps = [await next_step() for _ in range(60)]
    # One commit may move the time as far as thirty others.
    assert min(steps) >= 1
    assert len(set(steps)) > 20
    assert max(steps) > 30 * min(steps)
    assert sum(steps) / len(steps) < 3000


async def test_clock_a_day_behind_the_ledger_stops_writes(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference, database_url: str, tmp_path: Path
) -> None:
    """The ledger has the times of a clock that was ahead: all further entries would get them, too."""

    async def set_ahead(ahead: timedelta) -> None:
        await execute_sql_async(database_url, f"UPDATE ledger_head SET recorded_at = '{(utc_now() + ahead).replace(tzinfo=None)}'")

    await set_ahead(timedelta(days=1, minutes=1))
    for answer in (await client.post("/v1/reports", json=report()), await anonymous.get("/health/ready")):
        assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
        assert "clock of this machine is more than a day behind the last ledger entry" in answer.json()["detail"]
    assert (await client.get("/v1/reports")).json()["items"] == []
    rows = tmp_path / "rows.json"
    await asyncio.to_thread(rows.write_text, json.dumps([report()]))
    refused = await asyncio.to_thread(invoke, "import", str(rows), "--write", database_url=database_url)
    assert (refused.exit_code, "clock of this machine" in refused.stderr) == (1, True), refused.output
    await set_ahead(timedelta(hours=23))
    assert (await anonymous.get("/health/ready")).status_code == 200
    assert (await client.post("/v1/reports", json=report())).status_code == 201


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file from which processes that start from now on read the offset of their clock in seconds."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("libfaketime is compiled for Linux on x86-64 only")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    library = Path(str(files("libfaketime"))) / "vendor/libfaketime/src/libfaketime.so.1"
    settings = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": offset,
        "FAKETIME_NO_CACHE": 1,
        "DONT_FAKE_MONOTONIC": 1,
        # Otherwise each timed wait of a thread would read the offset: twice the processor time of a start.
        "FAKETIME_FORCE_MONOTONIC_FIX": 0,
        "NO_FAKE_STAT": 1,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    return offset


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_process_serves_on_although_its_clock_jumps_back(seeded_database_url: str, clock: Path, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {asyncio.run(new_key(seeded_database_url))}"}
    with (
        serve(tmp_path, code=ROOT, database_url=seeded_database_url) as server,
        httpx.Client(base_url=server.url, headers=headers) as client,
    ):
        for number, jump in enumerate(("+0", "-3600", "-1800", "-86400", "+0")):
            clock.write_text(jump)
            answer = client.post("/v1/reports", json=report(value={"people": 100_000 + number}))
            assert answer.status_code == 201, answer.text
            assert client.get("/health/ready").status_code == 200
        times = [each["recorded_at"] for each in client.get("/v1/changes").json()["items"][SEEDED:]]
    # libfaketime does not remove them, because a signal ended the process.
    for prefix in ("faketime_shm_", "sem.faketime_sem_"):
        Path(f"/dev/shm/{prefix}{server.process.pid}").unlink(missing_ok=True)  # noqa: S108 - libfaketime's own
    logged = [datetime.fromisoformat(line["timestamp"]) for line in access_log_lines(server.output.read_text()) if line["method"] == "POST"]
    assert logged[3] < logged[1] < logged[2] < logged[0] < logged[4], "the clock did not jump"
    assert times == sorted(set(times))
    assert len(times) == 5
    assert invoke("verify", database_url=seeded_database_url).exit_code == 0
