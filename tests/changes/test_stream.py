"""`/v1/stream`: changes as server-sent events, resumed without loss."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson

from tests.changes.conftest import Running
from tests.support.factories import SEEDED, report
from tests.support.fixtures import mostly_sqlite
from tests.support.servers import wait_for_metric


async def _events(stream: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    async for line in stream.aiter_lines():
        if line == "" and event:
            yield event
            event = {}
        elif ": " in line:
            name, _, value = line.partition(": ")
            event[name] = orjson.loads(value) if name == "data" else value


async def _next(events: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    return await asyncio.wait_for(anext(events), 10)


async def test_stream_sends_changes_and_resumes_after_a_disconnect(running: Running) -> None:
    async with running.client() as client:
        async with client.stream("GET", "/v1/stream") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert (stream.headers["cache-control"], stream.headers["vary"]) == ("private, no-cache", "Authorization")
            events = _events(stream)
            assert (await _next(events))["event"] == "ready"
            await client.post("/v1/reports", json=report())
            first = await _next(events)
            assert (first["event"], first["data"]["seq"]) == ("report", SEEDED + 1)
        await client.post("/v1/reports", json=report(source="envoy"))
        await client.post("/v1/reports", json=report(source="monitor"))
        async with client.stream("GET", "/v1/stream", headers={"Last-Event-ID": first["id"]}) as stream:
            events = _events(stream)
            await _next(events)
            assert [(await _next(events))["data"]["seq"] for _ in range(2)] == [SEEDED + 2, SEEDED + 3]
        page = (await client.get("/v1/changes")).json()
        assert page["items"][SEEDED] == {**first["data"], "documents": page["items"][SEEDED]["documents"]}
        await client.patch("/v1/places/oldtown", json={"names": {"ar": "المدينة القديمة"}})
        async with client.stream("GET", "/v1/stream?lang=ar-SY", headers={"Last-Event-ID": first["id"]}) as stream:
            events = _events(stream)
            await _next(events)
            (document,) = (await _next(events))["data"]["documents"]
            assert document["place"]["name"] == "المدينة القديمة"


@mostly_sqlite
async def test_stream_with_a_wrong_cursor_gets_422(running: Running) -> None:
    async with running.client() as client:
        response = await client.get("/v1/stream", headers={"Last-Event-ID": "nonsense"})
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"


@mostly_sqlite
async def test_stream_ends_when_its_secret_expires(running: Running) -> None:
    """After a rotation streams with the old secret end, while the key continues with the new one."""
    async with running.client() as client:
        key = (await client.post("/v1/keys", json={"name": "reader", "organisation": "o", "scopes": ["read"]})).json()
        old = {"Authorization": f"Bearer {key['secret']}"}
        async with client.stream("GET", "/v1/stream", headers=old) as stream, asyncio.timeout(10):
            events = _events(stream)
            assert (await anext(events))["event"] == "ready"
            poll = asyncio.create_task(client.get("/v1/changes?after=now&wait=8", headers=old))
            await client.post("/v1/reports", json=report())
            assert (await anext(events))["event"] == "report"
            rotated = await client.post(key["links"]["rotation"], json={"overlap_hours": 1})
            await client.post("/v1/reports", json=report(source="envoy"))
            assert (await anext(events))["event"] == "report"
            assert (await poll).status_code == 200
            poll = asyncio.create_task(
                client.get("/v1/changes?after=now&wait=8", headers={"Authorization": f"Bearer {rotated.json()['secret']}"})
            )
            await wait_for_metric(client, "lifeline_open_streams 2.0")
            await client.post(key["links"]["rotation"], json={"overlap_hours": 1})
            assert [each async for each in events] == []
            await client.post("/v1/reports", json=report(source="monitor"))
            assert (await poll).status_code == 200


@mostly_sqlite
async def test_streams_and_long_polls_end_at_shutdown(running: Running) -> None:
    async with running.client() as client, client.stream("GET", "/v1/stream") as stream:
        events = _events(stream)
        await _next(events)
        waiting = asyncio.create_task(client.get("/v1/changes", params={"after": "now", "wait": 30}))
        await wait_for_metric(client, "lifeline_open_streams 2.0")
        running.terminate()
        assert (await asyncio.wait_for(waiting, 5)).status_code == 200
        assert [event async for event in events] == []
    # The server re-raises the signal when every connection is closed.
    assert await asyncio.to_thread(running.wait, 10) in (0, -signal.SIGTERM)


async def test_commit_of_another_process_wakes_waiting_clients(running: Running) -> None:
    async with running.client() as client, running.sibling() as other, client.stream("GET", "/v1/stream") as stream:
        events = _events(stream)
        await _next(events)
        end = (await client.get("/v1/changes", params={"after": "now"})).json()["next"]
        waiting = asyncio.create_task(client.get("/v1/changes", params={"after": end, "wait": 30}))
        await wait_for_metric(client, "lifeline_open_streams 2.0")
        async with other.client() as elsewhere:
            await elsewhere.post("/v1/reports", json=report())
        assert (await _next(events))["data"]["seq"] == SEEDED + 1
        assert len((await asyncio.wait_for(waiting, 10)).json()["items"]) == 1
