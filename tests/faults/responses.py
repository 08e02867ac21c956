"""Responses to a client during a fault and after it."""

import asyncio
import itertools
import time

import httpx

from tests.support.factories import report

_numbers = itertools.count(1)


def uncached_path() -> str:
    """Return the path of a list that is not in the response cache."""
    return f"/v1/indicators?limit={next(_numbers)}"


async def post_people(client: httpx.AsyncClient, people: int) -> httpx.Response:
    """Post a report of a number of people, with an Idempotency-Key for that number."""
    return await client.post("/v1/reports", json=report(value={"people": people}), headers={"Idempotency-Key": f"people-{people}"})


def assert_unavailable(answer: httpx.Response, status: int = 503) -> None:
    """Check that a response is a problem with `Retry-After` that reveals nothing of the database."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert not {"sqlite", "postgres", "asyncpg", "Traceback", "/tmp", "/dev/shm"} & set(answer.text.split())  # noqa: S108 - looked for


async def wait_until_recovered(client: httpx.AsyncClient, people: int, *, seconds: float = 30) -> None:
    """Repeat a write and reads until they succeed; any status but 200, 201, 503 and 507 fails."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        written, read, ready = await post_people(client, people), await client.get(uncached_path()), await client.get("/health/ready")
        assert {written.status_code, read.status_code, ready.status_code} <= {201, 200, 503, 507}, (written.text, read.text)
        if (written.status_code, read.status_code, ready.status_code) == (201, 200, 200):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not recovered after {seconds} seconds: {written.text} {read.text} {ready.text}")


async def recorded_people(client: httpx.AsyncClient, *, tries: int = 20) -> list[int]:
    """Return the recorded numbers in order; retry, because the fault may have closed a connection in the pool."""
    answer = await client.get("/v1/reports?limit=1000")
    while answer.status_code == 503 and tries:
        tries -= 1
        await asyncio.sleep(0.02)
        answer = await client.get("/v1/reports?limit=1000")
    return [each["value"]["people"] for each in answer.json()["items"]]
