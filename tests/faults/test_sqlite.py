"""Faults of SQLite: disk full, file system read-only, page damaged; the service reports each and recovers once it is repaired."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Serving
from tests.faults.responses import assert_unavailable, post_people, recorded_people, uncached_path, wait_until_recovered
from tests.support.servers import invoke, new_key

MOUNT_BYTES = 4 * 1024 * 1024

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"tests cannot mount a file system here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a small file system of this test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={MOUNT_BYTES}", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def url_on_disk(seeded_database_url: str, disk: Path) -> str:
    """Return the URL of a database with reference data on the small file system."""
    path = disk / "lifeline.db"
    shutil.copy(seeded_database_url.removeprefix("sqlite:///"), path)
    return f"sqlite:///{path}"


def test_backup_to_a_full_disk_fails_and_leaves_no_file(seeded_database_url: str, disk: Path) -> None:
    filler, backup = disk / "filler", disk / "backup.db"
    filler.write_bytes(b"0" * (shutil.disk_usage(disk).free - 65_536))
    done = invoke("backup", str(backup), database_url=seeded_database_url)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert "full" in done.stderr
    assert list(disk.iterdir()) == [filler]
    filler.unlink()
    assert invoke("backup", str(backup), database_url=seeded_database_url).exit_code == 0


async def test_full_disk_gives_507_until_there_is_space(url_on_disk: str, disk: Path, serving: Serving) -> None:
    async with serving(url_on_disk) as client:
        assert (await post_people(client, 1)).status_code == 201
        filler = disk / "filler"
        filler.write_bytes(b"0" * shutil.disk_usage(disk).free)
        # The first writes may still fit into space that the write-ahead log has already.
        answers = [await post_people(client, number) for number in range(2, 40)]
        assert {answer.status_code for answer in answers} <= {201, 507}
        refused = [answer for answer in answers if answer.status_code == 507]
        assert refused
        for answer in refused:
            assert_unavailable(answer, 507)
            assert answer.json()["type"] == "urn:lifeline:problem:storage-full"
        acknowledged = [1, *(number for number, answer in enumerate(answers, 2) if answer.status_code == 201)]
        assert (await client.get(uncached_path())).status_code == 200
        assert await recorded_people(client) == acknowledged
        filler.unlink()
        await wait_until_recovered(client, 1000)
        assert await recorded_people(client) == [*acknowledged, 1000]
    assert (await asyncio.to_thread(invoke, "verify", database_url=url_on_disk)).exit_code == 0


async def test_read_only_file_system_gives_503_until_remounted(url_on_disk: str, disk: Path, serving: Serving) -> None:
    key = await new_key(url_on_disk)
    # A file system with files open for writing cannot be remounted read-only, so it is read-only from the start.
    _mount("-o", "remount,ro", str(disk))
    async with serving(url_on_disk, key=key) as client:
        for _ in range(2):
            assert_unavailable(await post_people(client, 1))
        assert (await client.get("/health/live")).status_code == 200
        _mount("-o", "remount,rw", str(disk))
        await wait_until_recovered(client, 1)
        assert await recorded_people(client) == [1]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # e2fsck exits with 1 after a repair.
    assert done.returncode <= 1, done.stderr


async def test_aborted_file_system_serves_reads_and_recovers(seeded_database_url: str, tmp_path: Path, serving: Serving) -> None:
    """When a disk fails, Linux makes its file system read-only until it is repaired and mounted again."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    image, repaired, disk = tmp_path / "image", tmp_path / "repaired", tmp_path / "disk"
    image.touch()
    os.truncate(image, 8 * MOUNT_BYTES)
    _run("mkfs.ext4", "-q", "-F", str(image))
    disk.mkdir()
    url, key = f"sqlite:///{disk / 'lifeline.db'}", ""
    _mount("-o", "loop", str(image), str(disk))
    try:
        shutil.copy(seeded_database_url.removeprefix("sqlite:///"), disk / "lifeline.db")
        key = await new_key(url)
        async with serving(url, key=key) as client:
            assert (await post_people(client, 1)).status_code == 201
            _mount("-o", "remount,abort", str(disk))
            for people in (2, 3):
                answer = await post_people(client, people)
                assert_unavailable(answer)
                assert answer.json()["type"] == "urn:lifeline:problem:read-only"
            checked = await asyncio.to_thread(invoke, "doctor", database_url=url)
            assert (checked.exit_code, "FAILED  disk           cannot be written to" in checked.stdout) == (1, True), checked.stdout
            assert await recorded_people(client) == [1], "reads must still work"
            for path in (uncached_path(), "/health/live", "/health/ready"):
                assert (await client.get(path)).status_code == 200
            shutil.copy(image, repaired)
    finally:
        _run("umount", "--lazy", str(disk))
    _run("e2fsck", "-fy", str(repaired))
    _mount("-o", "loop", str(repaired), str(disk))
    try:
        async with serving(url, key=key) as client:
            await wait_until_recovered(client, 3)
            assert await recorded_people(client) == [1, 3]
        assert (await asyncio.to_thread(invoke, "verify", database_url=url)).exit_code == 0
    finally:
        _run("umount", "--lazy", str(disk))


def _damage(path: Path, table: str) -> None:
    """Overwrite the first page of a table with random bytes."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))


async def test_damaged_page_is_reported_by_requests_verify_and_serve(seeded_database_url: str, serving: Serving) -> None:
    path = Path(seeded_database_url.removeprefix("sqlite:///"))
    async with serving(seeded_database_url) as client:
        assert (await post_people(client, 1)).status_code == 201
    key = await new_key(seeded_database_url)
    shutil.copy(path, path.with_name("whole.db"))
    _damage(path, "report")
    async with serving(seeded_database_url, key=key) as client:
        answer = await client.get("/v1/reports")
        assert_unavailable(answer)
        assert answer.json()["type"] == "urn:lifeline:problem:damaged"
        assert_unavailable(await post_people(client, 2))
    found = await asyncio.to_thread(invoke, "verify", database_url=seeded_database_url)
    assert found.exit_code == 1
    assert found.stdout.startswith("file: ")
    refused = await asyncio.to_thread(invoke, "serve", database_url=seeded_database_url)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "damaged" in refused.stderr
    backup = await asyncio.to_thread(invoke, "backup", str(path.with_name("backup.db")), database_url=seeded_database_url)
    assert backup.exit_code == 1
    assert not path.with_name("backup.db").exists()
    shutil.copy(path.with_name("whole.db"), path)
    assert (await asyncio.to_thread(invoke, "verify", database_url=seeded_database_url)).exit_code == 0
