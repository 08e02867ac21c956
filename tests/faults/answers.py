"""What a client sees while something is wrong, and after it was put right."""

import asyncio
import itertools
import time

import httpx

from tests.support.factories import report

_numbers = itertools.count(1)


def fresh() -> str:
    """A list that no answer is kept of."""
    return f"/v1/indicators?limit={next(_numbers)}"


async def write(client: httpx.AsyncClient, people: int) -> httpx.Response:
    """Report a number, under an Idempotency-Key of its own."""
    return await client.post("/v1/reports", json=report(value={"people": people}), headers={"Idempotency-Key": f"people-{people}"})


def assert_told(answer: httpx.Response, status: int = 503) -> None:
    """A problem that says what is wrong and when to come back, and nothing of what is inside."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert not {"sqlite", "postgres", "asyncpg", "Traceback", "/tmp", "/dev/shm"} & set(answer.text.split())  # noqa: S108 - looked for


async def back(client: httpx.AsyncClient, people: int, *, seconds: float = 30) -> None:
    """Until a write goes through and a read is answered, by themselves; never anything but 201, 200, 503 or 507."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        written, read, ready = await write(client, people), await client.get(fresh()), await client.get("/health/ready")
        assert {written.status_code, read.status_code, ready.status_code} <= {201, 200, 503, 507}, (written.text, read.text)
        if (written.status_code, read.status_code, ready.status_code) == (201, 200, 200):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not back after {seconds} seconds: {written.text} {read.text} {ready.text}")


async def people_of(client: httpx.AsyncClient, *, tries: int = 20) -> list[int]:
    """The numbers that are recorded, in order; asked for again where a connection to read by was cut before."""
    answer = await client.get("/v1/reports?limit=1000")
    while answer.status_code == 503 and tries:
        tries -= 1
        await asyncio.sleep(0.02)
        answer = await client.get("/v1/reports?limit=1000")
    return [each["value"]["people"] for each in answer.json()["items"]]
