"""Bodies of requests: limits on size, depth, compression and time, and responses that reach a client that is still sending."""

import asyncio
import gzip
from collections import Counter
from contextlib import ExitStack
from typing import Any

import httpx
import orjson
import pytest
from starlette.types import Message

from app.http.problems import Problem
from app.http.request_body import limit_body_time
from tests.http.conftest import RawServer
from tests.support.factories import Reference, report
from tests.support.fixtures import sqlite_only
from tests.support.servers import new_key


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


@sqlite_only
@pytest.mark.parametrize(
    ("path", "content", "pointer"),
    [
        ("/v1/reports", '{"kind": "supply_runout", "value": {"supply": "food", "state": "low", "s\\u0075pply": "water"}}', "/value/supply"),
        ("/v1/reports", '[{"kind": "a"}, {"provenance": {"via": [], "via": []}}]', "/1/provenance/via"),
        ("/v1/places", '{"slug": "a", "name": "A", "names": {"ar": "x", "fr": "y", "ar": "z"}, "a/b": 1}', "/names/ar"),
        ("/v1/keys", '{"scopes": ["read"], "name": "k", "scopes": ["admin"]}', "/scopes"),
        ("/v1/webhooks", '{"url": "https://example.org", "url": "https://example.net"}', "/url"),
        ("/v1/imports", '[{"kind": "a"}, {"value": [{"people": 1}, {"people": 2, "people": 3}]}]', "/1/value/1/people"),
    ],
)
async def test_name_that_stands_twice_gets_422(client: httpx.AsyncClient, path: str, content: str, pointer: str) -> None:
    answer = await client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert "twice" in error["detail"]


@sqlite_only
async def test_name_that_stands_twice_in_a_line_is_a_problem_of_its_row(client: httpx.AsyncClient, reference: Reference) -> None:
    lines = [orjson.dumps(report()), b'{"kind": "trapped_population", "value": {"people": 1, "people": 2}}']
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await client.post("/v1/imports?dry_run=false", content=b"\n".join(lines), headers=headers)
    assert answer.status_code == 422
    assert "/value/people" in answer.text
    assert "twice" in answer.text


@pytest.mark.parametrize("path", ["/v1/reports", "/v1/imports", "/sign-in"])
def test_body_that_does_not_arrive_gets_408(raw_server: RawServer, path: str) -> None:
    names = ("Host: x", f"Authorization: Bearer {raw_server.key}", "Content-Type: application/json", "Content-Length: 99", "", "")
    head = f"POST {path} HTTP/1.1\r\n" + "\r\n".join(names)
    received = raw_server.send(head.encode() + b'{"kind":')
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in received


async def test_body_that_keeps_arriving_has_longer() -> None:
    sent = iter([b"x" * 1024 * 60])

    async def receive() -> Message:
        if body := next(sent, b""):
            return {"type": "http.request", "body": body, "more_body": True}
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"", "more_body": False}

    in_time = limit_body_time(receive, 0.01)
    while (await in_time())["more_body"]:
        pass
    with pytest.raises(Problem):
        await limit_body_time(receive, 0.01)()


def test_unfinished_posts_with_invented_keys_do_not_stop_reports(raw_server: RawServer) -> None:
    """From the reporter's own address, and with a key that the process has not seen: the worst case of fairness by address."""

    def head(path: str, key: str) -> bytes:
        lines = (f"POST {path} HTTP/1.1", "Host: x", f"Authorization: {key}", "Content-Type: application/json", "Content-Length: 99")
        return "\r\n".join((*lines, "", "")).encode()

    paths = ["/sign-in"] * 110 + ["/v1/reports", "/v1/places", "/v1/imports", "/v1/keys", "/v1/webhooks"] * 22
    with ExitStack() as stack:
        connections = [stack.enter_context(raw_server.connect()) for _ in paths]
        for number, (connection, path) in enumerate(zip(connections, paths, strict=True)):
            connection.sendall(head(path, f"Bearer ll_{number}"))
        unseen = {"Authorization": f"Bearer {asyncio.run(new_key(raw_server.database_url))}"}
        place = {"slug": "reported", "name": "Reported"}
        assert httpx.post(f"{raw_server.url}/v1/places", json=place, headers=unseen, timeout=60).status_code == 201
        statuses = Counter(connection.recv(65536).split(b" ")[1] for connection in connections)
        # Invented keys are refused before their body is read; forms wait for theirs, and take places of their own.
        assert statuses[b"401"] + statuses[b"429"] + statuses[b"503"] >= 110
        assert statuses[b"408"] >= 1
