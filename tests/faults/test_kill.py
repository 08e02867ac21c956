"""SIGKILL at random moments under 64 writers, whose writes share transactions: every acknowledged write is stored, once and completely.

Three rounds; with TEST_FULL a thousand on each engine, with TEST_ROUNDS as many as it says.
"""

import asyncio
import contextlib
import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.nodes import read_hashes, read_roots
from app.ledger.tree import inclusion_spans, root_from_inclusion, tree_root
from app.operations.verify import verify_all
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import SOURCES, report
from tests.support.fixtures import FULL
from tests.support.processes import free_port, start
from tests.support.servers import new_key

pytestmark = pytest.mark.starts_early

ROUNDS = int(os.environ.get("TEST_ROUNDS", "1000" if FULL else "3"))
VERIFY_EACH = max(1, ROUNDS // 10)
WRITERS = 64
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=WRITERS)
# On seven indicators and many days, because one on which all report would be assessed from all of them each time.
CONCEPTS = ("trapped", "besieged", "hard_to_reach", "encircled", "at_risk", "in_need", "remaining")


@dataclass(slots=True)
class Intent:
    """A write, sent with one Idempotency-Key until it is acknowledged."""

    path: str
    body: Any
    numbers: list[int]
    key: str = field(default_factory=lambda: str(uuid4()))


@dataclass(slots=True)
class Writer:
    """A writer: its unacknowledged write, and the identifiers of its acknowledged reports by the number that they state."""

    number: int
    count: int = 0
    intent: Intent | None = None
    written: dict[int, str] = field(default_factory=dict)
    amended: list[tuple[str, str]] = field(default_factory=list)
    retried: int = 0

    def next_intent(self, chance: random.Random) -> Intent:
        """Return a report, an atomic batch of three, or an amendment of the last report."""
        kind = chance.random()
        last = max(self.written, default=0)
        correctable = last in self.written and not self.written[last].startswith("corrected")
        if correctable and kind > 0.7 and (amendment := self._amendment(self.written[last], label=kind > 0.9)):
            return amendment
        numbers = [self.number * 1_000_000 + self.count + each for each in range(3 if kind < 0.2 else 1)]
        self.count += len(numbers)
        source, day = SOURCES[self.number % len(SOURCES)]["slug"], date(1990, 1, 1) + timedelta(days=10 * (self.count // 8))
        value = {"concept": CONCEPTS[self.number % len(CONCEPTS)]}
        bodies = [report(source=source, stated_at=day.isoformat(), value=value | {"people": number}) for number in numbers]
        if len(bodies) == 3:
            return Intent("/v1/reports?atomic=true", bodies, numbers)
        # A correction of a report with a raised label would have that label already.
        if kind < 0.4 and correctable and self._stands(self.written[last]) and ("label", self.written[last]) not in self.amended:
            path = f"/v1/reports/{self.written[last]}/correction"
            self.written[last] = f"corrected {self.written[last]}"
            return Intent(path, {"reason": "counted again", **bodies[0]}, numbers)
        return Intent("/v1/reports", bodies[0], numbers)

    def _amendment(self, report_id: str, *, label: bool) -> Intent | None:
        """Return a label of a report, once; or its withdrawal, or its reinstatement if it is withdrawn."""
        if label:
            body = {"reason": "names a place", "sensitivity": "green"}
            return None if ("label", report_id) in self.amended else Intent(f"/v1/reports/{report_id}/label", body, [])
        sort = "retraction" if self._stands(report_id) else "reinstatement"
        return Intent(f"/v1/reports/{report_id}/{sort}", {"reason": "looked at again"}, [])

    def _stands(self, report_id: str) -> bool:
        sorts = [sort for sort, amended in self.amended if amended == report_id]
        return sorts.count("retraction") == sorts.count("reinstatement")

    async def write(self, client: httpx.AsyncClient, chance: random.Random) -> None:
        """Write until the server is killed."""
        with contextlib.suppress(httpx.TransportError):
            while True:
                self.retried += self.intent is not None
                self.intent = intent = self.intent or self.next_intent(chance)
                answer = await client.post(intent.path, json=intent.body, headers={"Idempotency-Key": intent.key})
                assert answer.status_code in (201, 207), answer.text
                items = answer.json()["items"] if answer.status_code == 207 else [answer.json()]
                if intent.numbers:
                    self.written |= dict(zip(intent.numbers, [each["id"] for each in items], strict=True))
                else:
                    *_, report_id, sort = intent.path.split("/")
                    self.amended.append((sort, report_id))
                self.intent = None


def acknowledged(writers: list[Writer]) -> int:
    """Return the number of acknowledged reports."""
    return sum(len(writer.written) for writer in writers)


async def _wait_until_served(client: httpx.AsyncClient) -> None:
    while True:
        with contextlib.suppress(httpx.TransportError):
            await client.get("/health/live")
            return
        await asyncio.sleep(0.005)


async def _round(url: str, folder: Path, writers: list[Writer], key: str, chance: random.Random) -> None:
    port, headers = free_port(), {"Authorization": f"Bearer {key}"}
    run = partial(start, "serve", "--port", str(port), output=folder / "served.txt", database_url=url, rate_limit="off", access_log="false")
    process = await asyncio.to_thread(run)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60, limits=LIMITS) as client:
            async with asyncio.timeout(120):
                await _wait_until_served(client)
            writing = [asyncio.create_task(writer.write(client, chance)) for writer in writers]
            # Mostly after the first acknowledged write; sometimes before, while the server starts.
            if chance.random() < 0.8:
                before = acknowledged(writers)
                async with asyncio.timeout(120):
                    while acknowledged(writers) == before and not any(each.done() for each in writing):  # noqa: ASYNC110 - many counts, not one event
                        await asyncio.sleep(0.005)
            await asyncio.sleep(chance.uniform(0, 0.3))
            process.kill()
            await asyncio.gather(*writing)
    finally:
        process.kill()
        process.wait()


async def _prove(connection: AsyncConnection) -> None:
    """Prove some entries in the tree of the lowest clearance from the hashes that are stored."""
    leaves = await read_hashes(connection, 0, 0, 0, 1_000_000)
    root, size = tree_root(leaves), len(leaves)
    for index in random.sample(range(size), 5):
        path = await read_roots(connection, 0, inclusion_spans(index, size))
        assert root_from_inclusion(leaves[index], index, size, path) == root


async def _verify(url: str, writers: list[Writer]) -> tuple[int, int]:
    """Check that acknowledged writes are stored once, and no write in part; return the numbers of stored and acknowledged reports."""
    settings = Settings(database_url=url)
    async with Database(settings) as database, database.write() as session:
        connection = await session.connection()
        assert [problem async for problem in verify_all(connection, settings.horizons)] == []
        await _prove(connection)
        stored = (await connection.exec_driver_sql("SELECT CAST(id AS VARCHAR), value FROM report")).all()
        amended = await connection.exec_driver_sql(
            "SELECT type, CAST(report_id AS VARCHAR) FROM ledger_entry WHERE type IN ('retraction', 'reinstatement', 'label')"
        )
        amendments = Counter((sort, str(UUID(identifier))) for sort, identifier in amended)
    said = Counter(each for writer in writers for each in writer.amended)
    pending_amendments = Counter(
        (path[-1], path[-2])
        for writer in writers
        if writer.intent and not writer.intent.numbers
        for path in [writer.intent.path.split("/")]
    )
    assert said <= amendments <= said + pending_amendments
    by_number: dict[int, UUID] = {}
    for identifier, value in stored:
        people = (value if isinstance(value, dict) else json.loads(value))["people"]
        assert people not in by_number, f"{people} is stored twice"
        by_number[people] = UUID(identifier)
    expected = {number: UUID(id_.removeprefix("corrected ")) for each in writers for number, id_ in each.written.items()}
    assert {number: by_number.get(number) for number in expected} == expected
    # A write without a response may be stored, but only completely.
    pending = [writer.intent.numbers for writer in writers if writer.intent and writer.intent.numbers]
    for numbers in pending:
        assert len({number in by_number for number in numbers}) == 1, f"{numbers} are stored in part"
    assert set(by_number) <= set(expected) | {number for numbers in pending for number in numbers}
    return len(by_number), len(expected)


async def test_acknowledged_writes_survive_kills(seeded_database_url: str, engine: str, tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    key = await new_key(seeded_database_url)
    writers = [Writer(number) for number in range(WRITERS)]
    for number in range(1, ROUNDS + 1):
        await _round(seeded_database_url, tmp_path, writers, key, chance)
        if number % VERIFY_EACH == 0:
            stored, confirmed = await _verify(seeded_database_url, writers)
            retried = sum(writer.retried for writer in writers)
            print(f"{engine}, seed {seed}, round {number}: {confirmed} acknowledged, {stored} stored, {retried} sent again")  # noqa: T201
    assert confirmed, "no write was acknowledged in any round"
