"""Clients of `/v1/stream` that filter, or that read too slowly."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import uvicorn

from app.changes import endpoints
from app.http import response_buffer
from app.main import Application
from tests.support.factories import SEEDED, Reference, report

# More events than the server and the network buffer for one client.
MANY = 60


class SocketServer:
    """The app under test behind a real socket with the smallest possible send buffer."""

    def __init__(self, port: int, uvicorn_server: uvicorn.Server, key: str) -> None:
        self.port = port
        self.uvicorn_server = uvicorn_server
        self.key = key
        self._opened: list[socket.socket] = []

    async def open(self, path: str, *, receive_buffer: int | None = None, **headers: str) -> socket.socket:
        """Return a connection that has sent a request for a stream."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        self._opened.append(connection)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        lines = [f"GET {path} HTTP/1.1", "Host: lifeline", f"Authorization: {self.key}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await asyncio.get_running_loop().sock_sendall(connection, ("\r\n".join(lines) + "\r\n\r\n").encode())
        return connection

    def close(self) -> None:
        """Close every connection."""
        for each in self._opened:
            each.close()


@pytest.fixture
async def server(app: Application, client: httpx.AsyncClient) -> AsyncIterator[SocketServer]:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listening.bind(("127.0.0.1", 0))
    uvicorn_server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", ws="none"))
    serving = asyncio.create_task(uvicorn_server._serve([listening]))
    server = SocketServer(listening.getsockname()[1], uvicorn_server, client.headers["authorization"])
    yield server
    server.close()
    uvicorn_server.should_exit = uvicorn_server.force_exit = True
    await serving


async def _until(connection: socket.socket, wanted: bytes, received: bytearray) -> None:
    async with asyncio.timeout(40):
        while wanted not in received:
            more = await asyncio.get_running_loop().sock_recv(connection, 65536)
            assert more, received
            received += more


def _events(received: bytes) -> list[dict[str, Any]]:
    """Return the complete events of a response in chunked transfer coding."""
    _, _, rest = received.partition(b"\r\n\r\n")
    body = bytearray()
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if not size or not rest or int(size, 16) > len(rest):
            break
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    found = []
    for block in body.decode().split("\n\n")[:-1]:
        event = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if event:
            found.append(event | {"data": orjson.loads(event["data"])})
    return found


async def test_slow_client_is_disconnected_and_resumes_without_loss(
    server: SocketServer, client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_buffer, "MAX_SEND_SECONDS", 0.3)
    received = bytearray()
    slow = await server.open("/v1/stream", receive_buffer=4096)
    await _until(slow, b"event: ready", received)
    quoted = {"quote": "x" * 2000}
    many = [report(stated_at=f"2016-08-01T00:{minute:02}:00Z", value={"people": minute}, provenance=quoted) for minute in range(MANY)]
    assert (await client.post("/v1/reports", json=many)).json()["created"] == MANY
    async with asyncio.timeout(40):
        while server.uvicorn_server.server_state.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    # The client reads on: some complete events are left, and the end.
    try:
        while more := await asyncio.get_running_loop().sock_recv(slow, 65536):
            received += more
    except ConnectionError:
        pass
    before = _events(bytes(received))
    assert before[0]["event"] == "ready"
    assert len(before) < MANY + 1
    received = bytearray()
    resumed = await server.open("/v1/stream", Last_Event_ID=before[-1]["id"])
    await _until(resumed, b'"seq":%d,' % (SEEDED + MANY), received)
    async with asyncio.timeout(40):
        while len(before) - 1 + len(_events(bytes(received))) - 1 < MANY:
            received += await asyncio.get_running_loop().sock_recv(resumed, 65536)
    after = _events(bytes(received))
    assert [event["data"]["seq"] for event in before[1:] + after[1:]] == list(range(SEEDED + 1, SEEDED + MANY + 1))


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_stream_applies_filters_and_sends_heartbeats(
    server: SocketServer, client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "HEARTBEAT_SECONDS", 0.1)
    received = bytearray()
    stream = await server.open("/v1/stream?kind=supply_runout&place=country&within=true")
    await _until(stream, b": ping", received)
    await client.post("/v1/reports", json=report())
    await client.post("/v1/reports", json=report("supply_runout"))
    await _until(stream, b"event: report", received)
    rest = bytearray()
    await _until(stream, b": ping", rest)
    # The change that does not fit comes before it.
    assert [event["data"]["seq"] for event in _events(bytes(received + rest)) if event["event"] == "report"] == [SEEDED + 2]
    rejected = await client.get("/v1/stream", params={"kind": "trapped_population", "colour": "red"})
    assert rejected.status_code == 422


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_stream_sends_heartbeats_while_no_change_fits_the_filter(
    server: SocketServer, client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "HEARTBEAT_SECONDS", 0.5)
    stream = await server.open("/v1/stream?kind=supply_runout")
    beating = asyncio.create_task(_until(stream, b": ping", bytearray()))
    for number in range(600):
        if beating.done():
            break
        await client.post("/v1/reports", json=report(stated_at=f"2016-08-01T00:{number // 60:02}:{number % 60:02}Z"))
    assert beating.done(), "the stream sent no heartbeat"
    await beating
