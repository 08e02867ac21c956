"""Replay of the ledger: up to any entry it gives, byte for byte, the documents stored at that entry, for every clearance.

Hypothesis chooses the entries. By default the same few examples run; with TEST_FULL=1, 300 new ones each time. Whether those
documents are right is a matter of `test_oracle.py`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from sqlalchemy import select

from app.assessment.document import with_revision
from app.assessment.inputs import load_inputs
from app.assessment.models import IndicatorProjection
from app.assessment.projection import projection_rows
from app.assessment.verify import verify_projections
from app.domain.time_point import TimePoint
from app.domain.tlp import LABELS, Label
from app.domain.view import View
from app.indicators.past import assess_at
from app.ledger.models import LedgerHead
from app.ledger.queries import resolve_time_point
from app.ledger.verify import verify_chain
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from tests.assessment.random_ledger import RandomLedger, rfc3339
from tests.assessment.strategies import ALL_STEPS
from tests.support.fixtures import FULL, MakeClient


@dataclass(kw_only=True)
class RecordedLedger(RandomLedger):
    """A random ledger with the documents that are stored after each step."""

    database: Database
    settings: Settings
    # For each entry, the time of recording and the stored documents by indicator and level.
    stored: dict[int, tuple[datetime, dict[tuple[str, int], str]]] = field(default_factory=dict)

    @property
    def ids(self) -> list[UUID]:
        return [UUID(each) for each in {each["indicator"] for each in self.reports}]

    async def step(self, step: tuple[Any, ...]) -> None:
        """Do one step and keep what is stored then."""
        await super().step(step)
        if step[0] == "label":
            # A replay of an earlier entry never shows what was raised since.
            self.stored.clear()
        async with self.database.read() as connection:
            head = (await connection.execute(select(*table_of(LedgerHead).c))).mappings().one()
            self.stored[head["global_seq"]] = head["recorded_at"], await self._documents(connection)

    async def _documents(self, connection: Any) -> dict[tuple[str, int], str]:
        projections = table_of(IndicatorProjection)
        found = {}
        for row in (await connection.execute(select(*projections.c).where(projections.c.indicator_id.in_(self.ids)))).mappings():
            for level in range(row["min_clearance"], row["max_clearance"] + 1):
                found[str(row["indicator_id"]), level] = with_revision(row["document"], row[f"revision_{LABELS[level]}"])
        return found

    async def check_replay(self) -> None:
        """Compare every stored document with the replay and with the responses for the past."""
        async with self.database.read() as connection:
            for at, (global_seq, (recorded_at, stored)) in enumerate(self.stored.items()):
                point = TimePoint(through_global_seq=global_seq)
                assert await resolve_time_point(connection, None, rfc3339(recorded_at)) == point
                inputs = await load_inputs(connection, self.ids, self.settings.horizons, point)
                replayed = {
                    (str(indicator), level): with_revision(row["document"], row[f"revision_{LABELS[level]}"])
                    for indicator, found in inputs.items()
                    for row in projection_rows(found)
                    for level in range(row["min_clearance"], row["max_clearance"] + 1)
                }
                assert replayed == _shown(stored, replayed)
                # For every other entry, one level, each in turn.
                level = at % len(LABELS)
                if FULL or at % 2 == 0:
                    past = await assess_at(connection, self.ids, View(level, point, self.settings.horizons))
                    served = {(str(each), level): found.document() for each, found in past.items()}
                    assert served == _shown({key: each for key, each in stored.items() if key[1] == level}, served)


def _shown(stored: dict[tuple[str, int], str], found: dict[tuple[str, int], str]) -> dict[tuple[str, int], str]:
    """Return stored documents without those that no reader is served: of an indicator whose reports were all raised, a row may stay."""
    return {key: each for key, each in stored.items() if key in found or '"agreement":null' not in each}


@settings(
    max_examples=40 if FULL else 2,
    derandomize=not FULL,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(steps=ALL_STEPS)
async def test_replay_to_any_entry_gives_the_documents_stored_then(
    database: Database, settings: Settings, make_client: MakeClient, steps: list[tuple[Any, ...]]
) -> None:
    clients = {label: await make_client(clearance=Label(label)) for label in LABELS}
    second = await make_client(clearance=Label.RED, organisation="second")
    ledger = RecordedLedger(clients, second, database=database, settings=settings)
    await ledger.begin()
    for step in steps:
        await ledger.step(step)
    await ledger.check_replay()
    async with database.write() as session:
        connection = await session.connection()
        assert [each async for each in verify_chain(connection)] == []
        assert [each async for each in verify_projections(connection, settings.horizons)] == []
