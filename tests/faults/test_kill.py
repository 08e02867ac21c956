"""Killed with -9 at any moment under eight writers: what was answered 201 is there, once and whole.

LIFELINE_TEST_ROUNDS says how many rounds; a thousand take some ten minutes for each database.
"""

import asyncio
import contextlib
import json
import os
import random
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.operations.verify import verify_all
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import SOURCES, report
from tests.support.processes import free_port, start
from tests.support.servers import new_key

pytestmark = pytest.mark.starts_early

ROUNDS = int(os.environ.get("LIFELINE_TEST_ROUNDS", "3"))
VERIFY_EACH = max(1, ROUNDS // 10)
WRITERS = 8


@dataclass(slots=True)
class Intent:
    """Something to be written: sent under one Idempotency-Key until it is answered, whatever dies meanwhile."""

    path: str
    body: Any
    numbers: list[int]
    key: str = field(default_factory=lambda: str(uuid4()))


@dataclass(slots=True)
class Writer:
    """One of the eight: what it is about to write, and what it was told is written, by the number that it said."""

    number: int
    count: int = 0
    intent: Intent | None = None
    written: dict[int, str] = field(default_factory=dict)
    retried: int = 0

    def next_intent(self, chance: random.Random) -> Intent:
        """A report, three that come together or not at all, or a correction of its last."""
        kind = chance.random()
        numbers = [self.number * 1_000_000 + self.count + each for each in range(3 if kind < 0.2 else 1)]
        self.count += len(numbers)
        said = [report(source=SOURCES[self.number]["slug"], value={"people": number}) for number in numbers]
        if len(said) == 3:
            return Intent("/v1/reports?atomic=true", said, numbers)
        if kind < 0.4 and self.written and not self.written[last := max(self.written)].startswith("corrected"):
            path = f"/v1/reports/{self.written[last]}/correction"
            self.written[last] = f"corrected {self.written[last]}"
            return Intent(path, {"reason": "counted again", **said[0]}, numbers)
        return Intent("/v1/reports", said[0], numbers)

    async def write(self, client: httpx.AsyncClient, chance: random.Random) -> None:
        """Write until the server is gone."""
        with contextlib.suppress(httpx.TransportError):
            while True:
                self.retried += self.intent is not None
                self.intent = intent = self.intent or self.next_intent(chance)
                answer = await client.post(intent.path, json=intent.body, headers={"Idempotency-Key": intent.key})
                assert answer.status_code in (201, 207), answer.text
                items = answer.json()["items"] if answer.status_code == 207 else [answer.json()]
                found = [each.get("report", each)["id"] for each in items]
                self.written |= dict(zip(intent.numbers, found, strict=True))
                self.intent = None


def acknowledged(writers: list[Writer]) -> int:
    """How much was answered 201."""
    return sum(len(writer.written) for writer in writers)


async def _until_served(client: httpx.AsyncClient) -> None:
    while True:
        with contextlib.suppress(httpx.TransportError):
            await client.get("/health/live")
            return
        await asyncio.sleep(0.005)


async def _round(url: str, folder: Path, writers: list[Writer], key: str, chance: random.Random) -> None:
    port = free_port()
    run = partial(start, "serve", "--port", str(port), output=folder / "served.txt", database_url=url, rate_limit="off", access_log="false")
    process = await asyncio.to_thread(run)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            async with asyncio.timeout(60):
                await _until_served(client)
            writing = [asyncio.create_task(writer.write(client, chance)) for writer in writers]
            # Mostly with writes being acknowledged, which takes a start some time; now and then before.
            if chance.random() < 0.8:
                before = acknowledged(writers)
                async with asyncio.timeout(30):
                    while acknowledged(writers) == before:  # noqa: ASYNC110 - eight counts, not one event
                        await asyncio.sleep(0.005)
            await asyncio.sleep(chance.uniform(0, 0.3))
            process.kill()
            await asyncio.gather(*writing)
    finally:
        process.kill()
        process.wait()


async def _prove(url: str, writers: list[Writer]) -> tuple[int, int]:
    """That what was acknowledged is there once, that nothing is there by halves or twice; answers how many are there, and acknowledged."""
    settings = Settings(database_url=url)
    database = Database(settings)
    try:
        async with database.write() as session:
            connection = await session.connection()
            assert [problem async for problem in verify_all(connection, settings.horizons)] == []
            stored = (await connection.exec_driver_sql("SELECT CAST(id AS VARCHAR), value FROM report")).all()
    finally:
        await database.close()
    by_number: dict[int, UUID] = {}
    for identifier, value in stored:
        people = (value if isinstance(value, dict) else json.loads(value))["people"]
        assert people not in by_number, f"{people} is there twice"
        by_number[people] = UUID(identifier)
    told = {number: UUID(id_.removeprefix("corrected ")) for each in writers for number, id_ in each.written.items()}
    assert {number: by_number.get(number) for number in told} == told
    # Beyond what was acknowledged there is at most what each writer has under way, all of it or nothing.
    doubtful = [writer.intent.numbers for writer in writers if writer.intent]
    for numbers in doubtful:
        assert len({number in by_number for number in numbers}) == 1, f"{numbers} are there by halves"
    assert set(by_number) <= set(told) | {number for numbers in doubtful for number in numbers}
    return len(by_number), len(told)


async def test_what_was_acknowledged_survives_kills(seeded_database_url: str, engine: str, tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    key = await new_key(seeded_database_url)
    writers = [Writer(number) for number in range(WRITERS)]
    for number in range(1, ROUNDS + 1):
        await _round(seeded_database_url, tmp_path, writers, key, chance)
        if number % VERIFY_EACH == 0:
            stored, told = await _prove(seeded_database_url, writers)
            again = sum(writer.retried for writer in writers)
            print(f"{engine}, seed {seed}, round {number}: {told} acknowledged, {stored} stored, {again} sent again")  # noqa: T201
    assert told, "nothing was acknowledged in any round"
