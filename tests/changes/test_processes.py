"""Responses on the wire and across processes: a commit of one process is visible in the others at once."""

import asyncio
import re
import socket

import httpx
import pytest

from app.access.keys import list_keys, revoke_key
from app.storage.database import Database
from tests.changes.conftest import Running
from tests.support.factories import report


def _ask(url: str, path: str, **headers: str) -> bytes:
    """Return all bytes of a response, until the server closes the connection."""
    host = httpx.URL(url)
    lines = [f"GET {path} HTTP/1.1", "Host: lifeline", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    with socket.create_connection((host.host, host.port or 80), 10) as connection:
        connection.sendall(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_not_modified_response_has_less_than_300_bytes(running: Running) -> None:
    async with running.client() as client:
        for place in ("oldtown", "country"):
            assert (await client.post("/v1/reports", json=report(place=place))).status_code == 201
        one = (await client.get("/v1/indicators")).json()["items"][0]["links"]["self"]
    long = "/v1/indicators?limit=1&kind=trapped_population&country=SYR&place=country&within=true&min_reliability=D&agreement=single"
    for path in ("/v1/indicators", "/v1/changes", "/v1/situations/oldtown", one, long):
        for credentials in ({}, {"Authorization": f"Bearer {running.key}"}):
            for coding in ("identity", "gzip", "zstd"):
                first = await asyncio.to_thread(_ask, running.server.url, path, Accept_Encoding=coding, **credentials)
                tag = re.search(rb'etag: ("[^"]+")', first)
                assert first.startswith(b"HTTP/1.1 200 "), first
                assert tag
                again = await asyncio.to_thread(
                    _ask, running.server.url, path, Accept_Encoding=coding, If_None_Match=tag[1].decode(), **credentials
                )
                assert again.startswith(b"HTTP/1.1 304 "), again
                assert len(again) < 300, again
                assert again.endswith(b"\r\n\r\n")
    assert b"\r\nlink: " in first, "a 200 has more headers than its 304"


async def test_commit_of_another_process_invalidates_cached_responses(running: Running, database: Database) -> None:
    async with running.sibling() as sibling, running.client() as one, sibling.client() as other:
        for number in range(5):
            for client in (one, other):
                # Both processes cache the response now.
                assert (await client.get("/v1/reports")).status_code == 200
            stated = f"2016-08-{number + 1:02}"
            assert (await one.post("/v1/reports", json=report(stated_at=stated, value={"people": number}))).status_code == 201
            await _wait_until_seen(other, number + 1)
        assert (await other.get("/v1/indicators")).status_code == 200
        async with database.write() as session:
            for key in await list_keys(session):
                await revoke_key(session, key.id)
        for client in (one, other):
            await _wait_for_status(client, 401)


async def _wait_until_seen(client: httpx.AsyncClient, count: int) -> None:
    """Wait until the list shows this number of reports; PostgreSQL may notify a moment after the commit."""
    async with asyncio.timeout(20):
        while len((await client.get("/v1/reports")).json()["items"]) != count:  # noqa: ASYNC110 - another application
            await asyncio.sleep(0.01)


async def _wait_for_status(client: httpx.AsyncClient, status: int) -> None:
    async with asyncio.timeout(20):
        while (await client.get("/v1/indicators")).status_code != status:  # noqa: ASYNC110 - another application
            await asyncio.sleep(0.01)
