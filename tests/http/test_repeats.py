"""A request that comes again with the same bytes on a connection: its answer is the one that it would have had, and so is all else."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from uvicorn.server import ServerState

from app.access.keys import list_keys, revoke_key
from app.domain.rates import Rate
from app.domain.tlp import Label
from app.http import response_cache
from app.http.header_timeout import HeaderTimeoutProtocol
from app.http.middleware import Application
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeKey, sqlite_only

PATH = "/v1/indicators"
PAGE = "https://dashboard.example"


class Connection:
    """A connection to a served application, and the number of requests that the application has seen."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[str]) -> None:
        self._reader = reader
        self._writer = writer
        self.seen = seen

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    async def answer(self) -> tuple[bytes, bytes]:
        """Return the head and the body of the next answer."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        return head, await self._reader.readexactly(int(length[1]) if length else 0)

    async def ask(self, data: bytes) -> tuple[bytes, bytes]:
        await self.send(data)
        return await self.answer()

    async def is_closed(self) -> bool:
        return await self._reader.read(1) == b""


Connect = Callable[[], Any]


@asynccontextmanager
async def served(application: Application) -> AsyncIterator[Connect]:
    """Serve a started application with the protocol of `lifeline serve`; yield a function that connects."""
    seen: list[str] = []

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await application(scope, receive, send)

    config = uvicorn.Config(counted, access_log=False, log_config=None, ws="none", lifespan="off")
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Tue, 01 Dec 2026 10:00:00 GMT")]

    def protocol() -> HeaderTimeoutProtocol:
        made = HeaderTimeoutProtocol(config, state, {})
        # Pytest has handlers for every logger.
        made.access_log = False
        return made

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> Connection:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writers.append(writer)
        return Connection(reader, writer, seen)

    try:
        yield connect
    finally:
        for each in writers:
            each.close()
        server.close()
        await asyncio.gather(*state.tasks)
        assert state.total_requests >= len(seen)


@pytest.fixture
async def connect(client: httpx.AsyncClient, reference: Reference, app: Application) -> AsyncIterator[Connect]:
    """Return a function that connects to a service with one report."""
    assert (await client.post("/v1/reports", json=report())).status_code == 201
    async with served(app) as found:
        yield found


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds by which the clock of the cache is ahead, as the only item of a list."""
    ahead, now = [0.0], response_cache.time.time
    monkeypatch.setattr(response_cache.time, "time", lambda: now() + ahead[0])
    return ahead


def request(path: str = PATH, *lines: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: lifeline.test", *lines, "", "")).encode()


def without_identifier(answer: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return re.sub(rb"\r\nx-request-id: [^\r]+", b"", answer[0]), answer[1]


def identifier(answer: tuple[bytes, bytes]) -> bytes:
    found = re.search(rb"\r\nx-request-id: ([^\r]+)", answer[0])
    assert found is not None
    return found[1]


async def asked_twice(connection: Connection, asked: bytes) -> tuple[bytes, bytes]:
    """Ask until the answer may be repeated: the first is kept, and the second found in the cache. Return the second."""
    await connection.ask(asked)
    return await connection.ask(asked)


@sqlite_only
@pytest.mark.parametrize("label", [None, Label.GREEN, Label.AMBER], ids=str)
@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("is_held", [False, True], ids=["200", "304"])
async def test_answer_is_the_one_that_would_have_been_given(
    connect: Connect, app: Application, make_key: MakeKey, label: Label | None, coding: str, is_held: bool
) -> None:
    lines = [f"Accept-Encoding: {coding}"]
    if label is not None:
        lines.append(f"Authorization: Bearer {await make_key(clearance=label)}")
    connection = await connect()
    if is_held:
        head, _ = await connection.ask(request(PATH, *lines))
        lines.append("If-None-Match: " + head.lower().partition(b"\r\netag: ")[2].partition(b"\r\n")[0].decode())
    asked = request(PATH, *lines)
    expected = await asked_twice(connection, asked)
    assert expected[0].startswith(b"HTTP/1.1 304 " if is_held else b"HTTP/1.1 200 ")
    cache, edge = app.state.response_cache, app.state.edge
    seen, hits, responses = len(connection.seen), sum(cache.hits.values()), sum(edge.responses.values())
    answers = [await connection.ask(asked) for _ in range(3)]
    assert [without_identifier(each) for each in answers] == [without_identifier(expected)] * 3
    assert len({identifier(each) for each in (expected, *answers)}) == 4
    assert len(connection.seen) == seen, "none was read again"
    assert (sum(cache.hits.values()) - hits, sum(edge.responses.values()) - responses) == (3, 3)


@sqlite_only
async def test_identifier_of_the_client_is_sent_back(connect: Connect) -> None:
    connection, asked = await connect(), request(PATH, "X-Request-Id: poll-7")
    assert {identifier(await connection.ask(asked)) for _ in range(4)} == {b"poll-7"}


@sqlite_only
async def test_reads_are_audited_each_time(connect: Connect, client: httpx.AsyncClient, app: Application, make_key: MakeKey) -> None:
    connection, asked = (
        await connect(),
        request(PATH, f"Authorization: Bearer {await make_key(clearance=Label.RED, organisation='reader')}"),
    )
    for _ in range(5):
        await connection.ask(asked)
    await app.state.read_audit.flush()
    rows = (await client.get("/v1/audit", params={"action": "read", "limit": 1000})).json()["items"]
    assert [each["count"] for each in rows if each["organisation"] == "reader"] == [5]


async def test_visible_change_shows_at_once_and_a_hidden_one_not_at_all(
    connect: Connect, client: httpx.AsyncClient, make_key: MakeKey
) -> None:
    """Non-interference: neither an answer nor how it is made differs by what the reader may not see."""
    asked = [request(), request(PATH, f"Authorization: Bearer {await make_key(clearance=Label.GREEN)}")]
    connections = [await connect(), await connect()]
    expected = [await asked_twice(*each) for each in zip(connections, asked, strict=True)]
    seen = len(connections[0].seen)
    hidden = report(sensitivity="red", source="envoy", value={"people": 1})
    assert (await client.post("/v1/reports", json=hidden)).status_code == 201
    again = [await connection.ask(each) for connection, each in zip(connections, asked, strict=True)]
    assert [without_identifier(each) for each in again] == [without_identifier(each) for each in expected]
    assert len(connections[0].seen) == seen
    assert (await client.post("/v1/reports", json=report(stated_at="2016-08-02", value={"people": 7}))).status_code == 201
    for connection, each in zip(connections, asked, strict=True):
        assert b'"people":7' in (await connection.ask(each))[1]


@sqlite_only
async def test_revoked_and_expired_keys_get_401(connect: Connect, make_key: MakeKey, database: Database, clock: list[float]) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    for name, options in (("revoked", {}), ("expired", {"expires_at": soon})):
        secret = await make_key(clearance=Label.AMBER, organisation=name, **options)
        connection, asked = await connect(), request(PATH, f"Authorization: Bearer {secret}")
        assert (await asked_twice(connection, asked))[0].startswith(b"HTTP/1.1 200 ")
        seen = len(connection.seen)
        if name == "revoked":
            async with database.write() as session:
                (key,) = [each for each in await list_keys(session) if each.organisation == name]
                await revoke_key(session, key.id)
            assert (await connection.ask(asked))[0].startswith(b"HTTP/1.1 401 ")
        else:
            clock[0] = 60
            await connection.ask(asked)
        assert len(connection.seen) == seen + 1, "the application decides"


@sqlite_only
async def test_next_day_is_read_again(connect: Connect, clock: list[float]) -> None:
    connection = await connect()
    await asked_twice(connection, request())
    seen = len(connection.seen)
    clock[0] = 86_400
    await connection.ask(request())
    assert len(connection.seen) == seen + 1


@sqlite_only
async def test_rate_limit_counts_each_request(built_app: FastAPI, seeded_database_url: str) -> None:
    built_app.state.settings = Settings(database_url=seeded_database_url, rate_limit_anonymous=Rate(6, 3600), cors_origins=[PAGE])
    async with LifespanManager(built_app), served(built_app) as connect:  # type: ignore[arg-type]
        connection = await connect()
        answers = [(await connection.ask(request(PATH, f"Origin: {PAGE}")))[0] for _ in range(8)]
    assert [each[9:12] for each in answers] == [b"200"] * 6 + [b"429"] * 2
    assert all(f"\r\naccess-control-allow-origin: {PAGE}\r\n".encode() in each for each in answers[:6])
    left = [re.search(rb'\r\nratelimit: "default";r=(\d+);t=\d+', each) for each in answers]
    assert [each and int(each[1]) for each in left] == [5, 4, 3, 2, 1, 0, 0, 0]
    assert len(connection.seen) == 4, "two, and those that are refused"


@sqlite_only
async def test_only_the_same_bytes_in_one_piece_are_a_repetition(connect: Connect) -> None:
    connection, asked = await connect(), request()
    expected = without_identifier(await asked_twice(connection, asked))
    seen = len(connection.seen)
    # In two pieces, two at once, one that follows at once, and another in between.
    await connection.send(asked[:20])
    await asyncio.sleep(0.05)
    assert without_identifier(await connection.ask(asked[20:])) == expected
    await connection.send(asked + asked)
    assert [without_identifier(await connection.answer()) for _ in range(2)] == [expected] * 2
    assert len(connection.seen) == seen + 3
    await connection.send(asked)
    await connection.send(asked)
    assert [without_identifier(await connection.answer()) for _ in range(2)] == [expected] * 2
    other = await connection.ask(request("/v1/places"))
    assert without_identifier(other) != expected
    assert without_identifier(await connection.ask(asked)) == expected
    assert without_identifier(await connection.ask(request(PATH, "Accept: text/csv")))[1] != expected[1]


@sqlite_only
async def test_body_that_looks_like_the_request_is_no_request(connect: Connect) -> None:
    """The head again, as the body that the head announced: there is one answer."""
    connection = await connect()
    head = request(PATH, "Content-Length: 0000")
    asked = head.replace(b"0000", b"%04d" % len(head))
    for _ in range(3):
        await connection.send(asked)
        first = await connection.answer()
        await connection.send(asked)
        assert first[0].startswith(b"HTTP/1.1 200 ")
    assert without_identifier(await connection.ask(request("/v1/nothing")))[0].startswith(b"HTTP/1.1 404 ")


@sqlite_only
@pytest.mark.parametrize(
    ("line", "version", "method"),
    [("Cookie: lifeline=x", "1.1", "GET"), ("Accept: */*", "1.1", "HEAD"), (f"X-Long: {'x' * 4096}", "1.1", "GET")],
    ids=["cookie", "head", "long"],
)
async def test_some_are_read_each_time(connect: Connect, line: str, version: str, method: str) -> None:
    connection, asked = await connect(), request(PATH, line, version=version, method=method)
    for _ in range(4):
        await connection.send(asked)
        if method == "HEAD":
            await connection._reader.readuntil(b"\r\n\r\n")
        else:
            await connection.answer()
    assert len(connection.seen) == 4


@sqlite_only
@pytest.mark.parametrize(("line", "version"), [("Connection: close", "1.1"), ("Accept: */*", "1.0")])
async def test_connection_that_is_to_be_closed_is_closed(connect: Connect, line: str, version: str) -> None:
    for _ in range(3):
        connection = await connect()
        await connection.send(2 * request(PATH, line, version=version))
        assert (await connection.answer())[0].startswith(b"HTTP/1.1 200 ")
        assert await connection.is_closed()
