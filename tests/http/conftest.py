"""A real server with short timeouts, for tests that speak to it by socket."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.processes import serve
from tests.support.servers import new_key


@dataclass(frozen=True)
class RawServer:
    """A server with timeouts of seconds, and a key with every scope."""

    url: str
    key: str
    database_url: str

    def connect(self) -> socket.socket:
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=60)

    def send(self, data: bytes) -> bytes:
        """Send bytes, and return all that comes back until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        return received


@pytest.fixture(scope="module")
def raw_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawServer]:
    """A server that waits 2 s for the head of a request and 1 s for its body."""
    folder = tmp_path_factory.mktemp("raw")
    url = f"sqlite:///{folder / 'raw.db'}"
    settings = {"header_timeout_seconds": "2", "body_timeout_seconds": "1", "rate_limit_anonymous": "off", "rate_limit": "off"}
    with serve(folder, database_url=url, **settings) as server:
        yield RawServer(server.url, asyncio.run(new_key(url)), url)
