"""Limits: how often, how long, how deep, how slowly; for answers that are kept as well."""

import asyncio
import gzip
import resource
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from app.access.principal import Scope
from app.http.rate_limit import RateLimiter
from app.settings import Rate, Settings
from tests.support.factories import Reference, report
from tests.support.fixtures import sqlite_only
from tests.support.processes import Server, serve
from tests.support.servers import client_for, new_key, wait_if_window_ends_within


def limited(url: str, **settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """A client without a key, of a service with settings of its own."""
    return client_for(Settings(database_url=url, database_pool_size=2, **settings))


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_a_key_and_an_address_have_limits_of_their_own(database_url: str) -> None:
    wait_if_window_ends_within(5)
    one, other = [await new_key(database_url, Scope.READ) for _ in range(2)]
    async with limited(database_url, rate_limit="5/minute", rate_limit_anonymous="4/minute") as client:
        # The first request of a key is the address's: nobody knows it yet. The rest is the key's own.
        answers = [await client.get("/v1/places", headers=bearer(one)) for _ in range(7)]
        assert [each.status_code for each in answers] == [200] * 6 + [429]
        assert answers[1].headers["ratelimit-policy"] == '"default";q=5;w=60'
        assert answers[1].headers["ratelimit"].startswith('"default";r=4;t=')
        refused = answers[-1]
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["type"] == "urn:lifeline:problem:rate-limit"
        assert [(await client.get("/v1/places", headers=bearer(other))).status_code for _ in range(3)] == [200] * 3
        # Writes count, and so does what is kept; what is wrong counts for the address.
        statuses = [(await client.post("/v1/places", json={}, headers=bearer("ll_wrong"))).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert (await client.get("/v1/places")).status_code == 429
        assert [(await client.get("/health/ready")).status_code for _ in range(3)] == [200] * 3
    async with limited(database_url, rate_limit="off", rate_limit_anonymous="off") as client:
        assert "ratelimit" not in (await client.get("/v1/places")).headers
    for wrong in ("0/minute", "5/fortnight", "5", "-1/minute", "5/minute "):
        with pytest.raises(ValidationError):
            Settings(rate_limit=wrong)  # type: ignore[arg-type]


async def test_wrong_keys_are_slowed_and_valid_ones_are_not(database_url: str) -> None:
    wait_if_window_ends_within(5)
    known, unknown = [await new_key(database_url, Scope.READ) for _ in range(2)]
    async with limited(database_url, rate_limit_failures="3/minute") as client:
        assert (await client.get("/v1/me", headers=bearer(known))).status_code == 200
        guesses = [await client.get("/v1/me", headers=bearer(f"ll_{each}")) for each in range(5)]
        assert [each.status_code for each in guesses] == [401] * 3 + [429] * 2
        assert int(guesses[-1].headers["retry-after"]) >= 1
        # A guess that is right is not told apart either; who was valid before goes on, and so does the public.
        assert (await client.get("/v1/me", headers=bearer(unknown))).status_code == 429
        assert (await client.get("/v1/me", headers=bearer(known))).status_code == 200
        assert (await client.get("/v1/me")).status_code == 200


def test_addresses_of_one_customer_are_one() -> None:
    limits = RateLimiter(None, Rate(2, 3600), None)
    for address in ("2001:db8::1", "2001:db8::2"):
        taken = limits.hit(None, address)
        assert taken is not None
        assert taken.allowed
    taken = limits.hit(None, "2001:db8::ffff")
    assert taken is not None
    assert not taken.allowed
    for address in ("2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1", "unknown"):
        taken = limits.hit(None, address)
        assert taken is not None
        assert taken.allowed


@sqlite_only
@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Encoding": "gzip"}, gzip.compress(b"[" + b"0" * 10_000_000 + b"]"), 415),
        ({"Content-Encoding": "deflate, gzip"}, b"x", 415),
        ({}, b'{"kind": "' + b"x" * 5_000_000 + b'"}', 413),
        ({}, b"[" * 100_000 + b"]" * 100_000, 400),
        ({}, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400),
        ({}, b"1" * 100_000, 400),
    ],
)
async def test_bodies_that_would_burst(client: httpx.AsyncClient, headers: dict[str, str], content: bytes, status: int) -> None:
    """What is compressed is not inflated; what is too large or too deep is not looked at."""
    answer = await client.post("/v1/reports", headers=headers | {"Content-Type": "application/json"}, content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 2000


@sqlite_only
async def test_batches_pages_and_queries_are_bounded(client: httpx.AsyncClient, reference: Reference) -> None:
    assert (await client.post("/v1/reports", json=[report()] * 1001)).status_code == 422
    assert (await client.get("/v1/reports?limit=1001")).status_code == 422
    long = await client.get("/v1/reports", params={"source": "x" * 9000})
    assert (long.status_code, long.headers["content-type"]) == (414, "application/problem+json")
    deep: dict[str, Any] = {"type": "GeometryCollection", "geometries": []}
    for _ in range(150):
        deep = {"type": "GeometryCollection", "geometries": [deep]}
    assert (await client.post("/v1/routes", json={"slug": "deep", "name": "Deep", "mode": "road", "geometry": deep})).status_code == 400


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A real server that waits two seconds for a head and for a body."""
    folder = tmp_path_factory.mktemp("patient")
    url = f"sqlite:///{folder / 'slow.db'}"
    settings = {"header_timeout_seconds": "2", "body_timeout_seconds": "1", "rate_limit_anonymous": "off", "rate_limit": "off"}
    with serve(folder, database_url=url, **settings) as server:
        yield server, asyncio.run(new_key(url))


def connect(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_whoever_sends_too_much_is_told_so(patient: tuple[Server, str]) -> None:
    """Not cut off: a connection that is closed with bytes unread is reset, and takes the answer with it."""
    server, key = patient
    head = f"POST /v1/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
    chunk = b"x" * 65536
    for _ in range(5):
        with connect(server) as chunked:
            chunked.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
            for _ in range(100):
                chunked.sendall(b"10000\r\n" + chunk + b"\r\n")
            chunked.sendall(b"0\r\n\r\n")
            assert chunked.recv(100).startswith(b"HTTP/1.1 413 ")
        with connect(server) as counted:
            counted.sendall(head.encode() + b"content-length: 6553600\r\n\r\n" + chunk * 100)
            assert counted.recv(100).startswith(b"HTTP/1.1 413 ")


def answer_to(server: Server, sent: bytes) -> bytes:
    """All that comes back until the server closes."""
    with connect(server) as connection:
        connection.sendall(sent)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_a_thousand_slow_connections_hold_nobody_up(patient: tuple[Server, str]) -> None:
    """While a thousand clients are each in the midst of their headers others are served; then the thousand are let go."""
    server, _ = patient
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1200 if hard == resource.RLIM_INFINITY else min(1200, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    connections = [connect(server) for _ in range(1000)]
    try:
        for connection in connections:
            connection.sendall(b"GET /v1/places HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert httpx.get(f"{server.url}/v1/places", timeout=10).status_code == 200
        for connection in connections:
            # It was closed from the other side: nothing comes, or that it was reset.
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_body_that_does_not_come_is_not_waited_for(patient: tuple[Server, str]) -> None:
    server, key = patient
    names = ("Host: x", f"Authorization: Bearer {key}", "Content-Type: application/json", "Content-Length: 99", "", "")
    head = "POST /v1/reports HTTP/1.1\r\n" + "\r\n".join(names)
    received = answer_to(server, head.encode() + b'{"kind":')
    assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("endless", [b"X-Endless: " + b"x" * 200_000, b"X-Many: x\r\n" * 20_000], ids=["one", "many"])
def test_headers_have_an_end(patient: tuple[Server, str], endless: bytes) -> None:
    server, _ = patient
    try:
        received = answer_to(server, b"GET /v1/places HTTP/1.1\r\nHost: x\r\n" + endless)
    except (ConnectionResetError, BrokenPipeError):
        return
    assert received.startswith(b"HTTP/1.1 400 ") or received == b""


SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
FORMS: dict[str, bytes] = {
    "both lengths": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n" + SMUGGLED,
    "a list of lengths": b"Content-Length: 0, 40\r\n\r\n" + SMUGGLED,
    "a signed length": b"Content-Length: +40\r\n\r\n" + SMUGGLED,
    "a coding nobody knows": b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED,
    "a coding twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a folded line": b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk that lies": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + SMUGGLED,
    "a NUL in a header": b"X: a\0b\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_request_in_a_request_is_not_taken_for_another(patient: tuple[Server, str], form: str) -> None:
    """Whatever two servers could read differently is refused, and what comes after it on the connection is not answered."""
    server, _ = patient
    received = answer_to(server, b"POST /v1/reports HTTP/1.1\r\nHost: x\r\n" + FORMS[form])
    assert received.count(b"HTTP/1.1 ") == 1, received
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"smuggled" not in received


async def test_kept_answers_are_limited_too(database_url: str, new_database: Callable[[], str]) -> None:
    wait_if_window_ends_within(5)
    async with limited(database_url, rate_limit_anonymous="3/minute") as client:
        first = await client.get("/v1/places")
        held = {"If-None-Match": first.headers["etag"]}
        assert [(await client.get("/v1/places", headers=held)).status_code for _ in range(3)] == [304, 304, 429]
