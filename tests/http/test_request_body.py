"""Bodies of requests: limits on size, depth, compression and time, and responses that reach a client that is still sending."""

import gzip
from typing import Any

import httpx
import pytest

from tests.http.conftest import RawServer
from tests.support.factories import Reference, report
from tests.support.fixtures import sqlite_only


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
    ids=["gzip-bomb", "two-codings", "too-large", "nested-arrays", "nested-objects", "long-number"],
)
async def test_hostile_body_is_rejected_with_a_short_problem(
    client: httpx.AsyncClient, headers: dict[str, str], content: bytes, status: int
) -> None:
    answer = await client.post("/v1/reports", headers=headers | {"Content-Type": "application/json"}, content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 2000


@sqlite_only
async def test_batch_page_and_depth_over_their_limits_are_rejected(client: httpx.AsyncClient, reference: Reference) -> None:
    assert (await client.post("/v1/reports", json=[report()] * 1001)).status_code == 422
    assert (await client.get("/v1/reports?limit=1001")).status_code == 422
    deep: dict[str, Any] = {"type": "GeometryCollection", "geometries": []}
    for _ in range(150):
        deep = {"type": "GeometryCollection", "geometries": [deep]}
    assert (await client.post("/v1/routes", json={"slug": "deep", "name": "Deep", "mode": "road", "geometry": deep})).status_code == 400


def test_client_that_sends_too_much_receives_the_413(raw_server: RawServer) -> None:
    """The server reads on for a while: a connection that is closed with unread bytes is reset, and the response is lost."""
    head = f"POST /v1/reports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {raw_server.key}\r\ncontent-type: application/json\r\n"
    chunk = b"x" * 65536
    for _ in range(5):
        with raw_server.connect() as chunked:
            chunked.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
            for _ in range(100):
                chunked.sendall(b"10000\r\n" + chunk + b"\r\n")
            chunked.sendall(b"0\r\n\r\n")
            assert chunked.recv(100).startswith(b"HTTP/1.1 413 ")
        with raw_server.connect() as counted:
            counted.sendall(head.encode() + b"content-length: 6553600\r\n\r\n" + chunk * 100)
            assert counted.recv(100).startswith(b"HTTP/1.1 413 ")


def test_body_that_does_not_arrive_gets_408(raw_server: RawServer) -> None:
    names = ("Host: x", f"Authorization: Bearer {raw_server.key}", "Content-Type: application/json", "Content-Length: 99", "", "")
    head = "POST /v1/reports HTTP/1.1\r\n" + "\r\n".join(names)
    received = raw_server.send(head.encode() + b'{"kind":')
    assert received.startswith(b"HTTP/1.1 408 ")
