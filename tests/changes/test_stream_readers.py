"""Readers of the stream as they are: they filter, they fall asleep, they do not keep up."""

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
from tests.support.factories import Reference, report

# More than the server holds back for a reader, and the network for both.
MANY = 60


class Door:
    """The app under test behind a real socket, whose buffers for sending are as small as they get."""

    def __init__(self, port: int, server: uvicorn.Server, key: str) -> None:
        self.port = port
        self.server = server
        self.key = key
        self._opened: list[socket.socket] = []

    async def open(self, path: str, *, receive_buffer: int | None = None, **headers: str) -> socket.socket:
        """A connection on which a stream was asked for."""
        made = socket.socket()
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.setblocking(False)
        self._opened.append(made)
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self.port))
        lines = [f"GET {path} HTTP/1.1", "Host: lifeline", f"Authorization: {self.key}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await asyncio.get_running_loop().sock_sendall(made, ("\r\n".join(lines) + "\r\n\r\n").encode())
        return made

    def close(self) -> None:
        """Close every connection."""
        for each in self._opened:
            each.close()


@pytest.fixture
async def door(app: Application, client: httpx.AsyncClient) -> AsyncIterator[Door]:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", ws="none"))
    serving = asyncio.create_task(server._serve([listening]))
    door = Door(listening.getsockname()[1], server, client.headers["authorization"])
    yield door
    door.close()
    server.should_exit = server.force_exit = True
    await serving


async def _until(connection: socket.socket, wanted: bytes, received: bytearray) -> None:
    async with asyncio.timeout(40):
        while wanted not in received:
            more = await asyncio.get_running_loop().sock_recv(connection, 65536)
            assert more, received
            received += more


def _events(received: bytes) -> list[dict[str, Any]]:
    """The whole events in what came, chunks of the transfer put together again."""
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


async def test_who_does_not_keep_up_is_dropped_and_resumes_without_loss(
    door: Door, client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_buffer, "MAX_SEND_SECONDS", 0.3)
    received = bytearray()
    asleep = await door.open("/v1/stream", receive_buffer=4096)
    await _until(asleep, b"event: ready", received)
    quoted = {"quote": "x" * 2000}
    many = [report(stated_at=f"2016-08-01T00:{minute:02}:00Z", value={"people": minute}, provenance=quoted) for minute in range(MANY)]
    assert (await client.post("/v1/reports", json=many)).json()["created"] == MANY
    async with asyncio.timeout(40):
        while door.server.server_state.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    # He wakes up: what is left for him are some whole events, and the end.
    try:
        while more := await asyncio.get_running_loop().sock_recv(asleep, 65536):
            received += more
    except ConnectionError:
        pass
    before = _events(bytes(received))
    assert before[0]["event"] == "ready"
    assert len(before) < MANY + 1
    received = bytearray()
    awake = await door.open("/v1/stream", Last_Event_ID=before[-1]["id"])
    await _until(awake, b'"seq":%d,' % MANY, received)
    async with asyncio.timeout(40):
        while len(before) - 1 + len(_events(bytes(received))) - 1 < MANY:
            received += await asyncio.get_running_loop().sock_recv(awake, 65536)
    after = _events(bytes(received))
    assert [event["data"]["seq"] for event in before[1:] + after[1:]] == list(range(1, MANY + 1))


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_filters_and_heartbeats(door: Door, client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "HEARTBEAT_SECONDS", 0.1)
    received = bytearray()
    stream = await door.open("/v1/stream?kind=supply_runout&place=country&within=true")
    await _until(stream, b": ping", received)
    await client.post("/v1/reports", json=report())
    await client.post("/v1/reports", json=report("supply_runout"))
    await _until(stream, b"event: report", received)
    rest = bytearray()
    await _until(stream, b": ping", rest)
    # What is passed over has a number too, and is not told.
    assert [event["data"]["seq"] for event in _events(bytes(received + rest)) if event["event"] == "report"] == [2]
    refused = await client.get("/v1/stream", params={"kind": "trapped_population", "colour": "red"})
    assert refused.status_code == 422


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_heartbeats_come_also_while_all_that_is_reported_is_passed_over(
    door: Door, client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "HEARTBEAT_SECONDS", 0.5)
    stream = await door.open("/v1/stream?kind=supply_runout")
    beating = asyncio.create_task(_until(stream, b": ping", bytearray()))
    for number in range(600):
        if beating.done():
            break
        await client.post("/v1/reports", json=report(stated_at=f"2016-08-01T00:{number // 60:02}:{number % 60:02}Z"))
    assert beating.done(), "a proxy would have taken it for dead"
    await beating
