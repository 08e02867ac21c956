"""A server in a process of its own on the test's database, and further servers on the same database."""

from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.tlp import Label
from app.settings import Settings
from tests.support.factories import Reference
from tests.support.fixtures import MakeKey
from tests.support.processes import Server, serve


@dataclass
class Running:
    """A server in a process of its own, with a key of every scope."""

    server: Server
    key: str
    folder: Path
    database_url: str

    def client(self) -> httpx.AsyncClient:
        """Return a client with the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=self.server.url, headers=headers, timeout=40)

    def terminate(self) -> None:
        """Send SIGTERM to the process."""
        self.server.process.terminate()

    def wait(self, seconds: float) -> int:
        """Wait for the process to end and return the exit code."""
        return self.server.process.wait(seconds)

    @asynccontextmanager
    async def sibling(self) -> Any:
        """Yield a server in another process on the same database."""
        with serve(self.folder, database_url=self.database_url) as server:
            yield Running(server, self.key, self.folder, self.database_url)


@contextmanager
def _running(folder: Path, url: str, key: str) -> Iterator[Running]:
    with serve(folder, database_url=url) as server:
        yield Running(server, key, folder, url)


@pytest.fixture
async def running(settings: Settings, make_key: MakeKey, reference: Reference, tmp_path: Path) -> Any:
    """Yield a server on the test's database with reference data."""
    key = await make_key(clearance=Label.RED)
    with _running(tmp_path, settings.database_url, key) as found:
        yield found
