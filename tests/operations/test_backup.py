"""`lifeline backup` and `restore`: a restored database equals the original, and only what verifies is backed up or restored."""

import asyncio
import json
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result

from app.settings import Settings
from tests.support.factories import SEEDED, report
from tests.support.fixtures import FULL, sqlite_only
from tests.support.processes import serve
from tests.support.schema import NEXT, empty_database, next_revision
from tests.support.servers import client_for, execute_sql, invoke, new_key, query_rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the backup."""
    return tmp_path / "backup.db"


@pytest.fixture
def demo(demo_database: str) -> str:
    """Return the URL of a database with the demo data."""
    return demo_database


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of each engine, to restore into."""
    return empty_database(request.param, request, tmp_path)


# From each engine into the other, so that each is backed up and restored into; TEST_FULL compares the content in all four combinations.
CROSSWISE = [("sqlite", "postgresql"), ("postgresql", "sqlite")]
crosswise = pytest.mark.parametrize(("engine", "other"), CROSSWISE, indirect=True)


def content(url: str) -> dict[str, list[str]]:
    """Return the rows of the important tables as text that is the same on both engines."""

    def plain(value: Any) -> str:
        return str(int(value) if isinstance(value, bool) else value).replace("-", "")

    columns = {
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
        table: sorted("|".join(map(plain, row)) for row in query_rows(url, f"SELECT {names} FROM {table}"))
        for table, names in columns.items()
    }


def refused(result: Result) -> str:
    """Return the message of a command that failed without a traceback."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    return result.stderr


def is_missing(url: str) -> bool:
    """Return whether a SQLite database has no file; True on PostgreSQL."""
    return not url.startswith("sqlite") or not Path(url.removeprefix("sqlite:///")).exists()


async def _post_report(url: str) -> httpx.Response:
    async with client_for(Settings(database_url=url), await new_key(url)) as client:
        return await client.post("/v1/reports", json=report(place="aleppo-east", source="un-ocha", stated_at="2016-10-20"))


@pytest.mark.parametrize(
    ("engine", "other"), [*CROSSWISE, ("sqlite", "sqlite"), ("postgresql", "postgresql")] if FULL else CROSSWISE, indirect=True
)
def test_restored_database_equals_the_original_and_accepts_reports(demo: str, other: str, file: Path) -> None:
    done = invoke("backup", str(file), database_url=demo)
    assert done.exit_code == 0, done.output
    last = query_rows(demo, "SELECT global_seq, hash_red FROM ledger_head")[0]
    assert f"The last ledger entry is {last[0]}," in done.output
    assert last[1] in done.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # No journal and no temporary file stays beside the backup.
    assert [each.name for each in file.parent.iterdir() if "backup" in each.name] == ["backup.db"]
    assert invoke("verify", database_url=f"sqlite:///{file}").exit_code == 0

    restored = invoke("restore", str(file), database_url=other)
    assert restored.exit_code == 0, restored.output
    assert last[1] in restored.output
    assert content(other) == content(demo)
    assert "not empty" in refused(invoke("restore", str(file), database_url=other))
    answer = asyncio.run(_post_report(other))
    assert (answer.status_code, answer.json()["seq"]) == (201, last[0] + 1)
    assert invoke("verify", database_url=other).exit_code == 0


async def _read_and_write(url: str) -> None:
    async with client_for(Settings(database_url=url), await new_key(url)) as client:
        assert (await client.get("/v1/reports")).status_code == 200
        assert (await client.post("/v1/reports", json=report())).status_code == 201


def _export_audit(url: str) -> list[dict[str, Any]]:
    done = invoke("audit", "export", database_url=url)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@crosswise
def test_restored_audit_log_includes_reads_once(seeded_database: str, other: str, file: Path) -> None:
    asyncio.run(_read_and_write(seeded_database))
    before = _export_audit(seeded_database)
    # Sorted, because the read is written up to a second later.
    assert sorted(entry["action"] for entry in before if entry["target"] == "/v1/reports") == ["read", "write"]
    assert invoke("backup", str(file), database_url=seeded_database).exit_code == 0
    assert invoke("restore", str(file), database_url=other).exit_code == 0
    assert _export_audit(other) == before
    # On SQLite the file of reads may have survived the loss of the database: its entries are in both files then.
    if seeded_database.startswith("sqlite"):
        Path(seeded_database.removeprefix("sqlite:///")).unlink()
        assert invoke("restore", str(file), database_url=seeded_database).exit_code == 0
        assert _export_audit(seeded_database) == before
        again = file.with_name("again.db")
        assert invoke("backup", str(again), database_url=seeded_database).exit_code == 0
        assert _export_audit(f"sqlite:///{again}") == before


@crosswise
def test_ledger_that_does_not_verify_is_neither_backed_up_nor_restored(demo: str, other: str, file: Path) -> None:
    alter = "UPDATE report SET quote = 'other words' WHERE global_seq = 24"
    backup = file.with_name("altered.db")
    assert invoke("backup", str(backup), database_url=demo).exit_code == 0
    with sqlite3.connect(backup) as connection:
        connection.execute(alter)
        # An attacker who alters a file can also remove its checksum.
        connection.execute("DROP TABLE backup_checksum")
    connection.close()
    restore = invoke("restore", str(backup), database_url=other)
    assert "does not verify, so nothing was restored" in refused(restore)
    assert "entry 24 " in restore.stdout
    assert is_missing(other)

    execute_sql(demo, alter)
    result = invoke("backup", str(file), database_url=demo)
    assert "does not verify" in refused(result)
    assert "entry 24 " in result.stdout
    assert not file.exists()


# None of these is an entry of the ledger, so that only the checksum protects it.
ALTERATIONS = [
    "UPDATE api_key SET clearance = clearance - 1",
    "UPDATE api_key SET expires_at = '2099-01-01 00:00:00.000000'",
    "UPDATE webhook SET url = 'https://attacker.example/'",
    "UPDATE source SET name = name || ' '",
    "DELETE FROM place_code WHERE rowid = (SELECT min(rowid) FROM place_code)",
    "INSERT INTO upstream (url, updated_at) VALUES ('https://attacker.example', '2026-01-01 00:00:00.000000')",
    "CREATE TABLE added (id INTEGER)",
    "DROP TRIGGER audit_entry_no_update",
    "UPDATE backup_checksum SET sha256 = lower(hex(randomblob(32)))",
    "DELETE FROM backup_checksum",
]


@sqlite_only
@pytest.mark.parametrize("other", ["sqlite"], indirect=True)
@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_restore_backup_altered_by_one_statement_is_refused(demo: str, other: str, file: Path, alteration: str) -> None:
    assert invoke("backup", str(file), database_url=demo).exit_code == 0
    with sqlite3.connect(file) as connection:
        connection.execute(alteration)
    assert connection.total_changes > 0 or alteration.startswith(("CREATE", "DROP")), "the statement altered nothing"
    connection.close()
    assert "is damaged, so nothing was restored: its checksum does not match" in refused(invoke("restore", str(file), database_url=other))
    assert is_missing(other)


@sqlite_only
def test_restore_backup_with_a_flipped_bit_is_refused(demo: str, file: Path, tmp_path: Path) -> None:
    assert invoke("backup", str(file), database_url=demo).exit_code == 0
    whole = file.read_bytes()
    ((secret_hash,),) = query_rows(f"sqlite:///{file}", "SELECT secret_hash FROM api_key LIMIT 1")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    # In a key, in the schema, in an index, in the checksum.
    for target in (secret_hash.encode(), b"CREATE TABLE report", b"CREATE INDEX", b"CREATE TABLE backup_checksum"):
        at = whole.rindex(target) + len(target) // 2
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert "damaged" in refused(invoke("restore", str(file), database_url=other)), target
        assert is_missing(other)
    file.write_bytes(whole)
    assert invoke("restore", str(file), database_url=other).exit_code == 0
    # The restored database has no checksum, which its first write would invalidate.
    assert query_rows(other, "SELECT name FROM sqlite_master WHERE name = 'backup_checksum'") == []


@sqlite_only
def test_backup_to_an_existing_file_or_a_missing_folder_is_refused(demo: str, file: Path) -> None:
    file.write_text("precious")
    assert "exists already" in refused(invoke("backup", str(file), database_url=demo))
    assert file.read_text() == "precious"
    assert "There is no folder" in refused(invoke("backup", str(file.parent / "none" / "b.db"), database_url=demo))


@sqlite_only
def test_restore_file_that_is_no_backup_is_refused(database_url: str, file: Path) -> None:
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
        assert invoke("restore", str(file), database_url=other).exit_code == 0
    assert query_rows(other, "SELECT version_num FROM alembic_version") == [(NEXT,)]
    assert content(other) == content(demo)
    assert file.read_bytes() == before


@crosswise
def test_backup_before_an_upgrade_keeps_the_earlier_schema(demo: str, other: str, file: Path, tmp_path: Path) -> None:
    """The earlier version must be able to restore it when the upgrade fails."""
    # A column and a table that this version does not know.
    execute_sql(demo, "ALTER TABLE place ADD COLUMN extra TEXT", "CREATE TABLE earlier (id INTEGER PRIMARY KEY, note TEXT)")
    with next_revision(tmp_path):
        if demo.startswith("sqlite"):
            execute_sql(demo, "INSERT INTO earlier VALUES (1, 'kept')", "UPDATE place SET extra = slug")
            assert invoke("backup", str(file), database_url=demo).exit_code == 0
            assert query_rows(f"sqlite:///{file}", "SELECT note FROM earlier") == [("kept",)]
        else:
            execute_sql(demo, "DROP TABLE earlier", "ALTER TABLE place DROP COLUMN extra")
            assert invoke("backup", str(file), database_url=demo).exit_code == 0
        assert query_rows(demo, "SELECT version_num FROM alembic_version") == query_rows(
            f"sqlite:///{file}", "SELECT version_num FROM alembic_version"
        )
        assert sorted(each.name for each in file.parent.iterdir() if "backup" in each.name) == [file.name]
        execute_sql(demo, "UPDATE report SET title = 'altered' WHERE global_seq = 20")
        assert "does not verify" in refused(invoke("backup", str(file.with_name("altered.db")), database_url=demo))
    if not demo.startswith("sqlite"):
        assert invoke("restore", str(file), database_url=other).exit_code == 0
        assert query_rows(other, "SELECT count(*) FROM report") == query_rows(demo, "SELECT count(*) FROM report")


@sqlite_only
@pytest.mark.parametrize("other", ["sqlite"], indirect=True)
def test_restore_backup_of_a_later_schema_is_refused(demo: str, other: str, file: Path) -> None:
    assert invoke("backup", str(file), database_url=demo).exit_code == 0
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '2999_later'")
        connection.execute("DROP TABLE backup_checksum")
    connection.close()
    message = refused(invoke("restore", str(file), database_url=other))
    assert "This version does not know the schema of the database" in message
    assert "2999_later" in message
    assert is_missing(other)


def _write(url: str, key: str, stop: Callable[[], bool], writer: int) -> list[str]:
    """Post reports until told to stop, and return the identifiers of those that were acknowledged."""
    acknowledged = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        number = 0
        while not stop():
            number += 1
            body = report(source=("agency", "envoy", "monitor", "army")[writer], value={"people": number * 10 + writer})
            answer = client.post("/v1/reports", json=body)
            assert answer.status_code == 201, answer.text
            acknowledged.append(answer.json()["id"])
    return acknowledged


def test_backup_under_load_ends_at_an_acknowledged_write(seeded_database_url: str, file: Path, tmp_path: Path) -> None:
    url = seeded_database_url
    key = asyncio.run(new_key(url))
    stopped: list[bool] = []
    with serve(tmp_path, database_url=url) as server, ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(_write, server.url, key, lambda: bool(stopped), writer) for writer in range(4)]
        while query_rows(url, "SELECT global_seq FROM ledger_head")[0][0] < SEEDED + 20:
            pass
        before = {row[0] for row in query_rows(url, "SELECT CAST(id AS VARCHAR) FROM report")}
        try:
            done = invoke("backup", str(file), database_url=url)
            assert done.exit_code == 0, done.output
        finally:
            stopped.append(True)
        acknowledged = {each.replace("-", "") for one in writing for each in one.result()}
    rows = query_rows(f"sqlite:///{file}", "SELECT CAST(id AS VARCHAR) FROM report ORDER BY global_seq")
    backed_up = [row[0].replace("-", "") for row in rows]
    restored = f"sqlite:///{tmp_path / 'restored.db'}"
    assert invoke("restore", str(file), database_url=restored).exit_code == 0
    assert invoke("verify", database_url=restored).exit_code == 0
    assert {each.replace("-", "") for each in before} <= set(backed_up) <= acknowledged
    assert len(backed_up) < len(acknowledged), "no report was written during the backup"
    last = query_rows(url, f"SELECT hash_red FROM ledger_entry WHERE global_seq = {SEEDED + len(backed_up)}")
    assert query_rows(restored, "SELECT hash_red FROM ledger_head") == last
